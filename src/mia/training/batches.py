"""From samples to what a learner computes at once.

What is the same to the letter, as attempts at one question often are, is computed once, and so is
what conversations have in common at their beginning.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mia.models.trees import Tree, grown
from mia.training.samples import Sample

_NOTHING = 1e-6
"""What is left of advantages that cancel."""


class Row(NamedTuple):
    """One conversation, and the samples that are this one."""

    ids: tuple[int, ...]
    mask: tuple[int, ...]
    """For each id: 1 where the policy sampled it."""
    members: list[tuple[Sample, float]]
    """Each with its advantage."""

    @property
    def cancels(self) -> bool:
        """Whether these samples pull it up as much as down: what all attempts at a question have
        in common teaches nothing."""
        return abs(math.fsum(advantage for _, advantage in self.members)) < _NOTHING


class Token(NamedTuple):
    """A token that the policy said."""

    tree: int
    before: int
    """The node that it follows, of which it is predicted."""
    id: int


class Learned(NamedTuple):
    """A sample in a part."""

    tokens: list[int]
    """Which of the part's tokens the policy sampled in it."""
    logprobs: list[float]
    """Of each, when it was sampled."""
    advantage: float


class Part:
    """Conversations that are computed at once."""

    def __init__(self, trees: Sequence[Tree], rows: Sequence[Row]) -> None:
        """`rows` are those that the trees were grown of."""
        self.trees = trees
        self.tokens: list[Token] = []
        """What the policy said in any of them, each token of a tree once."""
        self.samples: list[Learned] = []
        places: dict[tuple[int, int], int] = {}
        for b, tree in enumerate(trees):
            for row, path in zip((rows[row] for row in tree.rows), tree.paths, strict=True):
                own: list[int] = []
                for at, bit in enumerate(row.mask):
                    if bit:
                        own.append(places.setdefault((b, path[at]), len(places)))
                        if len(places) > len(self.tokens):
                            self.tokens.append(Token(b, path[at - 1], row.ids[at]))
                for sample, advantage in row.members:
                    sampled = zip(sample.logprobs, sample.mask, strict=True)
                    logprobs = [logprob for logprob, bit in sampled if bit]
                    self.samples.append(Learned(own, logprobs, advantage))


def rows_of(kept: Sequence[tuple[Sample, float]]) -> list[Row]:
    """Samples, with their advantages, by what they say, in the order of their first."""
    rows: dict[tuple[tuple[int, ...], tuple[int, ...]], Row] = {}
    for sample, advantage in kept:
        ids = sample.prompt_ids + sample.response_ids
        mask = (0,) * len(sample.prompt_ids) + sample.mask
        rows.setdefault((ids, mask), Row(ids, mask, [])).members.append((sample, advantage))
    return list(rows.values())


def parts_of(rows: Sequence[Row], tokens: int, most: int) -> Iterator[Part]:
    """Trees, of at most `most` nodes, and of about the same size: so many of them that with their
    padding they have at most so many tokens. What is larger by itself is a part of its own."""
    trees: list[Tree] = []
    for tree in sorted(grown([row.ids for row in rows], most), key=len):
        if trees and len(tree) * (len(trees) + 1) > tokens:
            yield Part(trees, rows)
            trees = []
        trees.append(tree)
    if trees:
        yield Part(trees, rows)
