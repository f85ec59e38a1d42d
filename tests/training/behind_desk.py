"""A learner behind a server that is played by tests: what lies on the disk, who works at it, and a
plug that can be pulled at every step."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from tests.training import tiny_world

from mia.captioners.none import Blind
from mia.journal import Journal
from mia.judge import Judge
from mia.judges.feedback import Feedback
from mia.memories.none import NoPlanMemory
from mia.memory import Memory
from mia.router import PairRemembered
from mia.training import tiny
from mia.training.behind import Behind, Report
from mia.training.buffer import Buffer, Kept, Learned, Outcome
from mia.training.exercises import Exercise
from mia.training.guards import Limits
from mia.training.heeding import Heeding
from mia.training.inbox import Inbox, Ruling
from mia.training.keeping import Attempted, Keeper
from mia.training.learner import Learner
from mia.training.lockstep import Lockstep
from mia.training.press import Footing, Press, Stand
from mia.training.rewards import Reward, planner_reward, unsupervised_planner_reward
from mia.training.rollouts import Actor, Voice, sampled
from mia.training.samples import Sample
from mia.training.study import Study
from mia.training.trying import Trying
from mia.training.versions import Draft, Shelf, Version
from mia.types import (
    Episode,
    Noun,
    Plan,
    Question,
    Recollection,
    Remembered,
    Trajectory,
    Turn,
)

RUN = "served"
LOOSE = Limits(kl=100.0, entropy=0.0, length=100.0, canary_every=1, per_source=1.0)
"""The tiny world learns in leaps."""
QUICK: dict[str, Any] = {"questions": 2, "attempts": 4}
Plug = Callable[[str], None]


class Pulled(BaseException):
    """Somebody pulled the plug."""


class Count:
    """A plug that is pulled at a step; at none by default."""

    def __init__(self, at: int = 0) -> None:
        self.at = at
        self.steps: list[str] = []

    def __call__(self, step: str) -> None:
        self.steps.append(step)
        if len(self.steps) == self.at:
            raise Pulled(step)


class Remembers(Memory):
    """Keeps each episode once, by its first verdict, and forgets it when it is told to."""

    def __init__(self) -> None:
        self.plug: Plug = Count()
        self.kept: dict[str, Episode] = {}
        self.forgotten: list[str] = []

    async def recall(self, question: Question) -> Recollection:
        """Nothing."""
        return Recollection()

    async def remember(self, episode: Episode) -> Remembered:
        """Doing it twice changes nothing."""
        self.plug(f"before remember {episode.question.id}")
        self.kept.setdefault(episode.id, episode)
        self.plug(f"after remember {episode.question.id}")
        return Remembered(decision="stored", reason="it is new", workflow_id=f"w {episode.id}")

    def forget(self, episodes: Sequence[str]) -> None:
        """They stay absorbed."""
        self.plug("before forget")
        self.forgotten += [each for each in episodes if each not in self.forgotten]
        self.plug("after forget")

    @property
    def known(self) -> dict[str, Episode]:
        """What is left, by its episode."""
        return {id: each for id, each in self.kept.items() if id not in self.forgotten}


class Pairs(NoPlanMemory):
    """Counts the couples it is shown."""

    def __init__(self) -> None:
        self.couples: list[tuple[Episode, Episode]] = []

    async def remember_pair(
        self, question: Question, right: Episode, wrong: Episode
    ) -> PairRemembered:
        """Keeps them."""
        self.couples.append((right, wrong))
        return PairRemembered(decision="stored", reason="they differ")


class PluggedInbox(Inbox):
    def __init__(self, path: Path, plug: Plug) -> None:
        super().__init__(path)
        self._plug = plug

    def settle(self, place: int, came_to: str) -> None:
        self._plug("before settle feedback")
        super().settle(place, came_to)
        self._plug("after settle feedback")

    def rule(self, episode: str, right: bool) -> Ruling:
        self._plug("before rule")
        stands = super().rule(episode, right)
        self._plug("after rule")
        return stands

    def withdraw(self, episode: str) -> None:
        self._plug("before withdraw")
        super().withdraw(episode)
        self._plug("after withdraw")


class PluggedBuffer(Buffer):
    def __init__(self, path: Path, plug: Plug) -> None:
        super().__init__(path, "")
        self._plug = plug

    def add(self, outcome: Outcome, samples: Sequence[Sample], keep: Kept) -> None:
        self._plug("before add")
        super().add(outcome, samples, keep)
        self._plug("after add")

    def settle(self, outcome: Outcome) -> None:
        self._plug("before settle question")
        super().settle(outcome)
        self._plug("after settle question")

    def note(self, learned: Learned) -> None:
        self._plug("before note")
        super().note(learned)
        self._plug("after note")

    def form(self, batch: int, questions: int, **how: Any) -> int:
        formed = super().form(batch, questions, **how)
        if formed:
            self._plug("after form")
        return formed


class PluggedShelf(Shelf):
    def __init__(self, folder: Path, plug: Plug) -> None:
        super().__init__(folder, "planner")
        self._plug = plug

    def publish(self, draft: Draft, fill: Callable[[Path], None]) -> Version:
        self._plug("before publish")
        version = super().publish(draft, fill)
        self._plug("after publish")
        return version

    def succeed(self, before: int, number: int) -> bool:
        self._plug("before promote")
        done = super().succeed(before, number)
        self._plug("after promote")
        return done

    def discard(self, number: int) -> bool:
        self._plug("before discard")
        return super().discard(number)


class PluggedStand(Stand):
    def __init__(self, folder: Path, first: Footing, plug: Plug) -> None:
        self._plug = plug
        super().__init__(folder, first)

    def set(self, footing: Footing) -> None:
        self._plug("before footing")
        super().set(footing)
        self._plug("after footing")


class PluggedLearner(Learner):
    plug: Plug = Count()

    def save(self, folder: Path) -> None:
        self.plug("before save")
        super().save(folder)
        self.plug("after save")


def episode_of(number: int, letter: str, answer: str | None) -> Episode:
    """What a server answered to `find LETTER`."""
    turns = (Turn(answer=answer),) if answer is not None else ()
    return Episode(
        id=f"e{number}", question=Question(text=f"find {letter}", id=f"q{number}"),
        plan=Plan(text=letter),
        trajectory=Trajectory(turns=turns, outcome="answered" if answer else "abstained"),
    )  # fmt: skip


class Desk:
    """What stays on the disk, and whoever works at it."""

    def __init__(self, folder: Path, base: Path | None = None, begins: Path | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.base, self.begins = folder, base, begins
        self.memory, self.pairs = Remembers(), Pairs()
        self.said: list[str] = []
        self.today = datetime(2030, 1, 1, 12, tzinfo=UTC)
        self.learner: Learner | None = None
        self._asked = 0

    @property
    def shelf(self) -> Shelf:
        """As another process sees it."""
        return Shelf(self.folder / "policies", "planner")

    def ask(self, letter: str, answer: str | None, user: str = "") -> str:
        """A question that was answered; the id of its episode."""
        self._asked += 1
        episode = episode_of(self._asked, letter, answer)
        with closing(Journal(self.folder / "journal.db")) as journal:
            journal.open_run(f"serve {RUN}", "")
            journal.write(f"serve {RUN}", episode)
        with self.inbox() as inbox:
            inbox.ask(episode.id, user)
        return episode.id

    def tell(self, episode: str, key: str = "", **feedback: Any) -> None:
        """What a person says of an answer."""
        with self.inbox() as inbox:
            inbox.tell(key or f"{episode} {feedback}", episode, Feedback(**feedback))

    def wish(self, what: Any) -> None:
        with self.inbox() as inbox:
            inbox.wish(what)

    def inbox(self) -> closing[Inbox]:
        return closing(Inbox(self.folder / "inbox.db"))

    def report(self) -> Report:
        with self.inbox() as inbox:
            report = inbox.reported(Report)
        assert report is not None
        return report

    def outcomes(self) -> tuple[Outcome, ...]:
        with closing(Buffer(self.folder / "attempted.db", "")) as buffer:
            return buffer.outcomes()

    def learned(self) -> tuple[Learned, ...]:
        with closing(Buffer(self.folder / "attempted.db", "")) as buffer:
            return buffer.learned()

    @contextmanager
    def behind(
        self, *, plug: Plug | None = None, voice: Voice | None = None, limits: Limits = LOOSE,
        canary: Sequence[Exercise] = (), judge: Judge | None = None, always: bool = False,
        vote: bool = False, a_day: int = 0, keep: int = 5, by_answer: Reward = planner_reward,
        **changes: Any,
    ) -> Generator[Behind]:  # fmt: skip
        """Everybody anew, as after a kill."""
        plug = plug or Count()
        self.memory.plug = plug
        preset = tiny_world.preset(**{**QUICK, **changes})
        learner = None
        lockstep = Lockstep()
        if voice is None:
            assert self.base is not None
            own = tiny_world.opened(self.base)
            learner = PluggedLearner(own, preset, self.begins)
            learner.plug = plug
            voice = sampled(lockstep.policy(learner.draw), tiny_world.chat_of(own))
        self.learner = learner
        with ExitStack() as opened:
            journal = opened.enter_context(closing(Journal(self.folder / "journal.db")))
            inbox = opened.enter_context(closing(PluggedInbox(self.folder / "inbox.db", plug)))
            buffer = opened.enter_context(
                closing(PluggedBuffer(self.folder / "attempted.db", plug))
            )
            shelf = PluggedShelf(self.folder / "policies", plug)
            actor = Actor("planner", tiny.cast("planner", tiny.ByRule), voice, planner_reward,
                          lockstep.episode)  # fmt: skip
            stand = PluggedStand(self.folder, Footing(version=shelf.in_use), plug)
            study = press = None
            if learner is not None:
                study = Study(
                    actor=actor, preset=preset, buffer=buffer, learner=learner,
                    checkpoint=self.folder / "checkpoint", limits=limits, canary=canary,
                )  # fmt: skip
                press = Press(
                    shelf=shelf, study=study, stand=stand, publish=_publisher(shelf, learner),
                    adapter=lambda number: shelf.folder(number) if number else self.begins,
                    settle=lambda: None, run=RUN, keep=keep,
                )  # fmt: skip
            yield Behind(
                inbox=inbox,
                heeding=Heeding(
                    inbox=inbox, episode=journal.episode, memory=self.memory,
                    forget=self.memory.forget, buffer=buffer,
                ),
                trying=Trying(
                    actor=actor, captioner=Blind(), memory=self.memory,
                    attempted=Attempted(lambda run: journal.open_run(f"serve {RUN}{run}", "")),
                    preset=preset, limits=limits, by_answer=by_answer,
                    by_judge=unsupervised_planner_reward, judge=judge, always=always, vote=vote,
                ),
                keeper=Keeper(memory=self.memory, plan_memory=self.pairs, buffer=buffer),
                buffer=buffer, stand=stand, study=study, press=press, say=self.said.append,
                a_day=a_day, clock=lambda: self.today,
            )  # fmt: skip

    async def work(self, **how: Any) -> None:
        """Until there is nothing to do."""
        with self.behind(**how) as behind:
            await behind.begin()
            while await behind.turn():
                pass

    def weights(self) -> bytes:
        assert self.learner is not None
        folder = self.folder / "look"
        self.learner.write_adapter(folder)
        return (folder / "adapter_model.safetensors").read_bytes()


def _publisher(
    shelf: Shelf, learner: Learner
) -> Callable[[Sequence[Learned], int], Awaitable[Version]]:
    async def publish(updates: Sequence[Learned], parent: int) -> Version:
        update = updates[-1].update.version
        for version in shelf.versions():
            if version.config.get("update") == update:
                return version
        draft = Draft(base="tiny", base_sha256="0" * 64, made_by="online", parent=parent,
                      config={"run": RUN, "update": update})  # fmt: skip
        return shelf.publish(draft, learner.write_adapter)

    return publish


def plain(outcome: Outcome) -> Noun:
    """What comes of a question whatever is killed: episodes have other ids then."""
    return replace(
        outcome, kept=(), workflows=(), success=None, remembered=(), answered=0.0, seconds=0.0,
        exploring=replace(outcome.exploring, seconds=0.0),
    )  # fmt: skip
