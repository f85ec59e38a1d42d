"""The seam between the statements and the database that runs them.

Statements are written once, with `?` for values, in what SQLite and Postgres both understand. A
session is one transaction's connection; it alone knows how its database marks values and how it
keeps a vector.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Row = NDArray[np.float32]
Value = str | int | float | bytes | None


class Session(Protocol):
    """One transaction's way to the database."""

    def rows(self, statement: str, values: Sequence[Value] = ()) -> Iterator[tuple[Any, ...]]:
        """What a query finds."""
        ...

    def change(self, statement: str, values: Sequence[Value] = ()) -> int:
        """Runs a statement that changes rows; how many it changed."""
        ...

    def vector(self, row: Row) -> Value:
        """A vector as the database keeps it."""
        ...

    def row(self, value: Any) -> Row:
        """The vector of what the database kept."""
        ...

    def problems(self) -> tuple[str, ...]:
        """What the database itself finds wrong with its files."""
        ...
