"""Episodes of training: what was sampled is what is learned from, and what it was worth."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.training.talking import END, LetterChat, Says
from tests.training.tiny_world import EXERCISES, stage_of

from mia.errors import ConfigError, JudgeError
from mia.executor import Executor, Watch, unwatched
from mia.judge import Judge, unknown
from mia.judges.exact_match import ExactMatch
from mia.model import Model
from mia.solve import Team
from mia.testing import ScriptedModel
from mia.training import tiny
from mia.training.exercises import Exercise
from mia.training.rewards import Parts, executor_reward, named_reward, planner_reward
from mia.training.rollouts import Actor, Attempt, attempt, group, sampled
from mia.training.samples import Sample
from mia.training.versions import Role
from mia.types import Plan, Question, Trajectory, Turn, Verdict, VerdictValue

FIND_A = EXERCISES[0]
letters = st.sampled_from("abcd")


class TwoSpellings(LetterChat):
    """Every letter is two tokens' text, so that text alone does not tell what was sampled."""

    def text(self, ids: Sequence[int]) -> str:
        return super().text([id % 1000 for id in ids])


def odd(text: str) -> str:
    """What a policy is told to say to spell a text the other way."""
    return "".join(chr(1000 + ord(letter)) for letter in text)


def actor_of(
    *said: str, role: Role = "planner", partner: Model | None = None, judge: Judge | None = None
) -> Actor:
    """A policy that says these, one after the other."""
    beside: Model = tiny.ByRule() if partner is None else partner
    world = tiny.cast(role, lambda: beside)

    def cast(model: Model, exercise: Exercise) -> Team:
        team = world(model, exercise)
        return team if judge is None else dataclasses.replace(team, judge=judge)

    reward = planner_reward if role == "planner" else executor_reward
    return Actor(role, cast, sampled(Says(*said), TwoSpellings()), reward)


async def made(actor: Actor, exercise: Exercise = FIND_A) -> Attempt:
    return await attempt(actor, exercise, group="g", seed=64, temperature=1.0)


def trained(samples: Sequence[Sample]) -> str:
    """What is learned to be said; a turn ends with a dot."""
    bits = [pair for s in samples for pair in zip(s.response_ids, s.mask, strict=True)]
    return "".join("." if id == END else chr(id) for id, bit in bits if bit)


def whole(sample: Sample) -> str:
    return TwoSpellings().text(sample.prompt_ids + sample.response_ids)


@given(letters.filter(lambda letter: letter != "a"), letters, st.sampled_from(["yes", "no"]))
async def test_what_is_trained_is_what_was_sampled(first: str, second: str, wants: str) -> None:
    said = [first, wants, second] if wants == "yes" else [first, wants]
    done = await made(actor_of(*map(odd, said)))
    (sample,) = done.samples
    assert trained(done.samples) == "".join(f"{odd(text)}." for text in said)
    assert whole(sample) == ("find a" + first + "-" + wants + ("?" + second) * (wants == "yes"))
    assert done.sampled == sum(len(text) + 1 for text in said) and not done.truncated
    learned = [p for p, bit in zip(sample.logprobs, sample.mask, strict=True) if bit]
    assert learned == [-0.25 * (place + 1) for text in said for place in range(len(text) + 1)]
    assert (sample.group, sample.version) == ("g", 7)
    assert sample.episode == done.rollout.episode.id
    right = float(wants == "yes" and second == "a")
    decided = float(wants == "yes")  # the first search found nothing, so no is wrong
    assert sample.reward == pytest.approx(0.7 * right + 0.05 + 0.05 * decided)


async def test_replies_are_noted_under_what_they_were_for() -> None:
    done = await made(actor_of("b", "yes", "nothing", "a"))
    assert [(said.stage, said.text) for said in done.rollout.replies] == [
        ("plan", "b"), ("reflection", "yes"), ("replan", "nothing"), ("replan", "a")
    ]  # fmt: skip
    acted = await made(actor_of("a", "A", role="executor"))
    assert [(said.stage, said.text) for said in acted.rollout.replies] == [
        ("act", "a"), ("act", "A")
    ]  # fmt: skip
    assert trained(acted.samples) == "a.A." and acted.rollout.episode.answer == "A"


async def test_the_first_answer_is_judged_as_well_where_another_counts() -> None:
    wrong_first = ScriptedModel(["a", "X", "a", "A"])
    done = await made(actor_of("a", "yes", "a", partner=wrong_first))
    assert done.rollout.first_verdict is not None and done.parts is not None
    assert done.rollout.first_verdict.value is VerdictValue.INCORRECT
    assert done.rollout.episode.verdict.value is VerdictValue.CORRECT
    assert (done.parts.named["acc1"], done.parts.named["acc2"]) == (0, 1)
    once = await made(actor_of("a", "no"))
    assert once.rollout.first_verdict is None, "it is the episode's own"
    assert once.parts == Parts(
        total=1.0, named={"acc2": 1.0, "acc1": 1.0, "format": 1.0, "decision": 1.0}
    )


