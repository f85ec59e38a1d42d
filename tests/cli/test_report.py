"""`mia report`: evaluations and runs by name, told on the terminal and written down."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.cli.playing import Home
from tests.report.making import lifelike, questions, results, scored

from mia.errors import adding
from mia.evaluate import Folder, Results
from mia.report.summary import Summary, summarise
from mia.types import decode

Mia = Callable[..., Any]
ASKED = questions(4)
WITHOUT = """
import sys
sys.modules[sys.argv[1]] = None  # what is not installed
from pathlib import Path
from tests.report.making import lifelike
from mia.errors import MissingError
from mia.report.files import write
from mia.report.summary import report_of
try:
    write(report_of(lifelike(("none",), count=3, seeds=(0,))), Path(sys.argv[2]))
except MissingError as error:
    print(error)
"""


def keep(home: Home, made: Results) -> None:
    """Writes an evaluation down where `mia eval` does."""
    folder = Folder(home.data / "evaluations" / made.evaluation.name)
    folder.begin(made.evaluation, made.questions)
    with closing(folder.journal()) as journal:
        for number, done in enumerate(made.arms):
            run = journal.open_run(done.arm.run, "")
            for entry in done.entries:
                fresh = f"{number}-{entry.episode.id}"
                journal.write(run.run, replace(entry.episode, id=fresh))
                if entry.remembered is not None:
                    journal.settle(fresh, entry.remembered)
            if done.size is not None:
                folder.note_size(done.arm, done.size)


@pytest.fixture
def evaluated(home: Home) -> Results:
    made = results(ASKED, scored("none", ASKED, "-+--"), scored("mia", ASKED, "+++"), name="first")
    keep(home, made)
    return made


def test_a_report_is_shown_and_written(mia: Mia, home: Home, evaluated: Results) -> None:
    said = mia("report", "first")
    assert said.code == 0, said.err
    assert "How right" in said.out and "3 of 4" in said.out and "Against none" in said.out
    assert "mia is not at its end: 3 of 4" in said.err
    folder = home.data / "reports" / "first"
    assert str(folder / "report.html") in said.err
    names = {path.name for path in folder.iterdir()}
    assert names == {"report.html", "report.md", "summary.json", "episodes.jsonl", "figures"}


def test_json_is_the_summary_and_nothing_else(mia: Mia, evaluated: Results, tmp_path: Path) -> None:
    said = mia("report", "first", "--json", "--out", str(tmp_path / "here"), "--baseline", "mia")
    found = decode(said.out, Summary)
    assert found.rows == summarise(evaluated).rows
    assert (found.baseline, found.comparisons[0].difference) == ("mia", pytest.approx(-2 / 3))
    assert decode((tmp_path / "here" / "summary.json").read_bytes(), Summary) == found


def test_evaluations_are_put_beside_each_other(mia: Mia, home: Home, evaluated: Results) -> None:
    keep(home, results(ASKED[1:], scored("mia", ASKED[1:], "---"), name="second"))
    said = mia("report", "first", "--compare", "second", "--json")
    found = decode(said.out, Summary)
    assert [row.method for row in found.rows] == ["none", "mia", "mia (second)"]
    assert found.questions == 3
    assert (home.data / "reports" / "first-second" / "report.html").exists()


def test_sizes_and_seeds_are_read_back(mia: Mia, home: Home) -> None:
    made = lifelike(("none", "mia"), count=12, seeds=(0, 1), unfinished="mia")
    keep(home, made)
    found = decode(mia("report", "lifelike", "--json").out, Summary)
    assert found == summarise(made)
    assert found.rows[1].memories == 50


def test_a_run_of_mia_stream_is_reported_as_one_method(mia: Mia, home: Home) -> None:
    asked = mia("stream", str(home.questions), "--corpus", str(home.corpus), "--run", "a run/1")
    assert asked.code == 0
    found = decode(mia("report", "a run/1", "--json").out, Summary)
    row = found.rows[0]
    assert (row.method, row.accuracy.successes, row.done) == ("a run/1", 8, 8)
    assert row.usage.calls > 0 and found.comparisons == ()
    assert (home.data / "reports" / "a_run_1" / "report.md").exists()


def test_runs_are_put_beside_each_other(mia: Mia, home: Home) -> None:
    command = ("stream", str(home.questions), "--corpus", str(home.corpus))
    mia(*command, "--run", "one")
    mia(*command, "--run", "two", "--no-memory", "--limit", "5")
    found = decode(mia("report", "one", "--compare", "two", "--json").out, Summary)
    assert [row.method for row in found.rows] == ["one", "two"]
    assert (found.questions, found.baseline) == (5, "one")


@pytest.mark.parametrize("name", ["nothing", "../evaluations/first", ""])
def test_a_name_that_nothing_has_is_told(mia: Mia, evaluated: Results, name: str) -> None:
    said = mia("report", name)
    assert said.code == 2 and f"neither an evaluation nor a run {name!r}" in said.err
    assert "mia eval --list" in said.err and "mia stream" in said.err


def test_a_baseline_that_did_not_take_part_is_told(mia: Mia, evaluated: Results) -> None:
    said = mia("report", "first", "--baseline", "rag")
    assert said.code == 2 and "no method 'rag' took part; there are none, mia" in said.err


def test_an_evaluation_beside_itself_is_told(mia: Mia, evaluated: Results) -> None:
    said = mia("report", "first", "--compare", "first")
    assert said.code == 2 and "cannot be compared with itself" in said.err


def test_control_characters_of_names_do_not_reach_the_terminal(mia: Mia, home: Home) -> None:
    keep(home, results(ASKED, scored("[red]x\x1b[31m", ASKED, "++++"), name="strange"))
    said = mia("report", "strange")
    assert "\x1b" not in said.out and "[red]x[31m" in said.out


@pytest.mark.parametrize("missing", ["matplotlib", "jinja2"])
def test_what_is_not_installed_is_named_with_how_to_get_it(missing: str, tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-c", WITHOUT, missing, str(tmp_path)],
        capture_output=True, text=True, cwd=Path(__file__).parents[2], check=True,
    )  # fmt: skip
    assert f"need {missing}; run: {adding('eval')}" in said.stdout


def test_the_tables_need_neither_figures_nor_pages() -> None:
    code = "import json, sys, mia.cli.report; print(json.dumps(sorted(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"matplotlib", "jinja2"} & set(json.loads(said.stdout))
