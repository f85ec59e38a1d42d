"""The published memory service, for its unmodified clients, over MIA's own parts.

Memory recalls and remembers, the planner plans, reflects and replans, the router picks. What is
here is translation: lists of items in, lists of answers out. A list is served whole or not at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from fastapi import Request, Response

from mia.errors import MIAError, ModelError
from mia.memories.workflow.store import Store
from mia.memory import Memory
from mia.model import Model
from mia.planner import Planner
from mia.planners.routed import PAIRS
from mia.router import PlanMemory, Router
from mia.servers.guard import App, Guard, Limits
from mia.servers.metrics import Metrics
from mia.servers.reference_app import (
    BODY,
    SECONDS,
    Unserved,
    answer,
    each,
    published,
    read,
    read_items,
    turn,
)
from mia.servers.reference_chat import before_reflection, before_replan, chat, further
from mia.servers.reference_episode import episode, plan_of, told
from mia.servers.reference_files import Files
from mia.servers.reference_handles import handles, recalled
from mia.servers.reference_memory_wire import (
    SUCCESS,
    About,
    Asking,
    BestPlanned,
    Context,
    Done,
    Judged,
    Judging,
    LoadPath,
    Planned,
    Replanned,
    Replanning,
    Reviewed,
    SavePath,
    Saving,
    Trained,
    Training,
    context,
)
from mia.training.collect import Heard, Overheard
from mia.types import Episode, Note, Plan, Question, Recollection, Reflection

CANDIDATES = 4
_EXPLORING = 1.0
_WRONG = Reflection(goal_met=False, reason="the answer was judged wrong")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a memory service works with."""

    memory: Memory
    """Recalls as many workflows of each outcome as requests may ask for."""
    store: Store
    """Where that memory keeps them."""
    namespace: str
    model: Model
    """Who plans."""
    planner: Callable[[Model, float], Planner]
    """Makes the planner that talks to a model, at a temperature."""
    router: Router
    plan_memory: PlanMemory
    folder: Path
    """Of memory files."""
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
    api = published("MIA as the published memory service", metrics)
    routes = _Routes(parts, metrics, seconds)
    api.post("/memory")(routes.memory)
    api.post("/plan")(routes.plan)
    if not parts.unsupervised:
        api.post("/best_plan")(routes.best_plan)
    api.post("/judge_replan")(routes.judge_replan)
    api.post("/replan")(routes.replan)
    api.post("/replan_train")(routes.replan_train)
    api.post("/batch_memory_save")(routes.batch_memory_save)
    api.post("/save_memory")(routes.save_memory)
    api.post("/load_memory")(routes.load_memory)
    api.post("/clear_memory")(routes.clear_memory)
    api.get("/hallo")(_hallo)
    api.get("/health")(_health)
    return Guard(api, token, names, Limits(body=BODY))


@dataclass(frozen=True, slots=True)
class _Found:
    """A question, what memory returned for it, and the handles of that."""

    question: Question
    recollection: Recollection
    pos_indices: tuple[int, ...]
    neg_indices: tuple[int, ...]


