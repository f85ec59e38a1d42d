"""Builds the index of a folder of labelled pictures, and builds it again with what has changed."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mia.errors import ConfigError, InputError, MissingError, StoreError
from mia.image_search import points as looks
from mia.image_search.alignment import STORED
from mia.image_search.encoder import Encoder
from mia.image_search.evidence import floor_of
from mia.image_search.labels import Folder, Labelled, labelled
from mia.image_search.layouts import windows
from mia.image_search.pixels import SIDE, Pixels, lab, opened, packed
from mia.image_search.ranking import nearest, ranked
from mia.image_search.stored import FORMAT, MANIFEST, ROWS, Files, Manifest, Row, Stored, is_index
from mia.locks import alone
from mia.pictures import MAX_BYTES, Decoder
from mia.types import Noun

_LOCK = ".mia-images.lock"
_PROBES = 96
"""Pictures that are asked for in an index without themselves, every other one in part only."""
_PARTS = (0.6, 0.85)
"""The share of each side of such a part."""
Say = Callable[[str], None]


def silent(_: str) -> None:
    """For callers who need no progress."""


class Built(Noun, frozen=True):
    """What a build did."""

    pictures: int
    new: int
    """The others were taken over from the index that was there."""
    skipped: tuple[str, ...] = ()
    """Files that cannot be read, and why."""


class _Entry(Noun, frozen=True):
    """A picture as it goes into the files."""

    row: Row
    raw: tuple[bytes, ...]
    """Of each array, in the order of `_FILES`."""
    new: bool


_FILES = (Files.layouts, Files.pixels, Files.places, Files.looks)


def build(folder: Path, out: Path, encoder: Encoder | None = None, say: Say = silent) -> Built:
    """Writes the index of a folder to `out`, replacing one that is there.

    Pictures whose size and time of change are as they were are not opened again. The index appears
    whole or not at all; another process that builds the same one is waited for. Raises ConfigError
    when there is something else at `out`, which would be lost, and InputError when no picture of
    the folder can be read.
    """
    out = out.resolve()
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not is_index(out)):
        raise ConfigError(f"{out} is there already and is no image index; choose another place")
    held = labelled(folder)
    with alone(lock := out.parent / _LOCK):
        fresh = out.with_name(f".{out.name}.building")
        shutil.rmtree(fresh, ignore_errors=True)  # what a killed process left
        fresh.mkdir(parents=True)
        try:
            built = _write(held, _before(out, encoder), fresh, encoder, say)
            _swap(fresh, out)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
            lock.unlink(missing_ok=True)  # who waits for it takes the next one
    return built


def _before(out: Path, encoder: Encoder | None) -> Stored | None:
    """The index that is there, if what it holds is still of use."""
    try:
        stored = Stored(out)
    except (MissingError, StoreError):  # none, or none that can be read: all is computed anew
        return None
    return stored if stored.manifest.encoder == (encoder.name if encoder else None) else None


def _write(
    held: Folder, before: Stored | None, fresh: Path, encoder: Encoder | None, say: Say
) -> Built:
    rows: list[Row] = []
    skipped: list[str] = []
    new = 0
    names = (*_FILES, Files.vectors) if encoder else _FILES
    with Decoder() as decoder, _written(fresh, names) as files:
        for entry in _entries(held, before, decoder, encoder):
            if isinstance(entry, str):
                skipped.append(entry)
                continue
            rows.append(entry.row)
            new += entry.new
            for file, raw in zip(files, entry.raw, strict=True):
                file.write(raw)
            if new and new % 500 == 0:
                say(f"{len(rows):,} of {len(held.pictures):,} pictures")
        if not rows:
            raise InputError(f"no picture of {held.root} can be read; first: {skipped[0]}")
        (fresh / ROWS).write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
        for file in files:
            file.flush()
        manifest = Manifest(
            format=FORMAT,
            pictures=len(rows),
            source=str(held.root),
            floor=floor_of(()),
            strangers=0,
            encoder=encoder.name if encoder else None,
        )
        _manifest(fresh, manifest)
        if before is not None and _same(before, rows, held):
            known = before.manifest
            manifest = msgspec.structs.replace(
                manifest, floor=known.floor, strangers=known.strangers,
                vector_floor=known.vector_floor,
            )  # fmt: skip
        else:
            say("measuring where chance ends")
            manifest = _calibrated(fresh, manifest, decoder, encoder)
        _manifest(fresh, manifest)
    return Built(pictures=len(rows), new=new, skipped=tuple(skipped))


def _same(before: Stored, rows: list[Row], held: Folder) -> bool:
    """Whether chance ends where it did: with the very same pictures under the same titles, which
    tell what is a stranger. An address tells nothing."""
    if before.manifest.source != str(held.root):
        return False
    now, then = (
        [msgspec.structs.replace(row, url=None) for row in each] for each in (rows, before.rows)
    )
    return now == then


def _entries(
    held: Folder, before: Stored | None, decoder: Decoder, encoder: Encoder | None
) -> Iterator[_Entry | str]:
    """Every picture, or why it cannot be read."""
    same_place = before is not None and before.manifest.source == str(held.root)
    known = {row.file: n for n, row in enumerate(before.rows)} if before and same_place else {}
    for picture in held.pictures:
        path = held.root / picture.file
        try:
            stat = path.stat()
            at = known.get(picture.file)
            if before is not None and at is not None:
                row = before.rows[at]
                if (row.size, row.modified) == (stat.st_size, stat.st_mtime_ns):
                    row = msgspec.structs.replace(row, title=picture.title, url=picture.url)
                    yield _Entry(row=row, raw=before.raw(at), new=False)
                    continue
            pixels = read(path, decoder)
        except (InputError, OSError) as error:
            yield f"{picture.file}: {error}"
            continue
        yield _computed(picture, pixels, (stat.st_size, stat.st_mtime_ns), encoder)


def _computed(
    picture: Labelled, pixels: Pixels, state: tuple[int, int], encoder: Encoder | None
) -> _Entry:
    found = looks.points(pixels)
    arrays: list[NDArray[Any]] = [
        windows(pixels).astype(np.float16),
        packed(lab(pixels, STORED)),
        found.places.astype(np.float16),
        looks.packed(found.looks),
    ]
    if encoder is not None:
        arrays.append(encoder.vector(pixels))
    row = Row(
        file=picture.file,
        title=picture.title,
        url=picture.url,
        size=state[0],
        modified=state[1],
        points=len(found.looks),
    )
    return _Entry(row=row, raw=tuple(array.tobytes() for array in arrays), new=True)


def read(path: Path, decoder: Decoder) -> Pixels:
    """A file's picture at the size of comparison. Raises InputError, OSError."""
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"the picture has more than {MAX_BYTES:,} bytes")
    return opened(decoder.shrunk(path.read_bytes(), 2 * SIDE).jpeg)


