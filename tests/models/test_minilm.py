"""MiniLM on this machine."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import numpy as np
import pytest

from mia.errors import MissingError
from mia.memories.workflow.recall import FLOOR
from mia.memories.workflow.template import mask
from mia.models.minilm import DIMENSIONS, MiniLM


@pytest.fixture(scope="module")
def minilm(real_home: Path) -> MiniLM:
    return MiniLM(real_home / "models" / "minilm")


def test_a_folder_without_the_model_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="mia models get minilm"):
        MiniLM(tmp_path)
    (tmp_path / "model.onnx").touch()
    with pytest.raises(MissingError, match=r"no tokenizer\.json in"):
        MiniLM(tmp_path)


async def test_rows_are_unit_vectors_and_empty_texts_are_zeros(minilm: MiniLM) -> None:
    rows = await minilm.embed(["Where was the poet born?", "", "word " * 2000, " \n"])
    assert rows.shape == (4, DIMENSIONS)
    assert rows.dtype == np.float32
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1, 0, 1, 0], abs=1e-5)
    assert (await minilm.embed([])).shape == (0, DIMENSIONS)


async def test_who_is_stopped_does_not_wait_for_all_texts(minilm: MiniLM) -> None:
    texts = [f"question {number} " + "and more " * 40 for number in range(160)]
    began = time.monotonic()
    await minilm.embed(texts)
    whole = time.monotonic() - began
    asked = asyncio.create_task(minilm.embed(texts))
    await asyncio.sleep(whole / 20)
    asked.cancel()
    began = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await asked
    # the one thread of the pool is free again when the batch that it is at has ended
    await asyncio.get_running_loop().shutdown_default_executor()
    assert time.monotonic() - began < whole / 2


async def test_a_text_has_one_vector_whatever_is_embedded_beside_it(minilm: MiniLM) -> None:
    texts = [f"question {number} " + "and more " * (number % 7) for number in range(40)]
    together = await minilm.embed(texts)
    alone = np.concatenate([await minilm.embed([text]) for text in texts])
    assert (together * alone).sum(axis=1).min() > 0.999


async def test_questions_alike_are_near_and_others_are_not(minilm: MiniLM) -> None:
    films = ["When did the director of film Jaws die?", "When did the director of film Heat die?"]
    other = "What are the steps to register a trademark in the EU?"
    jaws, heat, trademark = await minilm.embed([mask(text) for text in (*films, other)])
    assert float(jaws @ heat) > FLOOR > float(jaws @ trademark)
