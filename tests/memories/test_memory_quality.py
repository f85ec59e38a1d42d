"""The benchmark of memory's quality, in small: what it claims holds here too."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.memory_quality import Kept, Size, family, growth, isolation, poisoning

from mia.models.catalog import known, place
from mia.models.minilm import MiniLM

DATA = Path(__file__).parents[3] / "shared" / "data"
SMALL = Size(
    stream=40, episodes=300, bounds=(0, 160, 30), probes=40, clean=50, kept=60, recalls=200
)


@pytest.fixture(scope="module")
def embedder(real_home: Path) -> Kept:
    return Kept(MiniLM(place(real_home, known("minilm")).parent))


async def test_a_bounded_memory_stays_bounded_and_still_finds_the_right_way(
    embedder: Kept, tmp_path: Path
) -> None:
    unbounded, wide, tight = await growth(embedder, tmp_path, SMALL)
    assert wide.largest <= 160 and tight.largest <= 30 < unbounded.workflows
    assert wide.one_right >= unbounded.one_right - 0.02 * SMALL.probes


async def test_what_was_planted_is_recalled_without_trust_mode_and_never_with_it(
    embedder: Kept, tmp_path: Path
) -> None:
    off = await poisoning(embedder, tmp_path, SMALL, trust_mode=False)
    on = await poisoning(embedder, tmp_path, SMALL, trust_mode=True)
    assert any(off)
    assert on and not any(on)


async def test_no_recall_returns_another_namespace_s_workflow(
    embedder: Kept, tmp_path: Path
) -> None:
    crossed = await isolation(embedder, tmp_path, SMALL)
    assert crossed and not any(crossed)


@pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data, the real questions")
async def test_recalled_successes_are_of_the_question_s_family_more_often_than_by_chance(
    embedder: Kept, tmp_path: Path
) -> None:
    told = await family(embedder, DATA, tmp_path, SMALL)
    assert told.hits["memory"] > told.hits["chance"]
