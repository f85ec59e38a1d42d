"""Who takes part in the episodes of training."""

from __future__ import annotations

import json
from pathlib import Path

from mia.config import Loaded, Secrets, Settings
from mia.executor import Budget
from mia.planner import parse_plan
from mia.team import House
from mia.testing import ScriptedModel
from mia.training.casting import cast
from mia.training.exercises import Exercise
from mia.types import Question, Trajectory

PLAN = parse_plan("#1 Who is the mayor of [Rovigo]?\nanswer #1")
ASKED = Question(text="Who is the mayor of Rovigo?", id="q", answers=("Ada",))


def test_what_episodes_wait_for_each_other_is_not_on_the_policys_bill(
    tmp_path: Path,
) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text(json.dumps({"id": "p", "title": "Rovigo", "text": "Its mayor is Ada."}))
    settings = Settings(home=str(tmp_path), budget=Budget(seconds=0.0))
    came: list[Trajectory] = []
    with House(Loaded(settings=settings, secrets=Secrets({}), source=None), corpus) as house:
        model = ScriptedModel(["Ada"])
        team = cast(house, "executor", lambda: model)(model, Exercise(question=ASKED, plan=PLAN))
        for executor in (team.executor, house.executor_on(model, house.protocol)):
            came.append(house.complete(executor.run(ASKED, PLAN)))
    assert came[0].answer == "Ada" and came[1].outcome == "failed:budget"
