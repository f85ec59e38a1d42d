"""What an episode changes in memory, all in one transaction: whom it credits, what it adds or
merges, whom it releases from quarantine or puts there, and what has to go for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from msgspec.structs import replace

from mia.memories.workflow.bounds import Candidate, Evicted, evictions
from mia.memories.workflow.consolidate import NEAR, better
from mia.memories.workflow.exposures import STORE, Exposures
from mia.memories.workflow.records import Vectors, source_of
from mia.memories.workflow.rows import Rows
from mia.memories.workflow.trust import vouched, witness
from mia.memories.workflow.uplift import uplift
from mia.memory import Weights, similarity
from mia.types import Episode, Remembered, VerdictValue, Workflow

PAPER = Weights()


@dataclass(frozen=True, slots=True)
class Keeping:
    """How memory keeps what it is told."""

    namespace: str
    embedder: str
    weights: Weights = PAPER
    capacity: int = 0
    """The most workflows of the namespace; 0 for no bound."""
    experiment: bool = False
    """Whether some runs have memory withheld, so that all runs count towards its uplift."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A workflow that an episode would add, and what it would be found by."""

    workflow: Workflow
    vectors: Vectors


def absorb(rows: Rows, episode: Episode, draft: Draft | None, keeping: Keeping) -> Remembered:
    """Takes a judged episode in. Doing it twice changes nothing and answers the same."""
    decided = rows.absorbed(keeping.namespace, episode.id)
    if decided is not None:
        return decided
    _credit(rows, episode)
    if keeping.experiment:
        _expose(rows, episode, keeping.namespace)
    if draft is None:
        remembered = ignored("the run looked nothing up, so there is no workflow in it")
    else:
        remembered = _consolidate(rows, draft, keeping)
    gone = make_room(rows, keeping)
    if gone:
        remembered = replace(remembered, evicted=tuple(item.id for item in gone))
    rows.absorb(keeping.namespace, episode.id, remembered)
    return remembered


def ignored(reason: str) -> Remembered:
    """The decision to keep nothing."""
    return Remembered(decision="ignored", reason=reason)


def make_room(rows: Rows, keeping: Keeping) -> list[Evicted]:
    """Evicts down to the capacity; who went, and why."""
    if not keeping.capacity or rows.count(keeping.namespace) <= keeping.capacity:
        return []
    candidates = (
        Candidate(
            id=c.id, category=c.category, outcome=c.outcome, plan=c.plan_digest,
            uses=c.uses, wins=c.wins, created=c.created, used=c.used, absorbed=c.absorbed,
        )
        for c in rows.all_columns(keeping.namespace)
    )  # fmt: skip
    gone = evictions(candidates, keeping.capacity, datetime.now(UTC), keeping.weights)
    for item in gone:
        rows.delete(item.id, action="evict", reason=item.reason)
    return gone


def _won(episode: Episode) -> bool:
    return episode.verdict.value is VerdictValue.CORRECT


def _credit(rows: Rows, episode: Episode) -> None:
    recollection = episode.recollection
    for item in (*recollection.successes, *recollection.failures):
        rows.credit(item.workflow.id, _won(episode), episode.started, f"episode {episode.id}")


def _expose(rows: Rows, episode: Episode, namespace: str) -> None:
    """Counts the run for memory as a whole and for each workflow it concerns. One that surely
    costs answers goes into quarantine."""
    found = episode.recollection
    shown = tuple(item.workflow.id for item in (*found.successes, *found.failures))
    concerned = found.withheld or shown
    if not concerned:
        return
    exposures = Exposures(rows.session)
    for subject in (STORE, *concerned):
        exposures.count(namespace, subject, shown=not found.withheld, won=_won(episode))
    for id in concerned:
        known = uplift(id, exposures.of(namespace, id))
        columns = rows.columns(id)
        if known.harmful and columns is not None and columns.trust == "trusted":
            reason = f"costs answers: uplift between {known.low:+.2f} and {known.high:+.2f}"
            rows.set_trust(id, "quarantined", reason)


