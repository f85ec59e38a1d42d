"""A bank of cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.memories.methods import a_film

from mia import render
from mia.memories.memento import Memento
from mia.testing.models import ToyEmbedder
from mia.types import Episode, Plan, Question, Trajectory, VerdictValue

Films = Callable[..., Episode]


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memento]:
    opened = Memento(tmp_path / "cases.db", ToyEmbedder())
    yield opened
    opened.close()


async def test_cases_are_the_question_and_the_plan_as_they_were_with_their_reward(
    memory: Memento, film_episode: Films
) -> None:
    good, bad = film_episode("Jaws"), film_episode("Heat", verdict=VerdictValue.INCORRECT)
    for episode in (good, bad):
        assert (await memory.remember(episode)).decision == "stored"
    found = await memory.recall(a_film())
    (success,), (failure,) = found.successes, found.failures
    for recalled, episode, reward in ((success, good, 1.0), (failure, bad, 0.0)):
        assert episode.plan is not None
        assert recalled.workflow.question_template == episode.question.text
        assert recalled.workflow.plan == episode.plan.text
        assert recalled.value == reward
        assert recalled.workflow.source_episode == episode.id
    assert "[Jaws]" in render.recollection(found)


async def test_the_k_nearest_are_shown_whatever_became_of_them(
    memory: Memento, film_episode: Films
) -> None:
    for number, verb in enumerate(("born", "paid", "hired", "seen", "fired", "named")):
        verdict = VerdictValue.CORRECT if number % 2 else VerdictValue.INCORRECT
        await memory.remember(film_episode(verb, verb=verb, verdict=verdict))
    asked = Question(text="Named: the director of film named, when?", id="new")
    found = await memory.recall(asked)
    assert len(found.successes) + len(found.failures) == 4
    best = max((*found.successes, *found.failures), key=lambda item: item.score)
    assert best.workflow.source_episode == "episode of named"


async def test_the_plan_of_a_case_is_the_one_that_led_to_the_answer(
    memory: Memento, film_episode: Films
) -> None:
    run = film_episode()
    replanned = replace(
        run,
        plan=Plan(text="Guess."),
        trajectory=Trajectory(),
        replan=run.plan,
        retrajectory=run.trajectory,
    )
    await memory.remember(replanned)
    (found,) = (await memory.recall(a_film())).successes
    assert run.plan is not None and found.workflow.plan == run.plan.text


async def test_a_run_without_a_plan_is_no_case(memory: Memento, film_episode: Films) -> None:
    assert (await memory.remember(replace(film_episode(), plan=None))).decision == "ignored"
    assert memory.count() == 0
