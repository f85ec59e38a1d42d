"""The statements of one transaction over the workflows, and the checks of what is read.

Every change goes through here and leaves an entry in the log. The statements are portable; what
differs between databases is in the session.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Literal

from mia.memories.workflow.log import Clock, Detail, Log, check_text, follow, source_in, utc_now
from mia.memories.workflow.records import (
    HEAD,
    NAMES,
    PLACE,
    WHOLE,
    Columns,
    Outcome,
    Source,
    Trust,
    Vectors,
    body_of,
    checksum,
    columns_of,
    fingerprint,
    open_columns,
    open_noun,
    open_workflow,
    seal,
    source_of,
    standing_of,
)
from mia.memories.workflow.session import Session, Value
from mia.memories.workflow.vectors import VectorRows
from mia.types import Noun, Remembered, Workflow, encode

_MARKS = ", ".join("?" * len(NAMES))
_UPDATES = ", ".join(f"{name} = excluded.{name}" for name in NAMES if name not in ("seq", "id"))


class Bucket(Noun, frozen=True):
    """How many workflows of one kind there are, and how they did."""

    category: str
    outcome: Outcome
    workflows: int
    uses: int
    wins: int


class Rows:
    """The rows as one transaction sees them."""

    def __init__(self, session: Session, clock: Clock = utc_now) -> None:
        self.session = session
        self.log = Log(session, clock)
        self.vectors = VectorRows(session, self.log)

    # workflows

    def get(self, id: str) -> Workflow | None:
        """A workflow, or None when there is none of this id."""
        found = self.session.rows(f"SELECT {WHOLE} FROM {PLACE} WHERE w.id = ?", (id,))
        return next(map(open_workflow, found), None)

    def all(
        self,
        namespace: str | None = None,
        outcome: Outcome | None = None,
        category: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Workflow]:
        """Workflows, newest first."""
        where, values = _where(namespace=namespace, outcome=outcome, category=category)
        if limit is not None:
            values.append(limit)
        found = self.session.rows(
            f"SELECT {WHOLE} FROM {PLACE}{where} ORDER BY w.created DESC, w.seq DESC"
            f"{'' if limit is None else ' LIMIT ?'}",
            values,
        )
        return map(open_workflow, found)

    def count(self, namespace: str | None = None) -> int:
        """How many workflows there are."""
        where, values = _where(namespace=namespace)
        return int(next(self.session.rows(f"SELECT count(*) FROM workflows{where}", values))[0])

    def stats(self, namespace: str | None = None) -> tuple[Bucket, ...]:
        """The buckets that hold something, by category and outcome."""
        where, values = _where(namespace=namespace)
        grouped = self.session.rows(
            f"SELECT category, outcome, count(*), sum(uses), sum(wins) FROM workflows{where}"
            " GROUP BY category, outcome ORDER BY category, outcome DESC",
            values,
        )
        return tuple(
            Bucket(
                category=category, outcome=outcome, workflows=count, uses=int(uses), wins=int(wins)
            )
            for category, outcome, count, uses, wins in grouped
        )

    def put(
        self,
        workflow: Workflow,
        *,
        action: Literal["put", "import", "restore"] = "put",
        reason: str = "",
        parents: Sequence[str] | None = None,
        origin: int | None = None,
        found_by: tuple[str, Vectors] | None = None,
    ) -> None:
        """Inserts a workflow, or replaces the one of this id; its vectors go, they are of another
        text. `found_by` are its new ones, with their embedder's name; without them the workflow
        waits for an embedder. `parents` are the workflows that influenced the text, where these are
        not just the workflow's own `parents`: one that replaces its parent cannot name itself.
        `origin` is the entry that brought a text which is restored."""
        body, source = body_of(workflow), source_of(workflow)
        seq = self.log.append(
            action,
            namespace=workflow.namespace,
            workflow=workflow.id,
            reason=reason,
            body=body,
            detail=Detail(
                standing=standing_of(workflow),
                parents=workflow.parents if parents is None else tuple(parents),
                source=fingerprint(source.raw),
                seq=origin,
            ),
        )
        known = self.session.rows("SELECT seq FROM workflows WHERE id = ?", (workflow.id,))
        first = next((int(row[0]) for row in known), seq)
        columns = columns_of(first, seq, workflow, body)
        self.session.change(
            f"INSERT INTO workflows ({', '.join(NAMES)}) VALUES ({_MARKS})"
            f" ON CONFLICT (id) DO UPDATE SET {_UPDATES}",
            (*columns, seal(columns)),
        )
        if first != seq:
            self.vectors.clear(first)
        if found_by is None:
            self.vectors.await_embedder(first, workflow.namespace)
        else:
            self.vectors.add(first, workflow.id, workflow.namespace, *found_by)

    def credit(self, id: str, won: bool, at: str, reason: str = "") -> None:
        """Counts one use of a workflow. One that is gone has nothing to count."""
        columns = self.columns(id)
        if columns is not None:
            used = max(at, columns.used or "")
            credited = columns._replace(uses=columns.uses + 1, wins=columns.wins + won, used=used)
            self.stand(credited, "credit", reason)

    def set_trust(self, id: str, trust: Trust, reason: str = "") -> bool:
        """Trusts a workflow or puts it in quarantine; whether there was one."""
        columns = self.columns(id)
        if columns is not None and columns.trust != trust:
            self.stand(columns._replace(trust=trust), "trust", reason)
        return columns is not None

    def demote(self, ids: Iterable[str], version: str) -> int:
        """Lets workflows stand behind others, since a version of a policy solves without them; how
        many did not before. One that another version absorbed before stays that one's, and one that
        is gone has nothing to be absorbed."""
        found = (self.columns(id) for id in dict.fromkeys(ids))
        standing = [each for each in found if each is not None and each.absorbed is None]
        for columns in standing:
            self.stand(columns._replace(absorbed=version), "demote", f"absorbed by {version}")
        return len(standing)

    def readmit(self, versions: Collection[str], reason: str) -> int:
        """Lets what these versions absorbed, in every namespace, stand as it did before; how many
        workflows that were."""
        absorbers = [version for version in self.absorbers() if version in versions]
        found = [each for version in absorbers for each in self._absorbed_by(version)]
        for columns in found:
            told = f"{columns.absorbed} does not count any more: {reason}"
            self.stand(columns._replace(absorbed=None), "readmit", told)
        return len(found)

    def absorbers(self, namespace: str | None = None) -> tuple[str, ...]:
        """The versions that absorbed workflows."""
        where, values = _where(namespace=namespace)
        also = f"{where} AND" if where else " WHERE"
        found = self.session.rows(
            f"SELECT DISTINCT absorbed FROM workflows{also} absorbed IS NOT NULL ORDER BY 1", values
        )
        return tuple(row[0] for row in found)

    def _absorbed_by(self, version: str) -> list[Columns]:
        found = self.session.rows(
            f"SELECT {HEAD} FROM workflows AS w WHERE w.absorbed = ? ORDER BY w.seq", (version,)
        )
        return list(map(open_columns, found))

    def columns(self, id: str) -> Columns | None:
        """What a workflow's row says beside its body; None when there is no workflow."""
        found = self.session.rows(f"SELECT {HEAD} FROM workflows AS w WHERE w.id = ?", (id,))
        return next(map(open_columns, found), None)

    def all_columns(self, namespace: str | None = None) -> Iterator[Columns]:
        """What the rows say beside their bodies, oldest first."""
        where, values = _where(namespace=namespace)
        found = self.session.rows(
            f"SELECT {HEAD} FROM workflows AS w{where} ORDER BY w.seq", values
        )
        return map(open_columns, found)

    def stand(
        self,
        columns: Columns,
        action: Literal["credit", "trust", "recount", "demote", "readmit"],
        reason: str,
    ) -> None:
        """Writes how a workflow stands."""
        standing = columns.standing
        self.session.change(
            "UPDATE workflows SET uses = ?, wins = ?, used = ?, trust = ?, absorbed = ?, seal = ?"
            " WHERE id = ?",
            (
                standing.uses, standing.wins, standing.used, standing.trust, standing.absorbed,
                seal(columns), columns.id,
            ),
        )  # fmt: skip
        self.log.append(
            action,
            namespace=columns.namespace,
            workflow=columns.id,
            reason=reason,
            detail=Detail(standing=standing),
        )

    def delete(
        self, id: str, *, action: Literal["delete", "evict"] = "delete", reason: str = ""
    ) -> bool:
        """Removes a workflow; whether there was one. Its texts stay in the history."""
        columns = self.columns(id)
        if columns is None:
            return False
        self.session.change("DELETE FROM workflows WHERE id = ?", (id,))
        self.log.append(action, namespace=columns.namespace, workflow=id, reason=reason)
        return True

    def forget(self, namespace: str, id: str, texts: Sequence[int], reason: str = "") -> None:
        """Removes a workflow with its texts: all that are left, those of its past too. One that was
        removed before loses what is left of it."""
        self.session.change("DELETE FROM workflows WHERE id = ?", (id,))
        self.log.erase(texts)
        detail = Detail(erased=tuple(texts))
        self.log.append("forget", namespace=namespace, workflow=id, reason=reason, detail=detail)

    # sources

    def sources(self, id: str) -> tuple[Source, ...]:
        """The episodes that were stored in a workflow or merged into it, oldest first."""
        known = (source for _, _, source in self.all_sources(id))
        return tuple(sorted(known, key=lambda source: source.at))

    def all_sources(self, id: str) -> Iterator[tuple[int, str, Source]]:
        """The same, with the entries that brought them and their digests. They are read from the
        log and its texts, and lie nowhere else."""
        entries = {entry.seq: entry for entry in self.log.of(id)}
        sources: dict[str, int] = {}
        for entry in entries.values():
            follow(sources, entry, entry.details())
        for digest, seq in sources.items():
            body = check_text(entries[seq], self.log.text(seq))
            yield seq, digest, source_in(entries[seq].action, seq, body)

    def merge(self, id: str, source: Source, reason: str = "") -> None:
        """Notes an episode that confirmed a workflow without changing its text."""
        columns = self.columns(id)
        if columns is None:
            return
        self.log.append(
            "merge", namespace=columns.namespace, workflow=id, reason=reason, body=source.raw
        )

    def unmerge(
        self, namespace: str, id: str, sources: Sequence[str], texts: Sequence[int], reason: str
    ) -> None:
        """Takes sources, by digest, away from a workflow, and erases texts of its past."""
        self.log.erase(texts)
        self.log.append(
            "unmerge",
            namespace=namespace,
            workflow=id,
            reason=reason,
            detail=Detail(sources=tuple(sources), erased=tuple(texts)),
        )

    # episodes

    def absorbed(self, namespace: str, episode: str) -> Remembered | None:
        """What was decided on an episode; None for one not seen yet."""
        found = self.session.rows(
            "SELECT body, crc FROM absorbed WHERE namespace = ? AND episode = ?",
            (namespace, episode),
        )
        return next(
            (
                open_noun(Remembered, f"episode {episode}", body, crc, namespace, episode)
                for body, crc in found
            ),
            None,
        )

    def absorb(self, namespace: str, episode: str, remembered: Remembered) -> None:
        """Notes what was decided on an episode."""
        body = encode(remembered)
        self.session.change(
            "INSERT INTO absorbed (namespace, episode, body, crc) VALUES (?, ?, ?, ?)",
            (namespace, episode, body.decode(), checksum(body, namespace, episode)),
        )
        self.log.append(
            "absorb",
            namespace=namespace,
            workflow=remembered.workflow_id,
            reason=f"episode {episode}: {remembered.decision}",
            digest=fingerprint(b"\0".join((namespace.encode(), episode.encode(), body))),
        )


def _where(**wanted: str | None) -> tuple[str, list[Value]]:
    """A WHERE clause of what is asked for, with its values."""
    asked = {name: value for name, value in wanted.items() if value is not None}
    clause = " AND ".join(f"{name} = ?" for name in asked)
    return (f" WHERE {clause}" if clause else ""), list(asked.values())
