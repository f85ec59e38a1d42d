"""What every published method promises when it stands in for the Manager."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray
from tests.memories.methods import (
    ALL,
    Broken,
    Down,
    Mumbling,
    Other,
    Willing,
    a_film,
    ids_of,
    names,
    noted,
    shown,
)

from mia.errors import ConfigError, ModelError, StoreError
from mia.memories.amem import AMem
from mia.memories.expel import ExpeL
from mia.memories.kept import KeptMemory
from mia.memories.memento import Memento
from mia.memories.rag import Rag
from mia.memories.reasoningbank import ReasoningBank
from mia.model import Embedder, Model
from mia.planners.passthrough import Passthrough
from mia.testing.models import ToyEmbedder
from mia.types import Episode, Plan, Question, Turn, VerdictValue

Films = Callable[..., Episode]
Open = Callable[..., KeptMemory]

every_method = pytest.mark.parametrize("name", names())
judging = ("rag", "rag-raw", "mem0", "amem")
"""Methods that keep what nobody judged, as their papers do."""


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Opens memories, and closes them at the end."""
    held: list[KeptMemory] = []

    def make(name: str, model: Model | None = None, embedder: Embedder | None = None) -> KeptMemory:
        memory = ALL[name](tmp_path / name, embedder or ToyEmbedder(), model or Willing())
        held.append(memory)
        return memory

    yield make
    for memory in held:
        memory.close()


@every_method
async def test_what_is_remembered_helps_with_another_question_also_after_reopening(
    name: str, opened: Open, film_episode: Films
) -> None:
    memory = opened(name)
    assert (await memory.recall(a_film())).empty
    remembered = await memory.remember(film_episode("Jaws"))
    assert remembered.decision == "stored"
    assert memory.count() > 0
    assert memory.path.exists()
    found = await memory.recall(a_film())
    assert shown(found)
    memory.close()
    assert await opened(name).recall(a_film()) == found


@every_method
async def test_doing_it_twice_changes_nothing_asks_nobody_and_answers_the_same(
    name: str, opened: Open, film_episode: Films
) -> None:
    model = Willing()
    memory = opened(name, model)
    first = await memory.remember(film_episode("Jaws"))
    before = (memory.count(), await memory.recall(a_film()), len(model.asked))
    assert await memory.remember(film_episode("Jaws")) == first
    memory.close()
    again = opened(name, model)
    assert await again.remember(film_episode("Jaws")) == first
    assert (again.count(), await again.recall(a_film()), len(model.asked)) == before


@every_method
async def test_nothing_helps_the_question_it_stems_from(
    name: str, opened: Open, film_episode: Films
) -> None:
    memory = opened(name)
    episode = film_episode("Jaws", task="directors")
    await memory.remember(episode)
    assert not (await memory.recall(a_film())).empty
    for own in (
        replace(a_film(), id=episode.question.id),
        replace(a_film(), task="directors"),
        Question(text="The director of film Jaws was born when?", id="the same in other words"),
    ):
        assert (await memory.recall(own)).empty
    await memory.remember(film_episode("Heat"))
    assert not (await memory.recall(replace(a_film(), task="directors"))).empty


@pytest.mark.parametrize("method", [Rag, AMem, ExpeL, ReasoningBank, Memento])
async def test_the_guard_can_be_left_off(
    method: type[Rag], tmp_path: Path, film_episode: Films
) -> None:
    memory = method(tmp_path / "x.db", ToyEmbedder(), Willing(), exclude_task=False)
    episode = film_episode("Jaws")
    await memory.remember(episode)
    assert not (await memory.recall(episode.question)).empty
    memory.close()


@every_method
async def test_a_run_that_failed_leaves_nothing(
    name: str, opened: Open, film_episode: Films
) -> None:
    memory = opened(name)
    for verdict in VerdictValue:
        broken = film_episode(outcome="failed:model", verdict=verdict)
        assert (await memory.remember(broken)).decision == "ignored"
    assert memory.count() == 0


@every_method
async def test_what_nobody_judged_is_kept_only_by_methods_that_know_no_verdicts(
    name: str, opened: Open, film_episode: Films
) -> None:
    memory = opened(name)
    remembered = await memory.remember(film_episode(verdict=VerdictValue.UNKNOWN))
    assert remembered.decision == ("stored" if name in judging else "ignored")
    assert (memory.count() > 0) is (name in judging)


@pytest.mark.parametrize("name", names("rag", "rag-raw", "memento"))
@pytest.mark.parametrize("model", [Mumbling, Down])
async def test_a_model_that_cannot_be_read_is_data_and_what_it_cost_is_told(
    name: str, model: type[Willing], opened: Open, film_episode: Films
) -> None:
    asked = model()
    memory = opened(name, asked)
    remembered = await memory.remember(film_episode())
    calls = len(asked.asked)
    assert calls == (2 if model is Mumbling else 1)
    assert remembered.usage.calls == (2 if model is Mumbling else 0)
    assert ("the model is down" if model is Down else "JSON") in remembered.reason
    assert remembered.decision == ("stored" if name in ("amem", "expel") else "ignored")
    assert await memory.remember(film_episode()) == remembered
    assert len(asked.asked) == calls


