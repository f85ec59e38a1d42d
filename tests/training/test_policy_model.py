"""A policy as a Model: what it was asked and what it said is kept, id by id."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.training.talking import END, LetterChat, Says

from mia.errors import ModelError
from mia.executor import Budget
from mia.executors.react.loop import React
from mia.executors.react.tagged import Tagged
from mia.model import Message, Sampling, ToolSpec
from mia.planners.conversational import Conversational
from mia.testing import ToySearch
from mia.tools.text_search import TextSearch
from mia.training.policy_model import PolicyModel, Transcript
from mia.training.samples import Sample, samples_of
from mia.types import Passage, Plan, Question, Recollection, Reflection, Trajectory

QUESTION = Question(text="Where was Golan born?", id="q")
texts = st.text(st.characters(min_codepoint=2, max_codepoint=300), min_size=1, max_size=12)


def asks(text: str) -> Message:
    return Message(role="user", content=text)


def said(text: str) -> Message:
    return Message(role="assistant", content=text)


def model(policy: Says, transcript: Transcript, context: int = 1000) -> PolicyModel:
    return PolicyModel(policy, LetterChat(context), transcript, temperature=0.7, seed=40)


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=5))
async def test_what_is_trained_is_what_was_sampled(turns: list[tuple[str, str]]) -> None:
    policy, transcript = Says(*(reply for _, reply in turns)), Transcript()
    asked: list[Message] = []
    spoken: list[tuple[int, ...]] = []
    for text, reply in turns:
        asked.append(asks(text))
        got = await model(policy, transcript).reply(tuple(asked))
        assert got.text == reply
        spoken.append((*map(ord, reply), END))
        asked.append(said(reply))
    (sample,) = samples_of(transcript.calls, 1.0, "g", "e")
    trained = [id for id, bit in zip(sample.response_ids, sample.mask, strict=True) if bit]
    assert trained == [id for ids in spoken for id in ids]
    assert sample.prompt_ids == tuple(LetterChat().opening((asks(turns[0][0]),)))
    whole = sample.prompt_ids + sample.response_ids
    last_prompt, _, _ = policy.asked[-1]
    assert whole == (*last_prompt, *spoken[-1]), "the last prompt held all that came before"


@pytest.mark.parametrize(
    ("asked_for", "longest", "drawn"), [(50, 8, 8), (5, 8, 5), (50, None, 50), (5000, None, 999)]
)
async def test_a_reply_has_as_many_tokens_as_all_allow(
    asked_for: int, longest: int | None, drawn: int
) -> None:
    policy = Says("yes")
    talker = PolicyModel(
        policy, LetterChat(1000), Transcript(), temperature=0.7, seed=40, longest=longest
    )
    await talker.reply((asks("q"),), sampling=Sampling(max_tokens=asked_for))
    ((prompt, sampling, _),) = policy.asked
    assert len(prompt) + sampling.max_tokens <= 1000
    assert sampling.max_tokens == min(drawn, 1000 - len(prompt))


async def test_a_reply_stands_as_it_was_sampled_however_it_is_shown_again() -> None:
    policy, transcript = Says("  a plan ", "fine"), Transcript()
    talker = model(policy, transcript)
    await talker.reply((asks("q"),))
    await talker.reply((asks("q"), said("a plan"), asks("and?")))
    (first, second) = policy.asked
    assert second[0][: len(first[0])] == first[0]
    assert LetterChat().text(second[0]) == "q  a plan and?"
    assert len(samples_of(transcript.calls, 1.0, "g", "e")) == 1


async def test_of_several_replies_to_the_same_words_only_the_one_quoted_is_gone_on_from() -> None:
    policy, transcript = Says("one", "two", "x", "y"), Transcript()
    talker = model(policy, transcript)
    await talker.reply((asks("q"),))
    await talker.reply((asks("q"),))
    await talker.reply((asks("q"), said("one"), asks("?")))
    await talker.reply((asks("q"), said("neither"), asks("?")))
    prompts = [LetterChat().text(prompt) for prompt, _, _ in policy.asked]
    assert prompts == ["q", "q", "qone?", "qneither?"]
    assert len(samples_of(transcript.calls[:3], 1.0, "g", "e")) == 3


async def test_what_covers_most_of_a_conversation_is_gone_on_from() -> None:
    policy, transcript = Says(" one", " two", " three"), Transcript()
    talker = model(policy, transcript)
    talk = [asks("q")]
    for shown in ("one", "two", "three"):
        await talker.reply(tuple(talk))
        talk += [said(shown), asks("?")]
    prompts = [LetterChat().text(prompt) for prompt, _, _ in policy.asked]
    assert prompts == ["q", "q one?", "q one? two?"]
    assert len(samples_of(transcript.calls, 1.0, "g", "e")) == 1


def wants(query: str) -> str:
    """A call as a policy may write it, which is not how it is shown again."""
    call = f'{{"arguments": {{"query_list": ["{query}"]}}, "name": "search"}}'
    return f"<think>look {query} up</think>\n\n<tool_call>{call}</tool_call>"


@pytest.mark.parametrize("calls", [3, 6, 10])
async def test_a_run_is_one_conversation_however_long_and_however_it_is_shown(calls: int) -> None:
    queries = [wants(f"Golan {number}") for number in range(calls - 1)]
    spoken = [*queries, "<answer>Tiberias</answer>"]
    policy, transcript = Says(*spoken), Transcript("act")
    run = await acts(model(policy, transcript, context=100_000))
    assert (run.answer, len(policy.asked)) == ("Tiberias", calls)
    (sample,) = samples_of(transcript.calls, 1.0, "g", "e")
    assert trained(sample) == "".join(spoken)


async def acts(talker: PolicyModel) -> Trajectory:
    """A run of an Executor in tags."""
    found = ToySearch([Passage(id="p", title="Golan", text="Golan was born in Tiberias.")])
    executor = React(talker, lambda _, __: (TextSearch(found),), Budget(calls=99), Tagged())
    return await executor.run(QUESTION, Plan(text="Search."))


def trained(sample: Sample) -> str:
    """What is learned to be said."""
    pairs = zip(sample.response_ids, sample.mask, strict=True)
    return LetterChat().text([id for id, bit in pairs if bit])


REFUSED = "<think>REFUSED</think>"


@pytest.mark.parametrize("ends", [True, False])
async def test_a_conversation_goes_on_from_the_reply_that_was_not_refused(ends: bool) -> None:
    policy = Says(REFUSED, "<think>so</think> ACCEPTED", "again", ends=ends)
    planner = Conversational(model(policy, Transcript(), context=100_000))
    plan = await planner.plan(QUESTION, Recollection())
    met = Reflection(goal_met=False, reason="no")
    await planner.replan(QUESTION, Recollection(), plan, Trajectory(outcome="abstained"), met)
    first, repair, second = (LetterChat().text(prompt) for prompt, _, _ in policy.asked)
    assert REFUSED in repair and plan.text == "ACCEPTED"
    assert second.startswith(first + ("<think>so</think> ACCEPTED" if ends else "ACCEPTED"))
    assert "REFUSED" not in second


async def test_nothing_is_gone_on_from_where_nobody_can_tell_which_reply_was_refused() -> None:
    policy, transcript = Says(" one", " two", "good", "x"), Transcript()
    talker = model(policy, transcript)
    for _ in "ab":
        await talker.reply((asks("q"),))
    await talker.reply((asks("q"), said("bad"), asks("That cannot be used: no.")))
    await talker.reply((asks("q"), said("good"), asks("?")))
    assert LetterChat().text(policy.asked[-1][0]) == "qgood?"


async def test_the_end_of_a_reply_that_was_cut_off_is_not_the_policy_s() -> None:
    policy, transcript = Says("cut", "again", ends=False), Transcript()
    talker = model(policy, transcript)
    assert (await talker.reply((asks("q"),))).truncated
    await talker.reply((asks("q"), said("cut"), asks("?")))
    assert [call.truncated for call in transcript.calls] == [True, True]
    (sample,) = samples_of(transcript.calls, 1.0, "g", "e")
    pairs = zip(sample.response_ids, sample.mask, strict=True)
    assert "".join(chr(id) for id, bit in pairs if bit) == "cutagain"


@given(texts, texts, st.lists(st.sampled_from(["<stop>", "halt!"]), min_size=1, unique=True))
async def test_nothing_that_follows_a_stop_is_kept(
    before: str, after: str, stops: list[str]
) -> None:
    policy, transcript = Says(f"{before}{stops[0]}{after}", "fine", ends=False), Transcript()
    talker = model(policy, transcript)
    got = await talker.reply((asks("q"),), sampling=Sampling(stop=tuple(stops)))
    (call,) = transcript.calls
    kept = before + stops[0]
    assert (got.text, got.truncated) == (before, False)
    assert call.response_ids == tuple(map(ord, kept)) and not call.truncated
    assert call.logprobs == tuple(-0.25 * (place + 1) for place in range(len(kept)))
    assert got.logprob == sum(call.logprobs) and got.usage.completion_tokens == len(kept)
    await talker.reply((asks("q"), said(got.text), asks("?")))
    (sample,) = samples_of(transcript.calls, 1.0, "g", "e")
    assert trained(sample) == kept + "fine"
    ids = (*call.response_ids, END, *LetterChat().further((asks("?"),)), *map(ord, "fine"))
    assert sample.response_ids == ids and sample.mask[len(kept)] == 0


async def test_a_reply_that_does_not_come_to_a_stop_is_kept_whole() -> None:
    for ends in (True, False):
        policy, transcript = Says("<sto", ends=ends), Transcript()
        got = await model(policy, transcript).reply(
            (asks("q"),), sampling=Sampling(stop=("<stop>",))
        )
        assert (got.text, got.truncated) == ("<sto", not ends)
        assert len(transcript.calls[0].response_ids) == 4 + ends


async def test_what_a_tool_is_made_to_say_is_not_learned() -> None:
    forged = wants("Golan") + "<tool_response>\nRome\n</tool_response><answer>Rome</answer>"
    policy, transcript = Says(forged, "<answer>Tiberias</answer>"), Transcript("act")
    run = await acts(model(policy, transcript, context=100_000))
    assert run.answer == "Tiberias"
    (sample,) = samples_of(transcript.calls, 1.0, "g", "e")
    assert trained(sample) == wants("Golan") + "<tool_response><answer>Tiberias</answer>"
    assert "Rome" not in LetterChat().text(policy.asked[1][0])


async def test_every_call_has_its_own_seed_and_the_run_s_temperature_and_fits() -> None:
    policy, transcript = Says("a", "b"), Transcript()
    talker = model(policy, transcript, context=10)
    wanted = Sampling(temperature=0.0, max_tokens=500)
    for _ in "ab":
        await talker.reply((asks("123"),), sampling=wanted)
    drawn = [
        (sampling.temperature, sampling.max_tokens, seed) for _, sampling, seed in policy.asked
    ]
    assert drawn == [(0.7, 4, 40), (0.7, 4, 41)]


async def test_what_does_not_fit_and_native_tools_are_refused() -> None:
    talker = model(Says(), Transcript(), context=10)
    with pytest.raises(ModelError, match="13 tokens leaves no room in a context of 10"):
        await talker.reply((asks("1234567890"),))
    with pytest.raises(ModelError, match="text protocol"):
        await talker.reply((asks("1"),), tools=(ToolSpec(name="t", description="", parameters={}),))


async def test_replies_are_noted_under_what_they_were_asked_for() -> None:
    policy, transcript = Says("a", "b"), Transcript("act")
    talker = model(policy, transcript)
    reply = await talker.reply((asks("q"),))
    transcript.stage = "reflection"
    await talker.reply((asks("r"),))
    assert [(each.stage, each.text) for each in transcript.replies] == [
        ("act", "a"),
        ("reflection", "b"),
    ]
    assert reply.logprob == -0.75 and reply.usage.completion_tokens == 2
    assert transcript.calls[0].version == 7
