"""Rows of tokens that begin alike, so that a causal model reads what they have in common once.

Attempts at one question share its prompt, which is most of them. In a tree every such token stands
once, and sees what stands between it and the root; so it comes to what it would come to in a row of
its own (Hydragen: Juravsky et al. 2024, https://arxiv.org/abs/2402.05099, for sampling; Prefix
Grouper: Liu et al. 2025, https://arxiv.org/abs/2506.05433, for learning).

Axes: B trees of a batch, N nodes of a tree (padded on the left).
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple

_PROBE = ((1, 2, 3), (1, 2, 4, 5))
_BY_MASK = frozenset({"eager", "sdpa"})
"""Ways to compute attention that take any mask."""


class Tree(NamedTuple):
    """Rows that begin alike."""

    ids: list[int]
    """The token of each node; what a node follows stands before it."""
    at: list[int]
    """For each node its place in its rows."""
    rows: list[int]
    """Which of the rows these are, and in `paths` the node of each of their tokens."""
    paths: list[list[int]]

    def __len__(self) -> int:
        return len(self.ids)


class Batch(NamedTuple):
    """Trees as a model of transformers takes them."""

    ids_BN: Any
    at_BN: Any
    mask: Any
    """[B, N] where no tree branches, which every model takes; else what is added, [B, 1, N, N]."""


def grown(rows: Sequence[Sequence[int]], most: int) -> list[Tree]:
    """Rows, none of them empty or there twice, in trees. In the order of their tokens, a row joins
    the one before it where at least half of it is the same and the tree keeps to `most` nodes; 0
    leaves every row by itself."""
    made: list[Tree] = []
    for row in sorted(range(len(rows)), key=lambda row: tuple(rows[row])):
        ids = rows[row]
        before = made[-1] if made else None
        shared = _shared(rows[before.rows[-1]], ids) if before else 0
        if before is None or 2 * shared < len(ids) or len(before) + len(ids) - shared > most:
            before, shared = Tree([], [], [], []), 0
            made.append(before)
        path = before.paths[-1][:shared] if shared else []
        path += range(len(before), len(before) + len(ids) - shared)
        before.ids.extend(ids[shared:])
        before.at.extend(range(shared, len(ids)))
        before.rows.append(row)
        before.paths.append(path)
    return made


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two rows begin with that are the same."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def laid_out(trees: Sequence[Tree], model: Any) -> Batch:
    """Trees side by side: each ends where the longest does."""
    torch: Any = import_module("torch")
    longest = max(map(len, trees))
    ids_BN = torch.zeros((len(trees), longest), dtype=torch.long)
    at_BN, there_BN = torch.zeros_like(ids_BN), torch.zeros_like(ids_BN)
    for b, tree in enumerate(trees):
        own = slice(longest - len(tree), None)
        ids_BN[b, own], at_BN[b, own] = torch.tensor(tree.ids), torch.tensor(tree.at)
        there_BN[b, own] = 1
    mask = there_BN
    if any(len(tree.rows) > 1 for tree in trees):
        sees_BNN = torch.eye(longest, dtype=torch.bool).repeat(len(trees), 1, 1)
        for b, tree in enumerate(trees):
            for path in tree.paths:
                way = torch.tensor(path) + longest - len(tree)
                sees_BNN[b, way[:, None], way] |= way[:, None] >= way
        mask = bias(sees_BNN, model.dtype)
    return Batch(*(each.to(model.device) for each in (ids_BN, at_BN, mask)))


def bias(sees_BNM: Any, dtype: Any) -> Any:
    """What is added to attention so that nodes see what they should, [B, 1, N, M]."""
    torch: Any = import_module("torch")
    hidden = torch.zeros_like(sees_BNM, dtype=dtype)
    return hidden.masked_fill_(~sees_BNM, torch.finfo(dtype).min)[:, None]


def shares(model: Any) -> bool:
    """Whether a model reads trees as it reads rows: whether the mask alone says what a token sees.
    A configuration that says otherwise is believed; else it is tried."""
    config = model.config
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    by_mask = getattr(config, "_attn_implementation", None) in _BY_MASK
    if not by_mask or getattr(config, "sliding_window", None) or kinds != {"full_attention"}:
        return False
    torch: Any = import_module("torch")
    (tree,), alone = grown(_PROBE, sum(map(len, _PROBE))), grown(_PROBE, 0)
    with torch.no_grad():
        try:
            together = _logits(model, [tree])
        except (TypeError, ValueError, RuntimeError, LookupError):
            return False  # it has no use for such a mask
        rows = [_logits(model, [one])[0] for one in alone]
    far = max(
        float((together[0, path] - row).abs().max())
        for path, row in zip(tree.paths, rows, strict=True)
    )
    return far < torch.finfo(model.dtype).eps ** 0.5 * float(together.std())


def _logits(model: Any, trees: Sequence[Tree]) -> Any:
    ids, at, mask = laid_out(trees, model)
    return model(input_ids=ids, position_ids=at, attention_mask=mask, use_cache=False).logits
