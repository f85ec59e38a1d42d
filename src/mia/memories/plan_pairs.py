"""Plan memory: for a question, a plan that led to a right answer beside one that did not.

A pair holds templates only, as workflows do, and is found by the form of its question. What a run
found or answered never gets in. Every recall reads the vectors of all pairs of its namespace: they
are few, since pairs of the same two plans become one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import islice

from ulid import ULID

from mia.memories.workflow.compress import (
    domains,
    hashes,
    hide_results,
    letter_subjects,
    plan_template,
)
from mia.memories.workflow.consolidate import NEAR
from mia.memories.workflow.pairs import Couple, PairRows
from mia.memories.workflow.recall import FLOOR, SAME_QUESTION
from mia.memories.workflow.records import Source, Vectors
from mia.memories.workflow.rows import Rows
from mia.memories.workflow.store import Store
from mia.memories.workflow.template import Veil, mask
from mia.model import Embedder
from mia.router import PairRemembered, PlanPair
from mia.types import Episode, Plan, Question, Recalled, VerdictValue

_CATCH_UP = 64
"""Pairs that are embedded and stored at a time."""


class PairMemory:
    """Pairs of plans of one namespace in the store of its workflows."""

    def __init__(
        self,
        store: Store,
        embedder: Embedder,
        namespace: str = "default",
        *,
        floor: float = FLOOR,
        exclude_task: bool = True,
    ) -> None:
        """Below `floor` a pair is about something else; `exclude_task` hides what is known from the
        question itself, from its task and from the same question in other words."""
        self._store = store
        self._embedder = embedder
        self._namespace = namespace
        self._floor = floor
        self._exclude_task = exclude_task

    async def pairs(self, question: Question, k: int) -> tuple[PlanPair, ...]:
        """The pairs of the questions that are most alike; equals by id, so that it can be
        repeated."""
        await self._catch_up()
        (asked,) = await self._vectors([(question.text, mask(question.text))])

        def job(rows: Rows) -> tuple[PlanPair, ...]:
            return tuple(islice(self._relevant(rows, question, asked), k))

        return await asyncio.to_thread(self._store.read, job)

    async def remember_pair(
        self, question: Question, right: Episode, wrong: Episode
    ) -> PairRemembered:
        """Keeps the contrast of two episodes, or counts it for the pair that shows it already."""
        reason = refusal(question, right, wrong)
        if reason is not None:
            return PairRemembered(decision="ignored", reason=reason)
        pair = pair_of(right, wrong, self._namespace, str(ULID()))
        if pair is None:
            reason = "the two plans are the same but for names"
            return PairRemembered(decision="ignored", reason=reason)
        await self._catch_up()
        (vectors,) = await self._vectors([_texts(pair)])
        recalled = {item.workflow.id for e in (right, wrong) for item in _recalled(e)}
        couple = Couple(right=_source(right), wrong=_source(wrong), parents=tuple(sorted(recalled)))

        def job(rows: Rows) -> PairRemembered:
            return self._absorb(PairRows(rows), pair, couple, vectors)

        return await asyncio.to_thread(self._store.write, job)

    async def _vectors(self, texts: Sequence[tuple[str, str]]) -> list[Vectors]:
        """What questions, as asked and as templates, are found by."""
        rows = await self._embedder.embed([text for pair in texts for text in pair])
        return [Vectors(rows[at], rows[at + 1]) for at in range(0, len(rows), 2)]

    async def _catch_up(self) -> None:
        """Embeds the pairs that this embedder has not seen."""
        unseen = await asyncio.to_thread(self._store.read, self._unseen)
        for start in range(0, len(unseen), _CATCH_UP):
            batch = unseen[start : start + _CATCH_UP]
            vectors = await self._vectors([_texts(pair) for pair in batch])
            await asyncio.to_thread(self._settle, batch, vectors)

    def _unseen(self, rows: Rows) -> tuple[PlanPair, ...]:
        return PairRows(rows).without_vectors(self._namespace, self._embedder.name)

    def _settle(self, pairs: Sequence[PlanPair], vectors: Sequence[Vectors]) -> None:
        def job(rows: Rows) -> None:
            for pair, found_by in zip(pairs, vectors, strict=True):
                PairRows(rows).set_vectors(pair.id, self._embedder.name, found_by)

        self._store.write(job)

    def _relevant(self, rows: Rows, question: Question, asked: Vectors) -> Iterator[PlanPair]:
        """The pairs that bear on a question, the most relevant first."""
        pairs = PairRows(rows)
        found = pairs.found(self._namespace, self._embedder.name)
        near = [(float(item.vectors.template @ asked.template), item) for item in found]
        for similarity, item in sorted(near, key=lambda scored: (-scored[0], scored[1].id)):
            if similarity < self._floor:
                return
            pair = pairs.get(item.id)
            if pair is not None and not self._hidden(pair, item.vectors, question, asked):
                yield pair

    def _hidden(
        self, pair: PlanPair, found_by: Vectors, question: Question, asked: Vectors
    ) -> bool:
        """Whether a pair comes from the question itself."""
        return self._exclude_task and (
            pair.question_id == question.id
            or (question.task is not None and pair.task == question.task)
            or float(found_by.question @ asked.question) >= SAME_QUESTION
        )

    def _absorb(
        self, pairs: PairRows, pair: PlanPair, couple: Couple, vectors: Vectors
    ) -> PairRemembered:
        """All that two episodes change, in one transaction."""
        known = pairs.shown_by(self._namespace, pair.right_episode, pair.wrong_episode)
        if known is not None:
            reason = "these two runs were seen before"
            return PairRemembered(decision="ignored", reason=reason, pair_id=known)
        twin = self._twin(pairs, pair, vectors)
        if twin is not None:
            pairs.show(self._namespace, twin, couple)
            reason = "the same two plans are known for such questions"
            return PairRemembered(decision="merged", reason=reason, pair_id=twin)
        pairs.put(pair)
        pairs.show(self._namespace, pair.id, couple)
        pairs.set_vectors(pair.id, self._embedder.name, vectors)
        reason = "a new contrast of two plans"
        return PairRemembered(decision="stored", reason=reason, pair_id=pair.id)

    def _twin(self, pairs: PairRows, pair: PlanPair, vectors: Vectors) -> str | None:
        """The pair of the same two plans whose question is nearest, when it is near enough."""
        near = (
            (float(item.vectors.template @ vectors.template), item.id)
            for item in pairs.found(self._namespace, self._embedder.name, like=pair)
        )
        similarity, id = max(near, default=(0.0, ""))
        return id if similarity >= NEAR else None


def _texts(pair: PlanPair) -> tuple[str, str]:
    return pair.question, pair.question_template


def _recalled(episode: Episode) -> tuple[Recalled, ...]:
    return (*episode.recollection.successes, *episode.recollection.failures)


def _source(episode: Episode) -> Source:
    return Source(
        episode=episode.id,
        question_id=episode.question.id,
        task=episode.question.task,
        judge=episode.verdict.judge,
        domains=domains(episode),
        hashes=hashes(episode),
        at=episode.started,
    )


def refusal(question: Question, right: Episode, wrong: Episode) -> str | None:
    """Why two episodes show nothing about plans; None when they do."""
    if {(e.question.id, e.question.text) for e in (right, wrong)} != {(question.id, question.text)}:
        return "the episodes are not of this question"
    if right.verdict.value is not VerdictValue.CORRECT:
        return f"the run to follow was judged {right.verdict.value}"
    if wrong.verdict.value is not VerdictValue.INCORRECT:
        return f"the run to avoid was judged {wrong.verdict.value}"
    if _sufficient(right) is None:
        return "the right answer took two plans, neither of which would have done alone"
    if wrong.plan is None:
        return "the wrong run had no plan"
    return None


def pair_of(right: Episode, wrong: Episode, namespace: str, id: str) -> PlanPair | None:
    """The contrast of two episodes; None when their plans are the same but for names."""
    good, bad = _sufficient(right), wrong.plan
    if good is None or bad is None:
        return None
    # the wrong run comes last: what it took for a name must not hide words of the question
    veil = Veil()
    letter_subjects(good, veil)
    hide_results(right, veil)
    question, right_plan = veil.hide(right.question.text), plan_template(good, veil)
    letter_subjects(bad, veil)
    hide_results(wrong, veil)
    wrong_plan = plan_template(bad, veil)
    if right_plan == wrong_plan:
        return None
    return PlanPair(
        id=id,
        namespace=namespace,
        question=right.question.text,
        question_template=question,
        right=right_plan,
        wrong=wrong_plan,
        right_episode=right.id,
        wrong_episode=wrong.id,
        created=max(right.started, wrong.started),
        question_id=right.question.id,
        task=right.question.task,
    )


def _sufficient(episode: Episode) -> Plan | None:
    """The plan that led to the answer by itself. A replan in prose goes on from a run and is no
    plan of its own; a typed one begins anew."""
    plan = episode.final_plan
    if plan is None or (episode.final is episode.retrajectory and plan.rule is None):
        return None
    return plan
