"""The pictures of questions, which clients register by the questions' ids.

What shows them lies in the picture folder, decoded and bounded as every picture of unknown origin
is; here is only which one belongs to whom. A picture comes as base64, as a data URL or as an
address of the web. A path is none: nothing is read that a client names.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from mia.errors import InputError, StoreError
from mia.servers.reference_agent_wire import Entry
from mia.sqlite_file import SqliteFile
from mia.types import Picture, decode, encode

Fetch = Callable[[str, str], Awaitable[Picture]]
"""Takes in the picture behind a data URL or an address of the web, under a name. Raises
InputError."""
MOST = 1_000_000
"""Questions with pictures."""
_ADDRESSES = ("http://", "https://", "data:")
_VERSION = 1
_SCHEMA = """
CREATE TABLE picture (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    question TEXT NOT NULL UNIQUE,
    body BLOB NOT NULL
) STRICT
"""


class _Kept(msgspec.Struct, frozen=True):
    """A picture as data sets keep one; a path in it is passed over."""

    raw: str | None = msgspec.field(name="bytes", default=None)
    url: str | None = None


class Registry:
    """Which pictures belong to which question. What was registered last stays longest."""

    def __init__(self, path: Path | None, most: int = MOST) -> None:
        """In a file, or in this process's memory. Raises StoreError."""
        self._most = most
        self._file = SqliteFile(path, "the pictures in", _SCHEMA, version=_VERSION,
                                synchronous="FULL")  # fmt: skip

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def add(self, pictures: Sequence[tuple[str, Picture]]) -> int:
        """Keeps pictures by the ids of their questions, newer ones in place of older ones; how many
        there are then. Blocks."""
        with self._file.writing() as db:
            rows = [(question, encode(picture)) for question, picture in pictures]
            db.executemany("INSERT OR REPLACE INTO picture (question, body) VALUES (?, ?)", rows)
            total = int(db.execute("SELECT count(*) FROM picture").fetchone()[0])
            if total > self._most:
                db.execute(
                    "DELETE FROM picture WHERE seq IN"
                    " (SELECT seq FROM picture ORDER BY seq LIMIT ?)",
                    (total - self._most,),
                )
            return min(total, self._most)

    def of(self, question: str) -> tuple[Picture, ...]:
        """The pictures of a question. Blocks. Raises StoreError for a damaged row."""
        with self._file.reading() as db:
            row = db.execute("SELECT body FROM picture WHERE question = ?", (question,)).fetchone()
        try:
            return () if row is None else (decode(row[0], Picture),)
        except msgspec.DecodeError as error:
            raise StoreError(f"the pictures cannot be read: {error}") from error

    def count(self) -> int:
        """How many questions have pictures. Blocks."""
        with self._file.reading() as db:
            return int(db.execute("SELECT count(*) FROM picture").fetchone()[0])


async def taken_in(entry: Entry, fetch: Fetch) -> Picture | None:
    """The picture of an entry, of several the first; None for none. Raises InputError."""
    images = [entry.images] if isinstance(entry.images, str) else entry.images or []
    if not images or images[0] in (None, ""):
        return None
    return await fetch(_address(images[0]), str(entry.data_id))


def _address(image: Any) -> str:
    """Where a picture lies, or the picture itself, as an address. Raises InputError."""
    if not isinstance(image, str):
        try:
            kept = msgspec.convert(image, _Kept)
        except msgspec.ValidationError as error:
            raise InputError(f"images: {error}") from error
        image = kept.raw or kept.url or ""
    if image.startswith(_ADDRESSES):
        return image
    return f"data:image/unknown;base64,{image}"
