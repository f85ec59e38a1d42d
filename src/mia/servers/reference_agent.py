"""The published agents, for the unmodified clients that train a planner beside them: an executor
that carries plans out, a memory, and a bank of rollouts from which both memories learn.

What is here is translation. MIA's executor carries out, its memory recalls and remembers, its
router picks; the way of a rollout into memory is that of `/batch_memory_save`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from fastapi import Request, Response
from msgspec.structs import replace

from mia.errors import BudgetError, ModelError
from mia.executor import Executor
from mia.judge import Judge
from mia.memories.workflow.store import Store
from mia.memory import Memory
from mia.router import PlanMemory, Router
from mia.servers.guard import MIB, App, Guard, Limits
from mia.servers.metrics import Metrics
from mia.servers.reference_agent_wire import (
    RECALLED,
    Carried,
    Carrying,
    CarryingOn,
    Consolidated,
    Evaluated,
    Health,
    Judged,
    Named,
    Recalls,
    Registered,
    Registering,
    Reviewed,
    Rollout,
    opening,
    shown,
)
from mia.servers.reference_app import SECONDS, answer, each, published, read, turn
from mia.servers.reference_bank import Bank, Group
from mia.servers.reference_episode import plan_of, run
from mia.servers.reference_files import Files
from mia.servers.reference_groups import answer as answer_of
from mia.servers.reference_groups import approved, by_each_rule, episode_of, kept, line
from mia.servers.reference_handles import handles, recalled
from mia.servers.reference_memory_wire import SUCCESS, Done, Said, readable
from mia.servers.reference_pairs import save_pairs
from mia.servers.reference_pictures import Fetch, Registry, taken_in
from mia.servers.reference_trace import asks, history, trace
from mia.types import (
    Episode,
    Plan,
    Question,
    Trajectory,
    Turn,
    VerdictValue,
)

BODY = 64 * MIB
"""Of one request: it may bring the pictures of a batch."""
WORKFLOWS, PAIRS = "workflow_memory.jsonl", "plan_memory.jsonl"
"""What `/save_memory` writes."""
_PREFIX = "evaluated"
_SPENT = f"failed:{BudgetError.code}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What an agent works with."""

    executor: Executor
    memory: Memory
    store: Store
    """Where that memory keeps workflows."""
    namespace: str
    plan_memory: PlanMemory
    router: Router
    judge: Judge
    """By right answers; for the record of clients that judge without."""
    fetch: Fetch
    pictures: Registry
    bank: Bank
    folder: Path
    """Of the files."""
    unsupervised: bool = False
    """Whether clients judge without the right answers."""


def app(
    parts: Parts,
    token: str | None = None,
    names: frozenset[str] = frozenset(),
    seconds: float = SECONDS,
) -> App:
    """The service as an ASGI app. No request takes longer than so many seconds."""
    metrics = Metrics()
    api = published("MIA as the published agent", metrics)
    routes = _Routes(parts, metrics, seconds)
    api.post("/plan")(routes.plan)
    api.post("/replan")(routes.replan)
    api.post("/memory")(routes.memory)
    api.post("/memory_bank_save")(routes.memory_bank_save)
    api.post("/batch_evaluate")(routes.batch_evaluate)
    api.post("/consolidate_memories")(routes.consolidate_memories)
    api.post("/save_memory")(routes.save_memory)
    api.post("/streaming/register_images")(routes.register_images)
    api.get("/streaming/health")(routes.health)
    api.get("/health")(routes.health)
    return Guard(api, token, names, Limits(body=BODY))


