"""Tapes: what is recorded comes back, and nothing else does."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mia.errors import InputError, ModelError, SearchError
from mia.model import Message, Reply, Sampling, Schema, ToolSpec
from mia.models.recorded import (
    RecordedEmbedder,
    RecordedImageSearch,
    RecordedModel,
    RecordedSearch,
    ReplayEmbedder,
    ReplayImageSearch,
    ReplayModel,
    ReplaySearch,
    Tape,
)
from mia.testing import ScriptedModel, ToyEmbedder, ToySearch
from mia.tool import ImageHit
from mia.types import Passage, Picture, ToolCall, Usage

ROVIGO = Passage(id="1", title="Rovigo", text="A town in the Veneto.", url="http://rovigo")


def said(text: str) -> tuple[Message, ...]:
    return (Message(role="user", content=text),)


texts = st.text(st.characters(codec="utf-8"), max_size=20)
arguments = st.dictionaries(
    texts, st.one_of(texts, st.integers(-9, 9), st.lists(texts, max_size=2)), max_size=2
)
replies = st.builds(
    Reply,
    text=texts,
    calls=st.lists(
        st.builds(ToolCall, name=texts, arguments=arguments, malformed=st.none() | texts),
        max_size=2,
    ).map(tuple),
    usage=st.builds(Usage, calls=st.integers(0, 3), seconds=st.floats(0, 1e3)),
    truncated=st.booleans(),
)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["a", "b"]) | texts, replies), max_size=6))
async def test_every_call_replays_with_its_own_reply_and_equal_calls_in_their_order(
    calls: list[tuple[str, Reply]],
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "tape.jsonl"
        model = RecordedModel(ScriptedModel([reply for _, reply in calls]), Tape(path), "m")
        for text, _ in calls:
            await model.reply(said(text))
        replay = ReplayModel(Tape(path), "m")
        # Stable, so that equal questions keep their order and others lose it.
        for text, reply in sorted(calls, key=lambda call: call[0]):
            assert await replay.reply(said(text)) == reply


async def test_a_call_that_differs_in_anything_is_not_on_the_tape(tmp_path: Path) -> None:
    path = tmp_path / "tape.jsonl"
    await RecordedModel(ScriptedModel(["yes"]), Tape(path), "m").reply(said("Is it?"))
    replay = ReplayModel(Tape(path), "m")
    tool = ToolSpec(name="t", description="d", parameters={})
    schema = Schema(name="s", schema={})
    for attempt in (
        ReplayModel(Tape(path), "other").reply(said("Is it?")),
        replay.reply(said("Is it not?")),
        replay.reply(said("Is it?"), sampling=Sampling(temperature=0.5)),
        replay.reply(said("Is it?"), shape=schema),
        replay.reply(said("Is it?"), tools=(tool,)),
    ):
        with pytest.raises(ModelError, match=r"not on the tape .*Is it"):
            await attempt
    assert (await replay.reply(said("Is it?"))).text == "yes"
    with pytest.raises(ModelError, match="for the time no"):
        await replay.reply(said("Is it?"))


async def test_the_order_of_keys_in_a_request_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "tape.jsonl"
    one, other = {"a": 1, "b": 2}, {"b": 2, "a": 1}
    model = RecordedModel(ScriptedModel(["yes"]), Tape(path), "m")
    await model.reply(said("?"), shape=Schema(name="s", schema=one))
    replay = ReplayModel(Tape(path), "m")
    assert (await replay.reply(said("?"), shape=Schema(name="s", schema=other))).text == "yes"


async def test_a_failure_is_replayed_as_the_failure_it_was(tmp_path: Path) -> None:
    path = tmp_path / "tape.jsonl"
    model = RecordedModel(ScriptedModel([ModelError("it is down"), "up"]), Tape(path), "m")
    with pytest.raises(ModelError):
        await model.reply(said("?"))
    await model.reply(said("?"))
    replay = ReplayModel(Tape(path), "m")
    with pytest.raises(ModelError, match=r"^it is down$"):
        await replay.reply(said("?"))
    assert (await replay.reply(said("?"))).text == "up"


async def test_a_search_replays_its_passages_and_its_pages(tmp_path: Path) -> None:
    path = tmp_path / "tape.jsonl"
    search = RecordedSearch(ToySearch([ROVIGO]), Tape(path))
    found = await search.search("the town", 3)
    assert await search.page("Rovigo") == ROVIGO
    assert await search.page("Padua") is None
    replay = ReplaySearch(Tape(path))
    assert await replay.search("the town", 3) == found != ()
    assert await replay.page("Rovigo") == ROVIGO
    assert await replay.page("Padua") is None
    for missing in (replay.search("the town", 4), replay.page("Venice")):
        with pytest.raises(SearchError, match="not on the tape"):
            await missing


CAT = Picture(id="c" * 64, width=8, height=8, name="cat")
DOG = Picture(id="d" * 64, width=8, height=8, name="dog")


class _Cats:
    async def similar(self, picture: Picture, limit: int) -> tuple[ImageHit, ...]:
        if picture == CAT:
            return (ImageHit(title="a cat", score=0.5, picture=CAT),)
        raise SearchError("no such picture today")


async def test_an_image_search_replays_its_hits_and_its_failures(tmp_path: Path) -> None:
    path = tmp_path / "tape.jsonl"
    search = RecordedImageSearch(_Cats(), Tape(path))
    found = await search.similar(CAT, 3)
    with pytest.raises(SearchError):
        await search.similar(DOG, 3)
    replay = ReplayImageSearch(Tape(path))
    assert await replay.similar(CAT, 3) == found != ()
    with pytest.raises(SearchError, match="no such picture today"):
        await replay.similar(DOG, 3)
    with pytest.raises(SearchError, match="not on the tape"):
        await replay.similar(CAT, 2)


class _Down:
    async def search(self, query: str, limit: int) -> tuple[Passage, ...]:
        raise SearchError("no search today")

    async def page(self, address: str) -> Passage | None:
        raise SearchError("no pages today")


async def test_a_search_that_failed_fails_again(tmp_path: Path) -> None:
    path = tmp_path / "tape.jsonl"
    search = RecordedSearch(_Down(), Tape(path))
    for call in (search.search("x", 1), search.page("x")):
        with pytest.raises(SearchError):
            await call
    replay = ReplaySearch(Tape(path))
    with pytest.raises(SearchError, match="no search today"):
        await replay.search("x", 1)
    with pytest.raises(SearchError, match="no pages today"):
        await replay.page("x")


async def test_vectors_replay_bit_by_bit_under_the_same_name(tmp_path: Path) -> None:
    path = tmp_path / "tape.jsonl"
    embedder = RecordedEmbedder(ToyEmbedder(), Tape(path))
    rows = await embedder.embed(["a town", "", "a river in a town"])
    replay = ReplayEmbedder(Tape(path), embedder.name)
    again = await replay.embed(["a town", "", "a river in a town"])
    assert replay.name == embedder.name == "toy-64"
    assert again.dtype == rows.dtype == np.float32
    assert again.tobytes() == rows.tobytes()
    with pytest.raises(ModelError, match="not on the tape"):
        await replay.embed(["a town"])


async def test_a_tape_goes_on_where_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "tape.jsonl"
    for reply in ("first", "second"):
        await RecordedModel(ScriptedModel([reply]), Tape(path), "m").reply(said("?"))
    replay = ReplayModel(Tape.existing(path), "m")
    assert [(await replay.reply(said("?"))).text for _ in range(2)] == ["first", "second"]


async def test_a_torn_last_line_is_left_out_and_cut_off_by_the_next_recording(
    tmp_path: Path,
) -> None:
    path = tmp_path / "tape.jsonl"
    model = RecordedModel(ScriptedModel(["one", "two"]), Tape(path), "m")
    await model.reply(said("1"))
    whole = path.read_bytes()
    await model.reply(said("2"))
    torn = path.read_bytes()
    for length in range(len(whole), len(torn)):
        path.write_bytes(torn[:length])
        assert len(Tape(path)) == 1
    await RecordedModel(ScriptedModel(["new"]), Tape(path), "m").reply(said("2"))
    replay = ReplayModel(Tape(path), "m")
    assert [(await replay.reply(said(n))).text for n in "12"] == ["one", "new"]


@pytest.mark.parametrize("bad", [b"", b"{}", b"not json", b'{"key": "\xff"}', b"[]"])
async def test_any_other_bad_line_is_an_error_that_names_it(tmp_path: Path, bad: bytes) -> None:
    path = tmp_path / "tape.jsonl"
    model = RecordedModel(ScriptedModel(["one", "two"]), Tape(path), "m")
    await model.reply(said("1"))
    await model.reply(said("2"))
    first, second, _ = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([first, bad, second, b""]))
    with pytest.raises(InputError, match="line 2"):
        Tape(path)
    path.write_bytes(b"\n".join([first, second, first, b""]))
    with pytest.raises(InputError, match="line 3: its key was on an earlier line"):
        Tape(path)


async def test_a_reply_of_another_kind_is_an_error_that_names_the_tape(tmp_path: Path) -> None:
    path = tmp_path / "tape.jsonl"
    await RecordedModel(ScriptedModel(["one"]), Tape(path), "m").reply(said("1"))
    path.write_bytes(path.read_bytes().replace(b'"text":"one"', b'"text":17'))
    with pytest.raises(InputError, match=r"tape\.jsonl"):
        await ReplayModel(Tape(path), "m").reply(said("1"))


def test_a_tape_to_replay_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no tape"):
        Tape.existing(tmp_path / "none.jsonl")


async def test_each_call_is_in_the_file_as_one_line_for_people_to_read(tmp_path: Path) -> None:
    path = tmp_path / "tape.jsonl"
    model = RecordedModel(ScriptedModel(["one"]), Tape(path), "m")
    await model.reply(said("the question\n" + "x" * 1000))
    (line,) = path.read_text().splitlines()
    entry = msgspec.json.decode(line)
    assert entry["kind"] == "model"
    assert entry["name"] == "m"
    assert entry["request"].startswith("the question\nxxx")
    assert len(entry["request"]) == 200
