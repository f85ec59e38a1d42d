"""What the `/v1` routes of `mia serve` are asked and answer."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr

from mia.datasets.jsonl import MAX_CHARS, question_of
from mia.errors import InputError
from mia.judges.feedback import Feedback
from mia.servers.learning import Process
from mia.servers.search_wire import Failure
from mia.training.behind import Report
from mia.training.inbox import Told, Wish
from mia.types import (
    Episode,
    Noun,
    Plan,
    Question,
    Recalled,
    Recollection,
    Reflection,
    Turn,
    Usage,
    VerdictValue,
)

MOST_OBSERVED = 2000
"""Characters of an observation in an event; GET /v1/episodes/ID has all of it."""
_Name = Annotated[StrictStr, Field(max_length=200)]
_Text = Annotated[StrictStr, Field(max_length=MAX_CHARS)]


class Ask(BaseModel):
    """What `POST /v1/ask` is asked."""

    model_config = ConfigDict(extra="forbid")

    question: _Text
    id: Annotated[_Name, Field(min_length=1)] | None = None
    """The question's. Who asks again with it gets the episode that it had; an `Idempotency-Key`
    header does the same. Without one, every request is a question of its own."""
    user: _Name = ""
    """Who asks, so that no single person is most of what is learned from."""
    task: _Name | None = None
    """Questions of one task are the same exercise: memory of one does not help another."""
    answers: Annotated[list[_Text], Field(min_length=1, max_length=100)] | None = None
    """Right answers to judge by. Not with --learn, where they come as feedback."""


class Tell(BaseModel):
    """What `POST /v1/feedback` is told: at least one of `up`, `answer`, `score` and `text`. Where
    several are there, the right answer decides, then the thumb, then the number."""

    model_config = ConfigDict(extra="forbid")

    episode: _Name
    key: Annotated[_Name, Field(min_length=1)] | None = None
    """The same key is counted once, however often it is sent. Without one, every request is said
    anew."""
    up: StrictBool | None = None
    """Thumb up or down."""
    answer: _Text | None = None
    """The right answer."""
    score: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    """0 (wrong) to 1 (right); 0.5 says nothing."""
    text: _Text | None = None
    """For people."""


class Judged(Noun, frozen=True, omit_defaults=False):
    """What a judge says of an answer."""

    value: VerdictValue
    judge: str
    confidence: float
    reason: str


class Answered(Noun, frozen=True, omit_defaults=False):
    """What came of a question."""

    episode: str
    """To give feedback on, and to look at: GET /v1/episodes/ID."""
    id: str
    """The question's."""
    answer: str | None
    """None where there is none."""
    outcome: str
    """`answered`, `abstained`, or `failed:<code>` where something was down."""
    abstained: bool
    detail: str
    """What failed, in one line; empty where nothing did."""
    version: int | None
    """Of the Planner's policy, from the beginning of the episode to its end; 0 for what came with
    MIA or the base, None where an endpoint plans whose weights are not ours."""
    verdict: Judged
    plan: str | None
    """The one that the answer came from."""
    replanned: bool
    turns: int
    seconds: float
    usage: Usage


class Kept(Noun, frozen=True, omit_defaults=False):
    """An episode with what was said of it."""

    episode: Episode
    feedback: tuple[Told, ...]


class Noted(Noun, frozen=True, omit_defaults=False):
    """Feedback that is on the disk."""

    key: str
    new: bool
    """False for a key that came before with the same."""


class Learner(Noun, frozen=True, omit_defaults=False):
    """Who learns behind the server."""

    wish: Wish
    """What people want of it."""
    waiting: int
    """Pieces of feedback that it has not got to yet."""
    process: Process
    report: Report | None = None
    """What it said last of where it stands; None before it said anything."""


class Standing(Noun, frozen=True, omit_defaults=False):
    """Who answers, and who learns."""

    name: str
    version: int | None
    """Of the Planner's policy that answers from here on; None where its weights are not ours."""
    refused: str
    """Why the version in use is not the one that answers; empty where it is."""
    learner: Learner | None
    """None without --learn."""