async def test_a_planner_that_rambles_to_the_end_of_its_context_learns_that_it_should_not() -> None:
    room = 40
    policy = Says("x" * (room - len("find a") - 3), ends=False)
    actor = actor_of()._replace(voice=sampled(policy, LetterChat(room)))
    done = await made(actor)
    assert [said.stage for said in done.rollout.replies] == ["plan"], "there is no second try"
    assert done.parts == Parts(total=0.0) and done.truncated
    assert [sample.reward for sample in done.samples] == [0.0]


class Judges:
    """Says what it is told to, one verdict a call; None for one that cannot be read."""

    def __init__(self, *values: VerdictValue | None) -> None:
        self._values = list(values)

    async def judge(self, question: Question, plan: Plan, trajectory: Trajectory) -> Verdict:
        value = self._values.pop(0)
        if value is None:
            raise JudgeError("no verdict")
        if value is VerdictValue.UNKNOWN:
            return unknown("judges", "who can say")
        return await ExactMatch().judge(question, plan, trajectory)


async def test_where_nobody_can_tell_there_is_nothing_to_learn_from() -> None:
    final = await made(actor_of("a", "no", judge=Judges(VerdictValue.UNKNOWN)))
    assert (final.parts, final.samples) == (None, ()) and final.sampled == 5
    wrong_first = ScriptedModel(["a", "X", "a", "A"])
    judges = Judges(VerdictValue.CORRECT, None)
    first = await made(actor_of("a", "yes", "a", partner=wrong_first, judge=judges))
    assert first.rollout.episode.verdict.value is VerdictValue.CORRECT
    assert (first.rollout.first_verdict, first.parts, first.samples) == (None, None, ())


async def test_a_plan_that_could_not_be_read_twice_is_worth_nothing_and_learned_from() -> None:
    done = await made(actor_of("find it", "please"))
    assert done.parts == Parts(total=0.0)
    assert trained(done.samples) == "find it.please." and done.samples[0].reward == 0.0
    assert done.rollout.episode.plan is None


async def test_a_reply_that_was_cut_off_is_told_of() -> None:
    actor = actor_of()._replace(voice=sampled(Says("abc", "abc", ends=False), TwoSpellings()))
    done = await made(actor)
    assert done.truncated and done.sampled == 6


async def test_a_reward_that_is_none_stops_the_group_with_its_own_error() -> None:
    actor = actor_of("a", "a", "no", "no")._replace(reward=named_reward("builtins:repr"))
    with pytest.raises(ConfigError, match="should return Parts or None"):
        await group(actor, [FIND_A], attempts=2, seed="s", temperature=1.0)


class Slow(Executor):
    """Takes as long as chance will have it."""

    def __init__(self, executor: Executor, luck: random.Random) -> None:
        self._executor = executor
        self._luck = luck

    async def run(
        self, question: Question, plan: Plan, so_far: tuple[Turn, ...] = (),
        watch: Watch = unwatched,
    ) -> Trajectory:  # fmt: skip
        await asyncio.sleep(self._luck.random() / 100)
        return await self._executor.run(question, plan, so_far, watch)


def told(groups: list[list[Attempt]]) -> list[tuple[object, ...]]:
    return [
        (s.group, s.prompt_ids, s.response_ids, s.logprobs, s.reward)
        for of_one in groups
        for each in of_one
        for s in each.samples
    ]


async def test_what_chance_decides_depends_on_the_seed_and_not_on_how_fast_tools_are(
    tiny_base: Path, speaking: Path, tmp_path: Path
) -> None:
    actor = stage_of(tiny_base, tmp_path, begins=speaking).actor

    async def episodes(seed: str, luck: int) -> list[list[Attempt]]:
        lot = random.Random(luck)

        def cast(model: Model, exercise: Exercise) -> Team:
            team = actor.cast(model, exercise)
            return dataclasses.replace(team, executor=Slow(team.executor, lot))

        asked = (*EXERCISES[:3], EXERCISES[0])
        slow = actor._replace(cast=cast)
        return await group(slow, asked, attempts=5, seed=seed, temperature=1.0)

    first = await episodes("s", 1)
    assert told(first) == told(await episodes("s", 2)) == told(await episodes("s", 3))
    assert told(first) != told(await episodes("t", 1))
    assert any(one.rollout.episode.replan for of_one in first for one in of_one)
    groups = [{s.group for one in of_one for s in one.samples} for of_one in first]
    assert [len(names) for names in groups] == [1] * 4 and len(set().union(*groups)) == 4
    drawn = [tuple(said.text for said in one.rollout.replies) for of in first for one in of]
    assert all(len(set(drawn[at : at + 5])) > 1 for at in range(0, 20, 5)), "attempts differ"
    assert drawn[:5] != drawn[15:], "as do those at an exercise that is asked twice"


async def test_the_ids_of_a_real_policy_are_learned_as_they_were_drawn(
    tiny_base: Path, speaking: Path, tmp_path: Path
) -> None:
    stage = stage_of(tiny_base, tmp_path, begins=speaking)
    (attempts,) = await group(stage.actor, [FIND_A], attempts=24, seed="s", temperature=1.3)
    assert any(len(one.rollout.replies) > 2 for one in attempts)
    chat = stage.chat
    for one in attempts:
        ids = [i for s in one.samples for i, bit in zip(s.response_ids, s.mask, strict=True) if bit]
        assert len(ids) == one.sampled
        assert chat.text(ids) == "".join(said.text for said in one.rollout.replies)
