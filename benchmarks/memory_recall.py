"""How fast a memory finds what may help, beside the stores that other agents' memories stand on.

    pip install chromadb==1.5.9 lancedb==0.40.0 mem0ai==2.2.1 qdrant-client==1.20.0
    python benchmarks/memory_recall.py
    python benchmarks/memory_recall.py --sizes 10000 --peers chromadb,lancedb --json out.json

Every store holds the same N records: a vector of 384 dimensions, a namespace (4), a category (5),
an outcome, uses, wins, and a workflow as JSON. A question names a namespace and a category, which
keeps 5 % of the records, and wants the best 2 successes and the best failure by MIA's score (.7
similarity + .3 value + .3 frequency) among those that are near enough by MIA's rules. MIA ranks by
that itself: WorkflowMemory's whole recall, whose embedder hands out given vectors. The others rank
by similarity, so they are asked for the 50 nearest of each outcome, ranked again in Python.

  mia            SqliteStore; two vectors a record, because it also knows questions as asked
  chromadb       persistent client, HNSW by its defaults, one metadata filter a field
  chromadb-key   the same folder, asked by one combined metadata field
  lancedb        no index: every vector is compared
  lancedb-index  IVF_FLAT over the vectors, bitmaps over the fields
  mem0           its vector store as `Memory()` makes it: qdrant's local mode on disk

One process a store and run, held to one core. 3 runs, which take turns between the stores; medians
of them. `×` is a store's p50 by MIA's p50 of the same run. Recall is compared with numpy over all
records. What does not fit under the caps is reported as that. MIA does not depend on any of these.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from queue import Queue
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from mia.memories.workflow.classify import category as category_of
from mia.memories.workflow.recall import Rules
from mia.memory import frequency, score, value
from mia.types import Question, Workflow, WorkflowStep, encode

DIMENSIONS = 384
SEED = 0
RUNS = 3
WARM_UP, QUERIES = 5, 100
ENOUGH_QUERIES, ENOUGH_SECONDS, MOST_SECONDS = 34, 10.0, 15.0
"""A run stops early when it has both of the first two, or all of the last."""
OVERFETCH = 50
DISTRIBUTIONS = ("mia", "numpy", "chromadb", "lancedb", "mem0ai", "qdrant-client")
RULES = Rules()
"""MIA's defaults: how many of each outcome, how near, and how scored. The same for everybody."""
WEIGHTS = RULES.weights
WANTED = RULES.k_successes + RULES.k_failures
FAMILIES, NAMESPACES = 200, 4
# one question for each category, as MIA's own rules see it
ASKED = {
    "location": "Where was the director of film Item born?",
    "human": "Who directed the film Item?",
    "time": "When did the director of film Item die?",
    "property": "How many people live in Item?",
    "definition": "What does the word item mean?",
}
CATEGORIES = tuple(ASKED)
ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "RAYON_NUM_THREADS",
        "TOKIO_WORKER_THREADS",
    ),
    "1",
)  # LANCE_CPU_THREADS=1 is left out: with it lancedb 0.40.0 never finishes an index
SILENT = {
    "MEM0_TELEMETRY": "False",
    "MEM0_DIR": str(Path(tempfile.gettempdir(), "mem0-of-benchmarks")),
    "ANONYMIZED_TELEMETRY": "False",
}

