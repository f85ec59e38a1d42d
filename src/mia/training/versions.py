"""Policy versions: every trained adapter, numbered, never changed, with where it came from; and one
pointer to the version in use.

    <home>/policies/<role>/000001/version.json, adapter_config.json, adapter_model.safetensors, ...
    <home>/policies/<role>/current.json

A version appears whole or not at all, whatever happens to the process that publishes it, and so
does a move of the pointer. Any number of processes may publish, promote and read at once.

Not covered: `version.json` has no checksum of its own; it is checked for being readable and at its
place.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
from msgspec.structs import asdict
from ulid import ULID

from mia.errors import InputError, StoreError
from mia.locks import alone
from mia.training.pointer import Move, Pointer
from mia.types import Noun, decode, encode

Role = Literal["planner", "executor"]
Maker = Literal["supervised", "planner", "executor", "online", "imported"]
N = TypeVar("N", bound=Noun)

ROLES: tuple[Role, ...] = ("planner", "executor")
GGUF = "adapter.gguf"
"""The form of an adapter that llama.cpp reads, where a version has it."""
_RECORD = "version.json"
_POINTER = "current.json"
_HALF = ".half-"
_BUSY = "somebody is at work on it"
_DIGITS = 6


class Draft(Noun, frozen=True):
    """What is known of a version before it has a number."""

    base: str
    """Name of the model that the adapter belongs to."""
    base_sha256: str
    """Of that model's weights: an adapter says nothing over others."""
    made_by: Maker
    parent: int = 0
    """The version that training went on from; 0 for what came with MIA or with the base."""
    data: str = ""
    """What it learned from, for people."""
    data_sha256: str = ""
    config: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    """How it was trained; JSON."""
    metrics: dict[str, float] = msgspec.field(default_factory=dict[str, float])
    """How training went."""
    checks: dict[str, float] = msgspec.field(default_factory=dict[str, float])
    """What it was measured at on held-out data."""
    workflows: tuple[str, ...] = ()
    """Ids of the workflows that memory made of what it learned from."""
    absorbed: tuple[str, ...] = ()
    """Those of them that it does without."""


class Version(Draft, frozen=True, kw_only=True):
    """A published adapter."""

    role: Role
    number: int
    """1, 2, ..."""
    created: str
    """ISO 8601, UTC."""
    files: dict[str, str]
    """SHA-256 by the name in its folder."""
    mia: str
    """The MIA that published it."""


