"""The published memory file: what is read of it, what is refused, and what comes back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from mia.errors import InputError
from mia.memories.workflow.classify import CATEGORIES
from mia.memories.workflow.compress import MAX_WORDS, compress
from mia.memories.workflow.interchange import Imported, import_
from mia.memories.workflow.published import is_published, read, write
from mia.memories.workflow.store import Store
from mia.memories.workflow.template import mask
from mia.types import Episode, Workflow, encode

Films = Callable[..., Episode]
ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
QUICK = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def entry(**fields: Any) -> dict[str, Any]:
    """An entry as the supervised variant has it."""
    usual = {
        "data_id": "q1",
        "question": "When was the director of film Jaws born?",
        "image_caption": "",
        "workflow_summary": "1. Search for who directed Jaws (Jaws -> Steven Spielberg).",
        "plan": "1. Find the director of Jaws.\n2. Search for the birth date of that person.",
        "judgement": "correct",
        "usage_count": 4,
        "success_count": 3,
        "win_rate": 0.75,
    }
    return {**usual, **fields}


def without(*names: str, **fields: Any) -> dict[str, Any]:
    return {name: value for name, value in entry(**fields).items() if name not in names}


def layout(*entries: object, modality: str = "text-only", category: str = "time") -> Any:
    return {modality: {category: list(entries)}, "text-image": {}} if entries else {}


def file_of(folder: Path, content: object) -> Path:
    path = folder / "memory.jsonl"
    raw = content if isinstance(content, bytes) else json.dumps(content, indent=4).encode()
    path.write_bytes(raw)
    return path


def read_all(folder: Path, content: object) -> tuple[Workflow, ...]:
    return read(file_of(folder, content), "default", created="2026-01-01")


def read_one(folder: Path, **fields: Any) -> Workflow:
    (workflow,) = read_all(folder, layout(entry(**fields)))
    return workflow


def kept(workflow: Workflow) -> tuple[object, ...]:
    """What must survive a way out and in again."""
    w = workflow
    return (w.question, w.plan, w.summary, w.outcome, w.uses, w.wins, w.modality, w.category)


# -- reading ----------------------------------------------------------------------------------


def test_an_entry_becomes_a_quarantined_workflow_of_templates(tmp_path: Path) -> None:
    workflow = read_one(tmp_path)
    assert workflow.question == "When was the director of film Jaws born?"
    assert workflow.question_template == "When was the director of film [A] born?"
    assert workflow.plan == (
        "1. Find the director of [A].\n2. Search for the birth date of that person."
    )
    assert workflow.summary == "1. Search for who directed [A] ([A] -> [B])."
    assert (workflow.outcome, workflow.uses, workflow.wins) == ("success", 4, 3)
    assert (workflow.category, workflow.modality, workflow.question_id) == ("time", "text", "q1")
    assert (workflow.trust, workflow.verdict_kind) == ("quarantined", "published")
    assert (workflow.created, workflow.source_domains) == ("2026-01-01", ())
    assert len(workflow.source_hashes) == 1
    assert ULID.fullmatch(workflow.id)


@pytest.mark.parametrize(
    ("given", "outcome"),
    [
        (entry(slow_plan="1. Another plan."), "success"),
        (entry(judgement="incorrect"), "failure"),
        (entry(judgement=" Correct "), "success"),
        (entry(judgement="not_attempted"), "failure"),
        (entry(evaluator_1_feedback="good", evaluator_2_feedback={"score": 3}), "success"),
        (without("judgement", judgement_nogt="incorrect", judgement_data={"is_correct": False}),
         "failure"),
        (without("judgement", judgement_nogt=True), "success"),
        (entry(judgement="incorrect", judgement_nogt="correct"), "failure"),
        (without("plan"), "success"),
        (without("workflow_summary", "image_caption", "data_id", "win_rate"), "success"),
    ],
)  # fmt: skip
def test_all_variants_are_read(tmp_path: Path, given: dict[str, Any], outcome: str) -> None:
    (workflow,) = read_all(tmp_path, layout(given))
    assert workflow.outcome == outcome
    assert "Another" not in encode(workflow).decode()


def test_modality_and_category_are_the_files(tmp_path: Path) -> None:
    content = {
        "text-image": {"human": [entry(image_caption="a shark")], "weather": [entry(data_id=7)]},
        "text-only": {name: [entry()] for name in CATEGORIES},
    }
    first, second, *rest = read_all(tmp_path, content)
    assert (first.modality, first.category, first.caption) == ("text-image", "human", "a shark")
    assert (second.category, second.question_id) == ("others", "7")
    assert [workflow.category for workflow in rest] == list(CATEGORIES)
    assert len({workflow.id for workflow in (first, second, *rest)}) == len(rest) + 2


@pytest.mark.parametrize(
    ("uses", "wins", "wanted"),
    [
        (3, 9, (3, 3)),
        (-1, -1, (0, 0)),
        (2, -2, (2, 0)),
        (10**18, 1, (10**9, 1)),
        (1e9, 5.0, (10**9, 5)),
        (1e300, 2, (10**9, 2)),
        (float("nan"), 1, (0, 0)),
        (float("inf"), float("-inf"), (0, 0)),
        ("3", "2", (0, 0)),
        (None, [], (0, 0)),
        (True, {}, (0, 0)),
    ],
)
def test_impossible_counts_are_put_right(
    tmp_path: Path, uses: object, wins: object, wanted: tuple[int, int]
) -> None:
    workflow = read_one(tmp_path, usage_count=uses, success_count=wins, win_rate="9")
    assert (workflow.uses, workflow.wins) == wanted


def test_what_a_planner_would_see_is_short_visible_and_masked(tmp_path: Path) -> None:
    secret = "see https://evil.example/x?y=1 or mail Ann@evil.example about Project X"
    long = "word " * 5000 + "\u202e\u200b\x07"
    workflow = read_one(
        tmp_path, plan=f"{secret}\u200b\x1b[2J {long}", workflow_summary="x" * 10**6
    )
    assert not re.search(r"evil|@|Project|Ann|\d{2}", workflow.plan)
    assert not re.search("[\u200b\u202e\x07\x1b]", workflow.plan)
    assert len(workflow.plan.split()) <= MAX_WORDS
    assert len(workflow.summary) <= 20 * MAX_WORDS


def test_one_name_is_one_letter_and_letters_of_the_file_are_no_names(tmp_path: Path) -> None:
    workflow = read_one(tmp_path, plan="look up [C] and Jaws and Heat", workflow_summary="Heat")
    assert workflow.plan == "look up [C] and [A] and [D]"
    assert workflow.summary == "[D]"


def test_reading_twice_brings_the_same_ids_and_another_namespace_others(tmp_path: Path) -> None:
    path = file_of(tmp_path, layout(entry(), entry(plan="another way")))
    first, again = read(path, "default"), read(path, "default", created="2001-01-01")
    assert [w.id for w in first] == [w.id for w in again]
    assert first[0].created > "2026"
    other = read(path, "other")
    assert {w.namespace for w in other} == {"other"}
    assert not {w.id for w in first} & {w.id for w in other}
    used = read(file_of(tmp_path, layout(entry(usage_count=9))), "default")
    assert used[0].id == first[0].id


# -- refusing ---------------------------------------------------------------------------------

BAD = {
    "no question": without("question"),
    "blank question": entry(question=" \n"),
    "a number for a question": entry(question=7),
    "neither plan nor summary": entry(plan="", workflow_summary=" "),
    "a list for a plan": entry(plan=["1. x"]),
    "a list for a caption": entry(image_caption=["a shark"]),
    "no judgement": without("judgement"),
    "another judgement": entry(judgement="A"),
    "a number for a judgement": entry(judgement=1),
    "half a character": entry(question="x\ud800"),
    "text": "an entry",
    "null": None,
    "plan memory": without("plan", "workflow_summary", correct_plan="x", incorrect_plan="y"),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_entry_refuses_the_whole_file(tmp_path: Path, bad: object) -> None:
    with pytest.raises(InputError, match=r"nothing was imported .* text-only/'time' 2: "):
        read_all(tmp_path, layout(entry(), bad, entry()))


def test_every_bad_entry_is_named_up_to_twenty(tmp_path: Path) -> None:
    few = {
        "text-only": {"time": [entry(), {}, entry()], "human": {}, "\x1b[2J": [3]},
        "text-image": [entry()],
    }
    with pytest.raises(InputError) as raised:
        read_all(tmp_path, few)
    for name in ("text-only/'time' 2: ", "text-only/'human': ", r"text-only/'\x1b[2J' 1: "):
        assert name in str(raised.value)
    assert "text-image: it should be an object of categories" in str(raised.value)
    assert "more" not in str(raised.value)
    with pytest.raises(InputError) as raised:
        read_all(tmp_path, layout(*[entry(judgement="x" * 1000)] * 1000))
    message = str(raised.value)
    assert message.count("text-only/") == 20
    assert message.endswith("; and 980 more")
    assert len(message) < 10_000


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{not json",
        b"[]",
        b"7",
        b'{"audio": {}}',
        b'{"text-only": {"time": [',
        b'{"text-only": {}, "text-only": {}}',
        b"[" * 100_000,
        b'{"text-only": ' + b'{"time": ' * 100_000,
        b'{"text-only": {"time": [' + b"9" * 10_000 + b"]}}",
        b"\xff\xfe{}",
        json.dumps(layout(entry())).encode().replace(b"Jaws", b"J\xff\xfe"),
    ],
)
def test_what_is_not_of_this_layout_is_an_input_error(tmp_path: Path, raw: bytes) -> None:
    with pytest.raises(InputError, match="nothing was imported"):
        read_all(tmp_path, raw)


def test_deep_data_in_a_field_that_nobody_reads_is_read_or_refused(tmp_path: Path) -> None:
    deep = "[" * 300 + "]" * 300
    raw = json.dumps(layout(entry(usage_count="DEEP"))).replace('"DEEP"', deep)
    (workflow,) = read_all(tmp_path, raw.encode())
    assert workflow.uses == 0
    with pytest.raises(InputError):
        read_all(tmp_path, raw.replace(deep, deep[:300] * 400 + deep[300:] * 400).encode())


def test_an_empty_memory_and_an_absent_file(tmp_path: Path) -> None:
    assert read_all(tmp_path, {}) == ()
    assert read_all(tmp_path, {"text-only": {}, "text-image": {"time": []}}) == ()
    with pytest.raises(InputError, match="no file"):
        read(tmp_path / "absent", "default")


def test_bad_json_lines_are_named_up_to_twenty(tmp_path: Path, store: Store) -> None:
    path = file_of(tmp_path, b'{"id": 1}\n' * 100)
    with pytest.raises(InputError) as raised:
        import_(store, path)
    message = str(raised.value)
    assert message.count("; line ") == 19
    assert message.endswith("; and 80 more")
    assert store.count() == 0


def test_importing_a_file_twice_adds_nothing(tmp_path: Path, store: Store) -> None:
    path = file_of(tmp_path, layout(entry(), entry(), entry(plan="another way")))
    assert import_(store, path) == Imported(added=2, skipped=1)
    assert import_(store, path) == Imported(added=0, skipped=3)
    assert {workflow.trust for workflow in store.all()} == {"quarantined"}
    assert import_(store, path, namespace="other") == Imported(added=2, skipped=1)


# -- telling the formats apart ----------------------------------------------------------------


@pytest.fixture
def workflow(film_episode: Films) -> Workflow:
    compressed = compress(film_episode(), "default", "w1")
    assert compressed is not None
    return replace(compressed, uses=3, wins=2, used="2026-02-02")


def test_the_two_formats_are_told_apart(tmp_path: Path, workflow: Workflow) -> None:
    whole = json.dumps(layout(entry())).encode()
    indented = json.dumps(layout(entry()), indent=4).encode()
    for raw in (whole, indented, indented[:60], b"\xef\xbb\xbf" + whole, b"{}", b" {\n}\n"):
        assert is_published(raw)
    lines = encode(workflow) + b"\n"
    for raw in (lines, lines * 2, b"\n" + lines, lines[:20], b"", b"[]", b"{not json", b"{"):
        assert not is_published(raw)
    write([workflow], tmp_path / "memory.jsonl")
    assert is_published((tmp_path / "memory.jsonl").read_bytes())


# -- writing ----------------------------------------------------------------------------------


def test_a_workflow_is_written_as_the_published_system_has_it(
    tmp_path: Path, workflow: Workflow
) -> None:
    path = tmp_path / "memory.jsonl"
    failure = replace(workflow, outcome="failure", uses=0, wins=0, category="new", caption="a é")
    write([workflow, replace(failure, modality="text-image")], path)
    assert json.loads(path.read_bytes()) == {
        "text-only": {
            "time": [
                {
                    "data_id": "question of Jaws",
                    "question": workflow.question,
                    "image_caption": "",
                    "workflow_summary": workflow.summary,
                    "plan": workflow.plan,
                    "judgement": "correct",
                    "usage_count": 3,
                    "success_count": 2,
                    "win_rate": 0.6667,
                }
            ]
        },
        "text-image": {
            "others": [
                {
                    "data_id": "question of Jaws",
                    "question": workflow.question,
                    "image_caption": "a é",
                    "workflow_summary": workflow.summary,
                    "plan": workflow.plan,
                    "judgement": "incorrect",
                    "usage_count": 0,
                    "success_count": 0,
                    "win_rate": 1.0,
                }
            ]
        },
    }


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, workflow: Workflow) -> None:
    target = tmp_path / "folder"
    target.mkdir()
    with pytest.raises(IsADirectoryError):
        write([workflow], target)
    file = file_of(tmp_path, b"old")
    with pytest.raises(UnicodeEncodeError):
        write([replace(workflow, question="\ud800")], file)
    assert file.read_bytes() == b"old"
    assert list(tmp_path.glob("*.building")) == []


# -- the laws ---------------------------------------------------------------------------------

_word = st.text("abcdefghijklmé", min_size=2, max_size=8)
_name = st.text("nopqrstuvwxyzß", min_size=2, max_size=8).map(str.capitalize)
"""Never an ordinary word of a template: those go where they name what the question asks about."""
_prose = st.lists(st.one_of(_word, _name, st.sampled_from(["[A]", "#1", "1990", '"'])), max_size=30)
_counts = st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)).map(lambda c: (max(c), min(c)))


@st.composite
def memories(draw: st.DrawFn, film_episode: Films) -> list[Workflow]:
    """Workflows as the store has them, of both outcomes and with all kinds of tools."""
    made: list[Workflow] = []
    for number in range(draw(st.integers(0, 4))):
        episode = film_episode(draw(_name), director=draw(_name), caption=draw(st.none() | _name))
        workflow = compress(episode, "default", f"w{number}")
        assert workflow is not None
        uses, wins = draw(_counts)
        summary = workflow.summary.replace(" -> a person", " (open_page: [A]) -> a person")
        prose = mask(" ".join(draw(_prose)).replace('"', ""))
        made.append(
            replace(
                workflow,
                uses=uses,
                wins=wins,
                summary=draw(st.sampled_from([workflow.summary, summary])),
                plan=draw(st.sampled_from([workflow.plan, prose])),
                outcome=draw(st.sampled_from(["success", "failure"])),
                category=draw(st.sampled_from(CATEGORIES)),
            )
        )
    return made


@QUICK
@given(data=st.data())
def test_what_was_exported_comes_back(
    tmp_path: Path, film_episode: Films, data: st.DataObject
) -> None:
    workflows = data.draw(memories(film_episode))
    path = tmp_path / "memory.jsonl"
    write(workflows, path)
    back = read(path, "default")
    assert sorted(map(kept, back), key=repr) == sorted(map(kept, workflows), key=repr)
    assert {w.trust for w in back} <= {"quarantined"}


_text = st.lists(
    st.one_of(
        st.text(max_size=8),
        st.sampled_from(["Foo ", "of ", "the ", "[A]", "[C] ", "#1", "2. ", '"', "'", "a.b", "\n"]),
    ),
    max_size=12,
).map("".join)


@QUICK
@given(question=_text, plan=_text, summary=_text)
def test_what_was_read_and_written_is_read_the_same(
    tmp_path: Path, question: str, plan: str, summary: str
) -> None:
    given = entry(question=f"{question}?", plan=f"{plan}.", workflow_summary=summary)
    first = read_all(tmp_path, layout(given))
    write(first, tmp_path / "memory.jsonl")
    assert list(map(kept, read(tmp_path / "memory.jsonl", "default"))) == list(map(kept, first))


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@QUICK
@given(name=st.sampled_from([*entry(), "judgement_nogt", "slow_plan"]), value=_json)
def test_any_value_in_any_field_is_read_or_refused(tmp_path: Path, name: str, value: Any) -> None:
    try:
        (workflow,) = read_all(tmp_path, layout(entry(**{name: value})))
    except InputError:
        return
    assert 0 <= workflow.wins <= workflow.uses <= 10**9
    assert encode(workflow)


@QUICK
@given(at=st.integers(0, 10_000), byte=st.integers(0, 255), cut=st.booleans())
def test_a_garbled_file_is_read_or_refused(tmp_path: Path, at: int, byte: int, cut: bool) -> None:
    raw = bytearray(json.dumps(layout(entry(), entry(data_id="q2"))).encode())
    at %= len(raw)
    raw[at] = byte
    try:
        workflows = read_all(tmp_path, bytes(raw[:at] if cut else raw))
    except InputError:
        return
    assert len(workflows) <= 2
    assert all(encode(workflow) for workflow in workflows)
