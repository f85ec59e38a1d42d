"""Memory in bounds, in trust mode, and on trial: capacity, quarantine, uplift, explanations."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from msgspec.structs import replace

from mia.memories.workflow.exposures import STORE, Exposures
from mia.memories.workflow.memory import WorkflowMemory
from mia.memories.workflow.recall import Rules
from mia.memories.workflow.store import Store
from mia.memories.workflow.uplift import Exposure
from mia.testing.models import ToyEmbedder
from mia.types import Episode, Passage, Question, Recollection, Verdict, VerdictValue

Films = Callable[..., Episode]
WRONG = VerdictValue.INCORRECT
ASKED = Question(text="When was the director of film Vertigo born?", id="asked")


class NeverLot(Random):
    """A lot that never falls."""

    def random(self) -> float:
        return 1.0


class AlwaysLot(Random):
    """A lot that always falls."""

    def random(self) -> float:
        return 0.0


def judged_by(episode: Episode, judge: str, *domains: str) -> Episode:
    """The episode as another judge saw it, read on other sites."""
    turns = tuple(
        replace(turn, observation=replace(turn.observation, passages=_pages(turn.thought, domains)))
        if turn.observation
        else turn
        for turn in episode.trajectory.turns
    )
    return replace(
        episode,
        verdict=Verdict(value=episode.verdict.value, judge=judge),
        trajectory=replace(episode.trajectory, turns=turns),
    )


def _pages(asked: str, domains: tuple[str, ...]) -> tuple[Passage, ...]:
    return tuple(
        Passage(id=site, title="A page", text=f"{asked} {site}", url=f"https://{site}/")
        for site in domains
    )


# quarantine


async def test_what_only_a_model_vouches_for_is_kept_but_not_recalled(
    store: Store, film_episode: Films
) -> None:
    memory = WorkflowMemory(store, ToyEmbedder())
    remembered = await memory.remember(judged_by(film_episode("Jaws"), "panel", "a.example"))
    assert remembered.decision == "stored"
    assert "quarantine" in remembered.reason
    assert store.count() == 1
    assert (await memory.recall(ASKED)).empty


async def test_without_trust_mode_a_model_s_word_is_enough(
    store: Store, film_episode: Films
) -> None:
    memory = WorkflowMemory(store, ToyEmbedder(), rules=Rules(trust_mode=False))
    await memory.remember(judged_by(film_episode("Jaws"), "panel", "a.example"))
    assert len((await memory.recall(ASKED)).successes) == 1


@pytest.mark.parametrize(
    ("second", "released"),
    [
        (("panel", "b.example"), True),
        (("panel", "a.example"), False),
        (("human", "a.example"), True),
    ],
)
async def test_disjoint_sources_or_somebody_who_knows_release_it(
    second: tuple[str, str], released: bool, store: Store, film_episode: Films
) -> None:
    memory = WorkflowMemory(store, ToyEmbedder())
    await memory.remember(judged_by(film_episode("Jaws"), "panel", "a.example"))
    await memory.remember(judged_by(film_episode("Alien"), *second))
    assert store.count() == 1
    assert (not (await memory.recall(ASKED)).empty) is released


async def test_a_text_that_nobody_vouches_for_never_replaces_a_trusted_one(
    store: Store, film_episode: Films
) -> None:
    memory = WorkflowMemory(store, ToyEmbedder())
    await memory.remember(film_episode("Jaws"))
    (before,) = store.all()
    await memory.remember(judged_by(film_episode("Alien"), "panel", "a.example"))
    (after,) = store.all()
    assert (after.trust, after.summary, after.question) == (
        "trusted",
        before.summary,
        before.question,
    )


async def test_a_right_and_a_wrong_end_of_the_same_way_both_stay_and_know_of_each_other(
    store: Store, film_episode: Films
) -> None:
    memory = WorkflowMemory(store, ToyEmbedder())
    first = await memory.remember(film_episode("Jaws"))
    second = await memory.remember(film_episode("Alien", verdict=WRONG))
    assert store.count() == 2
    assert second.workflow_id is not None
    newer = store.get(second.workflow_id)
    assert newer is not None
    assert newer.contradicts == (first.workflow_id,)


async def test_what_was_put_into_quarantine_is_not_let_out_by_another_run(
    store: Store, film_episode: Films
) -> None:
    memory = WorkflowMemory(store, ToyEmbedder())
    id = (await memory.remember(film_episode("Jaws"))).workflow_id
    assert id is not None
    store.set_trust(id, "quarantined", "by hand")
    remembered = await memory.remember(film_episode("Alien"))
    assert "stays" in remembered.reason
    assert (await memory.recall(ASKED)).empty


# bounds


async def test_memory_stays_within_its_capacity_and_the_log_says_who_went(
    store: Store, film_episode: Films
) -> None:
    memory = WorkflowMemory(store, ToyEmbedder(), capacity=3)
    verbs = ["born", "married", "buried", "knighted", "hired"]
    last = None
    for number, verb in enumerate(verbs):
        last = await memory.remember(film_episode(f"Film {number}", verb=verb))
        assert store.count() <= 3
    assert last is not None
    (gone,) = last.evicted
    entry = list(store.read(lambda rows: list(rows.log.of(gone))))[-1]
    assert entry.action == "evict"
    assert "the memory is full" in entry.reason


async def test_one_namespace_s_bound_is_not_another_s(store: Store, film_episode: Films) -> None:
    large = WorkflowMemory(store, ToyEmbedder(), "large")
    small = WorkflowMemory(store, ToyEmbedder(), "small", capacity=1)
    for number, verb in enumerate(["born", "married", "buried"]):
        await large.remember(film_episode(f"Film {number}", verb=verb))
        await small.remember(film_episode(f"Film {number}", verb=verb))
    assert (store.count("large"), store.count("small")) == (3, 1)


# on trial


async def test_a_recall_on_which_the_lot_falls_returns_nothing_and_says_what_it_withheld(
    store: Store, film_episode: Films
) -> None:
    memory = WorkflowMemory(store, ToyEmbedder(), withhold=0.2, lot=AlwaysLot())
    remembered = await memory.remember(film_episode("Jaws"))
    found = await memory.recall(ASKED)
    assert found.empty
    assert found.withheld == (remembered.workflow_id,)
    assert (await memory.recall(Question(text="Why is the sky blue?", id="q"))).withheld == ()


async def test_withheld_runs_count_against_shown_ones_and_credit_nobody(
    store: Store, film_episode: Films
) -> None:
    shown = WorkflowMemory(store, ToyEmbedder(), withhold=0.5, lot=NeverLot())
    hidden = WorkflowMemory(store, ToyEmbedder(), withhold=0.5, lot=AlwaysLot())
    id = (await shown.remember(film_episode("Jaws"))).workflow_id
    assert id is not None
    await shown.remember(film_episode("A", recollection=await shown.recall(ASKED)))
    for film, verdict in (("B", WRONG), ("C", VerdictValue.CORRECT)):
        recollection = await hidden.recall(ASKED)
        await hidden.remember(film_episode(film, verdict=verdict, recollection=recollection))
    for subject in (STORE, id):
        counted = store.read(lambda rows: Exposures(rows.session).of("default", subject))  # noqa: B023
        assert counted == Exposure(shown=1, shown_won=1, withheld=2, withheld_won=1)
    workflow = store.get(id)
    assert workflow is not None
    assert (workflow.uses, workflow.wins) == (1, 1)


async def test_without_an_experiment_nothing_is_counted(store: Store, film_episode: Films) -> None:
    memory = WorkflowMemory(store, ToyEmbedder())
    await memory.remember(film_episode("Jaws"))
    await memory.remember(film_episode("A", recollection=await memory.recall(ASKED)))
    assert store.read(lambda rows: list(Exposures(rows.session).all("default"))) == []


async def test_a_workflow_that_surely_costs_answers_goes_into_quarantine(
    store: Store, film_episode: Films
) -> None:
    shown = WorkflowMemory(store, ToyEmbedder(), withhold=0.5, lot=NeverLot())
    id = (await shown.remember(film_episode("Jaws"))).workflow_id
    assert id is not None
    recollection = await shown.recall(ASKED)
    hidden = Recollection(withheld=(id,))
    for number in range(15):
        right = film_episode(f"R{number}", recollection=hidden)
        wrong = film_episode(f"W{number}", verdict=WRONG, recollection=recollection)
        await shown.remember(right)
        await shown.remember(wrong)
    columns = store.read(lambda rows: rows.columns(id))
    assert columns is not None
    assert columns.trust == "quarantined"
    reasons = [e.reason for e in store.read(lambda rows: list(rows.log.of(id)))]
    assert any("costs answers" in reason for reason in reasons)


# explanations


async def test_an_explanation_says_of_each_workflow_what_became_of_it(
    store: Store, film_episode: Films
) -> None:
    memory = WorkflowMemory(store, ToyEmbedder(), rules=Rules(k_successes=1))
    await memory.remember(film_episode("Jaws", question_id=ASKED.id))
    await memory.remember(film_episode("Alien", verb="married"))
    await memory.remember(film_episode("Heat", verb="buried"))
    far = Question(text="How many moons has Mars?", id="far")
    fates = {c.fate for c in (await memory.explain(far)).considered}
    assert fates == {"not relevant enough"}
    explained = await memory.explain(ASKED)
    fates_by_id = {c.workflow.question_id: c.fate for c in explained.considered}
    assert fates_by_id[ASKED.id] == "from this very question or its task"
    assert explained.recollection == await memory.recall(ASKED)
    parts = explained.considered[0]
    assert parts.score == pytest.approx(
        0.7 * parts.similarity + 0.3 * parts.value + 0.3 * parts.frequency
    )


async def test_an_explanation_tells_of_what_is_recalled_however_much_else_there_is(
    store: Store, film_episode: Films
) -> None:
    memory = WorkflowMemory(store, ToyEmbedder())
    id = (await memory.remember(film_episode("Jaws"))).workflow_id
    assert id is not None
    near = store.get(id)
    assert near is not None
    store.delete(id)
    far = "Which [A] has more members than any other in the world?"
    store.add([replace(near, uses=40, wins=10)])
    store.add([replace(near, id=f"far{n}", question_template=far, question=far) for n in range(60)])
    explained = await memory.explain(ASKED)
    assert explained.recollection == await memory.recall(ASKED)
    assert [r.workflow.id for r in explained.recollection.successes] == [id]
    assert len(explained.considered) > 20
