"""MIA, a memory that plans."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mia.door import MIA

__all__ = ["MIA"]


def __getattr__(name: str) -> object:
    """Loads the door when it is first used: `import mia` alone costs nothing."""
    if name == "MIA":
        from mia.door import MIA

        return MIA
    raise AttributeError(f"module 'mia' has no attribute {name!r}")
