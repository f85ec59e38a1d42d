"""Who takes part in the episodes of a worker process, from a description that travels as JSON.

The policy plays one role; endpoints of the settings play the others. A worker cannot be handed a
team, since connections and indexes do not travel between processes, so each makes its own once.
Keys are read from the environment of the worker's node.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec
from msgspec.structs import replace

from mia import config
from mia.config import Loaded
from mia.errors import ConfigError
from mia.team import House
from mia.training.casting import cast, other, reward_of
from mia.training.presets import Supervision
from mia.training.verl.job import Job
from mia.training.versions import Role
from mia.types import Noun, decode, encode


class Crew(Noun, frozen=True):
    """Everything that a worker needs to know."""

    role: Role
    """Of the policy."""
    supervision: Supervision
    seed: int
    home: str
    settings: str = ""
    """The mia.toml; empty for the default settings."""
    corpus: str = ""
    web: bool = False
    reward: str = ""
    """An entry point or a service's address; empty for the role's own."""


class Hired:
    """A crew at work: what does not change from one episode to the next."""

    def __init__(self, crew: Crew) -> None:
        """Raises ConfigError for settings with which nobody can train."""
        self.crew = crew
        self.reward = reward_of(crew.role, crew.supervision, crew.reward)
        self.house = _house(crew)
        """Left when the process ends: verl tells no worker that it is done."""
        partner = self.house.engines.model(other(crew.role))
        self.cast = cast(self.house, crew.role, lambda: partner)


def crew_of(job: Job) -> Crew:
    """The crew of a run."""
    return Crew(
        role=job.role,
        supervision=job.preset.supervision,
        seed=job.preset.seed,
        home=str(job.home.absolute()),
        settings=str(job.settings.absolute()) if job.settings else "",
        corpus=str(job.corpus.absolute()) if job.corpus else "",
        web=job.web,
        reward=job.reward,
    )


def check_crew(crew: Crew) -> None:
    """Raises ConfigError for a crew that no worker could hire. Opens no corpus."""
    reward_of(crew.role, crew.supervision, crew.reward)
    _house(crew).judge()


def write_crew(path: Path, crew: Crew) -> None:
    """Writes a description down for the workers. Raises OSError."""
    path.write_bytes(encode(crew))


@cache
def hired(path: str) -> Hired:
    """The crew that a file describes, at work in this process: verl makes a new loop for every
    episode, and they share it. Raises ConfigError."""
    try:
        return Hired(decode(Path(path).read_bytes(), Crew))
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(f"no crew at {path}: {error}") from error


def loaded(crew: Crew) -> Loaded:
    """The settings as a worker sees them. Raises ConfigError where somebody who takes part has no
    endpoint: the embedded model cannot keep up with a cluster."""
    read = config.load(_path(crew.settings))
    settings = replace(read.settings, home=crew.home)
    models = settings.models
    partner = other(crew.role)
    if (getattr(models, partner) or models.default) is None:
        raise ConfigError(f"a run on verl needs an endpoint that plays the {partner}; set"
                          f" [models.{partner}] in {crew.settings or 'mia.toml'}")  # fmt: skip
    return replace(read, settings=settings)


def _house(crew: Crew) -> House:
    return House(loaded(crew), corpus=_path(crew.corpus), web=crew.web, others=(crew.role,))


def _path(text: str) -> Path | None:
    return Path(text) if text else None
