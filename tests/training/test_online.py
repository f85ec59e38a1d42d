"""Learning while answering: in order, once, and on from where it was."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.training import tiny_world

from mia.captioners.none import Blind
from mia.errors import ConfigError
from mia.journal import Journal
from mia.judge import Judge
from mia.judges.exact_match import ExactMatch
from mia.memories.none import NoPlanMemory
from mia.memory import Memory
from mia.model import GREEDY, Message, Model, Reply, Sampling
from mia.router import PairRemembered
from mia.routers.by_likeness import ByLikeness
from mia.solve import Team
from mia.training import tiny
from mia.training.buffer import Buffer, Learned, Outcome
from mia.training.exercises import Exercise
from mia.training.guards import Limits
from mia.training.learner import Learner
from mia.training.lockstep import Lockstep
from mia.training.online import Online
from mia.training.rewards import (
    Parts,
    Reward,
    Rollout,
    planner_reward,
    unsupervised_planner_reward,
)
from mia.training.rollouts import Actor, Voice, group, sampled
from mia.training.voices import asked
from mia.training.voting import unjudged
from mia.types import (
    Episode,
    Noun,
    Plan,
    Question,
    Recollection,
    Remembered,
    Trajectory,
    Verdict,
    VerdictValue,
)

STREAM = [each.question for each in tiny.exercises(6)]
LOOSE = Limits(kl=100.0, entropy=0.0, length=100.0)
"""The tiny world learns in leaps."""
QUICK: dict[str, Any] = {"questions": 2, "attempts": 4, "epochs": 1.0}


class Notes(Memory):
    """Writes down what it was asked and told, and forgets it otherwise."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.kept: dict[str, Episode] = {}

    async def recall(self, question: Question) -> Recollection:
        self.events.append(f"recall {question.id}")
        return Recollection()

    async def remember(self, episode: Episode) -> Remembered:
        self.events.append(f"remember {episode.question.id} {episode.verdict.value.value}")
        self.kept[episode.id] = episode
        return Remembered(decision="stored", reason="it is new")


class Pairs(NoPlanMemory):
    """Counts the couples it is shown."""

    def __init__(self) -> None:
        self.couples: list[tuple[Episode, Episode]] = []

    async def remember_pair(
        self, question: Question, right: Episode, wrong: Episode
    ) -> PairRemembered:
        self.couples.append((right, wrong))
        return PairRemembered(decision="stored", reason="they differ")


class Desk:
    """What stays on the disk, and who works at it."""

    def __init__(self, folder: Path, base: Path, begins: Path | None) -> None:
        self.folder, self.base, self.begins = folder, base, begins
        self.memory, self.pairs = Notes(), Pairs()
        self.seen: list[Noun] = []

    async def learn(
        self, *, stop_at: int = 0, voice: Voice | None = None, limits: Limits = LOOSE,
        canary: Sequence[Exercise] = (), audit: Judge | None = None,
        reward: Reward = planner_reward, judge: Judge | None = None,
        vote: Reward | None = None, stream: Sequence[Question] = STREAM,
        gold: Mapping[str, Sequence[str]] | None = None, **changes: Any,
    ) -> Learner | None:  # fmt: skip
        """Everybody anew, as after a kill. With `stop_at`, somebody pulls the plug at that noun."""
        left = stop_at

        def watch(noun: Noun) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
            self.seen.append(noun)

        preset = tiny_world.preset(**{**QUICK, **changes})
        learner = None
        if voice is None:
            own = tiny_world.opened(self.base)
            learner = Learner(own, preset, self.begins)
            voice = sampled(Lockstep().policy(learner.draw), tiny_world.chat_of(own))
        world = tiny.cast("planner", tiny.ByRule)

        def cast(model: Model, exercise: Exercise) -> Team:
            team = world(model, exercise)
            return team if judge is None else dataclasses.replace(team, judge=judge)

        with (
            closing(Journal(self.folder / "journal.db")) as journal,
            closing(Buffer(self.folder / "buffer.db", repr(changes))) as buffer,
        ):
            online = Online(
                actor=Actor("planner", cast, voice, reward), captioner=Blind(),
                memory=self.memory, plan_memory=self.pairs, router=ByLikeness(),
                record=lambda run: journal.open_run(f"learn{run}", ""), preset=preset,
                buffer=buffer, learner=learner, checkpoint=self.folder / "checkpoint",
                limits=limits, canary=canary, audit=audit, vote=vote, gold=gold or {},
            )  # fmt: skip
            await online.learn(stream, watch)
        return learner

    def outcomes(self) -> list[Outcome]:
        return [noun for noun in self.seen if isinstance(noun, Outcome)]

    def updates(self) -> list[Learned]:
        return [noun for noun in self.seen if isinstance(noun, Learned)]


