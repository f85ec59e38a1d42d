"""Image search of the web, over real sockets, against stand-ins that speak as the providers do."""

from __future__ import annotations

import base64
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing

import msgspec
import pytest
from msgspec.structs import replace
from tests.image_search.painting import jpeg, shapes

from mia.errors import ConfigError, SearchError
from mia.image_search.lens import SerpApiLens, SerperLens
from mia.image_search.vision import VisionImages
from mia.pictures import Pictures
from mia.provider import ProviderError
from mia.retry import Policy
from mia.testing import FaultServer, ProviderStandIns, faults
from mia.types import Picture

PUBLIC = "https://e.example/a.jpg?size=9&q=a b"
Engine = VisionImages | SerperLens | SerpApiLens
Made = Callable[..., Engine]


@pytest.fixture(scope="module")
def web() -> Iterator[ProviderStandIns]:
    with ProviderStandIns() as running:
        yield running


@pytest.fixture(autouse=True)
def calm(web: ProviderStandIns) -> None:
    web.requests.clear()


@pytest.fixture
def picture(pictures: Pictures) -> Picture:
    return replace(pictures.keep(jpeg(shapes(1))), url=PUBLIC)


@pytest.fixture(params=["vision", "serper", "serpapi"])
async def made(
    request: pytest.FixtureRequest, web: ProviderStandIns, pictures: Pictures
) -> AsyncIterator[Made]:
    """Makes an engine of one kind; it is closed when the test ends."""
    opened: list[Engine] = []

    def make(key: str = "", fetch: object = None, deadline: float = 5.0) -> Engine:
        patience = Policy(deadline=deadline, attempts=2, first_pause=0.01, longest_asked=0.01)
        at, key = web.at(request.param), key or web.key
        if request.param == "vision":
            engine: Engine = VisionImages(key, pictures, fetch, base_url=at, patience=patience)  # type: ignore[arg-type]
        else:
            kind = SerperLens if request.param == "serper" else SerpApiLens
            engine = kind(key, pictures, fetch, consent=True, base_url=at, patience=patience)  # type: ignore[arg-type]
        opened.append(engine)
        return engine

    yield make
    for engine in opened:
        await engine.aclose()


async def test_titles_come_best_first_each_once_with_their_pages(
    made: Made, picture: Picture
) -> None:
    hits = await made().similar(picture, 3)
    assert len(hits) == 3
    assert len({hit.title.casefold() for hit in hits}) == 3
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert all(hit.url and hit.url.startswith("http") for hit in hits)
    assert all(hit.title and "<" not in hit.title for hit in hits)
    assert all(hit.picture is None for hit in hits), "nobody was there to fetch them"
    assert len(await made().similar(picture, 1)) == 1


async def test_pictures_are_fetched_by_whom_it_is_left_to(
    made: Made, picture: Picture, pictures: Pictures
) -> None:
    asked: list[str] = []

    async def fetch(url: str) -> bytes:
        asked.append(url)
        if len(asked) == 1:
            raise SearchError("404")
        return b"no picture" if len(asked) == 2 else jpeg(shapes(len(asked)))

    hits = await made(fetch=fetch).similar(picture, 3)
    assert asked
    seen = [hit.picture for hit in hits if hit.picture]
    assert seen and all(pictures.bytes(one) for one in seen)
    assert all(one.url in asked for one in seen)


WHY = {
    "wrong_key": "key", "no_key": "key", "echo_key": "key", "quota": "quota", "rate": "rate",
    "rate_wait": "rate", "down": "down", "bad_gateway": "down", "html_500": "down",
    "reset": "down", "cut": "down", "short": "down", "refused_query": "query", "truncated": "down",
    "teapot": "unreadable", "captcha": "unreadable", "not_json": "unreadable",
    "other_json": "unreadable", "no_body": "unreadable", "huge": "unreadable",
    "gzip_bomb": "unreadable", "bad_gzip": "unreadable", "redirect": "unreadable",
    "redirect_loop": "unreadable", "wrong_charset": "unreadable", "deep_json": "unreadable",
}  # fmt: skip


