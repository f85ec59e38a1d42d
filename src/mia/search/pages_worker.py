"""The program that reads what strangers wrote: `mia.search.pages_reader` starts it and may kill it.

    python -I pages_worker.py MEMORY SECONDS CHARACTERS PAGES IDLE PATH...

It takes documents from its standard input, one after another, and gives a line of JSON for each.
It can write no file, has no environment, and gets so many bytes of memory beyond what its libraries
take and so many seconds of processor for each document. It ends by itself when nothing comes for
IDLE seconds, or when whoever started it is gone.
"""

from __future__ import annotations

import json
import resource
import select
import struct
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

PDF, HTML = b"pdf ", b"html"
HEADER = struct.Struct(">4sIB")
"""One of these, the length of the document, the length of the charset's name before it."""


def main(arguments: list[str]) -> None:
    """Reads documents until there are no more."""
    memory, seconds, most, pages, idle = map(int, arguments[:5])
    libraries = 0
    sys.path[:] = arguments[5:]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    source, answers = sys.stdin.buffer, sys.stdout.buffer
    while select.select([source], [], [], idle)[0]:
        header = source.read(HEADER.size)
        if len(header) < HEADER.size:
            return
        kind, length, charset_length = HEADER.unpack(header)
        charset = source.read(charset_length).decode("ascii", "replace") or None
        raw = source.read(length)
        if len(raw) < length:
            return
        answer: dict[str, str | None]
        try:
            reading = _prepared(kind)
            libraries = libraries or _size()
            _limit(libraries and libraries + memory, seconds)
            if kind == PDF:
                answer = reading.read(raw, most, pages)
            else:
                answer = reading.read(raw, charset, most)
        except MemoryError:
            answer = {"error": "it needs too much memory"}
        except Exception as error:  # noqa: BLE001  # whatever a parser dies of, it is not readable
            told = f"it is damaged ({type(error).__name__})"
            answer = {"error": str(error)[:200] if type(error) is ValueError else told}
        del raw
        answers.write(json.dumps(_sendable(answer)).encode() + b"\n")
        answers.flush()
        if _size() > libraries + memory // 2:  # the next one would find too little
            return


def _sendable(answer: dict[str, str | None]) -> dict[str, str | None]:
    """Without halves of characters, which PDFs may hold and JSON may not."""
    return {k: v and v.encode("utf-8", "replace").decode() for k, v in answer.items()}


def _prepared(kind: bytes) -> Any:
    """The module that reads this kind, with its libraries loaded."""
    import_module("pypdf" if kind == PDF else "trafilatura")
    return import_module("mia.search.pages_pdf" if kind == PDF else "mia.search.pages_html")


def _limit(memory: int, seconds: int) -> None:
    """Bounds what the next document may take. The processor time of earlier ones does not count."""
    if memory:  # where the size is not known, time alone is bounded
        _bound(resource.RLIMIT_AS, memory)
    used = resource.getrusage(resource.RUSAGE_SELF)
    _bound(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + seconds + 1)


def _size() -> int:
    """Bytes of this process's address space; 0 where the system does not tell."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[0]) * resource.getpagesize() if statm.exists() else 0


def _bound(what: int, most: int) -> None:
    """Sets a limit that can be moved again, within the one that the system sets."""
    ceiling = resource.getrlimit(what)[1]
    most = most if ceiling == resource.RLIM_INFINITY else min(most, ceiling)
    resource.setrlimit(what, (most, ceiling))


if __name__ == "__main__":
    main(sys.argv[1:])
