"""A stage of training: a policy attempts exercises, is compared with itself, and learns.

A run has a folder: `run.json` says what it is, `steps.jsonl` and `checks.jsonl` how it goes,
`attempts.jsonl` what was said and what it was worth, `checkpoint/` where to go on. What a step
takes and what chance decides in it depend on the run's seed and the step's number only, so a run
that was killed goes on to the same numbers.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec

from mia.errors import InputError, StoreError, TrainingError
from mia.training import run_files
from mia.training.exercises import Exchange, Exercise, chosen
from mia.training.grpo import Groups, advantages
from mia.training.learner import Learner, Update
from mia.training.policy_model import Chat
from mia.training.presets import Preset
from mia.training.rollouts import Actor, Attempt, group
from mia.training.samples import Sample
from mia.training.versions import Role
from mia.types import Noun, VerdictValue, decode

Watch = Callable[[Noun], None]

_FAULTS = 3
"""That are told where a step has nothing to learn from, the commonest."""


class Spec(Noun, frozen=True, omit_defaults=False):
    """What a run is, and must still be when it goes on."""

    role: Role
    preset: Preset
    reward: str
    """Its name; `supervised` for a warm-up."""
    exercises: str
    """SHA-256 of what is learned from."""
    held_out: str
    """SHA-256 of what progress is measured on."""
    base: str
    """SHA-256 of the base."""
    begins: str
    """What the policy began as: a version, or a file."""
    settings: str
    """Whatever else decides an episode: the partner, search, budgets, the judge."""


class Step(Noun, frozen=True, omit_defaults=False):
    """How one step went. Means are over its episodes."""

    step: int
    """Counted from 1."""
    steps: int
    episodes: int
    unrewarded: int
    """Episodes that nobody could judge; nothing is learned from them."""
    groups: int
    dropped: int
    """Groups that teach nothing: all their episodes fared alike."""
    reward: float | None
    parts: dict[str, float]
    """The reward's parts."""
    response_tokens: float
    """Sampled tokens of an episode."""
    truncated: float
    """The share of episodes in which some reply ran into its limit."""
    attempting: float
    """Seconds."""
    learning: float
    """Seconds."""
    update: Update


class Check(Noun, frozen=True, omit_defaults=False):
    """How the policy, always taking the likeliest token, does on what it never learns from."""

    step: int
    """After so many steps."""
    n: int
    correct: int
    unknown: int
    """Verdicts that nobody could give."""
    answered: int
    reward: float | None
    response_tokens: float
    seconds: float

    @property
    def accuracy(self) -> float:
        """Of those that were judged."""
        return self.correct / max(1, self.n - self.unknown)


class Said(Noun, frozen=True):
    """One episode of a run, for whoever wants to read what a policy learns."""

    step: int
    question: str
    """Its id."""
    replies: tuple[str, ...]
    answer: str | None
    reward: float | None
    parts: dict[str, float]
    outcome: str = ""
    """Of the run that counts: `answered`, `abstained`, or `failed:<code>`."""
    faults: tuple[str, ...] = ()
    """What went wrong, and why nobody could judge, in one line each."""


