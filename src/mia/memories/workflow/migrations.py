"""The schema of the workflow store, version by version, and how a file gets to the newest.

A version, once released, is never edited: a change is a new entry at the end. Each is a tuple of
steps, since sqlite3's executescript would commit on its own: statements, and functions where rows
have to be rewritten. Statements are portable but for `STRICT`, `INTEGER` (64 bits) and `BLOB`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from mia.errors import UPDATE, StoreError
from mia.memories.workflow.backup import copy_whole
from mia.memories.workflow.upgrade import from_1_to_2

APPLICATION = 0x4D494157
"""Marks the file as ours (`MIAW`), so that no other database is taken for a memory."""

_V1 = (
    """CREATE TABLE workflows (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        namespace TEXT NOT NULL,
        modality TEXT NOT NULL,
        category TEXT NOT NULL,
        outcome TEXT NOT NULL,
        trust TEXT NOT NULL,
        plan TEXT NOT NULL,
        question_id TEXT NOT NULL,
        task TEXT,
        uses INTEGER NOT NULL,
        wins INTEGER NOT NULL,
        created TEXT NOT NULL,
        body TEXT NOT NULL,
        crc INTEGER NOT NULL
    ) STRICT""",
    "CREATE INDEX workflows_by_place ON workflows (namespace, modality, trust)",
    "CREATE INDEX workflows_by_plan ON workflows (namespace, outcome, plan)",
    """CREATE TABLE vectors (
        workflow TEXT NOT NULL REFERENCES workflows (id) ON DELETE CASCADE,
        embedder TEXT NOT NULL,
        question BLOB NOT NULL,
        template BLOB NOT NULL,
        caption BLOB,
        crc INTEGER NOT NULL,
        PRIMARY KEY (workflow, embedder)
    ) STRICT""",
    """CREATE TABLE absorbed (
        namespace TEXT NOT NULL,
        episode TEXT NOT NULL,
        body TEXT NOT NULL,
        crc INTEGER NOT NULL,
        PRIMARY KEY (namespace, episode)
    ) STRICT""",
)
_V2 = (
    "DROP INDEX workflows_by_place",
    "DROP INDEX workflows_by_plan",
    "ALTER TABLE vectors RENAME TO old_vectors",
    "ALTER TABLE workflows RENAME TO old_workflows",
    "ALTER TABLE absorbed RENAME TO old_absorbed",
    """CREATE TABLE log (
        seq INTEGER PRIMARY KEY,
        at TEXT NOT NULL,
        namespace TEXT NOT NULL,
        action TEXT NOT NULL,
        workflow TEXT,
        reason TEXT NOT NULL,
        digest TEXT,
        detail TEXT NOT NULL,
        hash TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX log_by_workflow ON log (workflow)",
    """CREATE TABLE versions (
        seq INTEGER PRIMARY KEY REFERENCES log (seq),
        body TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE workflows (
        seq INTEGER PRIMARY KEY,
        text INTEGER NOT NULL REFERENCES versions (seq),
        id TEXT NOT NULL UNIQUE,
        namespace TEXT NOT NULL,
        modality TEXT NOT NULL,
        category TEXT NOT NULL,
        outcome TEXT NOT NULL,
        plan_digest TEXT NOT NULL,
        question_id TEXT NOT NULL,
        task TEXT,
        source_episode TEXT NOT NULL,
        created TEXT NOT NULL,
        uses INTEGER NOT NULL,
        wins INTEGER NOT NULL,
        used TEXT,
        trust TEXT NOT NULL,
        crc INTEGER NOT NULL,
        seal INTEGER NOT NULL
    ) STRICT""",
    "CREATE INDEX workflows_by_age ON workflows (namespace, created)",
    "CREATE INDEX workflows_by_plan ON workflows (namespace, plan_digest)",
    """CREATE TABLE vectors (
        seq INTEGER PRIMARY KEY REFERENCES workflows (seq) ON DELETE CASCADE,
        question BLOB NOT NULL,
        template BLOB NOT NULL,
        caption BLOB,
        crc INTEGER NOT NULL,
        question_crc INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE unembedded (
        seq INTEGER PRIMARY KEY REFERENCES workflows (seq) ON DELETE CASCADE,
        namespace TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX unembedded_by_place ON unembedded (namespace)",
    """CREATE TABLE sources (
        workflow TEXT NOT NULL REFERENCES workflows (id) ON DELETE CASCADE,
        digest TEXT NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (workflow, digest)
    ) STRICT""",
    """CREATE TABLE absorbed (
        namespace TEXT NOT NULL,
        episode TEXT NOT NULL,
        body TEXT NOT NULL,
        crc INTEGER NOT NULL,
        PRIMARY KEY (namespace, episode)
    ) STRICT""",
    """CREATE TABLE snapshots (
        name TEXT PRIMARY KEY,
        seq INTEGER NOT NULL,
        at TEXT NOT NULL,
        crc INTEGER NOT NULL
    ) STRICT""",
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
    from_1_to_2,
    "DROP TABLE old_vectors",
    "DROP TABLE old_workflows",
    "DROP TABLE old_absorbed",
)
_V3 = (
    """CREATE TABLE plan_pairs (
        id TEXT PRIMARY KEY,
        namespace TEXT NOT NULL,
        plans TEXT NOT NULL,
        body TEXT NOT NULL,
        crc INTEGER NOT NULL
    ) STRICT""",
    "CREATE INDEX plan_pairs_by_plans ON plan_pairs (namespace, plans)",
    """CREATE TABLE pair_episodes (
        namespace TEXT NOT NULL,
        right_episode TEXT NOT NULL,
        wrong_episode TEXT NOT NULL,
        pair TEXT NOT NULL,
        body TEXT NOT NULL,
        crc INTEGER NOT NULL,
        PRIMARY KEY (namespace, right_episode, wrong_episode)
    ) STRICT""",
    "CREATE INDEX pair_episodes_by_pair ON pair_episodes (pair)",
    """CREATE TABLE pair_vectors (
        pair TEXT PRIMARY KEY REFERENCES plan_pairs (id) ON DELETE CASCADE,
        embedder TEXT NOT NULL,
        question BLOB NOT NULL,
        template BLOB NOT NULL,
        crc INTEGER NOT NULL
    ) STRICT""",
)
_V4 = (
    """CREATE TABLE exposures (
        namespace TEXT NOT NULL,
        subject TEXT NOT NULL,
        shown INTEGER NOT NULL DEFAULT 0,
        shown_won INTEGER NOT NULL DEFAULT 0,
        withheld INTEGER NOT NULL DEFAULT 0,
        withheld_won INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (namespace, subject)
    ) STRICT""",
)
# where a workflow comes from is read from the log
_V5 = ("DROP TABLE sources",)
_V6 = (
    "ALTER TABLE workflows ADD COLUMN absorbed TEXT",
    "CREATE INDEX workflows_by_absorber ON workflows (absorbed) WHERE absorbed IS NOT NULL",
)
Step = str | Callable[[sqlite3.Connection], None]
MIGRATIONS: tuple[Sequence[Step], ...] = (_V1, _V2, _V3, _V4, _V5, _V6)


def migrate(
    connection: sqlite3.Connection,
    path: Path | None,
    migrations: Sequence[Sequence[Step]] = MIGRATIONS,
) -> None:
    """Brings a file to the newest version, one transaction a version, and keeps a copy of what was
    there as `<file>.v<N>.bak`. Several processes may try at once. A database without a path is new,
    and there is nothing to copy.

    Raises StoreError for a file from a newer version or of another program.
    """
    found = _version(connection, path)
    while (version := _version(connection, path)) < len(migrations):
        connection.execute("BEGIN IMMEDIATE")
        try:
            if _version(connection, path) == version:
                if path is not None and version == found > 0:
                    with closing(sqlite3.connect(path)) as source:
                        copy_whole(source, path.with_name(f"{path.name}.v{version}.bak"))
                for step in migrations[version]:
                    connection.execute(step) if isinstance(step, str) else step(connection)
                connection.execute(f"PRAGMA application_id = {APPLICATION}")
                connection.execute(f"PRAGMA user_version = {version + 1}")
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
    if version > len(migrations):
        raise StoreError(
            f"{path} was written by a newer MIA (schema {version}, this one knows "
            f"{len(migrations)}); {UPDATE}"
        )


def _version(connection: sqlite3.Connection, path: Path | None) -> int:
    # in this order: another process may commit the first migration between any two of them
    tables = int(connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0])
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    owner = int(connection.execute("PRAGMA application_id").fetchone()[0])
    if (version or tables) and owner != APPLICATION:
        raise StoreError(f"{path} is a database of another program, not a memory of MIA")
    return version
