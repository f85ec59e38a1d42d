"""Who takes part in the episodes of training, and what they are worth: for training here and on a
cluster."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from mia.captioners.none import Blind
from mia.executors.react.tagged import Tagged
from mia.memories.given import GivenMemory
from mia.model import Model
from mia.planners.given import GivenPlanner
from mia.solve import Team
from mia.team import House
from mia.training.exercises import Exercise
from mia.training.presets import Supervision
from mia.training.reward_service import reward_at
from mia.training.rewards import (
    Reward,
    executor_reward,
    named_reward,
    planner_reward,
    unsupervised_planner_reward,
)
from mia.training.rollouts import Cast, Unrecorded
from mia.training.versions import Role

_UNTIMED = 1e9
"""Seconds. Episodes of training wait for each other: what that takes is nobody's doing, and must
not cost a policy its reward. What can hang has a deadline of its own."""


def other(role: Role) -> Role:
    """Whoever stays as it is while a role learns."""
    return "executor" if role == "planner" else "planner"


def cast(house: House, role: Role, partner: Callable[[], Model]) -> Cast:
    """The teams of exercises: what was collected for each, the role in training, and `partner` in
    the other role, which is asked for at each episode. Raises ConfigError for a judge that cannot
    be."""
    judge, captioner = house.judge(), house.captioner()
    budget = replace(house.settings.budget, seconds=_UNTIMED)

    def team(model: Model, exercise: Exercise) -> Team:
        plans, acts = (model, partner()) if role == "planner" else (partner(), model)
        planner = house.planner_on(plans)
        described = exercise.question.caption is not None or not exercise.question.pictures
        return Team(
            captioner=Blind() if described else captioner,
            memory=GivenMemory(exercise.recollection),
            planner=GivenPlanner(exercise.plan, planner) if role == "executor" else planner,
            executor=house.executor_on(
                acts, Tagged() if role == "executor" else house.protocol, budget
            ),
            judge=judge,
            record=Unrecorded(),
        )

    return team


def reward_of(role: Role, supervision: Supervision, named: str) -> Reward:
    """The reward that somebody named, by an entry point or by the address of a service, or the
    role's own. Raises ConfigError when there is none."""
    if named:
        return reward_at(named) if "://" in named else named_reward(named)
    if role == "executor":
        return executor_reward
    return planner_reward if supervision == "gold" else unsupervised_planner_reward
