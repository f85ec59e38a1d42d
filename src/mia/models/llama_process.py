"""A llama.cpp server as a process of its own, which ends with whoever started it.

    python -m mia.models.llama_process MODEL.gguf [--adapter FILE.gguf] [--slots 2] [--threads 1]

It serves on loopback, on a free port, and says on a line of stdout where, or why it cannot. It ends
when its stdin does, and so also when the process at the other end of it is killed.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from mia.types import Noun, encode

CONTEXT = 2048
"""Tokens a slot holds by default, as in the embedded engine."""


class Started(Noun, frozen=True):
    """What the process says once."""

    address: str = ""
    """The server's, without /v1."""
    error: str = ""
    """Why there is none."""


def serve(model: Path, adapter: Path | None, slots: int, threads: int, context: int) -> Any:
    """A server, which runs until it is let go of. Raises RuntimeError when llama.cpp cannot load
    the model or the adapter."""
    native = import_module("xllamacpp")
    params = native.CommonParams()
    params.model.path = str(model)
    params.hostnames, params.port = ["127.0.0.1"], 0
    params.n_parallel, params.n_ctx, params.n_gpu_layers = slots, context * slots, 0
    params.cpuparams.n_threads = threads or os.cpu_count() or 2
    params.cache_ram_mib = 0
    params.use_jinja, params.warmup, params.verbosity = True, False, -1
    if adapter is not None:
        params.lora_adapters = [native.CommonAdapterLoraInfo(str(adapter), 1.0)]
    return native.Server(params)


def main() -> None:
    """Serves until stdin ends."""
    parser = argparse.ArgumentParser(description="Serves a GGUF on loopback until stdin ends.")
    parser.add_argument("model", type=Path)
    parser.add_argument("--adapter", type=Path)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--context", type=int, default=CONTEXT)
    options = parser.parse_args()
    try:
        server = serve(
            options.model, options.adapter, options.slots, options.threads, options.context
        )
    except RuntimeError as error:
        _say(Started(error=str(error) or "llama.cpp does not say why"))
        sys.exit(1)
    _say(Started(address=server.listening_address))
    os.dup2(2, 1)  # whoever started this reads one line: a pipe nobody reads would fill up
    sys.stdin.buffer.read()
    os._exit(0)  # its threads would be waited for, and nobody needs what they do


def _say(started: Started) -> None:
    sys.stdout.buffer.write(encode(started) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
