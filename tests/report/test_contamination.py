"""Leaks: gold answers in what was recalled, as a planner sees it, and the closed-book control."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.report.making import RIGHT, WRONG, done, entry, questions, results, scored

from mia.report.contamination import Contamination
from mia.report.summary import summarise
from mia.types import Note, Question, Recalled, Recollection, Workflow

ASKED = questions(4)
GOLD = "Rovigo"


def note(text: str, id: str = "n1") -> Recollection:
    return Recollection(notes=(Note(text=text, id=id),))


def of(recollection: Recollection, gold: str = GOLD, asked: str = "Which town?") -> Contamination:
    question = Question(text=asked, id="q", answers=(gold,))
    arm = done("mia", [question], [entry(question, recollection=recollection)])
    return summarise(results([question], arm)).contamination


@pytest.mark.parametrize(
    ("text", "gold"),
    [
        ("He was born in rovigo.", GOLD),
        ("Venice/Rovigo/Padua", GOLD),
        ("the Rovigo-born painter", GOLD),
        ("in New-York, they say", "New York"),
        ("the O'Neill family", "the O'Neill"),
    ],
)
def test_a_gold_answer_in_a_recalled_note_is_listed(text: str, gold: str) -> None:
    found = of(note(text), gold)
    assert [(leak.question_id, leak.memory, leak.gold) for leak in found.leaks] == [
        ("q", "n1", gold)
    ]
    assert (found.exposures[0].recalled, found.exposures[0].leaked) == (1, 1)
    assert found.exposures[0].clean.trials == 0


@pytest.mark.parametrize(
    ("text", "gold", "asked"),
    [
        ("Look for the town's own pages.", GOLD, "Which town?"),
        ("The Rovigosi are proud.", GOLD, "Which town?"),  # not a word of its own
        ("It was Rio.", "Rio", "Which town?"),  # too short to tell
        ("yes", "yes", "Is it a town?"),
        ("True.", "True", "Is it a town?"),
        ("Rovigo or Padua?", GOLD, "Which is larger, Rovigo or Padua?"),  # the question says it
    ],
)
def test_what_tells_nothing_is_no_leak(text: str, gold: str, asked: str) -> None:
    found = of(note(text), gold, asked)
    assert not found.leaks and found.exposures[0].recalled == 1
    assert found.exposures[0].clean.trials == 1


def test_of_workflows_only_what_a_planner_sees_counts() -> None:
    workflow = Workflow(
        id="w1", namespace="n", question="Who was born in Rovigo?",
        question_template="Who was born in [A]?", category="location", steps=(),
        summary="It was Rovigo.", plan="Search [A].", outcome="success", verdict_kind="exact",
        confidence=1.0,
    )  # fmt: skip
    item = Recalled(workflow=workflow, score=1.0, similarity=1.0, value=1.0, frequency=1.0)
    assert not of(Recollection(successes=(item,))).leaks
    told = replace(item, workflow=replace(workflow, plan="Search Rovigo."))
    assert [leak.memory for leak in of(Recollection(failures=(told,))).leaks] == ["w1"]


def test_each_memory_that_leaks_is_listed_once_and_its_question_counted_once() -> None:
    both = Recollection(notes=(Note(text="Rovigo, Rovigo", id="n1"), Note(text="Rovigo", id="n2"),
                               Note(text="nothing", id="n3")))  # fmt: skip
    found = of(both)
    assert [leak.memory for leak in found.leaks] == ["n1", "n2"]
    assert (found.exposures[0].leaked, found.exposures[0].leaked_right) == (1, 1)


def test_accuracy_without_leaks_leaves_their_questions_out() -> None:
    entries = [
        entry(ASKED[0], RIGHT, recollection=note("It was town 0.")),
        entry(ASKED[1], RIGHT, recollection=note("It was town 0.")),
        entry(ASKED[2], WRONG),
    ]
    found = summarise(results(ASKED, done("mia", ASKED, entries))).contamination.exposures[0]
    assert (found.done, found.recalled, found.leaked) == (3, 2, 1)
    assert (found.clean.successes, found.clean.trials) == (1, 2)


def test_what_the_model_knows_by_itself_is_set_aside() -> None:
    found = summarise(
        results(ASKED, scored("closed", ASKED, "+--"), scored("mia", ASKED, "+-++"))
    ).contamination
    assert found.closed is not None and (found.closed.successes, found.closed.trials) == (1, 3)
    assert found.known == ("q0",)
    assert [(each.method, each.accuracy.successes, each.accuracy.trials)
            for each in found.beyond] == [("mia", 1, 2)]  # fmt: skip


def test_without_the_control_nothing_is_said_of_it() -> None:
    found = summarise(results(ASKED, scored("mia", ASKED, "+-++"))).contamination
    assert (found.closed, found.known, found.beyond) == (None, (), ())
