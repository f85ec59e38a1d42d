"""Families of questions that follow one relation after another."""

from mia.demo.asking import Draft, Family, spread
from mia.demo.facts import Facts
from mia.demo.wording import day_forms

OTHER_NATIONALITY_WORDS = {"English": ("British",)}
OTHER_CURRENCY_WORDS = {
    "pound sterling": ("pound", "British pound"),
    "United States dollar": ("US dollar",),
    "renminbi": ("yuan",),
}


def author_birthplace(facts: Facts) -> Family:
    """From a book to its author to a birthplace."""
    drafts: list[Draft] = []
    for work in facts.works.values():
        if work.maker == "author":
            author = facts.people[work.creator]
            home = facts.countries[facts.cities[author.born_in].country]
            answers = (author.born_in, f"{author.born_in}, {home.name}")
            slots = (work.name, work.kind)
            drafts.append(Draft(slots=slots, answers=answers, gold=(work, author)))
    wordings = (
        "Where was the author of {0} born?",
        "In which place was the writer of the {1} {0} born?",
    )
    return Family(name="bridge:author|place of birth", wordings=wordings, drafts=spread(drafts))


def composer_deathplace(facts: Facts) -> Family:
    """From a piece of music to its composer to the place of death."""
    drafts: list[Draft] = []
    for work in facts.works.values():
        if work.maker == "composer":
            composer = facts.people[work.creator]
            slots = (work.name, work.kind)
            gold = (work, composer)
            drafts.append(Draft(slots=slots, answers=(composer.died_in,), gold=gold))
    wordings = (
        "In which place did the composer of {0} die?",
        "Where did the person who composed the {1} {0} die?",
    )
    return Family(name="bridge:composer|place of death", wordings=wordings, drafts=spread(drafts))


def inventor_birthday(facts: Facts) -> Family:
    """From an invention to its inventor to a date of birth."""
    drafts: list[Draft] = []
    for thing in facts.inventions.values():
        inventor = facts.people[thing.inventor]
        answers = day_forms(inventor.born)
        drafts.append(Draft(slots=(thing.full_name,), answers=answers, gold=(thing, inventor)))
    wordings = (
        "When was the inventor of {0} born?",
        "What is the date of birth of the person who invented {0}?",
    )
    return Family(name="bridge:inventor|date of birth", wordings=wordings, drafts=spread(drafts))


def director_nationality(facts: Facts) -> Family:
    """From a film to its director to a nationality."""
    drafts: list[Draft] = []
    for film in facts.films.values():
        director = facts.people[film.director]
        # Directors who moved from one country to another have no single right answer.
        if director.nationality.isalpha():
            others = OTHER_NATIONALITY_WORDS.get(director.nationality, ())
            answers = (director.nationality, *others)
            drafts.append(Draft(slots=(film.name,), answers=answers, gold=(film, director)))
    wordings = (
        "What is the nationality of the director of {0}?",
        "The film {0} was directed by someone of which nationality?",
    )
    return Family(name="bridge:director|nationality", wordings=wordings, drafts=spread(drafts))


def discoverer_death(facts: Facts) -> Family:
    """From a chemical element to its discoverer to a date of death."""
    drafts: list[Draft] = []
    for element in facts.elements.values():
        if element.discoverer and element.found and not element.partner:
            discoverer = facts.people[element.discoverer]
            slots = (element.name.lower(), element.found)
            answers = day_forms(discoverer.died)
            drafts.append(Draft(slots=slots, answers=answers, gold=(element, discoverer)))
    wordings = (
        "When did the scientist by whom {0} was first {1} die?",
        "The element {0} was first {1} by a scientist who died on what date?",
    )
    return Family(name="chain:discoverer|date of death", wordings=wordings, drafts=spread(drafts))


def landmark_capital(facts: Facts) -> Family:
    """From a mountain or lake to its country to the capital."""
    drafts: list[Draft] = []
    for landmark in (*facts.mountains.values(), *facts.lakes.values()):
        home = facts.countries[landmark.country]
        gold = (landmark, home)
        drafts.append(Draft(slots=(landmark.name,), answers=(home.capital,), gold=gold))
    wordings = (
        "What is the capital of the country where {0} is located?",
        "Which city is the capital of the country in which {0} lies?",
    )
    return Family(name="chain:country|capital", wordings=wordings, drafts=spread(drafts))


def birthplace_currency(facts: Facts) -> Family:
    """From a person to a birthplace to its country to the currency."""
    drafts: list[Draft] = []
    for person in facts.people.values():
        city = facts.cities[person.born_in]
        home = facts.countries[city.country]
        others = OTHER_CURRENCY_WORDS.get(home.currency, ())
        answers = (home.currency, f"the {home.currency}", home.currency.split()[-1], *others)
        gold = (person, city, home)
        slots = (person.name,)
        drafts.append(Draft(slots=slots, answers=tuple(dict.fromkeys(answers)), gold=gold))
    wordings = (
        "What is the currency of the country in which the birthplace of {0} lies today?",
        "Which currency is used in the country where {0}'s place of birth is now found?",
    )
    name = "chain:place of birth|country|currency"
    return Family(name=name, wordings=wordings, drafts=spread(drafts))


def river_mouth(facts: Facts) -> Family:
    """From a river to the water it flows into."""
    drafts = [
        Draft(slots=(river.name,), answers=(river.mouth, f"the {river.mouth}"), gold=(river,))
        for river in facts.rivers.values()
    ]
    wordings = (
        "Into which body of water does the {0} flow?",
        "Which sea, gulf, bay, channel or ocean does the river {0} flow into?",
    )
    return Family(name="one-hop:mouth", wordings=wordings, drafts=spread(drafts))
