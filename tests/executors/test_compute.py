"""What the stepwise executor computes itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mia.executors.stepwise.compute import before, combine, parse_date, parse_number, same
from mia.planner import parse_plan

YEARS = st.integers(1000, 2100)
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip


@given(year=YEARS, month=st.integers(1, 12), day=st.integers(1, 31))
def test_both_english_orders_are_the_same_date(year: int, month: int, day: int) -> None:
    british = f"{day} {MONTHS[month - 1]} {year}"
    american = f"{MONTHS[month - 1]} {day}, {year}"
    assert parse_date(british) == parse_date(american) == (year, month, day)
    assert same(british, american)


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("1934", (1934, 0, 0)),
        ("March 1907", (1907, 3, 0)),
        ("around 480 BC", (-480, 0, 0)),
        ("the 3rd of May 1880", (1880, 5, 3)),
        ("no date at all", None),
        ("the 12th", None),
    ],
)
def test_a_date_is_as_precise_as_it_is_given(text: str, date: object) -> None:
    assert parse_date(text) == date


@given(a=YEARS, b=YEARS)
def test_the_order_of_dates_does_not_depend_on_who_is_asked_first(a: int, b: int) -> None:
    forward, backward = before(f"5 May {a}", f"{b}"), before(f"{b}", f"5 May {a}")
    if a == b:
        assert forward is backward is None, "a year cannot be told from a day within it"
    else:
        assert forward is (a < b)
        assert backward is (b < a)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("6,650 kilometres", 6_650_000.0),
        ("4,130 miles", 4130 * 1609.344),
        ("8,848 m", 8848.0),
        ("29,029 ft", 29029 * 0.3048),
        ("1.5 million", 1_500_000.0),
        ("none", None),
    ],
)
def test_quantities_are_read_with_their_units(text: str, number: float | None) -> None:
    assert parse_number(text) == (pytest.approx(number) if number is not None else None)


def test_lengths_in_different_units_compare_by_length() -> None:
    assert before("2,000 miles", "3,000 kilometres") is False
    assert before("652 kilometres", "1,740 kilometres") is True


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        ("American", "the United States", True),
        ("Dutch", "Netherlands", True),
        ("French", "German", False),
        ("a Polish physicist", "Poland", True),
        ("village", "a village in Iran", True),
        ("actor", "film actor", True),
        ("actor", "painter", False),
        ("", "", False),
        ("Niger", "Nigeria", False),
    ],
)
def test_sameness_knows_nations_and_words(left: str, right: str, equal: bool) -> None:
    assert same(left, right) is equal
    assert same(right, left) is equal


FILMS = parse_plan(
    "#1 Who is the director of [Jaws]?\n#2 Who is the director of [Alien]?\n"
    "#3 When was #1 born?\n#4 When was #2 born?\nanswer first #3 #4"
)


def test_a_comparison_answers_with_what_the_winning_chain_began_with() -> None:
    found = {1: "Steven Spielberg", 2: "Ridley Scott", 3: "December 18, 1946", 4: "1937"}
    assert combine(FILMS, found) == "Alien"


def test_a_comparison_of_what_cannot_be_compared_has_no_answer() -> None:
    assert combine(FILMS, {1: "a", 2: "b", 3: "in spring", 4: "1937"}) is None
    assert combine(FILMS, {1: "a", 2: "b", 3: "1937", 4: "1937"}) is None


def test_a_step_that_found_nothing_leaves_no_answer() -> None:
    assert combine(FILMS, {1: "a", 2: "b", 3: "1937"}) is None


def test_the_longer_life_wins() -> None:
    plan = parse_plan(
        "#1 When was [A B] born?\n#2 When did [A B] die?\n#3 When was [C D] born?\n"
        "#4 When did [C D] die?\nanswer longer #1 #2 #3 #4"
    )
    assert combine(plan, {1: "1900", 2: "1960", 3: "1910", 4: "1965"}) == "A B"
    assert combine(plan, {1: "1900", 2: "1950", 3: "1910", 4: "1965"}) == "C D"
    assert combine(plan, {1: "1900", 2: "unknown", 3: "1910", 4: "1965"}) is None


def test_sameness_answers_yes_or_no() -> None:
    plan = parse_plan("#1 Which country is [A] in?\n#2 Which country is [B] in?\nanswer same #1 #2")
    assert combine(plan, {1: "Iran", 2: "Iranian"}) == "yes"
    assert combine(plan, {1: "Iran", 2: "Iraq"}) == "no"
