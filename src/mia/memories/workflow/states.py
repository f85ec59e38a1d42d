"""What the log says there should be: its entries played back, up to any one of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from mia.memories.workflow.log import REMOVALS, STANDINGS, TEXTS, Detail, Entry, follow
from mia.memories.workflow.records import Standing
from mia.memories.workflow.rows import Rows


@dataclass(slots=True)
class State:
    """One workflow, as far as the log tells."""

    first: int
    """The entry that brought it; a workflow keeps its place when its text is replaced."""
    text: int
    """The entry whose text it has."""
    namespace: str
    digest: str
    standing: Standing
    sources: dict[str, int]
    """Digests of its sources, with the entries that brought them."""
    vectors: str | None = None
    """Digest of what it is found by."""


class Text(NamedTuple):
    """A text that the log brought, or a source."""

    workflow: str
    namespace: str
    digest: str
    action: str
    source: str
    """Digest of the episode it comes from."""
    parents: tuple[int, ...]
    """Entries whose texts it was written under the influence of."""


@dataclass(slots=True)
class Played:
    """Everything the log tells, after the entries that were played."""

    seq: int = 0
    workflows: dict[str, State] = field(default_factory=dict[str, State])
    texts: dict[int, Text] = field(default_factory=dict[int, Text])
    """By the entry that brought it."""
    erased: set[int] = field(default_factory=set[int])
    """Entries whose texts are gone for good."""
    episodes: set[str] = field(default_factory=set[str])
    """Digests of what was decided on episodes."""
    snapshots: dict[str, int] = field(default_factory=dict[str, int])
    embedder: str | None = None
    newest: dict[str, int] = field(default_factory=dict[str, int])
    """The entry of each workflow's newest text, also of those that are gone."""
    _by_workflow: dict[str, list[int]] = field(default_factory=dict[str, list[int]])

    def play(self, entry: Entry) -> None:
        """Takes one entry further."""
        self.seq = entry.seq
        action, detail = entry.action, entry.details()
        id, digest = entry.workflow or "", entry.digest or ""
        state = self.workflows.get(id)
        if action in TEXTS:
            self._text(entry, detail)
        elif action == "absorb":
            self.episodes.add(digest)
        elif action == "snapshot":
            self.snapshots[detail.name or ""] = detail.seq or 0
        elif action == "reembed":
            self._without_vectors()
        elif action == "merge":
            self._keep(entry, Text(id, entry.namespace, digest, action, digest, ()))
        self.erased.update(detail.erased)
        if state is None:
            return
        if action in STANDINGS and detail.standing is not None:
            state.standing = detail.standing
        elif action in REMOVALS:
            del self.workflows[id]
        elif action == "embed":
            state.vectors, self.embedder = entry.digest, detail.name
        elif action not in TEXTS:
            follow(state.sources, entry, detail)

    def of(self, workflow: str) -> list[int]:
        """The entries that brought texts or sources of a workflow."""
        return self._by_workflow.get(workflow, [])

    def _text(self, entry: Entry, detail: Detail) -> None:
        id = entry.workflow or ""
        parents = tuple(self.newest[parent] for parent in detail.parents if parent in self.newest)
        if detail.seq is not None:
            parents = (detail.seq,)
        digest = entry.digest or ""
        self._keep(
            entry, Text(id, entry.namespace, digest, entry.action, detail.source or "", parents)
        )
        self.newest[id] = entry.seq
        known = self.workflows.get(id)
        sources = known.sources if known else {}
        follow(sources, entry, detail)
        self.workflows[id] = State(
            first=known.first if known else entry.seq,
            text=entry.seq,
            namespace=entry.namespace,
            digest=digest,
            standing=detail.standing or Standing(),
            sources=sources,
        )

    def _keep(self, entry: Entry, text: Text) -> None:
        self.texts[entry.seq] = text
        self._by_workflow.setdefault(text.workflow, []).append(entry.seq)

    def _without_vectors(self) -> None:
        self.embedder = None
        for state in self.workflows.values():
            state.vectors = None


def played(rows: Rows, upto: int | None = None) -> Played:
    """The log of a store, played back up to an entry or to its end."""
    told = Played()
    for entry in rows.log.entries(upto=upto):
        told.play(entry)
    return told
