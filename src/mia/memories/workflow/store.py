"""The workflow store's contract: rows in a database, safe for several threads and processes.

An instance is one database: `sqlite.py` for one machine, `postgres.py` for many. Both run the same
statements (`rows.py`); they differ in how a transaction begins and in how the best rows are found.

All methods block for as long as the database does; async callers use `asyncio.to_thread`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

from mia.memories.workflow.records import Outcome, Trust, Vectors
from mia.memories.workflow.rows import Bucket, Rows
from mia.memories.workflow.verify import verify
from mia.memory import Weights
from mia.types import Workflow

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Own:
    """What counts as the question itself: recall must not help it with its own answer."""

    question_id: str
    task: str | None
    same: float
    """Similarity of two questions as asked from which they are one question in other words."""


@dataclass(frozen=True, slots=True)
class Query:
    """What recall looks for."""

    namespace: str
    modality: str
    outcome: Outcome
    asked: Vectors
    weights: Weights
    floor: float
    """Similarity below which a workflow is about something else."""
    limit: int
    category: str | None = None
    """None for every category."""
    without: Own | None = None
    """Leaves out what comes from the question itself; None leaves nothing out."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One workflow as `best` ranks it, with the parts of its score."""

    id: str
    outcome: Outcome
    category: str
    question_id: str
    task: str | None
    score: float
    similarity: float
    question: float
    """Cosine of the two questions' templates."""
    caption: float | None
    """Cosine of the two captions; None unless both have one."""
    value: float
    frequency: float
    absorbed: bool = False
    """Whether a policy's weights absorbed it."""


class Store(ABC):
    """The workflows of one database. Close it when done, or use it as a context manager."""

    where: str
    """What error messages call it: a path, or an address without its password."""

    @abstractmethod
    def read(self, job: Callable[[Rows], T]) -> T:
        """Runs a job over the rows as they are at one moment. Raises StoreError."""

    @abstractmethod
    def write(self, job: Callable[[Rows], T]) -> T:
        """Runs a job in one transaction, and returns its result once that is durable: all of it is
        kept, or, when it raises, none. Jobs of other threads may share its commit, and transactions
        come one after another, so that the log is one chain. A job must not write through the store
        itself. Raises StoreError, and whatever the job raises."""

    @abstractmethod
    def best(self, query: Query) -> tuple[Scored, ...]:
        """The trusted workflows of the highest scores at or above the floor, best first; equals by
        id, so that a recall can be repeated. Those that a policy's weights absorbed stand behind
        all others. Exact: nothing is approximated. Raises StoreError."""

    @abstractmethod
    def scrub(self) -> bool:
        """Overwrites what deleted rows left behind in the database's files, and says whether
        nothing is left; False while somebody still reads what was."""

    def copies(self) -> tuple[str, ...]:
        """Copies of the database that lie beside it, and that no deletion reaches."""
        return ()

    @abstractmethod
    def backup(self, target: Path) -> None:
        """Copies everything to a file while others write. Raises InputError that names the
        database's own tool where it has a better one."""

    @abstractmethod
    def restore(self, file: Path) -> Path:
        """Puts a backup in place of everything, and returns the copy that is kept of what was
        there. Raises InputError as `backup` does."""

    @abstractmethod
    def close(self) -> None:
        """Lets go of the database. Closing twice is fine."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, id: str) -> Workflow | None:
        """A workflow, or None when there is none of this id."""
        return self.read(lambda rows: rows.get(id))

    def all(
        self,
        namespace: str | None = None,
        *,
        outcome: Outcome | None = None,
        category: str | None = None,
        limit: int | None = None,
    ) -> tuple[Workflow, ...]:
        """Workflows, newest first; of every namespace when none is named."""
        return self.read(lambda rows: tuple(rows.all(namespace, outcome, category, limit)))

    def count(self, namespace: str | None = None) -> int:
        """How many workflows there are."""
        return self.read(lambda rows: rows.count(namespace))

    def stats(self, namespace: str | None = None) -> tuple[Bucket, ...]:
        """The buckets that hold something, by category and outcome."""
        return self.read(lambda rows: rows.stats(namespace))

    def check(self) -> int:
        """Reads everything, compares it with its checksums and with the log, and returns how many
        workflows there are. Raises StoreError naming the first record that is damaged."""
        return self.read(verify)

    def add(self, workflows: Iterable[Workflow], reason: str = "") -> int:
        """Adds workflows under their own ids, all or none, and returns how many were new: those
        whose id is there already are left as they are."""
        items = tuple(workflows)

        def job(rows: Rows) -> int:
            added = 0
            for workflow in items:
                if rows.columns(workflow.id) is None:
                    rows.put(workflow, action="import", reason=reason)
                    added += 1
            return added

        return self.write(job)

    def delete(self, id: str, reason: str = "") -> bool:
        """Removes a workflow; whether there was one. Its episode stays absorbed, so that
        remembering it again does not bring it back."""
        return self.write(lambda rows: rows.delete(id, reason=reason))

    def set_trust(self, id: str, trust: Trust, reason: str = "") -> bool:
        """Trusts a workflow or puts it in quarantine; whether there was one."""
        return self.write(lambda rows: rows.set_trust(id, trust, reason))

    def demote(self, ids: Iterable[str], version: str) -> int:
        """Notes that a version of a policy (`planner 12`) absorbed workflows: they stand behind
        others. How many did not before; a second time changes nothing."""
        return self.write(lambda rows: rows.demote(ids, version))

    def readmit(self, versions: Collection[str], reason: str = "") -> int:
        """Takes it back for all that these versions absorbed, in every namespace; how many
        workflows that were."""
        return self.write(lambda rows: rows.readmit(versions, reason))

    def reembed(self, reason: str = "") -> int:
        """Drops all vectors, so that the next recall or remember makes them anew with whatever
        embedder it has; how many there were."""
        return self.write(lambda rows: rows.vectors.drop(reason))
