"""What learning costs those who ask, and whether versions change unnoticed.

    python -m benchmarks.serving --home HOME_WITH_MODELS > serving.jsonl

First, two servers of the embedded model are asked the same questions in turn, one after the other:
one alone, while the other's learner is stopped; and one with --learn, whose learner explores and
updates meanwhile (at the lowest priority, on one thread). Right answers go to it as feedback, some
of them before, so that there is always something to learn from. The figure is p50 and p95 of
`POST /v1/ask` with learning over without, beside the share of a core that the learner used while
others waited for their answers: where that is small, the figure says nothing.

Then one server is asked by four at once while versions of its planner are promoted and rolled back.
A question counts as lost that has no answer of the server's, and as mixed where the journal has
another version than the client was told, or more than one episode of it.

A JSON line for each ask; a table at the end. The questions are the demo's, over the demo's corpus.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from mia.cli.output import print_json, progress
from mia.demo import world
from mia.engines import adapters
from mia.models.catalog import known
from mia.training.versions import GGUF, Draft, shelf

BEFORE = 6
"""Questions whose right answers the learner has before anything is measured."""
WARM = 2
"""Questions to each server that are not counted."""
CLIENTS = 4
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Server:
    """A process that serves."""

    url: str
    home: Path

    def call(self, path: str, body: Any = None) -> Any:
        """Raises URLError."""
        raw = None if body is None else json.dumps(body).encode()
        request = Request(f"{self.url}{path}", raw, {"Content-Type": "application/json"})
        with urlopen(request, timeout=600) as answer:
            return json.load(answer)

    def ask(self, question: str, id: str) -> tuple[float, Any]:
        """Seconds, and the answer."""
        began = time.perf_counter()
        told = self.call("/v1/ask", {"question": question, "id": id})
        return time.perf_counter() - began, told

    @property
    def learner(self) -> Any:
        """What GET /v1/learning says of it."""
        return self.call("/v1/learning")["learner"]


@contextmanager
def serving(home: Path, models: Path, *options: str) -> Generator[Server]:
    """`mia serve` in an empty home that has the models of another."""
    home.mkdir()
    (home / "models").symlink_to(models)
    settings = home / "mia.toml"
    settings.write_text(f'home = "{home}"\n')
    process = subprocess.Popen(
        [sys.executable, "-m", "mia", "serve", "--port", "0", "--config", str(settings), *options],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    line = process.stderr.readline()
    while "listening on" not in line:
        if not line:
            raise SystemExit("the server ended")
        line = process.stderr.readline()
    url = line.split()[2]
    rest = threading.Thread(target=sys.stderr.writelines, args=(process.stderr,))
    rest.start()
    try:
        yield Server(url, home)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()
        rest.join()


def cpu(pid: int) -> float:
    """Seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def compare(models: Path, questions: int, learning: Sequence[str], folder: Path) -> None:
    """Asks two servers in turn."""
    asked = world.questions()
    with ExitStack() as opened:
        alone = opened.enter_context(serving(folder / "alone", models))
        learns = opened.enter_context(serving(folder / "learns", models, "--learn", *learning))
        number = count()

        def tell(which: Server, at: int) -> tuple[float, Any]:
            question = asked[at % len(asked)]
            taken, told = which.ask(question.question, f"q{next(number)}")
            if which is learns:
                said = {"episode": told["episode"], "answer": question.answers[0]}
                learns.call("/v1/feedback", said)
            return taken, told

        for at in range(BEFORE):
            tell(learns, at)
        for at in range(WARM):
            tell(alone, at)
        while learns.learner["report"] is None or not learns.learner["report"]["explored"]:
            time.sleep(0.5)
        pid = learns.learner["process"]["pid"]
        seconds: dict[bool, list[float]] = {True: [], False: []}
        worked = 0.0
        with progress() as bar:
            task = bar.add_task("asking in turn", total=questions)
            for at in range(questions):
                for on in (True, False) if at % 2 else (False, True):
                    os.kill(pid, signal.SIGCONT if on else signal.SIGSTOP)
                    before = cpu(pid)
                    taken, told = tell(learns if on else alone, BEFORE + at)
                    worked += cpu(pid) - before if on else 0.0
                    seconds[on].append(taken)
                    print_json({"learning": on, "seconds": taken, "version": told["version"],
                                "outcome": told["outcome"]})  # fmt: skip
                os.kill(pid, signal.SIGCONT)
                bar.advance(task)
        report = learns.learner["report"]
    rows = {name: [_percentile(seconds[on], share) for on in (True, False)]
            for name, share in (("p50", 0.5), ("p95", 0.95))}  # fmt: skip
    print("\n| | with learning | without | with ÷ without |\n|---|---|---|---|", file=sys.stderr)
    for name, (on, off) in rows.items():
        print(f"| {name} of /v1/ask | {on:.2f} s | {off:.2f} s | {on / off:.2f} |", file=sys.stderr)
    print(
        f"\n{questions} questions to each; the learner used {worked / sum(seconds[True]):.0%} of a"
        f" core while they were answered, and came to {report['explored']} explored questions,"
        f" {report['updates']} updates, version {report['version']}",
        file=sys.stderr,
    )


