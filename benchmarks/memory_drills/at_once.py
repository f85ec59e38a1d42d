"""Many at once: who writes beside writers, and who makes and restores backups beside them."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from benchmarks.memory_drills.audit import audit, chain, head_of, is_earlier
from benchmarks.memory_drills.crew import Crew, Voice, heard, noted, together
from benchmarks.memory_drills.made import EMBEDDER, OPEN, STARTED, made, some
from benchmarks.memory_drills.tally import Ack, Tally
from benchmarks.memory_drills.writers import ack_of, write_on
from msgspec.structs import replace

from mia.memories.workflow.rows import Rows
from mia.memories.workflow.sqlite import SqliteStore
from mia.types import Recollection


def write_exactly(path: Path, name: str, writes: int, voice: Voice) -> None:
    """On two threads: so many new workflows, and half as many changes of the shared one."""

    def one(part: int) -> None:
        with heard(voice):
            for number in range(part, writes, 2):
                began = time.perf_counter()
                ack = store.write(partial(_insert, name, number))
                if number % 4 < 2:
                    store.write(_bump)
                voice.say(replace(ack, waited=time.perf_counter() - began))

    with SqliteStore(path) as store:
        together(partial(one, part) for part in range(2))


def _insert(name: str, number: int, rows: Rows) -> Ack:
    _, draft = made(random.Random(number), name, number, OPEN, Recollection())
    rows.put(draft.workflow)
    rows.vectors.set(draft.workflow.id, EMBEDDER, draft.vectors)
    return ack_of(rows, draft.workflow.id)


def _bump(rows: Rows) -> None:
    """Reads, adds one, writes: lost when somebody else comes between."""
    shared = rows.get("shared")
    assert shared is not None
    rows.put(replace(shared, summary=str(int(shared.summary) + 1)))
    rows.credit("shared", True, STARTED)


def concurrent(folder: Path, luck: random.Random, rounds: int, tally: Tally) -> None:
    """Processes write at once; `rounds` new workflows each."""
    path, processes = folder / "memory.db", 8
    with SqliteStore(path) as store:
        store.add([replace(some(luck, 1)[0], id="shared", summary="0", uses=0, wins=0)])
    began = time.perf_counter()
    with Crew(*(partial(write_exactly, path, f"p{n}", rounds) for n in range(processes))) as crew:
        acks = noted(crew.finish(), tally)
    took = time.perf_counter() - began
    bumps = processes * sum(number % 4 < 2 for number in range(rounds))
    tally.counts["writes_a_second"] = round((len(acks) + bumps) / took)
    tally.counts["longest_wait_ms"] = round(1000 * max((ack.waited for ack in acks), default=0))
    tally.counts["changes_of_one"] = bumps
    with SqliteStore(path) as store:
        shared, count = store.get("shared"), store.count()
    tally.expect(count == processes * rounds + 1, f"{count} workflows of {processes * rounds + 1}")
    tally.expect(len(acks) == processes * rounds, f"{len(acks)} writes were acknowledged")
    exact = shared is not None and (shared.summary, shared.uses) == (str(bumps), bumps)
    tally.expect(exact, f"an update was lost: {bumps} changes made {shared and shared.summary}")
    audit(path, acks, tally)


def backup(folder: Path, luck: random.Random, rounds: int, tally: Tally) -> None:
    """Backups while two processes write are what the store was at a moment. Every fourth is put
    back while they go on: nothing acknowledged falls between what was kept and what is there."""
    path, chains = folder / "memory.db", list[Mapping[int, str]]()
    tally.counts.update(backups=0, torn=0, restores=0, acknowledged=0, lost=0)
    with SqliteStore(path) as store:
        store.add(some(luck, 50))
        jobs = [partial(write_on, path, f"p{n}", luck.getrandbits(32), 2) for n in range(2)]
        with Crew(*jobs) as crew:
            crew.await_lines(6)
            for round in range(rounds):
                crew.listen(luck.uniform(0.0, 0.2))
                target, known = folder / f"{round}.copy", store.read(head_of).seq
                store.backup(target)
                crew.listen(0.01)
                tally.counts["backups"] += 1
                tally.counts["torn"] += not is_earlier(target, path, tally, known)
                if round % 4 == 3:
                    chains.append(_put_back(store, folder, luck.randrange(round), tally))
            acks = noted(crew.kill(), tally)
        store.check()
        chains.append(chain(store))
    lost = [ack for ack in acks if all(known.get(ack.seq) != ack.hash for known in chains)]
    tally.counts["lost"] += len(lost)
    tally.expect(not lost, f"{len(lost)} acknowledged writes are in no copy and not in the store")


def _put_back(store: SqliteStore, folder: Path, round: int, tally: Tally) -> Mapping[int, str]:
    """Restores a backup; the log of the copy that was kept of what was there."""
    target = folder / f"{round}.copy"
    with SqliteStore(target) as copy:
        wanted = chain(copy)
    kept = store.restore(target)
    tally.counts["restores"] += 1
    found = chain(store)
    tally.expect(wanted.items() <= found.items(), f"what was restored is not {target.name}")
    store.check()
    with SqliteStore(kept) as copy:
        copy.check()
        return chain(copy)
