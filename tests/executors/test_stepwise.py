"""The executor for small models, over a small world and a reader that obeys."""

from __future__ import annotations

from mia.errors import ModelError, SearchError
from mia.executor import Budget
from mia.executors.stepwise.executor import Stepwise, rank, resolve
from mia.executors.stepwise.reader import ModelReader, Reading
from mia.executors.stepwise.rules import RuleReader, extract
from mia.model import Grammar, Reply
from mia.planner import parse_plan
from mia.testing import ScriptedModel, ToySearch
from mia.tools.text_search import TextSearch
from mia.types import Noun, Passage, Plan, Question, Turn, Usage

WORLD = (
    Passage(id="1", title="Jaws (film)", text="Jaws is a 1975 film directed by Steven Spielberg."),
    Passage(id="2", title="Jaws (novel)", text="Jaws is a 1974 novel by Peter Benchley."),
    Passage(
        id="3",
        title="Steven Spielberg",
        text="Steven Spielberg (born December 18, 1946) is an American film director. "
        "He was born in Cincinnati, Ohio.",
    ),
)
QUESTION = Question(text="Where was the director of film Jaws born?", id="q")
PLAN = parse_plan("#1 Who is the director of [Jaws]?\n#2 Where was #1 born?\nanswer #2")


class CountingReader:
    """Answers by pattern and counts what it was asked."""

    def __init__(self, refuse: bool = False) -> None:
        self.asked: list[tuple[str, str]] = []
        self._refuse = refuse

    async def read(self, question: str, passage: Passage) -> Reading:
        self.asked.append((question, passage.title))
        usage = Usage(calls=1, prompt_tokens=10)
        answer = None if self._refuse else extract(question, passage)
        return Reading(answer=answer, usage=usage)


class DownSearch:
    async def search(self, query: str, limit: int) -> tuple[Passage, ...]:
        raise SearchError("the index is gone")

    async def page(self, address: str) -> Passage | None:
        raise SearchError("the index is gone")


def stepwise(reader: object, search: object = None, budget: Budget | None = None) -> Stepwise:
    engine = search or ToySearch(WORLD)
    return Stepwise(reader, [TextSearch(engine)], budget or Budget())  # type: ignore[arg-type]


async def test_steps_are_taken_in_order_each_with_what_came_before() -> None:
    seen: list[Noun] = []
    trajectory = await stepwise(RuleReader()).run(QUESTION, PLAN, watch=seen.append)
    assert trajectory.outcome == "answered"
    assert [turn.found for turn in trajectory.turns[:-1]] == [
        "Steven Spielberg",
        "Cincinnati, Ohio",
    ]
    assert trajectory.turns[1].thought == "Where was Steven Spielberg born?"
    assert trajectory.answer == "Cincinnati, Ohio"
    assert seen == list(trajectory.turns)


async def test_a_step_that_finds_nothing_searches_again_in_other_words_and_then_stops() -> None:
    reader = CountingReader(refuse=True)
    trajectory = await stepwise(reader).run(QUESTION, PLAN)
    assert trajectory.outcome == "abstained"
    queries = [turn.call.arguments["query_list"] for turn in trajectory.turns if turn.call]
    assert len(queries) == 2
    assert queries[0] != queries[1]
    assert not any("Where was" in question for question, _ in reader.asked), "no second step"
    assert len(set(reader.asked)) == len(reader.asked), "no passage is read twice for a question"


async def test_what_was_found_before_a_replan_is_not_looked_up_again() -> None:
    first = await stepwise(RuleReader()).run(QUESTION, PLAN)
    reader = CountingReader()
    again = await stepwise(reader).run(QUESTION, PLAN, first.turns)
    assert again.answer == "Cincinnati, Ohio"
    assert reader.asked == []
    assert again.turns[: len(first.turns)] == first.turns


async def test_a_search_engine_that_is_down_is_a_failure_and_no_answer() -> None:
    trajectory = await stepwise(RuleReader(), DownSearch()).run(QUESTION, PLAN)
    assert trajectory.outcome == "failed:search"
    assert trajectory.answer is None
    assert trajectory.detail == "the index is gone"


