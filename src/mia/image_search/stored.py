"""An index on disk as the ranking reads it: plain arrays, memory-mapped, so that it opens at once
and only what is looked at is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mia.errors import MissingError, StoreError
from mia.image_search import points as looks
from mia.image_search.alignment import STORED
from mia.image_search.layouts import DIMENSIONS, WINDOWS
from mia.image_search.pixels import Floats, unpacked

FORMAT = 1
"""Of the files and of what is computed: another number, and everything is computed again."""
MANIFEST = "mia-images.json"
ROWS = "rows.jsonl"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A picture of the index."""

    file: str
    """Relative to the manifest's source."""
    title: str
    url: str | None = None
    size: int
    modified: int
    """Bytes, and nanoseconds since 1970: another of either, and it is another picture."""
    points: int
    """How many keypoints it has."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What an index holds."""

    format: int
    pictures: int
    source: str
    """The folder that the files lie in."""
    floor: float
    """The evidence at which chance ends."""
    strangers: int
    """How many queries about something else that is known from."""
    encoder: str | None = None
    vector_floor: float = 1.0


class Files:
    """The arrays of an index, by their files."""

    layouts = "layouts.f16"
    pixels = "pixels.u8"
    places = "places.f16"
    looks = "looks.u8"
    vectors = "vectors.f32"


def is_index(folder: Path) -> bool:
    """Whether a finished index lies there."""
    return (folder / MANIFEST).is_file()


def current(folder: Path) -> Stored:
    """The index that lies there, whole though another one may take its place meanwhile. Raises what
    `Stored` does."""
    while True:
        stamp = _stamp(folder)
        try:
            stored = Stored(folder)
        except StoreError:
            if _stamp(folder) == stamp:
                raise
            continue  # its files are of two indexes
        if not stored.replaced:
            return stored


def _stamp(folder: Path) -> tuple[int, int] | None:
    """Tells one index from the next in its place; None where there is none."""
    try:
        status = (folder / MANIFEST).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_mtime_ns, status.st_ino


class Stored:
    """The arrays of one index. Safe to share between threads."""

    def __init__(self, folder: Path) -> None:
        """Raises MissingError where there is no index, StoreError where it is damaged."""
        self._stamp = _stamp(folder)
        if self._stamp is None:
            raise MissingError(f"no image index at {folder}; run: mia images build FOLDER")
        self.folder = folder
        try:
            self.manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
            if self.manifest.format != FORMAT:
                raise ValueError(f"it has format {self.manifest.format}, not {FORMAT}")
            self._open()
        except (ValueError, OSError) as error:
            raise StoreError(
                f"cannot open the image index at {folder}: {error}; build it again: mia images"
                " build"
            ) from error

    def _open(self) -> None:
        raw = (self.folder / ROWS).read_bytes()
        self.rows = [msgspec.json.decode(line, type=Row) for line in raw.splitlines()]
        count = self.manifest.pictures
        if len(self.rows) != count:
            raise ValueError(f"{ROWS} has {len(self.rows)} lines for {count} pictures")
        self._starts = np.concatenate([[0], np.cumsum([row.points for row in self.rows])])
        total = int(self._starts[-1])
        self.layouts = self._array(Files.layouts, np.float16, (count, len(WINDOWS), DIMENSIONS))
        self._pixels = self._array(Files.pixels, np.uint8, (count, STORED, STORED, 3))
        self._places = self._array(Files.places, np.float16, (total, 2))
        self._looks = self._array(Files.looks, np.uint8, (total, looks.BINS))
        self.vectors: Floats | None = None
        if self.manifest.encoder is not None:
            path = self.folder / Files.vectors
            wide = path.stat().st_size // 4 // max(1, count)
            self.vectors = self._array(Files.vectors, np.float32, (count, wide))

    def _array(self, name: str, kind: Any, shape: tuple[int, ...]) -> NDArray[Any]:
        path = self.folder / name
        expected = int(np.prod(shape)) * np.dtype(kind).itemsize
        if path.stat().st_size != expected:
            raise ValueError(f"{name} has {path.stat().st_size:,} bytes, not {expected:,}")
        if not expected:  # which cannot be mapped
            return np.zeros(shape, kind)
        return np.memmap(path, dtype=kind, mode="r", shape=shape)

    @property
    def replaced(self) -> bool:
        """Whether another index lies in its place. One that was removed may still be read."""
        return _stamp(self.folder) not in (None, self._stamp)

    def __len__(self) -> int:
        return len(self.rows)

    def pixels(self, row: int) -> Floats:
        """A picture in Lab, [STORED, STORED, 3]."""
        return unpacked(self._pixels[row])

    def points(self, row: int) -> looks.Points:
        """A picture's keypoints."""
        part = slice(int(self._starts[row]), int(self._starts[row + 1]))
        return looks.Points(
            places=self._places[part].astype(np.float32), looks=looks.unpacked(self._looks[part])
        )

    def raw(self, row: int) -> tuple[bytes, ...]:
        """What the files hold of one picture, in the order of `Entry`."""
        part = slice(int(self._starts[row]), int(self._starts[row + 1]))
        arrays = (self.layouts[row], self._pixels[row], self._places[part], self._looks[part])
        vector = () if self.vectors is None else (self.vectors[row],)
        return tuple(array.tobytes() for array in (*arrays, *vector))
