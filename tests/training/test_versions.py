"""Policy versions: whole or not there, never changed, and one pointer that can go back."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from tests.training import kill_at_every_step, publish_forever

from mia.errors import InputError, MIAError, StoreError
from mia.locks import alone
from mia.training.bases import weights_sha256
from mia.training.versions import Draft, Shelf, sha256_of, shelf

DRAFT = Draft(
    base="toy",
    base_sha256="ab" * 32,
    made_by="supervised",
    data="ten questions",
    config={"rank": 8, "names": ["q_proj"], "nested": {"alpha": 16.0}},
    metrics={"loss": 0.25},
    checks={"exact": 0.5},
)


@pytest.fixture
def planner(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "policies", "planner")


def written(text: str = "weights") -> Callable[[Path], None]:
    def fill(folder: Path) -> None:
        (folder / "adapter_config.json").write_text("{}")
        (folder / "adapter_model.safetensors").write_text(text)
        (folder / "more").mkdir()
        (folder / "more" / "notes.txt").write_text("inside")

    return fill


def in_use(one: Shelf) -> int:
    current = one.current()
    return current.number if current else 0


def test_what_was_published_is_read_back_with_what_is_known_of_it(planner: Shelf) -> None:
    published = planner.publish(DRAFT, written())
    assert (published.role, published.number, published.config) == ("planner", 1, DRAFT.config)
    assert published.created.endswith("+00:00") and published.mia
    again = Shelf(planner.folder(1).parents[1], "planner")
    assert again.version(1) == published == again.verify(1)
    assert again.versions() == (published,)
    file = planner.folder(1) / "adapter_model.safetensors"
    assert file.read_text() == "weights"
    assert published.files["adapter_model.safetensors"] == sha256_of(file)
    assert set(published.files) == {
        "adapter_config.json", "adapter_model.safetensors", "more/notes.txt",
    }  # fmt: skip


def test_numbers_count_up_and_roles_do_not_mix(tmp_path: Path, planner: Shelf) -> None:
    executor = shelf(tmp_path, "executor")
    assert [planner.publish(DRAFT, written()).number for _ in range(3)] == [1, 2, 3]
    assert executor.publish(DRAFT, written()).number == 1
    assert [version.number for version in planner.versions()] == [1, 2, 3]


def test_published_files_cannot_be_written_to(planner: Shelf) -> None:
    planner.publish(DRAFT, written())
    modes = [path.stat().st_mode for path in planner.folder(1).rglob("*") if path.is_file()]
    assert len(modes) == 4 and not any(mode & 0o222 for mode in modes)


def test_a_number_that_was_in_use_is_not_given_again(planner: Shelf) -> None:
    planner.publish(DRAFT, written())
    planner.promote(planner.publish(DRAFT, written()).number)
    for path in planner.folder(2).rglob("*"):
        if path.is_file():
            path.unlink()
    (planner.folder(2) / "more").rmdir()
    planner.folder(2).rmdir()
    with pytest.raises(StoreError, match=r"version 2 .* mia policy rollback planner"):
        planner.current()
    assert planner.publish(DRAFT, written()).number == 3
    planner.rollback()
    assert planner.current() is None


@pytest.mark.parametrize("act", ["version", "verify", "promote"])
def test_an_unknown_number_is_told_what_there_is(planner: Shelf, act: str) -> None:
    with pytest.raises(InputError, match="no version 7 of planner; there are none"):
        getattr(planner, act)(7)
    planner.publish(DRAFT, written())
    planner.publish(DRAFT, written())
    with pytest.raises(InputError, match="no version 7 of planner; there are: 1, 2"):
        getattr(planner, act)(7)


def test_looking_writes_nothing(planner: Shelf) -> None:
    assert (planner.current(), planner.versions(), planner.history()) == (None, (), ())
    assert not planner.folder(1).parents[1].exists()


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_flipped_byte_is_found_and_keeps_a_version_out_of_use(data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        one = Shelf(Path(folder), "executor")
        version = one.publish(DRAFT, written())
        name = data.draw(st.sampled_from(sorted(version.files)))
        file = one.folder(1) / name
        raw = bytearray(file.read_bytes())
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
        file.chmod(0o644)
        file.write_bytes(raw)
        for act in (one.verify, one.promote):
            with pytest.raises(StoreError, match=rf"{name} is damaged"):
                act(1)
        assert one.current() is None


def test_a_missing_file_is_found(planner: Shelf) -> None:
    planner.publish(DRAFT, written())
    (planner.folder(1) / "adapter_config.json").unlink()
    with pytest.raises(StoreError, match=r"adapter_config\.json is missing"):
        planner.verify(1)


@pytest.mark.parametrize("raw", [b"", b"{", b'{"role": "planner"}'])
def test_a_description_that_cannot_be_read_is_named(planner: Shelf, raw: bytes) -> None:
    planner.publish(DRAFT, written())
    record = planner.folder(1) / "version.json"
    record.chmod(0o644)
    record.write_bytes(raw)
    with pytest.raises(StoreError, match=r"version\.json cannot be read"):
        planner.version(1)
    assert planner.publish(DRAFT, written()).number == 2, "the next one does not suffer"


def test_a_version_at_the_place_of_another_is_named(planner: Shelf) -> None:
    planner.publish(DRAFT, written())
    planner.folder(1).rename(planner.folder(5))
    with pytest.raises(StoreError, match="does not describe version 5 of planner"):
        planner.version(5)


def test_going_back_leads_where_one_was_before(planner: Shelf) -> None:
    for _ in range(3):
        planner.publish(DRAFT, written())
    assert planner.current() is None
    planner.promote(2)
    planner.promote(3)
    planner.promote(3)
    assert planner.current() == planner.version(3)
    assert planner.rollback() == planner.version(2) == planner.current()
    planner.promote(0)
    assert planner.current() is None
    assert planner.rollback() == planner.version(2)
    assert planner.rollback() is None
    with pytest.raises(InputError, match="what came with MIA is in use"):
        planner.rollback()
    told = [(move.why, move.number) for move in planner.history()]
    assert told == [
        ("promote", 2), ("promote", 3), ("rollback", 2), ("promote", 0), ("rollback", 2),
        ("rollback", 0),
    ]  # fmt: skip


@given(st.lists(st.integers(0, 3) | st.none()))
@settings(max_examples=60, deadline=None)
def test_any_sequence_of_moves_is_a_stack(moves: list[int | None]) -> None:
    with TemporaryDirectory() as folder:
        one = Shelf(Path(folder), "planner")
        for _ in range(3):
            one.publish(DRAFT, written())
        stack = [0]
        for move in moves:
            if move is not None:
                one.promote(move)
                stack += [move] if stack[-1] != move else []
            elif len(stack) > 1:
                one.rollback()
                stack.pop()
            else:
                with pytest.raises(InputError):
                    one.rollback()
            assert in_use(Shelf(Path(folder), "planner")) == stack[-1]


def test_what_is_discarded_is_gone_and_the_way_back_goes_past_it(planner: Shelf) -> None:
    for number in range(1, 6):
        planner.publish(DRAFT, written())
        planner.promote(number)
    assert [planner.discard(number) for number in (1, 3, 4, 5)] == [True, True, False, False]
    assert [version.number for version in planner.versions()] == [2, 4, 5]
    assert planner.rollback() == planner.version(4)
    assert planner.rollback() == planner.version(2), "what was in use before is gone"
    assert planner.rollback() is None
    with pytest.raises(InputError, match="no version 3"):
        planner.discard(3)


def test_the_newest_is_not_discarded_so_that_no_number_is_given_twice(planner: Shelf) -> None:
    for _ in range(2):
        planner.publish(DRAFT, written())
    assert planner.discard(1) and not planner.discard(2)
    assert planner.publish(DRAFT, written()).number == 3


def test_who_succeeds_comes_after_whom_it_should(planner: Shelf) -> None:
    for _ in range(3):
        planner.publish(DRAFT, written())
    assert planner.succeed(0, 1) and in_use(planner) == 1
    assert planner.succeed(0, 1), "a second time changes nothing"
    planner.promote(3)
    assert not planner.succeed(1, 2) and in_use(planner) == 3, "somebody else was faster"
    assert [move.number for move in planner.history()] == [1, 3]
    (planner.folder(2) / "adapter_config.json").chmod(0o644)
    (planner.folder(2) / "adapter_config.json").write_text("damaged")
    with pytest.raises(StoreError, match="is damaged"):
        planner.succeed(3, 2)


def test_going_back_to_a_damaged_version_is_refused(planner: Shelf) -> None:
    for number in (1, 2):
        planner.publish(DRAFT, written())
        planner.promote(number)
    (planner.folder(1) / "adapter_config.json").unlink()
    with pytest.raises(StoreError, match="missing"):
        planner.rollback()
    assert in_use(planner) == 2


def test_a_pointer_that_cannot_be_read_says_what_to_do(planner: Shelf) -> None:
    planner.promote(planner.publish(DRAFT, written()).number)
    (planner.folder(1).parent / "current.json").write_text("?")
    with pytest.raises(StoreError, match=r"current\.json cannot be read .*remove it"):
        planner.current()


class Full(MIAError):
    """Training went wrong."""


@pytest.mark.parametrize(
    ("error", "raised"),
    [(OSError(errno.ENOSPC, "No space left on device"), StoreError), (Full("no"), Full)],
)
def test_a_fill_that_fails_leaves_what_was_there(
    planner: Shelf, error: Exception, raised: type[Exception]
) -> None:
    planner.promote(planner.publish(DRAFT, written()).number)

    def fails(folder: Path) -> None:
        (folder / "adapter_model.safetensors").write_text("half of")
        raise error

    with pytest.raises(raised, match=str(error.args[-1])) as told:
        planner.publish(DRAFT, fails)
    if raised is StoreError:
        assert str(planner.folder(1).parent) in str(told.value)
    assert [version.number for version in planner.versions()] == [1] and in_use(planner) == 1
    assert halves(planner) == []


_FULL = """
import resource, sys
from pathlib import Path
from mia.errors import StoreError
from mia.training.versions import Draft, Shelf
def fill(folder):
    (folder / "adapter_model.safetensors").write_bytes(b"x" * int(sys.argv[2]))
