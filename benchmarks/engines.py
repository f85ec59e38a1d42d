"""Which engine answers a question of the embedded model soonest, idle and on a busy machine.

    python benchmarks/engines.py [--openvino]

A question is what the loop asks on average: 3 completions of a fresh prompt of about 180 tokens,
12 tokens each, greedy. Every row is a fresh process; the engine's start is not counted. `busy` has
one other process for each core doing arithmetic. Median of 5 questions after one to warm up.
--openvino adds OpenVINO GenAI over the same GGUF (pip install openvino-genai); it loads the model
without our adapters, so its row shows raw speed only.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from mia.config import load
from mia.models.catalog import known, place

TOKENS = 12
COMPLETIONS = 3
QUESTIONS = 5
TEXT = "The river rises in the hills north of the old town and flows past mills and meadows. "
Complete = Callable[[str], None]


def prompts(question: int) -> list[str]:
    """Fresh prompts, so that no cache of an earlier question helps."""
    return [f"Question {question}, part {part}. " + TEXT * 10 for part in range(COMPLETIONS)]


def llama_cpp(model: Path, threads: int) -> Complete:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.n_ctx, params.n_parallel, params.n_gpu_layers = 2048, 1, 0
    params.cpuparams.n_threads = threads
    params.warmup, params.verbosity = False, -1
    server = xllamacpp.Server(params)

    def complete(prompt: str) -> None:
        server.handle_completions(
            {"prompt": prompt, "max_tokens": TOKENS, "temperature": 0, "ignore_eos": True}
        )

    return complete


def openvino(model: Path, threads: int) -> Complete:
    import openvino_genai

    pipeline = openvino_genai.LLMPipeline(str(model), "CPU", INFERENCE_NUM_THREADS=threads)
    config = openvino_genai.GenerationConfig()
    config.max_new_tokens, config.ignore_eos = TOKENS, True

    def complete(prompt: str) -> None:
        pipeline.generate(prompt, config)

    return complete


def measure(engine: str, threads: int) -> None:
    """Prints the median seconds a question, in this process."""
    model = place(load().settings.folder, known("smollm2-135m"))
    complete = {"llama.cpp": llama_cpp, "openvino": openvino}[engine](model, threads)
    times: list[float] = []
    for question in range(QUESTIONS + 1):
        began = time.perf_counter()
        for prompt in prompts(question):
            complete(prompt)
        times.append(time.perf_counter() - began)
    print(f"{statistics.median(times[1:]):.2f}")


def row(engine: str, threads: int, policy: str, busy: bool) -> None:
    """Runs one configuration in a process of its own, beside busy ones if asked to."""
    others = [
        subprocess.Popen([sys.executable, "-c", "while True: sum(range(10000))"])
        for _ in range((os.cpu_count() or 1) if busy else 0)
    ]
    command = [sys.executable, __file__, "--measure", engine, "--threads", str(threads)]
    try:
        done = subprocess.run(
            command, env=os.environ | {"OMP_WAIT_POLICY": policy},
            capture_output=True, text=True, check=False, timeout=1800,
        )  # fmt: skip
    finally:
        for other in others:
            other.kill()
            other.wait()
    said = done.stdout.split()[-1] if done.returncode == 0 else "failed"
    load_name = "busy" if busy else "idle"
    print(f"| {engine} | {threads} | {policy} | {load_name} | {said} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--openvino", action="store_true")
    parser.add_argument("--measure", choices=("llama.cpp", "openvino"))
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.threads)
        return
    cores = os.cpu_count() or 1
    print("| engine | threads | idle threads | machine | seconds a question |")
    print("|---|---|---|---|---|")
    for busy in (False, True):
        for threads, policy in ((1, "PASSIVE"), (cores, "PASSIVE"), (cores, "ACTIVE")):
            row("llama.cpp", threads, policy, busy)
        if options.openvino:
            row("openvino", cores, "PASSIVE", busy)


if __name__ == "__main__":
    main()
