"""The published streaming trainer for tests: the tiny world's planner, over real partners."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tests.servers.agents import Agent, Client
from tests.servers.serving import Serving
from tests.training import tiny_world

from mia.judges.exact_match import ExactMatch
from mia.servers import reference_learner, reference_reward
from mia.servers.reference_golds import Golds
from mia.servers.reference_partners import Partners
from mia.servers.reference_submitted import Step, Submitted
from mia.servers.reference_trainer import Parts, Trainer
from mia.training import tiny
from mia.training.learner import Learner
from mia.training.lockstep import Lockstep
from mia.training.rollouts import Actor, sampled
from mia.training.voting import unjudged

QUICK: dict[str, Any] = {"questions": 2, "attempts": 4, "save_every": 100}
GOLDS = {exercise.question.id: exercise.question for exercise in tiny.exercises(8)}


def rows(*ids: str, **columns: Any) -> dict[str, Any]:
    """Questions of the tiny world in the published encoding, answers blanked out."""
    count, asked = len(ids), [GOLDS[id] for id in ids]
    prompts = [[{"role": "user", "content": question.text}] for question in asked]
    return {
        "input_ids": {"__tensor__": True, "dtype": "int64", "data": [[1, 2, 3]] * count},
        "attention_mask": {"__tensor__": True, "dtype": "int64", "data": [[0, 1, 1]] * count},
        "index": {"__ndarray_numpy__": True, "dtype": "int64", "data": list(range(count))},
        "raw_prompt": {"__ndarray_object__": True, "data": prompts},
        "question": {"__ndarray_object__": True, "data": [one.text for one in asked]},
        "data_id": {"__ndarray_object__": True, "data": list(ids)},
        "reward_model": [{"ground_truth": ""}] * count,
        **columns,
    }


@contextmanager
def rewarding() -> Iterator[Client]:
    """A reward service that knows the right answers."""
    with (
        closing(Golds(None)) as golds,
        Serving(
            reference_reward.app(reference_reward.Parts(judge=ExactMatch(), golds=golds))
        ) as server,
    ):
        client = Client(server.url)
        entries = [
            {"data_id": id, "ground_truth": list(question.answers or ())}
            for id, question in GOLDS.items()
        ]
        client.post("/register_gts", {"entries": entries})
        yield client


class Desk:
    """What stays on the disk, and a service over it that can be started again."""

    def __init__(self, folder: Path, base: Path, begins: Path) -> None:
        self.folder, self._base, self._begins = folder, base, begins
        self.agent = Agent(folder)
        self.published: list[int] = []
        """How many updates each version had."""

    def _publish(self, steps: Sequence[Step]) -> None:
        self.published.append(len(steps))

    @contextmanager
    def __call__(
        self, agent: str, reward: str, *, seconds: float = 60.0, **changes: Any
    ) -> Generator[Client]:
        """The service, with its partners at these addresses."""
        preset = tiny_world.preset(**{**QUICK, **changes})
        own = tiny_world.opened(self._base)
        learner, lockstep = Learner(own, preset, self._begins), Lockstep()
        voice = sampled(lockstep.policy(learner.draw), tiny_world.chat_of(own))
        cast = tiny.cast("planner", tiny.ByRule)
        with closing(Submitted(self.folder / "submitted.db")) as submitted:
            trainer = Trainer(
                Parts(
                    actor=Actor("planner", cast, voice, unjudged, lockstep.episode),
                    planner=tiny.TinyPlanner, learner=learner, preset=preset,
                    partners=Partners(agent, reward), submitted=submitted,
                    checkpoint=self.folder / "checkpoint", publish=self._publish,
                )
            )  # fmt: skip
            with Serving(reference_learner.app(trainer, seconds=seconds)) as server:
                yield Client(server.url)

    @contextmanager
    def beside_partners(self, **changes: Any) -> Generator[Client]:
        """The service beside an agent of the tiny world and a reward service."""
        with (
            self.agent(executor=tiny.TinyExecutor(tiny.ByRule())) as agent,
            rewarding() as reward,
            self(agent.url, reward.url, **changes) as client,
        ):
            yield client
