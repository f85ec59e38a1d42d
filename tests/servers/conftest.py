"""The tiny world for tests of services that train in it."""

from __future__ import annotations

from tests.training.conftest import speaking, tiny_base

__all__ = ["speaking", "tiny_base"]
