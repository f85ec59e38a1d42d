"""How fast the offline index is built, opened and asked, and what memory it takes.

    python benchmarks/search_speed.py --data ../shared/data
    python benchmarks/search_speed.py --synthetic 10000 100000 1000000

The first compares MIA with bm25s (pip install bm25s PyStemmer; the row is left out without it) on
the corpus of 49,856 passages, both as they come and both returning whole passages: the questions
of four development sets, one after the other, five passages each. The second makes passages of
about 60 words whose frequencies follow Zipf's law, and asks 500 queries of six words, three of
which stand together in one passage.

Every figure comes from a process of its own, which does nothing else. `memory` is by how much its
resident memory grows from before the index is opened until all is asked, pages of the index that
the system keeps for it included; `start` is from the start of the process to its first answer.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import islice
from pathlib import Path

import msgspec
import numpy as np

from mia.search.corpus import passages
from mia.types import Passage

LIMIT = 5
QUERIES = 500
VOCABULARY = 400_000
SETS = ("hotpotqa", "2wikimultihopqa", "musique", "popqa")


def rss() -> float:
    """Megabytes of this process in memory."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1000
    raise AssertionError("a process has a size")


def peak() -> float:
    """The most there ever were."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def word(number: int) -> str:
    """The name of a word: the more frequent, the shorter."""
    letters = ""
    number += 26
    while number:
        number, letter = divmod(number, 26)
        letters += "etaonrishdlfcmugypwbvkjxqz"[letter]
    return letters


def synthetic(count: int) -> Iterator[Passage]:
    """Passages of 40 to 80 words, drawn by Zipf's law with exponent 1."""
    rng = np.random.default_rng(0)
    words = [word(n) for n in range(VOCABULARY)]
    weights = np.cumsum(1 / np.arange(1, VOCABULARY + 1))
    for begin in range(0, count, 1000):
        lengths = rng.integers(40, 81, min(1000, count - begin))
        drawn = np.searchsorted(weights, rng.random(lengths.sum() + 2 * len(lengths)) * weights[-1])
        place = 0
        for offset, length in enumerate(lengths.tolist()):
            said = [words[n] for n in drawn[place : place + length + 2].tolist()]
            place += length + 2
            yield Passage(
                id=f"p{begin + offset}", title=" ".join(said[:2]).title(), text=" ".join(said[2:])
            )


def write(count: int, path: Path) -> None:
    """Synthetic passages as a corpus."""
    with path.open("wb") as file:
        for passage in synthetic(count):
            file.write(msgspec.json.encode(passage) + b"\n")


def queries(corpus: Path) -> list[str]:
    """What is asked: real questions, or words of synthetic passages but for the most frequent ones,
    which are left out of real queries too."""
    if not corpus.name.startswith("synthetic"):
        lines = [
            line for name in SETS for line in (corpus.parents[1] / "dev" / f"{name}.jsonl").open()
        ]
        return [json.loads(line)["question"] for line in lines]
    chance, frequent = random.Random(0), {word(n) for n in range(50)}
    known = [p.text.split() for p in islice(passages(corpus), 10_000)]
    telling = [[one for one in said if one not in frequent] for said in known]
    drawn = [(chance.choice(telling), chance.choice(telling)) for _ in range(QUERIES)]
    return [" ".join([*chance.sample(near, 3), *chance.sample(far, 3)]) for near, far in drawn]


def build_mia(corpus: Path, folder: Path) -> None:
    from mia.search.indexes import build

    build(passages(corpus), folder)


def open_mia(folder: Path) -> Callable[[str], object]:
    from mia.search.bm25 import BM25

    engine = BM25(folder)
    return lambda query: engine.search_now(query, LIMIT)


def build_bm25s(corpus: Path, folder: Path) -> None:
    import bm25s
    import Stemmer

    rows = [{"id": p.id, "title": p.title, "text": p.text} for p in passages(corpus)]
    texts = [f"{row['title']}\n{row['text']}" for row in rows]
    stemmer = Stemmer.Stemmer("english")
    cut = bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False)
    engine = bm25s.BM25()
    engine.index(cut, show_progress=False)
    engine.save(str(folder), corpus=rows)


def open_bm25s(folder: Path, mmap: bool) -> Callable[[str], object]:
    import bm25s
    import Stemmer

    stemmer = Stemmer.Stemmer("english")
    engine = bm25s.BM25.load(str(folder), mmap=mmap, load_corpus=True)

    def find(query: str) -> object:
        words = bm25s.tokenize([query], stopwords="en", stemmer=stemmer, show_progress=False)
        return engine.retrieve(words, k=LIMIT, show_progress=False)

    return find


