"""The closed book: one question to the model, and nothing looked up."""

from __future__ import annotations

from mia.errors import ModelError
from mia.executors.closed_book import ClosedBook
from mia.testing import ScriptedModel
from mia.types import Plan, Question

ASKED = Question(text="Who wrote <b>Emma</b>?", id="q")
PLAN = Plan(text="search for the author")


async def test_the_first_line_that_is_no_thought_is_the_answer() -> None:
    model = ScriptedModel(["<think>I know it.</think>\n Jane Austen \nin 1815"])
    run = await ClosedBook(model).run(ASKED, PLAN)
    assert (run.outcome, run.answer, run.usage.calls) == ("answered", "Jane Austen", 1)
    shown = model.asked[0][-1].content
    assert shown == "Who wrote ‹b>Emma‹/b>?" and "search" not in model.asked[0][0].content


async def test_who_says_nothing_abstains() -> None:
    run = await ClosedBook(ScriptedModel(["<think>Hmm.</think>"])).run(ASKED, PLAN)
    assert (run.outcome, run.answer, run.usage.calls) == ("abstained", None, 1)


async def test_a_model_that_fails_is_a_failed_run() -> None:
    run = await ClosedBook(ScriptedModel([ModelError("down")])).run(ASKED, PLAN)
    assert (run.outcome, run.detail) == ("failed:model", "down")
