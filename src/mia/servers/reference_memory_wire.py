"""The published memory service's formats: what its routes are asked, and what they answer.

Batch routes take a list and answer a list in its order. Fields that nobody needs are passed over,
as the published service does; what is missing or of another kind is refused.
"""

from __future__ import annotations

import re
from typing import Annotated

import msgspec

from mia import render
from mia.datasets.jsonl import question_of
from mia.types import Noun, Question, Recalled, Recollection, Workflow

MOST_RECALLED = 10
"""Workflows of each outcome that a request can reach, whatever it asks for."""
_MOST_CHARS = 20_000
_SUMMARY_WORDS = 300
_LESSON_WORDS = 60

_Count = Annotated[int, msgspec.Meta(ge=0, le=1000)]
_Handle = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
_Text = Annotated[str, msgspec.Meta(max_length=_MOST_CHARS)]
_Trace = Annotated[str, msgspec.Meta(max_length=1_000_000)]
_Id = Annotated[str, msgspec.Meta(max_length=500)] | int


_BLANKS = re.compile(r"\s{32,}")


def readable(text: str) -> str:
    """A client's text without characters that nobody sees, and without endless blanks, over which
    whoever looks for tags would brood."""
    return _BLANKS.sub("\n", render.visible(text))


class Part(msgspec.Struct, frozen=True):
    """A piece of a message; pictures have no text and say nothing here."""

    text: str = ""


class Said(msgspec.Struct, frozen=True):
    """One message of a chat."""

    role: str
    content: str | list[Part] | None = None

    @property
    def text(self) -> str:
        """What it says."""
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content if part.text)
        return self.content or ""


Chat = Annotated[list[Said], msgspec.Meta(max_length=1000)]


class About(msgspec.Struct, frozen=True, kw_only=True):
    """Which question a request is about."""

    question: _Text
    data_id: _Id | None = None
    image_caption: _Text | list[_Text | None] | None = None

    @property
    def asked(self) -> Question:
        """The question. Raises InputError for one without words."""
        caption = self.image_caption
        if isinstance(caption, list):
            caption = caption[0] if caption else None
        return question_of(
            readable(self.question),
            "the question",
            id=None if self.data_id is None else readable(str(self.data_id)).strip() or None,
            caption=readable(caption or "").strip() or None,
        )


class Asking(About, frozen=True, kw_only=True):
    """An item of `/memory`, `/plan` and `/best_plan`."""

    mem_top_k: _Count = 2
    pass_num: _Count = 0
    """How many of each outcome to pass over."""


class Judging(msgspec.Struct, frozen=True, kw_only=True):
    """An item of `/judge_replan`."""

    workflow: _Trace
    """What the executor did, as text."""
    past_messages: Chat


class Replanning(About, frozen=True, kw_only=True):
    """An item of `/replan`."""

    past_messages: Chat
    mem_top_k: _Count = 1
    pass_num: _Count = 0


class Training(msgspec.Struct, frozen=True, kw_only=True):
    """What `/replan_train` is asked."""

    question: _Text
    plan: _Trace
    trace: _Trace
    mem_context1: _Trace | None = None
    mem_context2: _Trace | None = None


class Saving(About, frozen=True, kw_only=True):
    """An item of `/batch_memory_save`."""

    messages: Chat
    """What was said after the first user turn."""
    plan: _Trace | None = None
    judgement: str
    used_memory_indices: Annotated[list[_Handle], msgspec.Meta(max_length=1000)] | None = None


class Reviewed(Saving, frozen=True, kw_only=True):
    """The same, where nobody knew the right answer."""

    evaluator_1_feedback: _Text
    evaluator_2_feedback: _Text
    evaluator_3_feedback: _Text


class SavePath(msgspec.Struct, frozen=True):
    """What `/save_memory` is asked."""

    save_path: str


class LoadPath(msgspec.Struct, frozen=True):
    """What `/load_memory` is asked."""

    load_path: str


class Message(Noun, frozen=True):
    """One message of a chat that is given back."""

    role: str
    content: str


class Context(Noun, frozen=True):
    """What `/memory` answers for an item. Indices are handles of workflows."""

    context: str
    pos_indices: tuple[int, ...]
    neg_indices: tuple[int, ...]


class Planned(Noun, frozen=True):
    """What `/plan` answers for an item."""

    plan: str
    messages: tuple[Message, ...]
    """The planner's whole chat; its reply is the last, with its thoughts."""
    pos_indices: tuple[int, ...]
    neg_indices: tuple[int, ...]


class BestPlanned(Planned, frozen=True):
    """What `/best_plan` answers for an item."""

    selected_plan_number: int
    """Counted from one."""
    all_plans: tuple[str, ...]
    """An empty one was asked for in vain."""


class Judged(Noun, frozen=True):
    """What `/judge_replan` answers for an item."""

    need_replan: str
    """yes or no."""
    messages: tuple[Message, ...]


class Replanned(Noun, frozen=True):
    """What `/replan` answers for an item."""

    replan: str
    messages: tuple[Message, ...]
    pos_indices: tuple[int, ...]
    neg_indices: tuple[int, ...]


class Trained(Noun, frozen=True):
    """What `/replan_train` answers."""

    replan: bool
    content: str


class Done(Noun, frozen=True):
    """That something was done."""

    status: str
    message: str | None = None


SUCCESS = "success"


def context(found: Recollection) -> str:
    """What memory returned, in the published layout: what worked, then what did not. Questions and
    ways are templates, so that no stored fact is shown."""
    if not (found.successes or found.failures):
        return "Memories of similar questions: none."
    parts = ["Memories of similar questions:"]
    for name, items in (("worked", found.successes), ("failed", found.failures)):
        parts.append(f"What {name} ({len(items)}):")
        parts += [_example(n, item) for n, item in enumerate(items, 1)]
    return "\n\n".join(parts)


def _example(number: int, item: Recalled) -> str:
    workflow = item.workflow
    kind = "Image-Text" if workflow.modality == "text-image" else "Text-only"
    lines = [
        f"Example {number} [{kind}]",
        f"Judgement: {judgement(workflow)}",
        f"Question: {workflow.question_template}",
        f"Workflow: {render.clip(workflow.summary, _SUMMARY_WORDS)}",
    ]
    if workflow.lesson:
        lines.append(f"Lesson: {render.clip(workflow.lesson, _LESSON_WORDS)}")
    return render.neutralise("\n".join(lines))


def judgement(workflow: Workflow) -> str:
    """How a workflow ended, in the published word for it."""
    return "correct" if workflow.outcome == "success" else "incorrect"
