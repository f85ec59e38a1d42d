"""Rewards against figures worked by hand, and what may never be taken for a reward."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mia.errors import ConfigError, TrainingError
from mia.judge import unknown
from mia.training.rewards import (
    Parts,
    Rollout,
    Said,
    Stage,
    balanced,
    executor_reward,
    named_reward,
    planner_reward,
    unsupervised_planner_reward,
    wants_replan,
)
from mia.types import (
    Episode,
    Plan,
    Question,
    Reflection,
    ToolCall,
    Trajectory,
    Turn,
    Verdict,
    VerdictValue,
    decode,
    encode,
)

QUESTION = Question(text="?", id="q")
PLAN, REPLAN = Plan(text="#1 Who?\nanswer #1"), Plan(text="#1 Which?\nanswer #1")
RIGHT = Verdict(value=VerdictValue.CORRECT, judge="test")
WRONG = Verdict(value=VerdictValue.INCORRECT, judge="test")
UNKNOWN = unknown("test", "")
YES, NO = "<think>a gap</think>yes", "<think>\nfine\n</think>\nno\n"


def word(right: bool) -> Verdict:
    return RIGHT if right else WRONG


def answered(*turns: Turn, answer: str = "Rovigo") -> Trajectory:
    return Trajectory(turns=(*turns, Turn(answer=answer)), outcome="answered")


def once(verdict: Verdict, goal_met: bool = True, **parts: Any) -> Episode:
    return Episode(id="e", question=QUESTION, verdict=verdict, **{
        "plan": PLAN, "trajectory": answered(), "reflection": Reflection(goal_met=goal_met),
    } | parts)  # fmt: skip


def twice(verdict: Verdict, **parts: Any) -> Episode:
    first: Trajectory = parts.get("trajectory", answered())
    again = Trajectory(turns=(*first.turns, Turn(answer="Adria")), outcome="answered")
    return once(verdict, **{"goal_met": False, "replan": REPLAN, "retrajectory": again} | parts)


def talk(*replies: tuple[Stage, str]) -> tuple[Said, ...]:
    return tuple(Said(stage=stage, text=text) for stage, text in replies)


CONTENT = talk(("plan", "<think>so</think>1. search"), ("reflection", NO))
AGAIN = talk(("plan", "1. search"), ("reflection", YES), ("replan", "<think></think>1. look"))


def total(parts: Parts | None) -> float:
    assert parts is not None
    return parts.total


@pytest.mark.parametrize(
    ("first", "second", "reward"),
    [
        (True, None, 1.00),  # .7 + .2 + .05 + .05
        (False, None, 0.05),  # the format
        (False, True, 0.80),  # .7 + .05 + .05
        (False, False, 0.10),  # .05 + .05
        (True, True, 0.95),  # .7 + .2 + .05
        (True, False, 0.25),  # .2 + .05
    ],
)
def test_the_planner_is_paid_for_both_answers_its_form_and_its_decision(
    first: bool, second: bool | None, reward: float
) -> None:
    if second is None:
        rollout = Rollout(episode=once(word(first)), replies=CONTENT)
    else:
        rollout = Rollout(episode=twice(word(second)), replies=AGAIN, first_verdict=word(first))
    parts = planner_reward(rollout)
    assert total(parts) == pytest.approx(reward, abs=1e-12)
    assert parts == planner_reward(rollout, variant="code")
    assert parts is not None and list(parts.named) == ["acc2", "acc1", "format", "decision"]


@pytest.mark.parametrize(
    "replies",
    [
        talk(("plan", "<think>1. search"), ("reflection", NO)),
        talk(("plan", "so</think>1. search"), ("reflection", NO)),
        talk(("plan", "1. search"), ("reflection", "<think>no")),
        talk(("plan", "1. search"), ("reflection", "no.")),
        talk(("plan", "1. search"), ("reflection", "no, nothing is missing")),
        talk(("plan", "1. search"), ("reflection", "yesterday")),
        talk(("plan", "1. search"), ("reflection", "yes")),  # but it was not replanned
        talk(("plan", "1. search"), ("reflection", '{"goal_met": false}')),
        talk(("plan", "1. search"), ("reflection", '{"goal_met": "true"}')),
        talk(("plan", "?"), ("plan", "1. search"), ("reflection", NO)),
        talk(("plan", "1. search"), ("reflection", "well"), ("reflection", NO)),
        talk(("plan", "1. search"), ("reflection", NO), ("replan", "1. look")),
        talk(("reflection", NO)),
        (),
    ],
)
def test_whatever_is_not_said_exactly_as_asked_has_no_format(replies: tuple[Said, ...]) -> None:
    parts = planner_reward(Rollout(episode=once(RIGHT), replies=replies))
    assert total(parts) == pytest.approx(0.95)
    assert parts is not None and parts.named["format"] == 0


@pytest.mark.parametrize("reflected", ["no", "NO ", '{"goal_met": true, "reason": "found"}', None])
def test_a_typed_plan_that_parsed_at_once_has_its_format(reflected: str | None) -> None:
    said: tuple[tuple[Stage, str], ...] = (("plan", PLAN.text),)
    said += (("reflection", reflected),) if reflected else ()
    assert total(planner_reward(Rollout(episode=once(RIGHT), replies=talk(*said)))) == 1


def test_what_the_executor_says_is_not_the_planner_s_form() -> None:
    rollout = Rollout(episode=once(RIGHT), replies=(*CONTENT, *talk(("act", "<think>"))))
    assert total(planner_reward(rollout)) == 1


def test_what_the_planner_says_is_not_the_executor_s_form() -> None:
    rollout = acting(search("a"))
    planned = talk(("plan", "<think>"), ("replan", "<answer></answer>"))
    said = Rollout(episode=rollout.episode, replies=(*rollout.replies, *planned))
    assert total(executor_reward(said)) == pytest.approx(1)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("yes", True), ("no", False), ("Yes\n", True), ("<think>no</think> yes", True),
        ('{"goal_met": true}', False), ('{"goal_met": false, "reason": ""}', True),
        ("", None), ("yes.", None), ("yes no", None), ("yesterday", None), ("not yes", None),
        ("<think>yes</think>", None), ("yes</think>", None), ("<think>yes", None),
        ("true", None), ('"yes"', None), ('{"goal_met": 1}', None), ("{}", None),
    ],
)  # fmt: skip
def test_a_word_is_a_decision_only_by_itself(text: str, wanted: bool | None) -> None:
    assert wants_replan(text) is wanted


@given(st.text(alphabet="yesno .", min_size=1), st.sampled_from(["yes", "no"]))
def test_a_word_with_anything_around_it_is_no_decision(around: str, decided: str) -> None:
    for text in (decided + around, around + decided):
        if text.strip() not in ("yes", "no"):
            assert wants_replan(text) is None


@pytest.mark.parametrize(
    ("text", "even"),
    [
        ("", True), ("<think>a</think>", True), ("<think></think> b <think>c</think>", True),
        ("<think>", False), ("</think>", False), ("</think><think>", False),
        ("<think><think></think></think>", False), ("<think></think></think>", False),
    ],
)  # fmt: skip
def test_tags_are_balanced_when_each_is_closed_before_the_next(text: str, even: bool) -> None:
    assert balanced(text, "think") is even


def test_not_knowing_is_no_failure() -> None:
    single = Rollout(episode=once(UNKNOWN), replies=CONTENT)
    both = Rollout(episode=twice(UNKNOWN), replies=AGAIN, first_verdict=RIGHT)
    for rollout in (single, both):
        assert planner_reward(rollout) is None
        assert planner_reward(rollout, variant="code") is None
        assert unsupervised_planner_reward(rollout) is None
        assert executor_reward(rollout) is None


@pytest.mark.parametrize("first", [None, UNKNOWN])
def test_the_planner_s_reward_needs_a_verdict_on_the_first_answer_too(
    first: Verdict | None,
) -> None:
    rollout = Rollout(episode=twice(RIGHT), replies=AGAIN, first_verdict=first)
    assert planner_reward(rollout) is None
    assert total(unsupervised_planner_reward(rollout)) == pytest.approx(1)


NEVER_BEGAN: dict[str, Any] = {
    "plan": None, "reflection": None, "trajectory": Trajectory(outcome="failed:model")
}  # fmt: skip


@pytest.mark.parametrize("tries", [1, 2])
def test_a_planner_that_spoke_and_made_no_plan_is_paid_nothing(tries: int) -> None:
    said = talk(*[("plan", "and so on, and so on")] * tries)
    rollout = Rollout(episode=once(UNKNOWN, **NEVER_BEGAN), replies=said)
    assert planner_reward(rollout) == unsupervised_planner_reward(rollout) == Parts(total=0.0)


def test_what_fails_beside_the_planner_is_not_its_doing() -> None:
    unasked = Rollout(episode=once(UNKNOWN, **NEVER_BEGAN))
    down = once(UNKNOWN, reflection=None, trajectory=Trajectory(outcome="failed:search"))
    planned = Rollout(episode=down, replies=talk(("plan", "1. search")))
    for rollout in (unasked, planned):
        assert planner_reward(rollout) is unsupervised_planner_reward(rollout) is None


def test_a_first_run_without_an_answer_was_not_right() -> None:
    episode = twice(RIGHT, trajectory=Trajectory(outcome="abstained"))
    assert total(planner_reward(Rollout(episode=episode, replies=AGAIN))) == pytest.approx(0.8)


def test_a_second_run_without_an_answer_leaves_the_first() -> None:
    episode = twice(RIGHT, retrajectory=Trajectory(outcome="abstained"))
    parts = planner_reward(Rollout(episode=episode, replies=AGAIN))
    assert parts is not None
    assert parts.named == {"acc2": 1, "acc1": 1, "format": 1, "decision": 0}


@pytest.mark.parametrize("reflection", [None, Reflection(goal_met=False)])
def test_only_the_published_code_pays_nothing_for_what_stops_short(
    reflection: Reflection | None,
) -> None:
    rollout = Rollout(episode=once(RIGHT, reflection=reflection), replies=talk(("plan", "1.")))
    assert total(planner_reward(rollout)) == pytest.approx(0.95)
    assert total(planner_reward(rollout, variant="code")) == 0


@pytest.mark.parametrize(
    ("verdict", "replies", "reward"),
    [(RIGHT, CONTENT, 1.0), (RIGHT, (), 0.9), (WRONG, CONTENT, 0.1), (WRONG, (), 0.0)],
)
def test_without_gold_the_planner_is_paid_by_the_verdict_and_its_form(
    verdict: Verdict, replies: tuple[Said, ...], reward: float
) -> None:
    parts = unsupervised_planner_reward(Rollout(episode=once(verdict), replies=replies))
    assert total(parts) == pytest.approx(reward)


def search(*queries: Any) -> Turn:
    return Turn(call=ToolCall(name="search", arguments={"query_list": list(queries)}))


def tool(name: str, **arguments: Any) -> Turn:
    return Turn(call=ToolCall(name=name, arguments=arguments))


IMAGE = tool("web_image_to_image_search", img_idx="0")
ACTS = talk(("act", "<think>I look</think>"), ("act", "<think>so</think><answer>Rovigo</answer>"))


def acting(*turns: Turn, verdict: Verdict = RIGHT, answer: str = "Rovigo") -> Rollout:
    episode = once(verdict, trajectory=answered(*turns, answer=answer))
    return Rollout(episode=episode, replies=ACTS)


@pytest.mark.parametrize(
    ("rollout", "reward"),
    [
        (acting(search("Rovigo")), 1.0),  # .7 + .2 + .1
        (acting(IMAGE), 1.0),
        (acting(), 0.8),  # .7 + .1
        (acting(tool("open_page", url="d1", find="born")), 0.8),
        (acting(search("Rovigo"), verdict=WRONG), 0.3),  # .2 + .1
    ],
)
def test_the_executor_is_paid_for_being_right_for_searching_and_for_its_form(
    rollout: Rollout, reward: float
) -> None:
    assert total(executor_reward(rollout)) == pytest.approx(reward, abs=1e-12)


@pytest.mark.parametrize(
    ("first", "added", "share"),
    [
        ((search("a"),), (search("b"),), 1.0),
        ((search("a"),), (), 0.5),  # what the second run took over is not its own
        ((), (search("b"),), 0.5),
        ((), (), 0.0),
    ],
)
def test_each_run_has_to_search_for_itself(
    first: tuple[Turn, ...], added: tuple[Turn, ...], share: float
) -> None:
    trajectory = answered(*first)
    again = Trajectory(turns=(*trajectory.turns, *added, Turn(answer="b")), outcome="answered")
    episode = twice(RIGHT, trajectory=trajectory, retrajectory=again)
    parts = executor_reward(Rollout(episode=episode, replies=ACTS))
    assert parts is not None and parts.named["tool"] == share
    assert parts.total == pytest.approx(0.8 + 0.2 * share)


@pytest.mark.parametrize(
    "turns",
    [
        (search(),), (search(""),), (search(" "),), (search("a", "\n"),), (search(1),),
        (tool("search", query="a"),), (tool("search", query_list="a"),),
        (tool("search", query_list=["a"], top=3),), (tool("search"),),
        (tool("web_image_to_image_search", img_idx=0),),
        (tool("web_image_to_image_search", img_idx="1"),),
        (tool("web_image_to_image_search", img_idx="0", k=1),),
        (IMAGE, search("a"), IMAGE),
        (tool("python", code="1"),), (tool("visit", url="d"),), (tool("Search", query_list=["a"]),),
        (tool("open_page"),), (tool("open_page", url=" "),), (tool("open_page", url="d", k=1),),
        (tool("open_page", url="d", find=1),),
        (Turn(call=ToolCall(name="search", arguments={}, malformed='{"query_list"')),),
    ],
)  # fmt: skip
def test_one_call_that_is_not_well_made_costs_the_executor_its_format(
    turns: tuple[Turn, ...],
) -> None:
    parts = executor_reward(acting(search("a"), *turns))
    assert parts is not None and parts.named == {"acc": 1, "tool": 1, "format": 0}


@pytest.mark.parametrize(
    "texts",
    [
        (),
        ("Rovigo",),
        ("<answer></answer>",),
        ("<answer> \n</answer>",),
        ("<answer>Rovigo",),
        ("Rovigo</answer>",),
        ("<think><answer>Rovigo</answer></think>",),
        ("<think>so<answer>Rovigo</answer>",),
        ("<think>so", "</think><answer>Rovigo</answer>"),
        ("<answer>Rovigo</answer>", "<answer></answer>"),
    ],
)
def test_an_answer_stands_in_its_tags_outside_of_the_thoughts(texts: tuple[str, ...]) -> None:
    replies = talk(*(("act", text) for text in texts))
    parts = executor_reward(Rollout(episode=once(RIGHT), replies=replies))
    assert parts is not None and parts.named["format"] == 0


def test_the_published_code_pays_a_first_try_more_and_a_long_answer_nothing() -> None:
    first = acting(search("a"))
    again = twice(RIGHT, trajectory=answered(search("a")))
    added = Trajectory(turns=(*again.trajectory.turns, search("b"), Turn(answer="b")),
                       outcome="answered")  # fmt: skip
    second = Rollout(episode=twice(RIGHT, trajectory=again.trajectory, retrajectory=added),
                     replies=ACTS)  # fmt: skip
    longest, longer = (acting(search("a"), answer="x" * length) for length in (100, 101))
    rollouts = (first, second, longest, longer, acting(search("a"), verdict=WRONG))
    paid = [total(executor_reward(rollout, variant="code")) for rollout in rollouts]
    assert paid == pytest.approx([1.14, 1.0, 1.14, 0.3, 0.3])
    assert [total(executor_reward(rollout)) for rollout in rollouts] == pytest.approx(
        [1.0, 1.0, 1.0, 1.0, 0.3]
    )


@given(st.booleans(), st.booleans(), st.booleans(), st.lists(st.builds(
    Said, stage=st.sampled_from(["plan", "reflection", "replan", "act"]),
    text=st.text("yesno<think></think>answer "))))  # fmt: skip
def test_the_paper_s_rewards_lie_between_nothing_and_one(
    first: bool, second: bool, replanned: bool, replies: list[Said]
) -> None:
    episode = twice(word(second)) if replanned else once(word(second))
    rollout = Rollout(episode=episode, replies=tuple(replies), first_verdict=word(first))
    for reward in (planner_reward, unsupervised_planner_reward, executor_reward):
        assert 0 <= total(reward(rollout)) <= 1


def test_a_reward_is_found_by_its_entry_point() -> None:
    reward = named_reward("mia.training.rewards:planner_reward")
    assert total(reward(Rollout(episode=once(RIGHT), replies=CONTENT))) == 1
    assert reward(Rollout(episode=once(UNKNOWN))) is None


@pytest.mark.parametrize(
    "entry_point",
    ["", ":", "mia", "mia:", ":planner_reward", "no_such_module:reward", ".rewards:reward",
     "mia.training.rewards:no_such", "mia.training.rewards:SEARCH"],
)  # fmt: skip
def test_an_entry_point_that_leads_nowhere_is_a_setting_that_cannot_be_used(
    entry_point: str,
) -> None:
    with pytest.raises(ConfigError, match="no reward at"):
        named_reward(entry_point)


def test_a_reward_that_returns_something_else_is_refused() -> None:
    with pytest.raises(ConfigError, match="should return Parts or None"):
        named_reward("builtins:bool")(Rollout(episode=once(RIGHT)))


def stumbles(rollout: Rollout) -> Parts | None:
    """A reward with a mistake in it."""
    raise KeyError(rollout.episode.id)


def test_a_reward_that_raises_is_named_with_the_line_where_it_did() -> None:
    reward = named_reward(f"{__name__}:stumbles")
    line = stumbles.__code__.co_firstlineno + 2
    with pytest.raises(
        TrainingError, match=rf"the reward {__name__}:stumbles raised KeyError: 'e' .*line {line}"
    ):
        reward(Rollout(episode=once(RIGHT)))


@pytest.mark.parametrize("figure", [float("nan"), float("inf")])
def test_a_reward_is_a_finite_number(figure: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Parts(total=figure)


def test_a_rollout_and_its_parts_can_travel_as_json() -> None:
    rollout = Rollout(episode=twice(RIGHT), replies=AGAIN, first_verdict=WRONG)
    parts = planner_reward(rollout)
    assert parts is not None
    assert decode(encode(rollout), Rollout) == rollout and decode(encode(parts), Parts) == parts
