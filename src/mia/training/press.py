"""What a policy that learns behind a server comes to is published and put to use, once for each
update that nobody objects to; and it is held where a guard or a person does.

A person who moves the pointer is obeyed: the learner goes on only when it is told to, and then from
what is in use.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec.structs import replace

from mia.errors import ConfigError, InputError, StoreError
from mia.training import run_files
from mia.training.buffer import Learned
from mia.training.study import Study
from mia.training.versions import Shelf, Version
from mia.types import Noun, decode, encode

_FILE = "footing.json"
_MEND = "POST /v1/learning/resume goes on from"


class Footing(Noun, frozen=True, omit_defaults=False):
    """Where a run stands with the versions, and with what people want."""

    version: int = 0
    """The one that the run put to use last, or went on from; 0 for what came with MIA."""
    coming: int | None = None
    """The one that is being put to use."""
    made: int = 0
    """The last update of which there is a version, or was to be none."""
    held: str = ""
    """Why the weights are held; empty where they are not."""
    wishes: int = 0
    """How many there were when the weights came to be held: a later one lets them go on."""
    rested: int = 0
    """Which wish to drain was done."""
    since: Learned | None = None
    """The policy that was taken up when somebody let the weights go on."""


class Stand:
    """The file with the footing of a run."""

    def __init__(self, folder: Path, first: Footing) -> None:
        """`first` is that of a run that begins. Raises StoreError."""
        self._file = folder / _FILE
        try:
            self.footing = decode(self._file.read_bytes(), Footing)
        except FileNotFoundError:
            self.set(first)
        except (OSError, msgspec.DecodeError) as error:
            raise StoreError(f"{self._file} cannot be read: {error}") from error

    def set(self, footing: Footing) -> None:
        """Raises StoreError."""
        try:
            run_files.write_whole(self._file, encode(footing))
        except OSError as error:
            raise StoreError(f"{self._file}: {error}") from error
        self.footing = footing


@dataclass(frozen=True, kw_only=True)
class Press:
    """Makes versions of a policy, and puts them to use."""

    shelf: Shelf
    study: Study
    stand: Stand
    publish: Callable[[Sequence[Learned], int], Awaitable[Version]]
    """Makes a version of the policy as it is, of these updates and over a version; the same policy
    is one version, however often it is asked for."""
    settle: Callable[[], None]
    """Brings memory in line with the version in use; a second time changes nothing."""
    adapter: Callable[[int], Path | None]
    """What is gone on from with a version. Raises InputError and ConfigError."""
    run: str
    """Its name."""
    keep: int
    """How many of the run's versions are kept, the last ones."""

    async def begin(self) -> None:
        """Does what a run that was killed may have left to be done."""
        await self._after()

    async def held(self, wished: str, wishes: int) -> bool:
        """Whether the weights are to be left alone. Where somebody wished since that they go on,
        takes up the version in use instead. Raises StoreError."""
        footing, why = self.stand.footing, self._why()
        if not why:
            if footing.held:
                self.stand.set(replace(footing, held=""))
            return False
        if not footing.held:
            self.stand.set(replace(footing, held=why, wishes=wishes))
        elif wished == "run" and wishes > footing.wishes:
            try:
                await self._take_up(wishes)
            except (InputError, ConfigError) as error:
                self.stand.set(replace(footing, held=f"{why}: {error}", wishes=wishes))
                return True
            return False
        return True

    def _why(self) -> str:
        footing, now = self.stand.footing, self.shelf.in_use
        if now not in (footing.version, footing.coming):
            what = f"version {now}" if now else "what came with MIA"
            return f"{what} was put to use by hand: weights are held; {_MEND} it"
        alarm = self.study.frozen(footing.since)
        if alarm is None:
            return ""
        return f"{alarm.guard}: {alarm.told}: weights are held; {_MEND} the version in use"

    async def _take_up(self, wishes: int) -> None:
        study, number = self.study, self.shelf.in_use
        version = study.learner.version
        study.learner.take(self.adapter(number))
        study.save()
        study.buffer.set_aside(version)
        self.stand.set(
            replace(
                self.stand.footing, version=number, coming=None, made=version, held="",
                wishes=wishes, since=await study.look(),
            )
        )  # fmt: skip

    async def put_to_use(self) -> Version | None:
        """A version of the policy as it is, in use; None where it was made before, where nothing
        changed, or where it was not found good. Raises StoreError."""
        footing, learner = self.stand.footing, self.study.learner
        updates = [each for each in self.study.buffer.learned()
                   if footing.made < each.update.version <= learner.version]  # fmt: skip
        if not updates or not updates[-1].good or updates[-1].update.version != learner.version:
            return None
        if not any(each.update.samples for each in updates):
            return None
        version = await self.publish(updates, footing.version)
        self.stand.set(replace(footing, coming=version.number))
        done = self.shelf.succeed(footing.version, version.number)
        now = version.number if done else footing.version
        self.stand.set(replace(footing, version=now, coming=None, made=learner.version))
        await self._after()
        return version if done else None

    async def _after(self) -> None:
        """What follows when a version was put to use."""
        await asyncio.to_thread(self.settle)
        versions = self.shelf.versions()
        own = [each.number for each in versions if each.config.get("run") == self.run]
        for number in own[: -self.keep]:
            self.shelf.discard(number)
