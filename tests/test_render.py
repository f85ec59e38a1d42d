"""Laws of rendering: what outside text becomes before a model sees it."""

from __future__ import annotations

import json
import unicodedata
from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from mia import render
from mia.types import Note, Recalled, Recollection, Workflow, WorkflowStep


@settings(deadline=None)
@given(st.text())
def test_neutralised_text_holds_no_opener_even_after_folding(text: str) -> None:
    clean = render.neutralise(text)
    assert "<" not in unicodedata.normalize("NFKC", clean)
    assert len(clean) == len(render.visible(text))
    assert render.neutralise(clean) == clean


@settings(deadline=None)
@given(st.text())
def test_a_fence_cannot_be_ended_from_inside(text: str) -> None:
    fenced = render.fence(text)
    first, *_, last = fenced.split("\n")
    assert fenced.count("<") == 2
    assert last == first.replace("<data-", "</data-")
    assert first not in text and last not in text


@settings(deadline=None)
@given(st.text(), st.integers(1, 50))
def test_clipped_text_is_short_and_says_that_it_was_cut(text: str, words: int) -> None:
    cut = render.clip(text, words)
    assert cut == text or cut.endswith(" [cut]")
    assert len(cut.removesuffix(" [cut]").split()) <= words
    assert len(cut.encode("utf-8", "replace")) <= words * 8 + len(" [cut]")


@settings(deadline=None)
@given(st.dictionaries(st.text(), st.text()))
def test_json_for_a_prompt_holds_no_tag_and_says_the_same(value: dict[str, str]) -> None:
    text = render.as_json(value)
    assert "<" not in text and "\uff1c" not in text
    assert json.loads(text) == value


def test_half_a_character_never_gets_into_a_prompt() -> None:
    for text in (render.neutralise("a\ud800"), render.clip("a\ud800", 9), render.as_json("\ud800")):
        text.encode()


def workflow(outcome: Literal["success", "failure"], lesson: str = "") -> Workflow:
    step = WorkflowStep(tool="search", purpose="find", query="who directed [A]", yielded="a person")
    return Workflow(
        id="w", namespace="n", question="Who directed Hanna's War?", category="human",
        question_template="Who directed [A]?", steps=(step,), summary="Golan did it.",
        plan="look up [A]", outcome=outcome, lesson=lesson, verdict_kind="x", confidence=1.0,
    )  # fmt: skip


def test_a_recollection_shows_templates_and_lessons_but_no_fact() -> None:
    good, bad = workflow("success"), workflow("failure", "mind the remake")
    text = render.recollection(
        Recollection(
            successes=(Recalled(workflow=good, score=1, similarity=1, value=1, frequency=1),),
            failures=(Recalled(workflow=bad, score=1, similarity=1, value=1, frequency=1),),
        )
    )
    assert "Success 1: Who directed [A]?" in text and "who directed [A]" in text
    assert "Failure 1" in text and "mind the remake" in text
    assert "Hanna" not in text and "Golan" not in text


def test_notes_are_shown_after_workflows_each_with_its_title() -> None:
    notes = (Note(title="Old maps", text="look in atlases"), Note(text="dates differ by calendar"))
    shown = render.recollection(Recollection(notes=notes))
    assert shown == "Note 1: Old maps\nlook in atlases\n\nNote 2\ndates differ by calendar"
