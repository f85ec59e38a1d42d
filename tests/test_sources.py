"""Where evidence comes from, by the settings."""

from __future__ import annotations

import asyncio
import base64
from contextlib import AsyncExitStack, ExitStack
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from mia.config import Images, Loaded, Provider, Search, Secrets, Settings, Web
from mia.errors import ConfigError, InputError
from mia.sources import Sources
from mia.testing import ToyEmbedder


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
