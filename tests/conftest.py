"""What tests of several rooms need."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.memories.postgres_server import emptied as emptied
from tests.memories.postgres_server import killable as killable
from tests.memories.postgres_server import postgres as postgres
from tests.memories.postgres_server import private_server as private_server
from tests.memories.postgres_server import server_address as server_address
from tests.memories.postgres_server import shared_database as shared_database

from mia.models.catalog import KNOWN, present

HOMES = (
    os.environ.get("MIA_TEST_HOME", ""),
    os.environ.get("MIA_HOME", ""),
    str(Path.home() / ".local" / "share" / "mia"),
)


def _forget_the_user() -> None:
    """A test must not write to the home of whoever runs it, nor ask the web with their keys."""
    for name in tuple(os.environ):
        if name.startswith("MIA_") or name.endswith("_API_KEY"):
            del os.environ[name]


_forget_the_user()


@pytest.fixture(scope="session")
def real_home() -> Path:
    """A home with the embedded models; the test is skipped where there is none."""
    for home in map(Path, filter(None, HOMES)):
        if all(present(home, model) for model in KNOWN):
            return home
    pytest.skip(
        "no embedded models: run `mia models get smollm2-135m minilm`, or set MIA_TEST_HOME"
    )
