"""Lets whoever answers go first: a process that learns stands still while another asks it to.

A process of the lowest priority is not enough on a small machine. It gets the moments in which the
other's threads wait for each other, which are many, and what those find when they go on is a cache
full of somebody else's weights.
"""

from __future__ import annotations

import asyncio
import threading
from importlib import import_module
from typing import Any


class GivingWay:
    """Whether there is way for whoever learns. Everything may be called from any thread."""

    def __init__(self) -> None:
        self._free = threading.Event()
        self._free.set()

    def stop(self) -> None:
        """Whoever waits here from now on waits until `go`."""
        self._free.clear()

    def go(self) -> None:
        """Lets everybody go on."""
        self._free.set()

    def wait(self) -> None:
        """Returns when there is way."""
        self._free.wait()

    async def passed(self) -> None:
        """The same, and lets others of the loop do something meanwhile."""
        if not self._free.is_set():
            await asyncio.to_thread(self._free.wait)

    def over(self, model: Any) -> None:
        """Makes a model on torch wait before each of its layers, forwards and backwards: some tens
        of milliseconds of work."""
        layer = import_module("transformers.modeling_layers").GradientCheckpointingLayer

        def first(*_: object) -> None:
            self.wait()

        for module in model.modules():
            if isinstance(module, layer):
                module.register_forward_pre_hook(first)
                module.register_full_backward_pre_hook(first)
