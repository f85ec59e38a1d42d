"""RAG: runs told again, found by the likeness of their questions.

After Lewis et al., "Retrieval-Augmented Generation" (arXiv 2005.11401), applied to past runs as the
field does for its baseline: retrieve the k nearest by embedding and put them before the model.
Taken: dense retrieval over an index that grows. Left out: the trained retriever and generator. All
finished runs are kept, also those that nobody judged: plain retrieval knows no verdicts, it only
passes on what was said of a run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from mia.captioner import in_words
from mia.memories.kept import Keeper, KeptMemory, Rows, Vector, Write, ignored, unfinished
from mia.memories.told import judged, plan_of, told
from mia.memories.workflow.compress import compress
from mia.model import Embedder, Model
from mia.types import Episode, Note, Noun, Question, Recollection, Remembered, VerdictValue

WORDS = 1000
"""Of a raw run: as much as a note shows."""


class Run(Noun, frozen=True):
    """A run as it is told again."""

    title: str
    text: str


class Rag(KeptMemory):
    """Runs of one file."""

    def __init__(
        self,
        path: Path,
        embedder: Embedder,
        model: Model | None = None,
        *,
        form: Literal["summary", "raw"] = "summary",
        k: int = 4,
        exclude_task: bool = True,
    ) -> None:
        """`form` is how runs are kept: as the steps that code makes of them, which name no facts,
        or as they were, found answers and all. No model is asked. Raises StoreError."""
        super().__init__(Keeper(path, f"rag {form}", embedder, exclude_task=exclude_task))
        self._form = form
        self._k = k

    async def recall(self, question: Question) -> Recollection:
        """The k runs whose questions are most like this one. Raises ModelError, StoreError."""

        def job(rows: Rows, asked: Vector) -> Recollection:
            found = rows.nearest(Run, asked, self._k)
            notes = (
                Note(id=one.id, title=one.body.title, text=one.body.text, score=one.similarity)
                for one in found
            )
            return Recollection(notes=tuple(notes))

        return await self._kept.look(question, job)

    async def remember(self, episode: Episode) -> Remembered:
        """Keeps every run that came to an end. Raises ModelError, StoreError."""
        refused = unfinished(episode)
        if refused is not None:
            return refused

        async def draft(asked: Vector) -> Write:
            text = _summary(episode) if self._form == "summary" else _raw(episode)
            if text is None:
                return lambda rows: ignored("there is no plan or no lookup to sum up")
            run = Run(title=f"A run that was {judged(episode)}", text=text)

            def write(rows: Rows) -> Remembered:
                rows.put(episode.id, run, asked, [episode.id])
                return Remembered(
                    decision="stored", reason="all runs are kept", workflow_id=episode.id
                )

            return write

        return await self._kept.once(episode, draft)


def _raw(episode: Episode) -> str:
    asked = f"Question: {in_words(episode.question)}"
    return f"{asked}\n{told(episode.final, episode.recollection, WORDS)}"


def _summary(episode: Episode) -> str | None:
    """The run as code sums it up, its facts behind signs; None for one without plan or lookups."""
    workflow = compress(episode, "rag", episode.id)
    if workflow is None:
        return None
    parts = [f"Question: {workflow.question_template}"]
    if plan_of(episode):
        parts.append(f"Plan:\n{workflow.plan}")
    parts.append(f"Steps:\n{workflow.summary}")
    if episode.verdict.value is VerdictValue.INCORRECT:
        parts.append(f"Lesson: {workflow.lesson}")
    return "\n".join(parts)