@pytest.fixture
def desk(tmp_path: Path, tiny_base: Path, speaking: Path) -> Desk:
    return Desk(tmp_path, tiny_base, speaking)


def weights(learner: Learner | None, folder: Path) -> bytes:
    assert learner is not None
    learner.write_adapter(folder)
    return (folder / "adapter_model.safetensors").read_bytes()


async def test_a_question_sees_what_those_before_it_left_and_nothing_else(desk: Desk) -> None:
    await desk.learn()
    recalls = [event for event in desk.memory.events if event.startswith("recall")]
    assert recalls == [f"recall {question.id}" for question in STREAM]
    told = [event.split()[1] for event in desk.memory.events]
    assert told == sorted(told, key=lambda id: int(id.split("-")[1])), "one after the other"
    assert [one.version for one in desk.outcomes()] == [0, 0, 1, 1, 2, 2]
    assert [one.update.version for one in desk.updates()] == [1, 2, 3]


async def test_what_is_kept_is_one_success_one_failure_and_their_contrast(desk: Desk) -> None:
    await desk.learn()
    for outcome in desk.outcomes():
        right, wrong = (
            [e for e in desk.memory.kept.values()
             if e.question.id == outcome.question and e.verdict.value.value == value]
            for value in ("correct", "incorrect")
        )  # fmt: skip
        both = bool(right and wrong)
        assert (
            len(right) <= 1
            and len(wrong) <= 1
            and len(outcome.kept) == len(right) + len(wrong) + both
        )
        assert outcome.selections.oracle is bool(right)
    assert desk.pairs.couples and all(
        right.verdict.value.value == "correct" and wrong.verdict.value.value == "incorrect"
        for right, wrong in desk.pairs.couples
    )


async def test_every_attempt_is_in_the_journal_and_the_answers_are_a_run_of_their_own(
    desk: Desk,
) -> None:
    await desk.learn()
    with closing(Journal(desk.folder / "journal.db")) as journal:
        answers = [entry.episode for entry in journal.entries("learn")]
        assert journal.count() == 4 * len(STREAM)
    assert [each.id for each in answers] == [one.episode for one in desk.outcomes()]


async def test_whoever_is_stopped_anywhere_comes_to_the_same(
    desk: Desk, tmp_path: Path, tiny_base: Path, speaking: Path
) -> None:
    whole = weights(await desk.learn(), tmp_path / "whole")
    rewards = [one.rewards for one in desk.outcomes()]
    for stop_at in range(1, 10):
        (tmp_path / f"{stop_at}").mkdir()
        torn = Desk(tmp_path / f"{stop_at}", tiny_base, speaking)
        with pytest.raises(KeyboardInterrupt):
            await torn.learn(stop_at=stop_at)
        assert weights(await torn.learn(), torn.folder / "a") == whole, stop_at
        with closing(Buffer(torn.folder / "buffer.db", "{}")) as buffer:
            assert [one.rewards for one in buffer.outcomes()] == rewards
            assert buffer.unsettled() == ()
        with closing(Journal(torn.folder / "journal.db")) as journal:
            assert journal.count() == 4 * len(STREAM)


