"""Which parts settings choose."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from mia.config import Endpoint, Executor, Loaded, Memory, Models, Planner, Secrets, Settings
from mia.engines import adapters, missing_models
from mia.errors import ConfigError, InputError
from mia.executors.react.loop import React
from mia.executors.react.tagged import Tagged
from mia.executors.stepwise.executor import Stepwise
from mia.judges.gold_first import GoldFirst
from mia.judges.panel import Panel
from mia.judges.reference import Reference
from mia.memories.plan_pairs import PairMemory
from mia.planners.conversational import Conversational
from mia.planners.routed import Routed
from mia.planners.stepwise import StepwisePlanner
from mia.routers.by_likeness import ByLikeness
from mia.routers.by_model import ByModel
from mia.team import House
from mia.testing import ScriptedModel
from mia.types import Question, Recollection

SERVED = Endpoint(base_url="http://127.0.0.1:9/v1", model="m")


def house(tmp_path: Path, **changed: object) -> House:
    settings = Settings(home=str(tmp_path), **changed)  # type: ignore[arg-type]
    return House(Loaded(settings=settings, secrets=Secrets({}), source=None))


def test_an_endpoint_plans_in_prose_and_reacts(tmp_path: Path) -> None:
    with house(tmp_path, models=Models(default=SERVED)) as made:
        assert isinstance(made.planner(), Conversational)
        assert isinstance(made.executor(), React)


def test_an_endpoint_can_be_asked_for_typed_plans(tmp_path: Path) -> None:
    stepwise = Executor(kind="stepwise")
    with house(tmp_path, models=Models(default=SERVED), executor=stepwise) as made:
        assert isinstance(made.planner(), StepwisePlanner)
        assert isinstance(made.executor(), Stepwise)


def test_workflows_are_kept_where_the_settings_say(tmp_path: Path, postgres: str) -> None:
    with house(tmp_path) as made:
        assert made.store.where == str(tmp_path / "memory.db")
    with house(tmp_path, memory=Memory(store=postgres)) as made:
        assert made.store.where.startswith("postgresql://")
        assert made.store.count() == 0


def test_without_psycopg_one_is_told_what_to_install(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from mia.config import Loaded, Memory, Secrets, Settings\n"
        "from mia.team import House\n"
        f"settings = Settings(home={str(tmp_path)!r}, memory=Memory(store='postgresql://h/db'))\n"
        "with House(Loaded(settings=settings, secrets=Secrets({}), source=None)) as house:\n"
        "    house.store\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "MissingError" in done.stderr and "pip install 'mia[postgres]==" in done.stderr


def test_a_password_comes_from_the_variable_that_is_named(tmp_path: Path, postgres: str) -> None:
    password = str(conninfo_to_dict(postgres)["password"])
    memory = Memory(store=postgres.replace(f":{password}@", "@"), store_key_env="DB_WORD")
    settings = Settings(home=str(tmp_path), memory=memory)
    secrets = Secrets({"DB_WORD": password, "MIA_STORE_PASSWORD": "another"})
    with House(Loaded(settings=settings, secrets=secrets, source=None)) as made:
        assert made.store.count() == 0


def test_one_candidate_needs_no_router(tmp_path: Path) -> None:
    with house(tmp_path, models=Models(default=SERVED), planner=Planner(router="model")) as made:
        assert isinstance(made.planner(), Conversational)
    assert not list(tmp_path.iterdir())  # and no plan memory is opened for it


def test_several_candidates_are_routed(tmp_path: Path) -> None:
    several = Planner(candidates=4)
    served = Models(default=SERVED, embedder=SERVED)
    with house(tmp_path, models=served, planner=several) as made:
        assert isinstance(made.planner(), Routed)
        assert isinstance(made.plan_memory, PairMemory)


def test_planners_on_models_of_somebodys_choice_are_as_the_settings_say(tmp_path: Path) -> None:
    mine = ScriptedModel(["1. Look.", "2. Look elsewhere."])
    for count, kind in ((1, Conversational), (2, Routed)):
        chosen = Planner(candidates=count, router="likeness")
        with house(tmp_path, models=Models(default=SERVED), planner=chosen) as made:
            planner = made.planners(memory=False)(mine)
            assert isinstance(planner, kind)
    asyncio.run(planner.plan(Question(text="Which town?", id="town"), Recollection()))
    assert [call.sampling.temperature for call in mine.calls] == [0.0, 1.0]


def test_without_memory_a_router_has_no_pairs_to_go_by(tmp_path: Path) -> None:
    several = Planner(candidates=4, router="likeness")
    with house(tmp_path, models=Models(default=SERVED), planner=several) as made:
        assert isinstance(made.planner(memory=False), Routed)
    assert not list(tmp_path.iterdir())


def test_the_router_is_the_one_named_or_the_endpoint_there_is(tmp_path: Path) -> None:
    served = Models(manager=SERVED)
    for kind, models, router in (
        ("auto", served, ByModel),
        ("auto", Models(), ByLikeness),
        ("model", served, ByModel),
        ("likeness", served, ByLikeness),
    ):
        planner = Planner(router=kind)  # type: ignore[arg-type]
        with house(tmp_path, models=models, planner=planner) as made:
            assert isinstance(made.router(), router)


def test_a_router_that_is_a_model_needs_one(tmp_path: Path) -> None:
    with (
        house(tmp_path, planner=Planner(router="model")) as made,
        pytest.raises(ConfigError, match="model router"),
    ):
        made.router()


def test_the_text_protocol_is_a_choice(tmp_path: Path) -> None:
    text = Executor(protocol="text")
    with house(tmp_path, models=Models(default=SERVED), executor=text) as made:
        executor = made.executor()
        assert isinstance(executor, React)
        assert isinstance(executor.protocol, Tagged)


def test_the_embedded_model_does_not_react(tmp_path: Path) -> None:
    with house(tmp_path, executor=Executor(kind="react")) as made, pytest.raises(ConfigError):
        made.executor()


@pytest.mark.parametrize("kind", ["reference", "panel"])
def test_a_judge_that_is_a_model_needs_one(tmp_path: Path, kind: str) -> None:
    with house(tmp_path, judge=kind) as made, pytest.raises(ConfigError, match=kind):
        made.judge()


def test_the_judge_is_the_one_named(tmp_path: Path) -> None:
    served = Models(judge=SERVED)
    for kind, judge in (("reference", Reference), ("panel", Panel), ("auto", GoldFirst)):
        with house(tmp_path, judge=kind, models=served) as made:
            assert isinstance(made.judge(), judge)


def test_a_role_without_an_endpoint_takes_the_default(tmp_path: Path) -> None:
    own = Endpoint(base_url="http://127.0.0.1:8/v1", model="own")
    with house(tmp_path, models=Models(default=SERVED, judge=own)) as made:
        assert made.engines.endpoint("planner") == SERVED
        assert made.engines.endpoint("judge") == own


def test_only_what_the_settings_use_is_missed(tmp_path: Path) -> None:
    assert missing_models(house(tmp_path).loaded) == ["smollm2-135m", "minilm"]
    served = Models(default=SERVED)
    assert missing_models(house(tmp_path, models=served).loaded) == ["minilm"]
    whole = Models(default=SERVED, embedder=SERVED)
    assert missing_models(house(tmp_path, models=whole).loaded) == []


def test_a_corpus_that_is_not_there_is_named(tmp_path: Path) -> None:
    made = house(tmp_path)
    made.corpus = tmp_path / "nowhere.jsonl"
    with made, pytest.raises(InputError, match=r"nowhere\.jsonl"):
        made.sources.index()


def test_the_adapters_are_shipped_with_the_package() -> None:
    for path in adapters().values():
        assert path.read_bytes()[:4] == b"GGUF"
        assert path.stat().st_size < 12_500_000
