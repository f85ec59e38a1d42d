"""The memory files of the published service: of the path that a client sends, only the name counts.

They lie in a folder of the home, in the published layout. That layout has no room for ids, steps,
counters' owners or trust, so what this service saves is kept whole beside it, bound to the file by
its hash: loaded again, it comes back as it was. A file from elsewhere comes in as any import does,
in quarantine.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path

from mia.errors import InputError, MissingError
from mia.memories.workflow import interchange, published
from mia.memories.workflow.forget import Choice, forget
from mia.memories.workflow.rows import Rows
from mia.memories.workflow.store import Store

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_WHOLE = ".whole"
"""The folder of what the layout has no room for; no client can name it."""
_CLEARED = "a client cleared the memory"
_EVER = Choice(since=datetime.min.replace(tzinfo=UTC))


class Files:
    """Memory files of one namespace. Its methods block; one at a time."""

    def __init__(self, store: Store, namespace: str, folder: Path) -> None:
        self._store = store
        self._namespace = namespace
        self._folder = folder
        self._read = 0
        """The last entry of the log that was looked at."""
        self._cleared = 0

    def save(self, path: str) -> int:
        """Writes what recall may show to a file; how many workflows that is. Raises InputError for
        a path without a usable name."""
        file = self._file(path)
        workflows = self._store.all(self._namespace)[::-1]
        trusted = [workflow for workflow in workflows if workflow.trust == "trusted"]
        (self._folder / _WHOLE).mkdir(parents=True, exist_ok=True)
        published.write(trusted, file)
        whole = self._whole(file)
        interchange.write(workflows, whole)
        for old in whole.parent.glob(f"{file.name}.{'?' * 64}"):
            if old != whole:
                old.unlink(missing_ok=True)
        return len(trusted)

    def load(self, path: str) -> int:
        """Adds the workflows of a file to those that are there; how many were new. Raises
        InputError for a path without a usable name and for a file that cannot be read, MissingError
        where there is none."""
        file = self._file(path)
        if not file.is_file():
            raise MissingError(f"there is no file {file.name} in {self._folder}")
        whole = self._whole(file)
        source = whole if whole.is_file() else file
        return interchange.import_(self._store, source, self._namespace).added

    def clear(self) -> int:
        """Forgets all workflows and pairs of plans of the namespace; how many workflows that was.
        The files stay."""
        gone = forget(self._store, self._namespace, _EVER, reason=_CLEARED)
        return len(gone.direct) + len(gone.descendants)

    def cleared(self) -> int:
        """The number of the log's entry with which a client last cleared the memory; 0 for never.
        It is the same for all servers of one store, and after a restart."""

        def job(rows: Rows) -> None:
            for entry in rows.log.entries(after=self._read):
                self._read = entry.seq
                if (entry.namespace, entry.action, entry.reason) == (
                    self._namespace, "forget", _CLEARED,
                ):  # fmt: skip
                    self._cleared = entry.seq

        self._store.read(job)
        return self._cleared

    def _file(self, path: str) -> Path:
        name = re.split(r"[/\\]", path)[-1]
        if _NAME.fullmatch(name) is None:
            raise InputError(
                "a path should end in a file's name of letters, digits, '.', '_' and '-', at most"
                f" 100; files lie in {self._folder}, whatever stands before the name"
            )
        return self._folder / name

    def _whole(self, file: Path) -> Path:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        return file.parent / _WHOLE / f"{file.name}.{digest}"
