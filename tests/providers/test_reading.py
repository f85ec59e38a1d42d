"""Nothing that a server may send gets past the readers untyped."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mia.provider import ProviderError
from mia.provider_http import Api
from mia.provider_text import address, listed, locale, passage, plain, shortened, tidy
from mia.providers import brave, exa, searxng, serper, tavily, wikipedia

KINDS = (serper.Answer, brave.Answer, tavily.Answer, exa.Answer, searxng.Answer, wikipedia.Answer)
API = Api("toy", "https://toy.test", {"X-Key": "s3cret"}, key="s3cret")

names = st.sampled_from(
    ["organic", "web", "results", "query", "pages", "search", "title", "url", "link", "snippet",
     "error", "message", "detail", "code", "credits", "costDollars", "total", "images", "index"]
)  # fmt: skip
leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4)
)


@given(st.sampled_from(KINDS), st.sampled_from([200, 204, 302, 400, 422, 429, 500]), values)
def test_any_json_is_an_answer_or_an_error_of_the_provider(
    kind: type[msgspec.Struct], status: int, value: object
) -> None:
    body = msgspec.json.encode(value)
    try:
        assert isinstance(API.read(status, {}, body, kind), kind)
        assert status == 200
    except ProviderError as error:
        assert "\n" not in str(error)


@given(st.sampled_from(KINDS), st.binary(max_size=60))
def test_any_bytes_are_an_answer_or_an_error_of_the_provider(
    kind: type[msgspec.Struct], body: bytes
) -> None:
    with pytest.raises(ProviderError):
        API.read(200, {}, body, kind)


@given(st.text())
def test_an_error_repeats_no_key(around: str) -> None:
    body = msgspec.json.encode({"message": f"{around}s3cret{around}"})
    for status in (400, 401, 500):
        with pytest.raises(ProviderError) as caught:
            API.read(status, {}, body, serper.Answer)
        assert "s3cret" not in str(caught.value)


@given(st.text())
def test_text_from_outside_is_one_line_of_what_can_be_seen(text: str) -> None:
    for made in (tidy(text), plain(text)):
        assert made == " ".join(made.split())
        assert not any(
            "\U000e0000" <= c <= "\U000e007f" or c in "\u200b\u202e\x00\ufeff" for c in made
        )
    assert tidy(tidy(text)) == tidy(text)


def test_markup_becomes_the_text_it_shows() -> None:
    assert plain('a <span class="searchmatch">b</span> &amp; &lt;i&gt; c') == "a b & <i> c"
    assert plain("if a &lt; b or <b>c</b> > d") == "if a < b or c > d"
    assert plain("<" * 100_000) == "<" * 4000, "in no time"
    assert plain(None) == tidy(None) == ""


@given(st.text(), st.integers(1, 50), st.integers(1, 9))
def test_a_query_is_cut_at_a_word(query: str, characters: int, words: int) -> None:
    cut = shortened(query, characters, words)
    assert len(cut) <= characters and len(cut.split()) <= words
    assert " ".join(query.split()).startswith(cut)


def test_a_short_query_is_not_cut() -> None:
    assert shortened("who  wrote\nit", 400, 50) == "who wrote it"
    assert shortened("who wrote it", 10, 50) == "who wrote"
    assert shortened("x" * 500, 400, 50) == "x" * 400


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "ftp://x.test", "", None, "http://", "https://a b.test/", "//x",
            "http://[::1", "https://x.test/\u202egpj", "https://x.test/" + "a" * 2000, "x.test"],
)  # fmt: skip
def test_what_is_no_address_of_the_web_is_none(url: str | None) -> None:
    assert address(url) is None
    assert passage(url, "title", "text") is None


@given(st.text())
def test_no_address_breaks_it(url: str) -> None:
    assert address(url) in (None, url)


def test_results_are_listed_once_in_their_order() -> None:
    one, two = (passage(f"https://{n}.test/", str(n), "text") for n in (1, 2))
    again = passage("https://1.test/", "again", "text")
    assert listed([one, None, two, again], 5) == (one, two)
    assert listed([one, two], 1) == (one,)
    assert passage("https://1.test/", "", "") is None
    untitled = passage("https://1.test/x", "", "text")
    assert untitled is not None and untitled.title == "1.test"


@pytest.mark.parametrize(
    ("query", "language", "country"),
    [("who", "en", "us"), ("谁", "zh-cn", "cn"), ("Kafka 谁", "zh-cn", "cn"),
     ("誰ですか", "ja", "jp"), ("누구", "ko", "kr"), ("кто", "en", "us"), ("", "en", "us"),
     ("㐀", "zh-cn", "cn")],
)  # fmt: skip
def test_the_script_of_a_query_says_where_to_ask(query: str, language: str, country: str) -> None:
    assert (locale(query).language, locale(query).country) == (language, country)
