"""The tables behind the demo: one frozen row type each, read and cross-checked."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, ClassVar, TypeVar, get_type_hints

from mia.demo.wording import slug, the

TABLES = files("mia.demo").joinpath("tables")
CITIES = {"table": "cities"}
COUNTRIES = {"table": "countries"}
PEOPLE = {"table": "people"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One thing in one table."""

    table: ClassVar[str]
    name: str
    line: int
    """Its line in the table's file; the header is line 1."""

    @property
    def id(self) -> str:
        """The id of the passage about it."""
        return f"demo-{self.table}-{slug(self.name)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person(Row):
    """Someone who made, found or thought of something."""

    table: ClassVar[str] = "people"
    pronoun: str
    born: date
    born_in: str = field(metadata=CITIES)
    died: date
    died_in: str
    nationality: str
    occupation: str
    known_for: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Country(Row):
    """A state of today."""

    table: ClassVar[str] = "countries"
    article: str | None
    capital: str
    currency: str
    continent: str
    language: str
    demonym: str
    note: str

    @property
    def full_name(self) -> str:
        """The name as it stands inside a sentence."""
        return the(self.article, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class City(Row):
    """A settlement of any size."""

    table: ClassVar[str] = "cities"
    kind: str
    region: str
    country: str = field(metadata=COUNTRIES)
    setting: str | None
    note: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mountain(Row):
    """A mountain that lies in one country."""

    table: ClassVar[str] = "mountains"
    kind: str
    country: str = field(metadata=COUNTRIES)
    range: str
    height_m: int
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class River(Row):
    """A river, called with the definite article."""

    table: ClassVar[str] = "rivers"
    source: str
    length_km: int
    mouth: str
    places: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lake(Row):
    """A lake that lies in one country."""

    table: ClassVar[str] = "lakes"
    country: str = field(metadata=COUNTRIES)
    region: str
    area_km2: int
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Island(Row):
    """An island that belongs to one country."""

    table: ClassVar[str] = "islands"
    country: str = field(metadata=COUNTRIES)
    sea: str
    area_km2: int
    town: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Element(Row):
    """A chemical element."""

    table: ClassVar[str] = "elements"
    symbol: str
    number: int
    family: str
    found: str | None
    discoverer: str | None = field(metadata=PEOPLE)
    """None where nobody in particular found it, or where the credit is disputed."""
    partner: str | None
    year: int | None
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Work(Row):
    """A book, play, painting or piece of music."""

    table: ClassVar[str] = "works"
    kind: str
    maker: str
    """What its creator is to it: author, painter or composer."""
    dated: str
    creator: str = field(metadata=PEOPLE)
    year: int
    subject: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Film(Row):
    """A feature film."""

    table: ClassVar[str] = "films"
    director: str = field(metadata=PEOPLE)
    year: int
    subject: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Building(Row):
    """A building, bridge or monument."""

    table: ClassVar[str] = "buildings"
    kind: str
    city: str = field(metadata=CITIES)
    architect: str | None = field(metadata=PEOPLE)
    year: int
    height_m: int | None
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Invention(Row):
    """A thing or method that one person is credited with."""

    table: ClassVar[str] = "inventions"
    article: str | None
    inventor: str = field(metadata=PEOPLE)
    year: int
    purpose: str
    note: str

    @property
    def full_name(self) -> str:
        """The name as it stands inside a sentence."""
        return the(self.article, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Every table, its rows by name; each field is called like its table."""

    people: Mapping[str, Person]
    countries: Mapping[str, Country]
    cities: Mapping[str, City]
    mountains: Mapping[str, Mountain]
    rivers: Mapping[str, River]
    lakes: Mapping[str, Lake]
    islands: Mapping[str, Island]
    elements: Mapping[str, Element]
    works: Mapping[str, Work]
    films: Mapping[str, Film]
    buildings: Mapping[str, Building]
    inventions: Mapping[str, Invention]

    def rows(self, table: str) -> Mapping[str, Row]:
        """One table, whatever its kind of row."""
        return getattr(self, table)


R = TypeVar("R", bound=Row)


def load(folder: Traversable = TABLES) -> Facts:
    """All tables in a folder, with every cross reference checked."""
    facts = Facts(
        people=_read(folder, Person),
        countries=_read(folder, Country),
        cities=_read(folder, City),
        mountains=_read(folder, Mountain),
        rivers=_read(folder, River),
        lakes=_read(folder, Lake),
        islands=_read(folder, Island),
        elements=_read(folder, Element),
        works=_read(folder, Work),
        films=_read(folder, Film),
        buildings=_read(folder, Building),
        inventions=_read(folder, Invention),
    )
    for table in fields(facts):
        for row in facts.rows(table.name).values():
            _check_references(facts, row)
    return facts


def _check_references(facts: Facts, row: Row) -> None:
    for column in fields(row):
        target = column.metadata.get("table")
        value = getattr(row, column.name)
        if target and value is not None and value not in facts.rows(target):
            raise ValueError(
                f"{row.table}.tsv row {row.line}: {column.name} {value!r} is not in {target}.tsv"
            )


def _read(folder: Traversable, row_type: type[R]) -> dict[str, R]:
    file = f"{row_type.table}.tsv"
    header, *lines = folder.joinpath(file).read_text("utf-8").splitlines()
    hints = get_type_hints(row_type)
    columns = header.split("\t")
    rows: dict[str, R] = {}
    for number, text in enumerate(lines, start=2):
        cells = text.split("\t")
        where = f"{file} row {number}"
        if len(cells) != len(columns):
            raise ValueError(f"{where}: expected {len(columns)} cells, got {len(cells)}")
        values = {
            column: _value(cell, hints[column], f"{where}: {column}")
            for column, cell in zip(columns, cells, strict=True)
        }
        row = row_type(line=number, **values)
        if row.name in rows:
            raise ValueError(f"{where}: {row.name!r} stands in the table twice")
        rows[row.name] = row
    return rows


def _value(cell: str, hint: Any, where: str) -> Any:
    if not cell:
        if hint == str | None or hint == int | None:
            return None
        raise ValueError(f"{where} is empty")
    if hint == date:
        return date.fromisoformat(cell)
    return int(cell) if hint in (int, int | None) else cell