def preload(engine: str) -> None:
    """Imports what an engine needs, so that only its index counts as growth."""
    for module in ("mia.search.bm25",) if engine == "MIA" else ("bm25s", "Stemmer"):
        import_module(module)


def opened(engine: str, folder: Path) -> Callable[[str], object]:
    return open_mia(folder) if engine == "MIA" else open_bm25s(folder, engine == "bm25s, mapped")


def child(task: str, engine: str, corpus: Path, folder: Path) -> dict[str, float]:
    """One figure or a few, measured in this process."""
    if task == "build":
        began = time.perf_counter()
        (build_mia if engine == "MIA" else build_bm25s)(corpus, folder)
        took = time.perf_counter() - began
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        return {"build": took, "disk": size / 1e6, "build_peak": peak()}
    if task == "start":
        opened(engine, folder)("Where was the director of Casablanca born?")
        return {}
    asked = queries(corpus)
    preload(engine)
    before = rss()
    find = opened(engine, folder)
    times = []
    for query in asked:
        began = time.perf_counter()
        find(query)
        times.append(1000 * (time.perf_counter() - began))
    p50, p99 = np.percentile(times, [50, 99])
    return {"p50": p50, "p99": p99, "memory": rss() - before}


def run(task: str, engine: str, corpus: Path, folder: Path) -> dict[str, float]:
    """`child` in a process of its own."""
    command = [sys.executable, __file__, "--task", task, engine, str(corpus), str(folder)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(said.splitlines()[-1])


def figures(engine: str, corpus: Path, folder: Path, built: dict[str, float]) -> dict[str, float]:
    """Everything about one engine over one corpus; the best of three starts."""
    starts = []
    for _ in range(3):
        began = time.perf_counter()
        run("start", engine, corpus, folder)
        starts.append(1000 * (time.perf_counter() - began))
    return built | run("ask", engine, corpus, folder) | {"start": min(starts)}


def row(name: str, found: dict[str, float], style: str = "") -> str:
    """A line of the table; `style` is how all its numbers are written."""
    columns = {"build": ".1f", "build_peak": ",.0f", "disk": ",.0f", "start": ",.0f",
               "p50": ".2f", "p99": ".2f", "memory": ",.0f"}  # fmt: skip
    cells = (f"{found[column]:{style or usual}}" for column, usual in columns.items())
    return f"| {name} | {' | '.join(cells)} |"


HEAD = (
    "| | build s | build peak MB | disk MB | start ms | p50 ms | p99 ms | memory MB |\n"
    "|---|---|---|---|---|---|---|---|"
)


def compare(corpus: Path, work: Path) -> None:
    """Prints MIA beside bm25s, and the ratios."""
    print(HEAD)
    built = run("build", "MIA", corpus, work / "mia")
    mine = figures("MIA", corpus, work / "mia", built)
    print(row("MIA", mine), flush=True)
    try:
        built = run("build", "bm25s", corpus, work / "bm25s")
    except subprocess.CalledProcessError as error:
        print(f"bm25s: {error.stderr.splitlines()[-1]}")
        return
    for name in ("bm25s", "bm25s, mapped"):
        peer = figures(name, corpus, work / "bm25s", built)
        print(row(name, peer))
        ratios = {key: value / mine[key] for key, value in peer.items()}
        print(row(f"{name} / MIA", ratios, ".1f"), flush=True)


def grow(counts: list[int], work: Path) -> None:
    """Prints how the figures grow with the corpus."""
    print(HEAD)
    for count in counts:
        corpus, folder = work / f"synthetic-{count}.jsonl", work / str(count)
        write(count, corpus)
        built = run("build", "MIA", corpus, folder)
        print(row(f"{count:,}", figures("MIA", corpus, folder, built)), flush=True)
        shutil.rmtree(folder)
        corpus.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--synthetic", type=int, nargs="+")
    parser.add_argument("--task", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        task, engine, corpus, folder = options.task
        print(json.dumps(child(task, engine, Path(corpus), Path(folder))))
        return
    with tempfile.TemporaryDirectory() as work:
        if options.synthetic:
            grow(options.synthetic, Path(work))
        if options.data:
            compare(options.data / "corpus" / "corpus.jsonl", Path(work))


if __name__ == "__main__":
    main()
