"""Which memories may be shown: trust mode, quarantine, and what lifts it. Pure.

A workflow whose success only a model vouches for can be planted by a document that the run read
(MemoryGraft, arXiv 2512.16962). In trust mode such a workflow is born in quarantine: it is kept,
never recalled, and released when somebody who knows the right answer judged a run of the same kind,
or when runs over disjoint sources came to the same. What is released may still take only one of
the places of a recall for each set of sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mia.types import Workflow

Trust = Literal["trusted", "quarantined"]

GROUNDED = frozenset({"exact_match", "reference", "human", "reward"})
"""Judges that know the right answer."""
LOCAL = "corpus"
"""The domain of passages without an address: the user's own corpus."""


@dataclass(frozen=True, slots=True)
class Witness:
    """One episode that speaks for a workflow."""

    judge: str
    domains: frozenset[str]
    hashes: frozenset[str] = frozenset[str]()

    @property
    def origins(self) -> frozenset[str]:
        """Where it was read: web domains, and single pages of the user's own corpus."""
        own = self.hashes if LOCAL in self.domains else frozenset[str]()
        return (self.domains - {LOCAL}) | own


def grounded(judge: str) -> bool:
    """Whether a judge knows the right answer."""
    return judge in GROUNDED


def born(judge: str, trust_mode: bool) -> Trust:
    """The trust state of a new workflow."""
    return "quarantined" if trust_mode and not grounded(judge) else "trusted"


def vouched(witnesses: Sequence[Witness]) -> bool:
    """Whether a quarantined workflow may be released: one grounded verdict, or two episodes that
    read nothing from the same place."""
    if any(grounded(witness.judge) for witness in witnesses):
        return True
    origins = [witness.origins for witness in witnesses if witness.origins]
    return any(
        not one & other for number, one in enumerate(origins) for other in origins[number + 1 :]
    )


def witness(workflow: Workflow) -> Witness:
    """The episode that a workflow's text comes from, as a witness."""
    return Witness(
        judge=workflow.verdict_kind,
        domains=frozenset(workflow.source_domains),
        hashes=frozenset(workflow.source_hashes),
    )
