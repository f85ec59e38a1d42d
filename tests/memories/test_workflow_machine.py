"""A store beside a dictionary: whatever is done to both, they tell the same."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec.structs import replace
from tests.memories.making import EMBEDDER, a_query, a_workflow, vector

from mia.memories.workflow.forget import Choice, forget
from mia.memories.workflow.history import as_of, restore, snapshot
from mia.memories.workflow.log import Detail
from mia.memories.workflow.records import Source, Vectors
from mia.memories.workflow.rows import Rows
from mia.memories.workflow.sqlite import SqliteStore
from mia.memories.workflow.states import played
from mia.memories.workflow.store import Store
from mia.memory import Weights, frequency, score, value
from mia.types import Workflow

NAMES = [f"w{number}" for number in range(6)]
DOMAINS = ["a.example", "b.example", "c.example"]
names, domains = st.sampled_from(NAMES), st.sampled_from(DOMAINS)
versions = st.sampled_from(["planner 1", "planner 2"])
_QUICK = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where waiting for the disk costs nothing: these tests are not about that."""
angles = st.tuples(*[st.integers(-2, 2)] * 3).filter(any)


@dataclass
class Known:
    """What the model knows of one workflow."""

    workflow: Workflow
    row: Any = None
    """What it is found by; None when it waits for vectors."""


@dataclass
class State:
    """What the model takes the store to hold."""

    known: dict[str, Known] = field(default_factory=dict)

    def copy(self) -> State:
        return State({id: Known(item.workflow, item.row) for id, item in self.known.items()})

    @property
    def workflows(self) -> dict[str, Workflow]:
        return {id: item.workflow for id, item in self.known.items()}


