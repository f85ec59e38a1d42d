"""The Memory's contract, and the scoring rules that its shelves share."""

from __future__ import annotations

from typing import Protocol

from mia.types import Episode, Noun, Question, Recollection, Remembered


class Memory(Protocol):
    """Past experience that may help with a question."""

    async def recall(self, question: Question) -> Recollection: ...

    async def remember(self, episode: Episode) -> Remembered:
        """Decides what to keep of an episode. Doing it twice with one episode changes nothing."""
        ...


class Weights(Noun, frozen=True, forbid_unknown_fields=True):
    """How much each part of a recall score counts. The defaults are the paper's (App. 10)."""

    similarity: float = 0.7
    value: float = 0.3
    frequency: float = 0.3
    question: float = 0.8
    """Share of the question in the similarity where there is an image; the caption has the rest."""
    prior_wins: float = 1.0
    prior_losses: float = 1.0
    """A Beta prior: a newborn workflow is worth 1/2, not 1."""


def similarity(question: float, caption: float | None, weights: Weights) -> float:
    """Sim = 0.8 cos(question) + 0.2 cos(caption); without captions, cos(question)."""
    if caption is None:
        return question
    return weights.question * question + (1 - weights.question) * caption


def value(uses: int, wins: int, weights: Weights) -> float:
    """Posterior mean of the win rate under a Beta prior."""
    return (wins + weights.prior_wins) / (uses + weights.prior_wins + weights.prior_losses)


def frequency(uses: int) -> float:
    """Freq = 1 / (uses + 1)."""
    return 1.0 / (uses + 1)


def score(sim: float, val: float, freq: float, weights: Weights) -> float:
    """Score = 0.7 Sim + 0.3 Val + 0.3 Freq."""
    return weights.similarity * sim + weights.value * val + weights.frequency * freq