def _calibrated(
    fresh: Path, manifest: Manifest, decoder: Decoder, encoder: Encoder | None
) -> Manifest:
    """Where chance ends: some pictures are asked for in the index without themselves and their
    namesakes. What is found then is wrong, and the best of it is noted."""
    stored = Stored(fresh)
    chance = random.Random(0)
    probed = chance.sample(range(len(stored)), min(_PROBES, len(stored)))
    reached: list[float] = []
    vectors: list[float] = []
    for count, row in enumerate(probed):
        title = stored.rows[row].title.casefold()
        own = [n for n, other in enumerate(stored.rows) if other.title.casefold() == title]
        try:
            pixels = read(Path(manifest.source) / stored.rows[row].file, decoder)
        except (InputError, OSError):  # changed since it was taken over
            continue
        query = _part(pixels, chance) if count % 2 else pixels
        matches = ranked(stored, query, own)
        reached += [matches[0].evidence] if matches else []
        if encoder is not None:
            near = nearest(stored, encoder.vector(query), own)
            vectors += [near[0].likeness] if near else []
    return msgspec.structs.replace(
        manifest,
        floor=floor_of(reached),
        strangers=len(reached),
        vector_floor=float(np.quantile(vectors, 0.95)) if vectors else 1.0,
    )


def _part(pixels: Pixels, chance: random.Random) -> Pixels:
    height, width = pixels.shape[:2]
    high, wide = (max(8, int(side * chance.uniform(*_PARTS))) for side in (height, width))
    top, left = chance.randint(0, max(0, height - high)), chance.randint(0, max(0, width - wide))
    return np.ascontiguousarray(pixels[top : top + high, left : left + wide])


@contextmanager
def _written(fresh: Path, names: tuple[str, ...]) -> Generator[list[IO[bytes]]]:
    with ExitStack() as stack:
        yield [stack.enter_context((fresh / name).open("wb")) for name in names]


def _manifest(fresh: Path, manifest: Manifest) -> None:
    (fresh / MANIFEST).write_bytes(msgspec.json.encode(manifest))


def _swap(fresh: Path, out: Path) -> None:
    """Puts a finished index in the place of the old one, which stays readable for who has it
    open."""
    old = out.with_name(f".{out.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    fresh.rename(out)
    shutil.rmtree(old, ignore_errors=True)
