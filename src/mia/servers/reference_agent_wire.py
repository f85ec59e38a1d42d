"""The formats of the published agents, which planners in training talk to: what their routes are
asked, and what they answer. Each request is one object, about one question.

A rollout comes with one of two chats: the executor's, as `/plan` and `/replan` gave it, or the
planner's conversation as texts: plan, run, verdict, and perhaps the request for another plan, that
plan, its run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec.structs import replace

from mia import render
from mia.errors import InputError
from mia.prompts import fill
from mia.servers.reference_memory_wire import About, Chat, Message, Said, readable
from mia.types import Noun, Question, Recalled, Recollection, Workflow

RECALLED = 2
"""Workflows of each outcome that a planner is shown."""
MOST_PICTURES = 1000
"""Entries of one request."""
_WHOLE = 6
"""Messages of a planner's conversation in which there is another plan."""
_ROUND = r"^(?=\W{0,9}Round \d)"
_PIECES = re.compile(rf"(<tool_response>.*?</tool_response>)|{_ROUND}", re.DOTALL | re.MULTILINE)
"""A run's text falls into its rounds, and these into what was said and what a tool returned."""
_PLAN_WORDS = 400
_MEMORY_WORDS = 1500

_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=500)] | int
_Text = Annotated[str, msgspec.Meta(max_length=20_000)]
_Trace = Annotated[str, msgspec.Meta(max_length=1_000_000)]
_Handle = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
_Gold = _Text | int | float | bool | None


class Named(About, frozen=True, kw_only=True):
    """Which question a request is about; here it has to have an id."""

    @property
    def id(self) -> str:
        """Of the question. Raises InputError for none."""
        id = "" if self.data_id is None else readable(str(self.data_id)).strip()
        if not id:
            raise InputError("a data_id is needed")
        return id


class Carrying(Named, frozen=True, kw_only=True):
    """What `/plan` is asked: to carry a plan out."""

    plan: _Trace


class CarryingOn(Carrying, frozen=True, kw_only=True):
    """What `/replan` is asked: to go on with a run by another plan."""

    replan: _Trace
    messages: Chat
    """The run so far, as it was given."""


class Carried(Noun, frozen=True):
    """What both answer."""

    prompt: str
    """What to ask the planner next: the run, and whether it needs another plan."""
    trace: str
    """The run; after another plan what that added."""
    history_messages: tuple[Message, ...]
    """The whole run as a chat, after the first user turn."""


class Recalls(Noun, frozen=True, omit_defaults=False):
    """What `/memory` answers."""

    prompt: str
    """What to ask the planner first."""
    indices: tuple[int, ...]
    recollection: Recollection
    """The same for clients of MIA's own: what of it a planner may see."""


class Rollout(Named, frozen=True, kw_only=True):
    """One attempt at a question: an item of the bank."""

    plan: _Trace
    slow_plan: _Trace | None = None
    used_memory_indices: Annotated[list[_Handle], msgspec.Meta(max_length=1000)] | None = None
    temp_messages: Annotated[list[Said | str], msgspec.Meta(max_length=1000)]

    @property
    def right(self) -> bool:
        """Whether the judge of the client says so. Raises InputError for a word that is none."""
        raise NotImplementedError

    @property
    def chat(self) -> list[Said]:
        """The executor's; made from the runs in the planner's conversation where that is what
        came."""
        texts = [each for each in self.temp_messages if isinstance(each, str)]
        if len(texts) < len(self.temp_messages):
            return [each for each in self.temp_messages if not isinstance(each, str)]
        first = _told(texts[1]) if len(texts) > 1 else []
        if len(texts) < _WHOLE:
            return first
        return [*first, Said("user", texts[4]), *_told(texts[5])]


class Judged(Rollout, frozen=True, kw_only=True):
    """What `/memory_bank_save` is told where the client knows the right answer."""

    judgement: str

    @property
    def right(self) -> bool:
        return _right(self.judgement)


class Opinion(msgspec.Struct, frozen=True, kw_only=True):
    """What the reviewers and their chair said."""

    is_correct: bool | None = None
    raw_verdict: Any = None
    evaluator_1_feedback: _Text
    evaluator_2_feedback: _Text
    evaluator_3_feedback: _Text


