"""The demo's corpus and question stream, and the files they are written to."""

import os
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import msgspec

from mia.demo import comparisons, hops, lives, places
from mia.demo.asking import FAMILY_SIZE, DemoQuestion, Family
from mia.demo.facts import Facts, Row, load
from mia.types import Passage

ROUNDS_PER_BLOCK = 2
"""How often a block asks each of its families, so that a family soon comes again."""


def passages() -> list[Passage]:
    """Every passage, table by table."""
    return [
        Passage(id=row.id, title=row.name[0].upper() + row.name[1:], text=text)
        for row, text in _told(_facts())
    ]


def _told(facts: Facts) -> Iterable[tuple[Row, str]]:
    yield from ((row, lives.person(facts, row)) for row in facts.people.values())
    yield from ((row, places.country(facts, row)) for row in facts.countries.values())
    yield from ((row, places.city(facts, row)) for row in facts.cities.values())
    yield from ((row, places.mountain(facts, row)) for row in facts.mountains.values())
    yield from ((row, places.river(row)) for row in facts.rivers.values())
    yield from ((row, places.lake(facts, row)) for row in facts.lakes.values())
    yield from ((row, places.island(facts, row)) for row in facts.islands.values())
    yield from ((row, lives.element(facts, row)) for row in facts.elements.values())
    yield from ((row, lives.work(facts, row)) for row in facts.works.values())
    yield from ((row, lives.film(facts, row)) for row in facts.films.values())
    yield from ((row, lives.building(facts, row)) for row in facts.buildings.values())
    yield from ((row, lives.invention(facts, row)) for row in facts.inventions.values())


def questions() -> list[DemoQuestion]:
    """The stream: two groups of families take turns, a few rounds at a time."""
    facts = _facts()
    early = (
        hops.author_birthplace(facts),
        comparisons.birthday(facts),
        hops.landmark_capital(facts),
        comparisons.nationality(facts),
        hops.inventor_birthday(facts),
        comparisons.length(facts),
    )
    late = (
        hops.director_nationality(facts),
        hops.discoverer_death(facts),
        comparisons.country(facts),
        hops.composer_deathplace(facts),
        comparisons.director_birthday(facts),
        hops.birthplace_currency(facts),
        hops.river_mouth(facts),
    )
    return _interleaved([early, late])


def _interleaved(groups: Sequence[Sequence[Family]]) -> list[DemoQuestion]:
    asked = [[family.questions() for family in group] for group in groups]
    return [
        family[number]
        for start in range(0, FAMILY_SIZE, ROUNDS_PER_BLOCK)
        for group in asked
        for number in range(start, min(start + ROUNDS_PER_BLOCK, FAMILY_SIZE))
        for family in group
    ]


def write(folder: Path) -> None:
    """Write corpus.jsonl and questions.jsonl, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_lines(folder / "corpus.jsonl", passages())
    _write_lines(folder / "questions.jsonl", questions())


def _write_lines(path: Path, things: Iterable[Passage | DemoQuestion]) -> None:
    lines = [msgspec.json.encode(thing) + b"\n" for thing in things]
    whole = b"".join(lines)
    if path.is_file() and path.read_bytes() == whole:
        return  # so that an index of it stays the index of it
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.write_bytes(whole)
    partial.replace(path)


@cache
def _facts() -> Facts:
    return load()
