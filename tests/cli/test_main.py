"""The command itself: what it is, and how its help reads."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pytest

from mia.cli.eval import eval_
from mia.cli.main import main


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_it_says_which_version_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "--version") == f"mia {version('mia')}\n"


def test_a_paragraph_of_help_breaks_where_the_terminal_ends(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    shown = said(capsys, "eval", "--help").partition("╭")[0]
    for paragraph in (eval_.__doc__ or "").split("\n\n"):
        assert f" {' '.join(paragraph.split())} " in shown
