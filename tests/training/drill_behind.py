"""A process for the drill: a server that answers and takes feedback, and a learner behind it, each
killed again and again wherever it is. What was acknowledged is written down here, outside of both.
At the end nobody is killed any more, and all that was acknowledged must have come to its end once.
Arguments: the folder, the base's, the adapter's to begin with, how many kills. Prints what it was
worth."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

from tests.training import tiny_world
from tests.training.behind_desk import LOOSE, RUN, Count, Desk
from ulid import ULID

from mia.journal import Journal
from mia.judges.feedback import Feedback
from mia.memories.workflow.forget import Choice, forget
from mia.memories.workflow.log import source_in
from mia.memories.workflow.memory import WorkflowMemory
from mia.memories.workflow.rows import Rows
from mia.memories.workflow.sqlite import SqliteStore
from mia.memories.workflow.verify import texts, verify, walked
from mia.models.torch_local import libraries
from mia.testing import ToyEmbedder
from mia.training.heeding import last_word
from mia.training.inbox import Inbox
from mia.types import (
    Episode,
    Observation,
    Plan,
    Question,
    Recollection,
    Remembered,
    ToolCall,
    Trajectory,
    Turn,
    VerdictValue,
)

MOST = 400
"""Questions that are asked."""
LONGEST = 1.6
"""Seconds that anybody lives."""


class Workflows:
    """The real memory, as the desk needs it."""

    def __init__(self, file: Path) -> None:
        self.plug = Count()
        self.store = SqliteStore(file)
        self._memory = WorkflowMemory(self.store, ToyEmbedder())

    async def recall(self, question: Question) -> Recollection:
        return await self._memory.recall(question)

    async def remember(self, episode: Episode) -> Remembered:
        return await self._memory.remember(episode)

    def forget(self, episodes: Sequence[str]) -> None:
        forget(self.store, "default", Choice(episodes=tuple(episodes)), reason="contradicted")


def answer(lot: random.Random) -> Episode:
    letter, said = lot.choice("abcd"), lot.choice("ABCD")
    call = ToolCall(name="search", arguments={"query_list": [said.lower()]})
    turns = (Turn(call=call, observation=Observation(text=said)), Turn(answer=said))
    id = str(ULID())
    return Episode(
        id=id, question=Question(text=f"find {letter}", id=f"q {id}"), plan=Plan(text=letter),
        trajectory=Trajectory(turns=turns, outcome="answered"),
    )  # fmt: skip


def said_of(episode: Episode, lot: random.Random) -> Feedback:
    right = episode.question.text[-1].upper()
    return lot.choice(
        [Feedback(answer=right), Feedback(up=episode.answer == right),
         Feedback(up=lot.random() < 0.5), Feedback(text="thank you")]
    )  # fmt: skip


def serve(folder: Path, seed: int, told: int) -> None:
    """Answers, and takes feedback on what was answered by now or before; each is acknowledged when
    it is on the disk."""
    lot = random.Random(seed)
    journal, inbox = Journal(folder / "journal.db"), Inbox(folder / "inbox.db")
    record = journal.open_run(f"serve {RUN}", "")
    while True:
        asked = inbox.asked()
        if len(asked) < MOST:
            episode = answer(lot)
            asyncio.run(record.append(episode))
            inbox.ask(episode.id, lot.choice(["", "ann", "bob"]))
            os.write(told, f"asked {episode.id}\n".encode())
        if asked:
            episode = journal.episode(lot.choice(asked).episode)
            key = str(ULID())
            inbox.tell(key, episode.id, said_of(episode, lot))
            os.write(told, f"told {key} {episode.id}\n".encode())
        time.sleep(0.1)


def learn(folder: Path, base: Path, begins: Path, *, drain: bool = False) -> None:
    desk = Desk(folder, base, begins)
    desk.memory = Workflows(folder / "memory.db")  # type: ignore[assignment]
    if drain:
        desk.wish("drain")
        asyncio.run(desk.work(limits=LOOSE))
        return

    async def work() -> None:
        with desk.behind(limits=LOOSE) as behind:
            await behind.work(asyncio.Event())

    asyncio.run(work())


def child(work: Callable[[], None]) -> int:
    """A process of its own, which does something until it is killed."""
    pid = os.fork()
    if not pid:
        work()
        os._exit(0)
    return pid


def killed(pid: int) -> bool:
    """Whether it was the kill that ended it."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def rounds(folder: Path, base: Path, begins: Path, kills: int) -> list[str]:
    """Kills so often; what was acknowledged meanwhile."""
    lot, done = random.Random(0), 0
    hear, tell = os.pipe()
    os.set_blocking(hear, False)
    acknowledged = b""
    while done < kills:
        seed = lot.randrange(2**32)
        pids = [
            child(partial(serve, folder, seed, tell)),
            child(partial(learn, folder, base, begins)),
        ]
        for pid in lot.sample(pids, 2):
            time.sleep(lot.uniform(0, LONGEST / 2))
            done += killed(pid)
            with suppress(BlockingIOError):
                acknowledged += os.read(hear, 2**20)
    return acknowledged.decode().splitlines()


