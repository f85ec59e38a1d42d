"""What tests of the local learner share: the tiny base, and policies that can speak."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.training import tiny_world

from mia.models.torch_local import libraries
from mia.training import tiny


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the tiny model. From here on torch computes on one thread: equal sums."""
    torch, _ = libraries()
    torch.set_num_threads(1)
    return tiny.make_base(tmp_path_factory.mktemp("tiny") / "base")


@pytest.fixture(scope="session")
def speaking(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of a planner that has learned to say letters, yes and no, but not which."""
    folder = tmp_path_factory.mktemp("speaking")
    return asyncio.run(tiny_world.speaks(tiny_base, folder))