Vector = NDArray[np.float32]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Record:
    """What every store keeps."""

    number: int
    vector: Vector
    namespace: str
    category: str
    outcome: str
    uses: int
    wins: int

    @property
    def fields(self) -> dict[str, str | int]:
        """What can be filtered by, and what the score needs."""
        return {
            "namespace": self.namespace,
            "category": self.category,
            "outcome": self.outcome,
            "key": f"{self.namespace}|{self.category}|{self.outcome}",
            "uses": self.uses,
            "wins": self.wins,
        }

    @property
    def workflow(self) -> Workflow:
        """A workflow of the usual size, about 1.2 kB of JSON."""
        ways = ("director", "composer", "founder", "author", "mother")
        way = ways[self.number % len(ways)]
        steps = tuple(
            WorkflowStep(
                tool="search",
                purpose=f"Who is the {way} of [A], looked up in way {self.number}?",
                query=f"{way} of [A] {self.number}; who is the {way} of [A]",
                yielded="a person" if at < 2 else "a date",
            )
            for at in range(3)
        )
        return Workflow(
            id=f"w{self.number:08d}",
            namespace=self.namespace,
            question=f"{ASKED[self.category]} ({self.number})",
            question_template=ASKED[self.category].replace("Item", "[A]"),
            category=self.category,
            steps=steps,
            summary="\n".join(f"#{n} {s.purpose} -> {s.yielded}" for n, s in enumerate(steps, 1)),
            plan="\n".join(f"#{n} {s.purpose}" for n, s in enumerate(steps, 1)) + "\nanswer #3",
            outcome="success" if self.outcome == "success" else "failure",
            verdict_kind="exact_match",
            confidence=1.0,
            question_id=f"q{self.number}",
            uses=self.uses,
            wins=self.wins,
            created="2026-01-01T00:00:00.000+00:00",
            source_episode=f"e{self.number}",
            source_domains=("corpus",),
        )

    @property
    def body(self) -> str:
        return encode(self.workflow).decode()


@dataclass(frozen=True, slots=True)
class Found:
    """One answer of a store that ranks by similarity only."""

    number: int
    similarity: float
    uses: int
    wins: int
    body: str


def best(found: Iterable[Found], floor: float, most: int) -> list[Found]:
    """What MIA would pick of these."""

    def mark(item: Found) -> float:
        known = value(item.uses, item.wins, WEIGHTS)
        return score(item.similarity, known, frequency(item.uses), WEIGHTS)

    near = (item for item in found if item.similarity >= floor)
    return sorted(near, key=lambda item: (-mark(item), item.number))[:most]


def floor_of(nearest: float) -> float:
    """Similarity from which a workflow counts, when this is the nearest one."""
    return max(RULES.floor, nearest - RULES.margin)


class World:
    """The records of one size, the questions, and the right answers; kept in a folder."""

    def __init__(self, folder: Path) -> None:
        self._vectors_ND: Vector = np.load(folder / "vectors.npy", mmap_mode="r")
        with np.load(folder / "columns.npz") as columns:
            self._columns = {name: columns[name] for name in columns.files}
        with np.load(folder / "queries.npz") as queries:
            self._queries = {name: queries[name] for name in queries.files}

    def __len__(self) -> int:
        return len(self._vectors_ND)

    def records(self) -> Iterator[Record]:
        columns = [self._columns[c].tolist() for c in ("space", "kind", "won", "uses", "wins")]
        for number, (space, kind, won, uses, wins) in enumerate(zip(*columns, strict=True)):
            yield Record(
                number=number,
                vector=np.array(self._vectors_ND[number]),
                namespace=f"tenant-{space}",
                category=CATEGORIES[kind],
                outcome="success" if won else "failure",
                uses=uses,
                wins=wins,
            )

    def queries(self) -> Iterator[tuple[Vector, str, str, frozenset[int]]]:
        """Vector, namespace, category, and the numbers of the right answers."""
        names = ("vectors", "space", "kind", "right")
        rows = zip(*(self._queries[name] for name in names), strict=True)
        for vector, space, kind, right in rows:
            yield vector, f"tenant-{space}", CATEGORIES[kind], frozenset(right.tolist())


def unit(rows: Vector) -> Vector:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def draw(rng: np.random.Generator, size: int, given: Vector | None) -> tuple[Vector, Any]:
    """Vectors and the families they belong to: seeded clusters, or given vectors by the nearest of
    200 of them. Two of one synthetic family have a cosine of about .64 to .94."""
    if given is not None:
        picked = given[rng.permutation(len(given))[:size]].astype(np.float32)
        return picked, np.argmax(picked @ picked[:FAMILIES].T, axis=1)
    centres = unit(rng.standard_normal((FAMILIES, DIMENSIONS), dtype=np.float32))
    family = rng.integers(0, FAMILIES, size)
    noise = unit(rng.standard_normal((size, DIMENSIONS), dtype=np.float32))
    near = rng.uniform(0.80, 0.97, (size, 1)).astype(np.float32)
    return unit(centres[family] * near + noise * np.sqrt(1 - near**2)), family


