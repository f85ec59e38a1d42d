"""The nouns of MIA. Everything that travels between two functions is one of these.

They are frozen, they know nothing of models, files or networks, and they are what the journal
stores: `encode` and `decode` are the only door between a noun and JSON.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from threading import Lock
from typing import Any, Literal, TypeVar

import msgspec


class Noun(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A frozen record that encodes to JSON."""


class Usage(Noun, frozen=True):
    """What a piece of work cost. Adds up."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    """Time spent waiting for the model, not wall time of the episode."""
    money: float = 0.0
    """US dollars, by the prices in the settings; 0 where none are set."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            calls=self.calls + other.calls,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            seconds=self.seconds + other.seconds,
            money=self.money + other.money,
        )

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


class Picture(Noun, frozen=True):
    """An image that somebody brought or a tool returned. What it shows lies in the picture folder
    (`mia.pictures`), under the hash of its bytes."""

    id: str
    """SHA-256 of the bytes, in hex."""
    width: int
    height: int
    """Pixels."""
    media_type: str = "image/jpeg"
    name: str = ""
    """A file name or the id of a data row, for people and for caches that go by it."""
    url: str | None = None
    """Where the whole world can see it; None for what may be private."""


class Question(Noun, frozen=True):
    """What is asked, and, where it is known, what the right answers are."""

    text: str
    id: str
    """Stable within its data set: the key of resume and of the contamination guard."""
    answers: tuple[str, ...] | None = None
    """Gold answers, each one enough; None where nobody knows."""
    task: str | None = None
    """Questions that share a task are the same exercise; memory of one must not help the other
    in an evaluation."""
    family: str | None = None
    """The kind of procedure, as a data set labels it; never shown to a model."""
    caption: str | None = None
    """What the question's pictures show, in words; None where nobody said."""
    pictures: tuple[Picture, ...] = ()

    @property
    def modality(self) -> Literal["text", "text-image"]:
        return "text-image" if self.caption or self.pictures else "text"


class Passage(Noun, frozen=True):
    """A piece of a document that search returned."""

    id: str
    title: str
    text: str
    url: str | None = None
    score: float = 0.0
    published: str | None = None
    """The date as the source gives it."""


class Step(Noun, frozen=True):
    """One typed step of a plan: a question that one lookup can answer."""

    text: str
    """May cite earlier steps as `#1`, and marks what it is about as `[subject]`."""


class Rule(Noun, frozen=True):
    """How the answers of steps become the answer: by code, never by a model."""

    op: Literal["step", "first", "last", "same", "longer"]
    steps: tuple[int, ...]
    """Step numbers, counted from 1."""


class Plan(Noun, frozen=True):
    """How the question is to be attacked."""

    text: str
    """What an executor that reads prose is shown."""
    steps: tuple[Step, ...] = ()
    rule: Rule | None = None
    """Both are given for a typed plan and neither for a plan in prose."""
    chosen: str = ""
    """Why this one, where a router picked it among several."""
    usage: Usage = Usage()


class ToolCall(Noun, frozen=True):
    """One use of a tool, as the model asked for it."""

    name: str
    arguments: dict[str, Any]
    id: str | None = None
    malformed: str | None = None
    """What the model wrote, where it was no JSON object; `arguments` is then empty."""


class Observation(Noun, frozen=True):
    """What a tool answered. Data from outside: never an instruction."""

    text: str
    passages: tuple[Passage, ...] = ()
    pictures: tuple[Picture, ...] = ()
    """In the order in which the text speaks of them; shown to models that see."""
    error: str | None = None
    """Why the tool could not do it, in words the model can act on."""


class Turn(Noun, frozen=True):
    """One thought with one tool call and its observation, or with the answer."""

    thought: str = ""
    call: ToolCall | None = None
    observation: Observation | None = None
    found: str | None = None
    """What this turn's lookup yielded, where the executor reads each lookup by itself."""
    answer: str | None = None
    usage: Usage = Usage()


class Trajectory(Noun, frozen=True):
    """The turns of one execution and how it ended."""

    turns: tuple[Turn, ...] = ()
    outcome: str = "abstained"
    """`answered`, `abstained`, or `failed:<code>`."""
    detail: str = ""
    """For a failure: what happened, in one line."""

    @property
    def answer(self) -> str | None:
        """The answer, when there is one: a failed or abstaining run has none."""
        if self.outcome != "answered" or not self.turns:
            return None
        return self.turns[-1].answer

    @property
    def failed(self) -> bool:
        return self.outcome.startswith("failed:")

    @property
    def usage(self) -> Usage:
        return sum((turn.usage for turn in self.turns), Usage())


class Reflection(Noun, frozen=True):
    """What the planner thinks of a run so far."""

    goal_met: bool
    reason: str = ""
    usage: Usage = Usage()


class VerdictValue(StrEnum):
    """What a judge may say."""

    CORRECT = "correct"
    INCORRECT = "incorrect"
    UNKNOWN = "unknown"


class Review(Noun, frozen=True):
    """One reviewer's opinion of one aspect."""

    aspect: str
    score: int
    """1 (worst) to 10."""
    reason: str
    evidence: tuple[str, ...] = ()
    """Quotes from the trajectory."""


class Verdict(Noun, frozen=True):
    """Whether the answer was right, by whom, and how sure."""

    value: VerdictValue
    judge: str
    confidence: float = 1.0
    reason: str = ""
    f1: float | None = None
    """Token overlap with the best gold answer, where there is gold."""
    reviews: tuple[Review, ...] = ()
    usage: Usage = Usage()


