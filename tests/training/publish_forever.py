"""A process for the tests of several: publishes versions and prints the number of each. Arguments:
the folder of the shelves, and how many."""

from __future__ import annotations

import sys
from pathlib import Path

from mia.training.versions import Draft, Shelf


def main() -> None:
    shelf, count = Shelf(Path(sys.argv[1]), "planner"), int(sys.argv[2])
    print("ready", flush=True)
    for n in range(count):
        draft = Draft(base="toy", base_sha256="0" * 64, made_by="online", data=f"{n}")
        published = shelf.publish(draft, lambda folder, n=n: _fill(folder, n))
        shelf.promote(published.number)
        print(published.number, flush=True)


def _fill(folder: Path, n: int) -> None:
    (folder / "adapter_model.safetensors").write_bytes(f"weights {n}".encode() * 1000)


if __name__ == "__main__":
    main()
