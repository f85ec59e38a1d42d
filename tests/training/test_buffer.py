"""What was attempted waits for a batch: no user fills one, nobody waits for ever, nothing is
learned from twice."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mia.training.buffer import Buffer, Kept, Outcome
from mia.training.exploring import Selections
from mia.training.guards import Limits, admitted
from mia.types import encode

NOTHING = Selections(None, None, None, None, None, None)


def outcome(place: int, user: str = "") -> Outcome:
    return Outcome(
        place=place, question=f"q{place}", family=None, episode=f"e{place}", answer=None,
        rewards=(), right=None, judged=None, selections=NOTHING, reason="", version=0, user=user,
    )  # fmt: skip


def form(buffer: Buffer, batch: int, questions: int, *, partial_: bool = False,
         share: float = 0.25) -> int:  # fmt: skip
    admit = partial(admitted, batch=questions, limits=Limits(per_source=share))
    return buffer.form(batch, questions, partial=partial_, admit=admit)


@given(
    st.lists(st.sampled_from(["ann", "bob", "cy", "dan", "eve", ""]), max_size=40),
    st.integers(1, 8),
    st.sampled_from([0.1, 0.25, 0.5, 1.0]),
)
@settings(max_examples=40, deadline=None)
def test_no_user_fills_a_batch_and_all_are_learned_from_once(
    users: list[str], questions: int, share: float
) -> None:
    with TemporaryDirectory() as folder, closing(Buffer(Path(folder) / "b.db", "")) as buffer:
        number = 0
        for place, user in enumerate(users):
            buffer.add(outcome(place, user), (), Kept())
            if form(buffer, number + 1, questions, share=share):
                number += 1
        while form(buffer, number + 1, questions, partial_=True, share=share):
            number += 1
        batches = [buffer.of_batch(each) for each in range(1, number + 1)]
        most = max(1, int(questions * share))
        for batch in batches:
            named = Counter(one.user for one in batch if one.user)
            assert len(batch) <= questions and all(count <= most for count in named.values())
        places = [one.place for batch in batches for one in batch]
        assert sorted(places) == list(range(len(users))), "all of them, and each once"
        for user in set(users):
            own = [one.place for batch in batches for one in batch if one.user == user]
            assert own == sorted(own), "whoever waits is the next"


def test_a_single_user_waits_for_others_and_a_nameless_one_does_not(tmp_path: Path) -> None:
    with closing(Buffer(tmp_path / "b.db", "")) as buffer:
        for place in range(8):
            buffer.add(outcome(place, "bob"), (), Kept())
        assert form(buffer, 1, 4) == 0 and buffer.waiting() == 8
        for place in range(8, 12):
            buffer.add(outcome(place), (), Kept())
        assert form(buffer, 1, 4) == 4
        assert [one.place for one in buffer.of_batch(1)] == [0, 8, 9, 10]
        assert form(buffer, 1, 4) == 4, "what was formed stays"


def test_what_is_set_aside_is_in_no_batch(tmp_path: Path) -> None:
    with closing(Buffer(tmp_path / "b.db", "")) as buffer:
        for place in range(6):
            buffer.add(outcome(place), (), Kept())
        assert form(buffer, 1, 2) == form(buffer, 2, 2) == 2
        buffer.set_aside(1)
        assert buffer.waiting() == 0 and len(buffer.of_batch(1)) == 2
        assert form(buffer, 2, 2, partial_=True) == 0


def test_what_becomes_known_later_is_noted_and_memory_still_told(tmp_path: Path) -> None:
    with closing(Buffer(tmp_path / "b.db", "")) as buffer:
        buffer.add(outcome(3), (), Kept())
        known = msgspec.structs.replace(outcome(3), audited=False)
        buffer.amend(known)
        assert buffer.outcome(3) == known and buffer.outcome(4) is None
        assert len(buffer.unsettled()) == 1 and buffer.places() == {3}


@pytest.mark.parametrize("field", ["user", "at", "remembered"])
def test_rows_from_before_there_were_users_are_read(tmp_path: Path, field: str) -> None:
    with closing(Buffer(tmp_path / "b.db", "")) as buffer:
        buffer.add(outcome(0), (), Kept())
    row = msgspec.json.decode(encode(outcome(0)))
    del row[field]
    with closing(sqlite3.connect(tmp_path / "b.db")) as db, db:
        db.execute("UPDATE attempted SET outcome = ?", (msgspec.json.encode(row),))
    with closing(Buffer(tmp_path / "b.db", "")) as buffer:
        assert buffer.outcomes() == (outcome(0),)
