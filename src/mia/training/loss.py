"""The loss of one update (the paper's Eq. 1 and 3), on torch, which the extra `train` brings.

Token-mean, as the published runs have it: every policy token of a batch weighs the same (DAPO: Yu
et al. 2025, https://arxiv.org/abs/2503.14476, Eq. 8), whichever sample it stands in; GRPO's own
mean over each sample first would make the tokens of long samples cheap. Left out: an entropy
bonus, which the published runs set to 0; entropy is reported. KL to a reference is off unless it
is asked for: the published runs have none.

Axes: B samples of a batch, T tokens (padded), V vocabulary, N the policy tokens among B x T.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

Tensor = Any
"""A torch tensor: this module can be imported without torch."""

CLIP = 0.2
DUAL_CLIP = 3.0
_FAR = 20.0
"""Log-ratios are cut here: exp of more overflows, and no gradient is lost, since the clips and
exp(-20) leave none out there."""
_ROWS = 512
"""Of logits that are computed with at once where memory is short."""


class Loss(NamedTuple):
    """What to minimise, and what to look at."""

    value: Tensor
    """The scalar to differentiate."""
    tokens: int
    """Policy tokens it is about; the means below are over them."""
    clipped: float
    """The share of tokens whose ratio was out of bounds and that thereby gave no gradient."""
    off_policy: float
    """KL of the sampling policy from the present one, nats a token (k3)."""
    reference_kl: float
    """KL to the reference, nats a token (k3); 0.0 without one."""
    entropy: float
    """Nats a token; 0.0 where it was not given."""


def token_logprobs(
    logits_KV: Tensor, ids_K: Tensor, temperature: float = 1.0, *, lean: bool = False
) -> tuple[Tensor, Tensor]:
    """The logprob of each token under the logits at its own place (shift them first), [K], and the
    entropy there, [K], without a gradient; nats. `lean` keeps nothing of the size of the logits for
    the gradient but themselves, and computes the rest again, a few rows at a time."""
    torch: Any = import_module("torch")

    def of(rows_RV: Tensor, ids_R: Tensor) -> tuple[Tensor, Tensor]:
        logprobs_RV = torch.log_softmax(rows_RV.float() / temperature, dim=-1)
        with torch.no_grad():
            entropy_R = -(logprobs_RV.exp() * logprobs_RV).nan_to_num(0.0).sum(dim=-1)
        return logprobs_RV.gather(-1, ids_R[:, None])[:, 0], entropy_R

    if not lean:
        return of(logits_KV, ids_K)
    again = import_module("torch.utils.checkpoint").checkpoint
    parts = zip(logits_KV.split(_ROWS), ids_K.split(_ROWS), strict=True)
    told = [again(of, rows_RV, ids_R, use_reentrant=False) for rows_RV, ids_R in parts]
    logprobs, entropies = zip(*told, strict=True)
    return torch.cat(logprobs), torch.cat(entropies)


def grpo_loss(
    logprobs_BT: Tensor,
    sampled_BT: Tensor,
    advantages_B: Tensor,
    mask_BT: Tensor,
    *,
    tokens: int | None = None,
    clip: tuple[float, float] = (CLIP, CLIP),
    dual_clip: float = DUAL_CLIP,
    reference_BT: Tensor | None = None,
    kl_weight: float = 0.0,
    entropy_BT: Tensor | None = None,
) -> Loss:
    """The clipped loss, token-mean, plus `kl_weight` times the KL to the reference.

    A token's loss is max(-A r, -A clip(r, 1 - low, 1 + high)), r being its probability now over
    that when it was sampled (PPO: Schulman et al. 2017, https://arxiv.org/abs/1707.06347, Eq. 7);
    for A < 0 it is at most -A `dual_clip` (Ye et al. 2020, https://arxiv.org/abs/1912.09729, Eq.
    5), so that one unlikely token cannot tear at the weights.

    Only tokens with mask 1 are read: what stands elsewhere has exactly no gradient, whatever its
    value. `tokens` is the number of policy tokens in the whole batch where this is a part of it:
    the parts' losses then add up to the batch's. Raises ValueError when there is no policy token.
    """
    torch: Any = import_module("torch")
    policy_BT = mask_BT.bool()
    now_N, sampled_N = logprobs_BT[policy_BT], sampled_BT[policy_BT].detach()
    count = int(now_N.numel())
    if count == 0:
        raise ValueError("there is no policy token to learn from")
    better_N = advantages_B[:, None].expand_as(policy_BT)[policy_BT].detach()
    apart_N = (now_N - sampled_N).clamp(-_FAR, _FAR)
    ratio_N = apart_N.exp()
    within_N = ratio_N.clamp(1 - clip[0], 1 + clip[1])
    free_N, bound_N = -better_N * ratio_N, -better_N * within_N
    loss_N = torch.maximum(free_N, bound_N)
    most_N = better_N.abs() * dual_clip  # where A >= 0 the loss is negative: out of reach
    clipped_N = (bound_N > free_N) | (loss_N > most_N)
    loss_N = torch.minimum(loss_N, most_N)
    reference_N = torch.zeros_like(now_N)
    if reference_BT is not None:
        reference_N = k3(now_N, reference_BT[policy_BT].detach())
    total = loss_N.sum() + kl_weight * reference_N.sum()
    return Loss(
        value=total / (tokens or count),
        tokens=count,
        clipped=float(clipped_N.float().mean()),
        off_policy=float(k3(sampled_N, now_N.detach()).mean()),
        reference_kl=float(reference_N.detach().mean()),
        entropy=0.0 if entropy_BT is None else float(entropy_BT[policy_BT].mean()),
    )


def k3(logprobs_N: Tensor, others_N: Tensor) -> Tensor:
    """KL of what sampled the tokens (`logprobs_N`) from another (`others_N`), estimated token by
    token as r - 1 - log r with r = p_other / p (Schulman 2020, joschu.net/blog/kl-approx.html):
    never negative, unbiased; [N], nats."""
    apart_N = (others_N - logprobs_N).clamp(-_FAR, _FAR)
    return apart_N.expm1() - apart_N
