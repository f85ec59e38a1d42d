"""Writes a data set into a home: row by row beside what is there, and in its place at the end."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import IO

import msgspec

from mia.datasets.dataset import DataSet, LeftOut, Raw, Row, Split
from mia.datasets.files import Broken
from mia.datasets.jsonl import question_of
from mia.datasets.kept import About, Apart, Bad, room, tell
from mia.errors import InputError
from mia.locks import alone
from mia.pictures import MAX_BYTES, Decoder, Pictures
from mia.types import Noun, Picture

_PARTIAL = ".partial"
Progress = Callable[[int], None]
"""Is told how many rows have been read."""


class Origin(Noun, frozen=True):
    """Where rows come from."""

    source: str
    revision: str | None = None
    """The hub's commit; None for a file."""
    beside: Path | None = None
    """Where the paths of pictures begin; None where rows have none."""


class _Line(Noun, frozen=True):
    """What is written of a question."""

    question: str
    id: str
    answers: tuple[str, ...] = ()
    family: str | None = None
    task: str | None = None
    caption: str | None = None
    images: tuple[str, ...] = ()


def keep(
    home: Path,
    data_set: DataSet,
    split: Split,
    rows: Iterable[Raw | Broken],
    origin: Origin,
    *,
    limit: int | None = None,
    skip_bad: bool = False,
    progress: Progress = lambda _: None,
) -> About:
    """Writes the questions of a split; what was there before stays until all is written. With
    `limit`, reads so many rows at most.

    Raises InputError for the first row that does not fit, unless `skip_bad` counts those; and for
    a split without a question.
    """
    folder = room(home) / data_set.name
    busy = f"another `mia data get {data_set.name}` is at work"
    with alone(folder / ".lock", busy):
        for partial in folder.glob(f".*{_PARTIAL}"):
            partial.unlink()  # of a process that was killed
        with _Writer(folder, data_set, split, origin, skip_bad) as writer:
            for raw in islice(rows, limit):
                writer.add(raw)
                progress(writer.rows)
            return writer.finish()


class _Writer:
    """Writes a split row by row beside the one that is there, and puts it in its place."""

    def __init__(
        self, folder: Path, data_set: DataSet, split: Split, origin: Origin, skip_bad: bool
    ) -> None:
        self._folder, self._set, self._split = folder, data_set, split
        self._origin, self._skip_bad = origin, skip_bad
        self._fresh = folder / f".{split.name}{_PARTIAL}"
        self._digest = hashlib.sha256()
        self._ids: dict[str, int] = {}
        self._left_out = Counter[str]()
        self._bad: list[Bad] = []
        self._pictures = Pictures(folder / "pictures")
        self._decoder: Decoder | None = None
        self._file: IO[bytes] | None = None
        self.rows = 0

    def __enter__(self) -> _Writer:
        self._file = self._fresh.open("wb")
        return self

    def __exit__(self, *_: object) -> None:
        if self._decoder is not None:
            self._decoder.__exit__()
        if self._file is not None:
            self._file.close()
        self._fresh.unlink(missing_ok=True)

    def add(self, raw: Raw | Broken) -> None:
        """Writes the question of a row, or counts the row."""
        self.rows += 1
        where = f"{self._set.name} {self._split.name} row {self.rows}"
        try:
            row = self._mapped(raw)
            if isinstance(row, LeftOut):
                self._left_out[row.why] += 1
                return
            line = self._line(row)
            written = msgspec.json.encode(line) + b"\n"
        except (InputError, UnicodeEncodeError) as error:
            if not self._skip_bad:
                raise InputError(f"{where}: {error}; --skip-bad leaves such rows out") from error
            self._bad.append(Bad(row=self.rows, why=str(error)))
            return
        self._ids[line.id] = self.rows
        self._digest.update(written)
        assert self._file is not None
        self._file.write(written)

    def _mapped(self, raw: Raw | Broken) -> Row | LeftOut:
        if isinstance(raw, Broken):
            raise InputError(raw.why)
        return self._set.row(raw, self.rows)

    def _line(self, row: Row) -> _Line:
        """Raises InputError where the line could not be read again as a question."""
        taken = [self._taken(each) for each in row.pictures]
        pictures = tuple(picture for _, picture in taken)
        question = question_of(row.question, "its words", id=row.id, pictures=pictures)
        if question.id in self._ids:
            at = self._ids[question.id]
            raise InputError(f"the id {question.id!r} stands in row {at} too")
        return _Line(
            question=question.text,
            id=question.id,
            answers=row.answers,
            family=row.family,
            task=row.task,
            caption=row.caption,
            images=tuple(reference for reference, _ in taken),
        )

    def _taken(self, picture: bytes | str) -> tuple[str, Picture]:
        """How the JSONL calls a picture, and the picture: in the folder, or on the web."""
        if isinstance(picture, str) and picture.startswith(("http://", "https://")):
            address = hashlib.sha256(picture.encode()).hexdigest()
            return picture, Picture(id=address, width=0, height=0, url=picture)
        raw = picture if isinstance(picture, bytes) else _read(picture, self._origin.beside)
        if self._decoder is None:
            self._decoder = Decoder()
        kept = self._pictures.add(self._decoder.shrunk(raw))
        return f"pictures/{kept.id}.jpg", kept

    def finish(self) -> About:
        """Puts the split in its place."""
        if not self._ids:
            raise InputError(
                f"{self._set.name} {self._split.name} has no questions in {self.rows} rows"
            )
        assert self._file is not None
        self._file.flush()
        os.fsync(self._file.fileno())
        about = About(
            source=self._origin.source,
            revision=self._origin.revision,
            licence=self._set.licence,
            rows=self.rows,
            questions=len(self._ids),
            left_out=tuple(Apart(why=why, rows=rows) for why, rows in self._left_out.items()),
            bad=tuple(self._bad),
            bytes=self._file.tell(),
            sha256=self._digest.hexdigest(),
            date=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        )
        self._fresh.replace(self._folder / f"{self._split.name}.jsonl")
        tell(self._folder, self._split.name, about)
        return about


def _read(reference: str, beside: Path | None) -> bytes:
    """The bytes of a data URL, or of a file that lies beside the source. Raises InputError."""
    if reference.startswith("data:"):
        return _in_line(reference)
    if beside is None:
        raise InputError(
            f"the picture {reference[:80]!r} is a path, and no file lies beside the row"
        )
    path = beside / reference
    try:
        if not path.resolve().is_relative_to(beside.resolve()):
            raise InputError(f"the picture {reference[:200]!r} lies outside of {beside}")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the picture {reference[:200]!r}: {error}") from error


def _in_line(reference: str) -> bytes:
    head, _, body = reference.partition(",")
    if not head.endswith(";base64") or len(body) > 2 * MAX_BYTES:
        raise InputError(f"{head[:80]!r}: not a picture in base64 of at most {MAX_BYTES:,} bytes")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"{head[:80]!r}: {error}") from error