async def test_every_failure_says_which_it_is_and_never_the_key(
    made: Made, web: ProviderStandIns, picture: Picture, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for mode, why in WHY.items():
        key = f"{web.key}-{mode}"
        engine = made(key)
        with pytest.raises(ProviderError) as failed:
            await engine.similar(picture, 3)
        assert failed.value.why == why, (mode, str(failed.value))
        assert "\n" not in str(failed.value) and len(str(failed.value)) < 400
        for shown in (str(failed.value), repr(failed.value), repr(engine), caplog.text):
            assert key not in shown, mode
    assert web.contacts == 0


async def test_only_what_may_pass_is_tried_again(
    made: Made, web: ProviderStandIns, picture: Picture
) -> None:
    for mode, times in (("down", 2), ("rate", 2), ("wrong_key", 1), ("captcha", 1)):
        web.requests.clear()
        with pytest.raises(ProviderError):
            await made(f"{web.key}-{mode}").similar(picture, 3)
        assert len(web.requests) == times, mode


async def test_nothing_found_is_no_failure(
    made: Made, web: ProviderStandIns, picture: Picture
) -> None:
    for mode in ("empty", "null_fields"):
        assert await made(f"{web.key}-{mode}").similar(picture, 3) == ()


async def test_an_error_in_an_answer_with_status_200_is_one(
    web: ProviderStandIns, pictures: Pictures, picture: Picture
) -> None:
    key = f"{web.key}-error_200"
    told = {"error": "Your account has run out of searches."}
    async with FaultServer([faults.json(told)]) as server:
        engines: dict[str, Engine] = {
            "query": VisionImages(key, pictures, base_url=web.at("vision")),
            "key": SerperLens(key, pictures, consent=True, base_url=web.at("serper")),
            "quota": SerpApiLens(key, pictures, consent=True, base_url=server.url),
        }
        for why, engine in engines.items():
            async with aclosing(engine):
                with pytest.raises(ProviderError) as failed:
                    await engine.similar(picture, 3)
            assert failed.value.why == why
    at = web.at("serpapi")
    async with aclosing(SerpApiLens(key, pictures, consent=True, base_url=at)) as lens:
        assert await lens.similar(picture, 3) == (), "its error says that there are no results"


async def test_a_server_that_takes_its_time_is_down(
    made: Made, web: ProviderStandIns, picture: Picture
) -> None:
    with pytest.raises(ProviderError) as failed:
        await made(f"{web.key}-slow", deadline=0.3).similar(picture, 3)
    assert failed.value.why == "down"


async def test_hostile_titles_are_one_line_of_words(
    made: Made, web: ProviderStandIns, picture: Picture
) -> None:
    for hit in await made(f"{web.key}-hostile").similar(picture, 3):
        assert hit.title.isprintable() and "<" not in hit.title and len(hit.title) <= 300


async def test_vision_is_sent_the_picture_and_the_key_in_a_header(
    web: ProviderStandIns, pictures: Pictures, picture: Picture
) -> None:
    async with aclosing(VisionImages(web.key, pictures, base_url=web.at("vision"))) as vision:
        await vision.similar(replace(picture, url=None), 3)
    (request,) = web.requests
    assert request.path == "/v1/images:annotate" and request.query == {}
    assert request.headers["x-goog-api-key"] == web.key
    (asked,) = msgspec.json.decode(request.body)["requests"]
    assert base64.b64decode(asked["image"]["content"]) == pictures.bytes(picture)
    assert asked["features"][0]["type"] == "WEB_DETECTION"


@pytest.mark.parametrize("kind", [SerperLens, SerpApiLens])
async def test_lens_is_sent_an_address_and_no_picture(
    web: ProviderStandIns, pictures: Pictures, picture: Picture, kind: type[SerperLens]
) -> None:
    at = web.at("serper" if kind is SerperLens else "serpapi")
    async with aclosing(kind(web.key, pictures, consent=True, base_url=at)) as lens:
        await lens.similar(picture, 3)
        sent = web.requests[0]
        given = msgspec.json.decode(sent.body) if sent.body else sent.query
        assert given["url"] == PUBLIC
        for url in (None, "", "file:///etc/passwd", "ftp://e.example/a", "https://a:b@e.example/"):
            with pytest.raises(SearchError, match="public address"):
                await lens.similar(replace(picture, url=url), 3)
    assert len(web.requests) == 1


@pytest.mark.parametrize("kind", [SerperLens, SerpApiLens])
def test_lens_is_not_to_be_had_without_consent(pictures: Pictures, kind: type[SerperLens]) -> None:
    with pytest.raises(ConfigError, match="sends the address of your picture"):
        kind("key", pictures, consent=False)


@pytest.mark.parametrize("key", ["", "two\nlines", "schl\u00fcssel"])
def test_a_key_that_cannot_be_sent_is_refused_without_being_shown(
    pictures: Pictures, key: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        VisionImages(key, pictures)
    assert not key or key not in str(refused.value)
