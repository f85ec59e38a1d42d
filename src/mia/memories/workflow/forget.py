"""Forgetting: what came from a source goes, with all that was written under its influence.

A text is chosen by the episode that it comes from. Descendants go with it, through any number of
generations: a text was influenced by the texts that its `parents` had when it was written. Of a
workflow that lives on by another text only the chosen episodes and the texts of its past go. The
log keeps the ids and digests, so it can still be verified, and no text. Episodes stay absorbed, so
that none comes back by being remembered again; the journal and copies of the file are not touched.
Before anything goes, the log's chain and every text are checked: nothing is missed in silence.
What a policy's weights absorbed is cleared by itself, without what it influenced.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from msgspec.structs import replace

from mia.errors import InputError
from mia.memories.workflow.log import Entry, source_in
from mia.memories.workflow.pairs import PairRows, Shown
from mia.memories.workflow.records import Source
from mia.memories.workflow.rows import Rows
from mia.memories.workflow.states import Played
from mia.memories.workflow.store import Store
from mia.memories.workflow.verify import texts, walked
from mia.types import Noun


class Choice(Noun, frozen=True):
    """What is to be forgotten: whatever any of these says."""

    domains: tuple[str, ...] = ()
    """Where an episode read: `example.org` also chooses `www.example.org`."""
    episodes: tuple[str, ...] = ()
    judges: tuple[str, ...] = ()
    workflows: tuple[str, ...] = ()
    since: datetime | None = None
    """Whatever was learnt at this time or later; UTC where it names no zone."""
    absorbed: tuple[str, ...] | None = None
    """What these versions of policies absorbed. It is cleared, not taken back: nothing is wrong
    with it, and what was written under its influence stays."""

    def why(self, source: Source, at: str) -> str | None:
        """What chooses a source that was learnt at a time; None when nothing does."""
        for domain in self.domains:
            if any(_within(read, domain) for read in source.domains):
                return f"episode {source.episode} read {domain}"
        if source.episode in self.episodes:
            return f"it comes from episode {source.episode}"
        if source.judge in self.judges:
            return f"episode {source.episode} was judged by {source.judge}"
        if self.since is not None and _time(at) >= _aware(self.since):
            return f"it was learnt on {at}"
        return None


class Gone(Noun, frozen=True):
    """A workflow that is forgotten, or loses a part of its past."""

    id: str
    namespace: str
    why: str


class Forgotten(Noun, frozen=True):
    """What was forgotten, or would be."""

    direct: tuple[Gone, ...]
    """Workflows whose text came from what was chosen."""
    descendants: tuple[Gone, ...]
    """Workflows that were written under the influence of those."""
    unmerged: tuple[Gone, ...]
    """Workflows that live on by another text and lose chosen episodes."""
    texts: int
    """Texts that are erased, those of the past included."""
    pairs: tuple[Gone, ...] = ()
    """Pairs of plans that came from what was chosen, or under the influence of those workflows."""
    cleared: tuple[Gone, ...] = ()
    """Workflows that a policy's weights absorbed."""
    scrubbed: bool = False
    """Whether nothing is left of them in the database's files."""
    copies: tuple[str, ...] = ()
    """Copies of the database that may still have them."""


def forget(
    store: Store, namespace: str, choice: Choice, *, dry_run: bool = False, reason: str = ""
) -> Forgotten:
    """Forgets what is chosen of a namespace, in one transaction, and scrubs the files; a dry run
    only tells what that would be. The reason goes into the log, which nobody can make forget.
    Raises InputError for a choice of nothing, StoreError when what would have to go cannot be told
    for sure."""
    if choice == Choice():
        raise InputError(
            "say what is to be forgotten: a domain, an episode, a judge, a time, an id, or what was"
            " absorbed"
        )
    if dry_run:
        return store.read(lambda rows: _Plan.of(rows, namespace, choice).report())

    def job(rows: Rows) -> Forgotten:
        plan = _Plan.of(rows, namespace, choice)
        plan.carry_out(rows, reason or f"asked to forget by {', '.join(_kinds(choice))}")
        return plan.report()

    return replace(store.write(job), scrubbed=store.scrub(), copies=store.copies())