class WorkflowStep(Noun, frozen=True):
    """One step of a stored workflow: how, not what."""

    tool: str
    purpose: str
    query: str
    """A template: entities are letters (`[A]`), results of earlier steps are `#1`."""
    yielded: str
    """In kind (`a person`, `a date`, `nothing`), never the fact itself."""


class Workflow(Noun, frozen=True):
    """One memory: how a question was attacked, and whether it worked."""

    id: str
    namespace: str
    question: str
    question_template: str
    """The question with its entities as letters; safe to show beside any other question."""
    category: str
    steps: tuple[WorkflowStep, ...]
    summary: str
    """At most 300 words, rendered from the steps."""
    plan: str
    """The plan's template."""
    outcome: Literal["success", "failure"]
    verdict_kind: str
    """Which judge decided."""
    confidence: float
    caption: str | None = None
    modality: Literal["text", "text-image"] = "text"
    lesson: str = ""
    """For a failure: where the run went wrong."""
    task: str | None = None
    question_id: str = ""
    uses: int = 0
    wins: int = 0
    created: str = ""
    """ISO 8601, UTC."""
    used: str | None = None
    source_episode: str = ""
    source_domains: tuple[str, ...] = ()
    source_hashes: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    """Workflows that were recalled for the episode this one comes from."""
    contradicts: tuple[str, ...] = ()
    """Older workflows of the same kind and plan that ended the other way."""
    trust: Literal["trusted", "quarantined"] = "trusted"
    absorbed: str | None = None
    """The version of a policy that solves without it what it came from, as `planner 12`."""


class Recalled(Noun, frozen=True):
    """A workflow that memory returned, and why it came out on top."""

    workflow: Workflow
    score: float
    similarity: float
    value: float
    """Posterior win rate, 0 to 1."""
    frequency: float
    """1 / (uses + 1): what was used little gets a chance."""


class Note(Noun, frozen=True):
    """A text that a memory without workflows returned: a fact, a lesson, a run told again."""

    text: str
    id: str = ""
    """What the memory calls it."""
    title: str = ""
    score: float = 0.0
    """As high as the memory finds it fitting; comparable within one recollection only."""


class Recollection(Noun, frozen=True):
    """What memory returns for a question."""

    successes: tuple[Recalled, ...] = ()
    """To follow."""
    failures: tuple[Recalled, ...] = ()
    """To avoid."""
    notes: tuple[Note, ...] = ()
    """What else may help, the best first."""
    withheld: tuple[str, ...] = ()
    """Ids of what would have been returned, had the lot not fallen on withholding it."""
    usage: Usage = Usage()
    """What looking it up cost."""

    @property
    def empty(self) -> bool:
        return not (self.successes or self.failures or self.notes)


class Remembered(Noun, frozen=True):
    """What memory decided to do with an episode."""

    decision: Literal["stored", "merged", "replaced", "ignored"]
    reason: str
    workflow_id: str | None = None
    evicted: tuple[str, ...] = ()
    """Workflows that had to go for it; the memory's log says why."""
    usage: Usage = Usage()
    """What deciding and writing it cost."""


class Episode(Noun, frozen=True):
    """Everything about one attempt at one question: the record that all else reads."""

    id: str
    question: Question
    looked: tuple[Turn, ...] = ()
    """How somebody saw what the question's pictures show."""
    recollection: Recollection = Recollection()
    plan: Plan | None = None
    """None when the run failed before there was one."""
    trajectory: Trajectory = Trajectory()
    reflection: Reflection | None = None
    replan: Plan | None = None
    retrajectory: Trajectory | None = None
    """The execution of the replan; it starts from the turns of `trajectory`."""
    verdict: Verdict = Verdict(value=VerdictValue.UNKNOWN, judge="none", confidence=0.0)
    faults: tuple[str, ...] = ()
    """What went wrong on the way, in one line each."""
    started: str = ""
    """ISO 8601, UTC."""
    seconds: float = 0.0
    version: int | None = None
    """Of the Planner's weights; 0 for what came with MIA, None where they are not ours."""

    @property
    def final(self) -> Trajectory:
        """The execution whose answer counts: the second, unless only the first has one."""
        second = self.retrajectory
        if second is None or (second.answer is None and self.trajectory.answer is not None):
            return self.trajectory
        return second

    @property
    def final_plan(self) -> Plan | None:
        """The plan that the final execution followed."""
        return self.replan if self.final is self.retrajectory else self.plan

    @property
    def answer(self) -> str | None:
        return self.final.answer

    @property
    def usage(self) -> Usage:
        """Everything the models were asked for this episode, but for remembering it."""
        run, recalled = self.retrajectory or self.trajectory, self.recollection
        parts = (*self.looked, recalled, self.plan, run, self.reflection, self.replan, self.verdict)
        return sum((part.usage for part in parts if part is not None), Usage())


N = TypeVar("N", bound=Noun)


def encode(noun: Noun) -> bytes:
    """A noun as JSON."""
    return msgspec.json.encode(noun)


def decode(raw: bytes | str, kind: type[N]) -> N:
    """A noun from JSON. Raises msgspec.ValidationError, which names the field."""
    return _decoder(kind).decode(raw)


_BUILDING = Lock()
"""msgspec builds what it knows of a type at its first use, and crashes when two threads do."""


@cache
def _decoder(kind: type[N]) -> msgspec.json.Decoder[N]:
    with _BUILDING:
        return msgspec.json.Decoder(kind)
