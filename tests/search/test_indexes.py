"""Indexes that live: changed while others read them, killed at any moment, and never half there."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mia.errors import ConfigError, InputError, MissingError
from mia.search.bm25 import BM25
from mia.search.indexes import (
    Change,
    add,
    build,
    delete,
    digests,
    is_index,
    keep,
    linked,
    manifest,
    stale,
    update,
)
from mia.search.indexes_reader import Reader
from mia.search.indexes_schema import digest_of, opened
from mia.types import Passage

EMMA = Passage(id="1", title="Emma", text="A comedy of manners.")
RIVER = Passage(id="2", title="Adige", text="It flows past Verona.")
LONGER = Passage(id="2", title="Adige", text="It flows past Verona and Rovigo.")
TALE = Passage(id="3", title="Rovigo", text="A town near the Po.")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    build([EMMA, RIVER], tmp_path / "index")
    return tmp_path / "index"


def held(folder: Path) -> set[Passage]:
    """All that an index holds."""
    index = Reader(folder).now()
    found = [index.first("digest", digest) for digest in digests(index.searcher).tolist()]
    return {msgspec.structs.replace(p, score=0.0) for p in found if p is not None}


def generations(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("gen-*"))


def jsonl(path: Path, *passages: Passage) -> Path:
    path.write_bytes(b"".join(msgspec.json.encode(p) + b"\n" for p in passages))
    return path


def test_passages_are_added_and_replaced_by_id(folder: Path) -> None:
    assert add(folder, [LONGER, TALE]) == Change(added=1, changed=1, passages=3)
    assert held(folder) == {EMMA, LONGER, TALE}
    assert manifest(folder).passages == 3


def test_what_is_there_already_changes_nothing(folder: Path) -> None:
    before = generations(folder)
    assert add(folder, [EMMA, RIVER]) == Change(passages=2)
    assert generations(folder) == before


def test_passages_are_deleted_by_id(folder: Path) -> None:
    assert delete(folder, ["1", "nobody"]) == Change(deleted=1, passages=1)
    assert held(folder) == {RIVER}
    assert delete(folder, ["1"]) == Change(passages=1)


def test_a_reader_takes_up_every_change_by_itself(folder: Path) -> None:
    reader = BM25(folder)
    assert reader.search_now("Rovigo", 5) == ()
    add(folder, [LONGER])
    assert [p.id for p in reader.search_now("Rovigo", 5)] == ["2"]
    delete(folder, ["2"])
    assert reader.search_now("Rovigo", 5) == ()
    build([TALE], folder)
    assert [p.id for p in reader.search_now("Rovigo", 5)] == ["3"]
    assert reader.manifest.passages == 1
    assert len(generations(folder)) == 1


def test_a_reader_outlives_the_index(folder: Path) -> None:
    reader = BM25(folder)
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert [p.id for p in reader.search_now("Verona", 5)] == ["2"]
    with pytest.raises(MissingError):
        BM25(folder)


def test_searches_never_fail_while_the_index_is_built_again_and_again(folder: Path) -> None:
    reader, fresh, ended = BM25(folder), list[int](), threading.Event()
    failures: list[BaseException] = []

    def read() -> None:
        try:
            while not ended.is_set():
                assert [p.title for p in reader.search_now("Verona", 5)] == ["Adige"]
                fresh.append(len(BM25(folder).search_now("Verona", 5)))
        except BaseException as failure:
            failures.append(failure)
            raise

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for turn in range(15):
        build([EMMA, RIVER], folder) if turn % 3 == 0 else add(folder, [(RIVER, LONGER)[turn % 2]])
    ended.set()
    for thread in threads:
        thread.join()
    assert not failures and set(fresh) == {1}


def test_a_build_that_fails_leaves_the_old_index(folder: Path) -> None:
    def half() -> Iterator[Passage]:
        yield TALE
        raise ZeroDivisionError

    for change in (lambda: build(half(), folder), lambda: add(folder, half())):
        with pytest.raises(ZeroDivisionError):
            change()
        assert held(folder) == {EMMA, RIVER}
        assert len(generations(folder)) == 1


def test_a_first_build_that_fails_leaves_no_index_and_does_not_hinder(tmp_path: Path) -> None:
    folder = tmp_path / "index"

    def half() -> Iterator[Passage]:
        yield TALE
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        build(half(), folder)
    assert not folder.exists(), "nothing is left"
    assert build([EMMA], folder) == 1


def test_who_waits_for_a_first_build_that_fails_builds(tmp_path: Path) -> None:
    folder, begun, failing = tmp_path / "index", threading.Event(), threading.Event()

    def half() -> Iterator[Passage]:
        yield TALE
        begun.set()
        failing.wait(10)
        raise ZeroDivisionError

    def fail() -> None:
        with suppress(ZeroDivisionError):
            build(half(), folder)

    threads = [threading.Thread(target=fail)]
    threads[0].start()
    begun.wait(10)
    threads += [threading.Thread(target=build, args=([EMMA, RIVER], folder)) for _ in range(3)]
    for thread in threads[1:]:
        thread.start()
        thread.join(0.1)
    failing.set()
    for thread in threads:
        thread.join(30)
    assert held(folder) == {EMMA, RIVER} and len(generations(folder)) == 1


_FOREVER = """
import itertools, sys
from pathlib import Path
from mia.search.indexes import add, build
from mia.types import Passage
def forever():
    for n in itertools.count():
        yield Passage(id=f"x{n}", title=f"Page {n}", text="words without end")
        if n == 500:
            print("working", flush=True)
