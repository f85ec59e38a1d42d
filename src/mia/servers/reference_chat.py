"""The planner's chat, which the published protocol sends along: made for a client, and read again
when it comes back.

The service keeps no conversation. Of a chat only what was said is taken: the question, the plan,
the run, and why it did not do. Instructions come from our prompts alone, so a system message of a
client is no instruction here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from mia.errors import InputError, ModelError
from mia.prompts import fill
from mia.reading import read_json, split_thought
from mia.servers.reference_memory_wire import Message, Said, readable
from mia.training.collect import Heard

_PACKAGE = "mia.planners"
_OPENINGS = {"conversational_plan.txt": ("memory", "words"), "stepwise_plan.txt": ("example",)}
"""The prompts that a plan is asked for with, and their slots beside the question's."""
_MARK = "\0"
_ASKED_CHARS = 20_000


@dataclass(frozen=True, slots=True)
class Talk:
    """What a chat tells of one run."""

    question: str
    """As the planner was asked it."""
    plan: str
    """The one that the run followed."""
    trace: str = ""
    reason: str = ""
    """Why it did not settle the question."""


class _Reason(msgspec.Struct):
    """What a typed reflection says besides yes or no."""

    reason: str


def before_reflection(past: Sequence[Said]) -> Talk:
    """A chat that ends with the plan. Raises InputError for one in which nobody planned."""
    plans = [said.text for said in past if said.role == "assistant"]
    if not plans:
        raise InputError("past_messages should hold the plan, as /plan gave it")
    return Talk(question=_question(past), plan=_said(plans[-1]))


def before_replan(past: Sequence[Said]) -> Talk:
    """A chat that ends with what was made of the run; or with the run, or with the plan. Raises
    InputError for one in which nobody planned."""
    spoken = [at for at, said in enumerate(past) if said.role == "assistant"]
    if not spoken:
        raise InputError("past_messages should hold the plan, as /plan gave it")
    at, end = (spoken[-2], spoken[-1]) if len(spoken) > 1 else (spoken[-1], len(past))
    return Talk(
        question=_question(past),
        plan=_said(past[at].text),
        trace="\n\n".join(said.text for said in past[at + 1 : end]),
        reason=_reason(past[end].text) if end < len(past) else "",
    )


def chat(heard: Heard, asked: str, said: str) -> tuple[Message, ...]:
    """The whole chat of a planner's last call; what it was asked and what came of it where it had
    no need to call a model."""
    if not heard.exchanges:
        return Message(role="user", content=asked), Message(role="assistant", content=said)
    last = heard.exchanges[-1]
    before = (Message(role=each.role, content=each.content) for each in last.messages)
    return (*before, Message(role="assistant", content=last.reply))


def further(past: Sequence[Said], asked: str, said: str) -> tuple[Message, ...]:
    """A client's chat, gone on with."""
    before = (Message(role=each.role, content=each.text) for each in past)
    new = (Message(role="user", content=asked), Message(role="assistant", content=said))
    return (*before, *new)


def _reason(verdict: str) -> str:
    try:
        return read_json(readable(verdict), _Reason, ModelError).reason
    except ModelError:
        return _said(verdict)


def _said(text: str) -> str:
    """A reply without its thoughts."""
    return split_thought(readable(text))[1]


def _question(past: Sequence[Said]) -> str:
    """The question in what the planner was first asked; all of it where it was not asked by us."""
    asked = next((said.text for said in past if said.role == "user"), "")
    found = (_between(asked, *_around(name, slots)) for name, slots in _OPENINGS.items())
    return next(filter(None, found), asked)[:_ASKED_CHARS]


def _around(prompt: str, others: Sequence[str]) -> tuple[str, str]:
    """The words of a prompt that stand before and after its question, whatever they are."""
    asked = f"{_MARK}?{_MARK}"
    filled = fill(_PACKAGE, prompt, question=asked, **dict.fromkeys(others, _MARK))
    before, after = filled.split(asked)
    return before.rpartition(_MARK)[2], after.partition(_MARK)[0].rstrip()


def _between(text: str, before: str, after: str) -> str | None:
    """What stands between the words of a prompt; None where they are not all there."""
    _, found, rest = text.partition(before)
    question, ended, _ = rest.partition(after) if after else (rest, found, "")
    return readable(question).strip() or None if found and ended else None
