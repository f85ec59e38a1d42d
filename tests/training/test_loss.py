"""The loss: figures worked by hand, and where there may be no gradient at all."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mia.training.loss import grpo_loss, k3, token_logprobs

torch: Any = pytest.importorskip("torch", reason="the loss needs the extra `train`")


def at(ratios: list[list[float]], requires_grad: bool = False) -> Any:
    """Logprobs now of tokens that were sampled with logprob 0, by their ratio."""
    return torch.tensor(ratios, dtype=torch.float64).log().requires_grad_(requires_grad)


def loss_of(now: Any, better: list[float], mask: list[list[int]] | None = None, **more: Any) -> Any:
    bits = torch.ones_like(now) if mask is None else torch.tensor(mask)
    advantages = torch.tensor(better, dtype=torch.float64)
    return grpo_loss(now, torch.zeros_like(now), advantages, bits, **more)


@pytest.mark.parametrize(
    ("better", "ratio", "loss", "slope"),
    [
        (1.0, 1.0, -1.0, -1.0),
        (1.0, 1.1, -1.1, -1.1),
        (1.0, 1.5, -1.2, 0.0),  # clipped above
        (1.0, 0.5, -0.5, -0.5),  # it lost what it should gain: no clip
        (-1.0, 0.5, 0.8, 0.0),  # clipped below
        (-1.0, 1.5, 1.5, 1.5),  # it gained what it should lose: no clip
        (-1.0, 4.0, 3.0, 0.0),  # but never more than three times
        (-2.0, 4.0, 6.0, 0.0),
        (0.0, 4.0, 0.0, 0.0),
    ],
)
def test_one_token_worked_by_hand(better: float, ratio: float, loss: float, slope: float) -> None:
    now = at([[ratio]], requires_grad=True)
    result = loss_of(now, [better])
    result.value.backward()
    assert result.value.item() == pytest.approx(loss)
    assert now.grad.item() == pytest.approx(slope)
    assert result.clipped == (1.0 if better and not slope else 0.0)


def test_every_policy_token_of_a_batch_weighs_the_same() -> None:
    # three tokens at advantage 1, one at -2: (-1 - 1 - 1 + 2) / 4, by samples it were (-1 + 2) / 2
    now = at([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]], requires_grad=True)
    result = loss_of(now, [1.0, -2.0], [[1, 1, 1], [0, 1, 0]])
    result.value.backward()
    assert result.value.item() == pytest.approx(-0.25) and result.tokens == 4
    assert now.grad.tolist() == [[-0.25, -0.25, -0.25], [0.0, 0.5, 0.0]]


MASKS = st.lists(st.lists(st.integers(0, 1), min_size=4, max_size=4), min_size=2, max_size=4)


@given(MASKS.filter(lambda rows: any(map(any, rows))), st.integers(0, 2**31))
@settings(deadline=None)
def test_a_masked_token_has_exactly_no_gradient_whatever_its_value(
    mask: list[list[int]], seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    shape = (len(mask), 4)
    bits = torch.tensor(mask).bool()
    junk = torch.tensor([math.nan, math.inf, -math.inf, 1e30])
    now = -torch.rand(shape, generator=generator) - 1
    now = torch.where(bits, now, junk).requires_grad_()
    sampled = torch.where(bits, now.detach() + 0.01, junk.flip(0))
    better = torch.randn(len(mask), generator=generator) + 3
    reference = sampled - 0.5
    result = grpo_loss(now, sampled, better, bits, reference_BT=reference, kl_weight=0.1)
    result.value.backward()
    assert (now.grad[~bits] == 0).all() and (now.grad[bits] != 0).all()
    assert all(map(math.isfinite, (result.value.item(), result.off_policy, result.reference_kl)))


@given(MASKS.filter(lambda rows: all(map(any, rows))), st.integers(0, 2**31))
@settings(deadline=None)
def test_the_losses_of_a_batch_s_parts_add_up_to_the_batch_s(
    mask: list[list[int]], seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    draws = torch.rand(2, len(mask), 4, generator=generator, dtype=torch.float64)
    better = torch.randn(len(mask), generator=generator, dtype=torch.float64)
    bits = torch.tensor(mask)
    whole = grpo_loss(draws[0], draws[1], better, bits)
    parts = [
        grpo_loss(draws[0, n : n + 1], draws[1, n : n + 1], better[n : n + 1], bits[n : n + 1],
                  tokens=whole.tokens)
        for n in range(len(mask))
    ]  # fmt: skip
    assert sum(part.value.item() for part in parts) == pytest.approx(whole.value.item())
    assert sum(part.tokens for part in parts) == whole.tokens


@pytest.mark.parametrize("better", [1.0, -1.0])
@pytest.mark.parametrize("now", [-1000.0, -1.0])
def test_a_token_that_grew_out_of_all_bounds_breaks_nothing(better: float, now: float) -> None:
    here = torch.tensor([[now]], requires_grad=True)
    there = torch.tensor([[-1001.0 - now]])
    result = grpo_loss(here, there, torch.tensor([better]), torch.ones(1, 1))
    result.value.backward()
    assert torch.isfinite(here.grad).all() and math.isfinite(result.value.item())
    assert abs(here.grad.item()) < 1e-6


def test_kl_to_a_reference_is_added_only_when_it_is_asked_for() -> None:
    now = torch.tensor([[0.5]], dtype=torch.float64).log().requires_grad_()
    reference = torch.tensor([[0.25]], dtype=torch.float64).log()
    ones, better = torch.ones(1, 1), torch.zeros(1, dtype=torch.float64)
    kl = 0.5 - 1 + math.log(2)  # k3 at p_other / p = 1/2: 0.19314718
    watched = grpo_loss(now, now, better, ones, reference_BT=reference)
    assert (watched.value.item(), watched.reference_kl) == (0, pytest.approx(kl))
    pulled = grpo_loss(now, now, better, ones, reference_BT=reference, kl_weight=0.1)
    pulled.value.backward()
    assert pulled.value.item() == pytest.approx(0.1 * kl)
    assert now.grad.item() == pytest.approx(0.1 * (1 - 0.5))  # towards the reference: downwards
    assert loss_of(at([[1.0]]), [1.0]).reference_kl == 0


@given(st.floats(-15, 0), st.floats(-15, 0))
@settings(deadline=None)
def test_k3_is_never_negative_and_nothing_only_between_equals(one: float, other: float) -> None:
    value = k3(*torch.tensor([[one], [other]], dtype=torch.float64)).item()
    assert value >= -1e-12 and (value > 0 or one == pytest.approx(other, abs=1e-6))


def test_how_far_the_policy_has_moved_is_reported() -> None:
    # sampled with 1/2 and 1/2, now 1/4 and 1/2: k3 at a ratio of 1/2, and of 1
    now = torch.tensor([[0.25, 0.5]], dtype=torch.float64).log()
    sampled = torch.tensor([[0.5, 0.5]], dtype=torch.float64).log()
    result = grpo_loss(now, sampled, torch.ones(1), torch.ones(1, 2))
    assert result.off_policy == pytest.approx((0.5 - 1 + math.log(2)) / 2)


@pytest.mark.parametrize("lean", [False, True])
def test_logprobs_and_entropy_of_tokens(lean: bool) -> None:
    logits = torch.tensor([[0.0, 2 * math.log(3.0)], [0.0, 0.0], [0.0, -math.inf]])
    logits = logits.requires_grad_()
    logprobs, entropy = token_logprobs(logits, torch.tensor([1, 0, 0]), 2.0, lean=lean)
    assert logprobs.tolist() == pytest.approx([math.log(0.75), math.log(0.5), 0], abs=1e-6)
    wide = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert entropy.tolist() == pytest.approx([wide, math.log(2), 0], abs=1e-6)
    assert logprobs.requires_grad and not entropy.requires_grad


def test_lean_logprobs_have_the_same_gradient() -> None:
    drawn = torch.Generator().manual_seed(0)
    logits = torch.randn(1300, 7, generator=drawn)
    ids = torch.randint(7, (1300,), generator=drawn)
    weight = torch.randn(1300, generator=drawn)
    told: list[tuple[list[float], list[float]]] = []
    for lean in (False, True):
        own = logits.clone().requires_grad_()
        logprobs, _ = token_logprobs(own, ids, 0.7, lean=lean)
        (logprobs * weight).sum().backward()  # type: ignore[no-untyped-call]
        assert own.grad is not None
        told.append((logprobs.tolist(), own.grad.flatten().tolist()))
    assert told[0] == told[1]


def test_entropy_is_reported_over_policy_tokens() -> None:
    entropy = torch.tensor([[1.0, 9.0, 3.0]])
    result = loss_of(at([[1.0, 1.0, 1.0]]), [1.0], [[1, 0, 1]], entropy_BT=entropy)
    assert result.entropy == pytest.approx(2)


def test_a_batch_without_policy_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match="no policy token"):
        loss_of(at([[1.0]]), [1.0], [[0]])
