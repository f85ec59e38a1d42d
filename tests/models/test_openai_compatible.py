"""Models behind a URL, over real HTTP, through everything that an endpoint does wrong."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import traceback
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any

import pytest

from mia.errors import ConfigError, ModelError
from mia.model import Grammar, Message, Sampling, Schema, ToolSpec
from mia.models.openai_compatible import OpenAICompatible, Prices
from mia.retry import Policy, Retry
from mia.testing import Fault, FaultServer, faults
from mia.types import ToolCall

ASK = (Message(role="user", content="Which town?"),)
KEY = "sk-canary-0123456789"
YES_OR_NO = Schema(name="verdict", schema={"type": "object", "required": ["yes"]})
SEARCH = ToolSpec(name="search", description="Finds.", parameters={"type": "object"})


async def at_once(seconds: float) -> None:
    """Pauses between attempts take no time here."""


def retry(deadline: float = 20.0, **policy: Any) -> Retry:
    return Retry(Policy(deadline=deadline, **policy), sleep=at_once)


def model_at(
    server: FaultServer, deadline: float = 20.0, **given: Any
) -> AbstractAsyncContextManager[OpenAICompatible]:
    given.setdefault("retry", retry(deadline))
    return aclosing(OpenAICompatible(server.url, "toy", api_key=KEY, **given))


def sent(server: FaultServer, field: str) -> list[Any]:
    """What each request had in a field; None where it had none."""
    return [request.body.get(field) for request in server.requests]


async def failure(script: Sequence[Fault], deadline: float = 20.0) -> str:
    """The message of the error that a script ends in; the whole script is used up."""
    async with FaultServer(script) as server, model_at(server, deadline) as model:
        with pytest.raises(ModelError) as caught:
            await model.reply(ASK)
        assert server.unused == []
        message = str(caught.value)
        assert server.url + "/chat/completions" in message
        assert KEY not in message and "\n" not in message
        return message


async def test_a_reply_carries_its_text_its_tokens_its_time_and_its_price() -> None:
    prices = Prices(prompt=2.0, completion=10.0)
    script = [faults.ok("Rovigo", prompt_tokens=500_000, completion_tokens=100_000)]
    async with FaultServer(script) as server, model_at(server, prices=prices) as model:
        reply = await model.reply(ASK)
    assert (reply.text, reply.calls, reply.truncated) == ("Rovigo", (), False)
    usage = reply.usage
    assert (usage.calls, usage.prompt_tokens, usage.completion_tokens) == (1, 500_000, 100_000)
    assert usage.money == pytest.approx(2.0)
    assert 0 < usage.seconds < 10


async def test_a_request_says_what_was_asked_and_how_to_decode() -> None:
    async with FaultServer([faults.good()]) as server, model_at(server) as model:
        await model.reply(ASK, sampling=Sampling(temperature=0.7, max_tokens=9, stop=("\n",)))
        (request,) = server.requests
    assert request.body == {
        "model": "toy",
        "messages": [{"role": "user", "content": "Which town?"}],
        "temperature": 0.7,
        "max_tokens": 9,
        "stop": ["\n"],
    }
    assert request.headers["authorization"] == f"Bearer {KEY}"


async def test_no_key_becomes_a_placeholder_and_nothing_ambient_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_BASE_URL"):
        monkeypatch.setenv(variable, "ambient")
    async with (
        FaultServer([faults.good()]) as server,
        aclosing(OpenAICompatible(server.url, "toy")) as model,
    ):
        await model.reply(ASK)
        (request,) = server.requests
    assert request.headers["authorization"] == "Bearer EMPTY"
    assert "ambient" not in str(request.headers)


async def test_extra_fields_are_merged_over_ours_and_none_takes_one_out() -> None:
    extra = {"max_tokens": None, "max_completion_tokens": 7, "top_k": 1, "temperature": 1}
    async with FaultServer([faults.good()]) as server, model_at(server, extra_body=extra) as model:
        await model.reply(ASK)
        (request,) = server.requests
    asked = {name: request.body.get(name) for name in extra}
    assert asked == extra
    assert "max_tokens" not in request.body


async def test_a_grammar_is_sent_only_to_a_server_that_takes_them() -> None:
    grammar = Grammar(gbnf='root ::= "yes" | "no"')
    async with FaultServer(then=faults.good()) as server:
        for takes in (False, True):
            async with model_at(server, grammars=takes) as model:
                await model.reply(ASK, shape=grammar)
        assert sent(server, "grammar") == [None, grammar.gbnf]


async def test_tool_calls_go_out_and_come_back_in_openai_form() -> None:
    first = ToolCall(name="search", arguments={"query": "Rovigo"}, id="c1")
    history = (
        *ASK,
        Message(role="assistant", content="", calls=(first,)),
        Message(role="tool", content="a town", call_id="c1"),
    )
    second = ToolCall(name="open_page", arguments={"n": [1, 2]}, id="c2")
    script = [faults.ok("I look", calls=[first, second])]
    async with FaultServer(script) as server, model_at(server) as model:
        reply = await model.reply(history, tools=(SEARCH,))
        (request,) = server.requests
    assert reply.text == "I look"
    assert reply.calls == (first, second)
    function = {"name": "search", "description": "Finds.", "parameters": {"type": "object"}}
    assert request.body["tools"] == [{"type": "function", "function": function}]
    (call,) = request.body["messages"][1]["tool_calls"]
    assert (call["id"], call["function"]["name"]) == ("c1", "search")
    assert json.loads(call["function"]["arguments"]) == {"query": "Rovigo"}
    assert request.body["messages"][2]["tool_call_id"] == "c1"


@pytest.mark.parametrize(
    "written", ['{"query": ', "[1]", '"text"', "null", "Rovigo", "[" * 10_000, '{"a":' * 5_000]
)
async def test_arguments_that_are_no_json_object_are_kept_as_the_model_wrote_them(
    written: str,
) -> None:
    broken = ToolCall(name="search", arguments={}, id="c1", malformed=written)
    script = [faults.ok("", calls=[broken]), faults.good()]
    async with FaultServer(script) as server, model_at(server) as model:
        reply = await model.reply(ASK, tools=(SEARCH,))
        assert reply.calls == (broken,)
        await model.reply((*ASK, Message(role="assistant", content="", calls=reply.calls)))
        (call,) = server.requests[1].body["messages"][1]["tool_calls"]
        assert call["function"]["arguments"] == "{}"


async def test_calls_without_id_or_arguments_or_with_an_object_are_read_all_the_same() -> None:
    functions = [
        {"name": "a"},
        {"name": "b", "arguments": ""},
        {"name": "c", "arguments": {"x": 1}},
    ]
    message = {"tool_calls": [{"function": function} for function in functions]}
    script = [faults.json({"choices": [{"message": message}]})]
    async with FaultServer(script) as server, model_at(server) as model:
        reply = await model.reply(ASK)
    assert [(c.name, c.arguments, c.id) for c in reply.calls] == [
        ("a", {}, "call_0"),
        ("b", {}, "call_1"),
        ("c", {"x": 1}, "call_2"),
    ]
    assert reply.usage.tokens == 0


async def test_thoughts_and_unicode_come_through_untouched() -> None:
    text = "<think>Rovìgo? 町</think>\n  Rovigo \u2028"
    async with FaultServer([faults.ok(text)]) as server, model_at(server) as model:
        assert (await model.reply(ASK)).text == text


async def test_a_reply_that_ran_into_its_limit_is_marked() -> None:
    async with FaultServer([faults.finish_length("Rov")]) as server, model_at(server) as model:
        reply = await model.reply(ASK)
    assert (reply.text, reply.truncated) == ("Rov", True)


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        (faults.html_200(), "web page; check the base URL, which usually ends in /v1"),
        (faults.empty_choices(), "without choices"),
        (faults.null_choices(), "without choices"),
        (faults.null_content(), "an empty reply (finish_reason stop)"),
        (faults.ok(""), "an empty reply"),
        (faults.finish_length(""), "all 1024 tokens went before it began: allow more"),
        (faults.refusal("I must not"), "the model refused: 'I must not'"),
        (faults.json([1, 2]), "JSON of another kind"),
        (faults.json({"choices": [{"message": {"content": 7}}]}), "content"),
        (faults.raw(b'{"x":' + b"[" * 50_000 + b"]" * 50_000 + b"}"), "nested too deeply"),
        (faults.json({"error": {"message": "no such model", "code": 404}}), "no such model"),
        (faults.json({"error": "out of memory"}), "out of memory"),
        (faults.status(400, "context length exceeded"), "answered 400 (context length exceeded)"),
        (faults.status(401), "check the API key"),
        (faults.status(403), "check what the API key may do"),
        (faults.status(404), "check the base URL"),
        (faults.status(413), "the prompt is too long"),
        (faults.status(418), "does not accept this request"),
        (faults.status(501), "answered 501"),
    ],
)
async def test_a_reply_that_would_be_the_same_again_is_an_error_at_once(
    fault: Fault, named: str
) -> None:
    assert named in await failure([fault])


@pytest.mark.parametrize(
    "fault",
    [
        *[faults.status(code) for code in (408, 409, 425, 429, 500, 502, 503, 504, 529)],
        faults.json({"error": {"message": "the server behind is down", "code": 502}}),
        faults.truncated_json(),
        faults.invalid_utf8(),
        faults.raw(b""),
        faults.reset(),
        faults.reset(after=0),
    ],
)
async def test_a_failure_that_may_pass_is_tried_again(fault: Fault) -> None:
    async with FaultServer([fault, fault, faults.ok("yes")]) as server, model_at(server) as model:
        assert (await model.reply(ASK)).text == "yes"
        assert len(server.requests) == 3


async def test_replies_that_broke_off_count_as_calls_and_refused_ones_do_not() -> None:
    script = [faults.truncated_json(), faults.status(503), faults.invalid_utf8(), faults.ok("yes")]
    async with FaultServer(script) as server, model_at(server) as model:
        assert (await model.reply(ASK)).usage.calls == 3


async def test_a_failure_that_stays_is_named_after_the_last_attempt() -> None:
    message = await failure([faults.status(503, "loading model")] * 4)
    assert message.endswith(
        ": answered 503 (loading model) (in 4 attempts); look at the server's log"
    )


async def test_a_server_that_is_not_there_is_named_with_what_to_do() -> None:
    async with FaultServer() as server:
        url = server.url
    async with aclosing(OpenAICompatible(url, "toy", retry=retry())) as model:
        with pytest.raises(ModelError, match=r"no connection.*is the server running") as caught:
            await model.reply(ASK)
    assert url in str(caught.value)


@pytest.mark.parametrize(
    "fault",
    [faults.silence(), faults.slow_bytes(0.05), faults.delay(30)],
    ids=["silence", "slow bytes", "delay"],
)
async def test_a_reply_that_does_not_come_is_given_up_at_the_deadline(fault: Fault) -> None:
    began = asyncio.get_running_loop().time()
    assert "no complete reply (within 0.4 s)" in await failure([fault], deadline=0.4)
    assert asyncio.get_running_loop().time() - began < 3


async def test_a_late_reply_within_the_deadline_is_a_reply() -> None:
    script = [faults.delay(0.1, faults.slow_bytes(0.001, faults.ok("slow")))]
    async with FaultServer(script) as server, model_at(server) as model:
        reply = await model.reply(ASK)
    assert reply.text == "slow"
    assert reply.usage.seconds > 0.1


async def test_the_wait_that_a_server_asks_for_is_kept() -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    script = [faults.status(429, headers=[("Retry-After", "17")]), faults.ok("yes")]
    patient = Retry(sleep=sleep)
    async with FaultServer(script) as server, model_at(server, retry=patient) as model:
        assert (await model.reply(ASK)).text == "yes"
    assert pauses == [17.0]


async def test_an_endpoint_without_schemas_is_asked_in_words_and_not_asked_with_one_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    no = faults.status(400, "Unknown parameter: 'response_format'")
    script = [no, faults.ok('{"yes": 1}'), faults.ok('{"yes": 0}')]
    with caplog.at_level(logging.WARNING):
        async with FaultServer(script) as server, model_at(server) as model:
            assert (await model.reply(ASK, shape=YES_OR_NO)).text == '{"yes": 1}'
            assert (await model.reply(ASK, shape=YES_OR_NO)).text == '{"yes": 0}'
            formats, messages = sent(server, "response_format"), sent(server, "messages")
    schema = {"name": "verdict", "schema": YES_OR_NO.schema, "strict": True}
    assert formats == [{"type": "json_schema", "json_schema": schema}, None, None]
    assert [m[-1]["content"].startswith("Which town?\n\nReply with") for m in messages] == [
        False,
        True,
        True,
    ]
    assert '"required":["yes"]' in messages[1][-1]["content"]
    assert "schemas go into the prompt" in caplog.text


async def test_a_refusal_that_is_not_about_schemas_is_not_taken_for_one() -> None:
    script = [faults.status(400, "context length exceeded"), faults.good()]
    async with FaultServer(script) as server, model_at(server) as model:
        with pytest.raises(ModelError, match="context length exceeded"):
            await model.reply(ASK, shape=YES_OR_NO)
        await model.reply(ASK, shape=YES_OR_NO)
        assert sent(server, "response_format")[1] is not None


async def test_calls_at_the_same_time_all_survive_the_first_refusal_of_schemas() -> None:
    no = faults.delay(0.05, faults.status(422, "response_format is not supported"))
    async with FaultServer([no] * 3, then=faults.ok("{}")) as server, model_at(server) as model:
        replies = await asyncio.gather(*(model.reply(ASK, shape=YES_OR_NO) for _ in range(3)))
    assert [reply.text for reply in replies] == ["{}"] * 3


async def test_no_message_and_no_traceback_holds_a_key_or_a_password() -> None:
    echo = faults.status(401, f"Incorrect API key provided: {KEY} of ann:p%40ss p@ss tok")
    async with FaultServer([echo]) as server:
        url = server.url.replace("http://", "http://ann:p%40ss@") + "?token=tok"
        async with aclosing(OpenAICompatible(url, "toy", api_key=KEY)) as model:
            with pytest.raises(ModelError) as caught:
                await model.reply(ASK)
    told = [str(caught.value), "".join(traceback.format_exception(caught.value))]
    assert "Incorrect API key provided: *** of ann:*** *** ***" in told[0]
    for secret in (KEY, "p%40ss", "p@ss", "=tok"):
        assert all(secret not in text for text in told)


def test_importing_the_module_does_not_load_the_sdk() -> None:
    code = "import sys, mia.models.openai_compatible; sys.exit('openai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("url", ["", "localhost:8080/v1", "ftp://server/v1", "http:///v1"])
def test_a_base_url_that_cannot_be_one_is_refused_when_the_model_is_made(url: str) -> None:
    with pytest.raises(ConfigError, match="http://"):
        OpenAICompatible(url, "toy")


@pytest.mark.parametrize("key", ["sk-1234\n", "sk-\u201c1234", "sk\t1"])
def test_a_key_that_cannot_be_sent_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        OpenAICompatible("http://server/v1", "toy", api_key=key)
    assert key not in str(caught.value)
