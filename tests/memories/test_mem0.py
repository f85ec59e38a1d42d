"""Facts by the mem0 library itself, with our model and embedder in it."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.memories.methods import Down, Willing, a_film, ids_of, noted, without_mem0

from mia.errors import ConfigError, MissingError, StoreError
from mia.memories.mem0 import Mem0
from mia.model import Message, Reply
from mia.testing.models import ScriptedModel, ToyEmbedder
from mia.types import Episode

Films = Callable[..., Episode]


def facts(*texts: str) -> str:
    return json.dumps({"memory": [{"id": str(n), "text": text} for n, text in enumerate(texts)]})


@without_mem0
async def test_the_whole_conversation_is_put_before_the_model_and_its_facts_are_found(
    tmp_path: Path, film_episode: Films
) -> None:
    jaws, zebras = "Steven Spielberg directed the film Jaws", "Zebras live in the savanna"
    model = ScriptedModel([facts(jaws, zebras, "Boo")])
    with closing(Mem0(tmp_path / "m", ToyEmbedder(), model)) as memory:
        remembered = await memory.remember(film_episode("Jaws"))
        assert remembered.reason == "3 facts" and remembered.usage.calls == 1
        assert memory.count() == 3
        (first, *_) = (await memory.recall(a_film("about zebras in the savanna"))).notes
        assert first.text in (
            "Zebras live in the savanna",
            "Steven Spielberg directed the film Jaws",
        )
    prompt = model.asked[0][1].content
    for said in (
        "When was the director of film Jaws born?",
        "Who directed Jaws?",
        "made by Steven",
    ):
        assert said in prompt


@without_mem0
async def test_the_three_best_facts_are_shown_and_hidden_ones_take_no_place(
    tmp_path: Path, film_episode: Films
) -> None:
    own = [f"The director of film Alien was born in the year {n}" for n in range(9)]
    other = ["A director was born", "A film has a director", "Films of Jaws", "A film"]
    model = ScriptedModel([facts(*own), facts(*other)])
    with closing(Mem0(tmp_path / "m", ToyEmbedder(), model)) as memory:
        await memory.remember(film_episode("Alien", question_id=a_film().id))
        await memory.remember(film_episode("Heat"))
        found = await memory.recall(a_film())
        assert len(found.notes) == 3
        assert all(note.text in other for note in found.notes)
        scores = [note.score for note in found.notes]
        assert scores == sorted(scores, reverse=True)
        elsewhere = await memory.recall(a_film("Big"))
        assert all(note.text in own for note in elsewhere.notes)


@without_mem0
async def test_what_a_killed_attempt_left_is_not_shown_and_is_gone_after_the_next(
    tmp_path: Path, film_episode: Films
) -> None:
    model = Willing()
    with closing(Mem0(tmp_path / "m", ToyEmbedder(), model)) as memory:
        await memory.remember(film_episode("Jaws"))
        (kept,) = ids_of(await memory.recall(a_film()))
    ledger = tmp_path / "m" / "episodes.db"
    for file in ledger.parent.glob("episodes.db*"):
        file.unlink()  # as if the ledger had never heard of it
    with closing(Mem0(tmp_path / "m", ToyEmbedder(), model)) as memory:
        await memory.remember(film_episode("Heat"))
        assert kept not in ids_of(await memory.recall(a_film()))
        await memory.remember(film_episode("Jaws"))
        assert memory.count() == 2
        found = ids_of(await memory.recall(a_film()))
        assert len(found) == 2 and kept not in found
    with closing(sqlite3.connect(next((tmp_path / "m").rglob("storage.sqlite")))) as qdrant:
        assert qdrant.execute("SELECT count(*) FROM points").fetchone() == (2,)


@without_mem0
async def test_what_was_recalled_is_no_part_of_the_conversation(
    tmp_path: Path, film_episode: Films
) -> None:
    said = "Every director of a film was born in the month of May."
    run = film_episode("Jaws", recollection=noted(said))
    turns = run.trajectory.turns
    quoting = replace(turns[0], thought=f"As I recall: {said}")
    run = replace(run, trajectory=replace(run.trajectory, turns=(quoting, *turns[1:])))
    model = Willing()
    with closing(Mem0(tmp_path / "m", ToyEmbedder(), model)) as memory:
        await memory.remember(run)
    assert "As I recall" in model.asked[0] and "month of May" not in model.asked[0]


@without_mem0
async def test_facts_that_mem0_has_already_are_not_facts_again(
    tmp_path: Path, film_episode: Films
) -> None:
    model = ScriptedModel([facts("A film has a director")] * 2)
    with closing(Mem0(tmp_path / "m", ToyEmbedder(), model)) as memory:
        assert (await memory.remember(film_episode("Jaws"))).decision == "stored"
        assert (await memory.remember(film_episode("Heat"))).decision == "ignored"
        assert memory.count() == 1


@without_mem0
async def test_a_folder_is_for_one_process_at_a_time(tmp_path: Path, film_episode: Films) -> None:
    with (
        closing(Mem0(tmp_path / "m", ToyEmbedder(), Willing())) as one,
        closing(Mem0(tmp_path / "m", ToyEmbedder(), Willing())) as two,
    ):
        await one.remember(film_episode("Jaws"))
        with pytest.raises(StoreError, match="another process"):
            await two.remember(film_episode("Heat"))


class Endless(Willing):
    """A Model that never answers."""

    async def reply(self, messages: Sequence[Message], **_: Any) -> Reply:
        """Waits."""
        await asyncio.Event().wait()
        raise AssertionError


@without_mem0
def test_it_can_be_closed_while_a_model_is_still_asked(tmp_path: Path, film_episode: Films) -> None:
    memory = Mem0(tmp_path / "m", ToyEmbedder(), Endless())

    async def interrupted() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(memory.remember(film_episode()), 0.5)

    with asyncio.Runner() as runner:
        runner.run(interrupted())
        memory.close()


@without_mem0
def test_it_does_not_start_where_mem0_would_report_to_its_makers(tmp_path: Path) -> None:
    program = (
        "import sys; sys.path[:] = sys.argv[1].split('|')\n"
        "from pathlib import Path\n"
        "from mia.errors import ConfigError\n"
        "from mia.memories.mem0 import Mem0\n"
        "from mia.testing.models import ScriptedModel, ToyEmbedder\n"
        "try:\n"
        "    Mem0(Path(sys.argv[2]), ToyEmbedder(), ScriptedModel([]))\n"
        "except ConfigError as error:\n"
        "    print(error)\n"
    )
    environment = {**os.environ, "MEM0_TELEMETRY": "True", "MEM0_DIR": str(tmp_path / "its own")}
    told = subprocess.run(
        [sys.executable, "-c", program, "|".join(sys.path), str(tmp_path / "m")],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "MEM0_TELEMETRY=False" in told.stdout
    assert not (tmp_path / "m").exists()


def test_it_needs_a_model(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"models\.manager"):
        Mem0(tmp_path / "m", ToyEmbedder(), None)


@pytest.mark.skipif(find_spec("mem0") is not None, reason="mem0 is installed")
def test_where_mem0_is_not_installed_it_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"mia\[mem0\]"):
        Mem0(tmp_path / "m", ToyEmbedder(), Down())
