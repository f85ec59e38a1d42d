"""What errors tell people to do."""

from __future__ import annotations

import shlex
import subprocess
import sys
import venv
from importlib.metadata import version
from pathlib import Path

import pytest

from mia import errors
from mia.errors import adding, installing


def test_packages_are_installed_by_the_python_that_runs_here() -> None:
    assert shlex.split(installing("onnxruntime")) == [
        sys.executable, "-m", "pip", "install", "onnxruntime"
    ]  # fmt: skip


def test_an_extra_is_added_to_the_version_that_is_here() -> None:
    *_, wanted = shlex.split(adding("web", "images"))
    assert wanted == f"mia[web,images]=={version('mia')}"
    assert adding("web").endswith(f" 'mia[web]=={version('mia')}'"), "a shell takes it as one word"


def test_nobody_else_says_how_to_install() -> None:
    sources = Path(errors.__file__).parent.rglob("*.py")
    told = [path.name for path in sources if "pip install" in path.read_text(encoding="utf-8")]
    assert told == ["errors.py"]


@pytest.mark.parametrize("page", ["README.md", "docs/search.md"])
def test_the_documents_name_the_version_that_is_here(page: str) -> None:
    text = (Path(__file__).parents[1] / page).read_text(encoding="utf-8")
    assert f"python -m {adding('web', 'images', 'server').split(' -m ')[1]}" in text


def test_where_there_is_no_pip_its_stand_in_is_told_where(tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    python = str(tmp_path / "bare" / "bin" / "python")
    told = "import runpy, sys; print(runpy.run_path(sys.argv[1])['installing']('ddgs'))"
    done = subprocess.run(
        [python, "-I", "-c", told, errors.__file__], capture_output=True, text=True, check=True
    )
    assert shlex.split(done.stdout) == ["uv", "pip", "install", "--python", python, "ddgs"]