def make_world(folder: Path, size: int, given: Vector | None) -> None:
    """Writes the records and those questions that have at least three right answers."""
    rng = np.random.default_rng([SEED, size])
    spare = 20 * QUERIES if given is None else min(20 * QUERIES, len(given) - size)
    if spare < QUERIES:
        raise SystemExit(f"{size} records need at least {size + QUERIES} vectors")
    vectors_ND, family = draw(rng, size + spare, given)
    space = rng.integers(0, NAMESPACES, size + spare)
    kind = family % len(CATEGORIES)
    won = rng.random(size) < 0.6
    uses = np.minimum(rng.geometric(0.15, size) - 1, 60)
    wins = rng.binomial(uses, rng.beta(2, 2, size))
    value_N = (wins + WEIGHTS.prior_wins) / (uses + WEIGHTS.prior_wins + WEIGHTS.prior_losses)
    earned_N = WEIGHTS.value * value_N + WEIGHTS.frequency / (uses + 1)
    rows: list[int] = []
    right: list[list[int]] = []
    for row in range(size, size + spare):
        cell = np.flatnonzero((space[:size] == space[row]) & (kind[:size] == kind[row]))
        sims = vectors_ND[cell].astype(np.float64) @ vectors_ND[row].astype(np.float64)
        near = sims >= floor_of(float(sims.max(initial=0.0)))
        # rounded, so that equal vectors come in the order of their numbers
        marks = np.where(near, (WEIGHTS.similarity * sims + earned_N[cell]).round(12), -1.0)
        picked: list[int] = []
        for outcome, most in ((True, RULES.k_successes), (False, RULES.k_failures)):
            order = np.argsort(-np.where(won[cell] == outcome, marks, -1.0), kind="stable")[:most]
            picked += [int(cell[at]) for at in order if marks[at] > 0 and won[cell[at]] == outcome]
        if len(picked) == WANTED:
            rows.append(row)
            right.append(picked)
        if len(rows) == WARM_UP + QUERIES:
            break
    else:
        raise SystemExit(f"only {len(rows)} of {spare} vectors have three relevant records")
    folder.mkdir(parents=True)
    np.save(folder / "vectors.npy", vectors_ND[:size])
    np.savez(folder / "columns.npz", space=space[:size], kind=kind[:size], won=won,
             uses=uses, wins=wins)  # fmt: skip
    np.savez(folder / "queries.npz", vectors=vectors_ND[rows], space=space[rows], kind=kind[rows],
             right=np.array(right))  # fmt: skip


class Store(Protocol):
    """One way of keeping the records in a folder."""

    def fill(self, records: Iterable[Record]) -> None: ...

    def ask(self, vector: Vector, namespace: str, category: str) -> list[tuple[int, str]]:
        """Numbers and bodies of the best 2 successes and the best failure."""
        ...


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


class Peer:
    """A store that is asked for the nearest of each outcome and ranked again."""

    def ask(self, vector: Vector, namespace: str, category: str) -> list[tuple[int, str]]:
        worked = self.nearest(vector, namespace, category, "success")
        failed = self.nearest(vector, namespace, category, "failure")
        floor = floor_of(max((item.similarity for item in (*worked, *failed)), default=0.0))
        picked = best(worked, floor, RULES.k_successes) + best(failed, floor, RULES.k_failures)
        return [(item.number, item.body) for item in picked]

    def nearest(self, vector: Vector, namespace: str, category: str, outcome: str) -> list[Found]:
        raise NotImplementedError


