"""The figures of a report: worked by hand on a few marks, and equal to their recomputation."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.report.making import (
    RIGHT,
    UNKNOWN,
    WRONG,
    done,
    entry,
    lifelike,
    questions,
    results,
    scored,
)

from mia.errors import InputError
from mia.evaluate import Done, Results, Size
from mia.report.rows import Row
from mia.report.sheets import differences
from mia.report.summary import Summary, report_of, summarise
from mia.statistics import holm, mcnemar, wilson
from mia.types import Question, Usage, decode, encode

ASKED = questions(4)


def row(summary: Summary, method: str) -> Row:
    return next(each for each in summary.rows if each.method == method)


def test_what_could_not_be_judged_is_not_right_and_told_apart() -> None:
    found = row(summarise(results(ASKED, scored("none", ASKED, "++-?"))), "none")
    assert (found.accuracy.successes, found.accuracy.trials) == (2, 4)
    assert (found.accuracy_judged.successes, found.accuracy_judged.trials) == (2, 3)
    assert (found.accuracy.low, found.accuracy.high) == wilson(2, 4)
    assert (found.answered, found.abstained, found.failed) == (3, 0, 1)


def test_exact_match_and_f1_are_counted_from_the_gold_and_not_from_the_verdict() -> None:
    entries = [
        entry(ASKED[0], WRONG, answer="The Town 0!"),  # the judge erred
        entry(ASKED[1], RIGHT, answer="town 1 hall"),
        entry(ASKED[2], UNKNOWN),
    ]
    found = row(summarise(results(ASKED, done("none", ASKED, entries))), "none")
    assert (found.exact.successes, found.exact.trials) == (1, 3)
    assert found.f1 == pytest.approx((1 + 0.8 + 0) / 3)


def test_gold_answers_that_the_episodes_were_not_shown_count_all_the_same() -> None:
    shown = [replace(question, answers=None) for question in ASKED]
    entries = [entry(question, RIGHT, answer="town 0") for question in shown]
    found = row(summarise(results(ASKED, done("none", ASKED, entries))), "none")
    assert (found.exact.successes, found.exact.trials) == (1, 4)
    blind = row(summarise(results(shown, done("none", ASKED, entries))), "none")
    assert (blind.exact.trials, blind.f1) == (0, None)


def test_remembering_is_part_of_what_a_method_costs_and_told_apart() -> None:
    answering = Usage(calls=2, prompt_tokens=100, completion_tokens=10, seconds=1.0, money=0.5)
    remembering = Usage(calls=1, prompt_tokens=30, completion_tokens=3, seconds=2.0, money=0.25)
    entries = [entry(q, usage=answering, remembering=remembering, seconds=5.0) for q in ASKED[:2]]
    found = row(summarise(results(ASKED, done("mia", ASKED, entries))), "mia")
    assert found.usage == answering + answering
    assert found.remembering == remembering + remembering
    assert (found.cost.money, found.cost.seconds) == (1.5, 6.0)
    assert found.each(found.cost.tokens) == 143


def test_sizes_of_memories_are_averaged_over_seeds_and_unknown_for_none() -> None:
    arms = [
        done("mia", ASKED, [], seed, Size(memories=memories, bytes=1000 * memories))
        for seed, memories in ((0, 10), (1, 20))
    ]
    summary = summarise(results(ASKED, scored("none", ASKED, "++++"), *arms))
    assert (row(summary, "mia").memories, row(summary, "mia").memory_bytes) == (15, 15_000)
    assert row(summary, "none").memories is None


def test_methods_are_compared_over_the_questions_that_both_have() -> None:
    summary = summarise(
        results(
            ASKED, scored("none", ASKED, "-+--"), scored("mia", ASKED, "++"),
            scored("rag", ASKED, "++++"),
        )
    )  # fmt: skip
    mia, rag = summary.comparisons
    assert (mia.method, mia.baseline, mia.pairs, mia.difference) == ("mia", "none", 2, 0.5)
    assert (mia.better, mia.worse, mia.p) == (1, 0, 1.0)
    assert (rag.pairs, rag.difference, rag.better, rag.p) == (4, 0.75, 3, mcnemar(3, 0))
    assert (mia.p_holm, rag.p_holm) == holm((mia.p, rag.p))
    assert summary.cautions == (
        "mia is not at its end: 2 of 4 answers are there, and it is compared over those alone.",
    )


def test_methods_without_a_common_question_are_compared_with_nobody() -> None:
    asked = questions(12)
    summary = summarise(
        results(
            asked, scored("none", asked, "------"), scored("mia", asked[::-1], "++++++"),
            scored("rag", asked, "++++++"), scored("mem0", asked, ""),
        )
    )  # fmt: skip
    mia, rag = summary.comparisons
    assert (mia.pairs, mia.difference, mia.low, mia.high) == (0, None, -1.0, 1.0)
    assert rag.p_holm == rag.p == mcnemar(6, 0) < 0.05  # there is no other comparison
    assert (row(summary, "mem0").done, row(summary, "mem0").accuracy.value) == (0, None)


def test_seeds_of_one_question_are_no_independent_evidence() -> None:
    once = summarise(results(ASKED, scored("none", ASKED, "---+"), scored("mia", ASKED, "+++-")))
    seeds = range(3)
    thrice = summarise(
        results(
            ASKED,
            *(scored("none", ASKED, "---+", seed) for seed in seeds),
            *(scored("mia", ASKED, "+++-", seed) for seed in seeds),
        )
    )
    assert thrice.comparisons[0].pairs == 12 and thrice.comparisons[0].questions == 4
    assert thrice.comparisons[0].p == once.comparisons[0].p
    assert thrice.comparisons[0].low == once.comparisons[0].low
    assert row(thrice, "mia").accuracy.low == pytest.approx(row(once, "mia").accuracy.low)
    assert not once.seeds and not once.seed_comparisons
    assert [(each.method, each.seed) for each in thrice.seeds[:4]] == [
        ("none", 0), ("none", 1), ("none", 2), ("mia", 0)
    ]  # fmt: skip
    assert [each.seed for each in thrice.seed_comparisons] == [0, 1, 2]


def test_methods_without_a_common_seed_are_compared_by_question() -> None:
    summary = summarise(
        results(ASKED, scored("none", ASKED, "-+--", 0), scored("mia", ASKED, "++++", 1),
                scored("mia", ASKED, "-+++", 2))
    )  # fmt: skip
    assert summary.comparisons[0].pairs == 4
    assert summary.comparisons[0].difference == pytest.approx((0.5 + 0 + 1 + 1) / 4)


def test_the_baseline_is_the_one_asked_for_or_none_or_the_first() -> None:
    both = results(ASKED, scored("mia", ASKED, "++++"), scored("none", ASKED, "++++"))
    assert summarise(both).baseline == "none"
    assert summarise(both, "mia").baseline == "mia"
    assert summarise(results(ASKED, scored("rag", ASKED, "++++"))).baseline == "rag"
    with pytest.raises(InputError, match="no method 'x' took part; there are mia, none"):
        summarise(both, "x")


def test_a_learning_curve_counts_from_the_beginning_and_its_window_the_last_ones() -> None:
    asked = questions(60)
    marks = "-" * 30 + "+" * 30
    curve = summarise(results(asked, scored("mia", asked, marks))).curves[0]
    at = {point.position: point for point in curve.points}
    assert curve.window == 12
    assert at[30].cumulative.value == 0.0 and at[60].cumulative.value == 0.5
    assert (at[60].cumulative.low, at[60].cumulative.high) == wilson(30, 60)
    assert at[36].window == 0.5 and at[60].window == 1.0
    assert min(at) < 12 and all(at[place].window is None for place in at if place < 12)


def test_no_interval_is_shown_where_no_question_tells_two_methods_apart() -> None:
    summary = summarise(
        results(ASKED, scored("none", ASKED, "++--"), scored("mia", ASKED, "++--"),
                scored("rag", ASKED, "+++-"))
    )  # fmt: skip
    assert [cells[:4] for cells in differences(summary).rows] == [
        ("mia", "4", "+0.000", "–"), ("rag", "4", "+0.250", "+0.000 to +0.750")
    ]  # fmt: skip


def test_an_occurrence_is_the_number_of_the_family_in_that_arm() -> None:
    asked = questions(40, ("a", "b", None))
    by_hand = {"a": 0, "b": 0}
    right = {"1": 0, "6–10": 0}
    for place, question in enumerate(asked):
        if question.family:
            by_hand[question.family] += 1
            right["1"] += place % 2 == 0 and by_hand[question.family] == 1
            right["6–10"] += place % 2 == 0 and 6 <= by_hand[question.family] <= 10
    found = summarise(results(asked, scored("mia", asked, "+-" * 20))).practice[0]
    assert [str(bin) for bin in found.bins] == ["1", "2", "3", "4", "5", "6–10", "11–14"]
    known = {str(bin): bin.accuracy for bin in found.bins}
    assert {name: known[name].successes for name in right} == right
    assert (known["1"].trials, known["6–10"].trials, known["11–14"].trials) == (2, 10, 7)


def test_families_are_told_apart_and_questions_without_one_left_out() -> None:
    asked = questions(6, ("a", "b", None))
    summary = summarise(results(asked, scored("mia", asked, "+-++--")))
    assert [(f.family, f.accuracy.successes, f.accuracy.trials) for f in summary.families] == [
        ("a", 2, 2), ("b", 0, 2)
    ]  # fmt: skip


def test_evaluations_beside_each_other_share_questions_and_keep_their_names() -> None:
    more = (*questions(6),)
    first = results(ASKED, scored("none", ASKED, "++--"), scored("mia", ASKED, "+++-"), name="one")
    panel = [entry(question, WRONG, judge="panel") for question in more]
    other = results(more, done("mia", more, panel), name="two")
    summary = report_of(first, [other]).summary
    assert [each.method for each in summary.rows] == ["none", "mia", "mia (two)"]
    assert summary.questions == 4
    assert (row(summary, "mia (two)").asked, row(summary, "mia (two)").done) == (4, 4)
    assert summary.comparisons[1].difference == -0.5
    assert summary.cautions == ("The evaluations differ in their judges.",)
    assert [head.name for head in summary.evaluations] == ["one", "two"]


def test_evaluations_differ_in_what_is_known_of_them_and_a_run_tells_little() -> None:
    first = results(ASKED, scored("none", ASKED, "++--"), name="one", judge="auto")
    second = results(ASKED, scored("mia", ASKED, "+++-"), name="two")
    other = second._replace(evaluation=replace(second.evaluation, version="0.2.0"))
    assert report_of(first, [other]).summary.cautions == (
        "The evaluations differ in their versions of MIA.",
    )
    run = second._replace(
        evaluation=replace(second.evaluation, settings="", machine="", version="")
    )
    assert report_of(first, [run]).summary.cautions == (
        "Settings, version of MIA and machine are not known of two.",
    )
    assert report_of(run).summary.cautions == ()


def test_a_plain_run_keeps_its_name_unless_a_method_has_it() -> None:
    first = results(ASKED, scored("mia", ASKED, "++--"), name="one")
    run, namesake = (results(ASKED, scored(n, ASKED, "+---"), name=n) for n in ("two", "mia"))
    methods = [each.method for each in report_of(first, [run, namesake]).summary.rows]
    assert methods == ["mia", "two", "mia (mia)"]


def test_what_cannot_be_put_beside_each_other_is_named() -> None:
    first = results(ASKED, scored("none", ASKED, "++--"), name="one")
    strange = tuple(replace(question, text="Another?") for question in ASKED)
    other = results(strange, scored("none", strange, "++--"), name="two")
    with pytest.raises(InputError, match="no question that all of these ask: one, two"):
        report_of(first, [other])
    with pytest.raises(InputError, match="cannot be compared with itself: one, one"):
        report_of(first, [first])


def test_positions_stay_those_of_the_stream_when_only_some_questions_are_shared() -> None:
    late = ASKED[2:]
    first = results(ASKED, scored("mia", ASKED, "+++-"), name="one")
    other = results(late, scored("mia", late, "++"), name="two")
    positions = [(s.method, s.position) for s in report_of(first, [other]).scores]
    assert positions == [("mia", 3), ("mia", 4), ("mia (two)", 1), ("mia (two)", 2)]


def test_a_file_of_ones_own_goes_by_its_name() -> None:
    summary = summarise(results(ASKED, scored("./ideas/mine.py", ASKED, "++++")))
    assert summary.rows[0].method == "mine"


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_the_numbers_in_the_json_equal_their_recomputation(lot: int) -> None:
    made = _by_lot(random.Random(lot))
    written = msgspec.json.decode(encode(summarise(made)))
    for found in written["rows"]:
        episodes = [
            each
            for done in made.arms
            if done.arm.method == found["method"]
            for each in done.entries
        ]
        right = sum(each.episode.verdict.value is RIGHT for each in episodes)
        assert found["done"] == len(episodes)
        assert found["accuracy"]["successes"] == right
        tokens = sum(each.episode.usage.tokens for each in episodes)
        usage = found["usage"]
        assert usage.get("prompt_tokens", 0) + usage.get("completion_tokens", 0) == tokens
    ours = {done.arm.method: _rights(done) for done in made.arms}
    for found in written["comparisons"]:
        base, mine = ours["none"], ours[found["method"]]
        apart = [mine[id] - base[id] for id in mine if id in base]
        assert found["pairs"] == len(apart)
        if apart:
            assert found["difference"] == pytest.approx(sum(apart) / len(apart))
            assert found["low"] - 1e-9 <= found["difference"] <= found["high"] + 1e-9
    assert decode(encode(summarise(made)), Summary) == summarise(made)


def _by_lot(lot: random.Random) -> Results:
    asked: tuple[Question, ...] = questions(lot.randint(1, 12), ("a", "b"))
    arms: list[Done] = []
    for method in ("none", "rag", "mia")[: lot.randint(1, 3)]:
        marks = "".join(lot.choice("+-?") for _ in range(lot.randint(1, len(asked))))
        order = lot.sample(asked, len(asked))
        arms.append(scored(method, order, marks))
    return results(asked, *arms)


def _rights(done: Done) -> dict[str, int]:
    return {e.episode.question.id: e.episode.verdict.value is RIGHT for e in done.entries}


def test_a_summary_of_many_seeds_is_whole() -> None:
    summary = summarise(lifelike(count=24))
    assert len(summary.rows) == 9 and len(summary.seeds) == 27
    assert len(summary.comparisons) == 8 and len(summary.seed_comparisons) == 24
    assert any("amem is not at its end: 36 of 72" in caution for caution in summary.cautions)
