"""Evaluations made by hand, and one that looks like a real one."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from mia.evaluate import Arm, Done, Evaluation, Results, Size
from mia.journal import Entry
from mia.types import (
    Episode,
    Note,
    Question,
    Recollection,
    Remembered,
    Trajectory,
    Turn,
    Usage,
    Verdict,
    VerdictValue,
)

RIGHT, WRONG, UNKNOWN = VerdictValue.CORRECT, VerdictValue.INCORRECT, VerdictValue.UNKNOWN
VALUES = {"+": RIGHT, "-": WRONG, "?": UNKNOWN}


def questions(count: int, families: Sequence[str | None] = (None,)) -> tuple[Question, ...]:
    """Questions whose gold answers are `town N`; families take turns."""
    return tuple(
        Question(
            text=f"Where was person {number} born?",
            id=f"q{number}",
            answers=(f"town {number}",),
            family=families[number % len(families)],
        )
        for number in range(count)
    )


def entry(
    question: Question,
    value: VerdictValue = RIGHT,
    answer: str | None = None,
    recollection: Recollection = Recollection(),
    usage: Usage = Usage(),
    remembering: Usage = Usage(),
    seconds: float = 0.0,
    judge: str = "exact_match",
) -> Entry:
    """An episode: right ones answer with the gold, wrong ones otherwise, unknown ones failed."""
    if answer is None:
        answer = (question.answers or ("",))[0] if value is RIGHT else "somewhere else"
    run = (
        Trajectory(outcome="failed:model", turns=(Turn(usage=usage),))
        if value is UNKNOWN
        else Trajectory(outcome="answered", turns=(Turn(answer=answer, usage=usage),))
    )
    episode = Episode(
        id=f"e-{question.id}",
        question=question,
        recollection=recollection,
        trajectory=run,
        verdict=Verdict(value=value, judge="none" if value is UNKNOWN else judge),
        seconds=seconds,
        started="2026-01-01T00:00:00.000+00:00",
    )
    kept = Remembered(decision="stored", reason="new", usage=remembering)
    return Entry(episode=episode, remembered=kept)


def results(
    asked: Sequence[Question],
    *arms: Done,
    name: str = "made",
    judge: str = "exact_match",
) -> Results:
    """An evaluation of these arms."""
    head = Evaluation(
        name=name,
        data="made by hand",
        digest="0" * 64,
        arms=tuple(done.arm for done in arms),
        judge=judge,
        settings='{"models":"toy"}',
        machine="2 cores",
        started="2026-01-01T00:00:00+00:00",
        version="0.1.0",
    )
    return Results(head, tuple(asked), arms)


def done(
    method: str,
    asked: Sequence[Question],
    entries: Sequence[Entry],
    seed: int = 0,
    size: Size | None = None,
) -> Done:
    """An arm that asks these questions in this order."""
    order = tuple(question.id for question in asked)
    return Done(Arm(method=method, seed=seed, run=f"{method}-{seed}", order=order),
                tuple(entries), size)  # fmt: skip


def scored(method: str, asked: Sequence[Question], marks: str, seed: int = 0) -> Done:
    """An arm by its marks, as `++-?`: right, right, wrong, failed. Fewer marks than questions: an
    arm that is not at its end."""
    entries = [entry(question, VALUES[mark]) for question, mark in zip(asked, marks, strict=False)]
    return done(method, asked, entries, seed)


def lifelike(
    methods: Sequence[str] = ("none", "rag", "mem0", "amem", "expel", "reasoningbank", "memento",
                              "mia", "closed"),
    count: int = 120,
    seeds: Sequence[int] = (0, 1, 2),
    unfinished: str = "amem",
    named: Callable[[str], str] = str,
) -> Results:  # fmt: skip
    """An evaluation by chance: methods that get better with use, one that is not at its end."""
    families = ("bridge", "comparison", "compositional", "inference", "temporal", "yes or no")
    asked = questions(count, families)
    arms: list[Done] = []
    for rank, method in enumerate(methods):
        for seed in seeds:
            lot = random.Random(f"{method} {seed}")
            order = random.Random(seed).sample(asked, count)
            kept = order[: count // 2] if method == unfinished else order
            entries = [
                _by_chance(question, lot, rank, place / count)
                for place, question in enumerate(kept)
            ]
            size = Size(memories=40 + 10 * rank, bytes=90_000 * rank) if rank else None
            arms.append(done(named(method), order, entries, seed, size))
    return results(asked, *arms, name="lifelike")


def _by_chance(question: Question, lot: random.Random, rank: int, progress: float) -> Entry:
    roll = lot.random()
    value = RIGHT if roll < 0.3 + 0.03 * rank + 0.25 * progress * (rank > 0) else WRONG
    told = f"It was {question.answers[0]}." if question.answers and roll < 0.02 else "Look it up."
    return entry(
        question,
        UNKNOWN if roll > 0.97 else value,
        recollection=Recollection(notes=(Note(id=f"n{lot.randrange(50)}", text=told),))
        if rank
        else Recollection(),
        usage=Usage(calls=3, prompt_tokens=lot.randrange(500, 900) + 150 * rank,
                    completion_tokens=lot.randrange(60, 90), seconds=2.0),
        remembering=Usage(calls=1, prompt_tokens=100 * rank, completion_tokens=20, seconds=0.5),
        seconds=lot.uniform(2, 4),
    )  # fmt: skip
