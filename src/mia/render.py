"""Nouns as text for a prompt, and the markup that text from outside must not be able to forge.

Whatever a document, a question, a plan or a memory says reaches a prompt only through
`neutralise`; long data goes through `fence` as well.
"""

from __future__ import annotations

import hashlib
import json
import re

from mia.types import Note, Question, Recalled, Recollection, Trajectory, Turn

_OPENERS = str.maketrans(dict.fromkeys("<\uff1c\ufe64", "\u2039"))
"""To a look-alike. The last two become `<` in tokenisers that fold Unicode (NFKC)."""
_BRACKET_TOKENS = re.compile(
    r"\[(/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|ARGS"
    r"|CALL_ID|THINK|BEGIN_OF_IMAGE|gMASK))\]"
)
"""Chat templates that mark turns with brackets instead of tags."""
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls, but for tabs and line ends
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb"
    "\ufe00-\ufe0d\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"  # tags and variation selectors, which can spell whole sentences
    "|(?<![\u0600-\u1fff\u2190-\u2bff\ufe0f\U0001f000-\U0001faff])[\u200c\u200d\ufe0e\ufe0f]"
    "|(?<=[\u200c\u200d\ufe0e\ufe0f])[\u200c\ufe0e\ufe0f]+"
)
"""Characters that no reader sees, and a model reads. Joiners stay where scripts and emoji need
them."""
_ESCAPED = str.maketrans({"<": "\\u003c", "\uff1c": "\\uff1c", "\ufe64": "\\ufe64"})
_WORD = re.compile(r"\S+")
_BYTES_PER_WORD = 8
"""English needs 6 with its space; text without spaces, or of endless words, is cut by this."""
_MARK = 16
"""Hexadecimal digits of a fence."""

TRAJECTORY_WORDS = 4000
"""How much of its observations a rendered trajectory shows, over all its turns."""
_FEWEST_WORDS = 60
"""Of one observation, however many turns there are."""
_RECALLED_WORDS = 250
_NOTE_WORDS = 1000
"""A run told again is long."""


def neutralise(text: str) -> str:
    """Text that holds no tag and no chat-template token: every `<` is another character, and
    bracketed turn marks lose their brackets. What nobody sees goes first, so nothing can close up
    into a tag."""
    return _BRACKET_TOKENS.sub(r"(\1)", visible(_sendable(text)).translate(_OPENERS))


def visible(text: str) -> str:
    """The text without characters that a reader does not see and a model does."""
    return _INVISIBLE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def _sendable(text: str) -> str:
    """Without halves of characters (lone surrogates), which no request and no journal can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def clip(text: str, words: int) -> str:
    """At most so many words, and at most 8 bytes a word on average; says so when it cuts."""
    text = kept = _sendable(text)
    for count, match in enumerate(_WORD.finditer(text), 1):
        if count > words:
            kept = text[: match.start()].rstrip()
            break
    raw = kept.encode("utf-8")
    if len(raw) > words * _BYTES_PER_WORD:
        kept = raw[: words * _BYTES_PER_WORD].decode("utf-8", "ignore")
    return kept if kept == text else f"{kept} [cut]"


def fence(text: str) -> str:
    """Neutralised text between marks that it cannot contain, so that it cannot end them.

    The mark is a hash of the text: a text that holds its own hash cannot be made, and the same
    data gives the same prompt, which caches and recorded runs live by.
    """
    clean = neutralise(text)
    mark = hashlib.sha256(clean.encode("utf-8")).hexdigest()[:_MARK]
    return f"<data-{mark}>\n{clean}\n</data-{mark}>"


def question(asked: Question) -> str:
    """What is asked and, where there is an image, what it shows."""
    text = neutralise(asked.text)
    return f"{text}\nThe image shows: {neutralise(asked.caption)}" if asked.caption else text


def as_json(value: object) -> str:
    """JSON in which no tag can stand: what could open one is escaped, which whoever reads the JSON
    undoes."""
    text = _sendable(json.dumps(value, ensure_ascii=False)).translate(_ESCAPED)
    return _BRACKET_TOKENS.sub(r"\\u005b\1]", text)


def trajectory(run: Trajectory) -> str:
    """The turns of a run and how it ended, fenced as data. Observations share a word budget."""
    words = max(_FEWEST_WORDS, TRAJECTORY_WORDS // max(1, len(run.turns)))
    turns = [_turn(turn, number, words) for number, turn in enumerate(run.turns, 1)]
    ended = f"Ended: {run.outcome} {run.detail}".strip()
    return fence("\n\n".join([*turns, ended]))


def _turn(turn: Turn, number: int, words: int) -> str:
    lines = [f"Turn {number}"]
    if turn.thought:
        lines.append(f"Thought: {clip(turn.thought, words)}")
    if turn.call:
        lines.append(f"Call: {turn.call.name} {clip(as_json(turn.call.arguments), words)}")
    if turn.observation:
        lines.append(f"Observed: {clip(turn.observation.text, words)}")
    if turn.answer is not None:
        lines.append(f"Answer: {clip(turn.answer, words)}")
    return "\n".join(lines)


def recollection(found: Recollection) -> str:
    """What memory returned, successes first. Of workflows the templates only, so that no stored
    fact is shown; notes as they are. Not fenced."""
    if found.empty:
        return "Memory holds nothing that bears on this question."
    successes = [_recalled(item, f"Success {n}") for n, item in enumerate(found.successes, 1)]
    failures = [_recalled(item, f"Failure {n}") for n, item in enumerate(found.failures, 1)]
    notes = [_note(item, f"Note {n}") for n, item in enumerate(found.notes, 1)]
    return "\n\n".join([*successes, *failures, *notes])


def _note(item: Note, name: str) -> str:
    title = f"{name}: {item.title}" if item.title else name
    return clip(f"{title}\n{item.text}", _NOTE_WORDS)


def _recalled(item: Recalled, title: str) -> str:
    workflow = item.workflow
    lines = [f"{title}: {workflow.question_template}"]
    if workflow.plan:
        lines.append(f"Plan: {workflow.plan}")
    lines += [
        f"{number}. {step.tool}: {step.query} ({step.purpose}; gave {step.yielded})"
        for number, step in enumerate(workflow.steps, 1)
    ]
    if workflow.lesson:
        lines.append(f"Lesson: {workflow.lesson}")
    return clip("\n".join(lines), _RECALLED_WORDS)
