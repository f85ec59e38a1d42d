"""What an episode was worth to the policy that took part in it. Pure.

The parts and weights are the paper's: Eq. 4 for the Planner, Eq. 2 for the Executor, and what it
gives the Planner where nobody knows the answer. Where the published code does otherwise, the
reward's docstring says so; `variant="code"` is there to compute published numbers.

Whether an answer is right is the judge's word. Where a judge that is needed could not tell, there
is no reward, and so no sample: not knowing is no failure. The answers are the episode's; the
published code looks for them in the text again.

A reward of one's own is any `Reward`. It is named by an entry point (`named_reward`), or it is an
HTTP service that gets a Rollout as JSON and replies with Parts as JSON, or null for no sample
(`reward_service.py`). Either may take its time: whoever has a loop calls a Reward in a thread.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from importlib import import_module
from traceback import extract_tb
from typing import Literal

import msgspec

from mia.errors import BudgetError, ConfigError, ModelError, TrainingError
from mia.reading import read_json, split_thought
from mia.types import Episode, Noun, ToolCall, Turn, Verdict, VerdictValue

Stage = Literal["plan", "reflection", "replan", "act"]
Variant = Literal["paper", "code"]

SEARCH = "search"
IMAGE_SEARCH = "web_image_to_image_search"
OPEN_PAGE = "open_page"
"""Ours; the published system has no such tool."""

_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_LONGEST = 100
"""Characters of an answer, to the published code."""
_FIRST_TRY = 0.2
"""What the published code adds to the Executor's accuracy when no second run was needed."""


class Said(Noun, frozen=True):
    """One raw reply of a policy."""

    stage: Stage
    """What it was asked for."""
    text: str
    """As sampled, thoughts included."""


class Rollout(Noun, frozen=True):
    """An episode, and what the policy said in it."""

    episode: Episode
    replies: tuple[Said, ...] = ()
    """In order. A stage whose reply could not be read was asked for twice."""
    first_verdict: Verdict | None = None
    """On the first run's answer, where the episode's own verdict is on the second's."""


class Parts(Noun, frozen=True):
    """A reward and what it is made of. Raises ValueError for a total that is no finite number."""

    total: float
    named: dict[str, float] = msgspec.field(default_factory=dict[str, float])
    """Each part by its name, before it is weighted."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.total):
            raise ValueError(f"a reward is a finite number, got {self.total}")


Reward = Callable[[Rollout], Parts | None]
"""None for an episode that cannot be learned from."""


def planner_reward(rollout: Rollout, *, variant: Variant = "paper") -> Parts | None:
    """0.7 acc2 + 0.2 acc1 + 0.05 format + 0.05 decision (Eq. 4), 0 to 1. None where it is unknown
    whether the final answer, or the first, was right.

    acc2: the answer that counts is right. acc1: the first run's answer is; the same where there
    was no second run, or the second found no answer and the first stands.
    format: every reply has balanced think tags, and each stage was read at the first attempt. So a
    typed plan, which has no tags, has its format when it parsed at once. A reply to reflect is
    exactly yes (replan) or no, or the JSON that our planners ask for, and says what was then done;
    a planner that reflects by code says nothing there and loses nothing.
    decision: the goal was said to be met and the first answer is right, or neither. It is read from
    the episode's Reflection, whoever made it; without one it is 0.

    What was said in place of a plan, and could not be read as one, is worth 0, whether there was
    room to ask again or not. There is no bonus for replanning. The published code differs: a
    conversation that stops short of its end, as a truncated one does (neither 3 nor 6 messages),
    has reward 0, which is what `variant="code"` does here; a second run without an answer has
    acc2 = 0; the decision is looked for as a piece of the reply, so that "yesterday" is a yes.
    """
    if _unreadable(rollout):
        return Parts(total=0.0)
    second, first = _final_right(rollout.episode), _first_right(rollout)
    if second is None or first is None:
        return None
    reflection = rollout.episode.reflection
    parts = _weighed(
        acc2=(0.7, float(second)),
        acc1=(0.2, float(first)),
        format=(0.05, _planner_format(rollout)),
        decision=(0.05, float(reflection is not None and reflection.goal_met == first)),
    )
    if variant == "code" and not _came_to_its_end(rollout.episode):
        return Parts(total=0.0, named=parts.named)
    return parts


def unsupervised_planner_reward(rollout: Rollout) -> Parts | None:
    """0.9 verdict + 0.1 format, 0 to 1, where only a judge without gold answers says whether the
    final answer is right. The format is `planner_reward`'s. None for an unknown verdict."""
    if _unreadable(rollout):
        return Parts(total=0.0)
    right = _final_right(rollout.episode)
    if right is None:
        return None
    return _weighed(verdict=(0.9, float(right)), format=(0.1, _planner_format(rollout)))


