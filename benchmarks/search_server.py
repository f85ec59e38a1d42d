"""How many retrievals a second the search server answers, beside bm25s behind a minimal FastAPI.

    apt-get install wrk
    pip install bm25s==0.3.16 PyStemmer
    python benchmarks/search_server.py --data ../shared/data

Both serve the same 49,856 passages over HTTP on this machine, one process each, and are asked
`POST /retrieve` with one question of the development sets at a time (topk 3, with scores) by wrk:
16 connections, 10 s after a warm-up, three rounds in turn; medians. The load and the servers share
the cores. Before that each server's answers to 50 questions are looked at: every one has passages.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SETS = ("hotpotqa", "2wikimultihopqa", "musique", "popqa")
CONNECTIONS, SECONDS, ROUNDS = 16, 10, 3
PEER = """
import json, sys
import bm25s, Stemmer
from fastapi import FastAPI
from pydantic import BaseModel

rows = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
contents = ['"' + row["title"] + '"\\n' + row["text"] for row in rows]
stemmer = Stemmer.Stemmer("english")
index = bm25s.BM25()
index.index(bm25s.tokenize(contents, stemmer=stemmer, show_progress=False), show_progress=False)
app = FastAPI()

class Asked(BaseModel):
    queries: list[str]
    topk: int = 3
    return_scores: bool = False

@app.post("/retrieve")
def retrieve(asked: Asked):
    tokens = bm25s.tokenize(asked.queries, stemmer=stemmer, show_progress=False)
    found, scores = index.retrieve(tokens, k=asked.topk, show_progress=False)
    return {"result": [
        [{"document": {"id": rows[i]["id"], "contents": contents[i]}, "score": float(s)}
         for i, s in zip(ids, marks)] for ids, marks in zip(found.tolist(), scores.tolist())]}

import uvicorn
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="error")
"""
LUA = """
local bodies = {}
for line in io.lines("%s") do bodies[#bodies + 1] = line end
local at = 0
request = function()
  at = at %% #bodies + 1
  return wrk.format("POST", "/retrieve", {["Content-Type"] = "application/json"}, bodies[at])
end
done = function(summary, latency, _)
  local bad = summary.errors.status + summary.errors.connect + summary.errors.read
    + summary.errors.timeout
  print(string.format("DONE %%f %%f %%f %%d", summary.requests / summary.duration * 1e6,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000, bad))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What one round of wrk found."""

    per_second: float
    p50_ms: float
    p99_ms: float
    bad: int


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running(command: list[str], port: int) -> Iterator[int]:
    """A server, once it answers."""
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 120
        while True:
            try:
                answers(port, "a town")
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > end:
                    sys.exit(f"{' '.join(command)[:100]} does not answer")
                time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait()


def answers(port: int, query: str) -> list[object]:
    body = json.dumps({"queries": [query], "topk": 3, "return_scores": True}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/retrieve", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["result"][0]


def load(port: int, script: Path, seconds: int) -> Load:
    told = subprocess.run(
        ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "10s", "-s", str(script),
         f"http://127.0.0.1:{port}"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    found = re.search(r"DONE (\S+) (\S+) (\S+) (\d+)", told)
    assert found, told
    return Load(float(found[1]), float(found[2]), float(found[3]), int(found[4]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("this needs wrk: apt-get install wrk")
    corpus = options.data / "corpus/corpus.jsonl"
    lines = [line for name in SETS for line in (options.data / f"dev/{name}.jsonl").open()]
    questions = [json.loads(line)["question"] for line in lines]
    mine, peer = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        bodies = [json.dumps({"queries": [question], "topk": 3, "return_scores": True})
                  for question in questions]  # fmt: skip
        (place / "bodies").write_text("\n".join(bodies), encoding="utf-8")
        (place / "post.lua").write_text(LUA % (place / "bodies"), encoding="utf-8")
        (place / "peer.py").write_text(PEER, encoding="utf-8")
        ours = [sys.executable, "-m", "mia", "serve", "search", "--corpus", str(corpus),
                "--no-web", "--port", str(mine), "--home", folder]  # fmt: skip
        theirs = [sys.executable, str(place / "peer.py"), str(corpus), str(peer)]
        with running(ours, mine), running(theirs, peer):
            ports = {"MIA": mine, "bm25s, FastAPI": peer}
            for port in ports.values():
                assert all(len(answers(port, question)) == 3 for question in questions[:50])
            rounds: dict[str, list[Load]] = {name: [] for name in ports}
            for port in ports.values():
                load(port, place / "post.lua", 3)
            for _ in range(ROUNDS):
                for name, port in ports.items():
                    rounds[name].append(load(port, place / "post.lua", SECONDS))
    print(f"{len(questions)} questions, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    print("| server | requests/s | × | p50 ms | p99 ms | errors |\n|---|---|---|---|---|---|")
    pairs = zip(rounds["MIA"], rounds["bm25s, FastAPI"], strict=True)
    ratio = statistics.median(ours.per_second / theirs.per_second for ours, theirs in pairs)
    for name, found in rounds.items():
        speed, p50, p99 = (
            statistics.median(getattr(each, field) for each in found)
            for field in ("per_second", "p50_ms", "p99_ms")
        )
        times = f"{ratio:.1f}" if name == "MIA" else "1"
        bad = sum(each.bad for each in found)
        print(f"| {name} | {speed:.0f} | {times} | {p50:.1f} | {p99:.1f} | {bad} |")


if __name__ == "__main__":
    main()