class Chroma(Peer):
    def __init__(self, folder: Path) -> None:
        import chromadb

        client = chromadb.PersistentClient(str(folder))
        self.collection: Any = client.get_or_create_collection("memory", embedding_function=None)

    def fill(self, records: Iterable[Record]) -> None:
        for batch in batches(records, 1000):
            self.add(batch)

    def add(self, batch: Sequence[Record]) -> None:
        self.collection.add(
            ids=[str(record.number) for record in batch],
            embeddings=np.stack([record.vector for record in batch]),
            documents=[record.body for record in batch],
            metadatas=[record.fields for record in batch],
        )

    def where(self, namespace: str, category: str, outcome: str) -> dict[str, Any]:
        return {
            "$and": [{"namespace": namespace}, {"category": category}, {"outcome": outcome}],
        }

    def nearest(self, vector: Vector, namespace: str, category: str, outcome: str) -> list[Found]:
        found = self.collection.query(
            query_embeddings=[vector],
            n_results=OVERFETCH,
            where=self.where(namespace, category, outcome),
            include=["metadatas", "distances", "documents"],
        )
        names = ("ids", "distances", "metadatas", "documents")
        return [
            # squared L2 of unit vectors, its default
            Found(int(id), 1 - distance / 2, fields["uses"], fields["wins"], body)
            for id, distance, fields, body in zip(*(found[n][0] for n in names), strict=True)
        ]


class ChromaKey(Chroma):
    def where(self, namespace: str, category: str, outcome: str) -> dict[str, Any]:
        return {"key": f"{namespace}|{category}|{outcome}"}


class Lance(Peer):
    def __init__(self, folder: Path) -> None:
        import lancedb
        import pyarrow as pa

        names = ("namespace", "category", "outcome", "body")
        self._schema = pa.schema(
            [("number", pa.int64()), ("vector", pa.list_(pa.float32(), DIMENSIONS))]
            + [(name, pa.string()) for name in names]
            + [("uses", pa.int64()), ("wins", pa.int64())]
        )
        database = lancedb.connect(folder)
        self.table: Any = database.create_table("memory", schema=self._schema, exist_ok=True)

    def fill(self, records: Iterable[Record]) -> None:
        for batch in batches(records, 10_000):
            self.add(batch)

    def add(self, batch: Sequence[Record]) -> None:
        import pyarrow as pa

        names = [name for name in self._schema.names if name not in ("number", "vector", "body")]
        columns: dict[str, Any] = {name: [r.fields[name] for r in batch] for name in names}
        flat = pa.array(np.concatenate([record.vector for record in batch]))
        columns["vector"] = pa.FixedSizeListArray.from_arrays(flat, DIMENSIONS)
        columns["number"] = [record.number for record in batch]
        columns["body"] = [record.body for record in batch]
        self.table.add(pa.table(columns, schema=self._schema))

    def nearest(self, vector: Vector, namespace: str, category: str, outcome: str) -> list[Found]:
        where = f"namespace = '{namespace}' AND category = '{category}' AND outcome = '{outcome}'"
        search = self.table.search(vector).distance_type("cosine").where(where, prefilter=True)
        wanted = ["number", "uses", "wins", "body", "_distance"]
        return [
            Found(row["number"], 1 - row["_distance"], row["uses"], row["wins"], row["body"])
            for row in search.select(wanted).limit(OVERFETCH).to_arrow().to_pylist()
        ]


class LanceIndex(Lance):
    def fill(self, records: Iterable[Record]) -> None:
        from lancedb.index import Bitmap, IvfFlat

        super().fill(records)
        for name in ("namespace", "category", "outcome"):
            self.table.create_index(name, config=Bitmap())
        self.table.create_index("vector", config=IvfFlat(distance_type="cosine"))


class Mem0(Peer):
    def __init__(self, folder: Path) -> None:
        from mem0.configs.vector_stores.qdrant import QdrantConfig
        from mem0.vector_stores.qdrant import Qdrant

        config = QdrantConfig(embedding_model_dims=DIMENSIONS, path=str(folder))
        self.store: Any = Qdrant(**{key: item for key, item in config if item is not None})

    def fill(self, records: Iterable[Record]) -> None:
        for batch in batches(records, 500):
            self.add(batch)

    def add(self, batch: Sequence[Record]) -> None:
        self.store.insert(
            vectors=[record.vector.tolist() for record in batch],
            payloads=[record.fields | {"data": record.body} for record in batch],
            ids=[str(uuid.UUID(int=record.number)) for record in batch],
        )

    def nearest(self, vector: Vector, namespace: str, category: str, outcome: str) -> list[Found]:
        filters = {"namespace": namespace, "category": category, "outcome": outcome}
        points = self.store.search("", vector.tolist(), top_k=OVERFETCH, filters=filters)
        return [
            Found(uuid.UUID(p.id).int, p.score, p.payload["uses"], p.payload["wins"],
                  p.payload["data"])
            for p in points
        ]  # fmt: skip


