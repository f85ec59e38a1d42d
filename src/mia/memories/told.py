"""Episodes as text, for memories that keep text: how a run went, without what was recalled for it.

What memory returned is not experience: kept again it would come back as if it had been confirmed.
So what a run's thoughts repeat of it word for word is left out, and a plan that only hands the
recollection on is no plan. What a tool said is the run's own, even where memory had it too.
"""

from __future__ import annotations

from collections.abc import Sequence

from mia import render
from mia.types import Episode, Recollection, Trajectory, Turn, VerdictValue

_FEWEST_WORDS = 12
"""Of each part of a turn, however many turns there are."""
_TELLING_WORDS = 6
"""Fewer words in common with the recollection may well be the run's own."""
_ECHO = "[as remembered]"

_JUDGED = {
    VerdictValue.CORRECT: "judged correct",
    VerdictValue.INCORRECT: "judged incorrect",
    VerdictValue.UNKNOWN: "not judged",
}


def judged(episode: Episode) -> str:
    """What became of a run, in two words."""
    return _JUDGED[episode.verdict.value]


def told(run: Trajectory, recalled: Recollection, words: int) -> str:
    """The turns of a run and how it ended, in at most so many words, which the turns share."""
    share = max(_FEWEST_WORDS, words // (3 * max(1, len(run.turns))))
    echoes = _echoes(recalled)
    turns = (_turn(turn, number, share, echoes) for number, turn in enumerate(run.turns, 1))
    ended = "" if run.answer is not None else f"Ended: {run.outcome} {run.detail}".strip()
    return render.clip("\n".join(part for part in (*turns, ended) if part), words)


def _turn(turn: Turn, number: int, words: int, echoes: Sequence[str]) -> str:
    lines = [f"Turn {number}"]
    if turn.thought:
        lines.append(f"Thought: {render.clip(_without(turn.thought, echoes), words)}")
    if turn.call:
        arguments = render.clip(render.as_json(turn.call.arguments), words)
        lines.append(f"Call: {turn.call.name} {arguments}")
    if turn.observation:
        lines.append(f"Observed: {render.clip(turn.observation.text, words)}")
    if turn.answer is not None:
        lines.append(f"Answer: {render.clip(turn.answer, words)}")
    return "\n".join(lines)


def thought(turn: Turn, recalled: Recollection) -> str:
    """What was thought in a turn, without what was recalled."""
    return _without(turn.thought, _echoes(recalled))


def _echoes(recalled: Recollection) -> list[str]:
    """What a run may repeat of a recollection, the longest first: its lines, and what follows the
    labels of lines."""
    if recalled.empty:
        return []
    lines = [line.strip() for line in render.recollection(recalled).splitlines()]
    parts = {*lines, *(line.partition(": ")[2] for line in lines)}
    telling = (part for part in parts if len(part.split()) >= _TELLING_WORDS)
    return sorted(telling, key=lambda part: (-len(part), part))


def _without(text: str, echoes: Sequence[str]) -> str:
    for echo in echoes:
        text = text.replace(echo, _ECHO)
    return text


def plan_of(episode: Episode) -> str:
    """The plan that the final run followed; empty when it had none but what was recalled."""
    plan, recalled = episode.final_plan, episode.recollection
    if plan is None or (not recalled.empty and render.recollection(recalled) in plan.text):
        return ""
    return plan.text
