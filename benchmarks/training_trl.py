"""TRL's side of `benchmarks.training`: GRPOTrainer on given samples. It needs TRL."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
import trl
from benchmarks.training import EPISODES, QUESTIONS, RANK, RATE, Told, peak
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from transformers.utils.logging import disable_progress_bar

from datasets import Dataset
from mia.training.samples import Sample, read_samples


class Table:
    """Episodes that were had before, as a rollout function, with their rewards."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.seconds = 0.0
        """CPU-seconds spent here since somebody set it to nothing."""
        self._groups: dict[str, list[Sample]] = defaultdict(list)
        for sample in samples:
            self._groups[sample.group].append(sample)

    def rollout(self, prompts: list[str], trainer: Any) -> dict[str, list[Any]]:
        began = time.process_time()
        assert prompts == [g for g in dict.fromkeys(prompts) for _ in range(EPISODES)], prompts
        samples = [sample for group in dict.fromkeys(prompts) for sample in self._groups[group]]
        out: dict[str, list[Any]] = {
            "prompt_ids": [list(sample.prompt_ids) for sample in samples],
            "completion_ids": [list(sample.response_ids) for sample in samples],
            "logprobs": [list(sample.logprobs) for sample in samples],
            "env_mask": [list(sample.mask) for sample in samples],
            "reward": [sample.reward for sample in samples],
        }
        self.seconds += time.process_time() - began
        return out


class Clock(TrainerCallback):
    """Takes the CPU-seconds of each step, less the table's."""

    def __init__(self, table: Table) -> None:
        self.seconds: list[float] = []
        self.gradients: list[float] = []
        self._table = table
        self._began = 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._table.seconds, self._began = 0.0, time.process_time()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.seconds.append(time.process_time() - self._began - self._table.seconds)

    def on_log(self, *_: Any, logs: dict[str, float], **__: Any) -> None:
        if "grad_norm" in logs:
            self.gradients.append(logs["grad_norm"])


def as_they_are(reward: list[float], **_: Any) -> list[float]:
    """The rewards that the table gave."""
    return reward


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("samples", type=Path)
    parser.add_argument("base", type=Path)
    parser.add_argument("dtype")
    parser.add_argument("steps", type=int)
    parser.add_argument("--checkpointing", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    disable_progress_bar()
    samples = read_samples(options.samples.read_bytes())
    table = Table(samples)
    clock = Clock(table)
    tokenizer = AutoTokenizer.from_pretrained(options.base, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(options.base, dtype=getattr(torch, options.dtype))
    with tempfile.TemporaryDirectory() as folder:
        trainer = trl.GRPOTrainer(
            model=model,
            reward_funcs=as_they_are,
            args=trl.GRPOConfig(
                output_dir=folder, per_device_train_batch_size=EPISODES * len(QUESTIONS),
                num_generations=EPISODES, max_steps=1 + options.steps, learning_rate=RATE,
                lr_scheduler_type="constant", loss_type="dapo", beta=0.0, temperature=1.0,
                gradient_checkpointing=options.checkpointing, use_cpu=True,
                bf16=options.dtype == "bfloat16", logging_steps=1, save_strategy="no",
                report_to=[], disable_tqdm=True, seed=0,
            ),
            train_dataset=Dataset.from_list(
                [{"prompt": group} for group in sorted({sample.group for sample in samples})]
            ),
            processing_class=tokenizer,
            rollout_func=table.rollout,
            callbacks=[clock],
            peft_config=LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear"),
        )  # fmt: skip
        begins = peak()
        trainer.train()
    library = f"TRL {trl.__version__}, torch {torch.__version__}"
    told = Told(clock.seconds, clock.gradients[0], begins, peak(), library)
    print("\n" + msgspec.json.encode(told).decode())


if __name__ == "__main__":
    main()
