"""The catalog, and its page."""

from __future__ import annotations

from pathlib import Path

import pytest

from mia.datasets.catalog import KNOWN, find, known
from mia.errors import ConfigError, InputError

PAGE = Path(__file__).parents[2] / "docs" / "data.md"


def test_the_page_says_what_the_catalog_says() -> None:
    rows = [line.split("|")[1:] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    told = {cells[0].strip(" `"): [cell.strip() for cell in cells[1:]] for cells in rows}
    for data_set in KNOWN:
        splits = ", ".join(
            split.name if split.questions is None else f"{split.name} ({split.questions:,})"
            for split in data_set.splits
        )
        place = ", ".join(filter(None, (data_set.repo, data_set.config)))
        assert told[data_set.name][:3] == [splits, place, data_set.licence]


def test_names_are_one_set_each() -> None:
    assert len({data_set.name for data_set in KNOWN}) == len(KNOWN)
    assert all(known(data_set.name) is data_set for data_set in KNOWN)
    assert find("nobody") is None
    with pytest.raises(ConfigError, match="called 'nobody'; there are: hotpotqa, 2wiki"):
        known("nobody")


def test_the_first_split_is_the_default() -> None:
    for data_set in KNOWN:
        assert data_set.split(None) is data_set.splits[0]
        assert data_set.split(data_set.splits[-1].name) is data_set.splits[-1]
        with pytest.raises(InputError, match=f"{data_set.name} has no split 'dev'; it has: "):
            data_set.split("dev")
