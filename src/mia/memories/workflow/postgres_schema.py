"""The schema of the workflow store on Postgres, version by version.

Everything lies in a schema of its own, `mia`, so that a database can be shared with others. A
version, once released, is never edited: a change is a new entry at the end. Texts are compared byte
by byte (`COLLATE "C"`), as in SQLite and in Python. A copy of what was there is pg_dump's job.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import Connection

from mia.errors import UPDATE, StoreError

APPLICATION = 0x4D494157
"""Marks the schema as ours (`MIAW`); also the key of the lock that writers take turns by."""
LOCK = b"SELECT pg_advisory_xact_lock(%d)" % APPLICATION
"""Waits for this transaction's turn to write."""

_V1 = (
    """CREATE TABLE log (
        seq BIGINT PRIMARY KEY,
        at TEXT COLLATE "C" NOT NULL,
        namespace TEXT COLLATE "C" NOT NULL,
        action TEXT COLLATE "C" NOT NULL,
        workflow TEXT COLLATE "C",
        reason TEXT COLLATE "C" NOT NULL,
        digest TEXT COLLATE "C",
        detail TEXT COLLATE "C" NOT NULL,
        hash TEXT COLLATE "C" NOT NULL
    )""",
    "CREATE INDEX log_by_workflow ON log (workflow)",
    """CREATE TABLE versions (
        seq BIGINT PRIMARY KEY REFERENCES log (seq),
        body TEXT COLLATE "C" NOT NULL
    )""",
    """CREATE TABLE workflows (
        seq BIGINT PRIMARY KEY,
        text BIGINT NOT NULL REFERENCES versions (seq),
        id TEXT COLLATE "C" NOT NULL UNIQUE,
        namespace TEXT COLLATE "C" NOT NULL,
        modality TEXT COLLATE "C" NOT NULL,
        category TEXT COLLATE "C" NOT NULL,
        outcome TEXT COLLATE "C" NOT NULL,
        plan_digest TEXT COLLATE "C" NOT NULL,
        question_id TEXT COLLATE "C" NOT NULL,
        task TEXT COLLATE "C",
        source_episode TEXT COLLATE "C" NOT NULL,
        created TEXT COLLATE "C" NOT NULL,
        uses BIGINT NOT NULL,
        wins BIGINT NOT NULL,
        used TEXT COLLATE "C",
        trust TEXT COLLATE "C" NOT NULL,
        crc BIGINT NOT NULL,
        seal BIGINT NOT NULL
    )""",
    "CREATE INDEX workflows_by_age ON workflows (namespace, created)",
    "CREATE INDEX workflows_by_plan ON workflows (namespace, plan_digest)",
    "CREATE INDEX workflows_by_kind ON workflows (namespace, modality, outcome, category)",
    # who erases a text has to know that no workflow has it
    "CREATE INDEX workflows_by_text ON workflows (text)",
    """CREATE TABLE vectors (
        seq BIGINT PRIMARY KEY REFERENCES workflows (seq) ON DELETE CASCADE,
        question vector NOT NULL,
        template vector NOT NULL,
        caption vector,
        crc BIGINT NOT NULL,
        question_crc BIGINT NOT NULL
    )""",
    # every recall reads all templates: they stay in the row where they can, the others lie apart
    "ALTER TABLE vectors ALTER COLUMN template SET STORAGE MAIN",
    """CREATE TABLE unembedded (
        seq BIGINT PRIMARY KEY REFERENCES workflows (seq) ON DELETE CASCADE,
        namespace TEXT COLLATE "C" NOT NULL
    )""",
    "CREATE INDEX unembedded_by_place ON unembedded (namespace)",
    """CREATE TABLE sources (
        workflow TEXT COLLATE "C" NOT NULL REFERENCES workflows (id) ON DELETE CASCADE,
        digest TEXT COLLATE "C" NOT NULL,
        body TEXT COLLATE "C" NOT NULL,
        PRIMARY KEY (workflow, digest)
    )""",
    """CREATE TABLE absorbed (
        namespace TEXT COLLATE "C" NOT NULL,
        episode TEXT COLLATE "C" NOT NULL,
        body TEXT COLLATE "C" NOT NULL,
        crc BIGINT NOT NULL,
        PRIMARY KEY (namespace, episode)
    )""",
    """CREATE TABLE snapshots (
        name TEXT COLLATE "C" PRIMARY KEY,
        seq BIGINT NOT NULL,
        at TEXT COLLATE "C" NOT NULL,
        crc BIGINT NOT NULL
    )""",
    'CREATE TABLE meta (name TEXT COLLATE "C" PRIMARY KEY, value TEXT COLLATE "C" NOT NULL)',
    """CREATE TABLE plan_pairs (
        id TEXT COLLATE "C" PRIMARY KEY,
        namespace TEXT COLLATE "C" NOT NULL,
        plans TEXT COLLATE "C" NOT NULL,
        body TEXT COLLATE "C" NOT NULL,
        crc BIGINT NOT NULL
    )""",
    "CREATE INDEX plan_pairs_by_plans ON plan_pairs (namespace, plans)",
    """CREATE TABLE pair_episodes (
        namespace TEXT COLLATE "C" NOT NULL,
        right_episode TEXT COLLATE "C" NOT NULL,
        wrong_episode TEXT COLLATE "C" NOT NULL,
        pair TEXT COLLATE "C" NOT NULL,
        body TEXT COLLATE "C" NOT NULL,
        crc BIGINT NOT NULL,
        PRIMARY KEY (namespace, right_episode, wrong_episode)
    )""",
    "CREATE INDEX pair_episodes_by_pair ON pair_episodes (pair)",
    """CREATE TABLE pair_vectors (
        pair TEXT COLLATE "C" PRIMARY KEY REFERENCES plan_pairs (id) ON DELETE CASCADE,
        embedder TEXT COLLATE "C" NOT NULL,
        question vector NOT NULL,
        template vector NOT NULL,
        crc BIGINT NOT NULL
    )""",
    """CREATE TABLE exposures (
        namespace TEXT COLLATE "C" NOT NULL,
        subject TEXT COLLATE "C" NOT NULL,
        shown BIGINT NOT NULL DEFAULT 0,
        shown_won BIGINT NOT NULL DEFAULT 0,
        withheld BIGINT NOT NULL DEFAULT 0,
        withheld_won BIGINT NOT NULL DEFAULT 0,
        PRIMARY KEY (namespace, subject)
    )""",
)
# where a workflow comes from is read from the log
_V2 = ("DROP TABLE sources",)
_V3 = (
    'ALTER TABLE workflows ADD COLUMN absorbed TEXT COLLATE "C"',
    "CREATE INDEX workflows_by_absorber ON workflows (absorbed) WHERE absorbed IS NOT NULL",
)
MIGRATIONS: tuple[Sequence[str], ...] = (_V1, _V2, _V3)


