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
from mia.memory import Weights, score
from mia.types import Noun, Question, Recalled, Recollection, Usage, Workflow

FLOOR = 0.75
"""Similarity below which a workflow is about something else; see `memory.py`."""
MARGIN = 0.1
"""How much less similar than the nearest workflow another one may be: what is known of the very
kind of question is not to be crowded out by what is like it and was used less. On three streams of
2WikiMultiHopQA it lifts the share of recalled successes that are of the question's own family from
.64, .66 and .75 to .85, .89 and .90, for .02, .03 and .04 fewer questions that are shown any."""
SAME_QUESTION = 0.97
"""Similarity of two questions as asked from which they are one question in other words."""
PAPER = Weights()
_THIN = 3
"""With fewer relevant workflows than this in its category, a question may use every category."""
_OUTCOMES: tuple[Outcome, ...] = ("success", "failure")
_LIKENESS = Weights(similarity=1.0, value=0.0, frequency=0.0)
_SPARE = 4
"""How many times its places a recall looks at, where some may turn out to repeat others."""
_LISTED = 24
"""Workflows of each outcome that an explanation lists."""
_CHARS_PER_TOKEN = 4

Fate = Literal[
    "recalled",
    "not relevant enough",
    "much nearer ones are known",
    "from this very question or its task",
    "the same question in other words",
    "rests on the same sources as a better one",
    "others scored higher",
    "others stand before it: a policy absorbed it",
    "no room in the token budget",
]


@dataclass(frozen=True, slots=True)
class Rules:
    """How recall picks."""

    k_successes: int = 2
    k_failures: int = 1
    floor: float = FLOOR
    margin: float = MARGIN
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
    """How a recall came about, best score first; what a policy's weights absorbed stands behind."""

    template: str
    """The question as it was looked up."""
    category: str | None
    """Where it was looked up; None for every category."""
    floor: float
    considered: tuple[Considered, ...]
    usage: Usage = Usage()

    @property
    def recollection(self) -> Recollection:
        """What the recall returns."""
        picked = [item for item in self.considered if item.fate == "recalled"]
        return Recollection(
            successes=tuple(_recalled(i) for i in picked if i.workflow.outcome == "success"),
            failures=tuple(_recalled(i) for i in picked if i.workflow.outcome == "failure"),
            usage=self.usage,
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
    if lookup.relevant(category) < _THIN:
        category = None
    nearest = lookup.nearest(category)
    floor = max(rules.floor, nearest - rules.margin)
    found = [item for outcome in _OUTCOMES for item in lookup.fill(outcome, category, floor)]
    ranked = sorted(
        found,
        key=lambda item: (item.workflow.absorbed is not None, -item.score, item.workflow.id),
    )
    return Explanation(
        template=asked.template,
        category=category,
        floor=floor,
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

    def relevant(self, category: str) -> int:
        """How many workflows of a category bear on the question, as far as it matters."""
        floor = self.rules.floor
        queries = (self._query(outcome, category, floor, _THIN) for outcome in _OUTCOMES)
        return sum(len(self.store.best(query)) for query in queries)

    def nearest(self, category: str | None) -> float:
        """The similarity of the workflow that is most like the question, among those that bear on
        it. One that was absorbed counts where there is no other: it drives nobody out."""
        floor = self.rules.floor
        queries = (self._query(outcome, category, floor, 1) for outcome in _OUTCOMES)
        ranked = (self.store.best(replace(query, weights=_LIKENESS)) for query in queries)
        found = [scored for best in ranked for scored in best]
        standing = [scored for scored in found if not scored.absorbed] or found
        return max((scored.similarity for scored in standing), default=-1.0)

    def fill(self, outcome: Outcome, category: str | None, floor: float) -> list[Considered]:
        """The places of one outcome, filled from the top of the ranking."""
        places = self.rules.places(outcome)
        limit = places * _SPARE if self.rules.trust_mode else places
        query = self._query(outcome, category, floor, limit)
        while True:
            ranked = self.store.best(query)
            exhausted = len(ranked) < query.limit
            if self.everything:
                ranked = self._with_passed_over(query, ranked)
            judged = self.store.read(
                lambda rows: list(self._judge(rows, ranked, places, floor))  # noqa: B023
            )
            filled = sum(item.fate == "recalled" for item in judged) >= places
            if filled or exhausted:
                return judged
            query = replace(query, limit=query.limit * _SPARE)

    def _with_passed_over(self, query: Query, ranked: Sequence[Scored]) -> tuple[Scored, ...]:
        """A ranking with the nearest workflows that are not in it, below."""
        wide = replace(query, floor=-1.0, weights=_LIKENESS, limit=_LISTED, without=None)
        known = {scored.id for scored in ranked}
        others = (scored for scored in self.store.best(wide) if scored.id not in known)
        weighed = [
            replace(o, score=score(o.similarity, o.value, o.frequency, query.weights))
            for o in others
        ]
        below = sorted(weighed, key=lambda scored: (scored.absorbed, -scored.score, scored.id))
        return (*ranked, *below)

    def _query(self, outcome: Outcome, category: str | None, floor: float, limit: int) -> Query:
        question, rules = self.asked.question, self.rules
        own = Own(question.id, question.task, SAME_QUESTION)
        return Query(
            namespace=self.namespace,
            modality=question.modality,
            outcome=outcome,
            asked=self.asked.vectors,
            weights=rules.weights,
            floor=floor,
            limit=limit,
            category=category,
            without=own if rules.exclude_task else None,
        )

    def _judge(
        self, rows: Rows, ranked: Sequence[Scored], places: int, floor: float
    ) -> Iterator[Considered]:
        """What becomes of each, in their order; the rest is only looked at for `everything`."""
        taken: set[frozenset[str]] = set()
        for scored in ranked:
            if places == 0 and not self.everything:
                return
            workflow = rows.get(scored.id)
            if workflow is None:  # gone since it was ranked
                continue
            fate = self._excluded(rows, scored, floor) or self._repeats(workflow, taken)
            if fate is None:
                fate = "recalled" if places > 0 else _passed_over(scored)
                places = max(0, places - 1)
            yield _considered(scored, workflow, fate)

    def _excluded(self, rows: Rows, scored: Scored, floor: float) -> Fate | None:
        if scored.similarity < self.rules.floor:
            return "not relevant enough"
        if self.everything and self.rules.exclude_task:
            own = self._own(rows, scored)
            if own is not None:
                return own
        return None if scored.similarity >= floor else "much nearer ones are known"

    def _own(self, rows: Rows, scored: Scored) -> Fate | None:
        """What makes a workflow the question's own; a recall has the store leave those out."""
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


def _passed_over(scored: Scored) -> Fate:
    if scored.absorbed:
        return "others stand before it: a policy absorbed it"
    return "others scored higher"


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
