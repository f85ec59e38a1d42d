"""Rows that begin alike stand in one tree, and come to what they come to by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mia.models.torch_local import libraries
from mia.models.trees import grown, laid_out, shares

ids = st.integers(0, 3)
rows_alike: st.SearchStrategy[list[list[int]]] = st.lists(ids, max_size=8).flatmap(
    lambda beginning: st.lists(
        st.lists(ids, min_size=1, max_size=6).map(lambda end: [*beginning, *end]), max_size=9
    )
)


def model(kind: str, **also: object) -> Any:
    """A model of eight tokens."""
    torch, transformers = libraries()
    torch.manual_seed(3)
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=8, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
        eos_token_id=0, bos_token_id=0, pad_token_id=0, initializer_range=0.6, **also,
    )  # fmt: skip
    return getattr(transformers, f"{kind}ForCausalLM")(config).eval()


@pytest.fixture(scope="module")
def llama() -> Any:
    return model("Llama")


some_rows = st.lists(rows_alike, max_size=3).map(lambda some: list(chain(*some)))


@given(some_rows, st.integers(0, 40))
def test_a_way_from_the_root_spells_its_row(rows: list[list[int]], most: int) -> None:
    trees = grown(rows, most)
    assert sorted(row for tree in trees for row in tree.rows) == list(range(len(rows)))
    for tree in trees:
        assert len(tree) == len(tree.ids) == len(tree.at) and len(tree.rows) == len(tree.paths)
        assert len(tree) <= most or len(tree.rows) == 1
        assert {node for path in tree.paths for node in path} == set(range(len(tree)))
        for row, path in zip(tree.rows, tree.paths, strict=True):
            assert [tree.ids[node] for node in path] == rows[row]
            assert [tree.at[node] for node in path] == list(range(len(path)))
            assert path == sorted(path)


@given(st.lists(ids, min_size=5, max_size=9), st.lists(ids, min_size=2, max_size=4, unique=True))
def test_what_rows_begin_with_stands_once(beginning: list[int], ends: list[int]) -> None:
    rows = [[*beginning, end] for end in ends]
    (tree,) = grown(rows, 99)
    assert len(tree) == len(beginning) + len(ends)
    assert len(grown(rows, 0)) == len(rows)
    assert len(grown([*rows, [7, *beginning]], 99)) == 2, "what begins otherwise stands apart"


def logits(model: Any, rows: Sequence[Sequence[int]], most: int) -> dict[int, Any]:
    """What a model says after each token of each row."""
    torch, _ = libraries()
    trees = grown(rows, most)
    batch = laid_out(trees, model)
    with torch.no_grad():
        told = model(
            input_ids=batch.ids_BN, position_ids=batch.at_BN, attention_mask=batch.mask
        ).logits
    longest = told.shape[1]
    return {
        row: told[b, [node + longest - len(tree) for node in path]]
        for b, tree in enumerate(trees)
        for row, path in zip(tree.rows, tree.paths, strict=True)
    }


@given(some_rows.filter(bool))
@settings(deadline=None, max_examples=40)
def test_a_token_in_a_tree_comes_to_what_it_comes_to_in_its_row(
    llama: Any, rows: list[list[int]]
) -> None:
    torch, _ = libraries()
    together = logits(llama, rows, 30)
    for number, row in enumerate(rows):
        with torch.no_grad():
            alone = llama(input_ids=torch.tensor([row])).logits[0]
        assert torch.allclose(together[number], alone, atol=1e-4)


def test_models_whose_tokens_see_all_before_them_share(llama: Any) -> None:
    torch, _ = libraries()
    assert shares(llama)
    assert shares(model("Qwen2")) and shares(model("Mistral", sliding_window=None))
    assert shares(model("Llama", attn_implementation="eager"))
    assert shares(model("Llama").to(torch.bfloat16))


@pytest.mark.parametrize(
    "other",
    [
        ("Mistral", {"sliding_window": 4}),
        ("Gemma2", {"head_dim": 4, "sliding_window": 4}),
        ("Llama", {"layer_types": ["linear_attention", "full_attention"]}),
    ],
    ids=lambda other: other[0],
)
def test_models_whose_tokens_see_something_else_do_not(other: tuple[str, Any]) -> None:
    kind, also = other
    assert not shares(model(kind, **also))


def test_a_model_that_looks_past_the_mask_is_found_out(llama: Any) -> None:
    class Unmasked:
        """Says of itself that it goes by the mask."""

        config, dtype, device = llama.config, llama.dtype, llama.device

        def __call__(self, **asked: Any) -> Any:
            return llama(**{**asked, "attention_mask": None, "position_ids": None})

    class Strict(Unmasked):
        """Takes masks of rows only."""

        def __call__(self, **asked: Any) -> Any:
            if asked["attention_mask"].ndim != 2:
                raise ValueError("what is this?")
            return llama(**asked)

    assert not shares(Unmasked()) and not shares(Strict())