_LINES: Mapping[str, type[Noun]] = {"steps": Step, "checks": Check, "attempts": Said}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Everything that a run of training needs."""

    spec: Spec
    actor: Actor
    chat: Chat
    learner: Learner
    exercises: Sequence[Exercise]
    held_out: Sequence[Exercise]
    folder: Path

    @property
    def steps(self) -> int:
        """How many there are in all."""
        return steps_of(self.spec.preset, len(self.exercises))


def steps_of(preset: Preset, exercises: int) -> int:
    """Steps of a run over so many exercises. Raises InputError when there is none."""
    if not exercises:
        raise InputError("there is nothing to learn from")
    every = math.ceil(preset.epochs * exercises / preset.questions)
    return every if preset.steps is None else min(preset.steps, every)


async def train(stage: Stage, watch: Watch) -> None:
    """Runs a stage to its end, from its last checkpoint where there is one. `watch` is shown every
    Step and Check. Raises TrainingError, also for a step in which no episode has a reward: what is
    down would go on to cost every step; StoreError; and ConfigError for a folder of another run."""
    log = _Log(stage, watch)
    preset, learner = stage.spec.preset, stage.learner
    if learner.version == 0:
        await _check(stage, log)
    while learner.version < stage.steps:
        step = learner.version + 1
        taken = chosen(stage.exercises, preset.seed, step - 1, preset.questions)
        began = time.monotonic()
        groups = await group(
            stage.actor, taken, attempts=preset.attempts, seed=f"{preset.seed} {step}",
            temperature=preset.temperature,
        )  # fmt: skip
        attempting = time.monotonic() - began
        attempts = [attempt for of_one in groups for attempt in of_one]
        log.said(step, attempts)
        samples = [sample for attempt in attempts for sample in attempt.samples]
        known, began = advantages(samples), time.monotonic()
        update = _learned(learner, samples, known, [each.question.id for each in taken])
        learning = time.monotonic() - began
        log.step(_step(stage, step, attempts, known, update, attempting, learning))
        _check_rewarded(step, attempts)
        await _afterwards(stage, log)


async def supervise(stage: Stage, watch: Watch) -> None:
    """A supervised warm-up: learns what was said in the runs that were right, as the exercises have
    it (`Exercise.exchanges`). Exercises without any take no part. Raises InputError when there are
    no others."""
    taught = [each for each in stage.exercises if _shown(each, stage.spec.role)]
    if not taught:
        raise InputError(
            f"no run shows what a right {stage.spec.role} says; collect with: mia train collect"
            " --runs"
        )
    stage = dataclasses.replace(stage, exercises=taught)
    log = _Log(stage, watch)
    preset, learner = stage.spec.preset, stage.learner
    if learner.version == 0:
        await _check(stage, log)
    while learner.version < stage.steps:
        step, began = learner.version + 1, time.monotonic()
        taken = chosen(stage.exercises, preset.seed, step - 1, preset.questions)
        samples = [s for each in taken for s in said_well(each, stage.spec.role, stage.chat)]
        update = learner.warm_up(samples)
        log.step(
            Step(
                step=step, steps=stage.steps, episodes=len(taken), unrewarded=0, groups=0,
                dropped=0, reward=None, parts={}, truncated=0.0, attempting=0.0,
                response_tokens=sum(sum(s.mask) for s in samples) / len(taken),
                learning=time.monotonic() - began, update=update,
            )
        )  # fmt: skip
        await _afterwards(stage, log)


def said_well(exercise: Exercise, role: Role, chat: Chat) -> Iterator[Sample]:
    """What a role said in a run that was right, as samples. Nobody sampled them, so their logprobs
    are 0.0 throughout."""
    for number, exchange in enumerate(_shown(exercise, role)):
        said = (*chat.ids(exchange.reply), chat.end)
        yield Sample(
            prompt_ids=tuple(chat.opening(exchange.messages)),
            response_ids=said,
            mask=(1,) * len(said),
            logprobs=(0.0,) * len(said),
            reward=1.0,
            group=exercise.question.id,
            episode=f"{exercise.question.id} {number}",
            version=0,
        )


def _shown(exercise: Exercise, role: Role) -> list[Exchange]:
    right = exercise.exchanges if exercise.correct else ()
    return [exchange for exchange in right if exchange.role == role]


def _check_rewarded(step: int, attempts: Sequence[Attempt]) -> None:
    if any(attempt.parts is not None for attempt in attempts):
        return
    unsaid = ("the reward gave none",)
    faults = Counter(fault for attempt in attempts for fault in _faults(attempt) or unsaid)
    told = [f"{fault} ({count} times)" for fault, count in faults.most_common(_FAULTS)]
    raise TrainingError(
        f"no episode of step {step} has a reward, so there is nothing to learn from:"
        f" {'; '.join(told)}"
    )


def _faults(attempt: Attempt) -> tuple[str, ...]:
    """What went wrong in an episode, and, where nothing did, why its answer was not judged."""
    episode = attempt.rollout.episode
    unknown = episode.verdict.value is VerdictValue.UNKNOWN and episode.verdict.reason
    return episode.faults or ((unknown,) if unknown else ())


def _learned(
    learner: Learner, samples: Sequence[Sample], known: Groups, questions: Sequence[str]
) -> Update:
    try:
        return learner.update(samples, known)
    except TrainingError as error:
        raise TrainingError(f"{error}. Its questions: {', '.join(questions)}") from error


async def _afterwards(stage: Stage, log: _Log) -> None:
    """Measures and saves where it is time to."""
    preset, done = stage.spec.preset, stage.learner.version
    at_end = done >= stage.steps
    if preset.check_every and (done % preset.check_every == 0 or at_end):
        await _check(stage, log)
    if done % preset.save_every == 0 or at_end:
        stage.learner.save(stage.folder / "checkpoint")


async def _check(stage: Stage, log: _Log) -> None:
    if not stage.held_out or not stage.spec.preset.check_every:
        return
    began, done = time.monotonic(), stage.learner.version
    groups = await group(stage.actor, stage.held_out, attempts=1, seed="check", temperature=0.0)
    attempts = [attempt for (attempt,) in groups]
    episodes = [attempt.rollout.episode for attempt in attempts]
    verdicts = [episode.verdict.value for episode in episodes]
    log.check(
        Check(
            step=done, n=len(attempts), correct=verdicts.count(VerdictValue.CORRECT),
            unknown=verdicts.count(VerdictValue.UNKNOWN),
            answered=sum(episode.answer is not None for episode in episodes),
            reward=_mean([each.parts.total for each in attempts if each.parts]),
            response_tokens=_mean([_tokens(each) for each in attempts]) or 0.0,
            seconds=time.monotonic() - began,
        )
    )  # fmt: skip


def _step(
    stage: Stage,
    step: int,
    attempts: Sequence[Attempt],
    known: Groups,
    update: Update,
    attempting: float,
    learning: float,
) -> Step:
    rewarded = [attempt.parts for attempt in attempts if attempt.parts is not None]
    names = sorted({name for parts in rewarded for name in parts.named})
    return Step(
        step=step, steps=stage.steps, episodes=len(attempts),
        unrewarded=len(attempts) - len(rewarded), groups=known.groups, dropped=known.dropped,
        reward=_mean([parts.total for parts in rewarded]),
        parts={name: _mean([p.named.get(name, 0.0) for p in rewarded]) or 0.0 for name in names},
        response_tokens=_mean([_tokens(attempt) for attempt in attempts]) or 0.0,
        truncated=_mean([float(attempt.truncated) for attempt in attempts]) or 0.0,
        attempting=attempting, learning=learning, update=update,
    )  # fmt: skip


def _tokens(attempt: Attempt) -> float:
    return float(attempt.sampled)


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


class Progress(NamedTuple):
    """What a run's folder tells of it."""

    spec: Spec
    steps: tuple[Step, ...]
    checks: tuple[Check, ...]


