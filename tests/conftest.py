"""What tests of several rooms need."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mia.models.catalog import KNOWN, present

HOMES = (
    os.environ.get("MIA_TEST_HOME", ""),
    os.environ.get("MIA_HOME", ""),
    str(Path.home() / ".local" / "share" / "mia"),
)


@pytest.fixture(scope="session")
def real_home() -> Path:
    """A home with the embedded models; the test is skipped where there is none."""
    for home in map(Path, filter(None, HOMES)):
        if all(present(home, model) for model in KNOWN):
            return home
    pytest.skip(
        "no embedded models: run `mia models get smollm2-135m minilm`, or set MIA_TEST_HOME"
    )
