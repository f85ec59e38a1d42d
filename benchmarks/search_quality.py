"""How much of what a question needs the offline engines find.

    python benchmarks/search_quality.py --data ../shared/data
    python benchmarks/search_quality.py --data ../shared/data --half choose --arms fields,ranking

The questions of four development sets are asked as they are, over the corpus of 49,856 passages.
`all-gold@5` is the share of questions all of whose gold passages are among the first five;
`recall@20` the mean share of gold passages among the first twenty. Intervals are 95 %, by bootstrap
over questions; differences are paired with MIA's default. A question belongs to one half of its set
by the hash of its id: settings were chosen on `choose`, and `report` is what they are judged by.

Arms: `ranking` is MIA's BM25 with parts of its ranking left out; `fields` is the same analysis with
title and text as two fields at several boosts, or as one with the title boosted besides; `bm25s` is
the peer (pip install bm25s PyStemmer), as it comes and tuned; `dense` and `hybrid` need the vectors
of MiniLM (`mia index embed`; --home says where the model is); `titles` asks for 2,000 passages by
their titles.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import msgspec
import numpy as np
import tantivy
from numpy.typing import NDArray
from tantivy import Occur, Query

from mia.search.bm25 import BM25, Ranking, build
from mia.search.corpus import passages
from mia.search.dense import Dense
from mia.search.hybrid import fused
from mia.search.indexes import is_index
from mia.search.indexes_schema import WORDS
from mia.snippets import STOP
from mia.types import Passage

SETS = ("hotpotqa", "2wikimultihopqa", "musique", "popqa")
SHOWN, FAR = 5, 20
DRAWS = 10_000
TITLES = 2000
DEFAULT = "MIA"
BOOSTS = (0.0, 0.3, 0.5, 1.0, 2.0, 5.0)


class Asked(msgspec.Struct, frozen=True):
    """A question of a development set."""

    id: str
    question: str
    gold_ids: list[str]


@dataclass(frozen=True)
class Arm:
    """One way to search: a query in, ids out, best first."""

    name: str
    find: Callable[[str], Sequence[str]]


@dataclass(frozen=True)
class Scores:
    """What an arm reached, question by question."""

    gold_Q: NDArray[np.float64]
    recall_Q: NDArray[np.float64]
    ms: float


def asked(data: Path, half: str) -> dict[str, list[Asked]]:
    """The questions of each set."""
    found: dict[str, list[Asked]] = {}
    for name in SETS:
        lines = (data / "dev" / f"{name}.jsonl").read_bytes().splitlines()
        rows = [msgspec.json.decode(line, type=Asked) for line in lines]
        found[name] = [row for row in rows if half in ("all", _half(row.id))]
    return found


def _half(id: str) -> str:
    return ("choose", "report")[hashlib.sha256(id.encode()).digest()[-1] % 2]


def measure(arm: Arm, questions: Sequence[Asked]) -> Scores:
    """Asks an arm everything."""
    gold, recall = [], []
    began = time.perf_counter()
    for question in questions:
        found, wanted = list(arm.find(question.question)), set(question.gold_ids)
        gold.append(float(wanted <= set(found[:SHOWN])))
        recall.append(len(wanted & set(found[:FAR])) / len(wanted))
    ms = 1000 * (time.perf_counter() - began) / len(questions)
    return Scores(np.array(gold), np.array(recall), ms)


def interval(values_Q: NDArray[np.float64]) -> tuple[float, float]:
    """95 % of the mean, by bootstrap over questions."""
    rng = np.random.default_rng(0)
    means = [
        values_Q[rng.integers(0, len(values_Q), (500, len(values_Q)))].mean(axis=1)
        for _ in range(DRAWS // 500)
    ]
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return float(low), float(high)


def ranking(folder: Path) -> Iterator[Arm]:
    """MIA's own, whole and with parts left out."""
    variants = {
        DEFAULT: Ranking(),
        "MIA, mentioned titles weigh 6": Ranking(mentioned=6.0),
        "MIA, mentioned titles weigh 24": Ranking(mentioned=24.0),
        "MIA, mentioned titles weigh 0": Ranking(mentioned=0.0),
        "MIA, exact title weighs 0": Ranking(exact=0.0),
        "MIA, stop words kept": Ranking(stop=frozenset()),
    }
    for name, chosen in variants.items():
        engine = BM25(folder, chosen)
        yield Arm(name, lambda query, e=engine: [p.id for p in e.search_now(query, FAR)])


