"""Learning while answering, put together from settings: on weights that are here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.cli.playing import Served, plays
from tests.training.test_workshop import order, shop, taught
from tests.training.tiny_world import ignored

from mia.config import Endpoint
from mia.errors import ConfigError
from mia.team import House, silent
from mia.training import tiny
from mia.training.exercises import Exercise
from mia.training.guards import Limits
from mia.training.streams import Course, Taught, check, learn
from mia.training.workshop import Workshop

__all__ = ["shop"]
QUESTIONS = [each.question for each in tiny.exercises(12)]
LOOSE = Limits(kl=100.0, entropy=0.0, length=100.0, canary_every=2)


def course(begins: int, **changes: Any) -> Course:
    wanted = order("planner", "stream", str(begins), questions=4, attempts=4, epochs=1.0)
    given: dict[str, Any] = {"questions": QUESTIONS, "limits": LOOSE, "memory": False}
    return Course(order=wanted, **{**given, **changes})


def run(shop: Workshop, what: Course) -> Taught:
    return learn(shop, what, ignored)


@pytest.fixture
def remembering(shop: Workshop) -> Iterator[Workshop]:
    """The same workshop where somebody makes vectors, as memory needs them."""
    models = shop.loaded.settings.models
    with Served(plays) as server:
        embedder = Endpoint(base_url=server.url, model="toy")
        settings = replace(shop.loaded.settings, models=replace(models, embedder=embedder))
        yield Workshop(replace(shop.loaded, settings=settings), None, False, silent)


def test_what_a_stream_comes_to_is_a_version_and_the_same_one_again(shop: Workshop) -> None:
    begins = taught(shop, "planner").number
    canary = [Exercise(question=each.question) for each in tiny.exercises(4, seed=5)]
    first = run(shop, course(begins, canary=canary))
    version = first.version
    assert version is not None and (version.made_by, version.parent) == ("online", begins)
    assert version.metrics["updates"] == 3 and version.metrics["questions"] == 12
    assert "accuracy of 4 after 0 updates" in version.checks
    assert len(first.outcomes) == 12 and [one.update.version for one in first.learned] == [
        0,
        1,
        2,
        3,
    ]
    again = run(shop, course(begins, canary=canary))
    assert again == first
    assert shop.shelf("planner", "tiny").current() is None, "it is not in use by itself"


def test_a_version_says_what_came_of_its_questions_and_what_it_does_without(
    shop: Workshop, remembering: Workshop
) -> None:
    begins = taught(shop, "planner").number
    first = run(remembering, course(begins, memory=True))
    version = first.version
    assert version is not None
    kept = [one.success for one in first.outcomes if one.success is not None]
    assert kept and set(kept) <= set(version.workflows)
    with House(remembering.loaded) as house:
        there = house.store.all()
    assert set(version.workflows) == {workflow.id for workflow in there}
    assert version.absorbed and set(version.absorbed) <= set(kept)
    assert {workflow.absorbed for workflow in there} == {None}, "it is not in use yet"
    assert run(remembering, course(begins, memory=True)) == first


def test_what_a_version_does_without_is_not_asked_where_nobody_wants_to_know(
    shop: Workshop, remembering: Workshop
) -> None:
    begins = taught(shop, "planner").number
    told = run(remembering, course(begins, memory=True, limits=replace(LOOSE, absorb=0)))
    assert told.version is not None
    assert told.version.workflows and told.version.absorbed == ()


def test_weights_that_are_not_to_learn_stay(shop: Workshop) -> None:
    begins = taught(shop, "planner").number
    told = run(shop, course(begins, weights=False))
    assert told.version is None and told.learned == () and len(told.outcomes) == 12
    assert {one.version for one in told.outcomes} == {0}


def test_the_same_name_is_the_same_stream(shop: Workshop) -> None:
    begins = taught(shop, "planner").number
    run(shop, course(begins, questions=QUESTIONS[:4]))
    for other in ({"questions": QUESTIONS[:3]}, {"judging": "vote"}, {"limits": Limits()}):
        with pytest.raises(ConfigError, match="begun with other questions or settings"):
            run(shop, course(begins, **{"questions": QUESTIONS[:4], **other}))


def test_a_stream_is_learned_from_by_votes_too(shop: Workshop) -> None:
    begins = taught(shop, "planner").number
    wanted = course(begins, judging="vote")
    preset = replace(wanted.order.preset, supervision="judge")
    told = run(shop, Course(order=replace(wanted.order, preset=preset), questions=QUESTIONS,
                            judging="vote", limits=LOOSE, memory=False))  # fmt: skip
    assert told.version is not None
    assert any(one.judged is not None for one in told.outcomes)
    assert all(one.right is not None for one in told.outcomes)


def test_questions_without_answers_cannot_be_judged_by_them(shop: Workshop, tmp_path: Path) -> None:
    bare = [replace(question, answers=None) for question in QUESTIONS]
    with pytest.raises(ConfigError, match="12 questions have no right answer"):
        check(shop, course(0, questions=bare))
