"""The best workflows for a question, found in SQL.

Postgres scores every workflow of the place asked for, in pgvector's single precision, and names the
few that may be among the best; the index ranks these in double precision, as it does for SQLite, so
that a score does not depend on the server. Nothing is approximated: every workflow that single
precision could have misplaced is among the few.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from mia.errors import StoreError
from mia.memories.workflow.bucket import SLACK
from mia.memories.workflow.index import Index
from mia.memories.workflow.rows import Rows
from mia.memories.workflow.session import Session, Value
from mia.memories.workflow.store import Query, Scored
from mia.memories.workflow.vectors import INDEXED, Indexed

_SPARE = 16
"""Candidates beyond the limit that are looked at first: some may be the question's own."""
_FOUND = (
    f"SELECT {INDEXED}, near.rough FROM near"
    " JOIN workflows AS w ON w.seq = near.seq JOIN vectors AS v ON v.seq = near.seq"
)


_Near = tuple[str, list[Value]]
"""A query for numbers of workflows and their scores in SQL, with its values."""


class _Found(NamedTuple):
    """A candidate and its score in SQL."""

    item: Indexed
    rough: float


def best(query: Query, rows: Rows) -> tuple[Scored, ...]:
    """The best of what is trusted and has vectors. Raises StoreError."""
    _check_dimension(query, rows)
    kept: tuple[Scored, ...] = ()
    for absorbed in (False, True):
        if len(kept) < query.limit:
            left = replace(query, limit=query.limit - len(kept))
            kept += _best(left, rows, absorbed=absorbed)
    return kept


def _best(query: Query, rows: Rows, *, absorbed: bool) -> tuple[Scored, ...]:
    """The best of what a policy's weights absorbed, or of what they did not."""
    near, take = scores(query, rows.session, absorbed=absorbed), query.limit + _SPARE
    while True:
        found = list(_top(near, rows, take))
        kept = _ranked(found, query, rows)
        if len(found) < take:
            return kept
        if len(kept) == query.limit:
            least = min(one.rough for one in found)
            if not kept or kept[-1].score >= least + SLACK:
                return kept
            return _ranked(_from(near, rows, least - SLACK), query, rows)
        take *= 4


def scores(query: Query, session: Session, *, absorbed: bool) -> _Near:
    """A query for the numbers of what is at or above the floor, and how each scores (`rough`), both
    give or take `SLACK`; with its values."""
    w = query.weights
    sim, sims = _similarity(query, session)
    place, places = "", [query.namespace, query.modality, query.outcome]
    if query.category is not None:
        place, places = " AND w.category = ?", [*places, query.category]
    rates = [w.value, w.prior_wins, w.prior_wins + w.prior_losses, w.frequency]
    statement = (
        f"SELECT w.seq, ? * {sim} + ? * ((w.wins + ?) / (w.uses + ?))"
        " + ? * (1.0::float8 / (w.uses + 1)) AS rough"
        " FROM workflows AS w JOIN vectors AS v ON v.seq = w.seq"
        f" WHERE w.namespace = ? AND w.modality = ? AND w.outcome = ?{place}"
        f" AND w.trust = 'trusted' AND w.absorbed IS {'NOT NULL' if absorbed else 'NULL'}"
        f" AND {sim} >= ?"
    )
    floor = query.floor - SLACK
    return statement, [float(w.similarity), *sims, *map(float, rates), *places, *sims, floor]


def _similarity(query: Query, session: Session) -> tuple[str, list[Value]]:
    """Of a workflow, in SQL, with its values."""
    asked, share = query.asked, float(query.weights.question)
    template = session.vector(asked.template)
    if asked.caption is None:
        return "-(v.template <#> ?)", [template]
    # where a workflow has no caption the sum is unknown, and the template counts alone
    return (
        "coalesce(? * -(v.template <#> ?) + ? * -(v.caption <#> ?), -(v.template <#> ?))",
        [share, template, 1 - share, session.vector(asked.caption), template],
    )


def _top(near: _Near, rows: Rows, take: int) -> Iterator[_Found]:
    """The `take` best by their scores in SQL."""
    scored, values = near
    statement = f"WITH near AS ({scored} ORDER BY rough DESC LIMIT ?) {_FOUND}"
    return _found(rows, statement, [*values, take])


def _from(near: _Near, rows: Rows, least: float) -> Iterator[_Found]:
    """All whose score in SQL is at least this."""
    scored, values = near
    statement = f"WITH near AS (SELECT * FROM ({scored}) AS s WHERE rough >= ?) {_FOUND}"
    return _found(rows, statement, [*values, least])


def _found(rows: Rows, statement: str, values: Sequence[Value]) -> Iterator[_Found]:
    for *row, rough in rows.session.rows(statement, values):
        yield _Found(rows.vectors.open_indexed(row), rough)


def _ranked(found: Iterable[_Found], query: Query, rows: Rows) -> tuple[Scored, ...]:
    """The best of the candidates, exactly."""
    index = Index()
    for one in found:
        index.add(one.item)
    return index.best(query, rows)


def _check_dimension(query: Query, rows: Rows) -> None:
    dimension, asked = rows.vectors.made_by()[1], query.asked.template.size
    if dimension in (None, asked):
        return
    if next(rows.session.rows("SELECT 1 FROM vectors LIMIT 1"), None) is not None:
        raise StoreError(
            f"the memory's vectors have {dimension} numbers, the question's {asked}; "
            "to make them anew, run: mia memory reembed"
        )