async def test_a_region_found_for_a_country_is_looked_up_in_its_turn() -> None:
    class Geographer:
        async def read(self, question: str, passage: Passage) -> Reading:
            says = {"Hope": "British Columbia", "British Columbia": "Canada"}
            return Reading(answer=says.get(passage.title))

    world = (
        Passage(id="1", title="Hope", text="Hope is a town in British Columbia."),
        Passage(id="2", title="British Columbia", text="British Columbia is in Canada."),
    )
    plan = parse_plan("#1 Which country is [Hope] in?\nanswer #1")
    asked = Question(text="Which country is Hope in?", id="q")
    trajectory = await stepwise(Geographer(), ToySearch(world)).run(asked, plan)
    assert trajectory.answer == "Canada"
    assert [turn.found for turn in trajectory.turns if turn.call] == ["British Columbia", "Canada"]
    without = await stepwise(Geographer(), ToySearch(world[:1])).run(asked, plan)
    assert without.answer == "British Columbia", "what was found stands when nothing says more"


async def test_a_model_that_is_down_is_a_failure_and_no_answer() -> None:
    reader = ModelReader(ScriptedModel([ModelError("the endpoint is down")]))
    trajectory = await stepwise(reader).run(QUESTION, PLAN)
    assert trajectory.outcome == "failed:model"
    assert trajectory.answer is None


async def test_a_budget_ends_the_run() -> None:
    trajectory = await stepwise(CountingReader(), budget=Budget(calls=1)).run(QUESTION, PLAN)
    assert trajectory.outcome == "failed:budget"


async def test_a_plan_in_prose_is_refused() -> None:
    trajectory = await stepwise(RuleReader()).run(QUESTION, Plan(text="Search, then answer."))
    assert trajectory.outcome == "failed:config"


async def test_turns_that_carry_no_call_do_not_trip_the_executor() -> None:
    trajectory = await stepwise(RuleReader()).run(QUESTION, PLAN, (Turn(thought="hm"),))
    assert trajectory.answer == "Cincinnati, Ohio"


async def test_the_reader_may_only_copy() -> None:
    scripted = [Reply(text="Richard Nixon"), Reply(text="none"), Reply(text="Steven Spielberg")]
    model = ScriptedModel(scripted)
    reader = ModelReader(model)
    answers = [(await reader.read("Who directed Jaws?", WORLD[0])).answer for _ in scripted]
    assert answers == [None, None, "Steven Spielberg"]


async def test_the_reader_decodes_under_a_grammar_of_the_passage() -> None:
    shapes: list[object] = []

    class Noting(ScriptedModel):
        async def reply(self, messages, *, sampling=None, shape=None, tools=()) -> Reply:
            shapes.append(shape)
            return Reply(text="none")

    await ModelReader(Noting([])).read("Who directed Jaws?", WORLD[0])
    (shape,) = shapes
    assert isinstance(shape, Grammar)
    assert '"Spielberg"' in shape.gbnf
    assert '"none"' in shape.gbnf


def test_what_an_earlier_step_found_becomes_the_subject_of_the_next() -> None:
    assert resolve("Where was #1 born?", {1: "Ada"}) == "Where was [Ada] born?"
    assert resolve("Who is [Ada]?", {}) == "Who is [Ada]?"
    assert resolve("Who of #1 knew #2?", {1: "A", 2: "B"}) == "Who of A knew [B]?"


def test_the_passage_about_the_subject_is_read_first() -> None:
    by_title = rank(WORLD, "Where was [Steven Spielberg] born?", QUESTION.text)
    assert by_title[0].title == "Steven Spielberg"


def test_among_namesakes_the_one_that_fits_the_question_is_read_first() -> None:
    ranked = rank(WORLD, "Who is the director of [Jaws]?", "the director of film Jaws")
    assert ranked[0].title == "Jaws (film)"
    ranked = rank(WORLD, "Who is the author of [Jaws]?", "the author of the novel Jaws")
    assert ranked[0].title == "Jaws (novel)"