class Reviewed(Rollout, frozen=True, kw_only=True):
    """The same where it does not; the right answer comes along for the record alone."""

    model_answer: _Text | None = None
    ground_truth: _Gold | list[_Gold] = None
    judgement_nogt: str | bool
    judgement_data: Opinion

    @property
    def right(self) -> bool:
        said = self.judgement_nogt
        return said if isinstance(said, bool) else _right(said)

    @property
    def gold(self) -> str | None:
        """The right answer, of several the first."""
        first = self.ground_truth
        if isinstance(first, list):
            first = first[0] if first else None
        return None if first is None else str(first).strip() or None


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """The pictures of a question; the first one counts."""

    data_id: _Id
    images: Annotated[list[Any], msgspec.Meta(max_length=64)] | str | None = None


class Registering(msgspec.Struct, frozen=True, kw_only=True):
    """What `/streaming/register_images` is asked: a list of entries, or one."""

    entries: Annotated[list[Entry], msgspec.Meta(max_length=MOST_PICTURES)] | None = None
    data_id: _Id | None = None
    images: Annotated[list[Any], msgspec.Meta(max_length=64)] | str | None = None

    @property
    def all(self) -> list[Entry]:
        """The entries. Raises InputError for none."""
        if self.entries is not None:
            return self.entries
        if self.data_id is None:
            raise InputError("this should be {entries: [{data_id, images}]}, or one of them")
        return [Entry(data_id=self.data_id, images=self.images)]


class Registered(Noun, frozen=True):
    """What it answers."""

    status: str
    registered: int
    """With this request."""
    total_data_ids: int


class Evaluated(Noun, frozen=True):
    """What `/batch_evaluate` answers."""

    status: str
    processed_count: int
    """Questions, each counted once."""
    message: str


class Consolidated(Noun, frozen=True):
    """What `/consolidate_memories` answers."""

    status: str
    saved_positives: int
    saved_negatives: int


class Health(Noun, frozen=True):
    """What `/streaming/health` answers."""

    status: str
    registered_data_ids: int
    memory_bank_keys: int
    """Questions whose rollouts wait for consolidation."""


def opening(question: Question, found: Recollection) -> str:
    """What a planner is asked first."""
    memory = render.clip(render.recollection(found), _MEMORY_WORDS)
    return fill(
        "mia.planners",
        "conversational_plan.txt",
        question=render.question(question),
        memory=render.fence(memory),
        words=str(_PLAN_WORDS),
    )


def shown(found: Recollection) -> Recollection:
    """Of what memory returned that which may be shown: forms, and not what was asked and where it
    was read."""
    return Recollection(
        successes=tuple(map(_shown, found.successes)), failures=tuple(map(_shown, found.failures))
    )


def _shown(item: Recalled) -> Recalled:
    known = item.workflow
    bare = Workflow(
        id=known.id,
        namespace=known.namespace,
        question=known.question_template,
        question_template=known.question_template,
        category=known.category,
        steps=known.steps,
        summary=known.summary,
        plan=known.plan,
        outcome=known.outcome,
        verdict_kind=known.verdict_kind,
        confidence=known.confidence,
        modality=known.modality,
        lesson=known.lesson,
    )
    return replace(item, workflow=bare)


def _told(trace: str) -> list[Said]:
    """A run's text as a chat, without what stands before its first round."""
    text = readable(trace)
    begins = re.search(_ROUND, text, re.MULTILINE)
    told = text[begins.start() :] if begins else text
    pieces = [piece.strip() for piece in _PIECES.split(told) if piece]
    return [
        Said("user" if piece.startswith("<tool_response>") else "assistant", piece)
        for piece in filter(None, pieces)
    ]


def _right(word: str) -> bool:
    said = word.strip().lower()
    if said not in _WORDS:
        raise InputError(f"a judgement is one of {', '.join(_WORDS)}, got {said[:60]!r}")
    return _WORDS[said]


_WORDS = {"correct": True, "incorrect": False, "not_attempted": False}


def plans_apart(plans: Sequence[str]) -> dict[str, int]:
    """The places of plans that differ by more than blanks, each at its first."""
    places: dict[str, int] = {}
    for place, plan in enumerate(plans):
        places.setdefault(" ".join(plan.split()), place)
    return places
