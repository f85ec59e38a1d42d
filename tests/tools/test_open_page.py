"""Laws of the page tool."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mia.errors import SearchError, ToolError
from mia.testing import ToySearch
from mia.tools.open_page import MAX_FIND, OpenPage, excerpt
from mia.types import Passage

PAGE = Passage(id="p", title="Rome", text="word " * 500)
LONG = Passage(
    id="long",
    title="Adige",
    text="\n\n".join(
        [
            "The Adige is a river.",
            "# Course",
            "filler " * 100,
            "It flows past the church of Curon, which stands in a lake.",
            "filler " * 100,
            "# Towns",
            "| Town | km |\n| Verona | 200 |",
            "filler " * 100,
        ]
    ),
)


class Recording(ToySearch):
    """Notes what is opened."""

    opened: list[str]

    async def page(self, address: str) -> Passage | None:
        self.opened = [*getattr(self, "opened", []), address]
        return await super().page(address)


def tool(*allowed: str) -> tuple[OpenPage, Recording]:
    engine = Recording((PAGE, LONG))
    engine.opened = []
    return OpenPage(engine, lambda address: address in allowed, words=100), engine


async def test_the_head_of_an_allowed_page_is_read() -> None:
    page, _ = tool("p")
    observed = await page.call({"url": " p "})
    head, _, rest = observed.text.partition(" [cut]\n")
    assert head.startswith("Rome\nword") and len(head.split()) == 101
    assert rest == "[of 500 words; say what to `find` to read on about it]"
    assert observed.passages == (PAGE,)


async def test_of_a_long_page_the_part_that_was_asked_for_is_read_under_its_heading() -> None:
    page, _ = tool("long")
    observed = await page.call({"url": "long", "find": "the church in the lake at Curon"})
    assert observed.text == (
        "Adige\n[...]\n# Course\nIt flows past the church of Curon, which stands in a lake.\n[...]"
    )
    observed = await page.call({"url": "long", "find": "towns"})
    assert "# Towns\n| Town | km |\n| Verona | 200 |" in observed.text
    assert "Curon" not in observed.text


async def test_what_is_not_on_a_page_is_said_and_its_head_is_shown() -> None:
    page, _ = tool("long")
    observed = await page.call({"url": "long", "find": "volcano"})
    assert observed.text.startswith(
        "Adige\nNothing in it speaks of 'volcano'. It begins:\nThe Adige is a river."
    )


async def test_a_short_page_is_read_whole_whatever_is_to_be_found() -> None:
    engine = Recording((Passage(id="s", title="Po", text="The Po is a river.\nIt is long."),))
    page = OpenPage(engine, lambda _: True, words=100)
    for find in ("", "long", "volcano"):
        observed = await page.call({"url": "s", "find": find})
        assert observed.text == "Po\nThe Po is a river.\nIt is long."


def test_the_best_part_of_a_page_is_shown_however_many_others_bear_on_it() -> None:
    text = "\n\n".join(["The river is long. " + "filler " * 20] * 20 + ["The river passes Curon."])
    part = excerpt(text, "Which river passes Curon?", words=60)
    assert part.count("The river is long.") == 2 and "[...]\nThe river passes Curon." in part


@given(st.text(st.sampled_from("ab #\n|é中."), max_size=2000), st.text("ab ", max_size=20),
       st.integers(1, 50))  # fmt: skip
def test_an_excerpt_is_never_longer_than_asked_for(text: str, find: str, words: int) -> None:
    assert len(excerpt(text, find, words).split()) <= words + 1


async def test_an_address_from_nowhere_is_refused_before_anything_is_fetched() -> None:
    page, engine = tool("p")
    with pytest.raises(ToolError):
        await page.call({"url": "http://evil.org/?secret"})
    assert engine.opened == []


async def test_a_page_that_is_not_there_is_said_plainly() -> None:
    page, _ = tool("gone")
    observed = await page.call({"url": "gone"})
    assert observed.text == "There is nothing to read at gone" and observed.passages == ()


class Broken(ToySearch):
    """Has no page that can be read."""

    async def page(self, address: str) -> Passage | None:
        raise SearchError("p: it is longer than 5 MiB")


async def test_a_page_that_cannot_be_read_does_not_end_the_run() -> None:
    page = OpenPage(Broken(()), lambda _: True)
    with pytest.raises(ToolError, match="the page cannot be read: p: it is longer than 5 MiB"):
        await page.call({"url": "p"})


@pytest.mark.parametrize(
    "arguments",
    [{}, {"url": ""}, {"url": " "}, {"url": 1}, {"url": ["p"]}, {"url": "p" * 3000},
     {"url": "p", "x": 1}, {"address": "p"}, {"find": "x"}, {"url": "p", "find": 1},
     {"url": "p", "find": ["x"]}, {"url": "p", "find": "x" * (MAX_FIND + 1)}],
)  # fmt: skip
async def test_arguments_that_do_not_fit_are_refused(arguments: dict[str, Any]) -> None:
    page, engine = tool("p")
    with pytest.raises(ToolError):
        await page.call(arguments)
    assert engine.opened == []


def test_the_words_that_are_cut_at_are_the_words_that_are_told() -> None:
    assert "100" in tool()[0].description
