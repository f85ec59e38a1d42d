"""What the two commands share: arguments, progress, and the line about the machine."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec
from benchmarks.memory_peers.world import SEED

_DISTRIBUTIONS = ("mia", "numpy", "chromadb", "lancedb", "mem0ai", "qdrant-client")


def parser_of(command: str, about: str | None, stores: Iterable[str]) -> argparse.ArgumentParser:
    """A parser of the arguments that both commands have."""
    known = tuple(stores)

    def peers(text: str) -> list[str]:
        """MIA first, whoever else was named."""
        named = [name for part in text.split(",") if (name := part.strip())]
        if unknown := [name for name in named if name not in known]:
            raise argparse.ArgumentTypeError(
                f"no such store: {', '.join(unknown)}; there are {', '.join(known)}"
            )
        return list(dict.fromkeys(("mia", *named)))

    parser = argparse.ArgumentParser(
        prog=f"python -m {__package__}.{command}",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--peers", type=peers, default=",".join(known))
    parser.add_argument("--place", type=Path, help="a folder on the disk to measure")
    parser.add_argument("--json", type=Path, help="a file for all figures")
    return parser


def say(text: str) -> None:
    """Tells who waits how far it is."""
    print(text, file=sys.stderr, flush=True)


def machine() -> str:
    """What is measured, on what."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = next((line.split(": ")[1] for line in info.splitlines() if "model name" in line), "?")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    there = {name for found in importlib.metadata.distributions() if (name := found.name)}
    versions = [f"{n} {importlib.metadata.version(n)}" for n in _DISTRIBUTIONS if n in there]
    return (
        f"{time.strftime('%Y-%m-%d %H:%M')}, {len(os.sched_getaffinity(0))} cores of {model}, "
        f"{memory:.0f} GB, {platform.system()} {platform.release()}, Python "
        f"{platform.python_version()}, {', '.join(versions)}; seed {SEED}; "
        f"load {os.getloadavg()[0]:.1f}"
    )


def tell(about: str, table: str, figures: dict[str, object], path: Path | None) -> None:
    """Prints what came of it, and writes all figures down."""
    print(f"{about} to {os.getloadavg()[0]:.1f}\n\n{table}")
    if path is not None:
        told = msgspec.json.encode({"machine": about} | figures)
        path.write_bytes(msgspec.json.format(told, indent=1))
