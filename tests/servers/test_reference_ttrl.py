"""A whole batch of learning at test time, by clients written from the wire formats, against MIA's
four services: those of a trainer that attempts questions itself, and of one that streams them."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.servers.agents import Client
from tests.servers.learners import Desk, rewarding, rows
from tests.servers.serving import Serving

from mia.memories.workflow.memory import WorkflowMemory
from mia.memories.workflow.sqlite import SqliteStore
from mia.model import Message, Model, Reply
from mia.planner import Planner
from mia.routers.by_likeness import ByLikeness
from mia.servers import reference_memory
from mia.testing import ToyEmbedder, ToyPlanMemory
from mia.training import tiny

IDS = ("tiny-0", "tiny-1")
QUESTIONS = {"tiny-0": "find a", "tiny-1": "find b"}


class WrongFirst(Model):
    """Plans wrongly, sees it, and then plans as it should."""

    async def reply(self, messages: Sequence[Message], **more: Any) -> Reply:
        if len(messages) == 1:
            return Reply(text="d")
        return await tiny.ByRule().reply(messages, **more)


def tiny_planner(model: Model, _: float) -> Planner:
    return tiny.TinyPlanner(model)


@contextmanager
def remembering(folder: Path) -> Generator[Client]:
    """The memory service, whose planner is the tiny world's."""
    with SqliteStore(folder / "memory.db") as store:
        parts = reference_memory.Parts(
            memory=WorkflowMemory(store, ToyEmbedder()), store=store, namespace="default",
            model=WrongFirst(), planner=tiny_planner, router=ByLikeness(),
            plan_memory=ToyPlanMemory(), folder=folder / "published",
        )  # fmt: skip
        with Serving(reference_memory.app(parts)) as server:
            yield Client(server.url)


@dataclass
class Trainer:
    """The client that attempts questions itself, step by step."""

    memory: Client
    agent: Client
    reward: Client

    def attempt(self, id: str, gives_up: bool = False) -> float:
        """One rollout, from its question to the bank; what it is worth."""
        about = {"data_id": id, "question": QUESTIONS[id], "image_caption": ""}
        (planned,) = self.memory.post("/plan", [about | {"mem_top_k": 2}])
        used = [*planned["pos_indices"], *planned["neg_indices"]]
        ran = self.agent.post("/plan", about | {"plan": planned["plan"]})
        asked = {"workflow": ran["trace"], "past_messages": planned["messages"]}
        (judged,) = self.memory.post("/judge_replan", [asked | {"memory_indices": used}])
        said = [planned["plan"], ran["trace"], judged["need_replan"]]
        history = ran["history_messages"]
        if judged["need_replan"] == "yes" and not gives_up:
            again = about | {"past_messages": judged["messages"], "mem_top_k": 0, "pass_num": 2}
            (replanned,) = self.memory.post("/replan", [again])
            body = {"plan": planned["plan"], "replan": replanned["replan"], "messages": history}
            more = self.agent.post("/replan", about | body)
            said += [ran["prompt"], replanned["replan"], more["trace"]]
            history = more["history_messages"]
        extra = {"data_id": id, "question": QUESTIONS[id], "messages": said}
        body = {"data_source": "mia", "solution_str": "", "extra_info": extra}
        scored = self.reward.post("/compute_gt_reward", body)
        saved = about | {
            "plan": planned["plan"], "slow_plan": planned["plan"], "temp_messages": history,
            "used_memory_indices": used, "judgement": scored["judgement"],
        }  # fmt: skip
        assert self.agent.post("/memory_bank_save", saved)["status"] == "success"
        return scored["score"]


@dataclass
class Streamer:
    """The client that streams questions to a trainer, a chunk at a time."""

    learner: Client
    agent: Client
    reward: Client

    def stream(self, ids: Sequence[str], chunk: int) -> list[dict[str, Any]]:
        """What each chunk was answered."""
        assert self.learner.get("/health")["train_batch_size"] % chunk == 0
        answers: list[dict[str, Any]] = []
        for at in range(0, len(ids), chunk):
            some, last = ids[at : at + chunk], at + chunk >= len(ids)
            entries = [{"data_id": id, "images": []} for id in some]
            self.agent.post("/streaming/register_images", {"entries": entries})
            golds = [{"data_id": id, "ground_truth": QUESTIONS[id][-1].upper()} for id in some]
            self.reward.post("/register_gts", {"entries": golds})
            body = {"rollout": rows(*some), "epoch": 0, "finish": last, "flush_partial": last}
            answers.append(self.learner.post("/submit_sample", body))
        return answers


@pytest.fixture
def desk(tmp_path: Path, tiny_base: Path, speaking: Path) -> Desk:
    return Desk(tmp_path, tiny_base, speaking)


def test_a_whole_batch_goes_through_the_four_services(desk: Desk) -> None:
    with (
        remembering(desk.folder) as memory,
        desk.agent(executor=tiny.TinyExecutor(tiny.ByRule())) as agent,
        rewarding() as reward,
        desk(agent.url, reward.url) as learner,
    ):
        trainer, streamer = Trainer(memory, agent, reward), Streamer(learner, agent, reward)
        worth = [(trainer.attempt(id), trainer.attempt(id, gives_up=True)) for id in IDS]
        evaluated = agent.post("/batch_evaluate")
        consolidated = agent.post("/consolidate_memories")
        assert agent.post("/save_memory") == {"status": "success"}
        about = {"data_id": "new", "question": "find a b", "image_caption": ""}
        (recalled,) = memory.post("/memory", [about])
        shown = agent.post("/memory", about)
        first, second = streamer.stream(IDS, chunk=1)
        saved = learner.post("/save_checkpoint")
    assert worth == [(pytest.approx(0.8), pytest.approx(0.1))] * len(IDS)
    assert evaluated["processed_count"] == len(IDS)
    assert (consolidated["saved_positives"], consolidated["saved_negatives"]) == (2, 2)
    # both services speak of one memory
    assert recalled["pos_indices"] and set(recalled["pos_indices"]) <= set(shown["indices"])
    assert [line["id"] for line in desk.agent.lines("evaluated-short.jsonl")][:2] == list(IDS)
    layout = json.loads((desk.agent.saves / "workflow_memory.jsonl").read_text())
    assert layout["text-only"]
    assert (first["status"], second["status"], second["done"]) == ("rollout", "step", True)
    assert second["metrics"]["update/samples"] > 0
    assert (saved["ok"], saved["checkpoint_global_step"]) == (True, 1)