folder = Path(sys.argv[2])
add(folder, forever()) if sys.argv[1] == "add" else build(forever(), folder)
"""


@pytest.mark.parametrize("what", ["build", "add"])
def test_a_killed_writer_leaves_what_was_there_and_the_next_one_cleans_up(
    folder: Path, what: str
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _FOREVER, what, str(folder)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"working\n"
        process.send_signal(signal.SIGKILL)
    assert len(generations(folder)) == 2
    assert held(folder) == {EMMA, RIVER}
    assert add(folder, [TALE]).passages == 3
    assert len(generations(folder)) == 1
    assert held(folder) == {EMMA, RIVER, TALE}


def test_a_killed_first_build_is_no_index(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    with subprocess.Popen(
        [sys.executable, "-c", _FOREVER, "build", str(folder)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
    assert not is_index(folder) and len(generations(folder)) == 1
    assert build([EMMA], folder) == 1 and len(generations(folder)) == 1


_FULL = """
import resource, sys
from pathlib import Path
from mia.errors import StoreError
from mia.search.indexes import build
from mia.types import Passage
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
many = (Passage(id=str(n), title=str(n), text=f"{n} " * 100) for n in range(20_000))
try:
    build(many, Path(sys.argv[1]))
except StoreError as error:
    print(error)
