"""What kind a lookup asks for, and which spans can be an answer to it."""

from __future__ import annotations

import pytest

from mia.executors.stepwise.kinds import as_asked, fits, kind_of, may_begin, names_no_country


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("When was Ada Berg born?", "date"),
        ("What is the date of death of Ada Berg?", "date"),
        ("Where was Ada Berg born?", "place"),
        ("Where is Berg Ltd based?", "place"),
        ("In what city was Ada Berg born?", "place"),
        ("Where did Ada Berg study?", "other"),
        ("Who directed The Fjord?", "person"),
        ("Which country is Hamar in?", "country"),
        ("What is the nationality of Ada Berg?", "country"),
        ("How long is the Glomma?", "other"),
    ],
)
def test_the_question_word_tells_the_kind(question: str, kind: str) -> None:
    assert kind_of(question) == kind


@pytest.mark.parametrize(
    ("question", "answer", "fit"),
    [
        ("When was Ada Berg born?", "4 May 1902", True),
        ("When was Ada Berg born?", "17th", False),
        ("Where was Ada Berg born?", "Hamar", True),
        ("Where was Ada Berg born?", "Norwegian", False),
        ("Where was Ada Berg born?", "Norway", True),
        ("Who is the spouse of Ada Berg?", "French", False),
        ("Who is the spouse of Ada Berg?", "Jens French", True),
        ("How long is the Glomma?", "...", False),
    ],
)
def test_a_span_of_the_wrong_kind_is_no_answer(question: str, answer: str, fit: bool) -> None:
    assert fits(question, answer) is fit


def test_names_begin_with_a_capital_and_dates_with_a_digit_or_a_month() -> None:
    assert may_begin("person", "Ada") and not may_begin("person", "the")
    assert may_begin("date", "May") and may_begin("date", "1902") and not may_begin("date", "Ada")
    assert may_begin("other", "water")


def test_a_region_is_no_country_yet_and_a_demonym_names_one() -> None:
    assert names_no_country("Which country is Hamar in?", "Innlandet")
    assert names_no_country("Which country is Hope in?", "British Columbia")
    assert not names_no_country("What is the nationality of Ada Berg?", "Norwegian and Swedish")
    assert not names_no_country("Which country is Hope in?", "the United States")
    assert not names_no_country("Which country is Hamar in?", "Norwegian")
    assert not names_no_country("Where was Ada Berg born?", "Innlandet")


def test_which_country_wants_the_country_and_nationality_what_was_read() -> None:
    assert as_asked("Which country is the director of The Fjord from?", "Norwegian") == "Norway"
    assert as_asked("What nationality is the director?", "Norwegian") == "Norwegian"
    assert as_asked("Which country is it from?", "Atlantis") == "Atlantis"
