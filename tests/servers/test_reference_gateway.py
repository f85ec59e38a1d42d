"""The published search gateway as a Search, asked on a real socket."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from tests.servers.serving import Serving

from mia.errors import SearchError
from mia.servers.reference_gateway import Gateway
from mia.servers.reference_search import listed
from mia.types import Passage

FOUND = [
    Passage(id="1", title="Jaws [1]", text="By Spielberg.", url="https://a.example/jaws"),
    Passage(id="2", title="Alien", text="By Scott.", url="https://a.example/alien"),
]


def told(**result: Any) -> dict[str, Any]:
    tool = {"name": "search", "version": "1"}
    return {"request_id": "r", "tool": tool, "result": result, "stat": {"cache": "MISS"}}


@asynccontextmanager
async def asking(path: str = "") -> AsyncGenerator[tuple[Gateway, list[dict[str, Any]]]]:
    """A gateway that knows two films, and what it was asked."""
    asked: list[dict[str, Any]] = []
    api = FastAPI()

    @api.get("/search")
    async def search(q: str, max_results: int, engine: str) -> Any:
        asked.append({"q": q, "max_results": max_results, "engine": engine})
        if q == "down":
            return told(success=False, results="", error="no engine answered")
        return told(success=True, results=listed(q, FOUND[:max_results] if q == "film" else []))

    @api.get("/web_scrape")
    async def scrape(url: str, goal: str) -> Any:
        page = {"url": url, "markdown_content": "All of it.", "extracted_info": goal}
        return told(success="broken" not in url, **page)

    with Serving(api) as server:
        gateway = Gateway(server.url + path)
        try:
            yield gateway, asked
        finally:
            await gateway.aclose()


@pytest.mark.parametrize("path", ["", "/", "/search"])
async def test_results_come_with_their_titles_and_addresses(path: str) -> None:
    async with asking(path) as (gateway, asked):
        found = await gateway.search("film", 25)
        assert len(await gateway.search("film", 1)) == 1
        assert await gateway.search("nothing", 3) == ()
    assert [(one.title, one.url) for one in found] == [
        ("Jaws [1]", "https://a.example/jaws"), ("Alien", "https://a.example/alien"),
    ]  # fmt: skip
    assert "By Spielberg." in found[0].text and "By Scott." not in found[0].text
    assert asked[0] == {"q": "film", "max_results": 10, "engine": "serper"}


async def test_a_gateway_without_success_did_not_find_nothing() -> None:
    async with asking() as (gateway, _):
        with pytest.raises(SearchError, match="no engine answered"):
            await gateway.search("down", 3)


async def test_pages_are_read_by_the_gateway() -> None:
    async with asking() as (gateway, _):
        page = await gateway.page("https://a.example/jaws")
        assert await gateway.page("https://a.example/broken") is None
        assert await gateway.page("file:///etc/passwd") is None
    assert page is not None and page.text == "All of it." and page.url == "https://a.example/jaws"