def fields(corpus: Path, folder: Path) -> Iterator[Arm]:
    """Title and text as two fields or one, without any weight for whole titles."""
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("id", stored=True, tokenizer_name="raw")
    for name in ("title", "text", "both"):
        builder.add_text_field(name, tokenizer_name="words", index_option="freq")
    schema = builder.build()
    folder.mkdir(exist_ok=True)
    index = tantivy.Index(schema, path=str(folder))
    index.register_tokenizer("words", WORDS)
    if not index.searcher().num_docs:
        writer = index.writer(128_000_000, 1)
        for p in passages(corpus):
            both = f"{p.title}\n{p.text}"
            writer.add_document(tantivy.Document(id=p.id, title=p.title, text=p.text, both=both))
        writer.commit()
        writer.wait_merging_threads()
        index.reload()
    searcher = index.searcher()

    def find(query: str, field: str, boost: float) -> list[str]:
        words = [word for word in query.split() if word.lower() not in STOP]
        terms = dict.fromkeys(term for word in words for term in WORDS.analyze(word))
        clauses = [Query.term_query(schema, field, term, "freq") for term in terms]
        if boost:
            titles = (Query.term_query(schema, "title", term, "freq") for term in terms)
            clauses += [Query.boost_query(title, boost) for title in titles]
        wanted = Query.boolean_query([(Occur.Should, clause) for clause in clauses])
        hits = searcher.search(wanted, FAR, count=False).hits
        return [searcher.doc(address)["id"][0] for _, address in hits]

    for boost in BOOSTS:
        yield Arm(f"text, and title × {boost:g}", lambda q, b=boost: find(q, "text", b))
    for boost in BOOSTS[:4]:
        yield Arm(
            f"title and text as one, and title × {boost:g}", lambda q, b=boost: find(q, "both", b)
        )


def bm25s_arms(corpus: Path) -> Iterator[Arm]:
    """The peer, with its own tokenizer and stop words."""
    import bm25s
    import Stemmer

    rows = list(passages(corpus))
    ids = [row.id for row in rows]
    once = [f"{row.title}\n{row.text}" for row in rows]
    twice = [f"{row.title}\n{text}" for row, text in zip(rows, once, strict=True)]
    thrice = [f"{row.title}\n{text}" for row, text in zip(rows, twice, strict=True)]
    stemmer = Stemmer.Stemmer("english")
    for name, texts, stems, k1, b in (
        ("bm25s, as it comes", once, None, 1.5, 0.75),
        ("bm25s, stemmed", once, stemmer, 1.5, 0.75),
        ("bm25s, stemmed, title twice", twice, stemmer, 1.5, 0.75),
        ("bm25s, stemmed, title thrice", thrice, stemmer, 1.5, 0.75),
        ("bm25s, stemmed, title twice, k1 0.9, b 0.4", twice, stemmer, 0.9, 0.4),
    ):
        engine = bm25s.BM25(k1=k1, b=b)
        cut = bm25s.tokenize(texts, stopwords="en", stemmer=stems, show_progress=False)
        engine.index(cut, show_progress=False)

        def find(query: str, engine: bm25s.BM25 = engine, stems: object = stems) -> list[str]:
            words = bm25s.tokenize([query], stopwords="en", stemmer=stems, show_progress=False)
            found, _ = engine.retrieve(words, k=FAR, show_progress=False)
            return [ids[number] for number in found[0]]

        yield Arm(name, find)


