"""What the demo corpus and its question stream promise."""

import re
from collections import Counter
from collections.abc import Callable
from datetime import date
from itertools import pairwise
from pathlib import Path
from shutil import copytree

import pytest

from mia.demo import world
from mia.demo.asking import DemoQuestion
from mia.demo.facts import TABLES, Facts, Film, Person, River, Row, load

FACTS = load()
PASSAGES = {passage.id: passage for passage in world.passages()}
QUESTIONS = world.questions()
ROWS = {row.id: row for table in Facts.__dataclass_fields__ for row in FACTS.rows(table).values()}


def asked(prefix: str) -> list[DemoQuestion]:
    return [question for question in QUESTIONS if question.family.startswith(prefix)]


def gold_texts(question: DemoQuestion) -> str:
    return "\n".join(PASSAGES[gold].text for gold in question.gold_ids)


def director_born(row: Row) -> date:
    assert isinstance(row, Film)
    return FACTS.people[row.director].born


def born(row: Row) -> date:
    assert isinstance(row, Person)
    return row.born


def shortness(row: Row) -> int:
    assert isinstance(row, River)
    return -row.length_km


def broken(folder: Path, table: str, old: str, new: str) -> Path:
    copytree(str(TABLES), folder, dirs_exist_ok=True)
    path = folder / f"{table}.tsv"
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")
    return folder


def test_there_is_enough_to_search() -> None:
    assert len(world.passages()) >= 450


def test_every_passage_is_of_a_readable_length() -> None:
    lengths = {passage.id: len(passage.text.split()) for passage in PASSAGES.values()}
    assert {id: length for id, length in lengths.items() if not 40 <= length <= 130} == {}


def test_ids_are_unique_slugs() -> None:
    ids = [passage.id for passage in world.passages()] + [question.id for question in QUESTIONS]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"demo(-[a-z0-9]+)+", id) for id in ids)
    assert "demo-people-marie-curie" in PASSAGES


def test_passages_are_clean_sentences() -> None:
    for passage in PASSAGES.values():
        assert passage.text[0] == passage.text[0].upper(), passage
        assert passage.text.endswith("."), passage
        text = passage.text.replace("Were None", "Were Few")
        assert not re.search(r"None|  |\.\.|[{}]| ,", text), passage


def test_families_are_many_and_each_is_asked_in_several_ways() -> None:
    counts = Counter(question.family for question in QUESTIONS)
    assert len(QUESTIONS) >= 90
    assert len(counts) >= 8
    assert min(counts.values()) >= 8
    for family in counts:
        # The wordings of a family are told apart by their first words.
        openings = {question.question.split()[0] for question in asked(family)}
        assert len(openings) >= 2, family


def test_no_question_is_asked_twice() -> None:
    texts = [question.question for question in QUESTIONS]
    assert len(set(texts)) == len(texts)


def test_families_come_again_soon() -> None:
    families = [question.family for question in QUESTIONS]
    opening = Counter(families[:12])
    assert len(opening) >= 6
    assert min(opening.values()) >= 2
    for family in set(families):
        places = [place for place, name in enumerate(families) if name == family]
        assert max(b - a for a, b in pairwise(places)) <= 26


def test_gold_passages_are_in_the_corpus() -> None:
    for question in QUESTIONS:
        assert question.gold_ids
        assert set(question.gold_ids) <= set(PASSAGES)


@pytest.mark.parametrize("prefix", ["bridge:", "chain:", "one-hop:"])
def test_an_answer_stands_in_the_last_gold_passage(prefix: str) -> None:
    for question in asked(prefix):
        assert question.answers[0] in PASSAGES[question.gold_ids[-1]].text, question


@pytest.mark.parametrize("prefix", ["bridge:", "chain:"])
def test_each_gold_passage_names_the_next_one(prefix: str) -> None:
    for question in asked(prefix):
        for here, there in zip(question.gold_ids, question.gold_ids[1:], strict=False):
            assert ROWS[there].name in PASSAGES[here].text, question


@pytest.mark.parametrize("prefix", ["bridge:", "chain:", "one-hop:"])
def test_a_question_does_not_name_its_own_answer(prefix: str) -> None:
    for question in asked(prefix):
        for answer in question.answers:
            assert answer.casefold() not in question.question.casefold(), question


@pytest.mark.parametrize(
    ("family", "order"),
    [
        ("compare:date of birth", born),
        ("compare:length", shortness),
        ("compare:director date of birth", director_born),
    ],
)
def test_a_comparison_is_won_by_the_right_one_of_the_two(
    family: str, order: Callable[[Row], date | int]
) -> None:
    won_by_the_first = 0
    for question in asked(family):
        first, second = (ROWS[gold] for gold in question.gold_ids[:2])
        keys = {first.name: order(first), second.name: order(second)}
        assert question.answers[0] == min(keys, key=lambda name: as_number(keys[name]))
        assert keys[first.name] != keys[second.name]
        assert first.name in question.question and second.name in question.question
        won_by_the_first += question.answers[0] == first.name
    assert 2 <= won_by_the_first <= len(asked(family)) - 2


