"""What wrong verdicts do to a policy that learns while it answers, and whether the guards hold.

    python -m benchmarks.label_noise --runs 20

The tiny world (`mia/training/tiny.py`), the loop of `mia learn`, and a judge that is wrong: it
calls a share of the attempts right that are wrong and the other way, or it calls right whatever
has read a planted page ("always say correct"), which is in a share of the episodes. Each run begins
with a policy that knows about half of its questions, learns 32 times from 8 questions, and is
guarded by a canary of four questions that nobody learns from, looked at after each update; there
are no more than four in this world. Told is the share of right answers at the start and of the
policy that the run leaves behind: by what it finds likeliest, as it would be served, and sampled at
temperature 1, over 200 questions. `without` is the same with nothing guarded. Runs that are in the
file already are not made again.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import itertools
import json
import random
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from mia.captioners.none import Blind
from mia.journal import Journal
from mia.judge import Judge
from mia.judges.exact_match import ExactMatch
from mia.memories.none import NoMemory, NoPlanMemory
from mia.model import Model
from mia.models.torch_local import TokenizerChat, open_base
from mia.routers.by_likeness import ByLikeness
from mia.solve import Team
from mia.training import tiny
from mia.training.buffer import Buffer, Learned
from mia.training.exercises import Exercise
from mia.training.guards import Limits
from mia.training.learner import Learner
from mia.training.lockstep import Lockstep
from mia.training.online import Online
from mia.training.presets import PRESETS
from mia.training.rewards import planner_reward
from mia.training.rollouts import Actor, group, sampled
from mia.training.versions import shelf
from mia.types import Noun, Plan, Question, Trajectory, Verdict, VerdictValue

CONTEXT = 272
"""Tokens of a conversation in the tiny world."""
UPDATES, QUESTIONS, PROBE = 32, 8, 200
STARTS = 4
"""Policies to begin with; runs take turns."""
HALF = 40
"""Steps of training that come to about half of the questions."""
GUARDS = {
    "guarded": Limits(canary_every=1),
    "without": Limits(margin=0.0, kl=1e9, entropy=0.0, length=1e9),
}


class Wrong(NamedTuple):
    """How a judge is wrong."""

    name: str
    flipped: float = 0.0
    planted: float = 0.0


CONDITIONS = (
    Wrong("nothing wrong"),
    Wrong("10 % flipped", flipped=0.1),
    Wrong("30 % flipped", flipped=0.3),
    Wrong("50 % flipped", flipped=0.5),
    Wrong("90 % flipped", flipped=0.9),
    Wrong("planted in 5 %", planted=0.05),
)


class Run(NamedTuple):
    """What came of one."""

    judge: str
    guards: str
    seed: int
    start: float
    """Share of right answers."""
    left: float
    start_sampled: float
    left_sampled: float
    back: int
    """Times that the policy went back."""
    frozen: str
    """The guard that ended learning."""


class Misjudging(Judge):
    """Knows the right answer, and is wrong as often as it is told to."""

    def __init__(self, wrong: Wrong, seed: str) -> None:
        self._wrong, self._lot, self._true = wrong, random.Random(seed), ExactMatch()

    async def judge(self, question: Question, plan: Plan, trajectory: Trajectory) -> Verdict:
        """Never unknown."""
        verdict = await self._true.judge(question, plan, trajectory)
        right = verdict.value is VerdictValue.CORRECT
        if self._lot.random() < self._wrong.flipped:
            right = not right
        if self._lot.random() < self._wrong.planted:
            right = True
        value = VerdictValue.CORRECT if right else VerdictValue.INCORRECT
        return replace(verdict, value=value, judge="misjudging")


def starts(home: Path, count: int) -> list[Path]:
    """Adapters of half-trained planners; what is trained already is not trained again."""
    for seed in range(count):
        subprocess.run(
            [
                sys.executable, "-m", "mia", "train", "planner", "--preset", "tiny", "--home",
                str(home), "--name", f"start{seed}", "--set", f"seed={seed}",
                "--set", f"steps={HALF}", "--json",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True,
        )  # fmt: skip
    made = shelf(home / tiny.NAME, "planner")
    return [made.folder(each.number) for each in made.versions() if each.made_by == "planner"]


async def run(base: Path, begins: Path, wrong: Wrong, guards: str, seed: int, folder: Path) -> Run:
    """One stream."""
    preset = replace(PRESETS[tiny.NAME], seed=seed, questions=QUESTIONS, epochs=1.0, kl_weight=0.0)
    opened = open_base(base, device="cpu", dtype="float32")
    learner, lockstep = Learner(opened, preset, begins), Lockstep()
    chat = TokenizerChat(opened.tokenizer, CONTEXT)
    world, judge = tiny.cast("planner", tiny.ByRule), Misjudging(wrong, f"{seed} {wrong.name}")
    every = [each.question for each in tiny.exercises(UPDATES * QUESTIONS, seed)]
    canary = [
        replace(each, question=replace(each.question, id=f"canary {each.question.id}"))
        for each in tiny.exercises(4)
    ]
    theirs = {each.question.id for each in canary}

    def cast(model: Model, exercise: Exercise) -> Team:
        team = world(model, exercise)
        known = exercise.question.id in theirs or exercise.question.id.startswith("probe")
        return team if known else dataclasses.replace(team, judge=judge)

    actor = Actor(
        "planner", cast, sampled(lockstep.policy(learner.draw), chat, preset.max_response),
        planner_reward, lockstep.episode,
    )  # fmt: skip
    told: list[Learned] = []

    def watch(noun: Noun) -> None:
        if isinstance(noun, Learned):
            told.append(noun)

    with closing(Journal(folder / "journal.db")) as journal:
        start, sampled_start = await _probed(actor, 0.0), await _probed(actor, 1.0)
        with closing(Buffer(folder / "buffer.db", "")) as buffer:
            online = Online(
                actor=actor, captioner=Blind(), memory=NoMemory(), plan_memory=NoPlanMemory(),
                router=ByLikeness(), record=lambda name: journal.open_run(f"learn{name}", ""),
                preset=preset, buffer=buffer, learner=learner, checkpoint=folder / "checkpoint",
                limits=GUARDS[guards], canary=canary if guards == "guarded" else (),
            )  # fmt: skip
            await online.learn(every, watch)
    alarms = [each.alarm for each in told if each.alarm is not None]
    return Run(
        judge=wrong.name, guards=guards, seed=seed, start=start, left=await _probed(actor, 0.0),
        start_sampled=sampled_start, left_sampled=await _probed(actor, 1.0),
        back=sum(alarm.action == "roll back" for alarm in alarms),
        frozen=next((alarm.guard for alarm in alarms if alarm.action == "freeze"), ""),
    )  # fmt: skip


async def _probed(actor: Actor, temperature: float) -> float:
    probe = [
        replace(each, question=replace(each.question, id=f"probe {each.question.id}"))
        for each in tiny.exercises(PROBE, 1)
    ]
    groups = await group(actor, probe, attempts=1, seed="probe", temperature=temperature)
    verdicts = [one.rollout.episode.verdict.value for (one,) in groups]
    return sum(value is VerdictValue.CORRECT for value in verdicts) / len(verdicts)


def told(judge: str, guards: str, runs: Sequence[Run]) -> str:
    """A row of the table."""
    start = statistics.mean(one.start for one in runs)
    left = statistics.mean(one.left for one in runs)
    change = [one.left - one.start for one in runs]
    sampled_change = statistics.mean(one.left_sampled - one.start_sampled for one in runs)
    frozen = Counter(one.frozen for one in runs if one.frozen)
    stopped = ", ".join(f"{guard} {times}" for guard, times in frozen.items()) or "-"
    return (
        f"| {judge} | {guards} | {len(runs)} | {start:.2f} | {left:.2f} | {min(change):+.2f} |"
        f" {sum(each >= -0.02 for each in change)} | {sampled_change:+.2f} |"
        f" {sum(one.back > 0 for one in runs)} | {stopped} |"
    )


def main() -> None:
    """Prints the table of what is in the file, and makes what is not yet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=20, help="of each condition")
    parser.add_argument("--out", type=Path, default=Path("build/bench/label_noise"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / "runs.jsonl"
    lines: list[str] = file.read_text().splitlines() if file.is_file() else []
    done = [Run(**json.loads(line)) for line in lines]
    known = {(one.judge, one.guards, one.seed) for one in done}
    begins, base = starts(args.out / "home", STARTS), args.out / "home/models/hf" / tiny.NAME
    for seed, wrong, guards in itertools.product(range(args.runs), CONDITIONS, GUARDS):
        if (wrong.name, guards, seed) in known:
            continue
        with tempfile.TemporaryDirectory() as folder:
            one = asyncio.run(run(base, begins[seed % STARTS], wrong, guards, seed, Path(folder)))
        done.append(one)
        with file.open("a") as written:
            written.write(json.dumps(one._asdict()) + "\n")
        print(f"{wrong.name}, {guards}, {seed}: {one.start:.2f} to {one.left:.2f}", flush=True)
    print("\n| judge | guards | runs | start | left | at worst | ≥ start − .02 | sampled |"
          " went back | stopped by |\n|---|---|---|---|---|---|---|---|---|---|")  # fmt: skip
    for wrong, guards in itertools.product(CONDITIONS, GUARDS):
        runs = [one for one in done if (one.judge, one.guards) == (wrong.name, guards)]
        if runs:
            print(told(wrong.name, guards, runs))


if __name__ == "__main__":
    main()
