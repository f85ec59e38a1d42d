"""Memento, non-parametric: a bank of cases, each a question, a plan and whether it worked.

After Zhou et al., "Memento: Fine-tuning LLM Agents without Fine-tuning LLMs" (arXiv 2508.16153).
Taken: the case bank of (state, action, reward); every judged run is written, successes and
failures; reading returns the K cases nearest by cosine, K = 4. Left out: the parametric memory (a
trained Q-function over cases), which the paper reports as a separate variant, and the planner and
executor, which are those of the comparison. Cases hold question and plan as they were, as in the
paper, not as templates.
"""

from __future__ import annotations

from pathlib import Path

from mia.captioner import in_words
from mia.memories.kept import Held, Keeper, KeptMemory, Rows, Vector, Write, ignored, undecided
from mia.memories.told import plan_of
from mia.memories.workflow.classify import category
from mia.model import Embedder, Model
from mia.types import (
    Episode,
    Question,
    Recalled,
    Recollection,
    Remembered,
    VerdictValue,
    Workflow,
)


class Memento(KeptMemory):
    """Cases of one file."""

    def __init__(
        self,
        path: Path,
        embedder: Embedder,
        model: Model | None = None,
        *,
        k: int = 4,
        exclude_task: bool = True,
    ) -> None:
        """No model is asked. Raises StoreError."""
        super().__init__(Keeper(path, "memento", embedder, exclude_task=exclude_task))
        self._k = k

    async def recall(self, question: Question) -> Recollection:
        """The k nearest cases, those that worked apart from those that did not. Raises ModelError
        and StoreError."""

        def job(rows: Rows, asked: Vector) -> Recollection:
            found = [_recalled(one) for one in rows.nearest(Workflow, asked, self._k)]
            return Recollection(
                successes=tuple(one for one in found if one.workflow.outcome == "success"),
                failures=tuple(one for one in found if one.workflow.outcome == "failure"),
            )

        return await self._kept.look(question, job)

    async def remember(self, episode: Episode) -> Remembered:
        """Keeps the case of a judged run. Raises ModelError, StoreError."""
        refused = undecided(episode)
        if refused is not None:
            return refused

        async def draft(asked: Vector) -> Write:
            plan = plan_of(episode)
            if not plan:
                return lambda rows: ignored("there was no plan but what was recalled")

            def write(rows: Rows) -> Remembered:
                rows.put(episode.id, _case(episode, plan), asked, [episode.id])
                reason = "every case is written"
                return Remembered(decision="stored", reason=reason, workflow_id=episode.id)

            return write

        return await self._kept.once(episode, draft)


def _case(episode: Episode, plan: str) -> Workflow:
    """What planners are shown of a case: the question and the plan as they were."""
    question, verdict = episode.question, episode.verdict
    asked = in_words(question)
    return Workflow(
        id=episode.id,
        namespace="memento",
        question=asked,
        question_template=asked,
        category=category(asked),
        steps=(),
        summary="",
        plan=plan,
        outcome="success" if verdict.value is VerdictValue.CORRECT else "failure",
        verdict_kind=verdict.judge,
        confidence=verdict.confidence,
        caption=question.caption,
        modality=question.modality,
        task=question.task,
        question_id=question.id,
        created=episode.started,
        source_episode=episode.id,
    )


def _recalled(found: Held[Workflow]) -> Recalled:
    """A case with its reward for a value; how often it was used does not count here."""
    return Recalled(
        workflow=found.body,
        score=found.similarity,
        similarity=found.similarity,
        value=1.0 if found.body.outcome == "success" else 0.0,
        frequency=1.0,
    )