class Given:
    """An embedder that finds every text at the vector it was given."""

    name = "given-384"

    def __init__(self) -> None:
        self.vector: Vector = np.zeros(DIMENSIONS, dtype=np.float32)

    async def embed(self, texts: Sequence[str]) -> Vector:
        return np.stack([self.vector if text else np.zeros_like(self.vector) for text in texts])


class Mia:
    """WorkflowMemory's own recall, with everything a question goes through but the embedding."""

    def __init__(self, folder: Path) -> None:
        from mia.memories.workflow.memory import WorkflowMemory
        from mia.memories.workflow.sqlite import SqliteStore

        assert all(category_of(text) == name for name, text in ASKED.items())
        self.store = SqliteStore(folder / "memory.sqlite")
        self._given = Given()
        spaces = [f"tenant-{number}" for number in range(NAMESPACES)]
        self._memories = {s: WorkflowMemory(self.store, self._given, s) for s in spaces}
        self._loop = asyncio.new_event_loop()

    def fill(self, records: Iterable[Record]) -> None:
        for batch in batches(records, 1000):
            self.add(batch)

    def add(self, batch: Sequence[Record]) -> None:
        from mia.memories.workflow.records import Vectors
        from mia.memories.workflow.rows import Rows

        def job(rows: Rows) -> None:
            for record in batch:
                # the question as asked is another text than its template
                vectors = Vectors(question=np.roll(record.vector, 1), template=record.vector)
                rows.put(record.workflow)
                rows.vectors.set(record.workflow.id, Given.name, vectors)

        self.store.write(job)

    def ask(self, vector: Vector, namespace: str, category: str) -> list[tuple[int, str]]:
        self._given.vector = vector
        question = Question(text=ASKED[category], id="asked")
        recall = self._memories[namespace].recall(question)
        found = self._loop.run_until_complete(recall)
        items = [item.workflow for item in (*found.successes, *found.failures)]
        return [(int(item.id[1:]), item.plan) for item in items]


@dataclass(frozen=True, slots=True)
class Kind:
    """A row of the table."""

    make: Callable[[Path], Store]
    package: str
    shares: str | None = None
    """Whose folder it asks."""


KINDS = {
    "mia": Kind(Mia, "mia"),
    "chromadb": Kind(Chroma, "chromadb"),
    "chromadb-key": Kind(ChromaKey, "chromadb", shares="chromadb"),
    "lancedb": Kind(Lance, "lancedb"),
    "lancedb-index": Kind(LanceIndex, "lancedb"),
    "mem0": Kind(Mem0, "mem0"),
}


class TooSlow(Exception):
    """A build that would pass the cap."""


class Paced:
    """Records as a build takes them: the time to make them is not the store's, and a build that is
    sure to pass the cap is stopped."""

    def __init__(self, world: World, cap: float) -> None:
        self._world, self._cap = world, cap
        self._began = time.perf_counter()
        self._making = 0.0

    def seconds(self) -> float:
        return time.perf_counter() - self._began - self._making

    def __iter__(self) -> Iterator[Record]:
        total, left = len(self._world), time.perf_counter()
        for done, record in enumerate(self._world.records()):
            self._making += time.perf_counter() - left
            expected = self.seconds() * total / max(1, done)
            if done % 1000 == 0 and expected > self._cap and done >= total / 5:
                raise TooSlow(f"build needs about {expected:.0f} s, the cap is {self._cap:.0f} s")
            yield record
            left = time.perf_counter()


@dataclass(frozen=True, slots=True)
class Built:
    """What filling a store took, or why there is none."""

    seconds: float = 0.0
    disk_mb: float = 0.0
    failed: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One run's questions."""

    open_s: float = 0.0
    """Opening and the first answer, without the imports."""
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    cpu_ms: float = 0.0
    recall: float = 0.0
    rss_mb: float = 0.0
    queries: int = 0
    failed: str | None = None


