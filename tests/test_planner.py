"""The language of typed plans."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mia.errors import ModelError
from mia.planner import (
    ARITY,
    MAX_STEPS,
    numbered,
    parse_plan,
    plain,
    refs,
    render_plan,
    root,
    subject,
)
from mia.types import Rule, Step, Usage

OPS = ("step", "first", "last", "same", "longer")
WORDS = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp"), exclude_characters="#"),
    min_size=1,
    max_size=8,
)


@st.composite
def typed_plans(draw: st.DrawFn) -> tuple[tuple[Step, ...], Rule]:
    steps: list[Step] = []
    for number in range(1, draw(st.integers(1, MAX_STEPS)) + 1):
        earlier = st.integers(1, number - 1).map("#{}".format) if number > 1 else WORDS
        words = draw(st.lists(WORDS | earlier, min_size=1, max_size=5))
        steps.append(Step(text=" ".join(words)))
    op = draw(st.sampled_from(OPS))
    cited = st.lists(st.integers(1, len(steps)), min_size=ARITY[op], max_size=ARITY[op])
    return tuple(steps), Rule(op=op, steps=tuple(draw(cited)))


@given(typed_plans())
def test_a_plan_that_is_rendered_is_parsed_to_itself(plan: tuple[tuple[Step, ...], Rule]) -> None:
    text = render_plan(*plan)
    parsed = parse_plan(text, Usage(calls=1))
    assert (parsed.steps, parsed.rule, parsed.text, parsed.usage) == (*plan, text, Usage(calls=1))


@given(st.text() | st.text("#123 answer[]?\n"))
def test_whatever_a_model_writes_is_a_plan_or_a_model_error(text: str) -> None:
    try:
        plan = parse_plan(text)
    except ModelError:
        return
    assert plan.rule is not None and parse_plan(plan.text) == plan


STEPS = "\n".join(f"#{number} What is it?" for number in range(1, 7))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "1 to 6 steps, got 0"),
        ("answer #1", "1 to 6 steps, got 0"),
        ("#1 When did #2 die?\n#2 Who?\nanswer #2", "cites a step that is not before it"),
        ("#1 When did #1 die?\nanswer #1", "cites a step that is not before it"),
        ("#1 Who?\n#2 When did #0 die?\nanswer #2", "cites a step that is not before it"),
        ("#1 Who?\n#2 When did #12 die?\nanswer #2", "cites a step that is not before it"),
        ("#1 Who?\n#3 When?\nanswer #1", "plan line 2"),
        ("#2 Who?\nanswer #1", "plan line 1"),
        ("#1 Who?\n#1 Who?\nanswer #1", "plan line 2"),
        ("1. Who?\nanswer #1", "plan line 1"),
        ("#1\nanswer #1", "plan line 1"),
        ("#1 Who?", "1 to 6 steps, got 0"),
        ("#1 Who?\nanswer", "ends in 'answer"),
        ("#1 Who?\nanswer #2", "does not fit"),
        ("#1 Who?\nanswer #0", "does not fit"),
        ("#1 Who?\nanswer #1 #1", "does not fit"),
        ("#1 Who?\nanswer first #1", "does not fit"),
        ("#1 Who?\nanswer last #1 #1 #1", "does not fit"),
        ("#1 Who?\nanswer same #1", "does not fit"),
        ("#1 Who?\nanswer longer #1 #1", "does not fit"),
        ("#1 Who?\nanswer shorter #1 #1", "ends in 'answer"),
        ("#1 Who?\nanswer: Rovigo", "ends in 'answer"),
        (f"{STEPS}\n#7 What is it?\nanswer #7", "1 to 6 steps, got 7"),
    ],
)
def test_what_is_not_exactly_a_plan_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        parse_plan(text)


def test_blanks_around_lines_do_not_matter() -> None:
    assert parse_plan("\n #1 Who?  \n answer #1 \n") == parse_plan("#1 Who?\nanswer #1")


def test_chains_are_numbered_first_steps_first() -> None:
    chains = [[f"Who directed [{film}]?", "When did #{prev} die?"] for film in ("A", "B")]
    assert numbered(chains, "first").splitlines() == [
        "#1 Who directed [A]?", "#2 Who directed [B]?",
        "#3 When did #1 die?", "#4 When did #2 die?", "answer first #3 #4",
    ]  # fmt: skip
    assert numbered(chains[:1], "step").splitlines()[1:] == ["#2 When did #1 die?", "answer #2"]


def test_spans_stay_together() -> None:
    chains = [[f"When did [{name}] {what}?"] for name in "AB" for what in ("begin", "end")]
    assert numbered(chains, "longer").splitlines() == [
        "#1 When did [A] begin?", "#2 When did [A] end?",
        "#3 When did [B] begin?", "#4 When did [B] end?", "answer longer #1 #2 #3 #4",
    ]  # fmt: skip


@given(st.sampled_from(OPS), st.data())
def test_numbered_chains_are_a_plan(op: str, data: st.DataObject) -> None:
    count = ARITY[op]
    lengths = st.lists(st.integers(1, MAX_STEPS // count), min_size=count, max_size=count)
    chains = [
        [f"Who is [{chain}]?", *["What of #{prev}?"] * (length - 1)]
        for chain, length in enumerate(data.draw(lengths))
    ]
    plan = parse_plan(numbered(chains, op))
    assert plan.rule is not None and plan.rule.op == op
    begins = [root(plan.steps, end) for end in plan.rule.steps]
    assert begins == [str(chain) for chain in range(count)]


def test_the_parts_of_a_step() -> None:
    step = "When did the director of [Jaws (film) ] die, after #1 and #2?"
    assert subject(step) == "Jaws (film)"
    assert subject("When did #1 die?") is None
    assert plain("Who is [Ann]?") == "Who is Ann?"
    assert refs(step) == (1, 2)
