"""Where verl itself is installed (make verl-test): our episodes in its agent loops, and its whole
configuration as our runs have it. No GPU and no Ray."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.cli.playing import Served, plays
from tests.training.verl.runs import exercises, job, settings

from mia.errors import ConfigError
from mia.training import tiny
from mia.training.grpo import advantages
from mia.training.rollouts import Role
from mia.training.samples import Sample
from mia.training.verl.crew import hired
from mia.training.verl.job import Job
from mia.training.verl.launch import begin, launch
from mia.training.verl.overrides import overrides

pytestmark = [
    pytest.mark.skipif(find_spec("verl") is None, reason="verl is not installed: make verl-test"),
    pytest.mark.filterwarnings("ignore"),  # of other people's libraries
    pytest.mark.timeout(300),
]

NAME = "trainer.experiment_name="
GOOD = '{"goal_met": true, "reason": "it was found"}'
BAD = '{"goal_met": false, "reason": "look again"}'
CALL = '<tool_call>{"name": "search", "arguments": {"query_list": ["item 1"]}}</tool_call>'
ANSWER = "<think>It says so.</think><answer>kind 1</answer>"


class Server:
    """verl's servers, with weights that say what they are told to."""

    def __init__(self, tokenizer: Any, says: Sequence[str]) -> None:
        self.prompts: list[list[int]] = []
        self.sampled: list[tuple[list[int], list[float]]] = []
        self.requests: set[str] = set()
        self._tokenizer = tokenizer
        self._says = list(says)

    async def generate(
        self, request_id: str, *, prompt_ids: list[int], sampling_params: dict[str, Any]
    ) -> Any:
        replica = import_module("verl.workers.rollout.replica")
        said = self._tokenizer(self._says.pop(0)).input_ids
        ids = [*said, self._tokenizer.eos_token_id]
        logprobs = [-0.001 * (len(self.sampled) * 1000 + place + 1) for place in range(len(ids))]
        self.requests.add(request_id)
        self.prompts.append(prompt_ids)
        self.sampled.append((ids, logprobs))
        return replica.TokenOutput(
            token_ids=ids, log_probs=logprobs, extra_fields={"global_steps": 4}
        )


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in Hugging Face's form, whose tokens are bytes."""
    return tiny.make_base(tmp_path_factory.mktemp("tiny") / "base")


@pytest.fixture
def served() -> Iterator[Served]:
    with Served(plays) as server:
        yield server


def begun(folder: Path, model: Path, served: Served, role: Role) -> Job:
    one = job(folder, role, model=model)
    settings(folder, served.url, role=role)
    begin(one)
    return one


def configured(one: Job) -> Any:
    return import_module("mia.training.verl.composed").compose(overrides(one))


def rows_of(one: Job, config: Any) -> list[dict[str, Any]]:
    """What verl's own data set makes of our file."""
    data = import_module("verl.utils.dataset.rl_dataset")
    config.data.cache_dir = str(one.folder / "cache")
    return list(data.RLHFDataset(str(one.files.train), None, config.data))


def attempt(one: Job, says: Sequence[str], **drawn: Any) -> tuple[list[Any], Server]:
    """An episode, made and run as verl's workers do."""
    conf = import_module("omegaconf")
    verl = import_module("verl.experimental.agent_loop.agent_loop")
    tokenizer = import_module("transformers").AutoTokenizer.from_pretrained(one.model)
    server, config = Server(tokenizer, says), configured(one)
    with conf.open_dict(config):
        row = {"uid": "one", "session_id": 0, "global_steps": 5, **rows_of(one, config)[0]}
    (agent,) = conf.OmegaConf.load(one.files.agents)

    async def run() -> list[Any]:
        loop = import_module("hydra").utils.instantiate(
            config=agent,
            trainer_config=verl.DictConfigWrap(config),
            server_manager=server,
            tokenizer=tokenizer,
            processor=None,
            hf_model_type="llama",
            dataset_cls=None,
            data_config=verl.DictConfigWrap(config.data),
            tools=verl.ToolListWrap([]),
        )
        return await loop.run({"temperature": 1.0, "top_p": 1.0, "logprobs": True, **drawn}, **row)

    return hired(str(one.files.crew)).house.complete(run()), server


def trained(output: Any) -> tuple[list[int], list[float]]:
    kept = [place for place, bit in enumerate(output.response_mask) if bit]
    logprobs = output.response_logprobs
    return [output.response_ids[place] for place in kept], [logprobs[place] for place in kept]


