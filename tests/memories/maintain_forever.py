"""A process for the kill tests: does to a store whatever can be done to it, without end, and prints
each deed once it is done. Argument: the store's file."""

from __future__ import annotations

import asyncio
import itertools
import sys
from pathlib import Path

from mia.memories.workflow.forget import Choice, forget
from mia.memories.workflow.history import restore, snapshot
from mia.memories.workflow.records import Vectors
from mia.memories.workflow.sqlite import SqliteStore
from mia.testing.models import ToyEmbedder
from mia.types import Workflow


def _workflow(number: int) -> Workflow:
    return Workflow(
        id=f"w{number}",
        namespace="default",
        question=f"What is thing {number}?",
        question_template="What is [A]?",
        category="definition",
        steps=(),
        summary="look it up " * 60,
        plan=f"#1 what is {number}",
        outcome="success",
        verdict_kind="exact_match",
        confidence=1.0,
        source_episode=f"e{number}",
        source_domains=(f"{number % 5}.example",),
    )


def _main(path: Path) -> None:
    row = asyncio.run(ToyEmbedder().embed(["what is it"]))[0]
    with SqliteStore(path) as store:
        first = store.read(lambda rows: rows.log.head().seq)
        for round in itertools.count(first):
            for number in range(20 * round, 20 * round + 20):
                store.add([_workflow(number)])
                store.write(
                    lambda rows, number=number: rows.vectors.set(
                        f"w{number}", ToyEmbedder.name, Vectors(row, row)
                    )
                )
            print("put", flush=True)
            snapshot(store, f"s{round}")
            store.backup(path.with_name("copy.bak"))
            print("backup", flush=True)
            forget(store, "default", Choice(domains=(f"{round % 5}.example",)))
            print("forget", flush=True)
            restore(store, f"s{round}")
            print("restore", flush=True)
            kept = store.restore(path.with_name("copy.bak"))
            kept.unlink()
            store.reembed()
            print("restore file", flush=True)


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
