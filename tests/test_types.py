"""The nouns: what is written can be read again, and costs add up."""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mia.types import (
    Episode,
    Noun,
    Plan,
    Question,
    Reflection,
    Remembered,
    Trajectory,
    Turn,
    Usage,
    Verdict,
    VerdictValue,
    Workflow,
    decode,
    encode,
)

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
JSON = st.recursive(
    st.none() | st.booleans() | INTEGERS | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
PLAIN: Mapping[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=20),
    int: INTEGERS,
    float: NUMBERS,
    bool: st.booleans(),
    NoneType: st.none(),
    dict: st.dictionaries(st.text(), JSON, max_size=3),
    VerdictValue: st.sampled_from(VerdictValue),
}


def some(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a type that a noun may hold, nouns too."""
    origin, inside = get_origin(kind), get_args(kind)
    if origin is Literal:
        return st.sampled_from(inside)
    if origin in (Union, UnionType):
        return st.one_of(*map(some, inside))
    if origin is tuple:
        return st.lists(st.deferred(lambda: some(inside[0])), max_size=2).map(tuple)
    if isinstance(kind, type) and issubclass(kind, Noun):
        fields = get_type_hints(kind)
        return st.builds(kind, **{name: some(given) for name, given in fields.items()})
    return PLAIN[origin or kind]


@given(some(Episode))
@settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
def test_an_episode_that_is_written_can_be_read_again(episode: Episode) -> None:
    assert decode(encode(episode), Episode) == episode


@pytest.mark.parametrize("kind", [Workflow, Remembered, Question, Plan])
@given(data=st.data())
@settings(max_examples=30, suppress_health_check=list(HealthCheck), deadline=None)
def test_every_noun_that_is_stored_can_be_read_again(kind: type[Noun], data: st.DataObject) -> None:
    noun = data.draw(some(kind))
    assert decode(encode(noun), kind) == noun


@given(st.lists(st.builds(Usage, calls=st.integers(0, 9), prompt_tokens=st.integers(0, 99),
                          completion_tokens=st.integers(0, 99))))  # fmt: skip
def test_usage_adds_up(parts: list[Usage]) -> None:
    whole = sum(parts, Usage())
    assert whole.calls == sum(part.calls for part in parts)
    assert whole.tokens == sum(part.tokens for part in parts)
    assert sum(reversed(parts), Usage()) == whole


def test_an_episode_counts_every_part_once() -> None:
    def cost(tokens: int) -> Usage:
        return Usage(calls=1, prompt_tokens=tokens)

    first = (Turn(usage=cost(10)), Turn(usage=cost(100)))
    episode = Episode(
        id="e",
        question=Question(text="?", id="q"),
        plan=Plan(text="", usage=cost(1000)),
        trajectory=Trajectory(turns=first),
        reflection=Reflection(goal_met=False, usage=cost(10**4)),
        replan=Plan(text="", usage=cost(10**5)),
        retrajectory=Trajectory(turns=(*first, Turn(usage=cost(10**6)))),
        verdict=Verdict(value=VerdictValue.UNKNOWN, judge="", usage=cost(10**7)),
    )
    assert (episode.usage.calls, episode.usage.tokens) == (7, 11_111_110)


def run(outcome: str, answer: str | None = None) -> Trajectory:
    return Trajectory(turns=(Turn(answer=answer),), outcome=outcome)


@pytest.mark.parametrize(
    ("first", "second", "answer"),
    [
        (run("answered", "a"), None, "a"),
        (run("answered", "a"), run("answered", "b"), "b"),
        (run("answered", "a"), run("abstained"), "a"),
        (run("answered", "a"), run("failed:model"), "a"),
        (run("abstained"), run("answered", "b"), "b"),
        (run("abstained"), run("abstained"), None),
        (run("failed:model", "half"), None, None),
    ],
)
def test_the_second_run_counts_unless_only_the_first_has_an_answer(
    first: Trajectory, second: Trajectory | None, answer: str | None
) -> None:
    question = Question(text="?", id="q")
    episode = Episode(id="e", question=question, trajectory=first, retrajectory=second)
    assert episode.answer == answer


def test_what_does_not_fit_a_noun_is_refused_by_name() -> None:
    with pytest.raises(msgspec.ValidationError, match=r"\$\.question\.id"):
        decode('{"id": "e", "question": {"text": "?", "id": 7}}', Episode)


def test_a_noun_does_not_change() -> None:
    with pytest.raises(AttributeError):
        Question(text="?", id="q").text = "!"  # type: ignore[misc]
