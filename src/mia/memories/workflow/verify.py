"""Whether a database holds what its log says, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mia.errors import StoreError
from mia.memories.workflow.log import Entry, Head, check_link
from mia.memories.workflow.pairs import PairRows
from mia.memories.workflow.records import (
    PLACE,
    WHOLE,
    Columns,
    checksum,
    fingerprint,
    open_noun,
    open_workflow,
    raw_of,
    vectors_raw,
)
from mia.memories.workflow.rows import Rows
from mia.memories.workflow.states import Played
from mia.types import Remembered


def verify(rows: Rows) -> int:
    """Walks the log, the texts and every row, and returns how many workflows there are. Raises
    StoreError naming the first thing that is wrong."""
    problems = rows.session.problems()
    if problems:
        raise StoreError(f"the database is damaged: {problems[0]}")
    played = walked(rows)
    for _ in texts(rows, played):
        pass
    count = _workflows(rows, played)
    _vectors(rows, played)
    _episodes(rows, played)
    _snapshots(rows, played)
    PairRows(rows).check()
    return count


def walked(rows: Rows) -> Played:
    """The log played back, each link of its chain checked. Raises StoreError where one is broken or
    missing."""
    played, head = Played(), Head()
    for entry in rows.log.entries():
        if entry.seq != head.seq + 1:
            raise StoreError(f"entry {head.seq + 1} of the log is missing")
        check_link(head.hash, entry)
        played.play(entry)
        head = Head(entry.seq, entry.hash)
    rows.log.check_head()
    return played


def texts(rows: Rows, played: Played) -> Iterator[tuple[Entry, str]]:
    """Every text, with the entry that brought it. Raises StoreError when one is missing, but for
    those that were forgotten, or is not what was written."""
    wanted = played.texts.keys() - played.erased
    for entry, body in rows.log.texts():
        if entry.seq not in wanted:
            raise StoreError(f"the text of entry {entry.seq} should have been erased")
        wanted.discard(entry.seq)
        yield entry, body
    _none_left("the text of entry", map(str, wanted))


def _workflows(rows: Rows, played: Played) -> int:
    """Every workflow stands as the log says."""
    left = set(played.workflows)
    for row in rows.session.rows(f"SELECT {WHOLE} FROM {PLACE} ORDER BY w.seq"):
        workflow, columns = open_workflow(row), Columns(*row[:-2])
        state = played.workflows.get(workflow.id)
        if state is None:
            raise StoreError(f"workflow {workflow.id} is not in the log")
        if fingerprint(raw_of(f"workflow {workflow.id}", row[-1])) != state.digest:
            raise StoreError(f"workflow {workflow.id} was changed behind the log's back: its text")
        if (columns.standing, columns.seq, columns.text) != (
            state.standing,
            state.first,
            state.text,
        ):
            raise StoreError(
                f"workflow {workflow.id} was changed behind the log's back: how it stands"
            )
        left.discard(workflow.id)
    _none_left("workflow", left)
    return len(played.workflows)


def _vectors(rows: Rows, played: Played) -> None:
    """Every vector is what was written; whatever has none is known to have none."""
    left = {id for id, state in played.workflows.items() if state.vectors is not None}
    without = {id: state.namespace for id, state in played.workflows.items() if id not in left}
    embedder, dimension = rows.vectors.made_by()
    for id, vectors in rows.vectors.all():
        state = played.workflows.get(id)
        if state is None or fingerprint(vectors_raw(id, vectors)) != state.vectors:
            raise StoreError(f"the vectors of workflow {id} were changed behind the log's back")
        if vectors.template.size != dimension or embedder != played.embedder:
            raise StoreError(f"the vectors of workflow {id} are not of the store's embedder")
        left.discard(id)
    _none_left("the vectors of workflow", left)
    for id, namespace in rows.session.rows(
        "SELECT w.id, u.namespace FROM unembedded AS u JOIN workflows AS w ON w.seq = u.seq"
    ):
        if without.pop(id, None) != namespace:
            raise StoreError(f"workflow {id} is listed as one without vectors, wrongly")
    _none_left("the note that there are no vectors of workflow", without)


def _episodes(rows: Rows, played: Played) -> None:
    """Every decision on an episode is what was decided."""
    left = set(played.episodes)
    found = rows.session.rows("SELECT namespace, episode, body, crc FROM absorbed")
    for namespace, episode, body, crc in found:
        name = f"episode {episode}"
        open_noun(Remembered, name, body, crc, namespace, episode)
        known = fingerprint(b"\0".join(part.encode() for part in (namespace, episode, body)))
        if known not in left:
            raise StoreError(f"what was decided on {name} is not in the log")
        left.discard(known)
    _none_left("what was decided on the episode of digest", left)


def _snapshots(rows: Rows, played: Played) -> None:
    """Every snapshot names the entry that it was taken at."""
    left = dict(played.snapshots)
    for name, seq, at, crc in rows.session.rows("SELECT name, seq, at, crc FROM snapshots"):
        if checksum(b"", name, str(seq), at) != crc or left.pop(name, None) != seq:
            raise StoreError(f"snapshot {name} was changed")
    _none_left("snapshot", left)


def _none_left(what: str, names: Iterable[str]) -> None:
    missing = min(names, default=None)
    if missing is not None:
        raise StoreError(f"{what} {missing} is missing")
