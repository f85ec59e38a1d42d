"""The Manager: recalls workflows that may help with a question, and remembers how one went.

A question is looked up by its form, with names, numbers and quotes masked, against the stored
templates, so that "When did the director of film Jaws die?" finds how another film's director was
handled. Measured with MiniLM on the 440 questions of 2WikiMultiHopQA's train split that MIA uses
(58 families of procedures), each against all others, nearest first:

    asked as       stored as      same family at 1   at 2    AUC of same against other family
    question       question       .70                .68     .90
    question       template       .83                .79     .86
    masked         template       .96                .92     .97

No pair of different questions reached 0.95 as asked. At similarity 0.75, the floor, recall keeps
.88 of the pairs of one family and .07 of the others (0.65: .96 and .16; 0.85: .71 and .02).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import numpy as np
from msgspec.structs import replace
from ulid import ULID

from mia.memories.workflow.classify import category
from mia.memories.workflow.compress import compress
from mia.memories.workflow.consolidate import NEAR, better
from mia.memories.workflow.rows import Candidate, Rows, Vectors
from mia.memories.workflow.store import Store
from mia.memories.workflow.template import mask
from mia.memory import Weights, frequency, score, similarity, value
from mia.model import Embedder
from mia.types import (
    Episode,
    Noun,
    Question,
    Recalled,
    Recollection,
    Remembered,
    VerdictValue,
    Workflow,
)

FLOOR = 0.75
"""Similarity below which a workflow is about something else; see above."""
PAPER = Weights()
SAME_QUESTION = 0.97
"""Similarity of two questions as asked from which they are one question in other words."""
_THIN = 3
"""With fewer relevant workflows than this in its category, a question may use every category."""
_CHARS_PER_TOKEN = 4
_CATCH_UP = 64
"""Workflows that are embedded and stored at a time."""


_Texts = tuple[str, str, str | None]
"""A question as asked, its template, and the caption of its image."""


class _Scored(Noun, frozen=True):
    """What recall thinks of one candidate."""

    id: str
    outcome: str
    category: str
    score: float
    similarity: float
    value: float
    frequency: float


class WorkflowMemory:
    """Workflows of one namespace in a store, found by an embedder's vectors."""

    def __init__(
        self,
        store: Store,
        embedder: Embedder,
        namespace: str = "default",
        *,
        k_successes: int = 2,
        k_failures: int = 1,
        floor: float = FLOOR,
        weights: Weights = PAPER,
        exclude_task: bool = True,
        tokens: int = 2000,
    ) -> None:
        """`exclude_task` hides what memory knows from the question itself, from its task and from
        the same question in other words; `tokens` bounds the text that one recall returns."""
        self._store = store
        self._embedder = embedder
        self._namespace = namespace
        self._k_successes = k_successes
        self._k_failures = k_failures
        self._floor = floor
        self._weights = weights
        self._exclude_task = exclude_task
        self._tokens = tokens

    async def recall(self, question: Question) -> Recollection:
        """The workflows nearest to a question: some that worked, some that did not, or none."""
        await self._catch_up()
        texts = (question.text, mask(question.text), question.caption)
        (asked,) = await self._vectors([texts])
        return await asyncio.to_thread(self._recall, question, asked)

    async def remember(self, episode: Episode) -> Remembered:
        """Keeps how a judged episode went, and credits the workflows that were recalled for it.
        Doing it twice changes nothing and answers the same."""
        if episode.verdict.value is VerdictValue.UNKNOWN:
            return _ignored("nobody knows whether the answer was right")
        if episode.final.failed:
            return _ignored(f"the run did not come to an end: {episode.final.outcome}")
        draft = compress(episode, self._namespace, str(ULID()))
        if draft is None:
            return await asyncio.to_thread(self._absorb, episode)
        await self._catch_up()
        (vectors,) = await self._vectors([_texts(draft)])
        return await asyncio.to_thread(self._absorb, episode, (draft, vectors))

    async def _vectors(self, texts: Sequence[_Texts]) -> list[Vectors]:
        """What texts are found by. The vector of no caption is zeros, and is not kept."""
        flat = [text or "" for item in texts for text in item]
        rows = await self._embedder.embed(flat)
        return [
            Vectors(rows[at], rows[at + 1], rows[at + 2] if caption else None)
            for at, (_, _, caption) in zip(range(0, len(flat), 3), texts, strict=True)
        ]

    async def _catch_up(self) -> None:
        """Embeds the workflows that this embedder has not seen: imported ones, or all of them
        after a change of embedder."""
        unseen = await asyncio.to_thread(self._unseen)
        for start in range(0, len(unseen), _CATCH_UP):
            batch = unseen[start : start + _CATCH_UP]
            vectors = await self._vectors([_texts(workflow) for workflow in batch])
            await asyncio.to_thread(self._settle, batch, vectors)

    def _unseen(self) -> tuple[Workflow, ...]:
        with self._store.reading() as rows:
            return rows.without_vectors(self._namespace, self._embedder.name)

    def _settle(self, workflows: Sequence[Workflow], vectors: Sequence[Vectors]) -> None:
        with self._store.writing() as rows:
            for workflow, found_by in zip(workflows, vectors, strict=True):
                if rows.get(workflow.id) == workflow:  # else it changed meanwhile; next time then
                    rows.set_vectors(workflow.id, self._embedder.name, found_by)

    def _recall(self, question: Question, asked: Vectors) -> Recollection:
        with self._store.reading() as rows:
            candidates = rows.candidates(self._namespace, question.modality, self._embedder.name)
            allowed = self._without_own_task(candidates, question, asked)
            ranked = self._rank(self._score(allowed, asked), category(question.text))
            successes = [item for item in ranked if item.outcome == "success"]
            failures = [item for item in ranked if item.outcome == "failure"]
            slots = [*successes[: self._k_successes], *failures[: self._k_failures]]
            picked = self._within_budget(_recalled(rows, slots))
        return Recollection(
            successes=tuple(item for item in picked if item.workflow.outcome == "success"),
            failures=tuple(item for item in picked if item.workflow.outcome == "failure"),
        )

    def _without_own_task(
        self, candidates: Sequence[Candidate], question: Question, asked: Vectors
    ) -> list[Candidate]:
        if not self._exclude_task:
            return list(candidates)
        return [
            candidate
            for candidate in candidates
            if candidate.question_id != question.id
            and (question.task is None or candidate.task != question.task)
            and float(candidate.vectors.question @ asked.question) < SAME_QUESTION
        ]

    def _score(self, candidates: Sequence[Candidate], asked: Vectors) -> list[_Scored]:
        """The relevant candidates with their scores."""
        if not candidates:
            return []
        near_N = np.stack([c.vectors.template for c in candidates]) @ asked.template
        scored: list[_Scored] = []
        for candidate, near in zip(candidates, near_N.tolist(), strict=True):
            sim = similarity(near, _cosine(candidate.vectors, asked), self._weights)
            if sim < self._floor:
                continue
            val = value(candidate.uses, candidate.wins, self._weights)
            freq = frequency(candidate.uses)
            item = _Scored(
                id=candidate.id,
                outcome=candidate.outcome,
                category=candidate.category,
                score=score(sim, val, freq, self._weights),
                similarity=sim,
                value=val,
                frequency=freq,
            )
            scored.append(item)
        return scored

    def _rank(self, scored: list[_Scored], wanted: str) -> list[_Scored]:
        """Best first, of the question's category unless that has too few. Equals come in the order
        of their ids, so that a recall can be repeated."""
        alike = [item for item in scored if item.category == wanted]
        pool = alike if len(alike) >= _THIN else scored
        return sorted(pool, key=lambda item: (-item.score, item.id))

    def _within_budget(self, items: Iterable[Recalled]) -> list[Recalled]:
        """The best that fit into the budget together."""
        left = self._tokens * _CHARS_PER_TOKEN
        kept: list[Recalled] = []
        for item in sorted(items, key=lambda item: -item.score):
            size = _size(item.workflow)
            if size <= left:
                kept.append(item)
                left -= size
        return kept

    def _absorb(
        self, episode: Episode, draft: tuple[Workflow, Vectors] | None = None
    ) -> Remembered:
        """All that an episode changes, in one transaction."""
        with self._store.writing() as rows:
            decided = rows.absorbed(self._namespace, episode.id)
            if decided is not None:
                return decided
            won = episode.verdict.value is VerdictValue.CORRECT
            recollection = episode.recollection
            for item in (*recollection.successes, *recollection.failures):
                rows.credit(item.workflow.id, won, episode.started)
            remembered = (
                _ignored("the run looked nothing up, so there is no workflow in it")
                if draft is None
                else self._consolidate(rows, *draft)
            )
            rows.absorb(self._namespace, episode.id, remembered)
            return remembered

    def _consolidate(self, rows: Rows, draft: Workflow, vectors: Vectors) -> Remembered:
        twin = self._twin(rows, draft, vectors)
        if twin is None:
            self._put(rows, draft, vectors)
            reason = f"a new way that {'worked' if draft.outcome == 'success' else 'failed'}"
            return Remembered(decision="stored", reason=reason, workflow_id=draft.id)
        if not better(draft, twin):
            reason = "the same way is known, and known as well or better"
            return Remembered(decision="merged", reason=reason, workflow_id=twin.id)
        parents = tuple(id for id in draft.parents if id != twin.id)
        heir = replace(
            draft, id=twin.id, uses=twin.uses, wins=twin.wins, used=twin.used, parents=parents
        )
        self._put(rows, heir, vectors)
        reason = "tells the same way better: shorter, or where it went wrong"
        return Remembered(decision="replaced", reason=reason, workflow_id=twin.id)

    def _put(self, rows: Rows, workflow: Workflow, vectors: Vectors) -> None:
        rows.put(workflow)
        rows.set_vectors(workflow.id, self._embedder.name, vectors)

    def _twin(self, rows: Rows, draft: Workflow, vectors: Vectors) -> Workflow | None:
        """The nearest workflow of the same outcome with the same plan, when it is near enough."""
        near: list[tuple[float, str]] = []
        for candidate in rows.candidates(
            self._namespace, draft.modality, self._embedder.name, twins_of=draft
        ):
            question = float(candidate.vectors.template @ vectors.template)
            sim = similarity(question, _cosine(candidate.vectors, vectors), self._weights)
            near.append((sim, candidate.id))
        sim, id = max(near, default=(0.0, ""))
        return rows.get(id) if sim >= NEAR else None


def _cosine(one: Vectors, other: Vectors) -> float | None:
    """How alike two captions are; None unless both have one."""
    if one.caption is None or other.caption is None:
        return None
    return float(one.caption @ other.caption)


def _recalled(rows: Rows, items: Sequence[_Scored]) -> list[Recalled]:
    found = ((item, rows.get(item.id)) for item in items)
    return [
        Recalled(
            workflow=workflow,
            score=item.score,
            similarity=item.similarity,
            value=item.value,
            frequency=item.frequency,
        )
        for item, workflow in found
        if workflow is not None
    ]


def _texts(workflow: Workflow) -> _Texts:
    return workflow.question, workflow.question_template, workflow.caption


def _size(workflow: Workflow) -> int:
    """Characters of what a planner is shown."""
    shown = (workflow.question_template, workflow.plan, workflow.summary, workflow.lesson)
    return sum(map(len, shown))


def _ignored(reason: str) -> Remembered:
    return Remembered(decision="ignored", reason=reason)