class _Routes:
    """What each route does."""

    def __init__(self, parts: Parts, metrics: Metrics, seconds: float) -> None:
        self._parts = parts
        self._metrics = metrics
        self._seconds = seconds
        self._files = Files(parts.store, parts.namespace, parts.folder)
        self._alone = asyncio.Lock()
        """Held by whoever reads the bank as a whole, or writes files."""

    def _turn(self, route: str) -> AbstractAsyncContextManager[None]:
        return turn(self._metrics, route, self._seconds)

    async def plan(self, request: Request) -> Response:
        """Carries a plan out."""
        async with self._turn("plan"):
            asked = await read(request, Carrying)
            question = await self._question(asked)
            return answer(await self._carried(question, asked.plan))

    async def replan(self, request: Request) -> Response:
        """Goes on with a run by another plan."""
        async with self._turn("replan"):
            asked = await read(request, CarryingOn)
            question = await self._question(asked)
            return answer(await self._carried(question, asked.replan, asked.messages))

    async def memory(self, request: Request) -> Response:
        """What to ask the planner, with what memory returns in it."""
        async with self._turn("memory"):
            question = _asked(await read(request, Named))
            found = await self._parts.memory.recall(question)
            seen = replace(
                found, successes=found.successes[:RECALLED], failures=found.failures[:RECALLED]
            )
            items = (*seen.successes, *seen.failures)
            indices = await asyncio.to_thread(handles, self._parts.store, items)
            return answer(
                Recalls(
                    prompt=opening(question, seen),
                    indices=tuple(dict.fromkeys(indices)),
                    recollection=shown(seen),
                )
            )

    async def memory_bank_save(self, request: Request) -> Response:
        """Keeps a rollout until the next consolidation. One that could not be remembered then is
        refused now."""
        async with self._turn("memory_bank_save"):
            told = await read(request, Reviewed if self._parts.unsupervised else Judged)
            await asyncio.to_thread(self._episode, told, True, 0)
            new = await asyncio.to_thread(self._parts.bank.add, told)
            return answer(Done(status=SUCCESS, message=None if new else "it was here before"))

    async def batch_evaluate(self) -> Response:
        """Writes down how each question that waits would have been answered, by each rule."""
        async with self._turn("batch_evaluate"), self._alone:
            bank = self._parts.bank
            groups = await asyncio.to_thread(lambda: bank.groups(unevaluated=True))
            for group in groups:
                lines = await self._lines(group)
                await asyncio.to_thread(bank.evaluated, group, lines)
            told = f"questions written to {self._parts.folder.name}: {len(groups)}"
            return answer(Evaluated(status=SUCCESS, processed_count=len(groups), message=told))

    async def consolidate_memories(self) -> Response:
        """Lets both memories learn from what waits, question by question. A question is done when
        both have; whoever is interrupted goes on with the others."""
        async with self._turn("consolidate_memories"), self._alone:
            bank = self._parts.bank
            groups = await asyncio.to_thread(bank.groups)
            since = await asyncio.to_thread(self._files.cleared)
            if groups:
                await asyncio.to_thread(bank.forget)
            saved: list[tuple[bool, bool]] = []
            for group in groups:
                saved.append(await self._consolidated(group, since))
                await asyncio.to_thread(bank.empty, group)
            return answer(
                Consolidated(
                    status=SUCCESS,
                    saved_positives=sum(right for right, _ in saved),
                    saved_negatives=sum(wrong for _, wrong in saved),
                )
            )

    async def save_memory(self) -> Response:
        """Writes both memories to files of the published layout."""
        async with self._turn("save_memory"), self._alone:
            parts = self._parts
            await asyncio.to_thread(self._files.save, WORKFLOWS)
            if not parts.unsupervised:
                path = parts.folder / PAIRS
                await asyncio.to_thread(save_pairs, parts.store, parts.namespace, path)
            return answer(Done(status=SUCCESS))

    async def register_images(self, request: Request) -> Response:
        """Keeps the pictures of questions. Nothing is kept when one of them cannot be read."""
        async with self._turn("register_images"):
            entries = (await read(request, Registering)).all
            taken = await each(entries, lambda entry: taken_in(entry, self._parts.fetch))
            pairs = [
                (str(entry.data_id), picture)
                for entry, picture in zip(entries, taken, strict=True)
                if picture is not None
            ]
            total = await asyncio.to_thread(self._parts.pictures.add, pairs)
            return answer(Registered(status="ok", registered=len(entries), total_data_ids=total))

    async def health(self) -> Response:
        """How it is, and how much it holds."""
        pictures = await asyncio.to_thread(self._parts.pictures.count)
        waiting = await asyncio.to_thread(self._parts.bank.questions)
        told = Health(status="ok", registered_data_ids=pictures, memory_bank_keys=waiting)
        return answer(told)

    async def _question(self, asked: Carrying) -> Question:
        pictures = await asyncio.to_thread(self._parts.pictures.of, asked.id)
        return replace(_asked(asked), pictures=pictures)

    async def _carried(self, question: Question, plan: str, before: Sequence[Said] = ()) -> Carried:
        """A run, or what another plan adds to one. Raises ModelError for a run that did not come to
        its end by no fault of its plan."""
        turns = run(before).turns
        whole = await self._parts.executor.run(question, plan_of(plan), turns)
        if whole.failed and whole.outcome != _SPENT:
            raise ModelError(f"the plan could not be carried out: {whole.detail or whole.outcome}")
        added = replace(whole, turns=whole.turns[len(turns) :])
        told = trace(question, added)
        return Carried(
            prompt=asks(told),
            trace=told,
            history_messages=tuple(history(added, before, readable(plan) if before else "")),
        )

    def _episode(self, rollout: Rollout, credits: bool, since: int) -> Episode:
        """The episode of a rollout, with what was recalled for it where it is credited. Blocks."""
        used = (rollout.used_memory_indices or ()) if credits else ()
        found = recalled(self._parts.store, self._parts.namespace, used)
        return episode_of(rollout, found, since)

    async def _consolidated(self, group: Group, since: int) -> tuple[bool, bool]:
        """Whether a success was kept of a group, and a failure."""
        parts, found = self._parts, kept(group.rollouts)
        success, right = await self._remembered(found.success, found.mostly_right, since)
        failure, wrong = await self._remembered(found.failure, not found.mostly_right, since)
        if success is not None and failure is not None and not parts.unsupervised:
            await parts.plan_memory.remember_pair(success.question, success, failure)
        return right, wrong

    async def _remembered(
        self, rollout: Rollout | None, credits: bool, since: int
    ) -> tuple[Episode | None, bool]:
        """The episode of a rollout, and whether memory kept anything of it."""
        if rollout is None:
            return None, False
        told = await asyncio.to_thread(self._episode, rollout, credits, since)
        remembered = await self._parts.memory.remember(told)
        return told, remembered.decision != "ignored"

    async def _lines(self, group: Group) -> dict[str, bytes]:
        """What each file says of a group."""
        reviewed = [one for one in group.rollouts if isinstance(one, Reviewed)]
        if reviewed:
            chosen = approved(reviewed)
            more = {
                "answer": chosen.gold,
                "judgement_nogt": "correct" if chosen.right else "incorrect",
                "judgement": await self._judged(chosen),
            }
            return {f"{_PREFIX}.jsonl": line(chosen, **more)}
        parts = self._parts
        picked = await by_each_rule(group.rollouts, parts.router, parts.plan_memory)
        return {f"{_PREFIX}-{rule}.jsonl": line(one) for rule, one in picked.items()}

    async def _judged(self, rollout: Reviewed) -> str | None:
        """What the right answer says of a rollout's; None where nobody knows it."""
        if rollout.gold is None:
            return None
        said = rollout.model_answer or answer_of(rollout) or ""
        question = replace(rollout.asked, answers=(readable(rollout.gold),))
        final = Trajectory(turns=(Turn(answer=readable(said)),), outcome="answered")
        verdict = await self._parts.judge.judge(question, Plan(text=rollout.plan), final)
        return None if verdict.value is VerdictValue.UNKNOWN else verdict.value.value


def _asked(named: Named) -> Question:
    """The question. Raises InputError for one without an id or without words."""
    return replace(named.asked, id=named.id)
