"""Runs told again, in two forms."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.memories.methods import a_film, ids_of

from mia.errors import StoreError
from mia.memories.rag import WORDS, Rag
from mia.testing.models import ToyEmbedder
from mia.types import Episode, Observation, Question, ToolCall, Trajectory, Turn, VerdictValue

Films = Callable[..., Episode]


async def test_a_summary_says_how_and_never_what(tmp_path: Path, film_episode: Films) -> None:
    with closing(Rag(tmp_path / "rag.db", ToyEmbedder())) as memory:
        await memory.remember(film_episode("Jaws"))
        (note,) = (await memory.recall(a_film())).notes
    assert note.title == "A run that was judged correct"
    assert "Who directed [A]?" in note.text
    for fact in ("Jaws", "Spielberg", "1946"):
        assert fact not in note.text


async def test_a_raw_run_has_its_question_its_facts_and_its_answer(
    tmp_path: Path, film_episode: Films
) -> None:
    with closing(Rag(tmp_path / "rag.db", ToyEmbedder(), form="raw")) as memory:
        await memory.remember(film_episode("Jaws"))
        (note,) = (await memory.recall(a_film())).notes
    assert "When was the director of film Jaws born?" in note.text
    assert "Jaws was made by Steven Spielberg." in note.text
    assert note.text.endswith("Answer: December 18, 1946")


async def test_a_long_raw_run_is_cut_from_its_turns_and_keeps_its_answer(
    tmp_path: Path, film_episode: Films
) -> None:
    run = film_episode()
    call = ToolCall(name="search", arguments={"query_list": ["x"]})
    turn = Turn(thought="word " * 500, call=call, observation=Observation(text="page " * 5000))
    turns = (*(turn,) * 12, run.trajectory.turns[-1])
    run = replace(run, trajectory=Trajectory(turns=turns, outcome="answered"))
    with closing(Rag(tmp_path / "rag.db", ToyEmbedder(), form="raw")) as memory:
        await memory.remember(run)
        (note,) = (await memory.recall(a_film())).notes
    assert len(note.text.split()) < WORDS + 50
    assert "December 18, 1946" in note.text


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        (VerdictValue.CORRECT, "judged correct"),
        (VerdictValue.INCORRECT, "judged incorrect"),
        (VerdictValue.UNKNOWN, "not judged"),
    ],
)
async def test_what_the_judge_said_is_passed_on_and_a_lesson_only_where_it_was_wrong(
    tmp_path: Path, film_episode: Films, verdict: VerdictValue, said: str
) -> None:
    with closing(Rag(tmp_path / "rag.db", ToyEmbedder())) as memory:
        await memory.remember(film_episode(verdict=verdict))
        (note,) = (await memory.recall(a_film())).notes
    assert said in note.title
    assert ("Lesson:" in note.text) is (verdict is VerdictValue.INCORRECT)


async def test_the_nearest_come_first_and_no_more_than_k(
    tmp_path: Path, film_episode: Films
) -> None:
    with closing(Rag(tmp_path / "rag.db", ToyEmbedder(), k=2)) as memory:
        for verb in ("paid", "born", "hired"):
            await memory.remember(film_episode(verb, verb=verb))
        found = await memory.recall(Question(text="When was the director hired?", id="new"))
    assert ids_of(found)[0] == "episode of hired"
    scores = [note.score for note in found.notes]
    assert len(scores) == 2 and scores == sorted(scores, reverse=True) and scores[0] > scores[1]


async def test_a_run_without_lookups_has_no_summary_and_is_raw_all_the_same(
    tmp_path: Path, film_episode: Films
) -> None:
    bare = Trajectory(turns=(Turn(answer="1946"),), outcome="answered")
    run = replace(film_episode(), trajectory=bare)
    with closing(Rag(tmp_path / "summary.db", ToyEmbedder())) as memory:
        assert (await memory.remember(run)).decision == "ignored"
        assert memory.count() == 0
    with closing(Rag(tmp_path / "raw.db", ToyEmbedder(), form="raw")) as memory:
        assert (await memory.remember(run)).decision == "stored"


async def test_a_file_of_one_form_is_not_one_of_the_other(tmp_path: Path) -> None:
    Rag(tmp_path / "rag.db", ToyEmbedder()).close()
    with pytest.raises(StoreError, match="rag summary"):
        Rag(tmp_path / "rag.db", ToyEmbedder(), form="raw")
