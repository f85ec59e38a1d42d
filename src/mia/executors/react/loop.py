"""The Executor for capable models: think, call a tool, look, and again, until there is an answer.

One loop; how a model is shown the scene and how its replies are read is the protocol's business.
"""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from msgspec.structs import replace

from mia.errors import BudgetError, MIAError, ModelError
from mia.executor import Budget, Executor, Meter, Tools, Watch, unwatched
from mia.executors.react.native import Native
from mia.executors.react.protocol import Acts, Ends, ReactProtocol, Scene
from mia.model import Model, Reply, Sampling, ToolSpec
from mia.render import clip
from mia.tool import Tool
from mia.types import Observation, Plan, Question, Trajectory, Turn, Usage

T = TypeVar("T")

Seen = Callable[[str], bool]
"""Whether an address stands in the question or came back from a tool in this run."""
Toolbox = Callable[[Question, Seen], tuple[Tool, ...]]
"""Makes the tools of one run, as `lambda asked, seen: (TextSearch(it), OpenPage(it, seen))`."""

MISREAD = 3
"""Replies in a row that nobody can read before the model is given up."""
_LINK = re.compile(r"https?://[^\s<>\"']+[^\s<>\"'.,;:!?)\]}]")


@dataclass(frozen=True)
class React(Executor):
    """Reasons and acts in turns, within a budget."""

    model: Model
    tools: Toolbox
    budget: Budget = field(default=Budget())
    protocol: ReactProtocol = field(default=Native())
    observed_words: int = 1500
    """Of one tool's output."""
    sampling: Sampling = field(default=Sampling(max_tokens=2048))

    async def run(
        self,
        question: Question,
        plan: Plan,
        so_far: tuple[Turn, ...] = (),
        watch: Watch = unwatched,
    ) -> Trajectory:
        """Ends answered, abstained, or `failed:<code>` with what happened in `detail`."""
        run = _Run(self, question, plan, so_far, watch)
        try:
            outcome, detail = await run.to_the_end(), ""
        except MIAError as error:
            outcome, detail = f"failed:{error.code}", str(error)
        return Trajectory(turns=tuple(run.turns), outcome=outcome, detail=detail)


class _Run:
    """One execution."""

    def __init__(
        self, parts: React, question: Question, plan: Plan, so_far: tuple[Turn, ...], watch: Watch
    ) -> None:
        self.turns = list(so_far)
        self._parts = parts
        self._question = question
        self._watch = watch
        tools = parts.tools(question, self._seen)
        specs = tuple(map(_spec, tools))
        self._scene = Scene(question=question, plan=plan, tools=specs, carried=len(so_far))
        self._tools = Tools(tools, parts.budget, tuple(filter(_carried_out, so_far)))
        self._meter = Meter(parts.budget, so_far)

    async def to_the_end(self) -> Literal["answered", "abstained"]:
        misread = 0
        while True:
            self._meter.check()
            last = self._is_last()
            reply = await self._reply(last)
            usage = replace(reply.usage, calls=max(1, reply.usage.calls))  # a call is a call
            move = self._parts.protocol.read(reply)
            if isinstance(move, Ends):
                self._add(Turn(thought=move.thought, answer=move.answer, usage=usage))
                return "abstained" if move.answer is None else "answered"
            if isinstance(move, Acts):
                misread = 0
                await self._act(move, usage, last)
                continue
            misread += 1
            told = _told(move.reason)
            self._add(Turn(thought=move.thought, call=move.call, observation=told, usage=usage))
            if misread == MISREAD:
                raise ModelError(f"{misread} replies in a row could not be read: {move.reason}")

    async def _reply(self, last: bool) -> Reply:
        scene = dataclasses.replace(self._scene, turns=tuple(self.turns), last=last)
        prompt = self._parts.protocol.render(scene)
        sampling = replace(self._parts.sampling, stop=self._parts.sampling.stop + prompt.stop)
        asked = self._parts.model.reply(prompt.messages, sampling=sampling, tools=prompt.tools)
        return await _in_time(asked, self._meter.seconds_left)

    async def _act(self, move: Acts, usage: Usage, last: bool) -> None:
        turn = Turn(thought=move.thought, call=move.call, usage=usage)
        if last:
            self._add(replace(turn, observation=_told("there was no room for another call")))
            return
        try:
            observed = await _in_time(self._tools.call(move.call), self._meter.seconds_left)
        except MIAError:
            self._add(turn)  # what was asked and what it cost stays on the record
            raise
        text = clip(observed.text, self._parts.observed_words)
        self._add(replace(turn, observation=replace(observed, text=text)))

    def _is_last(self) -> bool:
        """Whether the budget has room for only one more call, taking it that calls get no cheaper
        as the prompt grows."""
        budget, spent = self._parts.budget, Trajectory(turns=tuple(self.turns)).usage
        latest = self.turns[-1].usage.tokens if self.turns else 0
        return budget.calls - spent.calls <= 1 or budget.tokens - spent.tokens < 2 * latest

    def _add(self, turn: Turn) -> None:
        self.turns.append(turn)
        self._meter.add(turn)
        self._watch(turn)

    def _seen(self, address: str) -> bool:
        found = {
            known
            for turn in self.turns
            if turn.observation
            for passage in turn.observation.passages
            for known in (passage.id, passage.url)
        }
        return address in found or address in _LINK.findall(self._question.text)


def _spec(tool: Tool) -> ToolSpec:
    return ToolSpec(name=tool.name, description=tool.description, parameters=tool.parameters)


def _carried_out(turn: Turn) -> bool:
    return turn.observation is not None and turn.observation.error is None


def _told(reason: str) -> Observation:
    return Observation(text=f"That was not carried out: {reason}.", error=reason)


async def _in_time(work: Awaitable[T], seconds: float) -> T:
    deadline = asyncio.timeout(seconds)
    try:
        async with deadline:
            return await work
    except TimeoutError as error:
        if not deadline.expired():
            raise
        raise BudgetError(f"the last {seconds:.1f} seconds of the budget ran out") from error