def migrate(
    connection: Connection[Any], where: str, migrations: Sequence[Sequence[str]] = MIGRATIONS
) -> None:
    """Brings a database to the newest version, one transaction a version. Several processes may
    try at once. The connection finds the tables from then on.

    Raises StoreError for a schema of a newer version or of another program, and for a database
    without pgvector.
    """
    while (version := _version(connection, where)) < len(migrations):
        with connection.transaction():
            connection.execute(LOCK)
            if _version(connection, where) == version:
                _make_room(connection, where)
                _look_in_schema(connection)
                for step in migrations[version]:
                    connection.execute(step.encode())
                connection.execute("UPDATE about SET version = %s", (version + 1,))
    if version > len(migrations):
        raise StoreError(
            f"{where} was written by a newer MIA (schema {version}, this one knows "
            f"{len(migrations)}); {UPDATE}"
        )
    _look_in_schema(connection)


def _version(connection: Connection[Any], where: str) -> int:
    tables, marked = _one(
        connection,
        "SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace('mia')),"
        " to_regclass('mia.about') IS NOT NULL",
    )
    if tables == 0:
        return 0
    known = marked and _one(connection, "SELECT application, version FROM mia.about")
    if not known or known[0] != APPLICATION:
        raise StoreError(f"{where} has a schema `mia` of another program, not a memory of MIA")
    return int(known[1])


def _make_room(connection: Connection[Any], where: str) -> None:
    """Makes the schema, its mark and the type of vectors, where they are not there yet."""
    try:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    except psycopg.Error as error:
        raise StoreError(
            f"{where} has no pgvector ({error.diag.message_primary or error}); install it on the "
            "server, and let an administrator of the database run: CREATE EXTENSION vector"
        ) from error
    # who may not create schemas may be given an empty one
    if not _one(connection, "SELECT to_regnamespace('mia') IS NOT NULL")[0]:
        connection.execute("CREATE SCHEMA mia")
    if not _one(connection, "SELECT to_regclass('mia.about') IS NOT NULL")[0]:
        connection.execute(
            "CREATE TABLE mia.about (application BIGINT NOT NULL, version BIGINT NOT NULL)"
        )
        connection.execute("INSERT INTO mia.about VALUES (%s, 0)", (APPLICATION,))


def _look_in_schema(connection: Connection[Any]) -> None:
    """Names without a schema are ours, or pgvector's."""
    connection.execute(
        "SELECT set_config('search_path', 'mia, ' || quote_ident(nspname), false)"
        " FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace"
        " WHERE extname = 'vector'"
    )


def _one(connection: Connection[Any], statement: str) -> tuple[Any, ...]:
    """The one row of a query that always has one; empty when the row is missing."""
    return tuple(connection.execute(statement.encode()).fetchone() or ())