class Stores(RuleBasedStateMachine):
    """The store and its model."""

    @initialize()
    def open(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mia-machine-", dir=_QUICK))
        self.store = self.opened()
        self.state = State()
        self.pasts: dict[int, State] = {0: State()}
        self.snapshots: dict[str, int] = {}
        self.backups: list[tuple[Path, State]] = []
        self.texts = 0

    def opened(self) -> Store:
        return SqliteStore(self.folder / "memory.sqlite")

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            shutil.rmtree(self.folder)

    def note(self) -> None:
        """Remembers the present as a past to come."""
        self.pasts[self.store.read(lambda rows: rows.log.head().seq)] = self.state.copy()

    def fresh(self, id: str, domain: str) -> Workflow:
        self.texts += 1
        return a_workflow(
            id,
            summary=f"text {self.texts}",
            source_domains=(domain,),
            source_episode=f"e{self.texts}",
            category="time" if self.texts % 2 else "human",
        )

    @rule(id=names, row=angles, domain=domains, found=st.booleans())
    def put(self, id: str, row: tuple[int, ...], domain: str, found: bool) -> None:
        old = self.state.known.get(id)
        workflow = self.fresh(id, domain)
        if old is not None:
            w = old.workflow
            workflow = replace(workflow, uses=w.uses, wins=w.wins, used=w.used)
        unit = vector(*row)

        def job(rows: Rows) -> None:
            rows.put(workflow)
            if found:
                rows.vectors.set(id, EMBEDDER, Vectors(unit, unit))

        self.store.write(job)
        self.state.known[id] = Known(workflow, unit if found else None)
        self.note()

    @rule(id=names, row=angles)
    def embed(self, id: str, row: tuple[int, ...]) -> None:
        unit = vector(*row)
        self.store.write(lambda rows: rows.vectors.set(id, EMBEDDER, Vectors(unit, unit)))
        if id in self.state.known:
            self.state.known[id].row = unit

    @rule()
    def reembed(self) -> None:
        self.store.reembed()
        for item in self.state.known.values():
            item.row = None

    @rule(id=names, won=st.booleans(), at=st.sampled_from(["2026-01", "2026-03"]))
    def credit(self, id: str, won: bool, at: str) -> None:
        self.store.write(lambda rows: rows.credit(id, won, at))
        if id in self.state.known:
            w = self.state.known[id].workflow
            used = max(at, w.used or "")
            credited = replace(w, uses=w.uses + 1, wins=w.wins + won, used=used)
            self.state.known[id].workflow = credited
        self.note()

    @rule(id=names, trust=st.sampled_from(["trusted", "quarantined"]))
    def trust(self, id: str, trust: Any) -> None:
        assert self.store.set_trust(id, trust) == (id in self.state.known)
        if id in self.state.known:
            item = self.state.known[id]
            item.workflow = replace(item.workflow, trust=trust)
        self.note()

    @rule(ids=st.lists(names, max_size=3), version=versions)
    def demote(self, ids: list[str], version: str) -> None:
        there = [self.state.known[id] for id in set(ids) if id in self.state.known]
        free = [item for item in there if item.workflow.absorbed is None]
        assert self.store.demote(ids, version) == len(free)
        for item in free:
            item.workflow = replace(item.workflow, absorbed=version)
        self.note()

    @rule(left=st.sets(versions))
    def readmit(self, left: set[str]) -> None:
        found = [item for item in self.state.known.values() if item.workflow.absorbed in left]
        assert self.store.readmit(left) == len(found)
        for item in found:
            item.workflow = replace(item.workflow, absorbed=None)
        self.note()

    @rule(id=names, domain=domains)
    def merge(self, id: str, domain: str) -> None:
        self.texts += 1
        source = Source(episode=f"e{self.texts}", domains=(domain,))
        self.store.write(lambda rows: rows.merge(id, source))

    @rule(id=names)
    def delete(self, id: str) -> None:
        assert self.store.delete(id) == (id in self.state.known)
        self.state.known.pop(id, None)
        self.note()

    @rule(id=names, row=angles)
    def fail(self, id: str, row: tuple[int, ...]) -> None:
        """A transaction that raises: nothing of it stays."""
        workflow, unit = self.fresh(id, "a.example"), vector(*row)

        def job(rows: Rows) -> None:
            rows.put(workflow)
            rows.vectors.set(id, EMBEDDER, Vectors(unit, unit))
            rows.credit(id, True, "2026")
            rows.log.append("snapshot", detail=Detail(name="never", seq=1))
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            self.store.write(job)

    @rule(domain=domains, dry_run=st.booleans())
    def forget(self, domain: str, dry_run: bool) -> None:
        done = forget(self.store, "default", Choice(domains=(domain,)), dry_run=dry_run)
        gone = {
            id for id, item in self.state.known.items() if domain in item.workflow.source_domains
        }
        assert gone <= {item.id for item in done.direct}
        assert not {item.id for item in done.unmerged} & {item.id for item in done.direct}
        if dry_run:
            return
        for id in gone:
            del self.state.known[id]
        for past in self.pasts.values():
            for id, item in list(past.known.items()):
                gone_since = id in {item.id for item in done.direct}
                if gone_since or domain in item.workflow.source_domains:
                    del past.known[id]
        self.note()

    @rule()
    def take_snapshot(self) -> None:
        name = f"s{len(self.snapshots)}"
        self.note()
        self.snapshots[name] = snapshot(self.store, name).seq
        self.note()

    @precondition(lambda self: getattr(self, "snapshots", None))
    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.snapshots)))
        self._back_to(name, self.snapshots[name])

    @rule(data=st.data())
    def restore_any(self, data: st.DataObject) -> None:
        seq = data.draw(st.sampled_from(sorted(self.pasts)))
        self._back_to(seq, seq)

    def _back_to(self, when: int | str, seq: int) -> None:
        restore(self.store, when)
        then = self.pasts[seq].copy()
        erased = set(self.store_erased(seq))
        for id, item in then.known.items():
            now = self.state.known.get(id)
            same = now is not None and _text(now.workflow) == _text(item.workflow)
            item.row = now.row if now is not None and same else None
        for id in erased & set(self.state.known):
            then.known[id] = self.state.known[id]
        self.state = then
        self.note()

    def store_erased(self, seq: int) -> list[str]:
        """Those of a past whose text is forgotten: they stay as they are."""
        known = self.pasts[seq].known
        ever = self.store.read(
            lambda rows: {e.workflow for e in rows.log.entries(upto=seq) if e.workflow}
        )
        return [id for id in ever if id not in known and self._was(id, seq)]

    def _was(self, id: str, seq: int) -> bool:
        return self.store.read(lambda rows: id in played(rows, seq).workflows)

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = self.opened()

    @invariant()
    def the_same_workflows(self) -> None:
        if hasattr(self, "store"):
            assert {w.id: w for w in self.store.all()} == self.state.workflows

    @rule(row=angles, limit=st.integers(1, 4), category=st.sampled_from([None, "time", "human"]))
    def best(self, row: tuple[int, ...], limit: int, category: str | None) -> None:
        query = a_query(*row, limit=limit, category=category, floor=0.1)
        wanted: list[tuple[bool, float, str]] = []
        for id, item in self.state.known.items():
            w = item.workflow
            if item.row is None or w.trust != "trusted" or category not in (None, w.category):
                continue
            sim = float(np.dot(item.row.astype(float), query.asked.template.astype(float)))
            if sim >= 0.1:
                parts = value(w.uses, w.wins, Weights()), frequency(w.uses)
                told = -score(sim, *parts, Weights())
                wanted.append((w.absorbed is not None, told, id))
        found = [(item.absorbed, -item.score, item.id) for item in self.store.best(query)]
        assert found == sorted(wanted)[:limit]

    @rule(data=st.data())
    def look_back(self, data: st.DataObject) -> None:
        seq = data.draw(st.sampled_from(sorted(self.pasts)))
        past = as_of(self.store, seq)
        assert {w.id: w for w in past.workflows} == self.pasts[seq].workflows

    @rule()
    def check(self) -> None:
        assert self.store.check() == len(self.state.known)


def _text(workflow: Workflow) -> Workflow:
    return replace(workflow, uses=0, wins=0, used=None, trust="trusted", absorbed=None)


_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


@pytest.mark.timeout(600)
def test_the_store_does_what_its_model_does() -> None:
    run_state_machine_as_test(
        Stores,
        settings=settings(
            max_examples=200, stateful_step_count=50, deadline=None, suppress_health_check=_SLOW
        ),
    )


@pytest.mark.nightly
@pytest.mark.timeout(7200)
def test_the_store_does_what_its_model_does_for_long() -> None:
    run_state_machine_as_test(
        Stores,
        settings=settings(
            max_examples=2000, stateful_step_count=50, deadline=None, suppress_health_check=_SLOW
        ),
    )