def progress_of(folder: Path) -> Progress:
    """What is written of a run. Raises InputError when there is none, or one that was not made
    here."""
    head = folder / run_files.HEAD
    if not head.is_file():
        raise InputError(f"there is no run of training at {folder}")
    try:
        return Progress(
            decode(head.read_bytes(), Spec),
            run_files.lines(folder, "steps", Step),
            run_files.lines(folder, "checks", Check),
        )
    except msgspec.DecodeError as error:
        raise InputError(f"{folder} is no run of this MIA's own engine: {error}") from error


class _Log:
    """The folder of a run: begun, or gone on with at the last checkpoint."""

    def __init__(self, stage: Stage, watch: Watch) -> None:
        self._folder = stage.folder
        self._watch = watch
        try:
            run_files.begin(stage.folder, stage.spec)
            stage.learner.restore(stage.folder / "checkpoint")
            run_files.forget(stage.folder, stage.learner.version, _LINES)
        except OSError as error:
            raise StoreError(f"{stage.folder}: {error}") from error

    def step(self, step: Step) -> None:
        """Notes a step."""
        run_files.add(self._folder, "steps", [step])
        self._watch(step)

    def check(self, check: Check) -> None:
        """Notes a check."""
        run_files.add(self._folder, "checks", [check])
        self._watch(check)

    def said(self, step: int, attempts: Sequence[Attempt]) -> None:
        """Notes what was said."""
        run_files.add(self._folder, "attempts", [_said(step, each) for each in attempts])


def _said(step: int, attempt: Attempt) -> Said:
    rollout, parts = attempt.rollout, attempt.parts
    return Said(
        step=step,
        question=rollout.episode.question.id,
        replies=tuple(reply.text for reply in rollout.replies),
        answer=rollout.episode.answer,
        reward=None if parts is None else parts.total,
        parts={} if parts is None else parts.named,
        outcome=rollout.episode.final.outcome,
        faults=_faults(attempt),
    )
