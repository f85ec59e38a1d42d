"""`mia judge`, from labelled answers to figures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.cli.conftest import Mia, Said
from tests.cli.playing import Home, Served

from mia.cli.main import main
from mia.testing import Fault, Received, faults

DOCUMENT = Path(__file__).parents[2] / "docs" / "judges.md"
SAYS = {
    "grade": '{"reason": "as the reference", "grade": "CORRECT"}',
    "review": '{"score": 9, "reason": "fine", "evidence": []}',
    "ruling": '{"verdict": "incorrect", "confidence": 0.5, "reason": "unsupported"}',
}


def judging(request: Received) -> Fault:
    """Every answer is right by the reference, and wrong by the panel."""
    shape = (request.body or {})["response_format"]["json_schema"]["name"]
    return faults.ok(SAYS[shape])


@pytest.fixture
def endpoint(home: Home) -> Iterator[Served]:
    with Served(judging) as server:
        home.configure(server.url)
        yield server


def report(said: Any) -> dict[str, Any]:
    assert said.code == 0, said.err
    return msgspec.json.decode(said.out)


def lines(text: str) -> list[str]:
    """Without the spaces that tables are filled up with."""
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def test_the_settings_judge_is_measured_and_the_document_says_what_comes_out(mia: Mia) -> None:
    said = mia("judge", "calibrate")
    assert said.code == 0 and "exact" in said.out
    told = lines(DOCUMENT.read_text(encoding="utf-8"))
    assert [line for line in lines(said.out) if line not in told] == []


def test_a_judge_is_asked_at_its_endpoint_and_its_cost_is_told(mia: Mia, endpoint: Served) -> None:
    found = report(mia("judge", "calibrate", "--judge", "reference", "--limit", "12", "--json"))
    (measured,) = found["judges"]
    figures, items = measured["reliability"], measured["judged"]
    assert len(items) == figures["rows"] == 12
    assert figures["correct_recall"]["value"] == 1.0
    asked = [item for item in items if item["verdict"]["reason"] == "as the reference"]
    assert len(asked) == figures["usage"]["calls"] == len(endpoint.requests)
    assert figures["usage"]["prompt_tokens"] == 10 * len(asked)


def test_all_judges_stand_beside_each_other(mia: Mia, endpoint: Served) -> None:
    command = ("judge", "calibrate", "--judge", "all", "--limit", "8")
    found = report(mia(*command, "--json"))
    assert [each["reliability"]["judge"] for each in found["judges"]] == [
        "exact", "reference", "panel",
    ]  # fmt: skip
    pairs = {(pair["one"], pair["other"]): pair for pair in found["between"]}
    assert set(pairs) == {("exact", "reference"), ("exact", "panel"), ("reference", "panel")}
    assert pairs["reference", "panel"]["agreement"]["successes"] == 0
    said = mia(*command)
    assert "reference and panel: agreement 0.000" in said.out
    assert "exact reference panel" in lines(said.out) and "tokens" in said.out


def test_two_judges_are_named_one_by_one_and_once(mia: Mia, endpoint: Served) -> None:
    named = ("--judge", "panel", "--judge", "exact", "--judge", "panel")
    found = report(mia("judge", "calibrate", *named, "--limit", "2", "--json"))
    assert [each["reliability"]["judge"] for each in found["judges"]] == ["panel", "exact"]


def test_what_cannot_be_read_is_unknown_and_told_apart(mia: Mia, home: Home) -> None:
    with Served(lambda _: faults.ok("I would say it is right.")) as server:
        home.configure(server.url)
        command = ("judge", "calibrate", "--judge", "reference", "--limit", "4", "--show")
        said = mia(*command)
    told = lines(said.out)
    assert said.code == 0 and "agreement -" in told
    assert any(line.startswith("unknown 1.000") for line in told)
    assert "and the verdict is unknown" in said.out and "the judge: the reply should" in said.out


def test_an_endpoint_that_refuses_is_an_error(mia: Mia, home: Home) -> None:
    with Served(lambda _: faults.status(401, "who are you?")) as server:
        home.configure(server.url)
        said = mia("judge", "calibrate", "--judge", "reference", "--limit", "4")
    assert (said.code, said.out) == (4, "") and "401" in said.err


def test_a_judge_without_an_endpoint_is_refused(mia: Mia, home: Home) -> None:
    home.config.write_text(f'home = "{home.data}"\n')
    said = mia("judge", "calibrate", "--judge", "panel")
    assert (said.code, said.out) == (2, "") and "needs an endpoint" in said.err
    assert said.err.count("\n") == 1


def test_the_figures_of_one_judge_survive_the_next_ones_failure(mia: Mia, home: Home) -> None:
    home.config.write_text(f'home = "{home.data}"\n')
    said = mia("judge", "calibrate", "--judge", "all")
    assert said.code == 2 and "reference judge needs an endpoint" in said.err
    assert "correct: precision 0.955 (0.782-0.992), 21 of 22" in lines(said.out)


def test_rows_of_ones_own_are_judged_and_a_wrong_line_is_named(mia: Mia, tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    rows = [
        {"question": "Where?", "answers": ["Rome"], "answer": "Rome", "label": "correct"},
        {"question": "Who?", "answers": ["Ada"], "answer": "Bob \x1b[31m", "label": "correct",
         "kind": "red \x1b[0m"},
        {"question": "When?", "answer": "1900", "label": "incorrect"},
    ]  # fmt: skip
    path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    said = mia("judge", "calibrate", "--rows", str(path), "--show")
    assert said.code == 0 and "\x1b" not in said.out
    told = lines(said.out)
    assert "2: correct, and the verdict is incorrect" in told
    assert "3: incorrect, and the verdict is unknown" in told
    assert "the judge: no gold answer, and no judge model is configured" in told
    assert "unsorted 1 / 0 / 1" in told
    with path.open("a") as file:
        file.write('{"question": "Why?"}\n')
    said = mia("judge", "calibrate", "--rows", str(path))
    assert said.code == 2 and f"{path} line 4" in said.err


def test_a_judge_that_errs_nowhere_is_said_to(mia: Mia, tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(
        '{"question": "Where?", "answers": ["Rome"], "answer": "Rome", "label": "correct"}'
    )
    said = mia("judge", "calibrate", "--judge", "exact", "--rows", str(path), "--show")
    assert "exact: every verdict is as labelled" in lines(said.out)


@pytest.fixture
def show(capsys: pytest.CaptureFixture[str]) -> Mia:
    """Runs the one command of the group that needs no settings."""

    def run(*arguments: str) -> Said:
        with pytest.raises(SystemExit) as ended:
            main(["judge", "show", *arguments])
        assert isinstance(ended.value.code, int)
        return Said(ended.value.code, *capsys.readouterr())

    return run


def test_show_lists_by_kind_and_its_json_can_be_judged(mia: Mia, show: Mia, tmp_path: Path) -> None:
    said = show("--kind", "near-miss")
    assert said.code == 0 and "near-miss: 0 right, 13 wrong" in said.out
    assert "- Who wrote Wuthering Heights? → Charlotte Brontë [her sister]" in lines(said.out)
    path = tmp_path / "some.jsonl"
    path.write_text(show("--kind", "list", "--json").out)
    found = report(mia("judge", "calibrate", "--rows", str(path), "--json"))
    assert [kind["kind"] for kind in found["judges"][0]["reliability"]["kinds"]] == ["list"]
    assert found["judges"][0]["reliability"]["rows"] == 11


def test_a_kind_that_is_not_there_is_named(show: Mia) -> None:
    said = show("--kind", "far-miss")
    assert said.code == 2 and "'far-miss'" in said.err and "near-miss" in said.err
