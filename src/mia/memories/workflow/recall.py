"""Which workflows a question recalls, and why those: one look that recall and explain share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from msgspec.structs import replace as changed

from mia.memories.workflow.records import Outcome, Vectors
from mia.memories.workflow.rows import Rows
from mia.memories.workflow.store import Own, Query, Scored, Store
from mia.memories.workflow.trust import grounded, witness
from mia.memory import Weights
from mia.types import Noun, Question, Recalled, Recollection, Workflow

FLOOR = 0.75
"""Similarity below which a workflow is about something else; see `memory.py`."""
SAME_QUESTION = 0.97
"""Similarity of two questions as asked from which they are one question in other words."""
PAPER = Weights()
_THIN = 3
"""With fewer relevant workflows than this in its category, a question may use every category."""
_OUTCOMES: tuple[Outcome, ...] = ("success", "failure")
_SPARE = 4
"""How many times its places a recall looks at, where some may turn out to repeat others."""
_LISTED = 24
"""Workflows of each outcome that an explanation lists."""
_CHARS_PER_TOKEN = 4

Fate = Literal[
    "recalled",
    "not relevant enough",
    "from this very question or its task",
    "the same question in other words",
    "rests on the same sources as a better one",
    "others scored higher",
    "no room in the token budget",
]


@dataclass(frozen=True, slots=True)
class Rules:
    """How recall picks."""

    k_successes: int = 2
    k_failures: int = 1
    floor: float = FLOOR
    weights: Weights = PAPER
    exclude_task: bool = True
    """Hides what memory knows from the question itself, from its task, and from the same question
    in other words."""
    tokens: int = 2000
    """Bounds the text that one recall returns."""
    trust_mode: bool = True
    """Gives each set of sources one place, where only a model vouched for them."""

    def places(self, outcome: Outcome) -> int:
        """How many workflows of an outcome a recall has places for."""
        return self.k_successes if outcome == "success" else self.k_failures


class Considered(Noun, frozen=True):
    """One workflow that a recall looked at, the parts of its score, and what became of it."""

    workflow: Workflow
    score: float
    similarity: float
    question: float
    """Cosine of the two questions' templates."""
    caption: float | None
    """Cosine of the two captions; None unless both have one."""
    value: float
    frequency: float
    fate: Fate


