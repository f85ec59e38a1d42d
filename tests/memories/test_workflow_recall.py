"""What memory answers to a question."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from mia.errors import StoreError
from mia.memories.workflow.memory import WorkflowMemory
from mia.memories.workflow.recall import Rules
from mia.memories.workflow.store import Store
from mia.memory import Weights, frequency, score, similarity, value
from mia.testing.models import ToyEmbedder
from mia.types import Episode, Question, Recollection, VerdictValue, Workflow

Films = Callable[..., Episode]
WRONG = VerdictValue.INCORRECT


class OtherEmbedder(ToyEmbedder):
    """The same vectors under another name."""

    name = "other-64"


def asked(
    text: str, id: str = "asked", task: str | None = None, caption: str | None = None
) -> Question:
    return Question(text=text, id=id, task=task, caption=caption)


BORN = asked("When was the director of film Alien born?")


def ids(recollection: Recollection) -> list[str]:
    return [item.workflow.id for item in (*recollection.successes, *recollection.failures)]


async def kept(store: Store, memory: WorkflowMemory, episode: Episode) -> Workflow:
    """Remembers an episode and returns its workflow."""
    remembered = await memory.remember(episode)
    assert remembered.workflow_id is not None
    workflow = store.get(remembered.workflow_id)
    assert workflow is not None
    return workflow


async def test_the_same_kind_of_question_recalls_the_workflow(
    store: Store, film_episode: Films
) -> None:
    memory = WorkflowMemory(store, ToyEmbedder())
    workflow = await kept(store, memory, film_episode())
    (item,) = (await memory.recall(BORN)).successes
    assert item.workflow == workflow
    assert item.similarity == pytest.approx(1.0)
    assert (item.value, item.frequency) == (0.5, 1.0)
    assert item.score == score(item.similarity, 0.5, 1.0, Weights())


async def test_nothing_relevant_is_a_valid_answer(store: Store, film_episode: Films) -> None:
    memory = WorkflowMemory(store, ToyEmbedder())
    assert (await memory.recall(BORN)).empty
    await memory.remember(film_episode())
    assert (await memory.recall(asked("What is photosynthesis?"))).empty
    assert (await memory.recall(asked(""))).empty


async def test_a_question_does_not_recall_itself_its_task_or_its_own_words(
    store: Store, film_episode: Films
) -> None:
    memory = WorkflowMemory(store, ToyEmbedder())
    open_book = WorkflowMemory(store, ToyEmbedder(), rules=Rules(exclude_task=False))
    episode = film_episode(question_id="q1", task="t1")
    await memory.remember(episode)
    same_id = asked(BORN.text, id="q1")
    same_task = asked(BORN.text, task="t1")
    same_words = asked(f"{episode.question.text} ")
    for question in (same_id, same_task, same_words):
        assert (await memory.recall(question)).empty
        assert len((await open_book.recall(question)).successes) == 1


async def test_questions_without_a_task_are_not_of_one_task(
    store: Store, film_episode: Films
) -> None:
    memory = WorkflowMemory(store, ToyEmbedder())
    await memory.remember(film_episode(task=None))
    assert not (await memory.recall(BORN)).empty


async def test_successes_and_failures_have_slots_of_their_own(
    store: Store, film_episode: Films
) -> None:
    memory = WorkflowMemory(store, ToyEmbedder(), rules=Rules(margin=1.0))
    for verb in ("born", "seen", "fed"):  # other plans, so that none is merged
        for verdict in (VerdictValue.CORRECT, WRONG):
            await memory.remember(
                film_episode(verb=verb, verdict=verdict, id=f"{verb} {verdict.value}")
            )
    recollection = await memory.recall(BORN)
    assert [item.workflow.outcome for item in recollection.successes] == ["success"] * 2
    assert [item.workflow.outcome for item in recollection.failures] == ["failure"]


async def test_namespaces_and_modalities_are_apart(store: Store, film_episode: Films) -> None:
    mine = WorkflowMemory(store, ToyEmbedder(), "mine")
    yours = WorkflowMemory(store, ToyEmbedder(), "yours")
    await mine.remember(film_episode())
    await yours.remember(film_episode(caption="a shark and a boat"))
    assert len(ids(await mine.recall(BORN))) == 1
    assert (await yours.recall(BORN)).empty
    pictured = asked(BORN.text, caption="a shark and a boat")
    assert (await mine.recall(pictured)).empty
    (item,) = (await yours.recall(pictured)).successes
    assert item.similarity == pytest.approx(1.0)


async def test_a_caption_has_its_share_of_the_similarity(store: Store, film_episode: Films) -> None:
    memory = WorkflowMemory(store, ToyEmbedder())
    await memory.remember(film_episode(caption="a shark"))
    (item,) = (await memory.recall(asked(BORN.text, caption="moonlit harbour"))).successes
    assert item.similarity == pytest.approx(0.8)


async def test_a_full_category_is_used_alone_and_a_thin_one_is_not(
    store: Store, film_episode: Films
) -> None:
    memory = WorkflowMemory(store, ToyEmbedder(), rules=Rules(k_successes=9, floor=0.0, margin=1.0))
    elsewhere = await kept(store, memory, film_episode(verb="fed"))
    store.delete(elsewhere.id)
    store.add([replace(elsewhere, category="event")])
    for number, verb in enumerate(("born", "seen", "hit"), 1):
        await memory.remember(film_episode(verb=verb, id=verb))
        recalled = ids(await memory.recall(BORN))
        assert (elsewhere.id in recalled) == (number < 3)


async def test_what_won_more_often_comes_first(store: Store, film_episode: Films) -> None:
    memory = WorkflowMemory(store, ToyEmbedder())
    workflow = await kept(store, memory, film_episode())
    store.add([replace(workflow, id="winner", uses=4, wins=4)])
    store.add([replace(workflow, id="loser", uses=4, wins=0)])
    recollection = await WorkflowMemory(store, ToyEmbedder(), rules=Rules(k_successes=9)).recall(
        BORN
    )
    assert ids(recollection) == [workflow.id, "winner", "loser"]
    assert ids(await memory.recall(BORN)) == ids(await memory.recall(BORN))


async def test_a_recall_stays_within_its_budget(store: Store, film_episode: Films) -> None:
    memory = WorkflowMemory(store, ToyEmbedder())
    workflow = await kept(store, memory, film_episode())
    store.add([replace(workflow, id="long", uses=1, wins=1, summary="word " * 300)])
    assert len(ids(await memory.recall(BORN))) == 2
    assert ids(
        await WorkflowMemory(store, ToyEmbedder(), rules=Rules(tokens=100)).recall(BORN)
    ) == [workflow.id]
    assert (await WorkflowMemory(store, ToyEmbedder(), rules=Rules(tokens=10)).recall(BORN)).empty


async def test_a_quarantined_workflow_is_not_recalled(store: Store, film_episode: Films) -> None:
    memory = WorkflowMemory(store, ToyEmbedder())
    workflow = await kept(store, memory, film_episode())
    store.delete(workflow.id)
    store.add([replace(workflow, trust="quarantined")])
    assert (await memory.recall(BORN)).empty


async def test_another_embedder_is_refused_until_the_memory_is_embedded_anew(
    store: Store, film_episode: Films
) -> None:
    memory, other = (
        WorkflowMemory(store, ToyEmbedder()),
        WorkflowMemory(store, OtherEmbedder()),
    )
    workflow = await kept(store, memory, film_episode())
    for attempt in (other.recall(BORN), other.remember(film_episode("Heat"))):
        with pytest.raises(StoreError, match="run: mia memory reembed"):
            await attempt
    assert store.reembed() == 1
    assert ids(await other.recall(BORN)) == [workflow.id]
    with pytest.raises(StoreError, match="made by other-64, not by toy-64"):
        await memory.recall(BORN)


counts = st.integers(0, 10_000)
shares = st.floats(0, 1)


@given(st.data())
def test_the_value_of_a_workflow_is_a_share_that_grows_with_wins(data: st.DataObject) -> None:
    uses = data.draw(st.integers(1, 10_000))
    wins = data.draw(st.integers(0, uses - 1))
    assert 0 < value(uses, wins, Weights()) < value(uses, wins + 1, Weights()) < 1


@given(counts)
def test_what_was_used_less_gets_more_of_a_chance(uses: int) -> None:
    assert 0 < frequency(uses + 1) < frequency(uses) <= 1


@given(shares, shares, shares, shares)
def test_a_score_grows_with_each_of_its_parts(
    sim: float, val: float, freq: float, by: float
) -> None:
    base = score(sim, val, freq, Weights())
    assert score(sim + by, val, freq, Weights()) >= base
    assert score(sim, val + by, freq, Weights()) >= base
    assert score(sim, val, freq + by, Weights()) >= base


@given(shares, shares)
def test_a_similarity_lies_between_those_of_question_and_caption(one: float, two: float) -> None:
    low, high = sorted((one, two))
    assert low - 1e-9 <= similarity(one, two, Weights()) <= high + 1e-9
    assert similarity(one, None, Weights()) == one


async def test_what_is_known_of_the_very_kind_is_not_crowded_out_by_what_is_like_it(
    store: Store, film_episode: Films
) -> None:
    memory = WorkflowMemory(store, ToyEmbedder())
    near = (await memory.remember(film_episode("Jaws"))).workflow_id
    await memory.remember(film_episode("Alien", verb="seen"))
    assert near is not None
    used = store.get(near)
    assert used is not None
    store.delete(near)
    store.add([replace(used, uses=40, wins=10)])  # worth little, and used much
    (only,) = (await memory.recall(BORN)).successes
    assert only.workflow.id == near
    loose = WorkflowMemory(store, ToyEmbedder(), rules=Rules(margin=1.0))
    first, _ = (await loose.recall(BORN)).successes
    assert first.workflow.id != near
