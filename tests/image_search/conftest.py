"""A folder of painted pictures, and its index."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.image_search.painting import furnish

from mia.image_search.building import build
from mia.pictures import Pictures


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures that no test changes."""
    return furnish(tmp_path_factory.mktemp("furnished"))


@pytest.fixture(scope="session")
def index(furnished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its index."""
    out = tmp_path_factory.mktemp("indexes") / "images"
    build(furnished, out)
    return out


@pytest.fixture
def pictures(tmp_path: Path) -> Pictures:
    return Pictures(tmp_path / "kept")
