"""Our episodes in a worker of verl's, a Ray actor, by way of its queue to what its trainer learns
from. All but the GPU: a stand-in samples, and no weights change."""

from __future__ import annotations

import sys
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from tests.cli.playing import Served, plays
from tests.training.verl.runs import exercises, job, settings

from mia.training import tiny
from mia.training.verl.composed import compose
from mia.training.verl.job import CONVERSATIONS, Cluster, Job
from mia.training.verl.launch import begin
from mia.training.verl.overrides import overrides

pytestmark = [
    pytest.mark.skipif(find_spec("verl") is None, reason="verl is not installed: make verl-test"),
    pytest.mark.filterwarnings("ignore"),  # of other people's libraries
    pytest.mark.timeout(600),
]

SESSIONS = (
    ("1. Search.", '{"goal_met": true, "reason": "it was found"}'),
    ("1. Search.", '{"goal_met": false, "reason": "look again"}', "2. Look."),
    ("1. Search.", "no sense", "none at all"),
)
"""What the policy says in each attempt at a question."""
REWARDS = (1.0, 0.95, 0.9)
SAMPLES = (2, 3, 2)


class Client:
    """verl's client of its servers, with weights that say what they are told to."""

    def __init__(self, model: Path) -> None:
        self._model = model
        self._asked: Counter[str] = Counter()

    async def generate(
        self, request_id: str, *, prompt_ids: list[int], sampling_params: dict[str, Any]
    ) -> Any:
        tokenizer = import_module("transformers").AutoTokenizer.from_pretrained(self._model)
        session = int(request_id.rpartition("_")[2])
        said = SESSIONS[session][self._asked[request_id]]
        self._asked[request_id] += 1
        ids = [*tokenizer(said).input_ids, tokenizer.eos_token_id]
        return import_module("verl.workers.rollout.replica").TokenOutput(
            token_ids=ids, log_probs=[-0.5] * len(ids), extra_fields={"global_steps": 0}
        )


@pytest.fixture
def served() -> Iterator[Served]:
    with Served(plays) as server:
        yield server


@pytest.fixture
def run(tmp_path: Path, served: Served) -> Job:
    model = tiny.make_base(tmp_path / "base")
    one = job(tmp_path, model=model, exercises=exercises(4), cluster=Cluster(gpus=4))
    one = replace(one, preset=replace(one.preset, attempts=len(SESSIONS)))
    settings(tmp_path, served.url)
    begin(one)
    return one


@pytest.fixture
def config(run: Job, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The run's configuration, with a Ray and a queue of its own."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # it would write a token into the home
    ray, queue = import_module("ray"), import_module("transfer_queue")
    made = compose(overrides(run))
    made.transfer_queue.enable = True
    made.transfer_queue.backend.SimpleStorage.num_data_storage_units = 1
    # what is defined here cannot be imported by another process
    import_module("ray.cloudpickle").register_pickle_by_value(sys.modules[__name__])
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        ray.init(
            num_cpus=4, object_store_memory=200 << 20, include_dashboard=False, _temp_dir=folder
        )
        try:
            queue.init(made.transfer_queue)
            yield made
            queue.close()
        finally:
            ray.shutdown()


def sent(run: Job, config: Any) -> Any:
    """A step's exercises, sent to a worker as verl's trainer sends them; what the trainer's buffer
    then takes."""
    queue, utils = import_module("transfer_queue"), import_module("verl.utils.tensordict_utils")
    data = import_module("verl.utils.dataset.rl_dataset")
    v1 = import_module("verl.trainer.ppo.v1.agent_loop_tq")
    rows = data.RLHFDataset(str(run.files.train), None, config.data)
    batch = data.collate_fn(list(rows))
    batch["uid"] = np.array([str(uuid.uuid4()) for _ in rows], dtype=object)
    batch = utils.get_tensordict(batch)
    utils.assign_non_tensor_data(batch, "global_steps", 1)
    waiting = [{"is_prompt": True, "status": "pending", "global_steps": 1}] * len(rows)
    queue.kv_batch_put(keys=list(batch["uid"]), partition_id="train", tags=waiting)
    worker = v1.AgentLoopWorkerTQ.remote(config, Client(run.model))
    import_module("ray").get(worker.generate_sequences.remote(batch))
    buffer = import_module("verl.trainer.ppo.v1.replay_buffer").ReplayBuffer(
        trainer_mode="sync", trainer_config={}, max_off_policy_threshold=8,
        max_off_policy_strategy="drop", sampler_kwargs={}, poll_interval=0.5,
    )  # fmt: skip
    taken, _ = buffer.sample(global_steps=1, partition_id="train", batch_size=len(rows))
    return taken


def test_a_step_of_verls_trainer_learns_from_our_episodes(run: Job, config: Any) -> None:
    queue = import_module("transfer_queue")
    padding = import_module("verl.trainer.ppo.padding_utils")
    batch = sent(run, config)
    assert len(batch.keys) == 4 * sum(SAMPLES), "every sample of every attempt"
    multiple = config.actor_rollout_ref.actor.ppo_mini_batch_size * len(SESSIONS)
    batch = padding.upsample_batch_to_divisible_size(batch, multiple, eos_token_id=0)
    assert len(batch.keys) == multiple == 4 * 3 * CONVERSATIONS["planner"], "one update a step"
    fields = ["uid", "response_mask", "rm_scores", "rollout_log_probs"]
    rows = queue.kv_batch_get(keys=batch.keys, partition_id="train", select_fields=fields)
    advantages = _advantages(rows, batch.keys, config)
    mean = sum(REWARDS) / 3
    deviation = np.std(REWARDS, ddof=1)
    for key, tag, mask, scores, advantage in zip(
        batch.keys, batch.tags, rows["response_mask"], rows["rm_scores"], advantages, strict=True
    ):
        if tag.get("is_padding"):
            assert mask.sum() == 0, "it teaches nothing"
            continue
        reward = REWARDS[int(key.split("_")[1])]
        assert scores.sum().item() == pytest.approx(reward)
        learned = advantage[: len(mask)][mask.bool()]
        assert learned.tolist() == pytest.approx(
            [(reward - mean) / deviation] * int(mask.sum()), abs=1e-3
        )


def _advantages(rows: Any, keys: list[str], config: Any) -> Any:
    protocol = import_module("verl.protocol")
    v1 = import_module("verl.trainer.ppo.v1.utils")
    uids = np.array(list(rows["uid"]), dtype=object)
    data = protocol.DataProto(batch=rows.exclude("uid").to_padded_tensor())
    data.batch["token_level_rewards"] = data.batch["rm_scores"]
    data.non_tensor_batch["uid"] = uids
    return v1.compute_advantage_for_multi_trajectories(
        data, batch_keys=keys, adv_estimator="grpo", config=config.algorithm
    ).batch["advantages"]