def meaning(folder: Path, home: Path) -> Iterator[Arm]:
    """MiniLM's vectors, alone and fused with BM25."""
    from mia.models.minilm import MiniLM

    words, dense = BM25(folder), Dense(folder, MiniLM(home / "models" / "minilm"))
    near: dict[str, tuple[Passage, ...]] = {}

    def nearest(query: str) -> tuple[Passage, ...]:
        if query not in near:
            near[query] = asyncio.run(dense.search(query, 100))
        return near[query]

    yield Arm("dense (MiniLM)", lambda query: [p.id for p in nearest(query)[:FAR]])
    for depth, k in ((100, 60), (20, 60), (100, 20), (100, 10), (100, 5)):

        def hybrid(query: str, depth: int = depth, k: int = k) -> list[str]:
            both = (words.search_now(query, depth), nearest(query)[:depth])
            return [p.id for p in fused(both, k)]

        yield Arm(f"hybrid, k {k}, depth {depth}", hybrid)


def titles(corpus: Path, arms: Sequence[Arm]) -> None:
    """Prints how often a passage stands first that is asked for by its title, or by the name in
    small letters without accents."""
    rows = list(passages(corpus))
    every: dict[str, set[str]] = {}
    for row in rows:
        every.setdefault(row.title, set()).add(row.id)
    chosen = random.Random(0).sample(rows, TITLES)
    print(f"\n| arm | title first, of {TITLES:,} |\n|---|---|")
    for arm in arms:
        right = sum(bool({*arm.find(row.title)[:1]} & every[row.title]) for row in chosen)
        print(f"| {arm.name} | {right / TITLES:.3f} |", flush=True)


def table(arms: Iterator[Arm], questions: dict[str, list[Asked]], base: list[Scores]) -> None:
    """Prints a row an arm. The first arm ever measured is what the others are compared with."""
    for arm in arms:
        scores = [measure(arm, questions[name]) for name in SETS]
        base[:] = base or scores
        cells = []
        for mine, ours in zip(scores, base, strict=True):
            low, high = interval(mine.gold_Q)
            cell = f"{mine.gold_Q.mean():.3f} ({low:.3f}–{high:.3f})"
            if ours is not mine:
                below, above = interval(mine.gold_Q - ours.gold_Q)
                cell += f" {(mine.gold_Q - ours.gold_Q).mean():+.3f} [{below:+.3f}, {above:+.3f}]"
            cells.append(f"{cell}; {mine.recall_Q.mean():.3f}")
            if ours is not mine:
                below, above = interval(mine.recall_Q - ours.recall_Q)
                cells[-1] += f" [{below:+.3f}, {above:+.3f}]"
        ms = np.mean([score.ms for score in scores])
        print(f"| {arm.name} | {' | '.join(cells)} | {ms:.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--half", choices=("choose", "report", "all"), default="report")
    parser.add_argument("--arms", default="ranking,fields,bm25s,dense,titles")
    parser.add_argument("--work", type=Path, default=Path("/tmp/mia-search-quality"))
    parser.add_argument("--home", type=Path, default=Path.home() / ".local/share/mia")
    options = parser.parse_args()
    wanted = options.arms.split(",")
    corpus, folder = options.data / "corpus" / "corpus.jsonl", options.work / "index"
    options.work.mkdir(parents=True, exist_ok=True)
    if not is_index(folder):
        build(passages(corpus), folder, str(corpus))
    questions = asked(options.data, options.half)
    counts = " | ".join(f"{name} ({len(questions[name])})" for name in SETS)
    print(
        f"half: {options.half}; each cell: all-gold@5 (95 %) difference [95 %]; recall@20 [95 %]\n"
    )
    print(f"| arm | {counts} | ms |\n|---|---|---|---|---|---|")
    base: list[Scores] = []
    mine = list(ranking(folder))
    table(iter(mine if "ranking" in wanted else mine[:1]), questions, base)
    if "fields" in wanted:
        table(fields(corpus, options.work / "fields"), questions, base)
    if "bm25s" in wanted and find_spec("bm25s"):
        table(bm25s_arms(corpus), questions, base)
    if "dense" in wanted and (folder / "vectors").is_dir():
        table(meaning(folder, options.home), questions, base)
    if "titles" in wanted:
        titles(corpus, mine[:1] + mine[4:5])


if __name__ == "__main__":
    main()
