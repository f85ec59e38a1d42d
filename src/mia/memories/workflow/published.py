"""The memory file of the published system: read, and written.

It is one JSON object, modality by category by list of entries, in three variants: judged against
gold answers, learned at test time (a slower plan besides), and judged without gold answers
(`judgement_nogt`, reviews besides). What an entry says of the run itself is dropped.

Such a file is anybody's text. Questions stay as they were asked, for finding alone; what a planner
would be shown is cut, cleaned of invisible characters and masked, and what was read is born in
quarantine, judged by `published`: recall does not show it until somebody trusts it. It names no
source domain, so it vouches for nothing; the hash of the file is its provenance. The layout has no
ids: they are made from what an entry says, so that a file read twice brings nothing new.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeGuard

import msgspec
from ulid import ULID

from mia.errors import InputError
from mia.memories.workflow.classify import CATEGORIES
from mia.memories.workflow.compress import MAX_WORDS
from mia.memories.workflow.files import counts, refused, write_whole
from mia.memories.workflow.template import SIGN, Veil
from mia.types import Workflow

JUDGE = "published"
"""The verdict kind of what was read from such a file."""
Modality = Literal["text", "text-image"]
_MODALITIES: dict[str, Modality] = {"text-only": "text", "text-image": "text-image"}
_NAMES = {modality: name for name, modality in _MODALITIES.items()}
_VERDICTS = {"correct": True, "incorrect": False, "not_attempted": False}
_SHAPE = re.compile(rb'(?:\xef\xbb\xbf)?\s*\{\s*(?:\}\s*$|"(?:[^"\\]|\\.)*"\s*:\s*\{)')
"""An object whose first value is an object, whole or torn. No field of a workflow is one."""
_MOST_CHARS = 20_000
"""Of a question or a caption."""
_CHARS_PER_WORD = 20
"""A plan or a summary without blanks is cut by this."""
_TOOL = re.compile(r"(?<= \()[a-z]+(?:_[a-z]+)+(?=: )")
"""A tool's name where a rendered step has it; by its form alone it would be hidden."""
_INVISIBLE = frozenset({"Cc", "Cf", "Co", "Cn"})
_PASSES = 8
"""Of hiding; two are enough but for stray quotation marks."""


class _Entry(msgspec.Struct):
    """What is read of one entry. Counts may be anything: they are put right."""

    question: str
    plan: str | None = None
    workflow_summary: str | None = None
    image_caption: str | None = None
    data_id: str | int | None = None
    judgement: str | bool | None = None
    judgement_nogt: str | bool | None = None
    usage_count: Any = 0
    success_count: Any = 0


