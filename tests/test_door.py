"""The synchronous door."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.playing import Home, Served, plays

from mia import MIA
from mia.errors import InputError, MissingError
from mia.types import VerdictValue


def test_a_script_asks_and_reads_the_episode(tmp_path: Path) -> None:
    with Served(plays) as server:
        home = Home(tmp_path)
        home.configure(server.url)
        home.furnish()
        with MIA(home.corpus, config=home.config) as mia:
            first = mia.ask("What colour is item 3?", gold=("kind 3",))
            again = mia.ask("What colour is item 3?", gold=("kind 3",))
            assert first.answer == again.answer == "kind 3"
            assert first.verdict.value is VerdictValue.CORRECT
            assert first.id != again.id
            assert mia.recall("What colour is item 4?").successes
            with pytest.raises(InputError):
                mia.ask("  ")


def test_a_model_that_is_missing_is_named_with_its_command(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="mia models get smollm2-135m"):
        MIA(home=tmp_path)


def test_importing_mia_loads_nothing_heavy() -> None:
    code = "import sys, mia; print([m for m in ('numpy', 'typer', 'msgspec') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_name_that_is_not_there_is_said_to_be_missing() -> None:
    import mia

    with pytest.raises(AttributeError, match="nonsense"):
        mia.nonsense  # type: ignore[attr-defined]  # noqa: B018
