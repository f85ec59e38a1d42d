"""Questions with pictures, from the command line to the wire and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image
from tests.cli.playing import Home, Served, plays

from mia.testing import Fault, Received, faults
from mia.types import Episode, decode

Mia = Callable[..., Any]


def painted(path: Path, seed: int) -> Path:
    """A picture with much to see in it, another one for each seed."""
    luck = np.random.default_rng(seed)
    small = luck.integers(0, 255, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(small).resize((320, 240), Image.Resampling.BICUBIC).save(path)
    return path


def pictures_in(request: Received) -> int:
    """How many pictures a request shows."""
    messages = (request.body or {}).get("messages", [])
    parts = [part for message in messages if isinstance(message["content"], list)
             for part in message["content"]]  # fmt: skip
    return sum(part["type"] == "image_url" for part in parts)


def is_caption(request: Received) -> bool:
    """The Captioner's request is one message; planner and executor begin with the system's."""
    return len((request.body or {}).get("messages", [])) == 1 and pictures_in(request) > 0


def describes(request: Received) -> Fault:
    return faults.ok("A tin box.") if is_caption(request) else plays(request)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    return painted(tmp_path / "box.png", 1)


def test_who_sees_is_shown_the_picture_and_the_manager_says_what_it_shows(
    mia: Mia, home: Home, picture: Path
) -> None:
    with Served(describes) as server:
        home.configure(server.url)
        text = home.config.read_text().replace('model = "toy"\n', 'model = "toy"\nsees = true\n', 1)
        home.config.write_text(text + f'[models.manager]\nbase_url = "{server.url}"\n'
                               'model = "toy"\nsees = true\n')  # fmt: skip
        said = mia("ask", "--json", "What colour is item 3?", "--image", str(picture),
                   "--corpus", str(home.corpus))  # fmt: skip
        episode = decode(said.out, Episode)
        captions = [request for request in server.requests if is_caption(request)]
        others = [r for r in server.requests if not is_caption(r) and pictures_in(r)]
    assert (said.code, episode.answer) == (0, "kind 3")
    assert episode.question.caption == "A tin box."
    assert episode.question.modality == "text-image"
    assert [turn.found for turn in episode.looked] == ["A tin box."]
    assert len(captions) == 1 and len(others) >= 2, "planner and executor see it too"
    assert "base64" not in said.out, "an episode names its pictures and does not hold them"


def test_without_eyes_a_known_picture_tells_what_is_shown(
    mia: Mia, home: Home, tmp_path: Path, served: Served
) -> None:
    known = tmp_path / "known"
    known.mkdir()
    for seed, title in ((1, "a tin box"), (2, "a red hat"), (3, "an old boat")):
        painted(known / f"{title}.png", seed)
    assert mia("images", "build", str(known)).code == 0
    with Image.open(known / "a red hat.png") as whole:
        whole.resize((200, 150)).save(tmp_path / "hat.jpg", quality=70)
    row = {"question": "What colour is item 4?", "id": "one", "image": "hat.jpg"}
    (tmp_path / "rows.jsonl").write_bytes(msgspec.json.encode(row) + b"\n")
    said = mia("stream", str(tmp_path / "rows.jsonl"), "--json", "--corpus", str(home.corpus))
    episode = decode(said.out.splitlines()[0], Episode)
    assert episode.question.caption == "a red hat"
    assert episode.looked[0].call is not None
    assert not any(pictures_in(request) for request in served.requests)


def test_a_taped_picture_needs_neither_index_nor_server_to_be_asked_about_again(
    mia: Mia, home: Home, tmp_path: Path, picture: Path
) -> None:
    known = tmp_path / "known"
    known.mkdir()
    for seed in (1, 2, 3):
        painted(known / f"thing {seed}.png", seed)
    mia("images", "build", str(known))
    asked = ("ask", "--json", "What colour is item 3?", "--image", str(picture), "--no-memory")
    tape = str(tmp_path / "tape.jsonl")
    taped = mia(*asked, "--corpus", str(home.corpus), "--record", tape)
    home.configure("http://127.0.0.1:1/v1")
    played = mia(*asked, "--replay", tape)
    first, second = (decode(said.out, Episode) for said in (taped, played))
    assert first.question.caption == second.question.caption == "thing 1"
    assert first.answer == second.answer == "kind 3"


def test_where_nobody_can_see_a_picture_it_is_said_so(mia: Mia, picture: Path) -> None:
    said = mia("ask", "What is this?", "--image", str(picture))
    assert said.code == 2 and "nobody here can see" in said.err


@pytest.mark.parametrize("name", ["missing.png", "text.png"])
def test_a_picture_that_cannot_be_used_is_named(mia: Mia, tmp_path: Path, name: str) -> None:
    (tmp_path / "text.png").write_text("no picture")
    said = mia("ask", "What is this?", "--image", str(tmp_path / name))
    assert said.code == 2 and said.err.startswith("mia: ") and said.err.count("\n") == 1


def test_a_row_with_a_bad_picture_is_named_by_its_line(mia: Mia, tmp_path: Path) -> None:
    rows = [{"question": "Who?", "id": "a"}, {"question": "Who?", "id": "b", "image": "gone.png"}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    said = mia("stream", str(tmp_path / "rows.jsonl"))
    assert said.code == 2 and "line 2" in said.err and "gone.png" in said.err
