"""Checkpoints of verl's as files that others read."""

from __future__ import annotations

import shlex
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tests.training.verl.runs import job

from mia.errors import InputError
from mia.training import tiny
from mia.training.verl.export import export
from mia.training.verl.launch import begin

pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")


def test_the_last_checkpoint_is_taken_unless_a_step_is_given(tmp_path: Path) -> None:
    one = job(tmp_path)
    begin(one)
    for step in (10, 100, 20):
        one.files.actor(step).mkdir(parents=True)
    one.files.latest.write_text("100")
    for step, taken in ((None, 100), (20, 20)):
        said: list[str] = []
        assert export(one.folder, tmp_path / "out", dry_run=True, step=step, say=said.append) == 0
        (command,) = map(shlex.split, said)
        assert command[1:4] == ["-m", "verl.model_merger", "merge"]
        assert command[command.index("--local_dir") + 1] == str(one.files.actor(taken))
        assert command[command.index("--target_dir") + 1] == str(tmp_path / "out")
        assert not list(one.files.actor(taken).iterdir()), "a dry run writes nothing"


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    one, out = job(tmp_path), tmp_path / "out"
    with pytest.raises(InputError, match="no run on verl at"):
        export(one.folder, out, dry_run=True)
    begin(one)
    with pytest.raises(InputError, match="no checkpoint yet"):
        export(one.folder, out, dry_run=True)
    one.files.actor(10).mkdir(parents=True)
    with pytest.raises(InputError, match="of step 30; there are: 10"):
        export(one.folder, out, dry_run=True, step=30)


@pytest.mark.skipif(find_spec("verl") is None, reason="verl is not installed: make verl-test")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(300)
def test_an_exported_adapter_says_what_the_trained_one_said(tmp_path: Path) -> None:
    torch, peft = import_module("torch"), import_module("peft")
    model = tiny.make_base(tmp_path / "base")
    one = job(tmp_path, model=model)
    begin(one)
    trained = _checkpoint(one.files.actor(7), model, one.preset.rank, one.preset.alpha)
    one.files.latest.write_text("7")
    assert export(one.folder, tmp_path / "out", dry_run=False) == 0
    read = peft.PeftModel.from_pretrained(_base(model), tmp_path / "out" / "lora_adapter")
    ids = torch.arange(1, 30)[None]
    with torch.no_grad():
        wanted, plain = trained(ids).logits, _base(model)(ids).logits
        assert torch.allclose(read(ids).logits, wanted, atol=1e-4)
    assert (wanted - plain).abs().max() > 1, "it has learned something"


def _base(model: Path) -> Any:
    return import_module("transformers").AutoModelForCausalLM.from_pretrained(model)


def _checkpoint(folder: Path, model: Path, rank: int, alpha: int) -> Any:
    """What verl's trainer leaves of a LoRA adapter on one GPU, and the model that it is of."""
    torch, peft = import_module("torch"), import_module("peft")
    config = peft.LoraConfig(
        r=rank, lora_alpha=alpha, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    trained = peft.get_peft_model(_base(model), config).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for name, weight in trained.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.1)
            if "lora_" in name:
                weight.copy_(weight.bfloat16())  # the merger keeps no more
    folder.mkdir(parents=True)
    torch.save(trained.state_dict(), folder / "model_world_size_1_rank_0.pt")
    (folder / "fsdp_config.json").write_text('{"FSDP_version": 1, "world_size": 1}')
    trained.config.save_pretrained(folder / "huggingface")
    import_module("transformers").AutoTokenizer.from_pretrained(model).save_pretrained(
        folder / "huggingface"
    )
    return trained
