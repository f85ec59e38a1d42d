"""Group commit: jobs of several threads share one transaction, so that they share its wait for the
disk. Whoever comes first leads; nobody sleeps, and there is no thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from mia.errors import StoreError

J = TypeVar("J")


class Ticket(Generic[J]):
    """One job that waits, and what became of it."""

    def __init__(self, job: J) -> None:
        self.job = job
        self.done = False
        self.result: Any = None
        self.error: Exception | None = None
        """What the job raised."""
        self.lost: Exception | None = StoreError("the transaction was interrupted")
        """Why the result is not durable; None once it is."""


class Group(Generic[J]):
    """The jobs that wait for a transaction."""

    def __init__(self, commit: Callable[[Sequence[Ticket[J]]], None]) -> None:
        """`commit` runs the jobs of tickets and fills in what became of them; it does not raise for
        what a job or the disk did."""
        self._commit = commit
        self._turn = threading.Condition()
        self._waiting: list[Ticket[J]] = []
        self._leader: int | None = None

    def run(self, job: J) -> Any:
        """The result of a job once it is committed. Raises what the job or the commit raised."""
        ticket = Ticket(job)
        with self._turn:
            if self._leader == threading.get_ident():
                raise StoreError("a job of a transaction cannot wait for another transaction")
            self._waiting.append(ticket)
            self._turn.wait_for(lambda: ticket.done or self._leader is None)
            if not ticket.done:
                self._leader = threading.get_ident()
        if not ticket.done:
            self._lead()
        error = ticket.error or ticket.lost
        if error is not None:
            raise error
        return ticket.result

    def _lead(self) -> None:
        """Commits what waits, and wakes everybody: some are done, and one of the rest leads on."""
        with self._turn:
            batch, self._waiting = self._waiting, []
        try:
            self._commit(batch)
        finally:
            with self._turn:
                self._leader = None
                for ticket in batch:
                    ticket.done = True
                self._turn.notify_all()
