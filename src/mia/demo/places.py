"""Passages about countries, settlements and the shapes of the land."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from mia.demo.facts import City, Country, Facts, Island, Lake, Mountain, River, Row
from mia.demo.wording import an, capital, listed, pick, stable

MOST_NAMES = 4
"""How many names a list shows, so that a passage about a great city stays short."""

R = TypeVar("R", bound=Row)


def country(facts: Facts, row: Country) -> str:
    """A country's capital, currency, language and land."""
    name = capital(row.full_name)
    patterns = (
        f"{name} is a country in {row.continent}. It {row.note}. Its capital is {row.capital}, "
        f"and its currency is the {row.currency}. The work of government is done mainly in "
        f"{row.language}, and the usual adjective for the country is {row.demonym}.",
        f"{name}, whose capital is {row.capital}, is a country in {row.continent}. It {row.note}. "
        f"The main language of government is {row.language}. People there pay with the "
        f"{row.currency}, the national currency. The usual adjective is {row.demonym}.",
    )
    return " ".join([pick(row.name, patterns), *_land(facts, row)])


def _land(facts: Facts, row: Country) -> Iterable[str]:
    heights = [m for m in facts.mountains.values() if m.country == row.name]
    waters = [lake for lake in facts.lakes.values() if lake.country == row.name]
    towns = [c for c in facts.cities.values() if c.country == row.name]
    if heights or waters:
        yield f"Its natural landmarks include {_some([*heights, *waters])}."
    if towns:
        yield f"Places in the country include {_some(towns)}."


def _some(rows: Sequence[Row]) -> str:
    chosen = sorted(rows, key=lambda row: stable(row.id))[:MOST_NAMES]
    return listed([row.name for row in chosen])


def city(facts: Facts, row: City) -> str:
    """Where a settlement lies and who was born there."""
    home = facts.countries[row.country]
    kind = "the capital" if home.capital == row.name else an(row.kind)
    of = "of" if home.capital == row.name else "in"
    setting = f", {row.setting}" if row.setting else ""
    note = f" It {row.note}." if row.note else ""
    patterns = (
        f"{row.name} is {kind} {of} {home.full_name}. It lies in {row.region}{setting}.{note}",
        f"{row.name}, {kind} {of} {home.full_name}, is situated in {row.region}{setting}.{note}",
    )
    return " ".join([pick(row.name, patterns), *_natives(facts, row)])


def _natives(facts: Facts, row: City) -> Iterable[str]:
    natives = [p for p in facts.people.values() if p.born_in == row.name]
    natives.sort(key=lambda p: stable(p.id))
    sights = [b for b in facts.buildings.values() if b.city == row.name]
    home = facts.countries[row.country]
    if natives:
        first = natives[0]
        yield (
            f"The {row.kind} is the birthplace of the {first.occupation} {first.name}, who was "
            f"born there in {first.born.year} and is best known for {first.known_for}."
        )
    if natives[1:]:
        yield f"Others born there include {_some(natives[1:])}."
    if sights:
        names = [f"the {b.kind} {b.name} ({b.year})" for b in sights[:MOST_NAMES]]
        yield f"Structures to be seen there include {listed(names)}."
    yield f"As elsewhere in the country, schools and offices there work mainly in {home.language}."


def mountain(facts: Facts, row: Mountain) -> str:
    """Where a mountain stands and how high it is."""
    home = facts.countries[row.country].full_name
    feet = round(row.height_m / 0.3048, -1)
    height = f"about {row.height_m:,} metres ({feet:,.0f} feet) above sea level"
    rank = _rank(row, facts.mountains.values(), lambda m: m.height_m, "higher", "lower")
    return pick(
        row.name,
        (
            f"{row.name} is {an(row.kind)} in {home}. Its setting is {row.range}, and its summit "
            f"rises to {height}. It {row.note}. It is {rank}.",
            f"With a summit {height}, {row.name} is {an(row.kind)} in {home}. Its setting "
            f"is {row.range}. The {row.kind} {row.note}. It is {rank}.",
        ),
    )


def _rank(row: R, rows: Iterable[R], size: Callable[[R], int], more: str, less: str) -> str:
    others = sorted((r for r in rows if size(r) != size(row)), key=lambda r: (size(r), r.name))
    below = [r for r in others if size(r) < size(row)]
    above = [r for r in others if size(r) > size(row)]
    parts = [f"{more} than {below[-1].name}"] if below else []
    parts += [f"{less} than {above[0].name}"] if above else []
    return " but ".join(parts)


def river(row: River) -> str:
    """Where a river rises, where it ends and how long it is."""
    length = f"about {row.length_km:,} kilometres ({row.length_km / 1.609344:,.0f} miles)"
    return pick(
        row.name,
        (
            f"The {row.name} is a river with a length of {length}. It rises in {row.source} and "
            f"flows into the {row.mouth}. Places on its course include {row.places}. The river "
            f"{row.note}. Published lengths differ a little from source to source.",
            f"The {row.name} is a river that {row.note}. From its source in {row.source} it flows "
            f"past {row.places} before it reaches the {row.mouth}. Its whole length is {length}, "
            f"though published figures differ a little.",
        ),
    )


def lake(facts: Facts, row: Lake) -> str:
    """Where a lake lies and how large it is."""
    home = facts.countries[row.country].full_name
    rank = _rank(row, facts.lakes.values(), lambda r: r.area_km2, "larger", "smaller")
    return pick(
        row.name,
        (
            f"{row.name} is a lake in {home}, situated in {row.region}. It {row.note}. The lake "
            f"{_area(row.area_km2)}. By surface area it is {rank}.",
            f"{row.name} is a lake in {home}. The lake, which is situated in "
            f"{row.region}, {_area(row.area_km2)}. It {row.note}. It is {rank}.",
        ),
    )


def island(facts: Facts, row: Island) -> str:
    """Which sea an island lies in, whose it is and how large it is."""
    home = facts.countries[row.country].full_name
    rank = _rank(row, facts.islands.values(), lambda r: r.area_km2, "larger", "smaller")
    return pick(
        row.name,
        (
            f"{row.name} is an island that belongs to {home}. Its shores are washed by the "
            f"{row.sea}. It {_area(row.area_km2)}. A leading town on the island is {row.town}. "
            f"{row.name} {row.note}. It is {rank}.",
            f"Part of {home}, {row.name} is an island on the {row.sea}. It {row.note}. The land "
            f"{_area(row.area_km2)}, and one of its chief towns is {row.town}. It is {rank}.",
        ),
    )


def _area(area_km2: int) -> str:
    miles = area_km2 * 0.386102
    return f"covers about {area_km2:,} square kilometres ({miles:,.0f} square miles)"