async def test_a_run_that_is_over_does_nothing_more(desk: Desk, tmp_path: Path) -> None:
    first = weights(await desk.learn(), tmp_path / "a")
    desk.seen.clear()
    desk.memory.events.clear()
    assert weights(await desk.learn(), tmp_path / "b") == first
    assert desk.seen == [] and desk.memory.events == []


async def test_epochs_ask_again_and_what_is_left_at_the_end_is_learned_too(desk: Desk) -> None:
    await desk.learn(epochs=2.0, questions=5)
    assert [one.question for one in desk.outcomes()] == [question.id for question in STREAM] * 2
    assert [one.questions for one in desk.updates()] == [5, 5, 2]


async def test_without_weights_of_ours_memory_learns_all_the_same(desk: Desk) -> None:
    class Guesses(Model):
        """Plans for another letter each time."""

        def __init__(self) -> None:
            self.heat: set[float] = set()
            self._letters = itertools.cycle("abcd")

        async def reply(
            self, messages: Sequence[Message], *, sampling: Sampling = GREEDY, **_: object
        ) -> Reply:
            self.heat.add(sampling.temperature)
            return Reply(text=next(self._letters) if len(messages) == 1 else "no")

    model = Guesses()
    assert await desk.learn(voice=asked(model), temperature=0.9) is None
    assert model.heat == {0.9} and all(None not in one.rewards for one in desk.outcomes())
    assert desk.updates() == [] and len(desk.outcomes()) == len(STREAM)
    assert desk.memory.kept and desk.pairs.couples
    assert not (desk.folder / "checkpoint").exists()


async def test_another_stream_is_another_run(desk: Desk) -> None:
    await desk.learn()
    with pytest.raises(ConfigError, match="was begun with other questions or settings"):
        await desk.learn(questions=3)


async def test_what_was_right_is_told_for_every_rule(desk: Desk) -> None:
    await desk.learn()
    for one in desk.outcomes():
        assert (one.selections.router is True) <= (one.selections.oracle is True)
        assert len(one.rewards) == 4 and one.answered <= one.seconds


async def test_attempts_may_judge_each_other_and_right_answers_are_for_the_record_only(
    desk: Desk,
) -> None:
    bare = [replace(question, answers=None) for question in STREAM]
    gold = {question.id: question.answers or () for question in STREAM}
    await desk.learn(
        reward=unjudged, vote=unsupervised_planner_reward, stream=bare, gold=gold, attempts=6
    )
    for one in desk.outcomes():
        assert one.right is not None and one.right is one.selections.router
        assert (None in one.rewards) <= (one.rewards == (None,) * 6), "they agree, or do not"
    assert any(one.judged is not one.right for one in desk.outcomes()), "votes may be wrong"
    assert any(one.judged is True for one in desk.outcomes())
    verdicts = [each.verdict for each in desk.memory.kept.values()]
    assert verdicts and {verdict.judge for verdict in verdicts} == {"vote"}
    with closing(Journal(desk.folder / "journal.db")) as journal:
        told = [entry.episode.question for entry in journal.entries("learn")]
    assert told and all(question.answers is None for question in told)


CANARY = tiny.exercises(16, seed=9)


def went_wrong(rollout: Rollout) -> Parts | None:
    """Pays for what is wrong."""
    parts = planner_reward(rollout)
    return None if parts is None else Parts(total=1.0 - parts.total)


async def test_a_policy_that_comes_too_far_stops_learning_and_goes_on_answering(
    desk: Desk,
) -> None:
    await desk.learn(limits=Limits(kl=1e-9))
    (update,) = desk.updates()
    assert update.alarm is not None and update.alarm.guard == "kl" and update.drift > 1e-9
    assert len(desk.outcomes()) == len(STREAM) and desk.outcomes()[-1].version == 1
    desk.seen.clear()
    await desk.learn(limits=Limits(kl=1e-9))
    assert desk.seen == [], "whoever goes on finds it frozen"


