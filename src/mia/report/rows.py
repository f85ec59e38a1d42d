"""How each method did and what it cost: one row a method, one a seed, one a family."""

from __future__ import annotations

from collections.abc import Sequence

from mia.evaluate import Done, Results
from mia.report.scores import Score, accuracy, by_method, label
from mia.statistics import Share, share
from mia.types import Noun, Usage


class Row(Noun, frozen=True):
    """One method, over all its seeds or over one."""

    method: str
    seed: int | None
    """None for all of them together."""
    asked: int
    """Questions of its arms that the report is about."""
    done: int
    accuracy: Share
    """Of all that is done: what could not be judged is not right."""
    accuracy_judged: Share
    """Of what could be judged."""
    exact: Share
    """Exact match, of what has gold answers."""
    f1: float | None
    """Mean token overlap with the gold answer; None where there is no gold."""
    answered: int
    abstained: int
    failed: int
    usage: Usage
    """Of answering, what recalling cost included."""
    remembering: Usage
    memories: float | None
    """At the end of an arm, on average over the seeds; None where none are kept, or not known."""
    memory_bytes: float | None

    @property
    def cost(self) -> Usage:
        """Of answering and remembering together."""
        return self.usage + self.remembering

    def each(self, total: float) -> float:
        """A total, for one question."""
        return total / max(1, self.done)


class FamilyRow(Noun, frozen=True):
    """One method on the questions of one family."""

    method: str
    family: str
    accuracy: Share


def rows(results: Results, scores: Sequence[Score]) -> tuple[Row, ...]:
    """One row a method, all seeds together."""
    arms: dict[str, list[Done]] = {}
    for done in results.arms:
        arms.setdefault(label(done.arm.method), []).append(done)
    grouped = by_method(scores)
    return tuple(
        _row(results, method, None, of, grouped.get(method, [])) for method, of in arms.items()
    )


def seed_rows(results: Results, scores: Sequence[Score]) -> tuple[Row, ...]:
    """One row a method and seed; none where no method has several."""
    seeds = {done.arm.seed for done in results.arms}
    if len(seeds) < 2:
        return ()
    return tuple(
        _row(
            results, method := label(done.arm.method), done.arm.seed, [done],
            [s for s in scores if (s.method, s.seed) == (method, done.arm.seed)],
        )
        for done in results.arms
    )  # fmt: skip


def _row(
    results: Results, method: str, seed: int | None, arms: Sequence[Done], scores: list[Score]
) -> Row:
    wanted = {question.id for question in results.questions}
    episodes = [score.entry.episode for score in scores]
    gold = [score for score in scores if score.question.answers]
    overlaps = [score.f1 for score in gold if score.f1 is not None]
    usage = sum((episode.usage for episode in episodes), Usage())
    remembering = sum((score.remembering for score in scores), Usage())
    sizes = [done.size for done in arms if done.size is not None]
    counts = [size.memories for size in sizes if size.memories is not None]
    return Row(
        method=method,
        seed=seed,
        asked=sum(id in wanted for done in arms for id in done.arm.order),
        done=len(scores),
        accuracy=accuracy(scores),
        accuracy_judged=accuracy([score for score in scores if score.judged]),
        exact=share([bool(score.exact) for score in gold], [s.question.id for s in gold]),
        f1=sum(overlaps) / len(overlaps) if overlaps else None,
        answered=sum(episode.final.outcome == "answered" for episode in episodes),
        abstained=sum(episode.final.outcome == "abstained" for episode in episodes),
        failed=sum(episode.final.failed for episode in episodes),
        usage=usage,
        remembering=remembering,
        memories=sum(counts) / len(counts) if counts else None,
        memory_bytes=sum(size.bytes for size in sizes) / len(sizes) if sizes else None,
    )


def family_rows(scores: Sequence[Score]) -> tuple[FamilyRow, ...]:
    """One row a family and method, families by name."""
    families = sorted({s.question.family for s in scores if s.question.family is not None})
    return tuple(
        FamilyRow(method=method, family=family, accuracy=accuracy(of))
        for family in families
        for method, of in by_method(s for s in scores if s.question.family == family).items()
    )
