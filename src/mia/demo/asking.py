"""What a demo question is, and how a family of them is chosen and worded."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from mia.demo.facts import Row
from mia.demo.wording import slug, stable

FAMILY_SIZE = 10
"""Questions per family; even, so that a family of yes-no questions can be balanced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoQuestion:
    """One question of the demo stream."""

    id: str
    question: str
    answers: tuple[str, ...]
    """Every accepted form; the passages' own comes first."""
    family: str
    """The chain of relations that leads from the question to its answer."""
    gold_ids: tuple[str, ...]
    """The passages that settle it, in the order of the chain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A question before it is worded: what fills the slots, the answers and the passages."""

    slots: tuple[str, ...]
    answers: tuple[str, ...]
    gold: tuple[Row, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Questions that are all solved by the same procedure."""

    name: str
    wordings: tuple[str, ...]
    drafts: tuple[Draft, ...]

    def questions(self) -> list[DemoQuestion]:
        """The family's questions, its wordings taken in turn."""
        if len(self.drafts) < FAMILY_SIZE:
            raise ValueError(f"{self.name}: the tables yield only {len(self.drafts)} questions")
        asked: list[DemoQuestion] = []
        for number, draft in enumerate(self.drafts[:FAMILY_SIZE]):
            wording = self.wordings[number % len(self.wordings)]
            asked.append(
                DemoQuestion(
                    id=f"demo-{slug(self.name)}-{number + 1:02}",
                    question=wording.format(*draft.slots),
                    answers=draft.answers,
                    family=self.name,
                    gold_ids=tuple(dict.fromkeys(row.id for row in draft.gold)),
                )
            )
        return asked


def shuffled(drafts: Iterable[Draft]) -> list[Draft]:
    """Drafts in an order that looks arbitrary and is always the same."""
    return sorted(drafts, key=lambda draft: stable("|".join(draft.slots)))


def spread(drafts: Iterable[Draft]) -> tuple[Draft, ...]:
    """Shuffled drafts, one for each last passage, none that names its own answer."""
    chosen: dict[Hashable, Draft] = {}
    for draft in shuffled(drafts):
        named = " ".join(draft.slots).casefold()
        if not any(answer.casefold() in named for answer in draft.answers):
            chosen.setdefault(draft.gold[-1].id, draft)
    return tuple(chosen.values())


def balanced(yes: Sequence[Draft], no: Sequence[Draft]) -> tuple[Draft, ...]:
    """Half a family of yes and half a family of no, mixed."""
    half = FAMILY_SIZE // 2
    return tuple(shuffled([*yes[:half], *no[:half]]))
