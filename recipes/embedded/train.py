"""Trains one LoRA adapter of the embedded model by supervised warm-up, on a CPU.

    python recipes/embedded/train.py reader  --base BASE --data build/embedded --out build/embedded/reader_lora  --minutes 95
    python recipes/embedded/train.py planner --base BASE --data build/embedded --out build/embedded/planner_lora --minutes 45

BASE is the Hugging Face form of SmolLM2-135M-Instruct (`convert.py base`). The schedule is a time
budget: the learning rate falls linearly with the processor seconds spent, so the run ends where
it was planned to however busy the machine is. A checkpoint every few minutes makes it resume.

Two things matter on a CPU: small batches (cost is linear in tokens, so large ones only buy fewer
updates), and adapters in bf16 with fp32 master copies (peft's fp32 adapters are 1.6 times slower,
bf16 ones alone round small updates away).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

END = "<|im_end|>"
IGNORE = -100
PEAK_LR = {"reader": 6e-4, "planner": 8e-4}
BATCH_TOKENS = {"reader": 1200, "planner": 900}
RANK = 8
WARM_UPDATES = 12
CLIP = 1.0


class Examples:
    """Tokenised (prompt, answer) pairs, cut into batches of nearly equal length."""

    def __init__(self, path: Path, tokenizer) -> None:
        self.rows = []
        for row in json.loads(path.read_text()):
            prompt = tokenizer(row["prompt"], add_special_tokens=False).input_ids
            answer = tokenizer(row["answer"] + END, add_special_tokens=False).input_ids
            self.rows.append((prompt, answer))

    def batches(self, budget: int, seed: int) -> list[list[int]]:
        order = list(range(len(self.rows)))
        rng = random.Random(seed)
        rng.shuffle(order)
        size = [len(p) + len(a) for p, a in self.rows]
        batches = []
        for start in range(0, len(order), 128):
            part, batch = sorted(order[start : start + 128], key=size.__getitem__), []
            pool = []
            for index in part:
                if batch and size[index] * (len(batch) + 1) > budget:
                    pool.append(batch)
                    batch = []
                batch.append(index)
            pool.append(batch)
            rng.shuffle(pool)
            batches += pool
        return batches


def logits_of(model, rows) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, int]:
    """Logits at the answer positions only: the output layer is a fifth of the model.

    Right padding needs no mask under causal attention.
    """
    length = max(len(p) + len(a) for p, a in rows)
    ids = torch.full((len(rows), length), 2)
    labels = torch.full((len(rows), length), IGNORE)
    for i, (prompt, answer) in enumerate(rows):
        both = torch.tensor(prompt + answer)
        ids[i, : len(both)] = both
        labels[i, len(prompt) : len(both)] = both[len(prompt) :]
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    targets = labels[:, 1:]
    wanted = targets != IGNORE
    return model.lm_head(hidden[wanted]).float(), targets[wanted], wanted, ids.numel()


@torch.no_grad()
def exact(model, rows) -> dict[str, float]:
    """Share of answers whose every token is the greedy one, and nats per answer token."""
    right = nll = tokens = 0.0
    for start in range(0, len(rows), 8):
        part = rows[start : start + 8]
        logits, targets, wanted, _ = logits_of(model, part)
        hit = torch.ones_like(wanted)
        hit[wanted] = logits.argmax(-1) == targets
        right += float(hit.all(1).sum())
        nll += float(torch.nn.functional.cross_entropy(logits, targets, reduction="sum"))
        tokens += len(targets)
    return {"exact": right / len(rows), "nll": nll / tokens, "n": len(rows)}


def train(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(options.base)
    examples = Examples(options.data / f"{options.role}.json", tokenizer)
    check = Examples(options.data / f"{options.role}_check.json", tokenizer).rows[: options.check]
    base = AutoModelForCausalLM.from_pretrained(options.base, dtype=torch.bfloat16)
    lora = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear")
    wrapped = get_peft_model(base, lora, autocast_adapter_dtype=False)
    model = wrapped.base_model.model
    weights = [p for p in wrapped.parameters() if p.requires_grad]
    masters = [p.detach().float().clone().requires_grad_() for p in weights]
    optimiser = torch.optim.AdamW(masters, lr=PEAK_LR[options.role], weight_decay=0.0)
    options.out.mkdir(parents=True, exist_ok=True)
    saved, log = options.out / "resume.pt", options.out / "log.jsonl"
    spent, seen, updates, epoch, at = 0.0, 0, 0, 0, 0
    if saved.exists():
        state = torch.load(saved, weights_only=True)
        spent, seen, updates, epoch, at = state["progress"]
        optimiser.load_state_dict(state["optimiser"])
        with torch.no_grad():
            for master, value in zip(masters, state["masters"], strict=True):
                master.copy_(value)
    publish(masters, weights)
    budget, last_save, losses = options.minutes * 60, spent, []
    batches = examples.batches(BATCH_TOKENS[options.role], epoch)
    while spent < budget:
        if at >= len(batches):
            epoch, at = epoch + 1, 0
            batches = examples.batches(BATCH_TOKENS[options.role], epoch)
        began = time.process_time()
        rows = [examples.rows[i] for i in batches[at]]
        scale = min(1.0, (updates + 1) / WARM_UPDATES) * max(0.03, 1 - spent / budget)
        for group in optimiser.param_groups:
            group["lr"] = PEAK_LR[options.role] * scale
        logits, targets, _, tokens = logits_of(model, rows)
        loss = torch.nn.functional.cross_entropy(logits, targets)
        loss.backward()
        for master, weight in zip(masters, weights, strict=True):
            master.grad = weight.grad.float()
            weight.grad = None
        torch.nn.utils.clip_grad_norm_(masters, CLIP)
        optimiser.step()
        publish(masters, weights)
        at, updates, seen = at + 1, updates + 1, seen + len(rows)
        spent += (time.process_time() - began) / options.threads
        losses.append(float(loss.detach()))
        if spent - last_save > options.every * 60 or spent >= budget:
            last_save = spent
            row = {"spent": round(spent), "seen": seen, "updates": updates, "epoch": epoch,
                   "loss": sum(losses) / len(losses), "last_tokens": tokens, **exact(model, check)}  # fmt: skip
            losses = []
            with log.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(row, flush=True)
            progress = (spent, seen, updates, epoch, at)
            partial = saved.with_suffix(".tmp")
            torch.save({"progress": progress, "optimiser": optimiser.state_dict(),
                        "masters": [m.detach() for m in masters]}, partial)  # fmt: skip
            partial.replace(saved)
            wrapped.save_pretrained(options.out)


@torch.no_grad()
def publish(masters: list[torch.Tensor], weights: list[torch.Tensor]) -> None:
    for master, weight in zip(masters, weights, strict=True):
        weight.copy_(master)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=("reader", "planner"))
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True, help="processor minutes")
    parser.add_argument("--every", type=float, default=6.0, help="minutes between checkpoints")
    parser.add_argument("--check", type=int, default=64, help="held-back examples in each check")
    parser.add_argument("--threads", type=int, default=1)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