def _consolidate(rows: Rows, draft: Draft, keeping: Keeping) -> Remembered:
    new = draft.workflow
    twin = _twin(rows, draft, new.outcome, keeping.weights)
    if twin is None:
        return _store(rows, draft, keeping)
    rows.merge(twin.id, source_of(new), f"episode {new.source_episode}")
    if twin.trust == "quarantined" and _was_put_there(rows, twin.id):
        reason = "the same way, which is in quarantine for what it did: it stays there"
        return Remembered(decision="merged", reason=reason, workflow_id=twin.id)
    if twin.trust == "quarantined" and new.trust == "trusted":
        _inherit(rows, draft, twin, keeping.embedder)
        reason = "the same way, now judged by somebody who knows the answer: out of quarantine"
        return Remembered(decision="replaced", reason=reason, workflow_id=twin.id)
    if twin.trust == "quarantined" and vouched([witness(twin), witness(new)]):
        rows.set_trust(twin.id, "trusted", "runs over disjoint sources came to the same")
        reason = "the same way, seen over other sources: out of quarantine"
        return Remembered(decision="merged", reason=reason, workflow_id=twin.id)
    # a text that nobody vouches for never takes the place of a trusted one
    if better(new, twin) and (new.trust, twin.trust) != ("quarantined", "trusted"):
        _inherit(rows, draft, twin, keeping.embedder)
        reason = "tells the same way better: shorter, or where it went wrong"
        return Remembered(decision="replaced", reason=reason, workflow_id=twin.id)
    reason = "the same way is known, and known as well or better"
    return Remembered(decision="merged", reason=reason, workflow_id=twin.id)


def _was_put_there(rows: Rows, id: str) -> bool:
    """Whether a workflow was born trusted, or let out, and put into quarantine since: by hand, or
    because it costs answers. Then no episode lets it out."""
    return any(entry.action == "trust" for entry in rows.log.of(id))


def _store(rows: Rows, draft: Draft, keeping: Keeping) -> Remembered:
    new = draft.workflow
    opposite: Literal["success", "failure"] = "failure" if new.outcome == "success" else "success"
    rival = _twin(rows, draft, opposite, keeping.weights)
    if rival is not None:
        new = replace(new, contradicts=(rival.id,))
    reason = f"a new way that {'worked' if new.outcome == 'success' else 'failed'}"
    if new.trust == "quarantined":
        reason += "; in quarantine until somebody vouches for it"
    rows.put(new, reason=reason, found_by=(keeping.embedder, draft.vectors))
    return Remembered(decision="stored", reason=reason, workflow_id=new.id)


def _inherit(rows: Rows, draft: Draft, twin: Workflow, embedder: str) -> None:
    """Gives a known workflow the text of a newcomer; its counters and its id stay, and so does what
    absorbed it: the newcomer is of the very same kind."""
    new = draft.workflow
    heir = replace(
        new, id=twin.id, uses=twin.uses, wins=twin.wins, used=twin.used, absorbed=twin.absorbed,
        parents=tuple(id for id in new.parents if id != twin.id), contradicts=twin.contradicts,
    )  # fmt: skip
    rows.put(
        heir,
        reason=f"the text of episode {new.source_episode}",
        parents=new.parents,
        found_by=(embedder, draft.vectors),
    )


def _twin(
    rows: Rows, draft: Draft, outcome: Literal["success", "failure"], weights: Weights
) -> Workflow | None:
    """The nearest workflow of an outcome with the draft's plan, when it is near enough."""
    near: list[tuple[float, str]] = []
    for twin in rows.vectors.twins(replace(draft.workflow, outcome=outcome)):
        sim = likeness(draft.vectors, twin.vectors, weights)
        near.append((sim, twin.id))
    sim, id = max(near, default=(0.0, ""))
    return rows.get(id) if sim >= NEAR else None


def likeness(one: Vectors, other: Vectors, weights: Weights) -> float:
    """How alike two workflows' questions are, by their templates and captions."""
    caption = None
    if one.caption is not None and other.caption is not None:
        caption = float(one.caption @ other.caption)
    return similarity(float(one.template @ other.template), caption, weights)
