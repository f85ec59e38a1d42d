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
from collections.abc import Sequence
from functools import partial
from random import Random

from msgspec.structs import replace
from ulid import ULID

from mia.errors import ModelError
from mia.memories.workflow.classify import category
from mia.memories.workflow.compress import compress
from mia.memories.workflow.manager import Manager
from mia.memories.workflow.recall import Asked, Explanation, Rules, look
from mia.memories.workflow.records import Vectors
from mia.memories.workflow.remember import Draft, Keeping, absorb, ignored
from mia.memories.workflow.rows import Rows
from mia.memories.workflow.store import Store
from mia.memories.workflow.template import mask
from mia.memories.workflow.trust import born
from mia.model import Embedder
from mia.types import (
    Episode,
    Question,
    Recollection,
    Remembered,
    Usage,
    VerdictValue,
    Workflow,
)

PAPER = Rules()
_CATCH_UP = 64
"""Workflows that are embedded and stored at a time."""


_Texts = tuple[str, str, str | None]
"""A question as asked, its template, and the caption of its image."""


class WorkflowMemory:
    """Workflows of one namespace in a store, found by an embedder's vectors."""

    def __init__(
        self,
        store: Store,
        embedder: Embedder,
        namespace: str = "default",
        *,
        rules: Rules = PAPER,
        capacity: int = 0,
        withhold: float = 0.0,
        manager: Manager | None = None,
        lot: Random | None = None,
    ) -> None:
        """`capacity` is the most workflows to keep, 0 for no bound; `withhold` is the share of
        recalls that return nothing by lot, so that what memory adds can be measured; `manager` is
        the model that sorts questions and writes workflows, where there is one."""
        self._store = store
        self._embedder = embedder
        self._namespace = namespace
        self._rules = rules
        self._withhold = withhold
        self._manager = manager
        self._lot = lot or Random()
        self._keeping = Keeping(
            namespace=namespace,
            embedder=embedder.name,
            weights=rules.weights,
            capacity=capacity,
            experiment=withhold > 0,
        )

    async def recall(self, question: Question) -> Recollection:
        """The workflows nearest to a question: some that worked, some that did not, or none.

        Raises ModelError when an embedder or a manager cannot be asked, and StoreError.
        """
        looked = await self._look(question)
        found = looked.recollection
        if not found.empty and self._lot.random() < self._withhold:
            items = (*found.successes, *found.failures)
            withheld = tuple(item.workflow.id for item in items)
            return Recollection(withheld=withheld, usage=found.usage)
        return found

    async def explain(self, question: Question) -> Explanation:
        """What a recall would return, what it would pass over, and why. Nothing is withheld."""
        return await self._look(question, everything=True)

    async def remember(self, episode: Episode) -> Remembered:
        """Keeps how a judged episode went, and credits the workflows that were recalled for it.
        Doing it twice changes nothing and answers the same."""
        if episode.verdict.value is VerdictValue.UNKNOWN:
            return ignored("nobody knows whether the answer was right")
        if episode.final.failed:
            return ignored(f"the run did not come to an end: {episode.final.outcome}")
        if self._manager is not None:  # a model is not asked twice about the same episode
            known = await asyncio.to_thread(self._absorbed, episode)
            if known is not None:
                return known
        workflow, told, usage = await self._draft(episode)
        draft = None
        if workflow is not None:
            (vectors,) = await self._vectors([_texts(workflow)])
            draft = Draft(workflow, vectors)
        while True:
            kept = await asyncio.to_thread(self._store.write, partial(self._keep, episode, draft))
            if isinstance(kept, Remembered):
                return replace(kept, reason=f"{kept.reason}{told}", usage=usage)
            await self._embed(kept)

    def _keep(
        self, episode: Episode, draft: Draft | None, rows: Rows
    ) -> Remembered | tuple[Workflow, ...]:
        """What memory made of an episode; or, before it can tell which workflows are alike, those
        that this embedder has not seen."""
        unseen = () if draft is None else self._unseen(rows)
        return unseen or absorb(rows, episode, draft, self._keeping)

    async def catch_up(self) -> None:
        """Embeds the workflows that this embedder has not seen: imported ones, or all of them
        after a change of embedder."""
        await self._embed(await asyncio.to_thread(self._store.read, self._unseen))

    async def _embed(self, unseen: Sequence[Workflow]) -> None:
        for start in range(0, len(unseen), _CATCH_UP):
            batch = unseen[start : start + _CATCH_UP]
            vectors = await self._vectors([_texts(workflow) for workflow in batch])
            await asyncio.to_thread(self._settle, batch, vectors)

    def _absorbed(self, episode: Episode) -> Remembered | None:
        return self._store.read(lambda rows: rows.absorbed(self._namespace, episode.id))

    async def _draft(self, episode: Episode) -> tuple[Workflow | None, str, Usage]:
        """The workflow in an episode, what is to be said about how it was written, and what that
        cost."""
        draft = compress(episode, self._namespace, str(ULID()))
        if draft is None:
            return None, "", Usage()
        trust = born(draft.verdict_kind, self._rules.trust_mode)
        draft = replace(draft, trust=trust)
        if self._manager is None:
            return draft, "", Usage()
        try:
            sort, sorting = await self._manager.classify(episode.question)
            written, writing = await self._manager.compress(episode, draft)
        except ModelError as error:
            # the episode is not lost for it: what code makes of it is good enough to keep
            return draft, f" (written without the manager: {error})", Usage()
        return replace(written, category=sort), "", sorting + writing

    async def _look(self, question: Question, *, everything: bool = False) -> Explanation:
        await self.catch_up()
        template = mask(question.text)
        (vectors,) = await self._vectors([(question.text, template, question.caption)])
        sort, usage = await self._sort(question)
        asked = Asked(question, template, sort, vectors)
        looked = await asyncio.to_thread(
            look, self._store, self._rules, self._namespace, asked, everything=everything
        )
        return replace(looked, usage=usage)

    async def _sort(self, question: Question) -> tuple[str, Usage]:
        """The category to look in, and what it cost. It is soft: code's guess serves where the
        manager has none."""
        if self._manager is not None:
            try:
                return await self._manager.classify(question)
            except ModelError:
                pass
        return category(question.text), Usage()

    async def _vectors(self, texts: Sequence[_Texts]) -> list[Vectors]:
        """What texts are found by. The vector of no caption is zeros, and is not kept."""
        flat = [text or "" for item in texts for text in item]
        rows = await self._embedder.embed(flat)
        return [
            Vectors(rows[at], rows[at + 1], rows[at + 2] if caption else None)
            for at, (_, _, caption) in zip(range(0, len(flat), 3), texts, strict=True)
        ]

    def _unseen(self, rows: Rows) -> tuple[Workflow, ...]:
        return rows.vectors.missing(self._namespace, self._embedder.name)

    def _settle(self, workflows: Sequence[Workflow], vectors: Sequence[Vectors]) -> None:
        def job(rows: Rows) -> None:
            for workflow, found_by in zip(workflows, vectors, strict=True):
                if _same_texts(rows.get(workflow.id), workflow):  # else: next time
                    rows.vectors.set(workflow.id, self._embedder.name, found_by)

        self._store.write(job)


def _same_texts(one: Workflow | None, other: Workflow) -> bool:
    """Whether a workflow is still there and found by the same texts."""
    return one is not None and _texts(one) == _texts(other)


def _texts(workflow: Workflow) -> _Texts:
    return workflow.question, workflow.question_template, workflow.caption
