"""Snippets: short, in order, nearest to the question, and copied word for word."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mia.snippets import snippet, stems
from mia.types import Passage

RIVER = Passage(
    id="adige",
    title="Adige",
    text="The Adige is a river. "
    + "It is loved by many who live near its long and winding banks. " * 30
    + 'Its source lies at the Reschen Pass. He said "Rovigo lies on it." Fish swim in it.',
)


@given(st.text(), st.text(), st.text(), st.integers(1, 50))
def test_a_snippet_keeps_to_its_words_and_says_nothing_of_its_own(
    title: str, text: str, question: str, words: int
) -> None:
    cut = snippet(Passage(id="p", title=title, text=text), question, words)
    assert cut.startswith(f"{title}: ")
    body = cut.removeprefix(f"{title}: ").split()
    assert len(body) <= words
    rest = iter(text.split())
    assert all(word in rest for word in body), "in the order of the passage"


def test_the_first_sentence_and_the_one_asked_for_are_kept() -> None:
    cut = snippet(RIVER, "Where is the source of the Adige?", 20)
    first, asked = "The Adige is a river.", "Its source lies at the Reschen Pass."
    assert cut.startswith(f"Adige: {first} {asked}")


def test_a_short_passage_is_kept_whole() -> None:
    assert snippet(Passage(id="p", title="A", text=" One.  Two is\nmore. "), "What?") == (
        "A: One. Two is more."
    )


def test_words_of_a_kin_have_one_stem() -> None:
    assert stems("directed by") == stems("The director") == {"direc"}
