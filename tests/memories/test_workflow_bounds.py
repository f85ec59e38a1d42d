"""What goes when a memory is full."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from mia.memories.workflow.bounds import Candidate, evictions, worth
from mia.memory import Weights

NOW = datetime(2026, 6, 1, tzinfo=UTC)
WEIGHTS = Weights()


def candidate(id: str, **changes: object) -> Candidate:
    base: dict[str, object] = {
        "category": "human", "outcome": "success", "plan": "#1 who?", "uses": 0, "wins": 0,
        "created": NOW.isoformat(), "used": None,
    }  # fmt: skip
    return Candidate(id=id, **(base | changes))  # type: ignore[arg-type]


CANDIDATES = st.lists(
    st.builds(
        candidate,
        id=st.uuids().map(str),
        outcome=st.sampled_from(["success", "failure"]),
        plan=st.sampled_from(["a", "b", "c"]),
        uses=st.integers(0, 50),
        wins=st.integers(0, 50),
        created=st.integers(0, 900).map(lambda days: (NOW - timedelta(days=days)).isoformat()),
    ),
    max_size=30,
    unique_by=lambda c: c.id,
)


@given(CANDIDATES, st.integers(0, 30))
def test_exactly_the_excess_goes_and_the_order_of_rows_does_not_matter(
    candidates: list[Candidate], capacity: int
) -> None:
    gone = evictions(candidates, capacity, NOW, WEIGHTS)
    assert len(gone) == max(0, len(candidates) - capacity)
    assert len({g.id for g in gone}) == len(gone)
    assert gone == evictions(reversed(candidates), capacity, NOW, WEIGHTS)
    assert all(g.reason for g in gone)


@given(CANDIDATES, st.integers(0, 30))
def test_the_only_success_of_its_kind_goes_last(candidates: list[Candidate], capacity: int) -> None:
    gone = {g.id for g in evictions(candidates, capacity, NOW, WEIGHTS)}
    kinds = {c.plan for c in candidates if c.outcome == "success"}
    left = {c.plan for c in candidates if c.outcome == "success" and c.id not in gone}
    if capacity >= len(kinds):
        assert left == kinds


def test_the_least_valuable_goes_first_and_says_why() -> None:
    candidates = [
        candidate("good", uses=20, wins=18, plan="p"),
        candidate("bad", uses=20, wins=1, plan="p"),
        candidate("new", plan="p"),
    ]
    (gone,) = evictions(candidates, 2, NOW, WEIGHTS)
    assert gone.id == "bad"
    assert "won 1 of 20 uses" in gone.reason


def test_use_and_freshness_are_worth_something() -> None:
    old = candidate("old", created=(NOW - timedelta(days=180)).isoformat())
    assert worth(old, NOW, WEIGHTS) < worth(candidate("new"), NOW, WEIGHTS)
    often = candidate("often", uses=10, wins=10)
    assert worth(often, NOW, WEIGHTS) > worth(candidate("once", uses=1, wins=1), NOW, WEIGHTS)


def test_a_time_that_cannot_be_read_is_no_reason_to_go() -> None:
    assert worth(candidate("odd", created="?"), NOW, WEIGHTS) == worth(
        candidate("new"), NOW, WEIGHTS
    )