def test_every_conversation_of_a_planner_is_a_sample_of_what_was_sampled(
    tmp_path: Path, model: Path, served: Served
) -> None:
    one = begun(tmp_path, model, served, "planner")
    outputs, server = attempt(one, ["1. Search.", BAD, "2. Look."])
    assert len(outputs) == 3, "the plan, the reflection, and the second plan after it"
    for output, prompt, sampled in zip(outputs, server.prompts, server.sampled, strict=True):
        assert output.prompt_ids == prompt
        assert trained(output) == (sampled[0], pytest.approx(sampled[1]))
    again = server.prompts[2]
    first = server.prompts[0] + server.sampled[0][0]
    assert again[: len(first)] == first, "the second plan goes on from the very ids of the first"
    assert len(server.requests) == 1, "one server keeps the beginning of all of them"


def test_the_reward_of_an_episode_is_ours_and_all_its_samples_have_it(
    tmp_path: Path, model: Path, served: Served
) -> None:
    one = begun(tmp_path, model, served, "planner")
    outputs, _ = attempt(one, ["1. Search.", BAD, "2. Look."])
    # right twice (.7 + .2), in form (.05), but it called a right answer wrong
    assert [output.reward_score for output in outputs] == pytest.approx([0.95] * 3)
    told = outputs[-1].extra_fields["reward_extra_info"]
    assert (told["correct"], told["part_decision"], told["samples"]) == (1.0, 0.0, 3.0)
    assert "acc" not in told
    better, _ = attempt(one, ["1. Search.", GOOD])
    assert [output.reward_score for output in better] == pytest.approx([1.0] * 2)
    assert outputs[-1].extra_fields["max_global_steps"] == 4


def test_a_run_of_an_executor_is_one_conversation_with_what_it_found_masked(
    tmp_path: Path, model: Path, served: Served
) -> None:
    one = begun(tmp_path, model, served, "executor")
    (output,), server = attempt(one, [CALL, ANSWER])
    ids, logprobs = trained(output)
    assert ids == server.sampled[0][0] + server.sampled[1][0]
    assert logprobs == pytest.approx(server.sampled[0][1] + server.sampled[1][1])
    assert output.prompt_ids == server.prompts[0]
    whole = output.prompt_ids + output.response_ids
    assert whole == server.prompts[1] + server.sampled[1][0]
    assert 0 in output.response_mask, "what the search found is nobody's to learn"
    assert output.reward_score == pytest.approx(1.0)


def test_an_episode_that_nobody_can_judge_is_left_out_of_its_group(
    tmp_path: Path, model: Path, served: Served
) -> None:
    one = job(tmp_path, model=model)
    asked = replace(one.exercises[0], question=replace(one.exercises[0].question, answers=None))
    one = replace(one, exercises=(asked, *one.exercises[1:]))
    settings(tmp_path, served.url)
    text = (tmp_path / "mia.toml").read_text().replace('"exact"', '"auto"')
    (tmp_path / "mia.toml").write_text(text)
    begin(one)
    outputs, _ = attempt(one, ["1. Search.", GOOD])
    assert outputs == []


def test_verl_takes_the_samples_of_an_episode_together(
    tmp_path: Path, model: Path, served: Served
) -> None:
    utils = import_module("verl.utils.tensordict_utils")
    one = begun(tmp_path, model, served, "planner")
    outputs, _ = attempt(one, ["1. Search.", BAD, "2. Look."])
    fields = utils.list_of_dict_to_tensordict([output.as_dict() for output in outputs])
    assert fields.batch_size == (3,)
    for row, output in zip(fields["rm_scores"], outputs, strict=True):
        assert row.tolist()[:-1] == [0.0] * (len(output.response_ids) - 1)
        assert row.tolist()[-1] == pytest.approx(0.95)


def test_verls_advantages_are_ours_but_for_how_it_takes_the_deviation(
    tmp_path: Path, model: Path, served: Served
) -> None:
    one = begun(tmp_path, model, served, "planner")
    good, _ = attempt(one, ["1. Search.", GOOD])
    worse, _ = attempt(one, ["1. Search.", BAD, "2. Look."])
    worst, _ = attempt(one, ["1. Search.", "no sense", "none at all"])
    episodes = [good, worse, worst]
    theirs = _by_verl(episodes)
    ours = advantages([
        Sample(
            prompt_ids=(1,), response_ids=(1,), mask=(1,), logprobs=(0.0,), version=0, group="g",
            reward=output.reward_score, episode=str(number),
        )
        for number, outputs in enumerate(episodes) for output in outputs
    ])  # fmt: skip
    assert len(set(ours.advantages)) == 3
    assert theirs == pytest.approx(np.array(ours.advantages) * np.sqrt(2 / 3), rel=1e-4)


