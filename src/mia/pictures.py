"""The picture folder, and the only place where pictures of unknown origin are decoded.

Decoding happens in a process of its own, with bounds on memory and time: a JPEG of a megabyte can
ask for hours of work (thousands of progressive scans), a PNG of a kilobyte for gigabytes. What
comes back is a plain small JPEG without metadata, and only that is kept, sent and decoded again.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import struct
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from threading import Timer
from typing import IO, TYPE_CHECKING

from mia.errors import InputError, MissingError, StoreError, adding
from mia.types import Noun, Picture

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE = 1024
"""Pixels of the longer side of what is kept; a smaller picture stays as it is."""
MAX_BYTES = 32 << 20
MAX_PIXELS = 25_000_000
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
_QUALITY = 90
_SECONDS = 10.0
_MEMORY = 1 << 30
"""Address space of the decoding process: 25 million pixels of animated WebP take half of it."""
_ID = re.compile(r"[0-9a-f]{64}")
_ASKED = struct.Struct(">II")
"""The side, and how many bytes follow."""
_TOLD = struct.Struct(">?III")
"""Whether it went well, width, height, and how many bytes follow: a JPEG, or words."""
_Bytes = bytes
"""In a class with a method `bytes`, the name means that method."""


class Shrunk(Noun, frozen=True):
    """A picture in its plain form."""

    jpeg: bytes
    width: int
    height: int


class Decoder:
    """Decodes pictures one after the other, in one process while it is entered."""

    def __init__(self, seconds: float = _SECONDS) -> None:
        """Each picture may take so many seconds. Raises MissingError without Pillow."""
        if find_spec("PIL") is None:
            raise MissingError(f"pictures need Pillow; run: {adding('images')}")
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def shrunk(self, raw: bytes, side: int = SIDE) -> Shrunk:
        """The picture upright, flattened on white, at most so large. Of an animation the first
        frame. Raises InputError that says what is wrong with the bytes."""
        if not raw:
            raise InputError("the picture is empty")
        if len(raw) > MAX_BYTES:
            raise InputError(f"the picture has {len(raw):,} bytes; at most {MAX_BYTES:,} are read")
        told = self._ask(raw, side)
        if told is None:
            self._end()
            raise InputError("the picture cannot be read: decoding it crashed")
        well, width, height, body = told
        if not well:
            raise InputError(body.decode())
        return Shrunk(jpeg=body, width=width, height=height)

    def _ask(self, raw: bytes, side: int) -> tuple[bool, int, int, bytes] | None:
        """What the process says to these bytes; None when it died of them."""
        process = self._process or _start()
        self._process = process
        assert process.stdin and process.stdout
        late: list[bool] = []

        def stop() -> None:
            late.append(True)
            process.kill()

        timer = Timer(self._seconds, stop)
        timer.start()
        try:
            with suppress(BrokenPipeError):  # its death shows in what it does not say
                process.stdin.write(_ASKED.pack(side, len(raw)) + raw)
                process.stdin.flush()
            head = process.stdout.read(_TOLD.size)
            if len(head) == _TOLD.size:
                well, width, height, size = _TOLD.unpack(head)
                body = process.stdout.read(size)
                if len(body) == size:
                    return well, width, height, body
        finally:
            timer.cancel()
        if late:
            self._end()
            raise InputError(f"the picture was not decoded within {self._seconds:g} s")
        return None

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        with suppress(BrokenPipeError):
            process.communicate()


class Pictures:
    """Pictures in a folder, each under the SHA-256 of its plain form. Processes may share one."""

    def __init__(self, folder: Path, seconds: float = _SECONDS) -> None:
        """Decoding one picture may take so many seconds."""
        self._folder = folder
        self._seconds = seconds

    def keep(self, raw: bytes, *, name: str = "", url: str | None = None) -> Picture:
        """Keeps a picture and returns what it goes by. Takes a tenth of a second and is no work for
        an event loop. Raises InputError that says what is wrong with the bytes, StoreError when
        they cannot be written."""
        known = hashlib.sha256(raw).hexdigest()
        if self._path(known).is_file():
            width, height = _size(raw)
            return Picture(id=known, width=width, height=height, name=name, url=url)
        with Decoder(self._seconds) as decoder:
            shrunk = decoder.shrunk(raw)
        return self.add(shrunk, name=name, url=url)

    def add(self, shrunk: Shrunk, *, name: str = "", url: str | None = None) -> Picture:
        """Keeps what a Decoder returned."""
        id = hashlib.sha256(shrunk.jpeg).hexdigest()
        path = self._path(id)
        if not path.is_file():
            with _told(path):
                _write(path, shrunk.jpeg)
        return Picture(id=id, width=shrunk.width, height=shrunk.height, name=name, url=url)

    def bytes(self, picture: Picture) -> _Bytes:
        """The JPEG. Raises StoreError when it is not there or damaged, InputError for an id that
        is none."""
        path = self._path(picture.id)
        with _told(path):
            raw = path.read_bytes()
        if hashlib.sha256(raw).hexdigest() != picture.id:
            raise StoreError(f"{path} is damaged; remove it, and give the picture again")
        return raw

    def data_url(self, picture: Picture) -> str:
        """The picture as models take it over HTTP."""
        return f"data:image/jpeg;base64,{base64.b64encode(self.bytes(picture)).decode()}"

    def thumbnail(self, raw: _Bytes, side: int = 256) -> _Bytes:
        """A small square JPEG of a picture of unknown origin, white where the picture is none;
        nothing is kept. Raises InputError."""
        with Decoder(self._seconds) as decoder:
            return _squared(decoder.shrunk(raw, side).jpeg, side)

    def _path(self, id: str) -> Path:
        if not _ID.fullmatch(id):
            raise InputError(f"{id[:80]!r} is no id of a picture")
        return self._folder / f"{id}.jpg"


@contextmanager
def _told(path: Path) -> Generator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise StoreError(f"there is no picture {path.stem} in {path.parent}") from error
    except OSError as error:
        raise StoreError(f"the picture folder {path.parent}: {error}") from error


def _write(path: Path, raw: bytes) -> None:
    """Whole or not at all: a reader never sees half a picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
        try:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def _squared(raw: bytes, side: int) -> bytes:
    """A JPEG of ours in the middle of a white square."""
    from PIL import Image, ImageOps

    file = BytesIO()
    with Image.open(BytesIO(raw), formats=("JPEG",)) as image:
        ImageOps.pad(image, (side, side), color="white").save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


