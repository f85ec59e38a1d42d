"""The Executor's contract, and the budgets and guards that all executors share."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Protocol

from mia.errors import BudgetError, ToolError
from mia.tool import Limited, Tool
from mia.types import Noun, Observation, Plan, Question, ToolCall, Trajectory, Turn

Watch = Callable[[Noun], None]
"""Is shown every noun as it comes into being: recollection, plan, turns, reflection, episode."""


def unwatched(_: Noun) -> None:
    """For runs that nobody looks at."""


class Executor(Protocol):
    """Carries out a plan with tools."""

    async def run(
        self,
        question: Question,
        plan: Plan,
        so_far: tuple[Turn, ...] = (),
        watch: Watch = unwatched,
    ) -> Trajectory:
        """The trajectory including the turns so far, which also count towards the budget.

        A run that goes wrong ends in `failed:<code>`; it does not raise MIAError.
        """
        ...


class Budget(Noun, frozen=True, forbid_unknown_fields=True):
    """What one question may cost, over all its executions; only the time starts anew with each."""

    calls: int = 30
    tokens: int = 120_000
    observed_chars: int = 400_000
    """Characters of tool output."""
    seconds: float = 600.0
    money: float | None = None
    """US dollars; None for no limit."""
    repeats: int = 2
    """How often the same call may be made before the run ends."""


class Meter:
    """Counts one execution against a budget."""

    def __init__(self, budget: Budget, so_far: tuple[Turn, ...]) -> None:
        self._budget = budget
        self._began = time.monotonic()
        self._turns: list[Turn] = []
        for turn in so_far:
            self.add(turn)

    def add(self, turn: Turn) -> None:
        self._turns.append(turn)

    @property
    def seconds_left(self) -> float:
        return max(0.0, self._budget.seconds - (time.monotonic() - self._began))

    def check(self) -> None:
        """Raises BudgetError when another model call would be one too many."""
        budget, turns = self._budget, self._turns
        spent = {
            "calls": (sum(turn.usage.calls for turn in turns), budget.calls),
            "tokens": (sum(turn.usage.tokens for turn in turns), budget.tokens),
            "characters": (
                sum(len(turn.observation.text) for turn in turns if turn.observation),
                budget.observed_chars,
            ),
            "seconds": (time.monotonic() - self._began, budget.seconds),
            "dollars": (sum(turn.usage.money for turn in turns), budget.money),
        }
        for what, (used, limit) in spent.items():
            if limit is not None and used >= limit:
                raise BudgetError(f"used {used:g} of {limit:g} {what}")


class Tools:
    """The tools of one execution. Knows what was asked before, so that the same call twice is
    answered from the trajectory and an endless loop ends."""

    def __init__(self, tools: tuple[Tool, ...], budget: Budget, so_far: tuple[Turn, ...]) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._repeats = budget.repeats
        self._answered: dict[str, Observation] = {}
        self._asked: dict[str, int] = {}
        self._carried_out: dict[str, int] = {}
        for turn in so_far:
            if turn.call and turn.observation:
                self._note(turn.call, turn.observation)

    async def call(self, call: ToolCall) -> Observation:
        """What the tool says; a call that does not fit becomes an observation that says why.
        Raises BudgetError for a call made too often, SearchError when an engine is down."""
        key = _key(call)
        self._asked[key] = self._asked.get(key, 0) + 1
        if self._asked[key] > self._repeats:
            raise BudgetError(f"the same call to {call.name} was made {self._asked[key]} times")
        if key in self._answered:
            return self._answered[key]
        if call.malformed is not None:
            return _refused(f"the arguments are not a JSON object: {call.malformed[:200]}")
        tool = self._tools.get(call.name)
        if tool is None:
            known = ", ".join(sorted(self._tools))
            return _refused(f"there is no tool {call.name!r}; the tools are: {known}")
        if isinstance(tool, Limited) and self._carried_out.get(call.name, 0) >= tool.limit:
            return _refused(f"{call.name} can be used {tool.limit} time(s) a question, and was")
        try:
            observation = await tool.call(call.arguments)
        except ToolError as error:
            return _refused(str(error))
        self._note(call, observation)
        return observation

    def _note(self, call: ToolCall, observation: Observation) -> None:
        self._answered[_key(call)] = observation
        if observation.error is None:
            self._carried_out[call.name] = self._carried_out.get(call.name, 0) + 1


def _key(call: ToolCall) -> str:
    arguments = call.malformed or json.dumps(call.arguments, sort_keys=True)
    return f"{call.name} {arguments}"


def _refused(reason: str) -> Observation:
    return Observation(text=f"The call was not carried out: {reason}", error=reason)