@pytest.mark.parametrize("name", names("rag", "rag-raw", "memento"))
async def test_what_writing_cost_is_told(name: str, opened: Open, film_episode: Films) -> None:
    model = Willing()
    memory = opened(name, model)
    for film in ("Jaws", "Heat"):
        before = len(model.asked)
        usage = (await memory.remember(film_episode(film))).usage
        assert usage.calls == len(model.asked) - before > 0
        assert usage.prompt_tokens == 10 * usage.calls


class Dying(ToyEmbedder):
    """An embedder that is down from a certain call on."""

    def __init__(self, lives: int) -> None:
        self.lives = lives

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.lives -= 1
        if self.lives < 0:
            raise ModelError("the embedder is down")
        return await super().embed(texts)


@every_method
@pytest.mark.parametrize("lives", range(5))
async def test_a_remembering_that_is_cut_short_leaves_nothing_and_can_be_repeated(
    name: str, lives: int, opened: Open, film_episode: Films
) -> None:
    model = Willing()
    memory = opened(name, model)
    await memory.remember(film_episode("Jaws"))
    before = (memory.count(), ids_of(await memory.recall(a_film())))
    memory.close()
    dying = opened(name, model, Dying(lives))
    cut = False
    try:
        await dying.remember(film_episode("Heat"))
    except ModelError:
        cut = True
    dying.close()
    assert cut or lives > 0
    again = opened(name, model)
    if cut:
        assert (again.count(), ids_of(await again.recall(a_film()))) == before
    await again.remember(film_episode("Heat"))
    assert again.count() == 2 * before[0]
    found = ids_of(await again.recall(a_film()))
    assert len(found) == len(set(found))


@every_method
async def test_an_embedder_that_is_down_is_an_error(
    name: str, opened: Open, film_episode: Films
) -> None:
    memory = opened(name, embedder=Broken())
    with pytest.raises(ModelError, match="the embedder is down"):
        await memory.recall(a_film())
    with pytest.raises(ModelError, match="the embedder is down"):
        await memory.remember(film_episode())
    assert memory.count() == 0


@every_method
async def test_a_file_of_another_embedder_or_method_is_refused(
    name: str, opened: Open, tmp_path: Path
) -> None:
    opened(name).close()
    with pytest.raises(StoreError, match="toy-64"):
        opened(name, embedder=Other())
    if name != "mem0":  # a folder
        other = "memento" if name != "memento" else "rag"
        with pytest.raises(StoreError, match="method"):
            ALL[other](tmp_path / name, ToyEmbedder(), Willing())


@every_method
async def test_one_episode_from_many_sides_is_kept_once(
    name: str, opened: Open, film_episode: Films
) -> None:
    one = opened(name)
    sides = [one] if name == "mem0" else [one, opened(name), opened(name)]  # one process a folder
    done = await asyncio.gather(
        *(memory.remember(film_episode()) for memory in sides for _ in range(3))
    )
    assert len(set(done)) == 1
    counted = one.count()
    await one.remember(film_episode("Heat"))
    assert one.count() == 2 * counted


@every_method
async def test_what_was_recalled_is_not_kept_again(
    name: str, opened: Open, film_episode: Films
) -> None:
    said = "Remember that the harpsichord players of Antwerp know every director by name."
    recalled = noted(said, "Another one.")
    run = film_episode("Jaws", recollection=recalled)
    thinking = Turn(thought=f"It says: {said} So I search.", answer="December 18, 1946")
    run = replace(
        run,
        plan=await Passthrough().plan(run.question, recalled),
        trajectory=replace(run.trajectory, turns=(*run.trajectory.turns[:-1], thinking)),
    )
    model = Willing()
    memory = opened(name, model)
    await memory.remember(run)
    memory.close()
    files = [path for path in memory.path.parent.rglob("*") if path.is_file()]
    assert files and all(b"harpsichord" not in path.read_bytes() for path in files)
    assert all("harpsichord" not in text for text in model.asked)


async def test_a_plan_of_ones_own_is_kept_beside_what_was_recalled(
    opened: Open, film_episode: Films
) -> None:
    recalled = noted("Search for the director first.")
    run = film_episode(recollection=recalled)
    memory = opened("memento")
    await memory.remember(run)
    assert run.plan is not None
    (found,) = (await memory.recall(a_film())).successes
    assert found.workflow.plan == run.plan.text
    echo = replace(
        run, id="echo", plan=Plan(text="Do this: Note 1: A note\nSearch for the director first.")
    )
    assert (await memory.remember(echo)).decision == "ignored"


@pytest.mark.parametrize("method", [AMem, ExpeL, ReasoningBank])
def test_methods_that_need_a_model_say_so(method: type, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"models\.manager"):
        method(tmp_path / "x.db", ToyEmbedder(), None)