@dataclass(frozen=True, slots=True)
class _Misplaced:
    """Something else where a bucket should be."""

    wanted: str


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an entry stands in its file, and what all entries of a file share."""

    namespace: str
    modality: Modality
    category: str
    created: str
    file: str
    """The hash of the file."""


def is_published(raw: bytes) -> bool:
    """Whether a file, or the beginning of one, is of this layout and not JSON Lines."""
    return _SHAPE.match(raw) is not None


def read(path: Path, namespace: str, created: str | None = None) -> tuple[Workflow, ...]:
    """The workflows of a file, as made at `created`, or else at this moment.

    Raises InputError that names the bad entries when there is any, and for what is not JSON.
    """
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    raw = path.read_bytes()
    created = created or datetime.now(UTC).isoformat(timespec="milliseconds")
    file = hashlib.sha256(raw).hexdigest()
    workflows: list[Workflow] = []
    problems: list[str] = []
    for name, entry, modality, category in _entries(path, raw):
        place = _Place(namespace, modality, category, created, file)
        try:
            workflows.append(_workflow(entry, place))
        except InputError as error:
            problems.append(f"{name}: {error}")
    if problems:
        raise refused(path, problems)
    return tuple(workflows)


def write(workflows: Iterable[Workflow], path: Path) -> None:
    """Writes a file of this layout, whole or not at all. Trust has no place in it, so whoever
    calls chooses what others should get to see."""
    layout: dict[str, dict[str, list[dict[str, Any]]]] = {name: {} for name in _MODALITIES}
    for workflow in workflows:
        known = workflow.category if workflow.category in CATEGORIES else "others"
        layout[_NAMES[workflow.modality]].setdefault(known, []).append(_entry(workflow))
    write_whole(path, [json.dumps(layout, ensure_ascii=False, indent=4).encode(), b"\n"])


def _entry(workflow: Workflow) -> dict[str, Any]:
    """A workflow as the layout has it. One that was never used has the win rate of a newcomer
    there, 1: with 0 it would never be tried."""
    uses, wins = counts(workflow.uses, workflow.wins)
    return {
        "data_id": workflow.question_id,
        "question": workflow.question,
        "image_caption": workflow.caption or "",
        "workflow_summary": workflow.summary,
        "plan": workflow.plan,
        "judgement": "correct" if workflow.outcome == "success" else "incorrect",
        "usage_count": uses,
        "success_count": wins,
        "win_rate": round(wins / uses, 4) if uses else 1.0,
    }


def _entries(path: Path, raw: bytes) -> Iterator[tuple[str, Any, Modality, str]]:
    """Every entry with its name and place; what stands where a bucket should, as if it were an
    entry that cannot be read. Raises InputError for what is not of this layout at all."""
    layout = _parsed(path, raw)
    if not _is_object(layout) or not layout.keys() <= _MODALITIES.keys():
        wanted = " and ".join(_MODALITIES)
        got = list(layout) if _is_object(layout) else layout
        raise refused(path, [f"it should be an object of {wanted}, got {_quoted(got)}"])
    for name, categories in layout.items():
        modality = _MODALITIES[name]
        if not _is_object(categories):
            yield name, _Misplaced("an object of categories"), modality, "others"
            continue
        for category, bucket in categories.items():
            where = f"{name}/{_quoted(category)}"
            known = category if category in CATEGORIES else "others"
            if not isinstance(bucket, list):
                yield where, _Misplaced("a list of entries"), modality, known
                continue
            for number, entry in enumerate(bucket, 1):  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
                yield f"{where} {number}", entry, modality, known


def _parsed(path: Path, raw: bytes) -> Any:
    """The JSON of a file; NaN and Infinity, which that system may write, are taken."""
    try:
        return json.loads(raw.decode("utf-8-sig"), object_pairs_hook=_pairs)
    except (ValueError, RecursionError) as error:
        raise refused(path, [f"it is not readable JSON: {error}"]) from error


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object. One that says a thing twice is refused, so that nothing is lost unseen."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object holds the same key twice")
    return found


def _is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _workflow(raw: Any, place: _Place) -> Workflow:
    """One entry. Raises InputError that says what is wrong with it."""
    if isinstance(raw, _Misplaced):
        raise InputError(f"it should be {raw.wanted}")
    try:
        entry = msgspec.convert(raw, _Entry)
    except msgspec.ValidationError as error:
        raise InputError(str(error)) from error
    texts = (entry.question, entry.plan or "", entry.workflow_summary or "")
    question, plan, summary = (_unicode(text) for text in texts)
    caption = _visible(_unicode(entry.image_caption or ""))[:_MOST_CHARS]
    if not question.strip():
        raise InputError("there is no question")
    if not (plan.strip() or summary.strip()):
        raise InputError("there is neither a plan nor a summary")
    right = _right(entry)
    question = question[:_MOST_CHARS]
    template, plan, summary = _hidden(question, plan, summary)
    uses, wins = counts(_count(entry.usage_count), _count(entry.success_count))
    question_id = "" if entry.data_id is None else _visible(_unicode(str(entry.data_id)))
    said = (question, plan, summary, caption, question_id, str(right))
    return Workflow(
        id=_id(place.namespace, place.modality, place.category, *said),
        namespace=place.namespace,
        question=question,
        question_template=template,
        category=place.category,
        steps=(),
        summary=summary,
        plan=plan,
        outcome="success" if right else "failure",
        verdict_kind=JUDGE,
        confidence=0.5,  # nobody here has seen the run
        caption=caption if caption.strip() else None,
        modality=place.modality,
        question_id=question_id,
        uses=uses,
        wins=wins,
        created=place.created,
        source_hashes=(place.file,),
        trust="quarantined",
    )


def _right(entry: _Entry) -> bool:
    """What the judge said: the one with gold answers, or else the one without."""
    said = entry.judgement_nogt if entry.judgement is None else entry.judgement
    if isinstance(said, bool):
        return said
    verdict = _VERDICTS.get((said or "").strip().lower())
    if verdict is None:
        raise InputError(f"its judgement should be correct or incorrect, got {_quoted(said)}")
    return verdict


def _count(value: object) -> int:
    """A count; what is no finite number counts nothing."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return 0
    return int(value)


def _id(*parts: str) -> str:
    """An id that says the same of the same parts."""
    digest = hashlib.sha256("\0".join(json.dumps(part) for part in parts).encode())
    return str(ULID.from_bytes(digest.digest()[:16]))


def _hidden(question: str, plan: str, summary: str) -> tuple[str, str, str]:
    """A question, its plan and its summary as templates; the same name is the same letter in all
    three. Letters that a template of ours brings along stay, and are given to nothing else."""
    veil = Veil()
    template = _settled(veil, _visible(question))
    plan, summary = _cut(_visible(plan)), _cut(_visible(summary))
    for number in range(_letters(template), _letters(plan + summary)):
        veil.letter(f"letter {number} of the text")
    shown = _settled(veil, plan)
    pieces = (_settled(veil, piece) for piece in _TOOL.split(summary))
    tools = (*_TOOL.findall(summary), "")
    told = "".join(piece + tool for piece, tool in zip(pieces, tools, strict=True))
    return template, _cut(shown), _cut(told)


def _settled(veil: Veil, text: str) -> str:
    """Hidden until hiding changes nothing more, so that hiding it once again does not either."""
    for _ in range(_PASSES):
        hidden = veil.hide(text)
        if hidden == text:
            break
        text = hidden
    return text


def _letters(text: str) -> int:
    """How many letters from `[A]` on a text uses, gaps counted in."""
    used = (sign[1:-1] for sign in SIGN.findall(text) if sign[0] == "[")
    return max((ord(sign[0]) - 64 + 26 * int(sign[1:] or 0) for sign in used), default=0)


def _visible(text: str) -> str:
    """Without characters that cannot be seen, but for ends of lines and tabs."""
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in _INVISIBLE)


def _cut(text: str) -> str:
    """The first words of a text, its lines kept."""
    words = list(re.finditer(r"\S+", text))
    kept = text if len(words) <= MAX_WORDS else text[: words[MAX_WORDS - 1].end()]
    most = MAX_WORDS * _CHARS_PER_WORD
    return kept if len(kept) <= most else " ".join(kept[:most].rsplit(None, 1)[:-1])


def _unicode(text: str) -> str:
    """The text. Raises InputError when it holds halves of characters, which nothing can store."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError("its text holds half a character") from error
    return text


def _quoted(value: object) -> str:
    """A value of the file for a message: short, and harmless in a terminal."""
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