def build(name: str, folder: Path, world: Path, cap: float) -> Built:
    """Fills a store. Runs in a process of its own."""
    folder.mkdir(parents=True)
    store = KINDS[name].make(folder)
    records = Paced(World(world), cap)
    try:
        store.fill(records)
    except TooSlow as error:
        return Built(failed=str(error))
    return Built(seconds=records.seconds())


def ask(name: str, folder: Path, world: Path) -> Run:
    """Opens a store and asks it the questions. Runs in a process of its own."""
    queries = list(World(world).queries())
    importlib.import_module(KINDS[name].package)
    began = time.perf_counter()
    store = KINDS[name].make(folder)
    store.ask(*queries[0][:3])
    opened = time.perf_counter() - began
    for query in queries[1:WARM_UP]:
        store.ask(*query[:3])
        if time.perf_counter() - began - opened > MOST_SECONDS / 5:
            break
    times: list[float] = []
    right = 0
    cpu = time.process_time()
    for query in queries[WARM_UP:]:
        began = time.perf_counter()
        found = store.ask(*query[:3])
        times.append(time.perf_counter() - began)
        right += len(query[3] & {number for number, _ in found})
        spent = sum(times)
        if spent > MOST_SECONDS or (spent > ENOUGH_SECONDS and len(times) >= ENOUGH_QUERIES):
            break
    cpu = time.process_time() - cpu
    p50, p95 = np.percentile(times, (50, 95)) * 1000
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return Run(
        open_s=opened,
        p50_ms=float(p50),
        p95_ms=float(p95),
        cpu_ms=1000 * cpu / len(times),
        recall=right / len(times) / WANTED,
        rss_mb=int(status.split("VmRSS:")[1].split()[0]) / 1024,
        queries=len(times),
    )