def executor_reward(rollout: Rollout, *, variant: Variant = "paper") -> Parts | None:
    """0.7 acc + 0.2 tool + 0.1 format (Eq. 2), 0 to 1. None for an unknown verdict.

    acc: the answer that counts is right; a run that ended because no reply of the policy could be
    read has none. tool: the share of runs (the first, and what the second
    adds) that call `search` or `web_image_to_image_search`.
    format: think and answer tags are balanced in every reply; outside of the thoughts there is an
    `<answer>`, and the last one is not empty; every call could be read, is of a tool there is, and
    has exactly the arguments it takes: `{query_list: [text, ...]}` without blank ones,
    `{img_idx: "0"}` and that once in all runs, or, for `open_page`, `{url: text, find?: text}`.
    A stepwise executor's readings have no tags, so their format is 0 throughout, which the group's
    mean takes away.

    The published code differs: an answer of more than 100 characters is wrong, and a right one
    without a replan counts 1.2 instead of 1, for 1.14 at most. `variant="code"` does both.
    """
    episode = rollout.episode
    unread = episode.final.outcome == f"failed:{ModelError.code}" and rollout.replies != ()
    right = False if unread else _final_right(episode)
    if right is None:
        return None
    acc = float(right)
    if variant == "code":
        fits = len(episode.answer or "") <= _LONGEST
        acc = acc * fits * (1 + _FIRST_TRY * (episode.retrajectory is None))
    searched = [any(_searches(turn) for turn in run) for run in _runs(episode)]
    return _weighed(
        acc=(0.7, acc),
        tool=(0.2, sum(searched) / len(searched)),
        format=(0.1, _executor_format(rollout)),
    )


def named_reward(entry_point: str) -> Reward:
    """The reward behind `package.module:function`. Raises ConfigError when there is none; the
    reward itself raises ConfigError when it returns anything but Parts or None, and TrainingError
    that says where, when it raises."""
    module, _, name = entry_point.partition(":")
    try:
        function: object = getattr(import_module(module), name, None)
    except (ImportError, ValueError, TypeError) as error:  # of which two are malformed names
        raise ConfigError(f"no reward at {entry_point!r}: {error}") from error
    if not callable(function):
        raise ConfigError(
            f"no reward at {entry_point!r}: write package.module:function, or an address http://..."
        )

    def reward(rollout: Rollout) -> Parts | None:
        try:
            parts: object = function(rollout)
        except Exception as error:  # whatever somebody's own code may raise
            (*_, last) = extract_tb(error.__traceback__)
            raise TrainingError(
                f"the reward {entry_point} raised {type(error).__name__}: {error}"
                f" ({last.filename} line {last.lineno})"
            ) from error
        if parts is not None and not isinstance(parts, Parts):
            raise ConfigError(f"{entry_point} should return Parts or None, got {parts!r}")
        return parts

    return reward


def wants_replan(text: str) -> bool | None:
    """What a reply to reflect says, its thoughts aside: exactly the word yes (replan) or no, in
    either case, or JSON with a boolean `goal_met`; None when it is anything else."""
    word = split_thought(text)[1].lower()
    if word in ("yes", "no"):
        return word == "yes"
    try:
        return not read_json(text, _Reflected, ModelError).goal_met
    except ModelError:
        return None


class _Reflected(msgspec.Struct):
    """What decides in a typed reflection."""

    goal_met: bool


def _weighed(**parts: tuple[float, float]) -> Parts:
    """Parts from a weight and a value for each."""
    return Parts(
        total=math.fsum(weight * value for weight, value in parts.values()),
        named={name: value for name, (_, value) in parts.items()},
    )


