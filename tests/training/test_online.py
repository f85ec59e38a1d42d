"""Learning while answering: in order, once, and on from where it was."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.training import tiny_world

from mia.captioners.none import Blind
from mia.errors import ConfigError
from mia.journal import Journal
from mia.memories.none import NoPlanMemory
from mia.memory import Memory
from mia.model import Message, Model, Reply
from mia.router import PairRemembered
from mia.routers.by_likeness import ByLikeness
from mia.training import tiny
from mia.training.buffer import Buffer, Outcome
from mia.training.learner import Learner
from mia.training.lockstep import Lockstep
from mia.training.online import Learned, Online
from mia.training.policy_model import Transcript
from mia.training.rewards import Said, planner_reward
from mia.training.rollouts import Actor, Voice, sampled
from mia.types import Episode, Noun, Question, Recollection, Remembered

STREAM = [each.question for each in tiny.exercises(6)]
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
        self.folder, self._base, self._begins = folder, base, begins
        self.memory, self.pairs = Notes(), Pairs()
        self.seen: list[Noun] = []

    async def learn(
        self, *, stop_at: int = 0, voice: Voice | None = None, stream: Sequence[Question] = STREAM,
        **changes: Any,
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
            own = tiny_world.opened(self._base)
            learner = Learner(own, preset, self._begins)
            voice = sampled(Lockstep().policy(learner.draw), tiny_world.chat_of(own))
        cast = tiny.cast("planner", tiny.ByRule)
        with (
            closing(Journal(self.folder / "journal.db")) as journal,
            closing(Buffer(self.folder / "buffer.db", repr(changes))) as buffer,
        ):
            online = Online(
                actor=Actor("planner", cast, voice, planner_reward), captioner=Blind(),
                memory=self.memory, plan_memory=self.pairs, router=ByLikeness(),
                record=lambda run: journal.open_run(f"learn{run}", ""), preset=preset,
                buffer=buffer, learner=learner, checkpoint=self.folder / "checkpoint",
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
        """Plans for a letter that depends on the attempt."""

        def __init__(self, transcript: Transcript, seed: int) -> None:
            self._transcript, self._letter = transcript, "abcd"[(seed >> 6) % 4]

        async def reply(self, messages: Sequence[Message], **_: object) -> Reply:
            text = self._letter if len(messages) == 1 else "no"
            self._transcript.replies.append(Said(stage=self._transcript.stage, text=text))
            return Reply(text=text)

    assert await desk.learn(voice=lambda transcript, _, seed: Guesses(transcript, seed)) is None
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
