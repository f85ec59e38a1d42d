"""Calls become samples id by id: nothing is lost, doubled, mixed or made up."""

from __future__ import annotations

import itertools
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from mia.errors import InputError
from mia.training.samples import Call, Sample, read_samples, samples_of, write_samples

IDS = st.lists(st.integers(0, 2), max_size=4).map(tuple)
LOGPROBS = st.floats(-30, 0, exclude_max=True)


@st.composite
def runs_of_calls(draw: st.DrawFn) -> list[Call]:
    """Calls of which many continue the one before, and some nearly do."""
    calls: list[Call] = []
    for _ in range(draw(st.integers(0, 6))):
        before = (*calls[-1].prompt_ids, *calls[-1].response_ids) if calls else ()
        prompt = draw(st.sampled_from([before, before[:-1], before[1:], ()])) + draw(IDS)
        said = draw(IDS)
        logprobs = draw(st.lists(LOGPROBS, min_size=len(said), max_size=len(said)))
        version = draw(st.sampled_from([1, 1, 1, 2]))
        calls.append(
            Call(prompt_ids=prompt, response_ids=said, logprobs=tuple(logprobs), version=version)
        )
    return calls


def conversations(calls: list[Call]) -> list[list[Call]]:
    """The calls cut wherever one does not continue the one before; the silent ones left out."""
    cuts = [0]
    for number, (one, other) in enumerate(itertools.pairwise(calls), 1):
        whole = one.prompt_ids + one.response_ids
        if one.version != other.version or other.prompt_ids[: len(whole)] != whole:
            cuts.append(number)
    talks = [calls[a:b] for a, b in zip(cuts, [*cuts[1:], len(calls)], strict=True)]
    return [talk for talk in talks if any(call.response_ids for call in talk)]


def call(prompt: tuple[int, ...], said: tuple[int, ...], version: int = 1) -> Call:
    logprobs = tuple(-float(token) for token in said)
    return Call(prompt_ids=prompt, response_ids=said, logprobs=logprobs, version=version)


def samples_from(*calls: Call) -> tuple[Sample, ...]:
    return samples_of(calls, 0.5, "q", "e")


@given(runs_of_calls())
def test_every_sampled_token_is_in_one_sample_once_with_its_own_logprob_in_order(
    calls: list[Call],
) -> None:
    learned = [
        (token, logprob, sample.version)
        for sample in samples_from(*calls)
        for token, logprob, bit in zip(
            sample.response_ids, sample.logprobs, sample.mask, strict=True
        )
        if bit
    ]
    assert learned == [
        (token, logprob, one.version)
        for one in calls
        for token, logprob in zip(one.response_ids, one.logprobs, strict=True)
    ]


@given(runs_of_calls())
def test_a_sample_is_its_conversation_up_to_the_end_of_its_last_response(
    calls: list[Call],
) -> None:
    samples, talks = samples_from(*calls), conversations(calls)
    assert len(samples) == len(talks)
    for sample, talk in zip(samples, talks, strict=True):
        assert sample.prompt_ids == talk[0].prompt_ids
        last = talk[-1].prompt_ids + talk[-1].response_ids
        assert sample.prompt_ids + sample.response_ids == last


@given(runs_of_calls())
def test_what_others_wrote_is_masked_where_it_stands(calls: list[Call]) -> None:
    for sample, talk in zip(samples_from(*calls), conversations(calls), strict=True):
        whole = [0] * len(sample.prompt_ids) + list(sample.mask)
        for one in talk:
            begin = len(one.prompt_ids)
            for place in range(begin, begin + len(one.response_ids)):
                whole[place] -= 1
        assert not any(whole)


@given(runs_of_calls(), st.floats(allow_nan=False, allow_infinity=False), st.text(), st.text())
def test_samples_that_are_written_can_be_read_again(
    calls: list[Call], reward: float, group: str, episode: str
) -> None:
    samples = samples_of(calls, reward, group, episode)
    assert read_samples(write_samples(samples)) == samples


def test_a_conversation_and_a_drift_worked_by_hand() -> None:
    plan, reflection = call((1, 2), (3, 4)), call((1, 2, 3, 4, 9, 9), (5,))
    drifted = call((1, 2, 3, 4, 9, 9, 6, 9), (7,))  # 6 was never sampled: it stands for the 5
    assert samples_from(plan, reflection, drifted) == (
        Sample(
            prompt_ids=(1, 2),
            response_ids=(3, 4, 9, 9, 5),
            mask=(1, 1, 0, 0, 1),
            logprobs=(-3.0, -4.0, 0.0, 0.0, -5.0),
            reward=0.5,
            group="q",
            episode="e",
            version=1,
        ),
        Sample(
            prompt_ids=(1, 2, 3, 4, 9, 9, 6, 9),
            response_ids=(7,),
            mask=(1,),
            logprobs=(-7.0,),
            reward=0.5,
            group="q",
            episode="e",
            version=1,
        ),
    )


def test_a_policy_that_is_renewed_in_mid_conversation_begins_another_sample() -> None:
    first, second = samples_from(call((1,), (2,)), call((1, 2, 3), (4,), version=2))
    assert (first.version, first.response_ids) == (1, (2,))
    assert (second.version, second.prompt_ids, second.response_ids) == (2, (1, 2, 3), (4,))


def test_a_conversation_in_which_the_policy_said_nothing_gives_no_sample() -> None:
    assert samples_from(call((1,), ()), call((1, 5), ())) == ()
    assert samples_from() == ()


GOOD = Sample(prompt_ids=(1,), response_ids=(2, 3), mask=(1, 0), logprobs=(-0.5, 0.0), reward=1.0,
              group="q", episode="e", version=1)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"mask": (1,)}, "mask has 1"),
        ({"logprobs": (-0.5, 0.0, 0.0)}, "logprobs has 3"),
        ({"mask": (1, 2)}, "0 and 1"),
        ({"logprobs": (-0.5, -0.5)}, "did not sample"),
        ({"logprobs": (float("nan"), 0.0)}, "finite"),
        ({"reward": float("inf")}, "finite"),
    ],
)
def test_columns_that_do_not_match_are_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        replace(GOOD, **change)


@pytest.mark.parametrize("logprobs", [(), (-1.0, -1.0), (float("-inf"),)])
def test_a_call_has_one_finite_logprob_for_each_token(logprobs: tuple[float, ...]) -> None:
    with pytest.raises(ValueError):
        Call(prompt_ids=(1,), response_ids=(2,), logprobs=logprobs, version=1)


@pytest.mark.parametrize(
    "line", [b'{"prompt_ids": [1', b"[]", b'{"prompt_ids": ["a"]}',
             write_samples([GOOD]).replace(b'"mask":[1,0]', b'"mask":[1]')]
)  # fmt: skip
def test_a_line_that_is_no_sample_is_named(line: bytes) -> None:
    with pytest.raises(InputError, match="line 2 is no sample"):
        read_samples(write_samples([GOOD]) + line)


def test_nothing_of_the_core_loads_torch_before_a_loss_is_computed() -> None:
    modules = "mia.training.samples, mia.training.rewards, mia.training.grpo, mia.training.loss"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
