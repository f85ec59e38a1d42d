"""How a run of learning while answering stands: what was right, by how often a family of questions
had come before, what each rule of picking would have come to, and what it cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from mia.report.curves import Bin, bins
from mia.statistics import Share, share
from mia.training.buffer import Learned, Outcome
from mia.types import Noun, Usage

_RULES = ("router", "first", "random", "shortest", "longest", "oracle")


class Epoch(Noun, frozen=True):
    """One pass over a stream."""

    number: int
    right: Share
    """Of the questions of which somebody knows whether they were answered rightly, each under the
    policy and the memory that those before it left (prequential)."""
    unknown: int
    """Questions of which nobody knows."""
    by_occurrence: tuple[Bin, ...]
    """By how often the family had come before in this pass; none where questions have no family."""


class Standing(Noun, frozen=True):
    """A run as a whole."""

    name: str
    judge: str
    learns: str
    """What learns: `weights and memory`, `memory`, ..."""
    done: int
    of: int
    epochs: tuple[Epoch, ...]
    rules: dict[str, Share]
    """How often each rule of picking a plan would have been right."""
    judged: Share
    """What the judge called right."""
    agreed: Share
    """How often the judge and a right answer that it did not see say the same."""
    updates: int
    taught: int
    """Questions that an update learned from."""
    alike: int
    """Those among them whose attempts all fared alike, so that they taught nothing."""
    alarms: tuple[str, ...]
    answering: Usage
    exploring: Usage
    answered: float
    """Seconds until an answer was there, the median."""
    seconds: float
    """Of everything, updates too."""


def standing(
    outcomes: Sequence[Outcome],
    learned: Sequence[Learned],
    *,
    name: str,
    judge: str,
    learns: str,
    length: int,
    epochs: int,
) -> Standing:
    """`length` is that of the stream."""
    updates = [each for each in learned if each.update.version]
    waits = sorted(one.answered for one in outcomes)
    both = [one for one in outcomes if one.judged is not None and one.right is not None]
    return Standing(
        name=name,
        judge=judge,
        learns=learns,
        done=len(outcomes),
        of=length * epochs,
        epochs=tuple(_epochs(outcomes, length)),
        rules={rule: _known([getattr(one.selections, rule) for one in outcomes])
               for rule in _RULES},
        judged=_known([one.judged for one in outcomes]),
        agreed=share([one.judged == one.right for one in both]),
        updates=len(updates),
        taught=sum(each.questions for each in updates),
        alike=sum(each.dropped for each in updates),
        alarms=tuple(f"update {each.update.version}, {each.alarm.guard}: {each.alarm.told}"
                     for each in updates if each.alarm is not None),
        answering=sum((one.answering for one in outcomes), Usage()),
        exploring=sum((one.exploring for one in outcomes), Usage()),
        answered=waits[len(waits) // 2] if waits else 0.0,
        seconds=sum(one.seconds for one in outcomes) + sum(each.seconds for each in updates),
    )  # fmt: skip


def _epochs(outcomes: Sequence[Outcome], length: int) -> Iterator[Epoch]:
    for first in range(0, len(outcomes), max(1, length)):
        of = outcomes[first : first + length]
        yield Epoch(
            number=first // length + 1,
            right=_known([one.right for one in of]),
            unknown=sum(one.right is None for one in of),
            by_occurrence=tuple(_by_occurrence(of)),
        )


def _by_occurrence(outcomes: Sequence[Outcome]) -> Iterator[Bin]:
    met: Counter[str] = Counter()
    places: list[tuple[int, bool | None]] = []
    for one in outcomes:
        if one.family is not None:
            met[one.family] += 1
            places.append((met[one.family], one.right))
    for first, last in bins(max((place for place, _ in places), default=0)):
        within = [right for place, right in places if first <= place <= last]
        if within:
            yield Bin(first=first, last=last, accuracy=_known(within))


def _known(values: Sequence[bool | None]) -> Share:
    return share([value for value in values if value is not None])