draft = Draft(base="toy", base_sha256="0" * 64, made_by="online", data="d" * 3000)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
try:
    Shelf(Path(sys.argv[1]), "planner").publish(draft, fill)
except StoreError as error:
    print(error)
"""


@pytest.mark.parametrize("size", [3000, 10], ids=["in the weights", "in the description"])
def test_a_disk_that_is_full_is_named_and_nothing_is_left(planner: Shelf, size: int) -> None:
    planner.publish(DRAFT, written())
    command = [sys.executable, "-c", _FULL, str(planner.folder(1).parents[1]), str(size)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.startswith(f"no version could be published to {planner.folder(1).parent}: ")
    assert len(planner.versions()) == 1 and halves(planner) == []


def halves(one: Shelf) -> list[Path]:
    return sorted(one.folder(1).parent.glob(".half-*"))


def test_nothing_to_publish_is_an_error(planner: Shelf) -> None:
    with pytest.raises(InputError, match="nothing to publish"):
        planner.publish(DRAFT, lambda _: None)
    assert planner.versions() == ()


def test_a_number_that_is_none_is_refused_before_anything_is_written(planner: Shelf) -> None:
    bad = Draft(base="b", base_sha256="", made_by="online", metrics={"loss": float("nan")})
    with pytest.raises(InputError, match=r"cannot be published: .*metrics"):
        planner.publish(bad, written())
    assert not planner.folder(1).parent.exists()


def test_a_kill_at_any_step_leaves_everything_whole(tmp_path: Path) -> None:
    command = [sys.executable, kill_at_every_step.__file__, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 30, "so many children were killed"


def test_a_kill_while_it_is_filled_leaves_what_was_there(planner: Shelf) -> None:
    planner.publish(DRAFT, written())
    script = (
        "import sys\nfrom pathlib import Path\nfrom mia.training.versions import Draft, Shelf\n"
        "def fill(folder):\n"
        "    (folder / 'adapter_model.safetensors').write_text('half of')\n"
        "    print(folder, flush=True)\n    sys.stdin.read()\n"
        "draft = Draft(base='toy', base_sha256='', made_by='online')\n"
        "Shelf(Path(sys.argv[1]), 'planner').publish(draft, fill)\n"
    )
    command = [sys.executable, "-c", script, str(planner.folder(1).parents[1])]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        half = Path(process.stdout.readline().strip())
        assert planner.publish(DRAFT, written()).number == 2
        assert half.is_dir(), "a living process keeps its folder"
        process.kill()
    assert half.is_dir() and [version.number for version in planner.versions()] == [1, 2]
    assert planner.publish(DRAFT, written()).number == 3
    assert halves(planner) == []


def test_two_processes_at_once_get_different_numbers(tmp_path: Path) -> None:
    command = [sys.executable, publish_forever.__file__, str(tmp_path), "15"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=100)[0].split()[1:] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(int(number) for numbers in said for number in numbers) == list(range(1, 31))
    one = Shelf(tmp_path, "planner")
    assert [one.verify(n).number for n in range(1, 31)] == list(range(1, 31))
    assert in_use(one) in {int(numbers[-1]) for numbers in said}


def test_who_moves_the_pointer_takes_turns(planner: Shelf) -> None:
    planner.publish(DRAFT, written())
    command = [
        sys.executable, "-c",
        "import sys\nfrom pathlib import Path\nfrom mia.training.versions import Shelf\n"
        "Shelf(Path(sys.argv[1]), 'planner').promote(1)\n",
        str(planner.folder(1).parents[1]),
    ]  # fmt: skip
    with alone(planner.folder(1).parent / ".lock"):
        waiting = subprocess.Popen(command)
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(1.5)
        assert planner.current() is None, "looking does not wait"
    assert waiting.wait(30) == 0 and in_use(planner) == 1


def test_a_file_of_weights_is_read_through_once(tmp_path: Path) -> None:
    weights, notes = tmp_path / "model.gguf", tmp_path / "policies" / "bases.json"
    weights.write_bytes(b"one")
    first = weights_sha256(weights, notes)
    assert first == sha256_of(weights)
    noted = notes.read_text()
    notes.write_text(noted.replace(first, "f" * 64))
    assert weights_sha256(weights, notes) == "f" * 64, "the note is believed"
    weights.write_bytes(b"other")
    assert weights_sha256(weights, notes) == sha256_of(weights), "until the file changes"
    notes.write_text("?")
    assert weights_sha256(weights, notes) == sha256_of(weights)


@pytest.mark.parametrize("error", [OSError("full"), SafetensorError("full")])
def test_what_a_disk_refuses_is_a_fault_of_the_store_whoever_wrote(
    planner: Shelf, error: Exception
) -> None:
    def fill(folder: Path) -> None:
        raise error

    with pytest.raises(StoreError, match=r"no version could be published to .*planner: full"):
        planner.publish(DRAFT, fill)
    assert planner.versions() == ()
