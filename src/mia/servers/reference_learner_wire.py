"""The published streaming trainer's formats: what its routes are asked, and what they answer.

A batch holds questions. Of its columns the words, the id and the caption are read; token ids are
those of somebody's own prompt, which MIA's planner does not use, and a right answer, which clients
blank out anyway, is passed over: who judges knows it.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from mia.datasets.jsonl import question_of
from mia.datasets.published import row
from mia.errors import InputError
from mia.servers.reference_codec import Batch
from mia.servers.reference_memory_wire import readable
from mia.types import Noun, Question

_Columns = dict[Annotated[str, msgspec.Meta(max_length=200)], msgspec.Raw]
_READ = ("question", "prompt", "data_id", "ids", "image_caption")
_PROMPT = "raw_prompt"
"""What the trainer's library calls a prompt."""
_YES, _NO = frozenset({"1", "true", "yes"}), frozenset({"0", "false", "no", ""})
_MOST_CHARS = 20_000


class Submitting(msgspec.Struct, frozen=True, kw_only=True):
    """What `/submit_sample` is asked."""

    rollout: _Columns
    epoch: int | str = 0
    finish: bool | int | str = False
    flush_partial: bool | int | str = False


class SubmittingBatch(msgspec.Struct, frozen=True, kw_only=True):
    """What `/submit_batch` is asked."""

    batch: _Columns
    epoch: int | str = 0
    finish: bool | int | str = False


class Buffered(Noun, frozen=True, omit_defaults=False):
    """The answer where the buffer is not full yet."""

    status: str
    global_steps: int
    """The step that is collected for, counted from 1."""
    rollout_buffer_len: int
    """Questions that wait."""
    epoch: int


class Stepped(Noun, frozen=True, omit_defaults=False):
    """The answer where the policy was updated."""

    status: str
    metrics: dict[str, float]
    global_steps: int
    done: bool
    """Whether the client said that it is at its end."""
    epoch: int


class Saved(Noun, frozen=True):
    """What `/save_checkpoint` answers."""

    ok: bool
    global_steps: int
    checkpoint_global_step: int | None = None
    """The last finished update, counted from 1."""
    error: str | None = None


class Health(Noun, frozen=True, omit_defaults=False):
    """What `/health` answers."""

    status: str
    global_steps: int
    total_training_steps: int
    train_batch_size: int
    """Questions of an update."""
    rollout_n: int
    """Attempts at each."""
    rollout_buffer_samples: int
    """Attempts that wait."""
    rollout_buffer_len: int
    """Questions that wait."""


def number(epoch: int | str) -> int:
    """An epoch, which may come as text. Raises InputError for what is no whole number."""
    try:
        return int(epoch)
    except ValueError as error:
        raise InputError(f"epoch should be a whole number, got {str(epoch)[:40]!r}") from error


def said(word: bool | int | str) -> bool:
    """A yes or a no, which may come as text. Raises InputError for anything else."""
    told = str(word).strip().lower()
    if told not in _YES | _NO:
        raise InputError(f"this should be true or false, got {told[:40]!r}")
    return told in _YES


def questions(batch: Batch) -> list[Question]:
    """What a batch asks. Raises InputError that names the row that asks nothing."""
    asked: list[Question] = []
    for at in range(batch.rows):
        try:
            asked.append(_question(batch.row(at), at))
        except InputError as error:
            raise InputError(f"{error} - at row {at}") from error
    return asked


def _question(raw: dict[str, Any], at: int) -> Question:
    known: dict[str, Any] = {}
    for source in (raw.get("extra_info"), raw):
        if isinstance(source, dict):
            known |= _told(source)  # pyright: ignore[reportUnknownArgumentType]
    if raw.get(_PROMPT) is not None:
        known.setdefault("prompt", raw[_PROMPT])
    found = row(known, at)
    if len(found.question) > _MOST_CHARS or len(found.id or "") > 500:
        raise InputError("its question or its data_id is too long")
    return question_of(
        readable(found.question),
        "the question",
        id=readable(found.id or "").strip() or None,
        caption=readable(found.caption or "").strip() or None,
    )


def _told(source: dict[str, Any]) -> dict[str, Any]:
    return {name: source[name] for name in _READ if source.get(name) is not None}
