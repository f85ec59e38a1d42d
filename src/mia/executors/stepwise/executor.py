"""The Executor for small models: one typed step at a time.

For each step it searches, reads the passages one by one until one of them says, and searches again
in other words when none does. A step that finds nothing ends the run: what depends on it cannot be
known. Dates, numbers, sameness and the answer line are computed in code (`compute.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from mia.captioner import in_words
from mia.errors import BudgetError, MIAError
from mia.executor import Budget, Executor, Meter, Tools, Watch, unwatched
from mia.executors.stepwise.compute import combine
from mia.executors.stepwise.kinds import as_asked, names_no_country
from mia.executors.stepwise.reader import Reader, Reading
from mia.planner import plain, refs, subject
from mia.snippets import stems
from mia.titles import titled
from mia.tool import Tool
from mia.types import Passage, Plan, Question, ToolCall, Trajectory, Turn, Usage

_REF = re.compile(r"\[?#(\d+)\]?")
_QUERY_CHARS = 400
"""What the search tool takes; a longer query finds nothing more."""


class Stepwise(Executor):
    """Carries out typed plans with a reader that answers one-lookup questions."""

    def __init__(
        self,
        reader: Reader,
        tools: Sequence[Tool],
        budget: Budget = Budget(),
        reads: int = 3,
    ) -> None:
        self._reader = reader
        self._tools = tuple(tools)
        self._budget = budget
        self._reads = reads
        """Passages to read before searching in other words."""

    async def run(
        self,
        question: Question,
        plan: Plan,
        so_far: tuple[Turn, ...] = (),
        watch: Watch = unwatched,
    ) -> Trajectory:
        """Abstains when a step finds nothing; fails for a plan without typed steps."""
        if plan.rule is None:
            detail = "the stepwise executor needs a typed plan; use react for plans in prose"
            return Trajectory(turns=so_far, outcome="failed:config", detail=detail)
        whole = in_words(question)
        run = _Run(whole, self._reader, Tools(self._tools, self._budget, so_far), self._reads)
        meter = Meter(self._budget, so_far)
        turns = list(so_far)
        found: dict[int, str] = {}
        try:
            for number, step in enumerate(plan.steps, 1):
                asked = resolve(step.text, found)
                for turn in await self._step(run, meter, turns, asked):
                    turns.append(turn)
                    meter.add(turn)
                    watch(turn)
                if turns[-1].found is None:
                    return Trajectory(turns=tuple(turns), outcome="abstained")
                found[number] = turns[-1].found
        except MIAError as error:
            return Trajectory(turns=tuple(turns), outcome=f"failed:{error.code}", detail=str(error))
        answer = combine(plan, found)
        if answer is None:
            return Trajectory(turns=tuple(turns), outcome="abstained")
        answer = as_asked(whole, answer)
        turns.append(Turn(thought=plan.text.splitlines()[-1], answer=answer))
        watch(turns[-1])
        return Trajectory(turns=tuple(turns), outcome="answered")

    async def _step(self, run: _Run, meter: Meter, turns: Sequence[Turn], asked: str) -> list[Turn]:
        """The turns of one step; the last one has what the step found."""
        known = next((t for t in turns if t.thought == plain(asked) and t.found), None)
        if known:
            return [Turn(thought=known.thought, found=known.found)]
        taken = await self._lookup(run, meter, asked)
        found = taken[-1].found
        if found is None or not names_no_country(plain(asked), found):
            return taken
        # a town or a region was found: it lies in some country
        where = f"Which country is [{found}] in?"
        further = await self._lookup(run, meter, where)
        country = further[-1].found
        if country is None or names_no_country(where, country):
            return [*further, *taken]
        return [*taken, *further]

    async def _lookup(self, run: _Run, meter: Meter, asked: str) -> list[Turn]:
        """One turn, or two when it had to search again."""
        taken: list[Turn] = []
        for queries in run.queries(asked):
            meter.check()
            if meter.seconds_left <= 0:
                raise BudgetError("no time left")
            taken.append(await run.look(asked, queries, taken))
            if taken[-1].found is not None:
                break
        return taken


class _Run:
    """One execution: its question, its tools, what it has read."""

    def __init__(self, question: str, reader: Reader, tools: Tools, reads: int) -> None:
        self._question = question
        self._reader = reader
        self._tools = tools
        self._reads = reads

    def queries(self, asked: str) -> tuple[list[str], ...]:
        """What to search for first, and then in other words."""
        text, about = plain(asked), subject(asked)
        whole = " ".join(dict.fromkeys((text, self._question)))
        if about is None:
            return [text], [whole]
        return [about, text], [f"{about} {' '.join(sorted(stems(text)))}", whole]

    async def look(self, asked: str, queries: list[str], before: Sequence[Turn]) -> Turn:
        """Searches and reads. Raises SearchError, BudgetError or ModelError."""
        call = ToolCall(
            name="search", arguments={"query_list": [q[:_QUERY_CHARS] for q in queries]}
        )
        observation = await self._tools.call(call)
        read = {p.id for turn in before if turn.observation for p in turn.observation.passages}
        passages = [p for p in observation.passages if p.id not in read]
        ranked = rank(passages, asked, self._question)[: self._reads]
        reading = await self._read(plain(asked), ranked, whole=subject(asked) is None)
        return Turn(
            thought=plain(asked),
            call=call,
            observation=observation,
            found=reading.answer,
            usage=reading.usage,
        )

    async def _read(self, asked: str, passages: Sequence[Passage], whole: bool) -> Reading:
        """The first passage that answers; for a question that names no subject, the surest."""
        usage = Usage()
        best = Reading(answer=None, confidence=0.0)
        for passage in passages:
            reading = await self._reader.read(asked, passage)
            usage += reading.usage
            if reading.answer and reading.confidence > best.confidence:
                best = reading
            if best.answer and not whole:
                break
        return Reading(answer=best.answer, confidence=best.confidence, usage=usage)


def resolve(text: str, found: dict[int, str]) -> str:
    """A step with the answers of earlier steps in the place of `#k`, marked as its subject."""
    cited = refs(text)
    if not cited:
        return text
    last = cited[-1]
    return _REF.sub(
        lambda match: (
            f"[{found[int(match[1])]}]" if int(match[1]) == last else found[int(match[1])]
        ),
        text,
    )


def rank(passages: Sequence[Passage], asked: str, question: str) -> list[Passage]:
    """Passages about the step's subject first; among namesakes, the one that fits the question."""
    about = subject(asked)
    context = stems(question) | stems(plain(asked))

    def nearness(passage: Passage) -> tuple[float, float]:
        shared = len(stems(f"{passage.title} {passage.text[:600]}") & context)
        return titled(passage.title, about) if about else 0.0, shared / (1 + len(context))

    order = sorted(range(len(passages)), key=lambda i: nearness(passages[i]), reverse=True)
    return [passages[i] for i in order]
