"""Where evidence comes from, by the settings."""

from __future__ import annotations

import asyncio
import base64
import subprocess
import sys
from contextlib import AsyncExitStack, ExitStack
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from mia.config import Images, Loaded, Provider, Rerank, Search, Secrets, Settings, Web
from mia.errors import ConfigError, InputError
from mia.sources import Sources
from mia.testing import FaultServer, ToyEmbedder, faults


def sources(
    home: Path, search: Search | None = None, corpus: Path | None = None, **environment: str
) -> Sources:
    settings = Settings(home=str(home), search=search or Search())
    loaded = Loaded(settings=settings, secrets=Secrets(environment), source=None)
    return Sources(
        loaded=loaded, corpus=corpus, web_only=False, say=lambda _: None, open=ExitStack(),
        embedder=ToyEmbedder,
        connections=AsyncExitStack(),
    )  # fmt: skip


def asked(made: Sources) -> list[str]:
    return list(made.online.resting())


def png(colour: str = "red") -> bytes:
    file = BytesIO()
    Image.new("RGB", (20, 10), colour).save(file, "PNG")
    return file.getvalue()


def test_without_a_key_the_demo_is_searched_and_with_one_the_web(tmp_path: Path) -> None:
    assert not sources(tmp_path).on_the_web
    assert sources(tmp_path, SERPER_API_KEY="k").on_the_web
    searxng = Search(web=Web(searxng=Provider(base_url="http://localhost:1")))
    assert sources(tmp_path, searxng).on_the_web


def test_a_corpus_that_is_named_is_searched_whatever_keys_there_are(tmp_path: Path) -> None:
    given = sources(tmp_path, corpus=tmp_path, SERPER_API_KEY="k")
    set_in_settings = sources(tmp_path, Search(corpus="c.jsonl"), SERPER_API_KEY="k")
    chosen = sources(tmp_path, Search(source="corpus"), SERPER_API_KEY="k")
    assert not (given.on_the_web or set_in_settings.on_the_web or chosen.on_the_web)
    assert sources(tmp_path, Search(source="web", corpus="c.jsonl")).on_the_web


def test_providers_without_a_key_are_passed_over_and_wikipedia_needs_none(tmp_path: Path) -> None:
    assert asked(sources(tmp_path)) == ["wikipedia"]
    keys = {"TAVILY_API_KEY": "t", "SERPER_API_KEY": "s"}
    assert asked(sources(tmp_path, **keys)) == ["serper", "tavily", "wikipedia"]
    order = Search(web=Web(order=("wikipedia", "tavily")))
    assert asked(sources(tmp_path, order, **keys)) == ["wikipedia", "tavily"]


def test_a_picture_comes_from_a_file_or_from_the_row_itself(tmp_path: Path) -> None:
    made = sources(tmp_path)
    (tmp_path / "a.png").write_bytes(png())
    file = asyncio.run(made.picture(str(tmp_path / "a.png")))
    row = "data:image/png;base64," + base64.b64encode(png()).decode()
    assert (file.name, file.width, file.height) == ("a.png", 20, 10)
    again = asyncio.run(made.picture(row, "row-7"))
    assert again.id == file.id and again.name == "row-7"


@pytest.mark.parametrize(
    "reference",
    ["../outside.png", "/etc/hostname", "missing.png", "data:image/png;base64,%%", "data:,text",
     "http://127.0.0.1:1/a.png"],
)  # fmt: skip
def test_a_row_reaches_no_picture_beyond_its_folder_and_its_web(
    tmp_path: Path, reference: str
) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    (tmp_path / "outside.png").write_bytes(png())
    with pytest.raises(InputError):
        asyncio.run(sources(tmp_path / "home").picture(reference, beside=folder))


def test_pictures_are_known_only_where_the_settings_name_something(tmp_path: Path) -> None:
    assert not sources(tmp_path).knows_pictures
    assert sources(tmp_path, GOOGLE_VISION_API_KEY="k").knows_pictures
    assert sources(tmp_path, Search(images=Images(caches=("c",)))).knows_pictures


def test_a_lens_without_its_key_or_without_consent_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="consent"):
        _ = sources(tmp_path, Search(images=Images(lens="serpapi")), SERPAPI_API_KEY="k").similar
    agreed = Search(images=Images(lens="serpapi", lens_consent=True))
    with pytest.raises(ConfigError, match="SERPAPI_API_KEY"):
        _ = sources(tmp_path, agreed).similar
    assert sources(tmp_path, agreed, SERPAPI_API_KEY="k").similar


async def test_a_reranker_that_is_named_puts_what_the_corpus_has_found_in_order(
    tmp_path: Path,
) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(
        f'{{"id": "{id}", "title": "{id}", "text": "a town{" by the river" * n}"}}\n'
        for n, id in enumerate(("far", "near"))
    ))  # fmt: skip
    best = [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}]
    async with FaultServer([faults.json({"results": best})]) as server:
        named = Search(rerank=Rerank(base_url=server.url, model="judge", api_key_env="KEY"))
        made = sources(tmp_path, named, corpus, KEY="s3cret")
        async with made.connections:
            found = await made.search.search("river town", 2)
        (request,) = server.requests
    plain = await sources(tmp_path, corpus=corpus).search.search("river town", 2)
    assert [passage.id for passage in plain] == ["near", "far"]
    assert [passage.id for passage in found] == ["far", "near"]
    assert request.body["model"] == "judge" and request.headers["authorization"] == "Bearer s3cret"
    on_the_web = sources(tmp_path, Search(source="web", rerank=named.rerank))
    assert on_the_web.search is on_the_web.online, "providers rank for themselves"
    await on_the_web.connections.aclose()
    on_the_web.open.close()


def test_a_corpus_is_searched_without_loading_an_http_client(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from mia.config import Loaded, Secrets, Settings\n"
        "from mia.team import House\n"
        f"settings = Settings(home={str(tmp_path)!r})\n"
        "with House(Loaded(settings=settings, secrets=Secrets({}), source=None)) as house:\n"
        "    assert house.complete(house.search.search('town', 3))\n"
        "print({'httpx2', 'httpcore2', 'openai'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "set()\n"), done.stderr
