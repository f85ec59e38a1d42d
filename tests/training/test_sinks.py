"""A run's numbers are in TensorBoard and Weights & Biases as they are in its own record."""

from __future__ import annotations

from pathlib import Path

import pytest

from mia.errors import InputError
from mia.training.learner import Update
from mia.training.sinks import numbers_of, sink
from mia.training.stages import Check, Said, Step

STEP = Step(
    step=3, steps=9, episodes=8, unrewarded=1, groups=2, dropped=1, reward=0.5,
    parts={"acc": 0.75, "format": 0.0}, response_tokens=12.5, truncated=0.0, attempting=1.0,
    learning=2.0, update=Update(version=3, samples=7, rows=4, tokens=80, loss=-0.25),
)  # fmt: skip
CHECK = Check(
    step=3, n=4, correct=1, unknown=1, answered=3, reward=None, response_tokens=9.0, seconds=0.5
)


def test_what_is_drawn_are_the_numbers_by_what_they_are_about() -> None:
    drawn = numbers_of(STEP)
    assert drawn["train/reward"] == 0.5 and drawn["train/acc"] == 0.75
    assert drawn["update/loss"] == -0.25 and drawn["train/attempting"] == 1.0
    held_out = numbers_of(CHECK)
    assert held_out["held_out/accuracy"] == CHECK.accuracy and "held_out/reward" not in held_out
    assert not any(name.endswith("/step") for name in (*drawn, *held_out))


def test_tensorboard_shows_every_step_and_check(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    told = sink("tensorboard", tmp_path, "run")
    told(STEP)
    told(CHECK)
    told(Said(step=3, question="q", replies=("a",), answer=None, reward=0.5, parts={}))
    events = EventAccumulator(str(tmp_path / "tensorboard" / "run"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {*numbers_of(STEP), *numbers_of(CHECK)}
    (reward,) = events.Scalars("train/reward")
    assert (reward.step, reward.value) == (3, 0.5)


def test_weights_and_biases_keeps_them_where_there_is_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    told = sink("wandb", tmp_path, "run")
    told(STEP)
    told(CHECK)
    import wandb

    wandb.teardown()
    (kept,) = tmp_path.glob("wandb/offline-run-*/run-run.wandb")
    raw = kept.read_bytes()
    assert all(name.encode() in raw for name in (*numbers_of(STEP), *numbers_of(CHECK)))


def test_another_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no log 'abacus'; there are tensorboard and wandb"):
        sink("abacus", tmp_path, "run")