def _right(verdict: Verdict | None) -> bool | None:
    if verdict is None or verdict.value is VerdictValue.UNKNOWN:
        return None
    return verdict.value is VerdictValue.CORRECT


def _final_right(episode: Episode) -> bool | None:
    """Whether the answer that counts is right. A run that used up its budget has none: that is the
    policy's doing, unlike an endpoint that is down."""
    spent = episode.final.outcome == f"failed:{BudgetError.code}"
    return False if spent else _right(episode.verdict)


def _unreadable(rollout: Rollout) -> bool:
    """Whether the planner was asked for a plan, spoke, and no plan came of it. Once is enough: who
    rambles to the end of the context has no room for a second try."""
    spoke = any(reply.stage == "plan" for reply in rollout.replies)
    return spoke and rollout.episode.plan is None


def _first_right(rollout: Rollout) -> bool | None:
    """Whether the first run's answer is right. Having none is not being right."""
    episode = rollout.episode
    if episode.final is episode.trajectory:
        return _final_right(episode)
    return False if episode.trajectory.answer is None else _right(rollout.first_verdict)


def _came_to_its_end(episode: Episode) -> bool:
    """Whether the planner had its say: it was content with the first run, or a second was made."""
    reflection = episode.reflection
    return reflection is not None and (reflection.goal_met or episode.retrajectory is not None)


def _planner_format(rollout: Rollout) -> float:
    episode = rollout.episode
    said = [reply for reply in rollout.replies if reply.stage != "act"]
    came = {
        "plan": episode.plan is not None,
        "reflection": episode.reflection is not None,
        "replan": episode.replan is not None,
    }
    stages: list[str] = [reply.stage for reply in said]
    at_once = len(stages) == len(set(stages)) and all(came[stage] for stage in stages)
    fine = at_once and "plan" in stages and all(balanced(reply.text, "think") for reply in said)
    if fine and "reflection" in stages and episode.reflection is not None:
        wanted = wants_replan(said[stages.index("reflection")].text)
        fine = wanted is not None and wanted != episode.reflection.goal_met
    return float(fine)


def _executor_format(rollout: Rollout) -> float:
    texts = [reply.text for reply in rollout.replies if reply.stage == "act"]
    tags = all(balanced(text, tag) for text in texts for tag in ("think", "answer"))
    answers = [answer for text in texts for answer in _ANSWER.findall(split_thought(text)[1])]
    answered = bool(answers) and answers[-1].strip() != ""
    calls = [turn.call for run in _runs(rollout.episode) for turn in run if turn.call]
    seen_once = sum(call.name == IMAGE_SEARCH for call in calls) <= 1
    return float(tags and answered and seen_once and all(map(_well_made, calls)))


def balanced(text: str, tag: str) -> bool:
    """Whether every `<tag>` is closed before the next one opens, and none is closed unopened."""
    closing = re.findall(f"<(/?){tag}>", text)
    return closing == ["", "/"] * (len(closing) // 2)


def _runs(episode: Episode) -> list[tuple[Turn, ...]]:
    """The turns of the first run, and those that the second adds."""
    first, second = episode.trajectory, episode.retrajectory
    return [first.turns] if second is None else [first.turns, second.turns[len(first.turns) :]]


def _searches(turn: Turn) -> bool:
    return turn.call is not None and turn.call.name in (SEARCH, IMAGE_SEARCH)


def _well_made(call: ToolCall) -> bool:
    """Whether a call is of a tool there is, with exactly the arguments that it takes. One that
    could not be read has none, and each tool takes some."""
    given = call.arguments
    if call.name == SEARCH:
        queries: object = given.get("query_list")
        return (
            set(given) == {"query_list"}
            and isinstance(queries, list)
            and queries != []
            and all(map(_says_something, queries))  # type: ignore[reportUnknownArgumentType]
        )
    if call.name == IMAGE_SEARCH:
        return given == {"img_idx": "0"}
    return (
        call.name == OPEN_PAGE
        and set(given) <= {"url", "find"}
        and _says_something(given.get("url"))
        and isinstance(given.get("find", ""), str)
    )


def _says_something(value: object) -> bool:
    return isinstance(value, str) and value.strip() != ""
