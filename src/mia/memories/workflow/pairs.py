"""Pairs of plans as rows: the statements, the checksums, and what the log is told of them.

A pair is stored once, however many couples of episodes showed it; these are kept beside it, so that
each counts once, and also when the pair is gone, so that none brings it back. Vectors can be made
anew at any time and are no part of the history.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from msgspec.structs import replace

from mia.errors import StoreError
from mia.memories.workflow.log import Detail
from mia.memories.workflow.records import (
    Source,
    Vectors,
    checksum,
    fingerprint,
    open_noun,
    read_noun,
    vectors_raw,
)
from mia.memories.workflow.rows import Rows
from mia.router import PlanPair
from mia.types import Noun, encode

BROUGHT, SHOWN, UNSHOWN, FORGOTTEN = "pair", "pair shown", "pair unshown", "pair forgotten"
"""What the log calls a new pair, a couple of episodes that showed one, such a couple that counts no
more, and a pair that went."""


class Couple(Noun, frozen=True):
    """Two episodes of one question that showed a pair."""

    right: Source
    wrong: Source
    parents: tuple[str, ...] = ()
    """Workflows that were recalled for either."""
    counts: bool = True
    """Not after one of them was forgotten."""

    @property
    def episodes(self) -> tuple[str, str]:
        return self.right.episode, self.wrong.episode


class Shown(NamedTuple):
    """A couple that counts, and the pair it showed."""

    namespace: str
    pair: str
    couple: Couple
    at: str
    """When it was learnt, by the log; empty where that does not tell."""

    def brought(self, pair: PlanPair) -> bool:
        """Whether the plans of the pair came from this couple."""
        return (pair.right_episode, pair.wrong_episode) == self.couple.episodes


class _Told(NamedTuple):
    """One entry of the log that is about pairs."""

    action: str
    pair: str
    couple: str | None
    """Digest of the couple that it is about."""
    digest: str
    """Of the body that it brought."""
    at: str


class Found(NamedTuple):
    """A pair, and what it is found by."""

    id: str
    vectors: Vectors


class PairRows:
    """The pairs as one transaction sees them."""

    def __init__(self, rows: Rows) -> None:
        self._session = rows.session
        self._log = rows.log

    def get(self, id: str) -> PlanPair | None:
        """A pair, or None when there is none of this id."""
        return next(self._pairs("id = ?", id), None)

    def all(self, namespace: str) -> Iterator[PlanPair]:
        """The pairs of a namespace, oldest first."""
        return self._pairs("namespace = ? ORDER BY id", namespace)

    def put(self, pair: PlanPair) -> None:
        """Inserts a pair, to be shown by a couple."""
        body, plans = _body(pair), _plans(pair)
        self._session.change(
            "INSERT INTO plan_pairs (id, namespace, plans, body, crc) VALUES (?, ?, ?, ?, ?)",
            (
                pair.id, pair.namespace, plans, body.decode(),
                checksum(body, pair.id, pair.namespace, plans),
            ),
        )  # fmt: skip
        self._log.append(
            BROUGHT, namespace=pair.namespace, workflow=pair.id, digest=fingerprint(body)
        )

    def shown_by(self, namespace: str, right: str, wrong: str) -> str | None:
        """The pair that two episodes showed; None for a couple not seen yet."""
        found = self._couples(
            "namespace = ? AND right_episode = ? AND wrong_episode = ?", namespace, right, wrong
        )
        return next((pair for pair, _ in found), None)

    def show(self, namespace: str, id: str, couple: Couple) -> None:
        """Notes that two episodes showed a pair."""
        self._keep(SHOWN, namespace, id, couple)

    def shown(self, namespace: str) -> Iterator[Shown]:
        """The couples of a namespace that count."""
        learnt = {(told.pair, told.couple): told.at for told in self._logged()}
        for id, couple in self._couples("namespace = ?", namespace):
            if couple.counts:
                yield Shown(namespace, id, couple, learnt.get((id, _key(couple)), ""))

    def forget(self, chosen: Iterable[Shown], reason: str = "") -> None:
        """Takes couples out of plan memory, and the pairs whose plans came from one of them. Of a
        couple only the ids of its episodes are left."""
        for shown in list(chosen):
            namespace, id = shown.namespace, shown.pair
            right, wrong = shown.couple.episodes
            bare = Couple(right=Source(episode=right), wrong=Source(episode=wrong), counts=False)
            self._keep(UNSHOWN, namespace, id, bare, reason)
            pair = self.get(id)
            if pair is not None and shown.brought(pair):
                self._session.change("DELETE FROM plan_pairs WHERE id = ?", (id,))
                self._log.append(FORGOTTEN, namespace=namespace, workflow=id, reason=reason)

    def set_vectors(self, id: str, embedder: str, vectors: Vectors) -> None:
        """Stores what a pair is found by, under the embedder's name. Says nothing for a pair that
        is gone."""
        session = self._session
        if next(session.rows("SELECT 1 FROM plan_pairs WHERE id = ?", (id,)), None) is None:
            return
        kept = (session.vector(vectors.question), session.vector(vectors.template))
        session.change(
            "INSERT INTO pair_vectors (pair, embedder, question, template, crc)"
            " VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (pair) DO UPDATE SET embedder = excluded.embedder,"
            " question = excluded.question, template = excluded.template, crc = excluded.crc",
            (id, embedder, *kept, checksum(vectors_raw(id, vectors), embedder)),
        )

    def without_vectors(self, namespace: str, embedder: str) -> tuple[PlanPair, ...]:
        """Pairs that this embedder has not seen."""
        where = "namespace = ? AND id NOT IN (SELECT pair FROM pair_vectors WHERE embedder = ?)"
        return tuple(self._pairs(f"{where} ORDER BY id", namespace, embedder))

    def found(self, namespace: str, embedder: str, like: PlanPair | None = None) -> list[Found]:
        """What the pairs of a namespace are found by; with `like`, those of its two plans."""
        where = "p.namespace = ? AND v.embedder = ?" + (" AND p.plans = ?" if like else "")
        values = (namespace, embedder, *((_plans(like),) if like else ()))
        found = self._session.rows(
            "SELECT p.id, v.question, v.template, v.crc FROM plan_pairs AS p"
            f" JOIN pair_vectors AS v ON v.pair = p.id WHERE {where} ORDER BY p.id",
            values,
        )
        return [Found(row[0], self._vectors(embedder, *row)) for row in found]

    def check(self) -> None:
        """Reads everything and compares it with its checksums and with the log. Raises StoreError
        naming the first record that is damaged."""
        brought: dict[str, str] = {}
        couples: dict[tuple[str, str], str] = {}
        for told in self._logged():
            if told.couple is not None:
                couples[told.pair, told.couple] = told.digest
            elif told.action == BROUGHT:
                brought[told.pair] = told.digest
            else:
                brought.pop(told.pair, None)
        for pair in self._pairs():
            if brought.pop(pair.id, None) != fingerprint(_body(pair)):
                raise StoreError(f"pair {pair.id} was changed behind the log's back")
        for id, couple in self._couples():
            if couples.pop((id, _key(couple)), None) != fingerprint(encode(couple)):
                raise StoreError(f"an episode of pair {id} was changed behind the log's back")
        for missing in (*brought, *(id for id, _ in couples)):
            raise StoreError(f"pair {missing} or an episode of it is missing")
        for embedder, *row in self._session.rows(
            "SELECT embedder, pair, question, template, crc FROM pair_vectors"
        ):
            self._vectors(embedder, *row)

    def _logged(self) -> Iterator[_Told]:
        """What the log tells of pairs, in order."""
        for seq, action, id, digest, detail, at in self._session.rows(
            "SELECT seq, action, workflow, digest, detail, at FROM log"
            " WHERE action IN (?, ?, ?, ?) ORDER BY seq",
            (BROUGHT, SHOWN, UNSHOWN, FORGOTTEN),
        ):
            couple = read_noun(Detail, f"entry {seq} of the log", detail).source
            yield _Told(action, id, couple, digest or "", at)

    def _keep(self, action: str, namespace: str, id: str, couple: Couple, reason: str = "") -> None:
        body, key = encode(couple), (namespace, *couple.episodes)
        self._session.change(
            "INSERT INTO pair_episodes (namespace, right_episode, wrong_episode, pair, body, crc)"
            " VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (namespace, right_episode, wrong_episode)"
            " DO UPDATE SET body = excluded.body, crc = excluded.crc",
            (*key, id, body.decode(), checksum(body, *key, id)),
        )
        self._log.append(
            action,
            namespace=namespace,
            workflow=id,
            reason=reason,
            digest=fingerprint(body),
            detail=Detail(source=_key(couple)),
        )

    def _pairs(self, where: str = "1 = 1", *values: str) -> Iterator[PlanPair]:
        found = self._session.rows(
            f"SELECT id, namespace, plans, body, crc FROM plan_pairs WHERE {where}", values
        )
        for id, namespace, plans, body, crc in found:
            pair = open_noun(PlanPair, f"pair {id}", body, crc, id, namespace, plans)
            seen = sum(couple.counts for _, couple in self._couples("pair = ?", id))
            yield replace(pair, seen=seen)

    def _couples(self, where: str = "1 = 1", *values: str) -> Iterator[tuple[str, Couple]]:
        found = self._session.rows(
            "SELECT namespace, right_episode, wrong_episode, pair, body, crc FROM pair_episodes"
            f" WHERE {where} ORDER BY namespace, right_episode, wrong_episode",
            values,
        )
        for *key, pair, body, crc in found:
            yield pair, open_noun(Couple, f"an episode of pair {pair}", body, crc, *key, pair)

    def _vectors(self, embedder: str, id: str, question: Any, template: Any, crc: int) -> Vectors:
        row = self._session.row
        vectors = Vectors(row(question), row(template))
        if checksum(vectors_raw(id, vectors), embedder) != crc:
            raise StoreError(f"pair {id} is damaged: its vectors do not match their checksum")
        return vectors


def _body(pair: PlanPair) -> bytes:
    """A pair without its count, as stored."""
    return encode(replace(pair, seen=1))


def _plans(pair: PlanPair) -> str:
    """Tells pairs of the same two plans."""
    return fingerprint(f"{pair.right}\0{pair.wrong}".encode())


def _key(couple: Couple) -> str:
    """Tells couples."""
    return fingerprint("\0".join(couple.episodes).encode())
