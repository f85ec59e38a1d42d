"""What a client tells of a run, read: the published executor's chat, the text that is made of it,
and an item of `/batch_memory_save` as the episode that it tells of.

The executor's replies are read as those of our own executor that speaks in tags. Of a tool's result
the documents are told apart where it is in one of the two published forms, so that memory knows
where a run read; a result in another form counts as one document of unknown origin.

The verdict is the client's. Where it knew the right answer its word counts as that of a judge who
does; without one, as a panel's: what it vouches for waits in quarantine as a panel's does.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import msgspec
from msgspec.structs import replace
from ulid import ULID

from mia.errors import InputError, ModelError
from mia.executors.react.protocol import Ends, Move, Unclear
from mia.executors.react.tagged import Tagged
from mia.judges.panel import ASPECTS
from mia.model import Reply
from mia.planner import parse_plan
from mia.reading import split_thought
from mia.render import clip
from mia.servers.reference_memory_wire import Reviewed, Said, Saving, readable
from mia.types import (
    Episode,
    Observation,
    Passage,
    Plan,
    Recollection,
    Review,
    Trajectory,
    Turn,
    Verdict,
    VerdictValue,
)

DOWN = "vllm server error!!!"
"""What the published executor takes for an answer when nobody answered it."""
_PLAN_WORDS = 1000
"""More than twice what a published planner is asked for."""
_OBSERVED_WORDS = 1500
_DOCUMENT_CHARS = 20_000
_TAG = re.compile(r"\\?</?tool_response>")
_LOCAL = re.compile(r"Doc \d+\(Title: ")
_LISTED = re.compile(r"\d+\. \[")
_BETWEEN = "======="
_ROUND = re.compile(r"^(?=\W{0,9}Round \d)", re.MULTILINE | re.IGNORECASE)
"""Where a new round begins in the text of a run."""
_MOST_ROUNDS = 64
"""Rounds that are told apart; a published run has 30 at most."""
_NOWHERE = "unreadable"
"""An address that is none: all documents of unknown origin share it."""
_TAGGED = Tagged()
_VALUES = {
    "correct": VerdictValue.CORRECT,
    "incorrect": VerdictValue.INCORRECT,
    "not_attempted": VerdictValue.INCORRECT,
}
_SCORE = re.compile(r"(?<![\d.])(?:10|[1-9])(?!\d|\.\d)")
_HALF = 0.5
"""How sure a panel is that does not say so."""


def episode(item: Saving, recollection: Recollection, since: int = 0) -> Episode:
    """The episode. The same item is the same episode, so that a request can be sent again; `since`
    says what memory begins with, since what was forgotten may be told anew. Raises InputError for
    an unknown judgement and for a question without words."""
    said = item.judgement.strip().lower()
    if said not in _VALUES:
        raise InputError(f"a judgement is one of {', '.join(_VALUES)}, got {said[:60]!r}")
    return Episode(
        id=_id(item, since),
        question=item.asked,
        recollection=recollection,
        plan=plan_of(item.plan or ""),
        trajectory=run(item.messages),
        verdict=_verdict(item, _VALUES[said]),
        started=datetime.now(UTC).isoformat(timespec="milliseconds"),
    )


def _id(item: Saving, since: int) -> str:
    raw = msgspec.json.encode((since, item), order="deterministic")
    return str(ULID.from_bytes(hashlib.sha256(raw).digest()[:16]))


def _verdict(item: Saving, value: VerdictValue) -> Verdict:
    if not isinstance(item, Reviewed):
        return Verdict(value=value, judge="reference")
    feedback = (item.evaluator_1_feedback, item.evaluator_2_feedback, item.evaluator_3_feedback)
    texts = [readable(text).strip() for text in feedback]
    pairs = list(zip(ASPECTS, texts, strict=True))
    return Verdict(
        value=value,
        judge="panel",
        confidence=_HALF,
        reason="\n".join(f"{aspect.name}: {text}" for aspect, text in pairs),
        reviews=tuple(
            Review(aspect=aspect.name, score=int(score[0]), reason=text)
            for aspect, text in pairs
            if (score := _SCORE.search(text)) is not None
        ),
    )


def plan_of(text: str) -> Plan:
    """A plan as a client names it: typed where its text is one, in prose otherwise."""
    said = clip(readable(text).strip(), _PLAN_WORDS)
    try:
        return parse_plan(said)
    except ModelError:
        return Plan(text=said)


def told(trace: str) -> Trajectory:
    """A run of which there is a text only. Each round is a turn, so that of a long run every round
    is shown in part, and not the first ones alone."""
    text = readable(trace)
    end = text.rfind("</answer>")
    begin = text.rfind("<answer>", 0, max(end, 0))
    answer = text[begin + len("<answer>") : end].strip() or None if begin >= 0 else None
    rounds = [part.strip() for part in _ROUND.split(text, _MOST_ROUNDS) if part.strip()]
    if not rounds:
        return Trajectory()
    *earlier, last = rounds
    return Trajectory(
        turns=(*(Turn(thought=part) for part in earlier), Turn(thought=last, answer=answer)),
        outcome="answered" if answer is not None else "abstained",
    )


def run(messages: Sequence[Said]) -> Trajectory:
    """A run of which there is the chat. What stands between two runs, as a revised plan does, is
    no turn. Without an answer in tags the last reply is the answer, as in the published system."""
    turns: list[Turn] = []
    last: Move | None = None
    said = ""
    for message in messages:
        text = readable(message.text)
        if message.role == "assistant":
            last, said = _TAGGED.read(Reply(text=text)), text
            turns.append(_turn(last))
        elif turns and turns[-1].observation is None and _is_result(message.role, text):
            turns[-1] = replace(turns[-1], observation=_observed(text))
    if said.strip() == DOWN:
        outcome = f"failed:{ModelError.code}"
        return Trajectory(turns=tuple(turns), outcome=outcome, detail="the model did not answer")
    if isinstance(last, Unclear) and turns[-1].call is None:
        turns[-1] = replace(turns[-1], answer=split_thought(said)[1] or None)
    answered = bool(turns) and turns[-1].answer is not None
    return Trajectory(turns=tuple(turns), outcome="answered" if answered else "abstained")


def _turn(move: Move) -> Turn:
    if isinstance(move, Ends):
        return Turn(thought=move.thought, answer=move.answer)
    return Turn(thought=move.thought, call=move.call)


def _is_result(role: str, text: str) -> bool:
    return role == "tool" or _TAG.search(text) is not None


def _observed(text: str) -> Observation:
    result = _TAG.sub("", text).strip()
    return Observation(text=clip(result, _OBSERVED_WORDS), passages=passages(result))


def passages(result: str) -> tuple[Passage, ...]:
    """The documents in a tool's result."""
    found = tuple(_documents(result))
    if found or not result:
        return found
    return (Passage(id=_NOWHERE, title="", text=result[:_DOCUMENT_CHARS], url=_NOWHERE),)


def _documents(result: str) -> Iterator[Passage]:
    """Each begins with a line of its own: `Doc 1(Title: ...) ...` or `1. [title](address)`."""
    head: Passage | None = None
    lines: list[str] = []
    for line in [*result.splitlines(), _BETWEEN]:
        begun = _begun(line)
        if head is not None and (begun is not None or line.strip() == _BETWEEN):
            text = "\n".join([head.text, *lines]).strip()
            yield replace(head, text=text[:_DOCUMENT_CHARS])
            head = None
        if begun is not None:
            head, lines = begun, []
        else:
            lines.append(line)


def _begun(line: str) -> Passage | None:
    """The document that a line begins. The address is the last thing in its line: a title may hold
    anything, the look of an address too."""
    if match := _LOCAL.match(line):
        title, _, text = line[match.end() :].partition(")")
        return Passage(id=title, title=title.strip('"'), text=text)
    if match := _LISTED.match(line):
        title, _, address = line[match.end() :].rpartition("](")
        address = address.rstrip().removesuffix(")")
        return Passage(id=address, title=title, text="", url=address or _NOWHERE)
    return None
