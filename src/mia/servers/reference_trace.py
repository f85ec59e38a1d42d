"""A run of MIA's executor as the published agents tell it: as a chat, and as a text for planners.

The tags in it are ours; whatever a model, a page or a plan said stands between them with none of
its own. Whoever looks for the answer of a run that has none must not take a tool's result for it: a
chat ends in an empty answer then, and a text in a thought, behind which there is nothing.

Of what a tool returned the documents are told apart in the published forms, so that who reads the
run again knows where it read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mia import render
from mia.prompts import fill
from mia.servers.reference_memory_wire import Message, Said
from mia.types import Observation, Passage, Question, Trajectory, Turn

_CHAT_WORDS = 1500
"""Of a tool's result in a chat."""
_TEXT_WORDS = 512
"""Of one in a text, as published."""
_FEWEST_WORDS = 60
"""Of one document, however many there are."""
_NO_ANSWER = "<answer></answer>"
_NOTHING = "<think>\nNo answer was found.\n</think>"
_RESULT = "tool_response"


def history(run: Trajectory, before: Sequence[Said] = (), replan: str = "") -> list[Message]:
    """The run as a chat, after the first user turn. What is `before` it is a client's chat, gone on
    with by another plan."""
    told = [Message(role=said.role, content=said.text) for said in before]
    if replan:
        told.append(Message(role="user", content=f"The revised plan:\n{render.neutralise(replan)}"))
    for turn in run.turns:
        if spoken := _spoken(turn):
            told.append(Message(role="assistant", content=spoken))
        if turn.observation is not None:
            told.append(Message(role="user", content=_observed(turn.observation, _CHAT_WORDS)))
    if run.answer is None:
        told.append(Message(role="assistant", content=_NO_ANSWER))
    return told


def trace(question: Question, run: Trajectory) -> str:
    """The run as a text, round by round."""
    rounds = [_round(number, turn) for number, turn in enumerate(run.turns, 1)]
    ended = [] if run.answer is not None else [_NOTHING]
    return "\n\n".join([f"Question: {render.question(question)}", *rounds, *ended])


def asks(told: str) -> str:
    """What the planner is asked about a run: whether it needs another plan."""
    return fill("mia.servers", "reference_reflect.txt", trace=told)


def revised(chat: Sequence[Said]) -> int | None:
    """Where another plan stands in a run's chat: behind something that the executor said, and no
    tool's result; None where there is none."""
    spoke = False
    for place, said in enumerate(chat):
        if said.role == "assistant":
            spoke = True
        elif spoke and said.role == "user" and f"{_RESULT}>" not in said.text:
            return place
    return None


def _round(number: int, turn: Turn) -> str:
    lines = [f"Round {number}", _spoken(turn)]
    if turn.observation is not None:
        lines.append(_observed(turn.observation, _TEXT_WORDS))
    return "\n".join(lines)


def _spoken(turn: Turn) -> str:
    return "\n".join(_parts(turn))


def _parts(turn: Turn) -> Iterator[str]:
    if turn.thought:
        yield f"<think>\n{render.neutralise(turn.thought)}\n</think>"
    if turn.call is not None:
        name, arguments = render.as_json(turn.call.name), render.as_json(turn.call.arguments)
        call = turn.call.malformed
        said = f'{{"name": {name}, "arguments": {arguments}}}'
        yield f"<tool_call>\n{said if call is None else render.neutralise(call)}\n</tool_call>"
    if turn.answer is not None:
        yield f"<answer>{render.neutralise(turn.answer)}</answer>"


def _observed(seen: Observation, words: int) -> str:
    if not seen.passages:
        told = render.clip(seen.text, words)
    elif len(seen.passages) == 1:  # of a page it may be what was looked for in it
        told = _document(1, seen.passages[0], render.clip(seen.text, words))
    else:
        most = max(_FEWEST_WORDS, words // len(seen.passages))
        documents = enumerate(seen.passages, 1)
        told = "\n".join(_document(n, one, render.clip(one.text, most)) for n, one in documents)
    return f"<{_RESULT}>\n{render.neutralise(told)}\n</{_RESULT}>"


def _document(number: int, passage: Passage, text: str) -> str:
    """A document in one line, or in two: no line of its own can look like another's first."""
    title, said = " ".join(passage.title.split()), " ".join(text.split())
    if passage.url is None and ")" not in title:
        return f"Doc {number}(Title: {title}) {said}"
    return f"{number}. [{title}]({passage.url or passage.id})\n- {said}"