@dataclass(slots=True)
class _Plan:
    """What has to go, and why."""

    told: Played
    chosen: dict[int, str] = field(default_factory=dict[int, str])
    """Entries of texts and sources that the choice says, and why."""
    tainted: dict[int, str] = field(default_factory=dict[int, str])
    """Entries of texts that were written under the influence of those."""
    direct: list[Gone] = field(default_factory=list[Gone])
    descendants: list[Gone] = field(default_factory=list[Gone])
    unmerged: list[Gone] = field(default_factory=list[Gone])
    cleared: list[Gone] = field(default_factory=list[Gone])
    shown: list[Shown] = field(default_factory=list[Shown])
    """Couples of episodes that plan memory loses."""
    pairs: dict[str, Gone] = field(default_factory=dict[str, Gone])

    @classmethod
    def of(cls, rows: Rows, namespace: str, choice: Choice) -> _Plan:
        """Chooses among all texts that are left, and follows their influence."""
        plan = cls(walked(rows))
        for entry, body in texts(rows, plan.told):
            if entry.namespace == namespace:
                why = _why(choice, entry, body)
                if why is not None:
                    plan.chosen[entry.seq] = why
        for seq, text in plan.told.texts.items():
            bad = (p for p in text.parents if p in plan.chosen or p in plan.tainted)
            parent = next(bad, None)
            if seq not in plan.chosen and parent is not None:
                ancestor = plan.told.texts[parent].workflow
                plan.tainted[seq] = f"it was written under the influence of {ancestor}"
        plan._divide()
        plan._clear(rows, namespace, choice.absorbed or ())
        plan._choose_pairs(PairRows(rows), namespace, choice)
        return plan

    def report(self) -> Forgotten:
        """The plan, told."""
        return Forgotten(
            direct=tuple(self.direct),
            descendants=tuple(self.descendants),
            unmerged=tuple(self.unmerged),
            cleared=tuple(self.cleared),
            pairs=tuple(self.pairs.values()),
            texts=sum(len(self._left(gone.id)) for gone in self._gone())
            + sum(len(self._bad(gone.id)) for gone in self.unmerged),
        )

    def carry_out(self, rows: Rows, reason: str) -> None:
        """Does it."""
        for gone in self._gone():
            rows.forget(gone.namespace, gone.id, self._left(gone.id), reason)
        for gone in self.unmerged:
            bad = self._bad(gone.id)
            sources = dict.fromkeys(self.told.texts[seq].source for seq in bad)
            rows.unmerge(gone.namespace, gone.id, tuple(sources), bad, reason)
        PairRows(rows).forget(self.shown, reason)

    def _divide(self) -> None:
        """A workflow goes when its newest text does."""
        why = {**self.tainted, **self.chosen}
        for id in dict.fromkeys(self.told.texts[seq].workflow for seq in sorted(why)):
            if not self._left(id):
                continue
            newest = self.told.newest[id]
            namespace = self.told.texts[newest].namespace
            if newest in self.chosen:
                self.direct.append(Gone(id=id, namespace=namespace, why=why[newest]))
            elif newest in self.tainted:
                self.descendants.append(Gone(id=id, namespace=namespace, why=why[newest]))
            elif bad := self._bad(id):
                self.unmerged.append(Gone(id=id, namespace=namespace, why=why[bad[0]]))

    def _clear(self, rows: Rows, namespace: str, versions: tuple[str, ...]) -> None:
        """What these versions absorbed, and does not go anyway."""
        gone = {item.id for item in self._gone()}
        for columns in rows.all_columns(namespace):
            if columns.absorbed in versions and columns.id not in gone:
                why = f"{columns.absorbed} does without it"
                self.cleared.append(Gone(id=columns.id, namespace=namespace, why=why))
        cleared = {item.id for item in self.cleared}
        self.unmerged = [item for item in self.unmerged if item.id not in cleared]

    def _gone(self) -> tuple[Gone, ...]:
        """The workflows that go."""
        return (*self.direct, *self.descendants, *self.cleared)

    def _choose_pairs(self, rows: PairRows, namespace: str, choice: Choice) -> None:
        """A pair goes when the couple of episodes does that its plans came from."""
        rows.check()
        gone = {item.id for item in (*self.direct, *self.descendants)}
        for shown in rows.shown(namespace):
            why = _why_shown(choice, shown, gone)
            if why is None:
                continue
            self.shown.append(shown)
            pair = rows.get(shown.pair)
            if pair is not None and shown.brought(pair):
                self.pairs[pair.id] = Gone(id=pair.id, namespace=namespace, why=why)

    def _left(self, id: str) -> list[int]:
        """The entries of a workflow whose texts are left."""
        return [seq for seq in self.told.of(id) if seq not in self.told.erased]

    def _bad(self, id: str) -> list[int]:
        return [seq for seq in self._left(id) if seq in self.chosen or seq in self.tainted]


def _why(choice: Choice, entry: Entry, body: str) -> str | None:
    if entry.workflow in choice.workflows:
        return "it was named"
    source = source_in(entry.action, entry.seq, body)
    # what is put or imported may claim any age; what is older than the log, or came back, may not
    fresh = entry.action in ("put", "import") or not source.at
    return choice.why(source, entry.at if fresh else source.at)


def _why_shown(choice: Choice, shown: Shown, gone: set[str]) -> str | None:
    """Why a couple of episodes is forgotten."""
    if shown.pair in choice.workflows:
        return "it was named"
    couple = shown.couple
    chosen = (choice.why(source, shown.at) for source in (couple.right, couple.wrong))
    why = next((said for said in chosen if said is not None), None)
    parent = next((id for id in couple.parents if id in gone), None)
    if why is None and parent is not None:
        return f"it was written under the influence of {parent}"
    return why


def _within(read: str, domain: str) -> bool:
    read, domain = read.lower(), domain.lower()
    return read == domain or read.endswith(f".{domain}")


def _time(at: str) -> datetime:
    """A time stamp; the end of all time for one that is none, so that `since` chooses it."""
    try:
        return _aware(datetime.fromisoformat(at))
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _kinds(choice: Choice) -> list[str]:
    """What kinds of things a choice names; not which, since the log keeps this."""
    kinds = {
        "domain": choice.domains,
        "episode": choice.episodes,
        "judge": choice.judges,
        "id": choice.workflows,
        "time": choice.since,
        "absorption": choice.absorbed,
    }
    return [kind for kind, named in kinds.items() if named]