class Shelf:
    """The versions of one role."""

    def __init__(self, folder: Path, role: Role) -> None:
        """`folder` holds the shelves of all roles. Nothing is written before the first version."""
        self.role: Role = role
        self._folder = folder / role

    def publish(self, draft: Draft, fill: Callable[[Path], None]) -> Version:
        """A new version of the files that `fill` writes into the folder it is given. What `fill`
        raises flies, but an OSError is a StoreError. Raises InputError for a draft with numbers
        that are none, and where nothing was written. What was published before stands in any
        case."""
        _check_record(draft)
        with self._telling("no version could be published to"):
            self._sweep()
            with self._half() as half:
                fill(half)
                files = _sealed(half)
                if not files:
                    raise InputError(f"there is nothing to publish as a version of {self.role}")
                with self._alone():
                    return self._named(draft, files, half)

    def _named(self, draft: Draft, files: dict[str, str], half: Path) -> Version:
        """Gives a filled folder its number, and with it its place."""
        from importlib.metadata import version as installed  # takes longer to load than all of this

        version = Version(
            **asdict(draft),
            role=self.role,
            number=1
            + max((*self._numbers(), *(move.number for move in self.history())), default=0),
            created=_now(),
            files=files,
            mia=installed("mia"),
        )
        _write(half / _RECORD, encode(version))
        (half / _RECORD).chmod(0o444)
        _flush(half)
        half.rename(self.folder(version.number))
        _flush(self._folder)
        return version

    def versions(self) -> tuple[Version, ...]:
        """All of them, the oldest first. Raises StoreError for one that cannot be read."""
        return tuple(map(self._read, self._numbers()))

    def version(self, number: int) -> Version:
        """Raises InputError for a number that there is not, which lists those that there are."""
        self._check(number)
        return self._read(number)

    def folder(self, number: int) -> Path:
        """Where a version's files lie."""
        return self._folder / f"{number:0{_DIGITS}d}"

    def verify(self, number: int) -> Version:
        """The version, after a look whether its files are what was published. Raises StoreError,
        which names the file that is not, and InputError for an unknown number."""
        version = self.version(number)
        for name, sha256 in version.files.items():
            file = self.folder(number) / name
            with self._telling("cannot read a version in"):
                if not file.is_file() or sha256_of(file) != sha256:
                    what = "is damaged" if file.is_file() else "is missing"
                    raise StoreError(
                        f"{file} {what}; use another version (mia policy rollback {self.role}), or"
                        " restore the file from a copy"
                    )
        return version

    def current(self) -> Version | None:
        """The version in use; None for what came with MIA. Raises StoreError where the one in use
        is not there any more."""
        number = self.in_use
        if number and number not in self._numbers():
            raise StoreError(
                f"version {number} of {self.role} is in use and not there any more; use another:"
                f" mia policy rollback {self.role}"
            )
        return self._read(number) if number else None

    @property
    def in_use(self) -> int:
        """The number of the version in use, be it there or not; 0 for what came with MIA."""
        return self._pointer().before[-1]

    def promote(self, number: int) -> Version | None:
        """Puts a version to use from here on, 0 for what came with MIA. Raises StoreError for one
        that is damaged, InputError for an unknown one; the one in use stays then."""
        version = self.verify(number) if number else None
        with self._telling("cannot promote in"), self._alone():
            pointer = self._pointer()
            if pointer.before[-1] != number:
                self._move(pointer, number, "promote")
        return version

    def succeed(self, before: int, number: int) -> bool:
        """Puts a version to use where `before` still is; whether it is in use. Raises what
        `promote` raises."""
        if number:
            self.verify(number)
        with self._telling("cannot promote in"), self._alone():
            pointer = self._pointer()
            now = pointer.before[-1]
            if now == before != number:
                self._move(pointer, number, "promote")
        return now in (before, number)

    def rollback(self) -> Version | None:
        """Goes back to what was in use before and is still there. Raises InputError where that is
        in use which came with MIA, StoreError where the version before is damaged."""
        with self._telling("cannot roll back in"), self._alone():
            pointer = self._pointer()
            if len(pointer.before) == 1:
                raise InputError(
                    f"no version of {self.role} was promoted before; what came with MIA is in use"
                )
            number = pointer.back(self._numbers())
            version = self.verify(number) if number else None
            self._move(pointer, number, "rollback")
        return version

    def discard(self, number: int) -> bool:
        """Removes a version for good, unless it is in use, or is what `rollback` would go back to,
        or the newest; whether it did. It goes whole: who is killed meanwhile leaves it as it was,
        or what the next who publishes sweeps. Raises InputError for an unknown number."""
        self._check(number)
        with self._telling("cannot remove a version from"), self._alone():
            pointer = self._pointer()
            numbers = self._numbers()
            needed = {pointer.before[-1], pointer.back(numbers), max(numbers)}
            if number in needed:
                return False
            gone = self._folder / f"{_HALF}{ULID()}"
            self.folder(number).rename(gone)
            _flush(self._folder)
        shutil.rmtree(gone, ignore_errors=True)
        return True

    def history(self) -> tuple[Move, ...]:
        """Every move of the pointer, the oldest first."""
        return self._pointer().moves

    def _pointer(self) -> Pointer:
        file = self._folder / _POINTER
        return _decoded(file, Pointer, "remove it to go back to what came with MIA") or Pointer()

    def _move(self, pointer: Pointer, number: int, why: Literal["promote", "rollback"]) -> None:
        """One rename: whoever reads finds the pointer before it or after it."""
        moved = Pointer(moves=(*pointer.moves, Move(number=number, why=why, at=_now())))
        self._folder.mkdir(parents=True, exist_ok=True)
        fresh = self._folder / f"{_POINTER}.fresh"
        _write(fresh, encode(moved))
        fresh.replace(self._folder / _POINTER)
        _flush(self._folder)

    def _read(self, number: int) -> Version:
        file = self.folder(number) / _RECORD
        version = _decoded(file, Version, "restore it from a copy")
        if version is None or (version.role, version.number) != (self.role, number):
            raise StoreError(f"{file} does not describe version {number} of {self.role}")
        return version

    def _numbers(self) -> list[int]:
        if not self._folder.is_dir():
            return []
        names = (path.name for path in self._folder.iterdir())
        return sorted(int(name) for name in names if name.isdecimal() and len(name) >= _DIGITS)

    def _check(self, number: int) -> None:
        numbers = self._numbers()
        if number not in numbers:
            there = f"there are: {', '.join(map(str, numbers))}" if numbers else "there are none"
            raise InputError(f"no version {number} of {self.role}; {there}")

    @contextmanager
    def _half(self) -> Generator[Path]:
        """A folder to fill. While its process lives, nobody sweeps it."""
        half = self._folder / f"{_HALF}{ULID()}"
        lock = half.with_suffix(".lock")
        with alone(lock):
            try:
                half.mkdir()
                yield half
            finally:
                shutil.rmtree(half, ignore_errors=True)
                lock.unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Removes what those left who ended while they published."""
        for path in self._folder.glob(f"{_HALF}*"):
            half = path.with_suffix("")
            try:
                with alone(half.with_suffix(".lock"), busy=_BUSY):
                    shutil.rmtree(half, ignore_errors=True)
                    half.with_suffix(".lock").unlink(missing_ok=True)
            except StoreError:  # its process lives
                continue

    def _alone(self) -> AbstractContextManager[None]:
        return alone(self._folder / ".lock")

    def _telling(self, what: str) -> AbstractContextManager[None]:
        return on_disk(f"{what} {self._folder}")


@contextmanager
def on_disk(what: str) -> Generator[None]:
    """Raises StoreError, which says what could not be done, for whatever a disk refuses."""
    try:
        yield
    except _refusals() as error:
        raise StoreError(f"{what}: {error}") from error


def _refusals() -> tuple[type[Exception], ...]:
    """Who writes weights has an error of its own for a full disk."""
    try:
        return OSError, import_module("safetensors").SafetensorError
    except ImportError:  # no weights are written without it
        return (OSError,)


def sha256_of(file: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def shelf(home: Path, role: Role) -> Shelf:
    """The versions of a role in MIA's home."""
    return Shelf(home / "policies", role)


def _check_record(draft: Draft) -> None:
    """Whether what is written down can be read again: NaN is no JSON."""
    try:
        decode(encode(draft), Draft)
    except msgspec.ValidationError as error:
        raise InputError(f"this cannot be published: {error}") from error


def _sealed(folder: Path) -> dict[str, str]:
    """Makes a folder's files safe from a power cut and from changes; their SHA-256 by name."""
    sums: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        _flush(path)
        if path.is_file():
            sums[path.relative_to(folder).as_posix()] = sha256_of(path)
            path.chmod(0o444)
    return sums


def _decoded(file: Path, kind: type[N], mend: str) -> N | None:
    """What a file says; None where there is no file. Raises StoreError."""
    try:
        return decode(file.read_bytes(), kind)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise StoreError(f"{file} cannot be read ({error}); {mend}") from error


def _write(file: Path, raw: bytes) -> None:
    with file.open("wb") as opened:
        opened.write(raw)
        opened.flush()
        os.fsync(opened.fileno())


def _flush(path: Path) -> None:
    """Brings a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
