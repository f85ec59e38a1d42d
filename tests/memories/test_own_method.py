"""A method of somebody's own, in one file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from mia.errors import ConfigError
from mia.memories.own import Own, check
from mia.types import Episode, Question

Films = Callable[..., Episode]
ASKED = Question(text="When?", id="q")


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Where a method keeps what it keeps."""
    return tmp_path / "kept"


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a method's file."""

    def write(source: str) -> Path:
        path = tmp_path / "mine.py"
        path.write_text(source, encoding="utf-8")
        return path

    return write


Written = Callable[[str], Path]


@pytest.mark.parametrize("kind", ["async def", "def"])
async def test_two_functions_are_a_memory(
    kind: str, written: Written, kept: Path, film_episode: Films
) -> None:
    own = Own(
        written(
            "seen = []\n"
            f"{kind} recall(question):\n    return [question, *seen]\n"
            f"{kind} remember(episode):\n"
            "    seen.append(episode['question']['text'] + ' ' + episode['answer']"
            " + ' ' + episode['verdict']['value'])\n"
        ),
        kept,
        0,
    )
    assert [note.text for note in (await own.recall(ASKED)).notes] == ["When?"]
    remembered = await own.remember(film_episode("Jaws"))
    assert remembered.decision == "stored" and "mine.py" in remembered.reason
    notes = (await own.recall(ASKED)).notes
    assert notes[1].text == ("When was the director of film Jaws born? December 18, 1946 correct")
    assert notes[0].score > notes[1].score and notes[0].id != notes[1].id


@pytest.mark.parametrize(
    ("returned", "texts"), [("'one'", ["one"]), ("''", []), ("[]", []), ("['a', ' ']", ["a"])]
)
async def test_a_text_is_one_note_and_a_blank_one_is_none(
    returned: str, texts: list[str], written: Written, kept: Path
) -> None:
    source = f"def recall(question): return {returned}\ndef remember(episode): pass\n"
    found = await Own(written(source), kept, 0).recall(ASKED)
    assert [note.text for note in found.notes] == texts


@pytest.mark.parametrize("returned", ["None", "3", "[1]", "{'a': 1}"])
async def test_what_is_no_text_is_refused(returned: str, written: Written, kept: Path) -> None:
    source = f"def recall(question): return {returned}\ndef remember(episode): pass\n"
    with pytest.raises(ConfigError, match=r"mine\.py: recall should return"):
        await Own(written(source), kept, 0).recall(ASKED)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def recall(question): return ''\n", r"remember\(episode\)"),
        ("def remember(episode): pass\n", r"recall\(question\)"),
        ("recall = 3\ndef remember(episode): pass\n", r"recall\(question\)"),
        ("def recall(): return ''\ndef remember(episode): pass\n", r"recall\(question\)"),
        ("def recall(a, b): return ''\ndef remember(episode): pass\n", r"recall\(question\)"),
        ("def recall(a): return ''\ndef remember(): pass\n", r"remember\(episode\)"),
        ("def recall(a)", "cannot be loaded"),
        ("import no_such_module_at_all\n", "no_such_module_at_all"),
    ],
)
def test_a_file_that_is_no_method_is_refused(source: str, said: str, written: Written) -> None:
    with pytest.raises(ConfigError, match=said):
        check(written(source))


def test_a_file_that_is_not_there_or_no_python_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no file"):
        check(tmp_path / "none.py")
    notes = tmp_path / "notes.txt"
    notes.write_text("hello", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"\.py"):
        check(notes)


async def test_a_run_that_failed_is_not_shown(
    written: Written, kept: Path, film_episode: Films
) -> None:
    source = "def recall(question): return ''\ndef remember(episode): raise AssertionError\n"
    own = Own(written(source), kept, 0)
    assert (await own.remember(film_episode(outcome="failed:model"))).decision == "ignored"
    with pytest.raises(AssertionError):
        await own.remember(film_episode())


async def test_it_is_told_its_arm_where_it_asks_for_it(
    written: Written, kept: Path, film_episode: Films
) -> None:
    source = (
        "from pathlib import Path\n"
        "def recall(question, k=3, *, arm):\n"
        "    return [str(arm['seed']), str(k), *(p.name for p in Path(arm['folder']).iterdir())]\n"
        "async def remember(episode, arm):\n"
        "    (Path(arm['folder']) / episode['answer']).write_text('')\n"
    )
    own = Own(written(source), kept, 7)
    assert [note.text for note in (await own.recall(ASKED)).notes] == ["7", "3"]
    await own.remember(film_episode("Jaws"))
    assert [note.text for note in (await own.recall(ASKED)).notes][2:] == ["December 18, 1946"]


async def test_it_never_sees_a_gold_answer(
    written: Written, kept: Path, film_episode: Films
) -> None:
    source = (
        "seen = []\n"
        "def recall(question): return seen\n"
        "def remember(episode): seen.append(str(episode))\n"
    )
    own = Own(written(source), kept, 0)
    told = film_episode("Jaws")
    question = replace(told.question, answers=("the gold one",))
    await own.remember(replace(told, question=question))
    (note,) = (await own.recall(ASKED)).notes
    assert "the gold one" not in note.text and told.question.text in note.text
