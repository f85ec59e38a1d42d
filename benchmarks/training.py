"""What one GRPO update costs, beside TRL's: CPU-seconds and peak memory.

    python -m benchmarks.training --home HOME                              # our side only
    python -m benchmarks.training --home HOME --trl-python build/trl/bin/python

HOME is a home of MIA's with the embedded model. TRL gets an environment of its own:

    python3 -m venv build/trl
    build/trl/bin/pip install -c constraints.txt -e '.[train]' trl==1.16.0

Both sides learn from the same samples: two questions, five episodes each, in which SmolLM2-135M
says up to 25 tokens, is told something, and says up to 25 more: some 440 policy tokens in all. In
`different` no two are equal. In `equal` each question has three different ones, one of them three
times: 6 of 10 (of a planner trained from the embedded one, half were different in its first steps).
Rank 16 on all linear layers, no KL, one batch, one thread, every side in a process of its own; the
median of some steps after a warm one.

MIA's seconds are advantages and `Learner.update`: forward pass, loss, backward pass, optimiser.
TRL's are a step of GRPOTrainer from its beginning to its end, less what our rollout function (a
table) took: the same, and its padding, decoding and metrics. What it logs between steps is not
counted. Memory is the process's peak, libraries and base included. `recompute` (a number of our
presets) and `checkpointing` (TRL's default) compute activations twice in order to keep fewer. In
bfloat16 both have a base of 16 bits and an optimiser of 32, and TRL computes under autocast, as it
does by default. The gradient's norm, at the warm step, tells whether both computed the same: TRL
divides by the deviation of a sample where we take the population's, so its norm is sqrt(4 / 5) =
0.894 of ours.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from mia.model import Message, Sampling
from mia.models import torch_local
from mia.models.catalog import known, place
from mia.models.torch_local import Origin, TokenizerChat, libraries, open_base
from mia.models.torch_sampler import Request, Sampler
from mia.training.grpo import advantages
from mia.training.learner import Learner
from mia.training.presets import PRESETS, Preset
from mia.training.samples import Call, Sample, read_samples, samples_of, write_samples

ROOT = Path(__file__).parents[1]
MODEL = "smollm2-135m"
DTYPES = ("float32", "bfloat16")
EPISODES = 5
SAYS = Sampling(temperature=1.0, max_tokens=25)
RATE, RANK = 1e-5, 16
SETTINGS = {
    "different": ((0, 1, 2, 3, 4), (1.0, 0.7, 0.25, 0.05, 0.0)),
    "equal": ((0, 0, 0, 1, 2), (0.25, 0.25, 0.25, 1.0, 0.0)),
}
"""Which of a question's drawn episodes are learned from, and their rewards."""
TASK = (
    "You plan how to answer a question by searching an encyclopedia; you do not answer it. Say"
    " which pages to look for, one after the other, and what each of them tells. The question:"
)
QUESTIONS = (
    "Which of the two rivers that meet below the town where the composer was born is longer?",
    "In what year did the club for which the brother of the goalkeeper played win its first cup?",
)
SEEN = "The first page was found and names two candidates; the second was not found. What now?"

T = TypeVar("T")


class Told(msgspec.Struct, frozen=True):
    """What a side measured of itself."""

    seconds: list[float]
    """CPU-seconds of each step; the first is warm-up."""
    gradient: float
    """Its norm at the first step."""
    begins: float
    """MB, the peak before the first step."""
    peak: float
    """MB, the peak at the end."""
    library: str


def peak() -> float:
    """MB of memory that this process had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def draw(base: Path) -> list[list[Sample]]:
    """Different episodes of each question, by the model itself."""
    torch, _ = libraries()
    torch.set_num_threads(1)
    opened = open_base(base, device="cpu", dtype="float32")
    chat = TokenizerChat(opened.tokenizer, opened.model.config.max_position_embeddings)
    sampler = Sampler(opened.model, chat.end, lambda: 0)

    def say(prompts: Sequence[tuple[int, ...]], seed: int) -> list[Call]:
        asked = [Request(prompt, SAYS, seed + n) for n, prompt in enumerate(prompts)]
        return [
            Call(prompt_ids=prompt, response_ids=said.ids, logprobs=said.logprobs, version=0)
            for prompt, said in zip(prompts, sampler(asked), strict=True)
        ]

    def seen(call: Call) -> tuple[int, ...]:
        ended = call.response_ids[-1] == chat.end
        told = chat.further([Message(role="user", content=SEEN)])
        return (*call.prompt_ids, *call.response_ids, *(() if ended else (chat.end,)), *told)

    drawn: list[list[Sample]] = []
    for number, question in enumerate(QUESTIONS):
        opening = tuple(chat.opening([Message(role="user", content=f"{TASK} {question}")]))
        first = say([opening] * EPISODES, 1000 * number)
        second = say([seen(call) for call in first], 1000 * number + 100)
        of_one: list[Sample] = []
        for calls in zip(first, second, strict=True):
            (sample,) = samples_of(calls, 0.0, f"{number}", "")
            of_one.append(sample)
        drawn.append(of_one)
    return drawn


def setting(name: str, drawn: Sequence[Sequence[Sample]]) -> list[Sample]:
    """The samples of one setting."""
    places, rewards = SETTINGS[name]
    return [
        replace(of_one[at], reward=reward, episode=f"{of_one[at].group} {number}")
        for of_one in drawn
        for number, (at, reward) in enumerate(zip(places, rewards, strict=True))
    ]


def ours(samples: Path, base: Path, dtype: str, steps: int, recompute: bool = False) -> Told:
    """Measures our side."""
    torch, _ = libraries()
    torch.set_num_threads(1)
    learned = read_samples(samples.read_bytes())
    preset: Preset = replace(
        PRESETS["embedded-planner"], rank=RANK, alpha=2 * RANK, learning_rate=RATE, warm_steps=0,
        batch_tokens=1_000_000, dtype=dtype, recompute=recompute,
    )  # fmt: skip
    learner = Learner(open_base(base, device="cpu", dtype=dtype), preset)
    begins, seconds, gradients = peak(), [], []
    for _ in range(1 + steps):
        began = time.process_time()
        update = learner.update(learned, advantages(learned))
        seconds.append(time.process_time() - began)
        gradients.append(update.gradient)
    library = f"MIA {version('mia')}, torch {torch.__version__}"
    return Told(seconds, gradients[0], begins, peak(), library)


def alone(work: Callable[..., T], *given: object) -> T:
    """What a function returns in a fresh process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *given).result()


