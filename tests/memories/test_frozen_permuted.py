"""Memories that stand in for another one in a comparison."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.memories.making import a_workflow

from mia.errors import ConfigError, InputError
from mia.memories.frozen import Frozen
from mia.memories.permuted import Permuted, partners
from mia.testing.models import ToyMemory
from mia.types import Episode, Question, Recalled, Recollection

Films = Callable[..., Episode]


def recalled(*ids: str, task: str | None = None) -> Recollection:
    items = tuple(
        Recalled(workflow=a_workflow(id, task=task), score=1, similarity=1, value=1, frequency=1)
        for id in ids
    )
    return Recollection(successes=items, failures=items)


async def test_a_frozen_memory_recalls_and_keeps_nothing(film_episode: Films) -> None:
    inner = ToyMemory(recalled("w"))
    frozen = Frozen(inner)
    asked = film_episode().question
    assert await frozen.recall(asked) == recalled("w")
    assert (await frozen.remember(film_episode())).decision == "ignored"
    assert inner.questions == [asked] and inner.episodes == []


STREAM = [
    Question(text=f"Question {n} of family {family}?", id=f"{family}{n}", family=family)
    for family, size in (("a", 3), ("b", 3), ("c", 2))
    for n in range(size)
]


async def test_a_placebo_asks_for_another_family_the_same_each_time_and_remembers(
    film_episode: Films,
) -> None:
    inner = ToyMemory(recalled("w"))
    for question in STREAM:
        for _ in range(2):
            assert await Permuted(inner, STREAM, seed=3).recall(question) == recalled("w")
        first, second = inner.questions[-2:]
        assert first == second and first.family != question.family
    assert Counter(inner.questions) == Counter(dict.fromkeys(STREAM, 2))
    placebo = Permuted(inner, STREAM, seed=3)
    assert (await placebo.remember(film_episode())).decision == "stored"
    assert inner.episodes == [film_episode()]


async def test_a_placebo_shows_no_workflow_of_the_question_or_its_task() -> None:
    own = replace(STREAM[0], id="question of w", task="exercise")
    stream = [own, *STREAM[1:]]
    assert (await Permuted(ToyMemory(recalled("w")), stream, 0).recall(own)).empty
    exercise = ToyMemory(recalled("other", task="exercise"))
    assert (await Permuted(exercise, stream, 0).recall(own)).empty
    assert not (await Permuted(exercise, stream, 0).recall(STREAM[1])).empty


async def test_a_question_that_was_not_announced_is_an_error() -> None:
    with pytest.raises(InputError, match="'new'"):
        await Permuted(ToyMemory(), STREAM, 0).recall(Question(text="?", id="new"))


def test_other_seeds_deal_otherwise_and_the_order_of_the_questions_does_not_matter() -> None:
    deals = [partners(STREAM, seed) for seed in range(10)]
    assert any(deal != deals[0] for deal in deals)
    assert partners(STREAM[::-1], 0) == deals[0]


def test_a_family_of_more_than_half_cannot_be_dealt() -> None:
    big = [replace(question, family="a") for question in STREAM[:5]]
    with pytest.raises(ConfigError, match="5 of 8"):
        partners([*big, *STREAM[5:]], 0)
    with pytest.raises(ConfigError):
        partners(STREAM[:1], 0)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=6), st.integers(0, 3), st.integers(0, 99))
def test_every_question_is_dealt_once_and_to_another_family(
    sizes: list[int], loners: int, seed: int
) -> None:
    stream = [
        Question(text="?", id=f"{family} {n}", family=str(family))
        for family, size in enumerate(sizes)
        for n in range(size)
    ]
    stream += [Question(text="?", id=f"loner {n}") for n in range(loners)]
    largest = max(*sizes, 1)
    try:
        deal = partners(stream, seed)
    except ConfigError:
        assert 2 * largest > len(stream)
        return
    assert 2 * largest <= len(stream)
    assert sorted(q.id for q in deal.values()) == sorted(q.id for q in stream) == sorted(deal)
    for question in stream:
        partner = deal[question.id]
        assert partner.id != question.id
        assert question.family is None or partner.family != question.family