def switch(models: Path, requests: int, switches: int, folder: Path) -> None:
    """Changes versions while four ask."""
    asked = world.questions()
    with serving(folder / "switches", models) as server, ThreadPoolExecutor(CLIENTS) as pool:
        policies = shelf(server.home, "planner")
        done: list[tuple[float, Any]] = []
        lost: list[str] = []

        def one(number: int) -> None:
            question = asked[number % len(asked)]
            try:
                taken, told = server.ask(question.question, f"s{number}")
            except (URLError, OSError) as error:
                lost.append(str(error))
                return
            done.append((taken, told))
            print_json({"request": number, "seconds": taken, "version": told["version"],
                        "outcome": told["outcome"]})  # fmt: skip

        futures = [pool.submit(one, number) for number in range(requests)]
        with progress() as bar:
            task = bar.add_task("asking under switches", total=requests)
            for number in range(switches):
                _switch(policies, number)
                share = (number + 1) * requests // switches
                while (came := len(done) + len(lost)) < share:
                    bar.update(task, completed=came)
                    time.sleep(0.05)
            bar.update(task, completed=len(done) + len(lost))
        for future in futures:
            future.result()
        kept = [server.call(f"/v1/episodes/{told['episode']}")["episode"] for _, told in done]
    mixed = (
        sum(
            each.get("version") != told["version"]
            for each, (_, told) in zip(kept, done, strict=True)
        )
        + len(done)
        - len({each["id"] for each in kept})
    )
    failed = sum(told["outcome"].startswith("failed") for _, told in done)
    seconds = [taken for taken, _ in done]
    print(
        f"\n{requests} requests, {switches} switches, {len({t['version'] for _, t in done})}"
        f" versions answered; {len(lost)} lost, {mixed} mixed, {failed} failed; p50"
        f" {_percentile(seconds, 0.5):.2f} s, p95 {_percentile(seconds, 0.95):.2f} s, longest"
        f" {max(seconds):.2f} s at {CLIENTS} at once",
        file=sys.stderr,
    )


def _switch(policies: Any, number: int) -> None:
    """Promotes a new version, the shipped adapter once more; each fifth time goes back instead."""
    if number % 5 == 4:
        policies.rollback()
        return

    def fill(folder: Path) -> None:
        (folder / GGUF).write_bytes(adapters()["planner"].read_bytes())

    base = known("smollm2-135m")
    draft = Draft(base=base.name, base_sha256=base.sha256, made_by="imported")
    policies.promote(policies.publish(draft, fill).number)


def _percentile(values: Sequence[float], share: float) -> float:
    if len(values) < 2:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[round(share * 100) - 1]


def main() -> None:
    """Both figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--home", type=Path, required=True, help="where the models are")
    parser.add_argument("--questions", type=int, default=100, help="to each server; 0 for none")
    parser.add_argument("--requests", type=int, default=500, help="under switches; 0 for none")
    parser.add_argument("--switches", type=int, default=20)
    parser.add_argument(
        "--learning", default="--set questions=2", help="options of the server that learns"
    )
    args = parser.parse_args()
    models = (args.home / "models").resolve()
    with tempfile.TemporaryDirectory() as folder:
        if args.questions:
            compare(models, args.questions, args.learning.split(), Path(folder))
        if args.requests:
            switch(models, args.requests, args.switches, Path(folder))


if __name__ == "__main__":
    main()
