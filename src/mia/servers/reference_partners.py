"""The agent and the reward service that a learner works with, over their published formats: MIA's
or the published ones.

What fails over there fails an attempt, and not the policy: nothing is learned from it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import msgspec

from mia.errors import MIAError, ModelError
from mia.executor import Executor, Watch, unwatched
from mia.judge import Judge, unknown
from mia.provider_http import Api
from mia.servers.reference_episode import run
from mia.servers.reference_memory_wire import Said as Message
from mia.servers.reference_trace import history, trace
from mia.training.rewards import Rollout, Stage
from mia.types import (
    Episode,
    Note,
    Noun,
    Plan,
    Question,
    Recollection,
    Trajectory,
    Turn,
    Verdict,
)

_SECONDS = 600.0
"""For one request, as the published trainer waits."""
_AFTERWARDS = ("/batch_evaluate", "/consolidate_memories", "/save_memory")
_log = logging.getLogger(__name__)


class _Recalled(msgspec.Struct, frozen=True):
    prompt: str
    indices: list[int]
    recollection: Recollection | None = None
    """As MIA's agent tells it."""


class _Carried(msgspec.Struct, frozen=True):
    history_messages: list[Message]


class _Scored(msgspec.Struct, frozen=True):
    score: float
    judgement: str
    error: str | None = None


class _Done(msgspec.Struct, frozen=True):
    status: str | None = None
    message: str | None = None


class Remembered(Noun, frozen=True):
    """What an agent's memory returned."""

    recollection: Recollection
    indices: tuple[int, ...] = ()


class Worth(Noun, frozen=True):
    """What a reward service says of an attempt."""

    score: float
    judgement: str


