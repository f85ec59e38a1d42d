"""Shows a question being solved, noun by noun, as `solve` lets it be watched."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from mia.types import (
    Episode,
    Noun,
    Plan,
    Question,
    Recalled,
    Recollection,
    Reflection,
    Remembered,
    Turn,
    Verdict,
)

_MARKS = {
    "correct": "[green]correct[/]",
    "incorrect": "[red]incorrect[/]",
    "unknown": "[yellow]unknown[/]",
}
_LINE = 160
"""Characters of a line of evidence."""


class Live:
    """A watcher that prints to a console."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._plans = 0

    def question(self, question: Question, number: str = "") -> None:
        """Announces what is asked."""
        self._plans = 0
        self._console.print(f"\n[bold]{number}{escape(question.text)}[/]")

    def __call__(self, noun: Noun) -> None:
        match noun:
            case Recollection():
                self._recollection(noun)
            case Plan():
                self._plans += 1
                self._head("plan" if self._plans == 1 else "revised plan")
                self._body(noun.text)
            case Turn():
                self._turn(noun)
            case Reflection():
                self._head("reflection")
                self._body(
                    ("goal met" if noun.goal_met else "replan")
                    + (f": {noun.reason}" if noun.reason else "")
                )
            case Verdict():
                pass  # the episode tells it together with the answer
            case Episode():
                self._episode(noun)
            case Remembered():
                self._head("remembered")
                self._body(f"{noun.decision}: {noun.reason}")
            case _:
                pass

    def _recollection(self, recollection: Recollection) -> None:
        self._head("recollection")
        if recollection.withheld:
            self._body(f"withheld by lot: {len(recollection.withheld)} workflows")
        elif recollection.empty:
            self._body("nothing like it is remembered")
        for sign, recalled in (
            *(("follow", each) for each in recollection.successes),
            *(("avoid", each) for each in recollection.failures),
        ):
            self._body(f"{sign}: {recalled.workflow.question_template}   {_parts(recalled)}")
        for note in recollection.notes:
            self._body(f"note: {_short(note.title or note.text)}   score {note.score:.2f}")

    def _turn(self, turn: Turn) -> None:
        if turn.call is None and turn.found is None:
            return  # the answer is told with the episode
        self._head("turn")
        if turn.thought:
            self._body(_short(turn.thought))
        if turn.call:
            arguments = ", ".join(f"{key}: {value}" for key, value in turn.call.arguments.items())
            self._body(f"{turn.call.name}  {_short(arguments)}", "dim")
        if turn.observation:
            titles = [passage.title for passage in turn.observation.passages]
            seen = ", ".join(titles[:5]) or turn.observation.text
            self._body(f"saw   {_short(seen)}", "dim")
        if turn.found is not None:
            self._body(f"→ {turn.found}" + ("" if turn.call else "  (known already)"), "cyan")

    def _episode(self, episode: Episode) -> None:
        self._head("answer")
        final, verdict = episode.final, episode.verdict
        if episode.answer is None:
            text = final.outcome + (f" ({final.detail})" if final.detail else "")
            self._body(text, "yellow")
        else:
            self._body(episode.answer, "bold")
        usage, gold = episode.usage, episode.question.answers
        self._console.print(
            f"  {_MARKS[verdict.value.value]} [dim]by {escape(verdict.judge)}"
            f"{f', expected {escape(gold[0])}' if gold else ''}"
            f" · {episode.seconds:.1f} s · {usage.calls} calls · {usage.tokens:,} tokens[/]"
        )
        for fault in episode.faults:
            self._body(fault, "red")

    def _head(self, text: str) -> None:
        self._console.print(f" [magenta]{text}[/]")

    def _body(self, text: str, style: str = "") -> None:
        for line in text.splitlines():
            self._console.print(Text(f"    {line}", style=style))


def _parts(recalled: Recalled) -> str:
    return (
        f"score {recalled.score:.2f} = similarity {recalled.similarity:.2f},"
        f" value {recalled.value:.2f}, frequency {recalled.frequency:.2f}"
    )


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LINE else line[: _LINE - 1] + "…"
