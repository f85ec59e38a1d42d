"""The published reward service's formats: what its routes are asked, and what they answer."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from mia.errors import InputError
from mia.servers.reference_memory_wire import Said
from mia.types import Noun

MOST_ENTRIES = 10_000
"""Of one request."""
UNREGISTERED = "unknown_data_id_or_empty_gt"
UNNAMED = "missing_data_id"

_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=500)] | int
_Text = Annotated[str, msgspec.Meta(max_length=20_000)]
_Answer = _Text | int | float | bool | None


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """The right answer to a question; of several, the first counts."""

    data_id: _Id
    ground_truth: _Answer | list[_Answer]

    @property
    def gold(self) -> str:
        """The answer; empty for none."""
        first = self.ground_truth
        if isinstance(first, list):
            first = first[0] if first else None
        return "" if first is None else str(first).strip()


class Registering(msgspec.Struct, frozen=True, kw_only=True):
    """What `/register_gts` is asked: a list of entries, or one."""

    entries: Annotated[list[Entry], msgspec.Meta(max_length=MOST_ENTRIES)] | None = None
    data_id: _Id | None = None
    ground_truth: _Answer | list[_Answer] = None

    @property
    def all(self) -> list[Entry]:
        """The entries. Raises InputError for none."""
        if self.entries is not None:
            return self.entries
        if self.data_id is None:
            raise InputError("this should be {entries: [{data_id, ground_truth}]}, or one of them")
        return [Entry(data_id=self.data_id, ground_truth=self.ground_truth)]


class Registered(Noun, frozen=True):
    """What it answers."""

    status: str
    registered: int
    """With this request."""
    total: int


class Extra(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of a run."""

    data_id: str | int | None = None
    question: _Text | None = None
    messages: Annotated[list[str | Said], msgspec.Meta(max_length=1000)] | None = None


class Computing(Extra, frozen=True, kw_only=True):
    """What `/compute_gt_reward` is asked."""

    data_source: Any = None
    extra_info: Extra | None = None

    @property
    def told(self) -> Extra:
        """What is told of the run; what `extra_info` leaves out stands beside it."""
        extra = self.extra_info or Extra()
        return Extra(
            data_id=self.data_id if extra.data_id is None else extra.data_id,
            question=self.question if extra.question is None else extra.question,
            messages=self.messages if extra.messages is None else extra.messages,
        )


class Scored(Noun, frozen=True):
    """What it answers."""

    score: float
    judgement: str
    """correct or incorrect, of the answer that counts."""
    format_score: float
    decision_score: float
    is_answer1_correct: bool
    is_answer2_correct: bool
    data_source: Any
    data_id: str | int | None
    error: str | None = None


class Health(Noun, frozen=True):
    """What `/health` answers."""

    status: str
    registered_gts: int
