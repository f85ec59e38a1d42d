"""Makes exercises of questions: what their pictures show, what memory returns, the Planner's plan,
and, where it is asked for, a whole run with every word that was said in it.

What was collected lies in a Collection as soon as it is there, so that a collection which was
killed goes on where it stopped: no question is asked twice that was collected once. A question
whose models could not be asked is noted with its faults and tried again next time. Memory is only
read: what it knows does not depend on how far a collection got.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from mia.captioner import Captioner, captioned
from mia.errors import BudgetError, ConfigError, MIAError, ModelError, StoreError
from mia.memory import Memory
from mia.model import (
    GREEDY,
    Message,
    Model,
    Reply,
    Sampling,
    Shape,
    ToolSpec,
    asked_before,
)
from mia.planner import Planner
from mia.solve import Team, solve
from mia.sqlite_file import SqliteFile
from mia.training.exercises import Exchange, Exercise
from mia.training.rewards import Stage
from mia.training.versions import Role
from mia.types import (
    Episode,
    Noun,
    Plan,
    Question,
    Recollection,
    Reflection,
    Turn,
    Usage,
    VerdictValue,
    decode,
    encode,
)

_VERSION = 1
_SCHEMA = """
CREATE TABLE settings (body TEXT NOT NULL) STRICT;
CREATE TABLE collected (
    question_id TEXT PRIMARY KEY,
    failed INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT
"""
_SPENT = f"failed:{BudgetError.code}"


class Collected(Noun, frozen=True):
    """What came of one question."""

    question_id: str
    exercise: Exercise | None = None
    """None where something went wrong."""
    faults: tuple[str, ...] = ()
    """What did, in one line each."""
    usage: Usage = Usage()
    """Of what was made: a reply that could not be read is not in it."""


Collector = Callable[[Question], Awaitable[Collected]]


class Heard:
    """What the models of one episode were asked and said."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self.taught: list[Exchange] = []
        """Of these, what others should learn to say: nothing that was cut off or not carried
        out."""
        self._stage: Stage = "plan"
        self._before = 0
        """How many were taught before what is said now."""

    def watch(self, noun: Noun) -> None:
        """Is shown the episode's nouns as they come. They tell what a planner is asked for next:
        after a plan to reflect, and after a reflection for another plan; and that what was said for
        a turn could not be carried out."""
        if isinstance(noun, Plan):
            self._stage = "reflection"
        elif isinstance(noun, Reflection):
            self._stage = "replan"
        elif isinstance(noun, Turn) and noun.observation and noun.observation.error is not None:
            del self.taught[self._before :]
        self._before = len(self.taught)

    def add(self, role: Role, messages: Sequence[Message], reply: Reply) -> None:
        """Notes a call. What was said at the second try stands in place of what was refused:
        nobody should learn to be refused first."""
        stage = self._stage if role == "planner" else "act"
        asked = tuple(asked_before(messages))
        if len(asked) < len(messages):
            refused = Exchange(role=role, stage=stage, messages=asked, reply=messages[-2].content)
            self.exchanges = [one for one in self.exchanges if one != refused]
            self.taught = [one for one in self.taught if one != refused]
        said = Exchange(role=role, stage=stage, messages=asked, reply=reply.text)
        self.exchanges.append(said)
        if not reply.truncated:
            self.taught.append(said)


class Overheard:
    """A model whose every call is written down. Native tool calls are no text, and are not: let
    executors speak a text protocol."""

    def __init__(self, model: Model, role: Role, heard: Heard) -> None:
        self._model = model
        self._role: Role = role
        self._heard = heard

    async def reply(
        self,
        messages: Sequence[Message],
        *,
        sampling: Sampling = GREEDY,
        shape: Shape | None = None,
        tools: Sequence[ToolSpec] = (),
    ) -> Reply:
        """The model's. Raises ModelError when the model does; nothing was said then."""
        reply = await self._model.reply(messages, sampling=sampling, shape=shape, tools=tools)
        self._heard.add(self._role, messages, reply)
        return reply


Cast = Callable[[Heard], Team]
"""The team of one episode, whose planner and executor are overheard."""


async def prepared(
    question: Question, captioner: Captioner, memory: Memory, planner: Planner | None
) -> Collected:
    """What an episode begins with; without a plan where there is no planner."""
    looked = await captioner.look(question)
    asked = captioned(question, looked)
    try:
        recollection = await memory.recall(asked)
        plan = None if planner is None else await planner.plan(asked, recollection)
    except ModelError as error:
        return Collected(question_id=question.id, faults=(*_unseen(asked, looked), str(error)))
    parts = (*looked, recollection, plan)
    return _collected(
        Exercise(question=asked, recollection=_uncosted(recollection), plan=_plan(plan)),
        faults=_unseen(asked, looked),
        usage=sum((part.usage for part in parts if part is not None), Usage()),
    )


async def lived(question: Question, cast: Cast, roles: Sequence[Role]) -> Collected:
    """What a whole episode came to, and what the models of these roles were asked and said. The
    plan is kept where the Executor's role is among them."""
    heard = Heard()
    episode = await solve(question, cast(heard), heard.watch)
    runs = (episode.trajectory, episode.retrajectory)
    spent = any(run is not None and run.outcome == _SPENT for run in runs)
    exercise = Exercise(
        question=episode.question,
        recollection=_uncosted(episode.recollection),
        plan=_plan(episode.plan) if "executor" in roles else None,
        exchanges=tuple(each for each in heard.taught if each.role in roles),
        correct=_right(episode),
    )
    faults = () if spent else episode.faults  # to use up a budget is the models' own doing
    unseen = _unseen(episode.question, episode.looked)
    return _collected(exercise, (*unseen, *faults), episode.usage)


def _collected(exercise: Exercise, faults: tuple[str, ...], usage: Usage) -> Collected:
    return Collected(
        question_id=exercise.question.id,
        exercise=None if faults else exercise,
        faults=faults,
        usage=usage,
    )


def _unseen(question: Question, looked: Sequence[Turn]) -> tuple[str, ...]:
    """Why nobody said what a question's pictures show, where it was tried in vain."""
    if question.caption is not None:
        return ()
    seen = (turn.observation for turn in looked)
    return tuple(each.error for each in seen if each is not None and each.error is not None)


def _uncosted(recollection: Recollection) -> Recollection:
    return replace(recollection, usage=Usage())


def _plan(plan: Plan | None) -> Plan | None:
    return plan and replace(plan, usage=Usage())


def _right(episode: Episode) -> bool | None:
    """As rewards see it: a run that used up its budget has no answer, and is not right."""
    if episode.final.outcome == _SPENT:
        return False
    verdict = episode.verdict.value
    return None if verdict is VerdictValue.UNKNOWN else verdict is VerdictValue.CORRECT


class Collection:
    """What was collected so far, in one file. Safe for several threads."""

    def __init__(self, path: Path, settings: str) -> None:
        """`settings` are what decides what is collected. Raises ConfigError for a file that was
        begun with others, and StoreError."""
        self._path = path
        self._file = SqliteFile(
            path, "the collection", _SCHEMA, version=_VERSION, synchronous="FULL"
        )
        try:
            self._begin(settings)
        except MIAError:
            self.close()
            raise

    def _begin(self, settings: str) -> None:
        with self._file.writing() as db:
            begun = db.execute("SELECT body FROM settings").fetchone()
            if begun is None:
                db.execute("INSERT INTO settings VALUES (?)", (settings,))
            elif begun[0] != settings:
                raise ConfigError(
                    f"{self._path} was begun with other questions or settings; go on with those,"
                    " or choose another --out"
                )

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def done(self) -> frozenset[str]:
        """The questions that have their exercises."""
        with self._file.reading() as db:
            rows = db.execute("SELECT question_id FROM collected WHERE NOT failed").fetchall()
        return frozenset(row[0] for row in rows)

    async def add(self, collected: Collected) -> None:
        """Writes down what came of a question, in the place of what failed before. On the disk when
        it returns. Raises StoreError."""
        await asyncio.to_thread(self._add, collected)

    def _add(self, collected: Collected) -> None:
        row = (collected.question_id, collected.exercise is None, encode(collected))
        with self._file.writing() as db:
            _known(db, collected.question_id, self._path)
            db.execute("INSERT OR REPLACE INTO collected VALUES (?, ?, ?)", row)

    def of(self, question: Question) -> Collected | None:
        """What came of a question; None where it was not asked yet. Raises StoreError for what
        cannot be read."""
        with self._file.reading() as db:
            row = db.execute(
                "SELECT body FROM collected WHERE question_id = ?", (question.id,)
            ).fetchone()
        try:
            return None if row is None else decode(row[0], Collected)
        except msgspec.DecodeError as error:
            raise StoreError(
                f"what {self._path} has of {question.id!r} cannot be read: {error}"
            ) from error


def _known(db: sqlite3.Connection, question_id: str, path: Path) -> None:
    sql = "SELECT 1 FROM collected WHERE question_id = ? AND NOT failed"
    if db.execute(sql, (question_id,)).fetchone():
        raise StoreError(f"{path} has the exercise of question {question_id!r} already")


async def collect(
    questions: Sequence[Question],
    collector: Collector,
    collection: Collection,
    *,
    concurrency: int,
    watch: Callable[[Collected], None],
) -> None:
    """Asks for every question that has no exercise yet, at most `concurrency` at a time; `watch` is
    shown what came of each. Raises what a collector raises, and StoreError."""
    done = collection.done()
    waiting = iter([question for question in questions if question.id not in done])

    async def work() -> None:
        for question in waiting:
            collected = await collector(question)
            await collection.add(collected)
            watch(collected)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(work())
    except* MIAError as errors:
        raise errors.exceptions[0] from None