class Partners:
    """Both services. Bound to the event loop of the first call; `aclose` it there."""

    def __init__(self, agent: str, reward: str, token: str | None = None) -> None:
        """The addresses of both; `token` is sent where there is one. Raises ConfigError for what is
        no address."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._agent = Api("the agent", agent, headers, key=token, seconds=_SECONDS)
        self._reward = Api("the reward service", reward, headers, key=token, seconds=_SECONDS)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._agent.aclose()
        await self._reward.aclose()

    async def recall(self, question: Question) -> Remembered:
        """What memory returns; of a published agent, which has it in words only, a note. Raises
        ModelError when it does not answer."""
        try:
            told = await self._agent.post("/memory", _about(question), _Recalled)
        except MIAError as error:
            raise ModelError(f"nothing was recalled: {error}") from error
        found = told.recollection
        if found is None:
            found = Recollection(notes=(Note(text=told.prompt),) if told.prompt else ())
        return Remembered(recollection=found, indices=tuple(told.indices))

    def executor(self) -> Executor:
        """Who carries out the plans of one episode."""
        return _Carrying(self._agent)

    async def worth(self, rollout: Rollout) -> Worth | None:
        """What an attempt is worth; None where nobody can say. One whose plan could not be read is
        worth nothing."""
        episode = rollout.episode
        if episode.plan is None:
            spoke = any(reply.stage == "plan" for reply in rollout.replies)
            return Worth(score=0.0, judgement="incorrect") if spoke else None
        if episode.trajectory.failed or (episode.retrajectory and episode.retrajectory.failed):
            return None
        extra = {
            "data_id": episode.question.id,
            "question": episode.question.text,
            "messages": _conversation(rollout),
        }
        body = {"data_source": "mia", "solution_str": "", "extra_info": extra}
        try:
            told = await self._reward.post("/compute_gt_reward", body, _Scored)
        except MIAError as error:
            _log.warning("an attempt at %s was not judged: %s", episode.question.id, error)
            return None
        if told.error is not None:
            _log.warning("%s was not judged: %s", episode.question.id, told.error)
            return None
        return Worth(score=told.score, judgement=told.judgement)

    async def bank(self, episode: Episode, worth: Worth, indices: Sequence[int]) -> None:
        """Lets the agent keep an attempt until it consolidates. Raises ModelError."""
        if episode.plan is None:
            return
        body = {
            **_about(episode.question),
            "plan": episode.plan.text,
            "slow_plan": episode.plan.text,
            "used_memory_indices": list(indices),
            "temp_messages": _chat(episode),
            "judgement": worth.judgement,
        }
        try:
            await self._agent.post("/memory_bank_save", body, _Done)
        except MIAError as error:
            raise ModelError(f"an attempt could not be banked: {error}") from error

    async def learn(self) -> list[str]:
        """Lets the agent's memories learn from what it has banked; what went wrong. The bank keeps
        what could not be learned from, for the next time."""
        faults: list[str] = []
        for route in _AFTERWARDS:
            try:
                told = await self._agent.post(route, {}, _Done)
                if told.status == "error":  # how the published agent tells it
                    faults.append(f"{route}: {told.message}")
            except MIAError as error:
                faults.append(f"{route}: {error}")
        for fault in faults:
            _log.warning("%s", fault)
        return faults


class _Carrying(Executor):
    """Has an agent carry plans out."""

    def __init__(self, agent: Api) -> None:
        self._agent = agent
        self._first = ""

    async def run(
        self,
        question: Question,
        plan: Plan,
        so_far: tuple[Turn, ...] = (),
        watch: Watch = unwatched,
    ) -> Trajectory:
        """Fails where the agent does."""
        body = {**_about(question), "plan": plan.text}
        if so_far:
            before = [
                _wired(said) for said in history(Trajectory(turns=so_far, outcome="answered"))
            ]
            body |= {"plan": self._first, "replan": plan.text, "messages": before}
        else:
            self._first = plan.text
        try:
            told = await self._agent.post("/replan" if so_far else "/plan", body, _Carried)
        except MIAError as error:
            return Trajectory(turns=so_far, outcome=f"failed:{ModelError.code}", detail=str(error))
        return run(told.history_messages)


class Later(Judge):
    """Leaves judging to who judges whole conversations."""

    async def judge(self, question: Question, plan: Plan, trajectory: Trajectory) -> Verdict:
        """Unknown."""
        return unknown("reward", "the reward service has not been asked yet")


def _about(question: Question) -> dict[str, Any]:
    return {
        "data_id": question.id, "question": question.text, "image_caption": question.caption or "",
    }  # fmt: skip


def _conversation(rollout: Rollout) -> list[str]:
    """The planner's conversation: plan, run, verdict; and, where there was another run, what asked
    for another plan, that plan, its run. A planner that reflects by code says yes or no."""
    episode, asked = rollout.episode, rollout.episode.question
    plan, replan, reflection = episode.plan, episode.replan, episode.reflection
    word = "" if reflection is None else "no" if reflection.goal_met else "yes"
    told = [
        _reply(rollout, "plan", -1) or (plan.text if plan else ""),
        trace(asked, episode.trajectory),
        _reply(rollout, "reflection", 0) or word,
    ]
    if replan is None or episode.retrajectory is None:
        return told
    again = episode.retrajectory
    added = msgspec.structs.replace(again, turns=again.turns[len(episode.trajectory.turns) :])
    return [*told, "?", _reply(rollout, "replan", -1) or replan.text, trace(asked, added)]


def _reply(rollout: Rollout, stage: Stage, which: int) -> str:
    said = [reply.text for reply in rollout.replies if reply.stage == stage]
    return said[which] if said else ""


def _chat(episode: Episode) -> list[dict[str, str]]:
    """Both runs as one chat."""
    first = history(episode.trajectory)
    if episode.retrajectory is None or episode.replan is None:
        return [_wired(said) for said in first]
    again = episode.retrajectory
    added = msgspec.structs.replace(again, turns=again.turns[len(episode.trajectory.turns) :])
    before = [Message(said.role, said.content) for said in first]
    return [_wired(said) for said in history(added, before, episode.replan.text)]


def _wired(said: Any) -> dict[str, str]:
    return {"role": said.role, "content": said.content}