class Explanation(Noun, frozen=True):
    """How a recall came about, best score first."""

    template: str
    """The question as it was looked up."""
    category: str | None
    """Where it was looked up; None for every category."""
    floor: float
    considered: tuple[Considered, ...]

    @property
    def recollection(self) -> Recollection:
        """What the recall returns."""
        picked = [item for item in self.considered if item.fate == "recalled"]
        return Recollection(
            successes=tuple(_recalled(i) for i in picked if i.workflow.outcome == "success"),
            failures=tuple(_recalled(i) for i in picked if i.workflow.outcome == "failure"),
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and what it is looked up by."""

    question: Question
    template: str
    category: str
    vectors: Vectors


def look(
    store: Store, rules: Rules, namespace: str, asked: Asked, *, everything: bool = False
) -> Explanation:
    """Looks a question up. With `everything`, what was passed over is listed as well."""
    lookup = _Lookup(store, rules, namespace, asked, everything)
    category: str | None = asked.category
    relevant, found = lookup.pick(category)
    if relevant < _THIN:
        category = None
        _, found = lookup.pick(category)
    ranked = sorted(found, key=lambda item: (-item.score, item.workflow.id))
    return Explanation(
        template=asked.template,
        category=category,
        floor=rules.floor,
        considered=tuple(_within_budget(ranked, rules.tokens)),
    )


@dataclass(frozen=True, slots=True)
class _Lookup:
    """One look for one question."""

    store: Store
    rules: Rules
    namespace: str
    asked: Asked
    everything: bool

    def pick(self, category: str | None) -> tuple[int, list[Considered]]:
        """How many workflows bear on the question, as far as it matters, and what became of those
        that were looked at."""
        relevant, found = 0, list[Considered]()
        for outcome in _OUTCOMES:
            ranked, judged = self._fill(outcome, category)
            relevant += sum(scored.similarity >= self.rules.floor for scored in ranked)
            found += judged
        return relevant, found

    def _fill(
        self, outcome: Outcome, category: str | None
    ) -> tuple[Sequence[Scored], list[Considered]]:
        """The places of one outcome, filled from the top of the ranking."""
        places = self.rules.places(outcome)
        limit = max(_THIN, places * _SPARE if self.rules.trust_mode else places)
        query = self._query(outcome, category, _LISTED if self.everything else limit)
        while True:
            ranked = self.store.best(query)
            judged = self.store.read(lambda rows: list(self._judge(rows, ranked, places)))  # noqa: B023
            filled = sum(item.fate == "recalled" for item in judged) >= places
            if filled or self.everything or len(ranked) < query.limit:
                return ranked, judged
            query = replace(query, limit=query.limit * _SPARE)

    def _query(self, outcome: Outcome, category: str | None, limit: int) -> Query:
        question, rules = self.asked.question, self.rules
        own = Own(question.id, question.task, SAME_QUESTION)
        return Query(
            namespace=self.namespace,
            modality=question.modality,
            outcome=outcome,
            asked=self.asked.vectors,
            weights=rules.weights,
            floor=-1.0 if self.everything else rules.floor,
            limit=limit,
            category=category,
            without=own if rules.exclude_task and not self.everything else None,
        )

    def _judge(self, rows: Rows, ranked: Sequence[Scored], places: int) -> Iterator[Considered]:
        """What becomes of each, in their order; the rest is only looked at for `everything`."""
        taken: set[frozenset[str]] = set()
        for scored in ranked:
            if places == 0 and not self.everything:
                return
            workflow = rows.get(scored.id)
            if workflow is None:  # gone since it was ranked
                continue
            fate = self._excluded(rows, scored) or self._repeats(workflow, taken)
            if fate is None:
                fate = "recalled" if places > 0 else "others scored higher"
                places = max(0, places - 1)
            yield _considered(scored, workflow, fate)

    def _excluded(self, rows: Rows, scored: Scored) -> Fate | None:
        if scored.similarity < self.rules.floor:
            return "not relevant enough"
        if not self.everything or not self.rules.exclude_task:
            return None  # the store has left it out already
        question = self.asked.question
        if scored.question_id == question.id or (scored.task and scored.task == question.task):
            return "from this very question or its task"
        vectors = rows.vectors.of(scored.id)
        if vectors and float(vectors.question @ self.asked.vectors.question) >= SAME_QUESTION:
            return "the same question in other words"
        return None

    def _repeats(self, workflow: Workflow, taken: set[frozenset[str]]) -> Fate | None:
        """In trust mode, what a model vouched for takes one place for each set of sources."""
        if not self.rules.trust_mode or grounded(workflow.verdict_kind):
            return None
        origins = witness(workflow).origins
        if origins in taken:
            return "rests on the same sources as a better one"
        taken.add(origins)
        return None


def _considered(scored: Scored, workflow: Workflow, fate: Fate) -> Considered:
    return Considered(
        workflow=workflow,
        score=scored.score,
        similarity=scored.similarity,
        question=scored.question,
        caption=scored.caption,
        value=scored.value,
        frequency=scored.frequency,
        fate=fate,
    )


def _within_budget(ranked: Sequence[Considered], tokens: int) -> Iterator[Considered]:
    """The ranking, with the recalled that do not fit in beside better ones marked so."""
    left = tokens * _CHARS_PER_TOKEN
    for item in ranked:
        size = _size(item.workflow) if item.fate == "recalled" else 0
        if size > left:
            yield changed(item, fate="no room in the token budget")
        else:
            left -= size
            yield item


def _size(workflow: Workflow) -> int:
    """Characters of what a planner is shown."""
    shown = (workflow.question_template, workflow.plan, workflow.summary, workflow.lesson)
    return sum(map(len, shown))


def _recalled(item: Considered) -> Recalled:
    return Recalled(
        workflow=item.workflow,
        score=item.score,
        similarity=item.similarity,
        value=item.value,
        frequency=item.frequency,
    )