def check(folder: Path, acknowledged: Sequence[str]) -> str:
    """Raises AssertionError where something was lost, or counted twice."""
    desk = Desk(folder)
    with (
        closing(Inbox(folder / "inbox.db")) as inbox,
        closing(Journal(folder / "journal.db")) as journal,
    ):
        asked = inbox.asked()
        told = {each.key: each for one in asked for each in inbox.of(one.episode)}
        known = {one.episode for one in asked}
        for line in acknowledged:
            kind, *what = line.split()
            assert what[0] in (known if kind == "asked" else told), f"{line} was lost"
        assert all(each.came_to is not None for each in told.values()), "nobody got to it"
        wanted: set[int] = set()
        for one in asked:
            said = last_word([each.feedback for each in inbox.of(one.episode)],
                             journal.episode(one.episode))  # fmt: skip
            if said and (said.right or said.verdict.value is VerdictValue.INCORRECT):
                wanted.add(one.place)
        withdrawn = {id for id in known if inbox.ruled(id) == "withdrawn"}
        journal_count = journal.count()
    outcomes = desk.outcomes()
    assert wanted <= {one.place for one in outcomes}, "what can be judged was tried out"
    with SqliteStore(folder / "memory.db") as store:
        store.read(verify)

        def sources(rows: Rows) -> list[tuple[str, str]]:
            found = [(entry, source_in(entry.action, entry.seq, body))
                     for entry, body in texts(rows, walked(rows))]  # fmt: skip
            return [(source.episode, entry.action) for entry, source in found]

        brought = Counter(store.read(sources))
    assert not withdrawn & {id for id, _ in brought}, "what was contradicted is forgotten"
    assert max(brought.values()) == 1, "an episode was remembered twice"
    learned, versions = desk.learned(), desk.shelf.versions()
    numbers = [each.update.version for each in learned]
    assert numbers == list(range(1, len(numbers) + 1)), "each update once"
    made = [each.config["update"] for each in versions]
    assert made == sorted(set(made)) and 0 < len(made) <= 5, "a version an update, the last five"
    current = desk.shelf.current()
    assert current is not None and current == versions[-1]
    for version in versions:
        desk.shelf.verify(version.number)
    return (
        f"{len(acknowledged)} acknowledged; {len(asked)} questions, {len(told)} feedback, of which"
        f" {len(withdrawn)} contradicted; {len(outcomes)} tried out, {len(numbers)} updates,"
        f" version {current.number}, {journal_count} episodes"
    )


def main() -> None:
    folder, base, begins = map(Path, sys.argv[1:4])
    libraries()[0].set_num_threads(1)
    tiny_world.opened(base)  # what is loaded here nobody loads again
    acknowledged = rounds(folder, base, begins, int(sys.argv[4]))
    pid = child(partial(learn, folder, base, begins, drain=True))
    assert os.waitpid(pid, 0)[1] == 0, "nobody killed it"
    print(check(folder, acknowledged))


if __name__ == "__main__":
    main()
