"""A question about a picture, for those who go by words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mia.captioner import captioned, in_words, needs_caption
from mia.types import Picture, Question, Turn

PICTURE = Picture(id="0" * 64, width=10, height=10)


def asked(text: str, shows: str | None) -> Question:
    return Question(text=text, id="q", caption=shows, pictures=(PICTURE,))


@pytest.mark.parametrize(
    ("text", "shows", "words"),
    [
        (
            "In which constellation is the celestial object in this image located?",
            "Messier 26",
            "In which constellation is Messier 26 located?",
        ),
        (
            "What is the NGC or IC catalogue number of the object in this image?",
            "Messier 26",
            "What is the NGC or IC catalogue number of Messier 26?",
        ),
        (
            "What is the capital of the country whose flag is shown in this image?",
            "Flag of Italy",
            "What is the capital of Italy?",
        ),
        (
            "Which currency is used in the country whose flag is shown?",
            "the flag of Timor-Leste",
            "Which currency is used in Timor-Leste?",
        ),
        ("Who photographed the cat shown in this picture?", "Chelsea", "Who photographed Chelsea?"),
        ("When was this building opened?", "Eiffel Tower", "When was Eiffel Tower opened?"),
        (
            "Who designed the bridge depicted on the photograph?",
            "Golden Gate Bridge",
            "Who designed Golden Gate Bridge?",
        ),
        ("Who painted this picture?", "Mona Lisa", "Mona Lisa: Who painted this picture?"),
        ("When did she die?", "Marie Curie", "Marie Curie: When did she die?"),
    ],
)
def test_what_points_at_a_picture_is_replaced_by_what_it_shows(
    text: str, shows: str, words: str
) -> None:
    assert in_words(asked(text, shows)) == words


@given(st.text(max_size=80), st.text(max_size=30))
def test_what_a_picture_shows_is_always_told(text: str, shows: str) -> None:
    words = in_words(asked(text, shows or None))
    assert (shows in words) if shows else (words == text)


def test_a_question_without_pictures_is_asked_as_it_stands() -> None:
    text = "Who is the cat in this image?"
    assert in_words(Question(text=text, id="q", caption="Chelsea")) == text


def test_only_pictures_of_which_nothing_is_said_need_a_caption() -> None:
    assert needs_caption(asked("Who?", None))
    assert not needs_caption(asked("Who?", "a cat"))
    assert not needs_caption(Question(text="Who?", id="q"))


def test_the_last_look_gives_the_caption() -> None:
    turns = (Turn(found="one"), Turn(found="picture 1: one; picture 2: two"))
    assert captioned(asked("Who?", None), turns).caption == "picture 1: one; picture 2: two"
    assert captioned(asked("Who?", "known"), ()).caption == "known"