"""


def test_a_disk_that_is_full_is_named_and_nothing_is_left(folder: Path) -> None:
    command = [sys.executable, "-c", _FULL, str(folder)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"cannot write the index at {folder}; is the disk full?" in said
    assert len(generations(folder)) == 1 and held(folder) == {EMMA, RIVER}


def test_two_builds_at_once_leave_one_whole_index(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    many = [Passage(id=str(n), title=f"Page {n}", text="words") for n in range(500)]
    threads = [threading.Thread(target=build, args=(many, folder)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert BM25(folder).manifest.passages == 500
    assert len(BM25(folder).search_now("words", 10)) == 10
    assert len(generations(folder)) == 1


def test_nothing_but_an_index_is_replaced(tmp_path: Path) -> None:
    letter = tmp_path / "letters" / "letter.md"
    letter.parent.mkdir()
    letter.write_text("Dear Ann")
    (tmp_path / "index").mkdir()
    for place in (tmp_path, letter.parent, letter):
        with pytest.raises(ConfigError, match="is there already and is no index"):
            build([EMMA], place)
    assert letter.read_text() == "Dear Ann"
    assert build([EMMA], tmp_path / "index") == 1, "an empty folder is nobody's"


def test_without_hard_links_a_generation_is_copied(folder: Path, tmp_path: Path) -> None:
    def refused(old: Path, new: Path) -> None:
        raise OSError("no links here")

    (tmp_path / "copy").mkdir()
    linked(folder / "gen-000001", tmp_path / "copy", refused)
    assert opened(tmp_path / "copy").searcher().num_docs == 2


def test_an_update_applies_only_what_differs(tmp_path: Path) -> None:
    source, folder = jsonl(tmp_path / "tales.jsonl", EMMA, RIVER), tmp_path / "index"
    keep(source, folder, lambda _: None)
    assert update(folder) == Change(passages=2)
    jsonl(source, LONGER, TALE)
    assert stale(manifest(folder))
    assert update(folder) == Change(added=1, changed=1, deleted=1, passages=2)
    assert held(folder) == {LONGER, TALE}
    assert not stale(manifest(folder))


def test_keeping_an_index_builds_it_once_and_then_follows_its_source(tmp_path: Path) -> None:
    source, folder, told = jsonl(tmp_path / "tales.jsonl", EMMA), tmp_path / "index", list[str]()
    keep(source, folder, told.append)
    keep(source, folder, told.append)
    assert told == [f"indexing {source} ...", "indexed 1 passages"]
    jsonl(source, EMMA, RIVER)
    keep(source, folder, told.append)
    assert held(folder) == {EMMA, RIVER} and told[-1] == "1 added, 0 changed, 0 deleted"


def test_an_update_reads_every_source_and_the_latest_wins(tmp_path: Path) -> None:
    first = jsonl(tmp_path / "first.jsonl", EMMA, RIVER)
    second = jsonl(tmp_path / "second.jsonl", LONGER, TALE)
    build([EMMA, RIVER], folder := tmp_path / "index", str(first))
    add(folder, [LONGER, TALE], str(second))
    assert [Path(source.place).name for source in manifest(folder).sources] == [
        "first.jsonl", "second.jsonl"
    ]  # fmt: skip
    for _ in range(2):
        assert update(folder) == Change(passages=3)
        assert held(folder) == {EMMA, LONGER, TALE}
    jsonl(second, TALE)
    assert update(folder) == Change(changed=1, passages=3)
    assert held(folder) == {EMMA, RIVER, TALE}


def test_an_update_needs_a_source_that_is_there(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ConfigError, match="was not built from a file"):
        update(folder)
    source = jsonl(tmp_path / "tales.jsonl", EMMA)
    keep(source, other := tmp_path / "other", lambda _: None)
    source.unlink()
    with pytest.raises(InputError, match="no corpus at"):
        update(other)
    assert held(other) == {EMMA}


_passages = st.dictionaries(
    st.sampled_from("abcdefgh"), st.sampled_from(["one", "two", "three"]), min_size=1
).map(lambda texts: [Passage(id=id, title=id, text=text) for id, text in texts.items()])


@given(before=_passages, after=_passages, gone=st.sets(st.sampled_from("abcdefgh")))
@settings(deadline=None, max_examples=12)
def test_an_updated_index_holds_what_a_fresh_one_would(
    tmp_path_factory: pytest.TempPathFactory,
    before: list[Passage],
    after: list[Passage],
    gone: set[str],
) -> None:
    place = tmp_path_factory.mktemp("update")
    source, folder = jsonl(place / "tales.jsonl", *before), place / "index"
    keep(source, folder, lambda _: None)
    delete(folder, sorted(gone))
    jsonl(source, *after)
    there = {p.id: p for p in before if p.id not in gone}
    change = update(folder)
    assert held(folder) == set(after)
    assert change == Change(
        added=sum(p.id not in there for p in after),
        changed=sum(p.id in there and there[p.id] != p for p in after),
        deleted=len(there.keys() - {p.id for p in after}),
        passages=len(after),
    )


def test_a_digest_tells_every_part_of_a_passage() -> None:
    variants = [
        EMMA, Passage(id="1", title="Emm", text="aA comedy of manners."),
        msgspec.structs.replace(EMMA, url="https://x.example"),
        msgspec.structs.replace(EMMA, published="2020"), msgspec.structs.replace(EMMA, id="2"),
    ]  # fmt: skip
    assert len({digest_of(variant) for variant in variants}) == len(variants)
    assert digest_of(msgspec.structs.replace(EMMA, score=3.0)) == digest_of(EMMA)


def test_a_search_pays_little_for_looking_whether_there_is_a_new_index(folder: Path) -> None:
    reader = Reader(folder)
    began = time.perf_counter()
    for _ in range(1000):
        reader.now()
    assert time.perf_counter() - began < 0.5
