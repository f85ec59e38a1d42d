"""From schema 1 to schema 2: standings leave the bodies, and the log begins.

Released, so never edited. It writes schema 2 by itself and shares no code with what writes the
newest schema: that will change, this must not.
"""

from __future__ import annotations

import hashlib
import sqlite3
import zlib
from datetime import UTC, datetime
from typing import Any

import msgspec

from mia.errors import StoreError

_Body = dict[str, Any]
_MERGED = ("stored", "replaced", "merged")


def from_1_to_2(db: sqlite3.Connection) -> None:
    """Copies the rows of `old_workflows`, `old_vectors` and `old_absorbed`. Raises StoreError for a
    damaged one."""
    upgrade = _Upgrade(db)
    upgrade.workflows()
    upgrade.vectors()
    upgrade.episodes()


class _Upgrade:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._run = db.execute
        self._at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._seq, self._hash = 0, "0" * 64
        self._seqs: dict[str, int] = {}
        self._namespaces: dict[str, str] = {}
        self._episodes: dict[str, str] = {}

    def workflows(self) -> None:
        """Bodies lose their standing, which goes to the columns."""
        for row in self._run(
            "SELECT id, namespace, modality, category, outcome, trust, plan, question_id, task,"
            " uses, wins, created, body, crc FROM old_workflows ORDER BY seq"
        ).fetchall():
            self._workflow(_read(row[0], row[-2], row[-1]), row[:-2])

    def _workflow(self, body: _Body, beside: tuple[Any, ...]) -> None:
        id, namespace = body["id"], body["namespace"]
        episode, created = body.get("source_episode", ""), body.get("created", "")
        uses, wins = body.pop("uses", 0), body.pop("wins", 0)
        used, trust = body.pop("used", None), body.pop("trust", "trusted")
        modality, task = body.get("modality", "text"), body.get("task")
        known = (
            id, namespace, modality, body["category"], body["outcome"], trust, body["plan"],
            body.get("question_id", ""), task, uses, wins, created,
        )  # fmt: skip
        if known != beside:
            raise StoreError(f"workflow {id} is damaged: its columns do not match its body")
        raw = msgspec.json.encode(body)
        standing = _told(uses=uses, wins=wins, used=used, trust=_unless(trust, "trusted"))
        source = msgspec.json.encode(_source(body))
        detail = {"standing": standing, "parents": body.get("parents"), "source": _digest(source)}
        seq = self._log("keep", namespace, id, "kept from schema 1", _digest(raw), detail)
        self._text(seq, raw)
        columns = (
            seq, seq, id, namespace, modality, body["category"], body["outcome"],
            _digest(body["plan"].encode())[:32], body.get("question_id", ""), task, episode,
            created, uses, wins, used, trust, zlib.crc32(raw),
        )  # fmt: skip
        row = (*columns, zlib.crc32(msgspec.json.encode(columns)))
        self._run(f"INSERT INTO workflows VALUES ({', '.join('?' * len(row))})", row)
        self._run("INSERT INTO unembedded VALUES (?, ?)", (seq, namespace))
        self._run("INSERT INTO sources VALUES (?, ?, ?)", (id, _digest(source), source.decode()))
        self._seqs[id], self._namespaces[id], self._episodes[id] = seq, namespace, episode

    def vectors(self) -> None:
        """Those of the embedder that made most of them are kept; it becomes the store's."""
        most = self._run(
            "SELECT embedder, length(template) FROM old_vectors GROUP BY 1, 2"
            " ORDER BY count(*) DESC, 1, 2 LIMIT 1"
        ).fetchone()
        if most is None:
            return
        embedder, size = most
        for name, value in (("embedder", embedder), ("dimension", str(size // 4))):
            self._run("INSERT INTO meta VALUES (?, ?)", (name, value))
        for id, *blobs, crc in self._run(
            "SELECT workflow, question, template, caption, crc FROM old_vectors"
            " WHERE embedder = ? AND length(template) = ? ORDER BY workflow",
            most,
        ).fetchall():
            known = zlib.crc32(f"{id}\0{embedder}".encode())
            for blob in blobs:
                known = zlib.crc32(blob or b"", known)
            if known != crc:
                raise StoreError(f"workflow {id} is damaged: the checksum of its vectors")
            question, template, caption = blobs
            raw = b"".join((id.encode(), b"\0", question, template, caption or b""))
            seq, own = self._seqs[id], zlib.crc32(id.encode())
            found_by = zlib.crc32(template + (caption or b""), own)
            row = (seq, *blobs, found_by, zlib.crc32(question, own))
            self._run("INSERT INTO vectors VALUES (?, ?, ?, ?, ?, ?)", row)
            self._run("DELETE FROM unembedded WHERE seq = ?", (seq,))
            place, detail = self._namespaces[id], {"name": embedder}
            self._log("embed", place, id, "kept from schema 1", _digest(raw), detail)

    def episodes(self) -> None:
        """What was decided stays; of an episode that was merged only the id is known."""
        for namespace, episode, body, crc in self._run(
            "SELECT namespace, episode, body, crc FROM old_absorbed ORDER BY rowid"
        ).fetchall():
            decided = _read(f"of episode {episode}", body, crc)
            id, decision = decided.get("workflow_id") or "", decided["decision"]
            if decision in _MERGED and self._episodes.get(id, episode) != episode:
                source = msgspec.json.encode({"episode": episode})
                seq = self._log("merge", namespace, id, f"episode {episode}", _digest(source), {})
                self._text(seq, source)
                row = (id, _digest(source), source.decode())
                self._run("INSERT INTO sources VALUES (?, ?, ?)", row)
            sealed = zlib.crc32(body.encode())
            for key in (namespace, episode):
                sealed = zlib.crc32(f"\0{key}".encode(), sealed)
            self._run(
                "INSERT INTO absorbed VALUES (?, ?, ?, ?)", (namespace, episode, body, sealed)
            )
            digest = _digest(b"\0".join(part.encode() for part in (namespace, episode, body)))
            self._log("absorb", namespace, id or None, f"episode {episode}: {decision}", digest, {})

    def _text(self, seq: int, raw: bytes) -> None:
        self._run("INSERT INTO versions VALUES (?, ?)", (seq, raw.decode()))

    def _log(
        self, action: str, namespace: str, id: str | None, reason: str, digest: str, detail: _Body
    ) -> int:
        self._seq += 1
        said = msgspec.json.encode(_told(**detail)).decode()
        entry = (self._seq, self._at, namespace, action, id, reason, digest, said)
        chained = self._hash.encode() + msgspec.json.encode(entry)
        self._hash = hashlib.sha256(chained).hexdigest()
        self._run("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (*entry, self._hash))
        self._run("INSERT OR REPLACE INTO meta VALUES ('head', ?)", (f"{self._seq} {self._hash}",))
        return self._seq


def _read(name: str, body: str, crc: int) -> _Body:
    if zlib.crc32(body.encode()) != crc:
        raise StoreError(f"workflow {name} is damaged: its checksum does not match")
    return msgspec.json.decode(body, type=_Body)


def _source(body: _Body) -> _Body:
    return _told(
        episode=body.get("source_episode"),
        question_id=body.get("question_id"),
        task=body.get("task"),
        judge=body.get("verdict_kind"),
        domains=body.get("source_domains"),
        hashes=body.get("source_hashes"),
        at=body.get("created"),
    )


def _told(**facts: Any) -> _Body:
    """What there is to tell: nothing that is empty."""
    return {name: fact for name, fact in facts.items() if fact}


def _unless(value: str, usual: str) -> str | None:
    return None if value == usual else value


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