class _Routes:
    """What each route does."""

    def __init__(self, parts: Parts, metrics: Metrics, seconds: float) -> None:
        self._parts = parts
        self._metrics = metrics
        self._seconds = seconds
        self._files = Files(parts.store, parts.namespace, parts.folder)
        self._alone = asyncio.Lock()
        """Held by whoever reads or writes files, or clears the memory."""

    def _turn(self, route: str) -> AbstractAsyncContextManager[None]:
        return turn(self._metrics, route, self._seconds)

    async def memory(self, request: Request) -> Response:
        """What memory returns for each question, as text and by handles."""
        async with self._turn("memory"):
            return answer(await each(await read_items(request, Asking), self._context))

    async def plan(self, request: Request) -> Response:
        """A plan for each question, with the planner's chat."""
        async with self._turn("plan"):
            return answer(await each(await read_items(request, Asking), self._plan))

    async def best_plan(self, request: Request) -> Response:
        """Of four plans for each question the one that the router picks."""
        async with self._turn("best_plan"):
            return answer(await each(await read_items(request, Asking), self._best_plan))

    async def judge_replan(self, request: Request) -> Response:
        """Whether each run needs another plan."""
        async with self._turn("judge_replan"):
            return answer(await each(await read_items(request, Judging), self._judge))

    async def replan(self, request: Request) -> Response:
        """What to do after each run."""
        async with self._turn("replan"):
            return answer(await each(await read_items(request, Replanning), self._replan))

    async def replan_train(self, request: Request) -> Response:
        """What to do after a run that is known to be wrong."""
        async with self._turn("replan_train"):
            return answer(await self._replan_train(await read(request, Training)))

    async def batch_memory_save(self, request: Request) -> Response:
        """Remembers each run, one after the other. Nothing is remembered when one of them cannot be
        read; when one cannot be kept, those before it are, and sending all again is safe."""
        async with self._turn("batch_memory_save"):
            kind = Reviewed if self._parts.unsupervised else Saving
            items = await read_items(request, kind)
            async with self._alone:
                since = await asyncio.to_thread(self._files.cleared)
            episodes = await each(items, lambda item: self._episode(item, since))
            for index, told_of in enumerate(episodes):
                try:
                    await self._parts.memory.remember(told_of)
                except MIAError as error:
                    raise Unserved(index, error) from error
            return answer(Done(status=SUCCESS))

    async def save_memory(self, request: Request) -> Response:
        """Writes what is remembered to a file of the published layout."""
        async with self._turn("save_memory"):
            path = (await read(request, SavePath)).save_path
            async with self._alone:
                count = await asyncio.to_thread(self._files.save, path)
            return answer(Done(status=SUCCESS, message=f"workflows written: {count}"))

    async def load_memory(self, request: Request) -> Response:
        """Adds what is in such a file."""
        async with self._turn("load_memory"):
            path = (await read(request, LoadPath)).load_path
            async with self._alone:
                count = await asyncio.to_thread(self._files.load, path)
            return answer(Done(status=SUCCESS, message=f"workflows added: {count}"))

    async def clear_memory(self) -> Response:
        """Forgets all that is remembered."""
        async with self._turn("clear_memory"), self._alone:
            count = await asyncio.to_thread(self._files.clear)
            return answer(Done(status=SUCCESS, message=f"workflows forgotten: {count}"))

    async def _recall(self, about: About, passed: int, count: int) -> _Found:
        """What memory returns: `count` of each outcome, after those that are passed over."""
        question = about.asked
        found = await self._parts.memory.recall(question)
        kept = Recollection(
            successes=found.successes[passed : passed + count],
            failures=found.failures[passed : passed + count],
            notes=found.notes,
        )
        pos, neg = await asyncio.to_thread(
            lambda: (
                handles(self._parts.store, kept.successes),
                handles(self._parts.store, kept.failures),
            )
        )
        return _Found(question, kept, pos, neg)

    async def _context(self, asked: Asking) -> Context:
        found = await self._recall(asked, asked.pass_num, asked.mem_top_k)
        return Context(
            context=context(found.recollection),
            pos_indices=found.pos_indices,
            neg_indices=found.neg_indices,
        )

    def _planner(self, heard: Heard, temperature: float = 0.0) -> Planner:
        return self._parts.planner(Overheard(self._parts.model, "planner", heard), temperature)

    async def _plan(self, asked: Asking) -> Planned:
        found, heard = await self._recall(asked, asked.pass_num, asked.mem_top_k), Heard()
        plan = await self._planner(heard).plan(found.question, found.recollection)
        return Planned(
            plan=plan.text,
            messages=chat(heard, found.question.text, plan.text),
            pos_indices=found.pos_indices,
            neg_indices=found.neg_indices,
        )

    async def _best_plan(self, asked: Asking) -> BestPlanned:
        found = await self._recall(asked, asked.pass_num, asked.mem_top_k)
        tries = await asyncio.gather(*(self._candidate(found) for _ in range(CANDIDATES)))
        drawn = [(n, *made) for n, made in enumerate(tries) if not isinstance(made, ModelError)]
        if not drawn:
            raise next(made for made in tries if isinstance(made, ModelError))
        pairs = await self._parts.plan_memory.pairs(found.question, PAIRS)
        plans = [plan for _, plan, _ in drawn]
        choice = await self._parts.router.pick(found.question, plans, pairs)
        number, plan, heard = drawn[choice.index]
        return BestPlanned(
            plan=plan.text,
            messages=chat(heard, found.question.text, plan.text),
            pos_indices=found.pos_indices,
            neg_indices=found.neg_indices,
            selected_plan_number=number + 1,
            all_plans=tuple("" if isinstance(made, ModelError) else made[0].text for made in tries),
        )

    async def _candidate(self, found: _Found) -> tuple[Plan, Heard] | ModelError:
        heard = Heard()
        try:
            planner = self._planner(heard, _EXPLORING)
            return await planner.plan(found.question, found.recollection), heard
        except ModelError as error:
            return error

    async def _judge(self, asked: Judging) -> Judged:
        talk, heard = before_reflection(asked.past_messages), Heard()
        question = Question(text=talk.question, id="")
        reflection = await self._planner(heard).reflect(
            question, plan_of(talk.plan), told(asked.workflow)
        )
        word = "no" if reflection.goal_met else "yes"
        said = heard.exchanges[-1].reply if heard.exchanges else word
        return Judged(need_replan=word, messages=further(asked.past_messages, asked.workflow, said))

    async def _replan(self, asked: Replanning) -> Replanned:
        """The planner sees what it was shown before as well: the chat it goes on with did too."""
        talk, heard = before_replan(asked.past_messages), Heard()
        seen = await self._recall(asked, 0, asked.pass_num + asked.mem_top_k)
        plan = await self._planner(heard).replan(
            seen.question,
            seen.recollection,
            plan_of(talk.plan),
            told(talk.trace),
            Reflection(goal_met=False, reason=talk.reason),
        )
        request = chat(heard, seen.question.text, plan.text)[-2:]
        return Replanned(
            replan=plan.text,
            messages=further(asked.past_messages, *(message.content for message in request)),
            pos_indices=seen.pos_indices[asked.pass_num :],
            neg_indices=seen.neg_indices[asked.pass_num :],
        )

    async def _replan_train(self, asked: Training) -> Trained:
        contexts = (asked.mem_context1, asked.mem_context2)
        plan = await self._planner(Heard()).replan(
            Question(text=asked.question, id=""),
            Recollection(notes=tuple(Note(text=text) for text in contexts if text)),
            plan_of(asked.plan),
            told(asked.trace),
            _WRONG,
        )
        return Trained(replan=True, content=plan.text)

    async def _episode(self, item: Saving, since: int) -> Episode:
        def read() -> Episode:
            used = item.used_memory_indices or ()
            return episode(item, recalled(self._parts.store, self._parts.namespace, used), since)

        return await asyncio.to_thread(read)


async def _hallo() -> Response:
    return answer({"sussflu": "hallo"})


async def _health() -> Response:
    return answer({"status": "ok"})
