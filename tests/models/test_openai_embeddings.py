"""Embedders behind a URL, over real HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest

from mia.errors import ModelError
from mia.models.openai_compatible import OpenAIEmbeddings
from mia.retry import Retry
from mia.testing import Fault, FaultServer, ToyEmbedder, faults


async def at_once(seconds: float) -> None:
    """Pauses between attempts take no time here."""


async def embed(script: Sequence[Fault], texts: Sequence[str]) -> np.ndarray[Any, Any]:
    async with (
        FaultServer(script) as server,
        aclosing(OpenAIEmbeddings(server.url, "e5", retry=Retry(sleep=at_once))) as embedder,
    ):
        return await embedder.embed(texts)


async def test_texts_become_unit_rows_in_their_order_and_empty_ones_zeros() -> None:
    texts = [f"town number {n}" if n % 3 else " " for n in range(200)]
    async with (
        FaultServer(then=faults.good()) as server,
        aclosing(OpenAIEmbeddings(server.url, "e5", retry=Retry(sleep=at_once))) as embedder,
    ):
        rows = await embedder.embed(texts)
        assert embedder.name == "e5"
        assert [len(request.body["input"]) for request in server.requests] == [64, 64, 5]
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, await ToyEmbedder().embed(texts), atol=1e-6)


async def test_rows_of_zeros_are_as_long_as_the_vectors_of_the_model() -> None:
    rows = await embed([faults.good()], ["", " "])
    assert rows.shape == (2, 64)
    assert not rows.any()


async def test_rows_are_made_unit_and_sorted_by_their_index() -> None:
    data = [{"index": 1, "embedding": [0, 5]}, {"index": 0, "embedding": [3, 4]}]
    rows = await embed([faults.status(503), faults.json({"data": data})], ["a", "b"])
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 1]], atol=1e-6)


@pytest.mark.parametrize(
    ("vectors", "named"),
    [
        ([[1, 0]], "1 vectors to 2 texts"),
        ([[1, 0], [1]], "lengths"),
        ([[1, 0], [0, 0]], "without a direction"),
        ([[1, 0], [None, 1]], "JSON of another kind"),
        ([list[float](), list[float]()], "without a direction"),
    ],
)
async def test_vectors_that_do_not_fit_the_texts_are_an_error(
    vectors: list[list[float]], named: str
) -> None:
    data = [{"index": n, "embedding": vector} for n, vector in enumerate(vectors)]
    with pytest.raises(ModelError, match=named):
        await embed([faults.json({"data": data})], ["a", "b"])
