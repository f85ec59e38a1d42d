"""A policy as a Model: what it was asked and what it said is kept, id by id."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.training.talking import END, LetterChat, Says

from mia.errors import ModelError
from mia.model import Message, Sampling, ToolSpec
from mia.training.policy_model import PolicyModel, Transcript
from mia.training.samples import samples_of

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


async def test_the_end_of_a_reply_that_was_cut_off_is_not_the_policy_s() -> None:
    policy, transcript = Says("cut", "again", ends=False), Transcript()
    talker = model(policy, transcript)
    assert (await talker.reply((asks("q"),))).truncated
    await talker.reply((asks("q"), said("cut"), asks("?")))
    assert [call.truncated for call in transcript.calls] == [True, True]
    (sample,) = samples_of(transcript.calls, 1.0, "g", "e")
    pairs = zip(sample.response_ids, sample.mask, strict=True)
    assert "".join(chr(id) for id, bit in pairs if bit) == "cutagain"


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
