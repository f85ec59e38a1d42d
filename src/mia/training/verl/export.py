"""From a checkpoint of verl's to files that others read, by verl's own merger."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import msgspec

from mia.errors import InputError, StoreError
from mia.training.verl.job import Files
from mia.training.verl.launch import Identity, Say
from mia.types import Noun, decode, encode

_NOTE = "lora_train_meta.json"


class _Adapter(Noun, frozen=True, omit_defaults=False):
    """What verl's merger wants to know of an adapter."""

    r: int
    lora_alpha: int
    task_type: str = "CAUSAL_LM"


def export(
    folder: Path, out: Path, dry_run: bool, step: int | None = None, say: Say = print
) -> int:
    """Turns a checkpoint of a run, the last one unless a step is given, into weights in Hugging
    Face's form at `out`, and returns what the merger ended with. Of a run that trains an adapter,
    `out/lora_adapter` is that in PEFT's form, and `out` itself the base. A dry run writes nothing
    and says the command. Raises InputError when there is no such checkpoint, and StoreError."""
    files = Files(folder.absolute())
    identity, actor = _identity(files), _actor(files, step)
    command = (
        sys.executable, "-m", "verl.model_merger", "merge", "--backend", "fsdp",
        "--local_dir", str(actor), "--target_dir", str(out.absolute()),
    )  # fmt: skip
    if dry_run:
        say(shlex.join(command))
        return 0
    if identity.weights == "adapter":
        # verl's trainer leaves this out, and its merger then writes an alpha of 0: an adapter that
        # changes nothing
        note = _Adapter(r=identity.preset.rank, lora_alpha=identity.preset.alpha)
        try:
            (actor / _NOTE).write_bytes(encode(note))
        except OSError as error:
            raise StoreError(f"{actor}: {error}") from error
    return subprocess.run(command, check=False).returncode


def _identity(files: Files) -> Identity:
    try:
        return decode(files.identity.read_bytes(), Identity)
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(f"no run on verl at {files.folder}: {error}") from error


def _actor(files: Files, step: int | None) -> Path:
    if step is None:
        if not files.latest.is_file():
            raise InputError(f"{files.folder} has no checkpoint yet")
        step = int(files.latest.read_text())
    actor = files.actor(step)
    if not actor.is_dir():
        there = ", ".join(map(str, files.steps())) or "none"
        raise InputError(f"{files.folder} has no checkpoint of step {step}; there are: {there}")
    return actor
