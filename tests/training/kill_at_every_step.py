"""A process for the kill tests: publishes and promotes a version, and discards an older one, in a
child that is killed at its first call to the system, then in one that is killed at the second, and
so on until one gets through. After each it checks what is there. Argument: the folder of the
shelves. Prints how many children were killed."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from mia.training.versions import Draft, Shelf


def fill(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")
    (folder / "adapter_model.safetensors").write_bytes(b"weights")


DRAFT = Draft(base="toy", base_sha256="0" * 64, made_by="supervised")


def end_at(step: int) -> None:
    """Ends this process at its next call but so many that opens, moves, locks or removes a file."""
    left = step

    def heard(event: str, _: object) -> None:
        nonlocal left
        if event.startswith(("os.", "fcntl.", "shutil.")) or event == "open":
            left -= 1
            if left == -1:  # of the kill itself one hears as well
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(heard)


def survives(shelf: Shelf, step: int) -> bool:
    """Whether a child that would be killed at a step got through. Raises AssertionError when what
    it left is not whole, or not swept by the next who publishes."""
    for _ in range(2):
        shelf.promote(shelf.publish(DRAFT, fill).number)
    child = os.fork()
    if not child:
        end_at(step)
        shelf.promote(shelf.publish(DRAFT, fill).number)
        shelf.discard(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    numbers = [version.number for version in shelf.versions()]
    assert numbers in ([1, 2], [1, 2, 3], [2, 3]), numbers
    for number in numbers:
        shelf.verify(number)
    current = shelf.current()
    assert current is not None and current.number in numbers
    assert shelf.publish(DRAFT, fill).number == numbers[-1] + 1
    left = [path.name for path in shelf.folder(2).parent.iterdir() if "half" in path.name]
    assert left == [], left
    assert status == 0 or os.WTERMSIG(status) == signal.SIGKILL
    return status == 0


def main() -> None:
    step = 0
    while not survives(Shelf(Path(sys.argv[1]) / str(step), "planner"), step):
        step += 1
    print(step)


if __name__ == "__main__":
    main()