def _size(raw: bytes) -> tuple[int, int]:
    """Width and height of a JPEG of ours."""
    from PIL import Image

    with Image.open(BytesIO(raw), formats=("JPEG",)) as image:
        return image.size


def _start() -> subprocess.Popen[bytes]:
    """A process that decodes. It imports from where this one does, and skips what Python's start
    reads besides, which halves the time it takes."""
    path = [str(Path(__file__).parents[1]), *sys.path]
    code = f"import sys; sys.path[:] = {path!r}; from mia.pictures import serve; serve()"
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def serve() -> None:
    """The decoding process: answers on stdout what it is asked on stdin, until that ends. An error
    that nobody foresaw ends it, which whoever asked understands."""
    import resource

    with suppress(ValueError, OSError):  # a system that knows no such limit still has the clock
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    asked, told = sys.stdin.buffer, sys.stdout.buffer
    while head := asked.read(_ASKED.size):
        side, size = _ASKED.unpack(head)
        _answer(asked.read(size), side, told)


def _answer(raw: bytes, side: int, told: IO[bytes]) -> None:
    import warnings
    import zlib

    from PIL import Image, UnidentifiedImageError

    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    width = height = 0
    try:
        body, width, height = _shrunk(raw, side)
        well = True
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        well, body = False, f"the picture has more than {MAX_PIXELS:,} pixels".encode()
    except UnidentifiedImageError:
        kinds = ", ".join(FORMATS)
        well, body = False, f"this is no picture of a known kind ({kinds})".encode()
    except MemoryError:
        well, body = False, b"the picture takes too much memory to decode"
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error) as error:
        words = " ".join(str(error).split())[:200]
        well, body = False, f"the picture is damaged: {words}".encode("utf-8", "replace")
    told.write(_TOLD.pack(well, width, height, len(body)) + body)
    told.flush()


def _shrunk(raw: bytes, side: int) -> tuple[bytes, int, int]:
    from PIL import Image

    with Image.open(BytesIO(raw), formats=FORMATS) as image:
        small = _upright(_small(image, side))
    if small.mode in {"RGBA", "LA", "PA", "RGBa", "La"}:
        layer = small.convert("RGBA")
        small = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    file = BytesIO()
    small.convert("RGB").save(file, "JPEG", quality=_QUALITY)
    return file.getvalue(), *small.size


def _small(image: Image, side: int) -> Image:
    """Shrunk before anything else is done with it; a JPEG is decoded at a fraction of its size."""
    if image.mode in {"1", "P", "PA"}:  # which cannot be averaged
        image = image.convert("RGBA")
    elif image.mode.startswith("I"):  # 16 bits a pixel
        image = image.convert("I").point(lambda value: value / 256).convert("L")
    image.thumbnail((side, side), reducing_gap=2.0)
    image.load()  # which it does by itself only when it has to shrink
    return image


def _upright(image: Image) -> Image:
    """Turned as its metadata says; damaged metadata turns nothing."""
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(image)
    except (OSError, ValueError, SyntaxError, KeyError, TypeError, struct.error):
        return image
