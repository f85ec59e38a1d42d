"""Passages about people and about what they made, found or built."""

from collections.abc import Iterable

from mia.demo.facts import Building, Element, Facts, Film, Invention, Person, Work
from mia.demo.wording import age, an, capital, day, listed, pick


def person(facts: Facts, row: Person) -> str:
    """The life of a person in a few sentences."""
    he = row.pronoun
    span = f"({day(row.born)} – {day(row.died)})"
    years = age(row.born, row.died)
    role = an(f"{row.nationality} {row.occupation}")
    patterns = (
        f"{row.name} {span} was {role}, best known for {row.known_for}. {capital(he)} was born "
        f"in {row.born_in} and died in {row.died_in} at the age of {years}.",
        f"{row.name} {span} was {role}. Born in {row.born_in}, {he} lived to the age of {years} "
        f"and died in {row.died_in}. {capital(he)} is best known for {row.known_for}.",
        f"{row.name} {span} was {role} who was born in {row.born_in}. {capital(he)} is "
        f"remembered above all for {row.known_for}. {capital(he)} died in {row.died_in}, "
        f"aged {years}.",
    )
    sentences = [pick(row.name, patterns), *_deeds(facts, row), _contemporary(facts, row)]
    return " ".join(sentences)


def _deeds(facts: Facts, row: Person) -> Iterable[str]:
    his = "His" if row.pronoun == "he" else "Her"
    works = [w for w in facts.works.values() if w.creator == row.name]
    films = [f for f in facts.films.values() if f.director == row.name]
    buildings = [b for b in facts.buildings.values() if b.architect == row.name]
    inventions = [i for i in facts.inventions.values() if i.inventor == row.name]
    elements = [e for e in facts.elements.values() if e.discoverer == row.name]
    if works:
        titles = [f"the {w.kind} {w.name} ({w.year})" for w in works]
        yield f"{his} works include {listed(titles)}."
    if films:
        yield f"{his} films include {listed([f'{f.name} ({f.year})' for f in films])}."
    if buildings:
        yield f"{his} buildings include {listed([f'{b.name} ({b.year})' for b in buildings])}."
    if inventions:
        names = listed([f"{i.full_name} ({i.year})" for i in inventions])
        yield f"{capital(row.pronoun)} is credited with inventing {names}."
    if elements:
        names = listed([f"{e.name.lower()} ({e.year})" for e in elements])
        yield f"In chemistry {his.lower()} name is linked with the finding of {names}."


def _contemporary(facts: Facts, row: Person) -> str:
    others = (p for p in facts.people.values() if p.name != row.name)
    near = min(others, key=lambda p: (abs((p.born - row.born).days), p.name))
    return pick(
        row.name,
        (
            f"A near contemporary was the {near.occupation} {near.name}, born in {near.born.year}.",
            f"The {near.occupation} {near.name} was born at about the same time, "
            f"in {near.born.year}.",
        ),
    )


def work(facts: Facts, row: Work) -> str:
    """What a work is, who made it and when."""
    maker = facts.people[row.creator]
    return pick(
        row.name,
        (
            f"{row.name} is {an(row.kind)} by {maker.name}, {row.dated} in {row.year}. It "
            f"{row.subject}. It {row.note}. Its {row.maker}, {maker.name}, "
            f"is best known for {maker.known_for}.",
            f"{capital(row.dated)} in {row.year}, {row.name} is {an(row.kind)} by {maker.name}. "
            f"The {row.kind} {row.subject}, and it {row.note}. {maker.name} is "
            f"remembered for {maker.known_for}.",
            f"{row.name} is {an(row.kind)} that {row.subject}. It was {row.dated} in {row.year}. "
            f"Its {row.maker} was {maker.name}, who is best known for "
            f"{maker.known_for}. The {row.kind} {row.note}.",
        ),
    )


def film(facts: Facts, row: Film) -> str:
    """What a film is about and who directed it."""
    maker = facts.people[row.director]
    others = [f for f in facts.films.values() if f.director == maker.name and f != row]
    also = f" Also by {maker.name} is {others[0].name} ({others[0].year})." if others else ""
    return pick(
        row.name,
        (
            f"{row.name} is a feature film of {row.year} that was directed by {maker.name}. It "
            f"{row.subject}. The film {row.note}. Its director is best known for "
            f"{maker.known_for}.{also}",
            f"Directed by {maker.name} and released in {row.year}, the feature film {row.name} "
            f"{row.subject}. It {row.note}. {maker.name} is remembered above all for "
            f"{maker.known_for}.{also}",
        ),
    )


def building(facts: Facts, row: Building) -> str:
    """What a building is, where it stands and who designed it."""
    design = "Several people had a share in its design and construction."
    if row.architect:
        maker = facts.people[row.architect]
        design = f"It was designed by {maker.name}, an architect best known for {maker.known_for}."
    height = f" It is about {row.height_m} metres tall." if row.height_m else ""
    return pick(
        row.name,
        (
            f"{row.name} is {an(row.kind)} in {row.city} that was completed in {row.year}. "
            f"{design}{height} It {row.note}, and it is among the best-known works of building "
            f"in its city.",
            f"Completed in {row.year}, {row.name} is a well-known {row.kind} in {row.city} that "
            f"{row.note}.{height} {design} Many visitors to the city come to see it.",
        ),
    )


def invention(facts: Facts, row: Invention) -> str:
    """What an invention does and whom it is credited to."""
    maker = facts.people[row.inventor]
    name = capital(row.full_name)
    return pick(
        row.name,
        (
            f"{name} {row.purpose}. It dates from {row.year} and is credited to {maker.name}, "
            f"{an(maker.occupation)} who is best known for {maker.known_for}. It {row.note}.",
            f"{name}, an invention credited to {maker.name} and usually dated to {row.year}, "
            f"{row.purpose}. It {row.note}. Its inventor, {an(maker.occupation)}, is remembered "
            f"for {maker.known_for}.",
        ),
    )


def element(facts: Facts, row: Element) -> str:
    """What an element is and who found it."""
    partner = f" together with {row.partner}" if row.partner else ""
    history = "No single person is generally credited with finding it."
    if row.discoverer:
        maker = facts.people[row.discoverer]
        history = (
            f"It was first {row.found} in {row.year} by the {maker.occupation} {maker.name}"
            f"{partner}."
        )
    return pick(
        row.name,
        (
            f"{row.name} is a chemical element with the symbol {row.symbol} and the atomic number "
            f"{row.number}. It is {row.family}, and it {row.note}. {history} Every atom of it has "
            f"{row.number} protons in its nucleus.",
            f"{row.name}, with the symbol {row.symbol}, is {row.family}. Its atomic number is "
            f"{row.number}, which is the number of protons in the nucleus of each of its atoms. "
            f"It {row.note}. {history}",
        ),
    )
