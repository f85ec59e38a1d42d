"""ExpeL: insights that a model draws from comparing runs, and the nearest runs that succeeded.

After Zhao et al., "ExpeL: LLM Agents Are Experiential Learners" (arXiv 2308.10144). Taken: insights
with their importance, changed by ADD, EDIT, UPVOTE and DOWNVOTE (see `insights.py`), drawn from a
failed and a successful run of one question and from sets of successes (8, as in the authors' code);
all insights are shown, with the successes of the nearest questions as examples (6, as in their code
for HotpotQA). The paper gathers experience on training questions first, with retries, and then
extracts and freezes. Here questions come as a stream, so insights are drawn as runs come in: a pair
when a question succeeds that failed before, in an earlier episode or before its own replan; a set
when enough successes have come that were in none. Left out: the retries themselves (Reflexion),
which the comparison's planner replaces, and transfer to other task descriptions.

Where the model cannot be read the run is kept as an example all the same, and successes wait for
the next set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from mia import render
from mia.captioner import in_words
from mia.errors import ModelError
from mia.memories.asking import Metered, needed
from mia.memories.insights import (
    MOST_OPERATIONS,
    SHAPE,
    Insight,
    Operation,
    carried_out,
    listed,
    ranked,
    read_operations,
)
from mia.memories.kept import Held, Keeper, KeptMemory, Rows, Vector, Write, undecided
from mia.memories.told import told
from mia.model import Embedder, Message, Model, Sampling, ask
from mia.prompts import fill
from mia.types import (
    Episode,
    Note,
    Noun,
    Question,
    Recollection,
    Remembered,
    VerdictValue,
)

_WORDS = 400
"""Of a run, in a prompt and as an example."""
_PACKAGE = "mia.memories"
_SAMPLING = Sampling(max_tokens=4096)
_FULL = "The list is full: remove first, and add only what is very different and very useful."


class Success(Noun, frozen=True):
    """A run that succeeded."""

    question: str
    text: str
    drawn: bool = False
    """Whether insights were drawn from it in a set."""


class Failure(Noun, frozen=True):
    """A run that failed."""

    text: str
    question_id: str
    task: str | None = None


@dataclass(frozen=True, slots=True)
class _Lesson:
    """What is put before the model."""

    prompt: str
    slots: Mapping[str, str]
    episodes: tuple[str, ...]
    """What the runs in it come from."""


@dataclass(frozen=True, slots=True)
class _Draw:
    """What the model did to the insights."""

    operations: tuple[Operation, ...]
    episodes: tuple[str, ...]


class ExpeL(KeptMemory):
    """Insights and runs of one file."""

    def __init__(
        self,
        path: Path,
        embedder: Embedder,
        model: Model | None = None,
        *,
        k: int = 6,
        together: int = 8,
        most: int = 20,
        exclude_task: bool = True,
    ) -> None:
        """`k` is the examples shown, `together` the successes of one set, `most` the insights from
        which the list counts as full. Raises ConfigError without a model, and StoreError."""
        self._model = needed(model, "ExpeL")
        super().__init__(Keeper(path, "expel", embedder, exclude_task=exclude_task))
        self._k = k
        self._together = together
        self._most = most

    async def recall(self, question: Question) -> Recollection:
        """All insights in one note, the most important first, then the k nearest successes.
        Raises ModelError, StoreError."""

        def job(rows: Rows, asked: Vector) -> Recollection:
            insights = _insights(rows)
            examples = tuple(map(_example, rows.nearest(Success, asked, self._k)))
            if not insights:
                return Recollection(notes=examples)
            texts = (insights[id].text for id in ranked(insights))
            text = "\n".join(f"{number}. {text}" for number, text in enumerate(texts, 1))
            rules = Note(id="insights", title="Insights from earlier questions", text=text, score=1)
            return Recollection(notes=(rules, *examples))

        return await self._kept.look(question, job)

    async def remember(self, episode: Episode) -> Remembered:
        """Keeps a judged run and draws insights where there is something to compare. Raises
        ModelError when the embedder cannot be asked, and StoreError."""
        refused = undecided(episode)
        if refused is not None:
            return refused
        return await self._kept.once(episode, partial(self._write, episode))

    async def _write(self, episode: Episode, asked: Vector) -> Write:
        model = Metered(self._model)
        text = told(episode.final, episode.recollection, _WORDS)
        if episode.verdict.value is not VerdictValue.CORRECT:
            return partial(_put_failure, episode, text, asked)
        success = Success(question=in_words(episode.question), text=text)
        failures, waiting = await self._kept.read(partial(_compared, episode))
        draws: list[_Draw] = []
        happened = "an example"
        together = (*waiting, Held(episode.id, success))[: self._together]
        full_set = len(together) == self._together
        try:
            if failures:
                lesson = _pair(episode, success, failures[-1])
                draws.append(await self._draw(episode, lesson, draws, model))
            if full_set:
                lesson = _set(together)
                draws.append(await self._draw(episode, lesson, draws, model))
        except ModelError as error:
            full_set = False
            happened = f"{happened}; insights could not be drawn: {error}"
        drawn = together if full_set else ()
        count = sum(len(draw.operations) for draw in draws)

        def write(rows: Rows) -> Remembered:
            rows.put(episode.id, success, asked, [episode.id])
            for one in drawn:
                rows.change(one.id, replace(one.body, drawn=True))
            for draw in draws:
                self._carry_out(rows, draw, asked)
            return Remembered(
                decision="stored",
                reason=f"{happened}, and {count} operations on insights",
                workflow_id=episode.id,
                usage=model.usage,
            )

        return write

    async def _draw(
        self, episode: Episode, lesson: _Lesson, before: Sequence[_Draw], model: Model
    ) -> _Draw:
        """What the model does to the insights as they are after what it did `before`."""
        insights = await self._kept.read(_insights)
        for draw in before:
            insights = carried_out(insights, draw.operations, self._most)
        shown = ranked(insights)
        text = fill(
            _PACKAGE,
            lesson.prompt,
            insights=render.fence(listed([insights[id] for id in shown])),
            most=str(MOST_OPERATIONS),
            full=_FULL if len(insights) >= self._most else "",
            **lesson.slots,
        )
        born = f"{episode.id}/{len(before)}"
        read = partial(read_operations, shown=shown, born=born)
        message = Message(role="user", content=text)
        operations, _ = await ask(model, (message,), read, sampling=_SAMPLING, shape=SHAPE)
        return _Draw(operations, lesson.episodes)

    def _carry_out(self, rows: Rows, draw: _Draw, asked: Vector) -> None:
        before = _insights(rows)
        after = carried_out(before, draw.operations, self._most)
        for id in before.keys() - after.keys():
            rows.drop(id)
        for id, insight in after.items():
            old = before.get(id)
            if old is None or old.text != insight.text:
                # nobody looks insights up by likeness
                rows.put(id, insight, np.zeros_like(asked), draw.episodes)
            elif old != insight:
                rows.change(id, insight)


def _insights(rows: Rows) -> dict[str, Insight]:
    return {one.id: one.body for one in rows.all(Insight)}


def _put_failure(episode: Episode, text: str, asked: Vector, rows: Rows) -> Remembered:
    question = episode.question
    failure = Failure(text=text, question_id=question.id, task=question.task)
    rows.put(episode.id, failure, asked, [episode.id])
    reason = "a failure, to be compared with a success of the same question"
    return Remembered(decision="stored", reason=reason, workflow_id=episode.id)


def _compared(
    episode: Episode, rows: Rows
) -> tuple[tuple[Held[Failure], ...], tuple[Held[Success], ...]]:
    """What a success is compared with: the failures of the same question, the last one its own
    first try where there is one; and the successes that were in no set."""
    question = episode.question
    failures = [
        one
        for one in rows.all(Failure)
        if one.body.question_id == question.id
        or (question.task is not None and one.body.task == question.task)
    ]
    if episode.final is episode.retrajectory:
        text = told(episode.trajectory, episode.recollection, _WORDS)
        failures.append(Held(episode.id, Failure(text=text, question_id=question.id)))
    return tuple(failures), tuple(one for one in rows.all(Success) if not one.body.drawn)


def _pair(episode: Episode, success: Success, failure: Held[Failure]) -> _Lesson:
    slots = {
        "question": render.fence(success.question),
        "failed": render.fence(failure.body.text),
        "succeeded": render.fence(success.text),
    }
    return _Lesson("expel_pair.txt", slots, tuple(dict.fromkeys((episode.id, failure.id))))


def _set(together: Sequence[Held[Success]]) -> _Lesson:
    runs = "\n\n".join(
        f"Run {number}\nQuestion: {one.body.question}\n{one.body.text}"
        for number, one in enumerate(together, 1)
    )
    slots = {"runs": render.fence(runs)}
    return _Lesson("expel_successes.txt", slots, tuple(one.id for one in together))


def _example(one: Held[Success]) -> Note:
    text = f"Question: {one.body.question}\n{one.body.text}"
    return Note(id=one.id, title="A run that succeeded", text=text, score=one.similarity)
