"""Families of questions that set two things side by side."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from mia.demo.asking import FAMILY_SIZE, Draft, Family, balanced
from mia.demo.facts import Building, Facts, Film, Person, River, Row
from mia.demo.wording import stable

LENGTH_MARGIN = 1.25
"""How many times longer the longer river must be, since published lengths differ."""
BIRTH_MARGIN_DAYS = 400
"""How far apart two births must be: enough for no calendar to matter."""
NATIONALITY_FIELDS = ("film director", "composer", "painter")
# Calling these different nationalities, or the same one, would both be disputable.
BRITISH = ("English", "Scottish", "British")

R = TypeVar("R", bound=Row)


def pairs(rows: Iterable[R], fits: Callable[[R, R], bool]) -> list[tuple[R, R]]:
    """Pairs that fit, each row in one pair at most, in an order that is always the same."""
    waiting = sorted(rows, key=lambda row: stable(row.id))
    found: list[tuple[R, R]] = []
    while waiting:
        first = waiting.pop(0)
        second = next((row for row in waiting if fits(first, row)), None)
        if second is not None:
            waiting.remove(second)
            found.append((first, second))
    return found[:FAMILY_SIZE]


def birthday(facts: Facts) -> Family:
    """Which of two people was born first."""

    def fits(a: Person, b: Person) -> bool:
        return a.occupation == b.occupation and _born_apart(a, b)

    drafts: list[Draft] = []
    for a, b in pairs(facts.people.values(), fits):
        first = min(a, b, key=lambda person: person.born)
        drafts.append(Draft(slots=(a.name, b.name), answers=(first.name,), gold=(a, b)))
    wordings = (
        "Who was born first, {0} or {1}?",
        "Which of the two was born earlier, {0} or {1}?",
    )
    return Family(name="compare:date of birth", wordings=wordings, drafts=tuple(drafts))


def _born_apart(a: Person, b: Person) -> bool:
    return abs((a.born - b.born).days) > BIRTH_MARGIN_DAYS


def length(facts: Facts) -> Family:
    """Which of two rivers is longer."""

    def fits(a: River, b: River) -> bool:
        short, long = sorted((a.length_km, b.length_km))
        return long >= LENGTH_MARGIN * short

    drafts: list[Draft] = []
    for a, b in pairs(facts.rivers.values(), fits):
        longer = max(a, b, key=lambda river: river.length_km)
        answers = (longer.name, f"the {longer.name}")
        drafts.append(Draft(slots=(a.name, b.name), answers=answers, gold=(a, b)))
    wordings = (
        "Which river is longer, the {0} or the {1}?",
        "Of the rivers {0} and {1}, which has the greater length: {0} or {1}?",
    )
    return Family(name="compare:length", wordings=wordings, drafts=tuple(drafts))


def director_birthday(facts: Facts) -> Family:
    """Which of two films has the director who was born earlier."""

    def director(film: Film) -> Person:
        return facts.people[film.director]

    drafts: list[Draft] = []
    for a, b in pairs(facts.films.values(), lambda a, b: _born_apart(director(a), director(b))):
        first = min(a, b, key=lambda film: director(film).born)
        gold = (a, b, director(a), director(b))
        drafts.append(Draft(slots=(a.name, b.name), answers=(first.name,), gold=gold))
    wordings = (
        "Which film has the director who was born earlier, {0} or {1}?",
        "Whose director was born first: the film {0} or the film {1}?",
    )
    name = "compare:director date of birth"
    return Family(name=name, wordings=wordings, drafts=tuple(drafts))


def nationality(facts: Facts) -> Family:
    """Whether two people are of the same nationality."""

    def same(a: Person, b: Person) -> bool:
        return a.nationality == b.nationality

    def different(a: Person, b: Person) -> bool:
        return not same(a, b) and not (a.nationality in BRITISH and b.nationality in BRITISH)

    people = [
        person
        for person in facts.people.values()
        if person.occupation in NATIONALITY_FIELDS and person.nationality.isalpha()
    ]
    yes, no = _yes_and_no(people, same, different, lambda person: (person,))
    wordings = (
        "Are {0} and {1} of the same nationality?",
        "Did {0} and {1} share a nationality?",
    )
    return Family(name="same:nationality", wordings=wordings, drafts=balanced(yes, no))


def country(facts: Facts) -> Family:
    """Whether two buildings in different cities stand in the same country."""

    def home(building: Building) -> str:
        return facts.cities[building.city].country

    def same(a: Building, b: Building) -> bool:
        return a.city != b.city and home(a) == home(b)

    def different(a: Building, b: Building) -> bool:
        return home(a) != home(b)

    def chain(building: Building) -> tuple[Row, ...]:
        return (building, facts.cities[building.city])

    yes, no = _yes_and_no(facts.buildings.values(), same, different, chain)
    wordings = (
        "Are these two buildings in the same country: {0} and {1}?",
        "Do the structures {0} and {1} stand in the same country?",
    )
    return Family(name="same:country", wordings=wordings, drafts=balanced(yes, no))


def _yes_and_no(
    rows: Iterable[R],
    same: Callable[[R, R], bool],
    different: Callable[[R, R], bool],
    chain: Callable[[R], tuple[Row, ...]],
) -> tuple[list[Draft], list[Draft]]:
    def draft(a: R, b: R, answer: str) -> Draft:
        return Draft(slots=(a.name, b.name), answers=(answer,), gold=(*chain(a), *chain(b)))

    yes = pairs(rows, same)[: FAMILY_SIZE // 2]
    used = {row.id for pair in yes for row in pair}
    no = pairs((row for row in rows if row.id not in used), different)
    return [draft(a, b, "yes") for a, b in yes], [draft(a, b, "no") for a, b in no]
