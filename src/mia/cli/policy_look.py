"""The commands of `mia policy` that look at versions and choose among them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec.structs import asdict

from mia.cli import options
from mia.cli.output import console, note, print_json
from mia.cli.policy_memory import settled
from mia.config import Loaded
from mia.errors import ConfigError, InputError
from mia.team import House
from mia.training.absorption import Settled
from mia.training.versions import ROLES, Role, Shelf, Version, shelf

if TYPE_CHECKING:
    from rich.table import Table

_SHIPPED = "what came with MIA"
_SHORT = 12
"""Characters of a hash that people are shown."""
_LONG = ("last check", "data")
"""Columns that are broken into lines where a terminal is narrow: others would be pushed out."""
_FIRST = 3
"""Workflows that a version is shown with."""
_DAY = 10
"""Characters of a time up to its day."""
Roles = Annotated[Role, typer.Argument(help="Whose policy.")]
Number = Annotated[str, typer.Argument(help="A version's number, or `current`.")]


def opened(config: Path | None, home: Path | None, role: Role) -> Shelf:
    """The versions of a role in the home of these settings."""
    return shelf(options.settings(config, home).settings.folder, role)


def number_of(one: Shelf, text: str) -> int:
    """The number that is meant. Raises InputError for what is none, and for `current` where no
    version is in use."""
    if text != "current":
        if not text.isdecimal():
            raise InputError(f"{text!r} is no version; give a number, or: current")
        return int(text)
    version = one.current()
    if version is None:
        raise InputError(
            f"{_SHIPPED} is in use as {one.role}, and is no version; see: mia policy list"
        )
    return version.number


def list_(
    role: Annotated[Role | None, typer.Option("--role", help="Only this one's.")] = None,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """The versions there are, and which are in use."""
    roles: tuple[Role, ...] = (role,) if role else ROLES
    loaded = options.settings(config, home)
    shelves = [shelf(loaded.settings.folder, one) for one in roles]
    current, doubts = [one.current() for one in shelves], [doubt_of(loaded, one) for one in roles]
    rows = [
        (version, version == used, used is not None and doubt is None)
        for one, used, doubt in zip(shelves, current, doubts, strict=True)
        for version in one.versions()
    ]
    if as_json:
        for version, used, speaks in rows:
            print_json({**asdict(version), "current": used, "speaks": used and speaks})
        return
    if rows:
        every = [(version, _standing(used, speaks)) for version, used, speaks in rows]
        console().print(table_of(every))
    for one, used, doubt in zip(roles, current, doubts, strict=True):
        if doubt or used is None:
            note(f"{one}: {doubt or f'{_SHIPPED} is in use'}")


def _standing(used: bool, speaks: bool) -> str:
    """What a version is to whoever asks now."""
    return ("in use" if speaks else "promoted") if used else ""


def table_of(rows: Sequence[tuple[Version, str]]) -> Table:
    """A row for each version, with what it is to whoever asks now."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, collapse_padding=True)
    for name in ("role", "version", "", "base", "made by", "from", "created", "last check", "data"):
        table.add_column(name, no_wrap=name not in _LONG)
    for version, standing in rows:
        table.add_row(
            version.role, str(version.number), f"[green]{standing}[/]" if standing else "",
            escape(version.base), version.made_by, str(version.parent),
            version.created[:_DAY],
            _numbers(dict(list(version.checks.items())[-1:])), escape(version.data),
        )  # fmt: skip
    return table


def show(
    role: Roles,
    number: Number,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """One version, whole: what it goes back to, how it was trained, what it was measured at."""
    loaded = options.settings(config, home)
    one = shelf(loaded.settings.folder, role)
    version = one.version(number_of(one, number))
    used, folder = one.current() == version, str(one.folder(version.number))
    ancestors = _ancestors(one, version)
    doubt = doubt_of(loaded, role) if used else None
    if as_json:
        told = {"current": used, "speaks": used and doubt is None}
        print_json({**asdict(version), **told, "folder": folder, "ancestors": ancestors})
        return
    print(f"{version.role} {version.number}  {_standing(used, doubt is None)}".rstrip())
    if doubt:
        note(f"but {doubt}")
    facts = {
        "base": f"{version.base}  {version.base_sha256[:_SHORT]}",
        "made by": version.made_by,
        "from": " ← ".join(str(number) if number else _SHIPPED for number in ancestors),
        "data": f"{version.data}  {version.data_sha256[:_SHORT]}".strip(),
        "config": _settings(version.config),
        "metrics": _numbers(version.metrics),
        "checks": _numbers(version.checks),
        "workflows": _ids("{} came of what it learned from", version.workflows),
        "absorbed": _ids("it does without {} of them", version.absorbed),
        "created": f"{version.created}, by MIA {version.mia}",
        "folder": folder,
        "files": "\n".join(f"{sha[:_SHORT]}  {name}" for name, sha in version.files.items()),
    }
    for name, text in facts.items():
        if text:
            print(f"{name:10} " + text.replace("\n", "\n" + " " * 11))


def _ancestors(one: Shelf, version: Version) -> list[int]:
    """What a version was trained from, the nearest first, down to 0. What is not there any more
    ends the chain before it."""
    chain = [version.parent]
    there = {version.number: version for version in one.versions()}
    while chain[-1] in there and there[chain[-1]].parent < chain[-1]:
        chain.append(there[chain[-1]].parent)
    return chain


def _numbers(named: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in named.items())


def _ids(told: str, workflows: Sequence[str]) -> str:
    """How many workflows, and the first few; empty for none."""
    if not workflows:
        return ""
    lines = [told.format(len(workflows))]
    lines += [f"mia memory show {id}" for id in workflows[:_FIRST]]
    if more := workflows[_FIRST:]:
        lines.append(f"... and {len(more)} more; --json lists them")
    return "\n".join(lines)


def _settings(config: dict[str, Any]) -> str:
    return "\n".join(f"{name} = {value}" for name, value in config.items())


def promote(
    role: Roles,
    number: Annotated[str, typer.Argument(help="A version's number; 0 for what came with MIA.")],
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Puts a version to use, after a look whether it is whole."""
    loaded = options.settings(config, home)
    one = shelf(loaded.settings.folder, role)
    before = one.in_use
    version = one.promote(number_of(one, number))
    _tell(loaded, role, version, settled(loaded, one, before), as_json)


def rollback(
    role: Roles,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Goes back to what was in use before."""
    loaded = options.settings(config, home)
    one = shelf(loaded.settings.folder, role)
    before = one.in_use
    version = one.rollback()
    _tell(loaded, role, version, settled(loaded, one, before), as_json)


def doubt_of(loaded: Loaded, role: Role) -> str | None:
    """Why the version that was put to use in a role does not speak there; None where it does."""
    with House(loaded, say=note) as house:
        endpoint = house.engines.endpoint(role)
        if endpoint is not None:
            return f"an endpoint plays the {role} ({endpoint.model}), and serves what it serves"
        try:
            house.engines.version(role)
        except ConfigError as error:
            return str(error)
    return None


def _tell(
    loaded: Loaded, role: Role, version: Version | None, memory: Settled, as_json: bool
) -> None:
    doubt = doubt_of(loaded, role)
    if as_json:
        number = version.number if version else 0
        print_json({"role": role, "number": number, **memory._asdict()})
    else:
        what = f"version {version.number}" if version else _SHIPPED
        print(f"{role}: {what} {'would be' if doubt else 'is'} in use from here on")
    if doubt:
        note(f"but {doubt}")