async def test_a_policy_that_answers_fewer_canary_questions_goes_back(
    desk: Desk, tiny_base: Path, speaking: Path, tmp_path: Path
) -> None:
    stage = tiny_world.stage_of(tiny_base, tmp_path / "stage", begins=speaking)
    found = await group(stage.actor, CANARY, attempts=1, seed="s", temperature=0.0)
    knows = [
        exercise for exercise, (one,) in zip(CANARY, found, strict=True)
        if one.rollout.episode.verdict.value is VerdictValue.CORRECT
    ]  # fmt: skip
    limits = Limits(kl=1e30, entropy=0.0, length=1e9, canary_every=1, p=1.0)
    changes: dict[str, Any] = {
        "learning_rate": 1e-2, "warm_steps": 0, "kl_weight": 0.0, "epochs": 3.0
    }  # fmt: skip
    await desk.learn(limits=limits, canary=knows, reward=went_wrong, **changes)
    with closing(Buffer(desk.folder / "buffer.db", repr(changes))) as buffer:
        start, *looks = buffer.learned()
        lost = [look for look in looks if not look.good]
    assert start.update.version == 0 and start.good and all(start.canary)
    assert lost
    for look in lost:
        assert look.alarm is not None and look.alarm.action == "roll back"
        assert look.drift > 0.01 and not all(look.canary)
    assert all(all(look.canary) for look in looks if look.good)


async def test_at_the_end_the_canary_is_asked_and_the_last_good_policy_stays(
    desk: Desk, tiny_base: Path, speaking: Path, tmp_path: Path
) -> None:
    own = tiny_world.opened(tiny_base)
    begins = weights(Learner(own, tiny_world.preset(**QUICK), speaking), tmp_path / "begins")
    limits = replace(LOOSE, canary_every=100, canary_points=-1.0)
    ended = weights(await desk.learn(limits=limits, canary=CANARY[:2]), tmp_path / "end")
    *_, last = desk.updates()
    assert len(last.canary) == 2 and not last.good and last.alarm is None
    assert ended == begins, "nothing that came after the first look was found good"
    desk.seen.clear()
    assert weights(await desk.learn(limits=limits, canary=CANARY[:2]), tmp_path / "c") == begins
    assert desk.seen == []


async def test_an_audit_that_contradicts_the_judge_stops_learning(desk: Desk) -> None:
    class Contrary(ExactMatch):
        async def judge(self, question: Question, plan: Plan, trajectory: Trajectory) -> Verdict:
            verdict = await super().judge(question, plan, trajectory)
            right = verdict.value is VerdictValue.CORRECT
            return Verdict(
                value=VerdictValue.INCORRECT if right else VerdictValue.CORRECT, judge="contrary"
            )

    limits = Limits(kl=100.0, entropy=0.0, length=100.0, audit=1.0, audited=4)
    await desk.learn(limits=limits, audit=Contrary())
    *before, last = desk.updates()
    assert last.alarm is not None and last.alarm.guard == "audit"
    assert len(before) < 3 and not any(one.alarm for one in before)


async def test_verdicts_that_are_not_sure_teach_nothing(desk: Desk) -> None:
    await desk.learn(limits=Limits(margin=1.0, kl=100.0, entropy=0.0, length=100.0))
    sure = sum(one.update.samples for one in desk.updates())
    other = Desk(desk.folder / "other", desk.base, desk.begins)
    other.folder.mkdir()

    class Doubts(ExactMatch):
        async def judge(self, question: Question, plan: Plan, trajectory: Trajectory) -> Verdict:
            return replace(await super().judge(question, plan, trajectory), confidence=0.5)

    await other.learn(judge=Doubts())
    assert sure > 0 and sum(one.update.samples for one in other.updates()) == 0
