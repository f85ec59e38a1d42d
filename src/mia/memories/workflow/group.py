"""Group commit: jobs of several threads share one transaction, so that they share its wait for the
disk. Whoever comes first leads; nobody sleeps, and there is no thread of its own."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from mia.errors import StoreError

J = TypeVar("J")
_MOST = 256
"""Jobs of one transaction: its first one waits for the last."""


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


class _Batch(Generic[J]):
    """The tickets of one transaction. Going through them the first time takes in whoever comes
    meanwhile; after that it is they."""

    def __init__(self, queue: deque[Ticket[J]]) -> None:
        self.taken: list[Ticket[J]] = []
        self._queue: deque[Ticket[J]] | None = queue

    def __iter__(self) -> Iterator[Ticket[J]]:
        queue, self._queue = self._queue, None
        return iter(self.taken) if queue is None else self._take(queue)

    def _take(self, queue: deque[Ticket[J]]) -> Iterator[Ticket[J]]:
        while queue and len(self.taken) < _MOST:
            ticket = queue.popleft()  # only the leader takes any
            self.taken.append(ticket)
            yield ticket


class Group(Generic[J]):
    """The jobs that wait for a transaction."""

    def __init__(self, commit: Callable[[Iterable[Ticket[J]]], None]) -> None:
        """`commit` runs the jobs of tickets and fills in what became of them; it does not raise for
        what a job or the disk did."""
        self._commit = commit
        self._turn = threading.Condition()
        self._waiting: deque[Ticket[J]] = deque()
        self._leader: int | None = None

    def run(self, job: J) -> Any:
        """The result of a job once it is committed. Raises what the job or the commit raised."""
        ticket = Ticket(job)
        if self._leader == threading.get_ident():
            raise StoreError("a job of a transaction cannot wait for another transaction")
        with self._turn:
            self._waiting.append(ticket)
        while not ticket.done:
            with self._turn:
                self._turn.wait_for(lambda: ticket.done or self._leader is None)
                leads = not ticket.done
                if leads:
                    self._leader = threading.get_ident()
            if leads:
                self._lead()
        error = ticket.error or ticket.lost
        if error is not None:
            raise error
        return ticket.result

    def _lead(self) -> None:
        """Commits what waits, and wakes everybody: some are done, and one of the rest leads on."""
        batch = _Batch(self._waiting)
        try:
            self._commit(batch)
        finally:
            with self._turn:
                self._leader = None
                for ticket in batch.taken:
                    ticket.done = True
                self._turn.notify_all()
