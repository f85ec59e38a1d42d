"""Which engine reads a passage soonest with the embedded model, idle and on a busy machine.

    python benchmarks/engines.py [--openvino]

The work is the reader's: a passage that was not seen before, a question, an answer held to the
passage's spans by a grammar. Every row is a fresh process; its start and first reading are not
counted. `busy` has one other process for each core doing arithmetic. Median of three runs of the
mean of 8 readings. Without --openvino only llama.cpp is measured; OpenVINO GenAI
(pip install openvino-genai) loads the same file, without our adapter: its row shows speed only.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from mia.config import load
from mia.engines import adapters
from mia.executors.stepwise.reader import reading_messages, span_grammar
from mia.model import Grammar, Sampling
from mia.models.catalog import known, place
from mia.models.llama_cpp import Engine, chatml
from mia.snippets import snippet
from mia.types import Passage

READINGS = 8
RUNS = 3
ANSWER_TOKENS = 24
POLICIES = {
    "sleep": {"OMP_WAIT_POLICY": "PASSIVE"},
    "spin briefly": {"GOMP_SPINCOUNT": "1000"},
    "spin longer": {"GOMP_SPINCOUNT": "10000"},
    "spin": {"OMP_WAIT_POLICY": "ACTIVE"},
}
"""What a thread of llama.cpp does while it waits for the others."""
TEXT = (
    "{title} is a {year} Norwegian drama film. It was directed by Arne Berg{number} and stars Tone "
    "Lund. The film was shot in Bergen and released in Oslo. It won several awards at festivals in "
    "Europe and was praised by critics for its music and for the photography of the coast."
)
Read = Callable[[str, str], Awaitable[object]]
"""A snippet and a question, read."""


def llama_cpp(model: Path, threads: int) -> Read:
    role = Engine(model, adapters(), threads).role("reader")

    async def read(cut: str, question: str) -> object:
        return await role.reply(
            reading_messages(cut, question),
            sampling=Sampling(max_tokens=ANSWER_TOKENS),
            shape=Grammar(gbnf=span_grammar(cut)),
        )

    return read


def openvino(model: Path, threads: int) -> Read:
    import openvino_genai

    pipeline = openvino_genai.LLMPipeline(str(model), "CPU", INFERENCE_NUM_THREADS=threads)

    async def read(cut: str, question: str) -> object:
        config = openvino_genai.GenerationConfig()
        config.max_new_tokens, config.apply_chat_template = ANSWER_TOKENS, False
        config.structured_output_config = openvino_genai.StructuredOutputConfig()
        config.structured_output_config.grammar = span_grammar(cut)
        return pipeline.generate(chatml(reading_messages(cut, question)), config)

    return read


async def measure(engine: str, threads: int) -> float:
    """Mean seconds a reading, in this process."""
    model = place(load().settings.folder, known("smollm2-135m"))
    read = {"llama.cpp": llama_cpp, "openvino": openvino}[engine](model, threads)
    took: list[float] = []
    for number in range(READINGS + 1):
        title = f"Night Train {number}"
        text = TEXT.format(title=title, number=number, year=1940 + number)
        question = f"Who directed {title}?"
        cut = snippet(Passage(id=str(number), title=title, text=text), question)
        began = time.perf_counter()
        await read(cut, question)
        took.append(time.perf_counter() - began)
    return statistics.mean(took[1:])


def row(engine: str, threads: int, policy: str, busy: bool) -> None:
    """Runs one configuration in processes of its own, beside busy ones if asked to."""
    others = [
        subprocess.Popen([sys.executable, "-c", "while True: sum(range(10000))"])
        for _ in range((os.cpu_count() or 1) if busy else 0)
    ]
    command = [sys.executable, __file__, "--measure", engine, "--threads", str(threads)]
    environment = os.environ | POLICIES.get(policy, {})
    try:
        took = [
            float(
                subprocess.run(
                    command, env=environment, capture_output=True, text=True, check=True
                ).stdout.split()[-1]
            )
            for _ in range(RUNS)
        ]
    finally:
        for other in others:
            other.kill()
            other.wait()
    state = "busy" if busy else "idle"
    print(
        f"| {engine} | {threads} | {policy} | {state} | {statistics.median(took):.2f} |", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--openvino", action="store_true")
    parser.add_argument("--measure", choices=("llama.cpp", "openvino"))
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if options.measure:
        print(asyncio.run(measure(options.measure, options.threads)))
        return
    cores = os.cpu_count() or 1
    print("| engine | threads | a waiting thread | machine | seconds a reading |")
    print("|---|---|---|---|---|")
    for busy in (False, True):
        row("llama.cpp", 1, "-", busy)
        for policy in POLICIES:
            row("llama.cpp", cores, policy, busy)
        if options.openvino:
            row("openvino", cores, "-", busy)


if __name__ == "__main__":
    main()
