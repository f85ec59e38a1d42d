"""What a move of the pointer does to memory: workflows that the version in use does without stand
behind others, and those of versions that were left behind stand as before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mia.cli.output import note
from mia.config import Loaded
from mia.errors import MIAError
from mia.team import House
from mia.training import tiny
from mia.training.absorption import Settled, settle
from mia.training.versions import Role, Shelf

if TYPE_CHECKING:
    from mia.training.workshop import Workshop


def put_to_use(shop: Workshop, role: Role, base: str, number: int) -> None:
    """Promotes what a run came to. Versions of the tiny world leave memory alone: what is in use
    there answers nobody. Raises what promoting raises."""
    one = shop.shelf(role, base)
    before = one.in_use
    one.promote(number)
    if base != tiny.NAME:
        settled(shop.loaded, one, before)


def settled(loaded: Loaded, one: Shelf, before: int) -> Settled:
    """Brings memory in line with the version in use, and tells people, `before` being the number
    that was. Memory is not opened where no version ever absorbed anything. One that cannot be
    opened stops nobody who has to go back: they are told what to do later."""
    if not any(version.absorbed for version in one.versions()):
        return Settled(0, 0)
    try:
        with House(loaded, say=note) as house:
            done = settle(house.store, one)
    except MIAError as error:
        again = f"mia policy promote {one.role} {one.in_use}"
        note(f"but memory does not follow yet: {error}; when it can be written, run: {again}")
        return Settled(0, 0)
    if done.readmitted:
        left = before not in (0, one.in_use)
        note(f"{done.readmitted} workflows are as they were before"
             f" {f'version {before}' if left else 'they were absorbed'}")  # fmt: skip
    if done.demoted:
        note(f"{done.demoted} workflows stand behind others: version {one.in_use} does without"
             " them")  # fmt: skip
    return done