def theirs(python: Path, *given: object) -> Told:
    """Measures TRL's side, with its own Python. Raises CalledProcessError."""
    command = [python.absolute(), "-W", "ignore", "-m", "benchmarks.training_trl", *given]
    ran = subprocess.run(
        [str(word) for word in command], cwd=ROOT, check=True, stdout=subprocess.PIPE
    )
    return msgspec.json.decode(ran.stdout.splitlines()[-1], type=Told)


def sides(
    samples: Path, base: Path, dtype: str, steps: int, trl: Path | None
) -> Iterator[tuple[str, Told]]:
    """What each side tells, ours first; nothing of TRL's where there is none."""
    yield "MIA", alone(ours, samples, base, dtype, steps)
    yield "MIA, recompute", alone(ours, samples, base, dtype, steps, True)
    if trl is not None:
        yield "TRL", theirs(trl, samples, base, dtype, steps)
        yield "TRL, checkpointing", theirs(trl, samples, base, dtype, steps, "--checkpointing")


def row(name: str, dtype: str, side: str, told: Told, mine: Told) -> str:
    """A line of the table, with its ratios to our side's."""
    timed, of_mine = told.seconds[1:], statistics.median(mine.seconds[1:])
    median = statistics.median(timed)
    return (
        f"| {name} | {dtype} | {side} | {median:.2f} ({min(timed):.2f}–{max(timed):.2f})"
        f" | {median / of_mine:.2f} | {told.peak:,.0f} | {told.peak / mine.peak:.2f}"
        f" | {told.begins:,.0f} | {told.gradient:.3f} |"
    )


def base_of(home: Path) -> Path:
    """The embedded model in a form that can be trained; it is made when it is not there."""
    folder, about = home / "models" / "hf" / MODEL, known(MODEL)
    if not (folder / "config.json").is_file():
        weights = place(home, about)
        alone(torch_local.from_gguf, weights, Origin(name=MODEL, sha256=about.sha256), folder)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--home", type=Path, required=True, help="with the embedded model")
    parser.add_argument("--trl-python", type=Path, help="of an environment with TRL")
    parser.add_argument("--steps", type=int, default=5, help="measured, after a warm one")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    base = base_of(options.home.absolute())
    drawn = alone(draw, base)
    settings = {name: setting(name, drawn) for name in SETTINGS}
    print("\n".join(about_samples(name, samples) for name, samples in settings.items()))
    print(f"load {os.getloadavg()[0]:.1f} at the beginning; {options.steps} steps\n")
    print("| samples | dtype | side | CPU-s a step (lowest–highest) | × | peak MB | ×", end="")
    print(" | MB before | gradient |\n|---|---|---|---|---|---|---|---|---|", flush=True)
    used: set[str] = set()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "samples.jsonl"
        for name, samples in settings.items():
            file.write_bytes(write_samples(samples))
            for dtype in DTYPES:
                mine = None
                for side, told in sides(file, base, dtype, options.steps, options.trl_python):
                    mine = mine or told
                    print(row(name, dtype, side, told, mine), flush=True)
                    used.add(told.library)
    print(f"\nload {os.getloadavg()[0]:.1f} at the end; {'; '.join(sorted(used))}")


def about_samples(name: str, samples: Sequence[Sample]) -> str:
    """How many of what the samples have, as a line."""
    tokens = sum(sum(sample.mask) for sample in samples)
    told = sum(len(sample.mask) for sample in samples) - tokens
    prompts = sorted({len(sample.prompt_ids) for sample in samples})
    rows = len({(sample.prompt_ids, sample.response_ids) for sample in samples})
    return (
        f"{name}: {len(samples)} samples, {rows} different; {tokens} policy tokens, {told} of what"
        f" they were told, prompts of {' and '.join(map(str, prompts))}"
    )


if __name__ == "__main__":
    main()