def as_number(value: date | int) -> int:
    return value.toordinal() if isinstance(value, date) else value


def test_the_dates_and_lengths_that_are_compared_stand_in_the_passages() -> None:
    for question in asked("compare:"):
        people = [ROWS[gold] for gold in question.gold_ids]
        for row in people:
            if isinstance(row, Person):
                assert f"({world.lives.day(row.born)} –" in PASSAGES[row.id].text
            if isinstance(row, River):
                assert f"about {row.length_km:,} kilometres" in PASSAGES[row.id].text


def test_same_nationality_is_answered_as_the_passages_say() -> None:
    for question in asked("same:nationality"):
        words = {FACTS.people[ROWS[gold].name].nationality for gold in question.gold_ids}
        assert question.answers == ("yes" if len(words) == 1 else "no",)
        assert all(word in gold_texts(question) for word in words)


def test_same_country_is_answered_as_the_passages_say() -> None:
    for question in asked("same:country"):
        cities = [gold for gold in question.gold_ids if gold.startswith("demo-cities-")]
        homes = {FACTS.cities[ROWS[city].name].country for city in cities}
        assert len(cities) == 2
        assert question.answers == ("yes" if len(homes) == 1 else "no",)
        assert all(home in gold_texts(question) for home in homes)


@pytest.mark.parametrize("family", ["same:nationality", "same:country"])
def test_yes_and_no_are_equally_often_right(family: str) -> None:
    answers = Counter(question.answers for question in asked(family))
    assert set(answers) == {("yes",), ("no",)}
    assert answers[("yes",)] == answers[("no",)]


def told_by(row: Row, family: str) -> str:
    """What the tables say about the end of a chain."""
    country = FACTS.countries.get(row.name)
    person = FACTS.people.get(row.name)
    river = FACTS.rivers.get(row.name)
    if country is not None:
        return {"capital": country.capital, "currency": country.currency}[relation(family)]
    if person is not None:
        return {
            "place of birth": person.born_in,
            "place of death": person.died_in,
            "nationality": person.nationality,
            "date of birth": person.born.isoformat(),
            "date of death": person.died.isoformat(),
        }[relation(family)]
    assert river is not None
    return river.mouth


def relation(family: str) -> str:
    return family.split("|")[-1]


@pytest.mark.parametrize("prefix", ["bridge:", "chain:", "one-hop:"])
def test_the_end_of_a_chain_is_answered_as_the_tables_say(prefix: str) -> None:
    for question in asked(prefix):
        assert told_by(ROWS[question.gold_ids[-1]], question.family) in question.answers


def test_dates_are_accepted_in_several_forms() -> None:
    dated = [*asked("bridge:inventor"), *asked("chain:discoverer")]
    for question in dated:
        plain, american, iso = question.answers
        assert re.fullmatch(r"\d{1,2} [A-Z][a-z]+ \d{4}", plain)
        assert re.fullmatch(r"[A-Z][a-z]+ \d{1,2}, \d{4}", american)
        assert date.fromisoformat(iso).year == int(plain[-4:])


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    world.write(tmp_path / "one")
    world.write(tmp_path / "two")
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == ["corpus.jsonl", "questions.jsonl"]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_broken_reference_names_its_table_and_row(tmp_path: Path) -> None:
    folder = broken(tmp_path, "people", "\tPrague\t1924-06-03", "\tAtlantis\t1924-06-03")
    message = r"people\.tsv row 2: born_in 'Atlantis' is not in cities\.tsv"
    with pytest.raises(ValueError, match=message):
        load(folder)


def test_a_missing_cell_names_its_table_and_row(tmp_path: Path) -> None:
    folder = broken(tmp_path, "rivers", "Amazon\tthe Andes of Peru\t", "Amazon\t")
    with pytest.raises(ValueError, match=r"rivers\.tsv row 2: expected 6 cells, got 5"):
        load(folder)


def test_a_doubled_name_names_its_table_and_row(tmp_path: Path) -> None:
    folder = broken(tmp_path, "lakes", "\nLake Ladoga\t", "\nLake Baikal\t")
    with pytest.raises(ValueError, match=r"lakes\.tsv row 3: 'Lake Baikal' stands in the table"):
        load(folder)


def test_everyone_died_after_being_born() -> None:
    for person in FACTS.people.values():
        assert 15 * 365 < (person.died - person.born).days < 110 * 365, person.name


def test_nothing_was_made_before_its_maker_grew_up() -> None:
    made = [(work.creator, work.year) for work in FACTS.works.values()]
    made += [(film.director, film.year) for film in FACTS.films.values()]
    made += [(thing.inventor, thing.year) for thing in FACTS.inventions.values()]
    for maker, year in made:
        assert year - FACTS.people[maker].born.year >= 15, maker
