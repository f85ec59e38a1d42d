"""Evaluations that are killed again and again: nothing lost, nothing twice, nothing out of turn."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mia.evaluate import Folder
from mia.memories.workflow.sqlite import SqliteStore

_EVALUATES = Path(__file__).with_name("evaluate_forever.py")
QUESTIONS = 150
WARM = 20
KILLS = 40


def killed(path: Path, seed: int) -> tuple[int, list[list[str]]]:
    """How often an evaluation was killed before its end, and all that it said it had answered."""
    luck = random.Random(seed)
    said: list[list[str]] = []
    kills = 0
    while True:
        child = subprocess.Popen(
            [sys.executable, str(_EVALUATES), str(path), str(QUESTIONS)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert child.stdout is not None
        if kills < KILLS:
            said.append(child.stdout.readline().split())  # it is at work
            time.sleep(luck.uniform(0.0, 0.05))
            child.send_signal(signal.SIGKILL)
        rest = child.stdout.read()
        said += [line.split() for line in rest.splitlines(keepends=True) if line.endswith("\n")]
        child.stdout.close()
        code = child.wait()
        if code == 0:
            return kills, [line for line in said if line]
        assert code == -signal.SIGKILL
        kills += 1


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(2, 20))]
)
@pytest.mark.timeout(300)
def test_a_killed_evaluation_loses_nothing_and_asks_nothing_twice(
    tmp_path: Path, seed: int
) -> None:
    kills, said = killed(tmp_path / "drill", seed)
    assert kills == KILLS
    folder = Folder(tmp_path / "drill")
    results = folder.results()
    written: dict[tuple[str, str], str] = {}
    for arm, entries, _ in results.arms:
        assert [entry.episode.question.id for entry in entries] == list(arm.order)
        assert all(entry.remembered is not None for entry in entries)
        place = {id: at for at, id in enumerate(arm.order)}
        for entry in entries:
            episode = entry.episode
            written[arm.run, episode.question.id] = episode.id
            found = episode.recollection
            for item in (*found.successes, *found.failures):
                end = place[episode.question.id] if arm.warm is None else WARM
                assert place[item.workflow.question_id] < end
    lost = [line for line in said if written[line[0], line[1]] != line[2]]
    assert lost == [], "an answer that was shown is not the one that was kept"
    assert len({tuple(line[:2]) for line in said}) == len(said), "a question was answered twice"
    for run, kept in (("grows", QUESTIONS), ("warm", WARM)):
        with SqliteStore(folder.memories / f"{run}.db") as store:
            store.check()
            assert store.count() == kept
            episodes = {workflow.source_episode for workflow in store.all()}
            assert episodes <= {written[run, id] for id in results.arms[0].arm.order}
