"""One question, end to end: look, recall, plan, act, reflect, perhaps replan and act on, judge,
write down, remember. Everything else in MIA calls this or reads the Episode that it returns."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from msgspec.structs import replace
from ulid import ULID

from mia.captioner import Captioner, captioned
from mia.errors import JudgeError, ModelError
from mia.executor import Executor, Watch, unwatched
from mia.judge import Judge, unknown
from mia.memory import Memory
from mia.planner import Planner
from mia.types import Episode, Question, Remembered, Trajectory, Verdict


class Record(Protocol):
    """Where episodes are written down before their answers are shown."""

    async def append(self, episode: Episode) -> None:
        """Durable when it returns. Raises StoreError."""
        ...

    async def settle(self, episode_id: str, remembered: Remembered) -> None:
        """Notes what memory did with an episode."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """The parts that solve a question."""

    captioner: Captioner
    memory: Memory
    planner: Planner
    executor: Executor
    judge: Judge
    record: Record
    version: int | None = None
    """Of the planner's weights, where they are ours."""


async def solve(question: Question, team: Team, watch: Watch = unwatched) -> Episode:
    """The episode of one question, already written down and remembered.

    A model, tool or judge that fails is data on the episode (`failed:<code>`, verdict `unknown`,
    `faults`). Raises StoreError when the episode could not be written or remembered, since then
    nothing was promised.
    """
    began, started = time.monotonic(), datetime.now(UTC).isoformat(timespec="milliseconds")
    blank = Episode(id=str(ULID()), question=question, started=started, version=team.version)
    attempt = await _attempt(blank, team, watch)
    verdict = await _judge(attempt, team.judge)
    watch(verdict)
    episode = replace(attempt, verdict=verdict, seconds=time.monotonic() - began)
    await team.record.append(episode)
    watch(episode)
    await remember(episode, team, watch)
    return episode


async def remember(episode: Episode, team: Team, watch: Watch = unwatched) -> Remembered:
    """Lets memory keep what is worth keeping. Safe to repeat, so that a run which was killed
    between writing an episode down and remembering it can catch up."""
    remembered = await team.memory.remember(episode)
    await team.record.settle(episode.id, remembered)
    watch(remembered)
    return remembered


async def _attempt(episode: Episode, team: Team, watch: Watch) -> Episode:
    """Look, recall, plan and act; reflect once; if the goal is not met, replan and act on."""
    looked = await team.captioner.look(episode.question)
    for turn in looked:
        watch(turn)
    question = captioned(episode.question, looked)
    episode = replace(episode, question=question, looked=looked)
    try:
        recollection = await team.memory.recall(question)
        watch(recollection)
        episode = replace(episode, recollection=recollection)
        plan = await team.planner.plan(question, recollection)
    except ModelError as error:
        never_began = Trajectory(outcome=f"failed:{error.code}", detail=str(error))
        return replace(episode, trajectory=never_began, faults=(str(error),))
    watch(plan)
    trajectory = await team.executor.run(question, plan, watch=watch)
    episode = replace(episode, plan=plan, trajectory=trajectory)
    if trajectory.failed:
        return replace(episode, faults=(trajectory.detail,))
    try:
        reflection = await team.planner.reflect(question, plan, trajectory)
        watch(reflection)
        episode = replace(episode, reflection=reflection)
        if reflection.goal_met:
            return episode
        replan = await team.planner.replan(question, recollection, plan, trajectory, reflection)
    except ModelError as error:  # the first run stands; the fault is on the record
        return replace(episode, faults=(str(error),))
    watch(replan)
    again = await team.executor.run(question, replan, trajectory.turns, watch)
    faults = (again.detail,) if again.failed else ()
    return replace(episode, replan=replan, retrajectory=again, faults=faults)


async def _judge(episode: Episode, judge: Judge) -> Verdict:
    plan, final = episode.final_plan, episode.final
    if plan is None or final.failed:
        return unknown("none", f"not judged: {final.outcome}")
    try:
        return await judge.judge(episode.question, plan, final)
    except (JudgeError, ModelError) as error:
        return unknown(type(judge).__name__, str(error))