def _by_verl(episodes: Sequence[Sequence[Any]]) -> list[float]:
    """What verl's trainer computes for episodes of one group, an advantage a sample."""
    torch = import_module("torch")
    protocol = import_module("verl.protocol")
    v1 = import_module("verl.trainer.ppo.v1.utils")
    config = import_module("verl.trainer.config").AlgoConfig(adv_estimator="grpo")
    flat = [output for outputs in episodes for output in outputs]
    keys = [f"g_{n}_{i}" for n, outputs in enumerate(episodes) for i in range(len(outputs))]
    fields = [output.as_dict() for output in flat]

    def padded(name: str) -> Any:
        return torch.nn.utils.rnn.pad_sequence([f[name] for f in fields], batch_first=True)

    data = protocol.DataProto.from_single_dict(
        {
            "response_mask": padded("response_mask"),
            "token_level_rewards": padded("rm_scores"),
            "uid": np.array(["g"] * len(flat), dtype=object),
        }
    )
    data = v1.compute_advantage_for_multi_trajectories(
        data, batch_keys=keys, adv_estimator="grpo", norm_adv_by_std_in_grpo=True, config=config
    )
    first = data.batch["response_mask"].argmax(dim=1)
    return [row[place].item() for row, place in zip(data.batch["advantages"], first, strict=True)]


@pytest.mark.parametrize("role", ["planner", "executor"])
@pytest.mark.parametrize("weights", ["adapter", "all"])
def test_verl_accepts_both_stages(tmp_path: Path, model: Path, role: Role, weights: Any) -> None:
    one = small(tmp_path, model, role, weights=weights, held_out=exercises(2))
    said: list[str] = []
    assert launch(one, dry_run=True, say=said.append) == 0
    assert said[0].startswith("10 steps" if role == "planner" else "16 steps")
    assert "-m verl.trainer.main_ppo algorithm.adv_estimator=grpo" in said[-1]
    assert not one.folder.exists(), "a dry run writes nothing"


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("actor_rollout_ref.rollout.nothing=1", "Could not override .*rollout.nothing"),
        ("trainer.balance_batch=7", "has True for trainer.balance_batch, and no use for 7"),
        ("data.validation_shuffle=maybe", "no use for 'maybe'"),
        ("actor_rollout_ref.actor.policy_loss.loss_mode=[", "no such configuration"),
        ("actor_rollout_ref.actor.policy_loss.rollout_correction.bypass_mode=1", "Could not"),
        ("actor_rollout_ref.actor.optim.lr_scheduler_type=sometimes", "refuses this configuration"),
    ],
)
def test_a_wrong_key_or_value_is_refused_before_anything_starts(
    tmp_path: Path, model: Path, wrong: str, reason: str
) -> None:
    one = small(tmp_path, model, "planner", overrides=(wrong,))
    with pytest.raises(ConfigError, match=reason):
        launch(one, dry_run=True)


def test_an_episode_that_the_model_has_no_room_for_is_refused(tmp_path: Path, model: Path) -> None:
    one = small(tmp_path, model, "planner")
    one = replace(one, preset=replace(one.preset, max_prompt=400))
    with pytest.raises(ConfigError, match="is 656 tokens, and base takes 512"):
        launch(one, dry_run=True)


@given(st.text("ab1'\"\\\\$ ,.=:[]{}()#\n", max_size=12))
def test_hydra_reads_a_name_as_it_was_given(name: str) -> None:
    assume("${" not in name)
    parser = import_module("hydra.core.override_parser.overrides_parser").OverridesParser.create()
    with tempfile.TemporaryDirectory() as folder:
        said = next(each for each in overrides(job(Path(folder), name=name)) if NAME in each)
    assert parser.parse_override(said).value() == name


def test_what_we_say_is_what_verl_reads(tmp_path: Path, model: Path) -> None:
    config = configured(small(tmp_path, model, "planner", name="it's a run, $100"))
    assert config.trainer.experiment_name == "it's a run, $100"
    assert config.actor_rollout_ref.actor.optim.lr == 1e-6
    env = config.ray_kwargs.ray_init.runtime_env.env_vars
    assert dict(env) == {"VLLM_NO_USAGE_STATS": "1"}, "Ray takes texts only"


def small(folder: Path, model: Path, role: Role, **changes: Any) -> Job:
    """A published stage that fits into the tiny model."""
    one = job(folder, role, model=model, **changes)
    return replace(one, preset=replace(one.preset, max_prompt=256, max_response=256))