def child(command: Sequence[str], core: int | None, limit: float) -> dict[str, Any]:
    """Runs this script in a new process; what it says last, or why it failed. Some libraries write
    more than their answer."""
    environment = os.environ | SILENT | ({} if core is None else ONE_THREAD)
    pin = [] if core is None else ["taskset", "-c", str(core)]
    try:
        done = subprocess.run(
            [*pin, sys.executable, "-W", "ignore", *command],
            capture_output=True, text=True, env=environment, timeout=limit,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"failed": f"no answer within {limit:.0f} s"}
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
        return {"failed": lines[-1][:200]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def machine() -> str:
    """What was measured, on what."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = next((line.split(": ")[1] for line in info.splitlines() if "model name" in line), "?")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    there = {name for found in importlib.metadata.distributions() if (name := found.name)}
    versions = [f"{n} {importlib.metadata.version(n)}" for n in DISTRIBUTIONS if n in there]
    return (
        f"{time.strftime('%Y-%m-%d %H:%M')}, {len(os.sched_getaffinity(0))} cores of {model}, "
        f"{memory:.0f} GB, {platform.system()} {platform.release()}, Python "
        f"{platform.python_version()}, {', '.join(versions)}; seed {SEED}; "
        f"load {os.getloadavg()[0]:.1f}"
    )


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one store at one size."""

    name: str
    size: int
    built: Built
    runs: tuple[Run, ...] = ()


def measure(
    size: int, names: Sequence[str], place: Path, cap: float, given: Path | None
) -> list[Row]:
    """Builds two at a time, each on its core; then asks one after another, taking turns."""
    script = str(Path(__file__).resolve())
    world = place / "world"
    say(f"{size:,} records: making them")
    make_world(world, size, None if given is None else np.load(given, mmap_mode="r"))
    cores = sorted(os.sched_getaffinity(0))

    def folder(name: str) -> Path:
        return place / (KINDS[name].shares or name)

    def fill(name: str, core: int) -> Built:
        say(f"{size:,} records: building {name}")
        command = (script, "--child", "build", name, str(folder(name)), str(world), str(cap))
        told = child(command, core, 2 * cap)
        mb = sum(path.stat().st_blocks for path in folder(name).rglob("*")) * 512 / 2**20
        built = Built(**told | {"disk_mb": mb})
        say(f"{size:,} records: {name} {built.failed or f'took {built.seconds:.1f} s'}")
        return built

    whole = [name for name in names if KINDS[name].shares is None]
    whole += [s for n in names if (s := KINDS[n].shares) and s not in whole]
    free = Queue[int]()
    for core in cores[-2:]:
        free.put(core)

    def fill_somewhere(name: str) -> Built:
        core = free.get()
        try:
            return fill(name, core)
        finally:
            free.put(core)

    with ThreadPoolExecutor(len(cores[-2:])) as pool:
        built = dict(zip(whole, pool.map(fill_somewhere, whole), strict=True))
    runs: dict[str, list[Run]] = {name: [] for name in names}
    for turn in range(1, RUNS + 1):
        for name in names:
            if built[KINDS[name].shares or name].failed or any(r.failed for r in runs[name]):
                continue
            say(f"{size:,} records: asking {name}, run {turn} of {RUNS}")
            command = (script, "--child", "ask", name, str(folder(name)), str(world))
            runs[name].append(Run(**child(command, cores[-1], 10 * MOST_SECONDS)))
    return [Row(n, size, built[KINDS[n].shares or n], tuple(runs[n])) for n in names]


def table(rows: Sequence[Row]) -> str:
    """Markdown, one line a store and size."""
    lines = [
        "| store | records | build s | open s | p50 ms | p95 ms | × | CPU ms | recall@3 | disk MB "
        "| RSS MB | queries |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        failed = row.built.failed or next((run.failed for run in row.runs if run.failed), None)
        if failed:
            lines.append(f"| {row.name} | {row.size:,} | {failed} |" + " |" * 9)
            continue
        base = next((r.runs for r in rows if r.name == "mia" and r.size == row.size), ())
        if len(base) == len(row.runs) and not any(run.failed for run in base):
            pairs = zip(row.runs, base, strict=True)
            ratio = f"{statistics.median(one.p50_ms / mia.p50_ms for one, mia in pairs):.1f}"
        else:
            ratio = ""

        def middle(field: str, runs: tuple[Run, ...] = row.runs) -> float:
            return statistics.median(getattr(run, field) for run in runs)

        lines.append(
            f"| {row.name} | {row.size:,} | {row.built.seconds:.1f} | {middle('open_s'):.2f} "
            f"| {middle('p50_ms'):.2f} | {middle('p95_ms'):.2f} | {ratio} "
            f"| {middle('cpu_ms'):.2f} | {middle('recall'):.3f} | {row.built.disk_mb:.0f} "
            f"| {middle('rss_mb'):.0f} | {sum(run.queries for run in row.runs)} |"
        )
    return "\n".join(lines)


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        what, name, folder, world, *rest = sys.argv[2:]
        kept = Path(folder), Path(world)
        told = ask(name, *kept) if what == "ask" else build(name, *kept, float(rest[0]))
        sys.stdout.flush()
        print(json.dumps(asdict(told)), flush=True)
        os._exit(0)  # qdrant's client complains while Python ends
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default="10000,100000")
    parser.add_argument("--peers", default=",".join(KINDS))
    parser.add_argument("--cap", type=float, default=300.0, help="seconds that a build may take")
    parser.add_argument("--vectors", type=Path, help=".npy of unit rows to use, such as MiniLM's")
    parser.add_argument("--place", type=Path, help="a folder on the disk to measure")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    names = ["mia", *(n.strip() for n in options.peers.split(",") if n.strip() not in ("", "mia"))]
    if unknown := [name for name in names if name not in KINDS]:
        parser.error(f"no such row: {', '.join(unknown)}; there are {', '.join(KINDS)}")
    about = machine()
    rows: list[Row] = []
    for size in map(int, options.sizes.split(",")):
        with tempfile.TemporaryDirectory(dir=options.place) as place:
            rows += measure(size, names, Path(place), options.cap, options.vectors)
        say(table(rows))
    print(f"{about} to {os.getloadavg()[0]:.1f}\n\n{table(rows)}")
    if options.json:
        told = {"machine": about, "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(told, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
