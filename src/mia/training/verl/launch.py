"""Starts a run on verl, or says what it would start."""

from __future__ import annotations

import hashlib
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable

import msgspec

from mia.errors import ConfigError, StoreError
from mia.journal import fingerprint
from mia.training.exercises import Exercise
from mia.training.presets import Preset
from mia.training.verl import composed
from mia.training.verl.crew import Crew, check_crew, crew_of, loaded, write_crew
from mia.training.verl.job import Files, Job
from mia.training.verl.overrides import overrides, steps_of
from mia.training.verl.rows import rows_of, write_rows
from mia.types import Noun, decode, encode

Say = Callable[[str], None]
_TARGET = "mia.training.verl.loops.EpisodeLoop"


class Identity(Noun, frozen=True, omit_defaults=False):
    """What a run is, and must still be when it goes on. The cluster may change."""

    crew: Crew
    settings: str
    """What the crew's settings say of who takes part, evidence, budgets and the judge."""
    preset: Preset
    model: str
    weights: str
    begins: str
    exercises: str
    """SHA-256 of what is learned from."""
    held_out: str
    """SHA-256 of what progress is measured on."""


def launch(job: Job, dry_run: bool, say: Say = print) -> int:
    """Runs a job to its end, from its last checkpoint where there is one, and returns what its
    command ended with. A dry run checks everything that can be checked without a GPU, writes
    nothing, and says the command. Raises ConfigError, InputError, MissingError and StoreError."""
    ours = overrides(job)
    _check_paths(job)
    _check_same(job.files, _identity(job, crew_of(job)))
    check_crew(crew_of(job))
    rows_of(job.held_out, job.agent)
    rows = rows_of(job.exercises, job.agent)
    unchecked = composed.check(job, ours)
    command = command_of(job, ours)
    if dry_run:
        say(f"{steps_of(job)} steps over {len(rows)} exercises; verl accepts the configuration")
        for what in unchecked:
            say(f"not checked: {what}")
        say(shlex.join(command))
        return 0
    begin(job)
    return subprocess.run(command, check=False).returncode


def begin(job: Job) -> None:
    """Writes what verl and its workers read. Raises ConfigError for a folder that has checkpoints
    of another run, and StoreError."""
    files, crew = job.files, crew_of(job)
    identity = _identity(job, crew)
    _check_same(files, identity)
    try:
        files.folder.mkdir(parents=True, exist_ok=True)
        write_rows(files.train, rows_of(job.exercises, job.agent))
        if job.held_out:
            write_rows(files.held_out, rows_of(job.held_out, job.agent))
        write_crew(files.crew, crew)
        files.agents.write_bytes(agents_of(job))
        files.identity.write_bytes(encode(identity))
    except OSError as error:
        raise StoreError(f"{files.folder}: {error}") from error


def command_of(job: Job, ours: Iterable[str]) -> tuple[str, ...]:
    """What starts verl: here, or as a job of a Ray cluster, whose nodes have the same environment
    at the same place. Ray and vLLM report nothing to their makers."""
    trainer = (
        "env", "RAY_USAGE_STATS_ENABLED=0", "VLLM_NO_USAGE_STATS=1",
        sys.executable, "-m", "verl.trainer.main_ppo", *ours,
    )  # fmt: skip
    if not job.cluster.address:
        return trainer
    # as a module: `ray` itself need not be on the path
    ray = (sys.executable, "-m", "ray.scripts.scripts", "job", "submit")
    return (*ray, "--address", job.cluster.address, "--", *trainer)


def agents_of(job: Job) -> bytes:
    """The file that tells verl whose loop runs the episodes; YAML, of which JSON is a part."""
    agent = {"name": job.agent, "_target_": _TARGET, "crew": str(job.files.crew)}
    return msgspec.json.encode([agent])


def _check_paths(job: Job) -> None:
    """Raises ConfigError for what is not where the job says."""
    wanted = [(job.model / "config.json", "a model in Hugging Face's form")]
    if job.begins is not None:
        wanted.append((job.begins / "adapter_config.json", "an adapter in PEFT's form"))
    if job.corpus is not None:
        wanted.append((job.corpus, "a corpus"))
    for path, what in wanted:
        if not path.exists():
            raise ConfigError(f"{path} is not there; it should be {what}")


def _check_same(files: Files, identity: Identity) -> None:
    """Raises ConfigError where the folder has checkpoints of another run."""
    if not (files.latest.is_file() and files.identity.is_file()):
        return
    try:
        before = decode(files.identity.read_bytes(), Identity)
    except msgspec.DecodeError as error:
        raise ConfigError(f"{files.identity} is of another MIA: {error}") from error
    fields = Identity.__struct_fields__
    apart = [name for name in fields if getattr(before, name) != getattr(identity, name)]
    if apart:
        raise ConfigError(
            f"{files.folder} has checkpoints of another {', '.join(apart)}; go on with that, or"
            " take another --name"
        )


def _identity(job: Job, crew: Crew) -> Identity:
    said = loaded(crew).settings
    return Identity(
        crew=crew,
        settings=fingerprint(said.models, said.search, said.executor, said.budget, said.judge),
        preset=job.preset,
        model=str(job.model.absolute()),
        weights=job.weights,
        begins=str(job.begins.absolute()) if job.begins else "",
        exercises=_digest(job.exercises),
        held_out=_digest(job.held_out),
    )


def _digest(exercises: Iterable[Exercise]) -> str:
    digest = hashlib.sha256()
    for exercise in exercises:
        digest.update(encode(exercise) + b"\n")
    return digest.hexdigest()
