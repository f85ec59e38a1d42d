"""What a workflow keeps of an episode, and what it must not."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.provisional import urls
from msgspec.structs import replace

from mia.memories.workflow.compress import MAX_STEPS, MAX_WORDS, compress, kind
from mia.memories.workflow.template import FUNCTION_WORDS, Veil, mask
from mia.planner import parse_plan, render_plan
from mia.types import (
    Episode,
    Observation,
    Passage,
    Plan,
    Question,
    Reflection,
    Rule,
    Step,
    ToolCall,
    Trajectory,
    Turn,
    Verdict,
    VerdictValue,
    Workflow,
    WorkflowStep,
)

Films = Callable[..., Episode]


def compressed(episode: Episode) -> Workflow:
    workflow = compress(episode, "default", "w1")
    assert workflow is not None
    return workflow


def test_a_typed_run_becomes_its_template(film_episode: Films) -> None:
    workflow = compressed(film_episode())
    assert workflow.question_template == "When was the director of film [A] born?"
    assert workflow.plan == "#1 Who directed [A]?\n#2 When was #1 born?\nanswer #2"
    assert workflow.steps == (
        WorkflowStep(
            tool="search",
            purpose="Who directed [A]?",
            query="Who directed [A]?",
            yielded="a person",
        ),
        WorkflowStep(
            tool="search",
            purpose="When was #1 born?",
            query="When was #1 born?",
            yielded="a date",
        ),
    )
    assert workflow.summary == "#1 Who directed [A]? -> a person\n#2 When was #1 born? -> a date"
    assert (workflow.outcome, workflow.lesson, workflow.category) == ("success", "", "time")
    assert workflow.source_domains == ("wiki.example",)
    assert len(workflow.source_hashes) == 2


def test_the_same_way_with_another_film_is_the_same_template(film_episode: Films) -> None:
    one = compressed(film_episode("Jaws"))
    other = compressed(film_episode("The Third Man", director="Carol Reed", date="1906"))
    for field in ("question_template", "plan", "steps", "summary"):
        assert getattr(one, field) == getattr(other, field)


def test_subjects_are_lettered_in_the_order_of_the_plan() -> None:
    plan = parse_plan(
        "#1 When was [Raketa mena] released?\n#2 When was [Jaws 2] released?\nanswer first #1 #2"
    )
    turns = (
        _search("Raketa mena release", found="1970", thought="When was Raketa mena released?"),
        _search("Jaws 2", thought="When was Jaws 2 released?"),
    )
    episode = _episode("Which came first, Jaws 2 or Raketa mena?", plan, turns)
    workflow = compressed(episode)
    assert workflow.question_template == "Which came first, [B] or [A]?"
    assert [step.query for step in workflow.steps] == ["[A] release", "[B]"]
    assert parse_plan(workflow.plan).rule == plan.rule


def test_a_name_with_and_without_its_article_is_one_letter() -> None:
    plan = parse_plan("#1 How long is [Po]?\n#2 How long is [Mackenzie]?\nanswer last #1 #2")
    turns = (
        _search("Po", found="652 km", thought="How long is Po?"),
        _search("Mackenzie", found="1,740 km", thought="How long is Mackenzie?"),
    )
    asked = "Which river is longer, the Po or the Mackenzie?"
    workflow = compressed(_episode(asked, plan, turns, answers=("Mackenzie", "the Mackenzie")))
    assert workflow.question_template.count("[A]") == workflow.question_template.count("[B]") == 1
    assert "[C]" not in workflow.question_template


def test_a_step_tried_twice_is_one_step() -> None:
    plan = parse_plan("#1 Who directed [Jaws]?\n#2 When was #1 born?\nanswer #2")
    turns = (
        _search("Who directed Jaws?", thought="Who directed Jaws?"),
        _search("Jaws director", thought="Who directed Jaws?", found="Ann Lee"),
        _search("Ann Lee", thought="When was Ann Lee born?", found="1950"),
        Turn(answer="1950"),
    )
    steps = compressed(_episode("When was the director of Jaws born?", plan, turns)).steps
    assert [(step.purpose, step.query) for step in steps] == [
        ("Who directed [A]?", "[A] director"),
        ("When was #1 born?", "#1"),
    ]


def test_a_run_that_goes_its_own_way_is_numbered_by_its_lookups() -> None:
    plan = parse_plan("#1 Who directed [Jaws]?\n#2 When was #1 born?\nanswer #2")
    turns = (
        _search("Jaws film", text="Jaws is by Ann Lee", thought="Who directed Jaws?"),
        _search("Ann Lee", text="Ann Lee", thought="So it was Ann Lee."),
        _search("Ann Lee birth", text="born 1950", thought="When was Ann Lee born?"),
    )
    workflow = compressed(_episode("When was the director of Jaws born?", plan, turns))
    assert [step.query for step in workflow.steps] == ["[A] film", "#1", "#1 birth"]
    assert workflow.plan == "#1 Who directed [A]?\n#2 When was #1 born?\nanswer #2"


def test_a_run_in_prose_cites_the_lookup_that_brought_a_name_up() -> None:
    plan = Plan(text="1. Find the director of Jaws.\n2. Search for the birth date of that person.")
    turns = (
        _search("Jaws film director", text="Jaws is a film by Ann Lee."),
        _search("Ann Lee birth date", text="Ann Lee, born 1950, ..."),
        Turn(answer="1950"),
    )
    workflow = compressed(_episode("When was the director of Jaws born?", plan, turns))
    assert workflow.plan == (
        "1. Find the director of [A].\n2. Search for the birth date of that person."
    )
    assert [step.query for step in workflow.steps] == ["[A] film director", "#1 birth date"]
    assert {step.yielded for step in workflow.steps} == {"some text"}


def test_of_a_replanned_run_the_replan_is_kept_with_what_it_took_over(film_episode: Films) -> None:
    first = film_episode()
    replan = parse_plan("#1 Who directed [Jaws]?\n#2 Where was #1 born?\nanswer #2")
    again = Trajectory(
        turns=(
            *first.trajectory.turns,
            Turn(thought="Who directed Jaws?", found="Steven Spielberg"),
            _search("Steven Spielberg", thought="Where was Steven Spielberg born?", found="Ohio"),
            Turn(answer="Ohio"),
        ),
        outcome="answered",
    )
    episode = replace(
        first, reflection=Reflection(goal_met=False), replan=replan, retrajectory=again
    )
    workflow = compressed(episode)
    assert workflow.plan == "#1 Who directed [A]?\n#2 Where was #1 born?\nanswer #2"
    assert [(step.query, step.yielded) for step in workflow.steps] == [
        ("Who directed [A]?", "a person"),
        ("#1", "a place"),
    ]


def test_an_answer_without_a_lookup_leaves_no_workflow(film_episode: Films) -> None:
    episode = film_episode()
    knew = Trajectory(turns=(Turn(answer="1946"),), outcome="answered")
    assert compress(replace(episode, trajectory=knew), "default", "w1") is None
    assert compress(replace(episode, plan=None), "default", "w1") is None


def test_a_lesson_says_where_the_run_went_wrong(film_episode: Films) -> None:
    wrong = VerdictValue.INCORRECT
    lost = film_episode(director=None, date=None, verdict=wrong, outcome="abstained")
    assert compressed(lost).lesson == "Step #1 found nothing: Who directed [A]?"
    ended = film_episode(verdict=wrong, outcome="abstained")
    assert compressed(ended).lesson == "The run ended after step #2 without an answer."
    mistaken = film_episode(verdict=wrong)
    assert compressed(mistaken).lesson.endswith("the answer was judged wrong.")


@pytest.mark.parametrize(
    ("asked", "found", "wanted"),
    [
        ("Who directed [A]?", "Ann Lee", "a person"),
        ("When did #1 die?", "8 August 2014", "a date"),
        ("Where was #1 born?", "Rovigo", "a place"),
        ("Which country is [A] in?", "Peru", "a place"),
        ("How many lakes does #1 have?", "12", "a number"),
        ("Is [A] a city?", "Yes.", "yes or no"),
        ("What is the release of [A]?", "March 3, 1999", "a date"),
        ("What is the height of [A]?", "120 m", "a number"),
        ("What genre is [A]?", "jazz", "a name"),
    ],
)
def test_what_was_found_is_told_in_kind(asked: str, found: str, wanted: str) -> None:
    assert kind(asked, found) == wanted


@pytest.mark.parametrize(
    ("question", "wanted"),
    [
        ("When did the director of film Hanna'S War die?", "director of film [A] die?"),
        ("Who is older, Harry J. Anslinger or Lola (1981 film)?", "older, [A] or [B]?"),
        ("Are both A Hopeless Case and The Dune in the same list?", "both [A] and [B] in the"),
        ("What is the capital of the Kingdom of the Netherlands?", "capital of the [A]?"),
        ('Who said "to be or not" first?', "Who said [A] first?"),
        ("Which 1994 film won at cannes.example in June?", "Which [A] film won at [B] in [C]?"),
        ("mail ann@example.org or see https://x.example/a?b=1 now", "mail [A] or see [B] now"),
    ],
)
def test_a_question_is_masked_by_its_form(question: str, wanted: str) -> None:
    assert wanted in mask(question)


@pytest.mark.parametrize(
    ("spans", "text", "wanted"),
    [
        (
            ("po",),
            "along the po, of a po-boat, not by depot",
            "along the [A], of a [A]-boat, not by depot",
        ),
        (("red sea", "red sea port"), "in a red  Sea port", "in a [A]"),
        (("red sea", "red sea port"), "in red sea ports", "in [A] ports"),
        (("(sic)",), "so (sic) and so(sic)", "so [A] and so(sic)"),
        (("sea", "red"), "red\nsea", "[A]\n[B]"),
    ],
)
def test_a_known_span_is_hidden_in_whole_words_the_longest_first(
    spans: tuple[str, ...], text: str, wanted: str
) -> None:
    veil = Veil()
    for span in spans:
        veil.add(span)
    assert veil.hide(text) == wanted


# -- the laws ---------------------------------------------------------------------------------

_LETTERS = "abcdefghijklmnopqrstuvwxyzéüß"
_FIXED = set(
    re.findall(
        r"\w+",
        "an unknown tool search begin the search look for more nothing some text a person a date "
        "a place a number a name yes or no step found the run ended after without answer every "
        "something but was judged wrong who directed when was born film first mail open page "
        "after that see also",
    )
)
_word = st.text(_LETTERS, min_size=3, max_size=8).filter(
    lambda word: word not in _FIXED and word not in FUNCTION_WORDS
)
_name = st.lists(_word.map(str.capitalize), min_size=1, max_size=3).map(" ".join)
_phrase = st.lists(_word, min_size=1, max_size=3).map(" ".join)
_number = st.integers(100, 10**6).map(str)
_fact = st.one_of(_name, _phrase, _number)
_code = st.from_regex(r"[A-Z]{2,4}-[0-9]{3,6}|sk-[a-z0-9]{4}[0-9][a-z0-9]{4}", fullmatch=True)
_hostile = st.one_of(urls(), st.emails(), _code)


@st.composite
def typed_episodes(draw: st.DrawFn) -> tuple[Episode, list[str], list[str]]:
    """A stepwise run whose queries and plan quote what was found and what pages said."""
    film, director, date = draw(_name), draw(_fact), draw(_fact)
    hostile = draw(st.lists(_hostile, max_size=3))
    quotable = [text for text in (*hostile, director, date, "") if "#" not in text]
    extra = draw(st.sampled_from(quotable))  # a typed plan has no `#` but its own
    steps = (Step(text=f"Who directed [{film}]?"), Step(text=f"When was #1 born? {extra}"))
    rule = Rule(op="step", steps=(2,))
    plan = Plan(text=render_plan(steps, rule), steps=steps, rule=rule)
    turns = (
        _search(
            f"Who directed {film}? {extra}", " ".join(hostile), director, f"Who directed {film}?"
        ),
        _search(
            f"When was {director} born? {' '.join(hostile)}",
            date,
            date,
            f"When was {director} born? {extra}",
        ),
        Turn(answer=date),
    )
    golds = (draw(_fact), date)
    question = f"When was the director of film {film} born? {draw(st.sampled_from(golds))}"
    verdict = draw(st.sampled_from([VerdictValue.CORRECT, VerdictValue.INCORRECT]))
    return _episode(question, plan, turns, golds, verdict), [director, *golds], hostile


@st.composite
def prose_episodes(draw: st.DrawFn) -> tuple[Episode, list[str], list[str]]:
    """A long free run, whose plan, thoughts and queries quote anything."""
    names = draw(st.lists(_name, min_size=1, max_size=3))
    hostile = draw(st.lists(_hostile, min_size=1, max_size=3))
    golds = draw(st.lists(_fact, min_size=1, max_size=2))
    quotable = st.sampled_from([*names, *hostile, *golds])
    told = st.lists(quotable, max_size=4).map(" and see also ".join)
    turns = tuple(
        _search(f"open page of {draw(told)}", draw(told), thought=draw(told))
        for _ in range(draw(st.integers(1, 18)))
    )
    plan = Plan(text="\n".join(f"{n}. Search for {draw(told)}" for n in range(1, 5)) * 20)
    question = f"Who directed {names[0]} first?"
    verdict = draw(st.sampled_from([VerdictValue.CORRECT, VerdictValue.INCORRECT]))
    answer = Turn(answer=golds[0], thought=draw(told))
    return _episode(question, plan, (*turns, answer), tuple(golds), verdict), golds, hostile


def shown(workflow: Workflow) -> str:
    steps = [f"{step.tool} {step.purpose} {step.query} {step.yielded}" for step in workflow.steps]
    parts = (workflow.question_template, workflow.plan, workflow.summary, workflow.lesson, *steps)
    return "\n".join(parts)


def assert_says_how_and_not_what(
    workflow: Workflow, answers: list[str], hostile: list[str]
) -> None:
    text = shown(workflow)
    for answer in answers:
        assert not re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", text, re.IGNORECASE), answer
    for secret in hostile:
        assert secret.lower() not in text.lower()


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(typed_episodes())
def test_no_fact_of_a_typed_run_is_kept(case: tuple[Episode, list[str], list[str]]) -> None:
    workflow = compressed(case[0])
    assert_says_how_and_not_what(workflow, case[1], case[2])
    assert parse_plan(workflow.plan).rule == Rule(op="step", steps=(2,))
    assert compressed(case[0]) == workflow


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(prose_episodes())
def test_no_fact_of_a_run_in_prose_is_kept(case: tuple[Episode, list[str], list[str]]) -> None:
    workflow = compressed(case[0])
    assert_says_how_and_not_what(workflow, case[1], case[2])
    assert len(workflow.steps) <= MAX_STEPS
    assert len(workflow.summary.split()) <= MAX_WORDS
    assert len(workflow.plan.split()) <= MAX_WORDS
    assert compressed(case[0]) == workflow


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200))
def test_masking_takes_any_text_and_leaves_no_digit_but_its_own(text: str) -> None:
    masked = mask(text)
    assert mask(text) == masked
    assert not re.search(r"\d{3}", masked)


def _search(
    query: str,
    text: str = "some page",
    found: str | None = None,
    thought: str = "",
) -> Turn:
    arguments = {"query_list": [query]}
    passage = Passage(id="p", title="Page", text=text)
    return Turn(
        thought=thought,
        call=ToolCall(name="search", arguments=arguments),
        observation=Observation(text=text, passages=(passage,)),
        found=found,
    )


def _episode(
    question: str,
    plan: Plan,
    turns: tuple[Turn, ...],
    answers: tuple[str, ...] | None = None,
    verdict: VerdictValue = VerdictValue.CORRECT,
) -> Episode:
    return Episode(
        id="e1",
        question=Question(text=question, id="q1", answers=answers),
        plan=plan,
        trajectory=Trajectory(turns=turns, outcome="answered"),
        verdict=Verdict(value=verdict, judge="exact_match"),
    )
