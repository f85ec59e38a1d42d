"""What is born in quarantine, and what lifts it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mia.memories.workflow.trust import LOCAL, Witness, born, vouched


def panel(*domains: str, hashes: tuple[str, ...] = ()) -> Witness:
    return Witness(judge="panel", domains=frozenset(domains), hashes=frozenset(hashes))


def test_in_trust_mode_a_model_s_word_is_not_enough() -> None:
    assert born("panel", trust_mode=True) == "quarantined"
    assert born("exact_match", trust_mode=True) == "trusted"
    assert born("panel", trust_mode=False) == "trusted"


def test_one_grounded_verdict_or_two_disjoint_sources_lift_it() -> None:
    assert not vouched([panel("a.example")])
    assert not vouched([panel("a.example"), panel("a.example", "b.example")])
    assert vouched([panel("a.example"), panel("b.example")])
    assert vouched([panel("a.example"), Witness("human", frozenset())])


def test_pages_of_the_user_s_own_corpus_count_one_by_one() -> None:
    assert not vouched([panel(LOCAL, hashes=("x",)), panel(LOCAL, hashes=("x", "y"))])
    assert vouched([panel(LOCAL, hashes=("x",)), panel(LOCAL, hashes=("y",))])


@given(st.integers(2, 50))
def test_no_number_of_runs_over_one_source_lifts_it(count: int) -> None:
    assert not vouched([panel("evil.example", f"{n}.example") for n in range(count)])
    assert not vouched([panel()] * count), "a run that read nothing proves nothing"
