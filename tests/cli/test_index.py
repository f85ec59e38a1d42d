"""`mia index`: from a folder of notes to an index that follows it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen
from typing import Any

import msgspec
import pytest
from tests.cli.playing import Home, Served

from mia.search.indexes import is_index, manifest
from mia.testing import Fault, Received

Mia = Callable[..., Any]


@pytest.fixture
def notes(home: Home) -> Path:
    folder = home.folder / "notes"
    folder.mkdir()
    (folder / "attic.md").write_text("# The attic\n\nItem 3 stands there.")
    (folder / "cellar.md").write_text("Item 4 lies in the cellar.")
    return folder


def lines(said: Any) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in said.out.splitlines()]


def test_an_index_is_built_listed_and_shown(mia: Mia, notes: Path) -> None:
    built = mia("index", "build", str(notes))
    folder = Path(built.out.strip())
    assert built.code == 0 and is_index(folder) and "indexed 2 passages" in built.err
    listed = mia("index", "list")
    assert folder.name in listed.out and "bm25" in listed.out and "1 indexes" in listed.err
    shown = mia("index", "show", folder.name)
    for part in (str(folder), "2", str(notes), "bm25", "0 h 0 min"):
        assert part in shown.out
    for command in (("list",), ("show", str(folder))):
        (looked,) = lines(mia("index", *command, "--json"))
        assert (looked["name"], looked["passages"]) == (folder.name, 2)
        assert (looked["sources"], looked["engines"]) == ([str(notes)], ["bm25"])
        assert looked["bytes"] > 1000 and not looked["stale"] and looked["seconds"] < 600


def test_a_list_that_is_piped_is_not_cut(mia: Mia, home: Home) -> None:
    notes = home.folder / ("a long name " * 10).strip()
    notes.mkdir()
    (notes / "a.md").write_text("Item 3.")
    mia("index", "build", str(notes))
    listed = mia("index", "list").out
    assert str(notes) in listed and len(listed.splitlines()) == 2


def test_a_build_that_fails_leaves_nothing(mia: Mia, home: Home) -> None:
    assert mia("index", "build", str(home.questions)).code == 2
    assert list((home.data / "indexes").iterdir()) == []


def test_an_index_follows_its_source(mia: Mia, notes: Path) -> None:
    folder = mia("index", "build", str(notes)).out.strip()
    (notes / "cellar.md").unlink()
    (notes / "attic.md").write_text("# The attic\n\nItem 3 was sold.")
    (notes / "yard.txt").write_text("Item 5 rusts.")
    assert "sources have changed" in mia("index", "show", folder).out
    said = mia("index", "update", folder)
    assert said.code == 0 and "added 1, changed 1, deleted 1; 2 passages" in said.err
    (again,) = lines(mia("index", "update", folder, "--json"))
    assert again == {"passages": 2}
    assert "sold" in mia("search", "attic", "--index", folder).out


def test_one_document_is_a_source_too(mia: Mia, notes: Path) -> None:
    built = mia("index", "build", str(notes / "attic.md"))
    assert built.code == 0 and "indexed 1 passages" in built.err
    assert "attic.md#1" in mia("search", "attic", "--index", built.out.strip()).out
    assert "attic.md#1" in mia("search", "attic", "--corpus", str(notes / "attic.md")).out
    (notes / "attic.md").write_text("# The attic\n\nItem 3 was sold.")
    again = mia("index", "update", built.out.strip())
    assert "changed 1, deleted 0; 1 passages" in again.err


def test_passages_are_added_and_deleted(mia: Mia, home: Home, notes: Path) -> None:
    folder = mia("index", "build", str(notes)).out.strip()
    more = home.folder / "more.jsonl"
    more.write_text('{"id": "m1", "title": "Shed", "text": "Item 6 is new."}\n')
    assert "added 1" in mia("index", "add", folder, str(more)).err
    assert "m1" in mia("search", "shed", "--index", folder).out
    gone = mia("index", "delete", folder, "m1", "attic.md#1")
    assert gone.code == 0 and "deleted 2; 1 passages" in gone.err
    absent = mia("index", "delete", folder, "m1", "--json")
    assert absent.code == 7 and "1 of the ids were not there" in absent.err
    back = mia("index", "update", folder)
    assert "added 2" in back.err, "what still stands in a source comes back"


def test_a_file_that_cannot_be_read_is_left_out_or_an_error(mia: Mia, notes: Path) -> None:
    (notes / "latin.txt").write_bytes("Bärnstein".encode("latin-1"))
    built = mia("index", "build", str(notes))
    assert built.code == 0 and "indexed 2 passages" in built.err
    assert "left out:" in built.err and "latin.txt is not UTF-8" in built.err
    assert "1 files were left out" in built.err
    strict = mia("index", "update", built.out.strip(), "--strict")
    assert strict.code == 2 and "latin.txt is not UTF-8" in strict.err


def test_vectors_are_made_once(mia: Mia, notes: Path) -> None:
    folder = mia("index", "build", str(notes)).out.strip()
    assert "made 2 of 2 vectors by toy" in mia("index", "embed", folder).err
    (again,) = lines(mia("index", "embed", folder, "--json"))
    assert (again["made"], again["passages"]) == (0, 2)
    assert "dense (toy" in mia("index", "show", folder).out


def test_a_run_of_the_embedder_that_is_stopped_says_what_is_kept(
    start: Callable[..., Popen[str]], mia: Mia, home: Home
) -> None:
    more = home.folder / "more.jsonl"
    more.write_text("".join(
        f'{{"id": {n}, "title": "Page {n}", "text": "It is {n}."}}\n' for n in range(600)
    ))  # fmt: skip
    folder = mia("index", "build", str(more)).out.strip()
    made = 0

    def player(request: Received) -> Fault:
        nonlocal made
        fault = Fault(silent=made >= 512)
        made += len((request.body or {})["input"])
        return fault

    with Served(player) as server:
        home.configure(server.url)
        process = start("index", "embed", folder)
        server.wait_for(lambda: made > 512)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "stopped; 512 vectors are kept, and the same command goes on" in err


def test_an_index_that_is_not_there_is_code_3(mia: Mia, notes: Path) -> None:
    for command in (("show", "x"), ("update", "x"), ("add", "x", str(notes)), ("embed", "x")):
        said = mia("index", *command)
        assert (said.code, said.out) == (3, "") and "mia index list" in said.err


def test_an_index_from_python_cannot_be_updated(mia: Mia, home: Home, notes: Path) -> None:
    from mia.search.indexes import build
    from mia.types import Passage

    build([Passage(id="1", title="One", text="1")], home.folder / "mine")
    said = mia("index", "update", str(home.folder / "mine"))
    assert said.code == 2 and "was not built from a file" in said.err


def test_a_killed_build_leaves_the_last_index(
    mia: Mia, start: Callable[..., Popen[str]], home: Home, notes: Path
) -> None:
    folder = home.folder / "index"
    assert mia("index", "build", str(notes), "--out", str(folder)).code == 0
    slow = home.folder / "slow.jsonl"
    slow.write_text("".join(
        f'{{"id": {n}, "title": "Page {n}", "text": "{"words " * 200}"}}\n' for n in range(10_000)
    ))  # fmt: skip
    with start("index", "build", str(slow), "--out", str(folder)) as process:
        while len(list(folder.glob("gen-*"))) < 2 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert manifest(folder).passages == 2
    assert "attic.md#1" in mia("search", "attic", "--index", str(folder)).out
    assert mia("index", "update", str(folder)).code == 0
    assert len(list(folder.glob("gen-*"))) == 1