class Followed(Noun, frozen=True, omit_defaults=False):
    """A workflow that was recalled."""

    workflow: str
    question: str
    """With its entities as letters."""
    score: float


class Recollected(Noun, frozen=True, omit_defaults=False):
    """The event `recollection`."""

    successes: tuple[Followed, ...]
    failures: tuple[Followed, ...]


class Planning(Noun, frozen=True, omit_defaults=False):
    """The events `plan` and `replan`."""

    text: str


class Turned(Noun, frozen=True, omit_defaults=False):
    """The event `turn`."""

    thought: str
    tool: str | None
    arguments: dict[str, Any]
    observation: str
    """Its beginning. Data from outside."""
    error: str | None
    found: str | None
    answer: str | None


class Reflected(Noun, frozen=True, omit_defaults=False):
    """The event `reflection`."""

    goal_met: bool
    reason: str


EventName = Literal["recollection", "plan", "turn", "reflection", "replan", "answer", "error"]
TOLD = (Answered, Kept, Noted, Standing, Failure, Recollected, Planning, Turned, Reflected)
"""What answers and events are made of."""


def question(asked: Ask, key: str) -> Question:
    """The question under its id. Raises InputError for one that cannot be asked."""
    answers = tuple(asked.answers) if asked.answers else None
    return question_of(asked.question, "question", id=key, answers=answers, task=asked.task)


def feedback(told: Tell) -> Feedback:
    """Raises InputError for feedback that says nothing, or what cannot be."""
    try:
        return Feedback(up=told.up, answer=told.answer, score=told.score, text=told.text)
    except ValueError as error:
        raise InputError(str(error)) from error


def answered(episode: Episode) -> Answered:
    """An episode as its client is told."""
    final, plan, verdict = episode.final, episode.final_plan, episode.verdict
    return Answered(
        episode=episode.id,
        id=episode.question.id,
        answer=episode.answer,
        outcome=final.outcome,
        abstained=final.outcome == "abstained",
        detail=final.detail,
        version=episode.version,
        verdict=Judged(
            value=verdict.value,
            judge=verdict.judge,
            confidence=verdict.confidence,
            reason=verdict.reason,
        ),
        plan=None if plan is None else plan.text,
        replanned=episode.replan is not None,
        turns=len(final.turns),
        seconds=round(episode.seconds, 3),
        usage=episode.usage,
    )


def event(noun: Noun, *, again: bool) -> tuple[EventName, Noun] | None:
    """What a client that looks on is told of a noun; None for what it is not. `again` says whether
    there was a plan before."""
    if isinstance(noun, Recollection):
        successes, failures = map(_followed, noun.successes), map(_followed, noun.failures)
        return "recollection", Recollected(successes=tuple(successes), failures=tuple(failures))
    if isinstance(noun, Plan):
        return "replan" if again else "plan", Planning(text=noun.text)
    if isinstance(noun, Turn):
        return "turn", _turned(noun)
    if isinstance(noun, Reflection):
        return "reflection", Reflected(goal_met=noun.goal_met, reason=noun.reason)
    return None


def sse(name: EventName, noun: Noun) -> bytes:
    """An event as it goes over the wire: its JSON is one line."""
    return f"event: {name}\ndata: ".encode() + msgspec.json.encode(noun) + b"\n\n"


def _followed(recalled: Recalled) -> Followed:
    workflow = recalled.workflow
    return Followed(workflow=workflow.id, question=workflow.question_template, score=recalled.score)


def _turned(turn: Turn) -> Turned:
    call, observation = turn.call, turn.observation
    return Turned(
        thought=turn.thought,
        tool=None if call is None else call.name,
        arguments={} if call is None else call.arguments,
        observation="" if observation is None else observation.text[:MOST_OBSERVED],
        error=None if observation is None else observation.error,
        found=turn.found,
        answer=turn.answer,
    )
