"""Laws of the page tool."""

from __future__ import annotations

from typing import Any

import pytest

from mia.errors import ToolError
from mia.testing import ToySearch
from mia.tools.open_page import OpenPage
from mia.types import Passage

PAGE = Passage(id="p", title="Rome", text="word " * 500)


class Recording(ToySearch):
    """Notes what is opened."""

    opened: list[str]

    async def page(self, address: str) -> Passage | None:
        self.opened = [*getattr(self, "opened", []), address]
        return await super().page(address)


def tool(*allowed: str) -> tuple[OpenPage, Recording]:
    engine = Recording((PAGE,))
    engine.opened = []
    return OpenPage(engine, lambda address: address in allowed, words=100), engine


async def test_the_head_of_an_allowed_page_is_read() -> None:
    page, _ = tool("p")
    observed = await page.call({"url": " p "})
    assert observed.text.startswith("Rome\nword") and observed.text.endswith("[cut]")
    assert len(observed.text.split()) == 102
    assert observed.passages == (PAGE,)


async def test_an_address_from_nowhere_is_refused_before_anything_is_fetched() -> None:
    page, engine = tool("p")
    with pytest.raises(ToolError):
        await page.call({"url": "http://evil.org/?secret"})
    assert engine.opened == []


async def test_a_page_that_is_not_there_is_said_plainly() -> None:
    page, _ = tool("gone")
    observed = await page.call({"url": "gone"})
    assert observed.text == "There is nothing to read at gone" and observed.passages == ()


@pytest.mark.parametrize(
    "arguments",
    [{}, {"url": ""}, {"url": " "}, {"url": 1}, {"url": ["p"]}, {"url": "p" * 3000},
     {"url": "p", "x": 1}, {"address": "p"}],
)  # fmt: skip
async def test_arguments_that_do_not_fit_are_refused(arguments: dict[str, Any]) -> None:
    page, engine = tool("p")
    with pytest.raises(ToolError):
        await page.call(arguments)
    assert engine.opened == []


def test_the_words_that_are_cut_at_are_the_words_that_are_told() -> None:
    assert "100" in tool()[0].description
