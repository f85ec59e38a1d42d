"""What a client tells of a run, read."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from mia.memories.workflow.compress import domains
from mia.render import TRAJECTORY_WORDS, trajectory
from mia.servers.reference_episode import DOWN, passages, plan_of, run, told
from mia.servers.reference_memory_wire import Said
from mia.types import Episode, Question, Trajectory


def said(role: str, content: Any) -> Said:
    return Said(role=role, content=content)


def call(query: str) -> str:
    body = json.dumps({"name": "search", "arguments": {"query_list": [query]}})
    return f"<think>hm</think>\n<tool_call>\n{body}\n</tool_call>"


def read_at(trajectory: Trajectory) -> tuple[str, ...]:
    return domains(Episode(id="e", question=Question(text="?", id="q"), trajectory=trajectory))


def test_a_run_over_a_revised_plan_is_one_run_with_the_last_answer() -> None:
    found = run([
        said("assistant", call("Rovigo")),
        said("user", '<tool_response>\nDoc 1(Title: "Rovigo") A town.\n</tool_response>'),
        said("assistant", "<think>enough, I take it</think>"),
        said("user", "I have a revised plan: look again."),
        said("assistant", call("Veneto")),
        said("user", "\\\\<tool_response>\nnothing\n<tool_response>\n"),
        said("assistant", "<think>so</think><answer> Veneto </answer>"),
    ])  # fmt: skip
    assert (found.outcome, found.answer) == ("answered", "Veneto")
    calls = [turn.call.arguments for turn in found.turns if turn.call]
    assert calls == [{"query_list": ["Rovigo"]}, {"query_list": ["Veneto"]}]
    seen = [turn.observation.text for turn in found.turns if turn.observation]
    assert seen[0] == 'Doc 1(Title: "Rovigo") A town.' and "nothing" in seen[1]
    assert "tool_response" not in seen[1]


def test_without_tags_the_last_reply_is_the_answer() -> None:
    assert run([said("assistant", "<think>so</think>It is Rovigo.")]).answer == "It is Rovigo."


def test_an_empty_answer_and_a_call_that_nobody_answered_are_none() -> None:
    for reply in ("<answer></answer>", call("Rovigo")):
        found = run([said("assistant", reply)])
        assert (found.outcome, found.answer) == ("abstained", None)
    assert run([]).outcome == "abstained"


def test_a_model_that_was_down_is_no_answer() -> None:
    assert run([said("assistant", call("Rovigo")), said("assistant", DOWN)]).failed


def test_messages_in_parts_are_read_without_their_pictures() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:..."}}
    texts = [{"type": "text", "text": text} for text in ("<answer>Rovigo", "</answer>")]
    message = msgspec.convert({"role": "assistant", "content": [picture, *texts]}, Said)
    assert run([message]).answer == "Rovigo"


def test_local_documents_are_told_apart() -> None:
    result = 'Doc 1(Title: "A") one\nmore\n=======\nDoc 1(Title: "B (film)") two'
    assert [(p.title, p.text, p.url) for p in passages(result)] == [
        ("A", "one\nmore", None), ('B (film', '") two', None),
    ]  # fmt: skip


def test_documents_of_the_web_are_told_apart_by_what_stands_last() -> None:
    result = (
        "A search for 'x' found 2 results:\n\n## Web Results\n"
        "1. [One](https://one.example/a)\nDate published: 2020\nSource: one.example\nText.\n\n"
        "2. [Two](https://decoy.example) [b](https://two.example/p_(x))\nText."
    )
    assert [p.url for p in passages(result)] == [
        "https://one.example/a", "https://two.example/p_(x)",
    ]  # fmt: skip
    assert "Text." in passages(result)[0].text


def test_a_result_of_another_form_is_one_document_of_unknown_origin() -> None:
    (passage,) = passages("Some text about Rovigo.")
    assert passage.text == "Some text about Rovigo."
    read = run([
        said("assistant", call("a")), said("tool", "Some text."),
        said("assistant", call("b")), said("tool", "1. [T](https://t.example/x)\nText."),
    ])  # fmt: skip
    assert read_at(read) == ("t.example", "unreadable")
    assert passages("") == ()


def test_a_text_of_a_run_tells_its_last_answer() -> None:
    trace = "Round 1\n<answer>first</answer>\nRound 2\n<answer>\nsecond</answer>"
    assert told(trace).answer == "second"
    assert told("Round 1\nnothing").outcome == "abstained"
    assert told("Round 1\n<answer> </answer>").answer is None
    assert told("  ").turns == ()


def test_every_round_of_a_long_run_is_shown_in_part() -> None:
    long = "word " * 3000
    rounds = [f"Round {n}\n<think>thought {n}</think>\n{long}\n" for n in range(1, 6)]
    trace = f"Question: who?\n{''.join(rounds)}<answer>Rovigo</answer>"
    shown = trajectory(told(trace))
    assert all(f"thought {n}" in shown for n in range(1, 6)) and "Answer: Rovigo" in shown
    assert len(shown.split()) < TRAJECTORY_WORDS + 200


def test_rounds_without_end_stay_a_bounded_text() -> None:
    shown = trajectory(told("Round 1\nfound\n" * 50_000))
    assert len(shown.split()) < TRAJECTORY_WORDS + 1000


def test_a_typed_plan_is_read_as_one() -> None:
    typed = plan_of("#1 Who made [Jaws]?\nanswer #1")
    assert typed.steps[0].text == "Who made [Jaws]?" and typed.rule is not None
    assert plan_of("1. Search.\u200b").text == "1. Search."
    assert len(plan_of("word " * 100_000).text.split()) <= 1001
