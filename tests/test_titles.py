"""Titles and the names of what they are about."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mia.titles import name_of, titled


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Emma (novel)", "Emma"),
        ("Emma", "Emma"),
        ("The Ring (1996 film)", "The Ring"),
        ("(What's the Story) Morning Glory?", "(What's the Story) Morning Glory?"),
        ("Emma(novel)", "Emma(novel)"),
        ("A (b) (c)", "A (b)"),
        ("", ""),
    ],
)
def test_a_name_is_a_title_without_its_disambiguation(title: str, name: str) -> None:
    assert name_of(title) == name


@given(st.text())
def test_a_title_names_itself_best(title: str) -> None:
    assert titled(title, title) == 3.0


def test_nearer_titles_score_higher() -> None:
    about = "Jacobo Arbenz"
    order = [
        "Jacobo Árbenz",
        "Jacobo Árbenz (politician)",
        "Jacobo Árbenz Guzmán",
        "María Cristina",
    ]
    assert [titled(title, about) for title in order] == [3.0, 2.0, 1.0, 0.0]


def test_a_disambiguation_that_was_asked_for_is_the_very_title() -> None:
    assert titled("Emma (novel)", "Emma (Novel)") == 3.0
    assert titled("Emma", "Emma (novel)") == 2.0
    assert titled("Emma (film)", "Emma (novel)") == 2.0


@given(st.text(), st.text())
def test_the_scale_ends_at_three(title: str, about: str) -> None:
    assert 0.0 <= titled(title, about) <= 3.0
