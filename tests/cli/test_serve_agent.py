"""`mia serve reference --role agent`: the agent of a home, as a process, and what its variables
say."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from subprocess import Popen
from typing import Any
from urllib.request import Request, urlopen

import pytest
from msgspec.structs import replace
from PIL import Image
from tests.cli.playing import Home
from tests.cli.test_serve_reference import running

from mia.cli.serve_agent import for_planners, saves_to
from mia.config import Loaded, load
from mia.errors import ConfigError

Start = Callable[..., Popen[str]]
URLS = {
    "AGENT_URL": "http://executor.example/v1", "MEMORY_URL": "http://manager.example/v1",
    "JUDGE_URL": "http://judge.example/v1", "TEST_CACHE_DIR": "/one, /two",
    "MAX_LLM_CALL_PER_RUN": "7",
}  # fmt: skip


def post(address: str, body: Any) -> Any:
    with urlopen(Request(address, json.dumps(body).encode(), method="POST"), timeout=20) as answer:
        return json.load(answer)


def loaded_from(home: Home, **variables: str) -> Loaded:
    """Settings that say nothing but where the home is."""
    home.config.write_text(f'home = "{home.data}"\n')
    return load(home.config, variables)


def test_an_agent_carries_a_plan_out_with_the_models_of_the_settings(
    start: Start, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTRL_SAVE", "/somewhere/else/night-1/")
    arguments = ("--role", "agent", "--namespace", "lab", "--corpus", str(home.corpus))
    body = {"data_id": "q3", "question": "Who made item 3?", "plan": "1. Search for item 3."}
    with running(start, *arguments) as (address, told):
        assert "0 workflows in 'lab'; executor toy at 127.0.0.1, manager code" in told
        carried = post(f"{address}/plan", body)
        saved = {"used_memory_indices": [], "judgement": "correct", "slow_plan": "", **body}
        post(f"{address}/memory_bank_save", saved | {"temp_messages": carried["history_messages"]})
        assert post(f"{address}/batch_evaluate", [])["processed_count"] == 1
        assert post(f"{address}/consolidate_memories", [])["saved_positives"] == 1
        post(f"{address}/save_memory", [])
    assert "<answer>kind 3</answer>" in carried["trace"]
    saves = home.data / "published" / "night-1"
    (line,) = (saves / "evaluated-first.jsonl").read_text().splitlines()
    assert json.loads(line)["prediction"] == "kind 3"
    assert "text-only" in json.loads((saves / "workflow_memory.jsonl").read_text())


def test_pictures_of_the_rows_that_a_variable_names_are_registered_once(
    start: Start, home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import pyarrow
    from pyarrow import parquet

    file = BytesIO()
    Image.new("RGB", (9, 7), "teal").save(file, "PNG")
    rows = [
        {"data_id": "p1", "question": "What is it?", "images": [{"bytes": file.getvalue()}]},
        {"data_id": "p2", "question": "Who?", "images": []},
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "rows.parquet")
    monkeypatch.setenv("PARQUET_PATH", str(tmp_path / "rows.parquet"))
    for _ in range(2):
        with (
            running(start, "--role", "agent", "--corpus", str(home.corpus)) as (address, _told),
            urlopen(f"{address}/streaming/health", timeout=20) as answer,
        ):
            assert json.load(answer)["registered_data_ids"] == 1


def test_published_variables_count_where_the_settings_say_nothing(home: Home) -> None:
    settings = for_planners(loaded_from(home, **URLS), "qwen").settings
    models, search = settings.models, settings.search
    assert models.executor is not None and models.manager is not None and models.judge is not None
    assert (models.executor.base_url, models.executor.model) == (URLS["AGENT_URL"], "qwen")
    assert models.executor.sees and settings.executor.protocol == "text"
    assert models.manager.base_url == URLS["MEMORY_URL"]
    assert models.judge.base_url == URLS["JUDGE_URL"]
    assert search.images.caches == ("/one", "/two") and settings.budget.calls == 7


def test_settings_go_before_published_variables(home: Home) -> None:
    plain = load(home.config, URLS)
    said = replace(
        plain.settings, budget=replace(plain.settings.budget, calls=9, seconds=5.0),
        search=replace(
            plain.settings.search, images=replace(plain.settings.search.images, caches=("/mine",))
        ),
        memory=replace(plain.settings.memory, withhold=0.5),
    )  # fmt: skip
    settings = for_planners(replace(plain, settings=said), "qwen").settings
    assert settings.models.executor is None and settings.models.manager is None
    assert settings.executor.protocol == "native"
    assert settings.search.images.caches == ("/mine",) and settings.budget.calls == 9
    assert (settings.memory.successes, settings.memory.failures) == (2, 2)
    assert settings.memory.withhold == 0.0


@pytest.mark.parametrize("calls", ["0", "many", "-3"])
def test_a_variable_that_says_nothing_is_refused(home: Home, calls: str) -> None:
    with pytest.raises(ConfigError, match="MAX_LLM_CALL_PER_RUN"):
        for_planners(loaded_from(home, MAX_LLM_CALL_PER_RUN=calls), "qwen")


@pytest.mark.parametrize(
    ("path", "name"), [(None, "ttrl"), ("/a/b/run-2", "run-2"), ("run_3/", "run_3")]
)
def test_of_the_path_for_saves_the_name_counts(home: Home, path: str | None, name: str) -> None:
    variables = {} if path is None else {"TTRL_SAVE": path}
    assert saves_to(loaded_from(home, **variables)) == name


@pytest.mark.parametrize("path", ["..", "/a/..", "a/b c", "/"])
def test_a_path_for_saves_without_a_name_is_refused(home: Home, path: str) -> None:
    with pytest.raises(ConfigError, match="TTRL_SAVE"):
        saves_to(loaded_from(home, TTRL_SAVE=path))
