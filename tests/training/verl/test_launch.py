"""Starting a run on verl."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from tests.training.verl.runs import exercises, job, settings

from mia.errors import ConfigError, MissingError
from mia.training.verl.job import Cluster
from mia.training.verl.launch import agents_of, begin, command_of, launch
from mia.training.verl.overrides import overrides


def test_one_node_starts_verls_own_trainer(tmp_path: Path) -> None:
    one = job(tmp_path)
    command = command_of(one, overrides(one))
    assert command[:3] == ("env", "RAY_USAGE_STATS_ENABLED=0", "VLLM_NO_USAGE_STATS=1")
    assert command[3:6] == (sys.executable, "-m", "verl.trainer.main_ppo")
    assert command[6:] == overrides(one)


def test_a_cluster_is_sent_the_same_command_as_a_job(tmp_path: Path) -> None:
    one = job(tmp_path, cluster=Cluster(nodes=2, gpus=2, address="http://head:8265"))
    command = command_of(one, overrides(one))
    place = command.index("--")
    assert command[3:place] == ("job", "submit", "--address", "http://head:8265")
    alone = replace(one, cluster=replace(one.cluster, address=""))
    assert command[place + 1 :] == command_of(alone, overrides(alone))
    assert "trainer.nnodes=2" in command


def test_verl_is_told_whose_loop_runs_the_episodes(tmp_path: Path) -> None:
    one = job(tmp_path, "executor")
    (agent,) = msgspec.json.decode(agents_of(one))
    assert agent["name"] == "mia_executor"
    assert agent["_target_"] == "mia.training.verl.loops.EpisodeLoop"
    assert agent["crew"] == str(tmp_path / "run" / "crew.json")


def test_a_run_begins_with_all_that_its_workers_read(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    begin(job(tmp_path, held_out=exercises(2)))
    there = {each.name for each in (tmp_path / "run").iterdir()}
    assert there == {"run.json", "train.parquet", "held_out.parquet", "crew.json", "agents.yaml"}


def test_a_folder_goes_on_with_its_own_run_only(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    one = job(tmp_path)
    begin(one)
    other = replace(one, preset=replace(one.preset, learning_rate=1e-5), exercises=exercises(8))
    begin(other)  # nothing was learned yet
    one.files.checkpoints.mkdir()
    one.files.latest.write_text("10")
    begin(replace(other, cluster=Cluster(gpus=4)))
    with pytest.raises(ConfigError, match="checkpoints of another preset, exercises;"):
        begin(one)
    settings(tmp_path, more="[budget]\ncalls = 3\n")
    with pytest.raises(ConfigError, match="checkpoints of another settings;"):
        begin(other)


@pytest.mark.parametrize(
    ("missing", "reason"),
    [("model", "a model"), ("begins", "an adapter in PEFT's form"), ("corpus", "a corpus")],
)
def test_what_is_not_there_is_named(tmp_path: Path, missing: str, reason: str) -> None:
    gone = tmp_path / "gone"
    with pytest.raises(ConfigError, match=f"gone.* is not there.*{reason}"):
        launch(replace(job(tmp_path), **{missing: gone}), dry_run=True)
    assert not (tmp_path / "run").exists()


def test_settings_that_are_not_there_are_named(tmp_path: Path) -> None:
    one = job(tmp_path)
    settings(tmp_path).unlink()
    with pytest.raises(ConfigError, match=r"mia\.toml"):
        launch(one, dry_run=True)


@pytest.mark.skipif(find_spec("verl") is not None, reason="verl is installed")
@pytest.mark.parametrize("dry_run", [True, False])
def test_without_verl_it_says_how_to_get_it(tmp_path: Path, dry_run: bool) -> None:
    with pytest.raises(MissingError, match=r"requirements-verl\.txt"):
        launch(job(tmp_path), dry_run=dry_run)
    assert not (tmp_path / "run").exists()
