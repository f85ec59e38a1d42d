"""The published file of plan memory: for a question a plan that was right beside one that was
wrong, in the layout of the workflows' file. What it holds are templates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mia.memories.workflow.files import write_whole
from mia.memories.workflow.pairs import PairRows
from mia.memories.workflow.rows import Rows
from mia.memories.workflow.store import Store
from mia.router import PlanPair

_TEXT, _CATEGORY = "text-only", "others"
"""Pairs are of neither: they say nothing of pictures, and nobody sorts them."""


def save_pairs(store: Store, namespace: str, path: Path) -> int:
    """Writes the pairs of a namespace; how many there are. Blocks."""

    def job(rows: Rows) -> list[PlanPair]:
        return list(PairRows(rows).all(namespace))

    pairs = store.read(job)
    layout = {_TEXT: {_CATEGORY: [_entry(pair) for pair in pairs]}} if pairs else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, [json.dumps(layout, ensure_ascii=False, indent=4).encode()])
    return len(pairs)


def _entry(pair: PlanPair) -> dict[str, Any]:
    return {
        "data_id": pair.question_id,
        "question": pair.question_template,
        "image_caption": "",
        "correct_plan": pair.right,
        "incorrect_plan": pair.wrong,
        "usage_count": pair.seen,
        "success_count": pair.seen,
        "win_rate": 1.0,
    }
