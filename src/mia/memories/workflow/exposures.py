"""How runs went that were shown workflows, and those from which they were withheld."""

from __future__ import annotations

from collections.abc import Iterator

from mia.memories.workflow.session import Session
from mia.memories.workflow.uplift import Exposure

STORE = "store"
"""The subject that stands for memory as a whole; no workflow's id is so short."""
_COUNTS = "shown, shown_won, withheld, withheld_won"


class Exposures:
    """The counts as one transaction sees them."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def count(self, namespace: str, subject: str, *, shown: bool, won: bool) -> None:
        """Counts one run."""
        side = "shown" if shown else "withheld"
        self._session.change(
            f"INSERT INTO exposures (namespace, subject, {side}, {side}_won) VALUES (?, ?, 1, ?)"
            f" ON CONFLICT (namespace, subject) DO UPDATE SET {side} = exposures.{side} + 1,"
            f" {side}_won = exposures.{side}_won + excluded.{side}_won",
            (namespace, subject, int(won)),
        )

    def of(self, namespace: str, subject: str) -> Exposure:
        """The counts of one subject; zeros for one that no run concerned."""
        found = self._session.rows(
            f"SELECT {_COUNTS} FROM exposures WHERE namespace = ? AND subject = ?",
            (namespace, subject),
        )
        return next((_exposure(row) for row in found), Exposure())

    def all(self, namespace: str, least: int = 0) -> Iterator[tuple[str, Exposure]]:
        """Subjects that at least so many runs concerned, the most concerned first."""
        found = self._session.rows(
            f"SELECT subject, {_COUNTS} FROM exposures WHERE namespace = ?"
            " AND shown + withheld >= ? ORDER BY shown + withheld DESC, subject",
            (namespace, least),
        )
        return ((row[0], _exposure(row[1:])) for row in found)


def _exposure(row: tuple[int, ...]) -> Exposure:
    shown, shown_won, withheld, withheld_won = map(int, row)
    return Exposure(shown=shown, shown_won=shown_won, withheld=withheld, withheld_won=withheld_won)
