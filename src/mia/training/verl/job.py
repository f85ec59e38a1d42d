"""What a run of training on verl is, on which machines, and where its files lie. Pure."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from mia.training.exercises import Exercise
from mia.training.presets import Preset
from mia.training.versions import Role
from mia.types import Noun

CONVERSATIONS: dict[Role, int] = {"planner": 3, "executor": 2}
"""How many an episode has at most, each a sample of its own: of the Planner the plan, the
reflection and the second plan, of the Executor its two runs."""


class Cluster(Noun, frozen=True):
    """The machines. Raises ValueError for numbers that no machine has."""

    nodes: int = 1
    gpus: int = 8
    """Of one node."""
    tensor_parallel: int = 1
    """GPUs over which one copy of the sampling model is spread."""
    memory: float = 0.5
    """The share of a GPU's memory that vLLM may take, 0 to 1."""
    offload: bool = True
    """Whether weights and optimiser wait in main memory while others need the GPU."""
    workers: int = 8
    """Processes that carry episodes on; each has its own searches and connections."""
    address: str = ""
    """The job server of a Ray cluster, as http://head:8265; empty to start Ray on this machine."""

    def __post_init__(self) -> None:
        counts = (self.nodes, self.gpus, self.tensor_parallel, self.workers)
        if min(counts) < 1 or not 0 < self.memory < 1:
            raise ValueError("a cluster has at least one of everything, and memory between 0 and 1")

    @property
    def total_gpus(self) -> int:
        return self.nodes * self.gpus


class Job(Noun, frozen=True):
    """A run of training on verl."""

    role: Role
    preset: Preset
    name: str
    """Of the run, for people."""
    model: Path
    """A folder of Hugging Face's form, which every node can read."""
    exercises: tuple[Exercise, ...]
    folder: Path
    """Where the run lies. Every node can read and write it. The same folder goes on with it."""
    settings: Path | None
    """The mia.toml, which every node can read: who plays the other role, who judges, where
    evidence comes from. None for the default settings."""
    home: Path
    held_out: tuple[Exercise, ...] = ()
    """What progress is measured on; without any, nothing is measured."""
    corpus: Path | None = None
    """None for the one in the settings."""
    web: bool = False
    reward: str = ""
    """An entry point or a service's address; empty for the role's own."""
    weights: Literal["adapter", "all"] = "adapter"
    """What is trained: a LoRA adapter, which can be published as a version, or all weights, as in
    the published runs."""
    begins: Path | None = None
    """An adapter in PEFT's form to begin with."""
    cluster: Cluster = Cluster()
    overrides: tuple[str, ...] = ()
    """Hydra's, after ours, for what has no field here."""

    @property
    def agent(self) -> str:
        """What verl calls the role's episodes."""
        return f"mia_{self.role}"

    @property
    def context(self) -> int:
        """Tokens that a prompt and its response may have together."""
        return self.preset.max_prompt + self.preset.max_response

    @property
    def files(self) -> Files:
        return Files(self.folder.absolute())


class Files:
    """Where the files of a run lie."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.identity = folder / "run.json"
        self.train = folder / "train.parquet"
        self.held_out = folder / "held_out.parquet"
        self.crew = folder / "crew.json"
        self.agents = folder / "agents.yaml"
        self.checkpoints = folder / "checkpoints"
        self.latest = self.checkpoints / "latest_checkpointed_iteration.txt"
        self.hydra = folder / "hydra"

    def steps(self) -> list[int]:
        """After which there are checkpoints."""
        names = (each.name for each in self.checkpoints.glob("global_step_*"))
        return sorted(int(name.rpartition("_")[2]) for name in names)

    def actor(self, step: int) -> Path:
        """The policy's checkpoint after a step."""
        return self.checkpoints / f"global_step_{step}" / "actor"
