"""What a person sees while an evaluation goes on: a line an arm, with time left and cost."""

from __future__ import annotations

from dataclasses import dataclass, field

from mia.cli.output import console
from mia.evaluate import Arm, Evaluation, Folder
from mia.journal import Entry
from mia.models.shared import Replies
from mia.report.scores import label
from mia.types import Usage, VerdictValue


@dataclass
class Standing:
    """How an arm stands."""

    done: int = 0
    right: int = 0
    judged: int = 0
    usage: Usage = field(default_factory=Usage)

    def add(self, entry: Entry) -> None:
        """Counts one more."""
        verdict = entry.episode.verdict.value
        self.done += 1
        self.right += verdict is VerdictValue.CORRECT
        self.judged += verdict is not VerdictValue.UNKNOWN
        self.usage += entry.episode.usage
        if entry.remembered is not None:
            self.usage += entry.remembered.usage

    def __str__(self) -> str:
        share = f"{self.right / self.judged:5.1%}" if self.judged else "    -"
        cost = f" ${self.usage.money:.3f}" if self.usage.money else ""
        return f"{share} right, {self.usage.tokens / max(1, self.done):,.0f} tokens each{cost}"


class Progress:
    """Counts episodes and money, and shows both."""

    def __init__(
        self,
        evaluation: Evaluation,
        folder: Folder,
        budget: float | None,
        replies: Replies,
        *,
        shown: bool,
    ) -> None:
        """`budget` is in US dollars, over all arms and over what was done before; `replies` knows
        what of it was not spent."""
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Bars

        self.broke = False
        self._budget = budget
        self._replies = replies
        self._arms = {arm.run: Standing() for arm in evaluation.arms}
        self._bars = Bars(
            TextColumn("{task.fields[arm]}"), BarColumn(24), MofNCompleteColumn(),
            TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.description}"),
            console=console(err=True), disable=not shown,
        )  # fmt: skip
        for done in folder.results().arms:
            for entry in done.entries:
                self._arms[done.arm.run].add(entry)
        seeds = len({arm.seed for arm in evaluation.arms})
        self._tasks = {
            arm.run: self._bars.add_task(
                str(self._arms[arm.run]),
                arm=f"{label(arm.method)} ·{arm.seed}" if seeds > 1 else label(arm.method),
                total=len(arm.order), completed=self._arms[arm.run].done,
            )
            for arm in evaluation.arms
        }  # fmt: skip

    def __enter__(self) -> Progress:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def answered(self, arm: Arm, entry: Entry) -> bool:
        """Counts an episode; whether there is money for more."""
        standing = self._arms[arm.run]
        standing.add(entry)
        self._bars.update(self._tasks[arm.run], advance=1, description=str(standing))
        spent = sum(each.usage.money for each in self._arms.values()) - self._replies.saved
        self.broke = self._budget is not None and spent >= self._budget
        return not self.broke
