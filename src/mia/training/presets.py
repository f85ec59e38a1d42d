"""Every number that decides how a policy is trained, by name.

The published runs' are REFERENCE §6's; where paper and published code differ, the preset says which
it has. Ours are for one CPU. Any field can be set beside a preset.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec.structs import replace

from mia.types import Noun

Supervision = Literal["gold", "judge"]


_POSITIVE = (
    "questions", "epochs", "learning_rate", "gradient_norm", "temperature", "max_prompt",
    "max_response", "rank", "alpha", "batch_tokens", "save_every",
)  # fmt: skip


class Preset(Noun, frozen=True, forbid_unknown_fields=True):
    """How to train. Raises ValueError for numbers that no run could have."""

    questions: int = 128
    """Groups of one step."""
    attempts: int = 8
    """Episodes of a group."""
    epochs: float = 1.0
    """Passes over the exercises; `steps` ends a run earlier."""
    steps: int | None = None
    learning_rate: float = 1e-6
    warm_steps: int = 0
    """Steps over which the learning rate rises from nothing."""
    weight_decay: float = 0.01
    gradient_norm: float = 1.0
    """Longer gradients are cut to it."""
    clip_low: float = 0.2
    clip_high: float = 0.2
    dual_clip: float = 3.0
    kl_weight: float = 0.0
    """Of the KL to the policy that the run began with."""
    temperature: float = 1.0
    max_prompt: int = 16384
    """Tokens."""
    max_response: int = 16384
    """Tokens of one reply."""
    rank: int = 32
    """Of the LoRA adapter."""
    alpha: int = 64
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    """Of the base; what the optimiser keeps has 32 bits."""
    batch_tokens: int = 65536
    """Tokens that are learned from at once; gradients add up over a step."""
    recompute: bool = True
    """Whether what lies between layers is computed again when it is needed rather than kept: about
    a third more work, for a fraction of the memory."""
    supervision: Supervision = "gold"
    """Whether the planner's reward has a gold answer behind it, or a judge without one."""
    seed: int = 0
    check_every: int = 20
    """Steps between measurements on held-out exercises; 0 for none."""
    save_every: int = 10
    """Steps between checkpoints."""

    def __post_init__(self) -> None:
        wrong = [name for name in _POSITIVE if getattr(self, name) <= 0]
        if wrong or self.attempts < 2 or (self.steps is not None and self.steps < 0):
            what = ", ".join(wrong) or ("attempts" if self.attempts < 2 else "steps")
            raise ValueError(f"no run can have this: {what}")


_PAPER = Preset(questions=128, attempts=8, learning_rate=1e-6, save_every=10, check_every=20)

PRESETS: Mapping[str, Preset] = {
    "executor": replace(_PAPER, epochs=8.0, max_prompt=16384, max_response=16384),
    "planner": replace(_PAPER, epochs=5.0, max_prompt=24576, max_response=8192),
    "ttrl": replace(
        _PAPER, questions=32, attempts=4, max_prompt=24576, max_response=8192, save_every=50,
        check_every=0,
    ),
    "ttrl-unsupervised": replace(
        _PAPER, questions=8, attempts=4, epochs=3.0, learning_rate=2e-7, max_prompt=24576,
        max_response=8192, save_every=500, check_every=0, supervision="judge",
    ),
    "streaming": replace(
        _PAPER, questions=32, attempts=4, max_prompt=24576, max_response=8192, check_every=0,
    ),
    "embedded-planner": Preset(
        questions=8, attempts=8, learning_rate=2e-5, weight_decay=0.0, warm_steps=4,
        max_prompt=700, max_response=220, rank=8, alpha=16, batch_tokens=1000, kl_weight=0.0,
        recompute=False, save_every=5, check_every=20,
    ),
    "embedded-executor": Preset(
        questions=8, attempts=8, learning_rate=2e-5, weight_decay=0.0, warm_steps=4,
        max_prompt=700, max_response=32, rank=8, alpha=16, batch_tokens=1000, kl_weight=0.0,
        recompute=False, save_every=5, check_every=20,
    ),
    "embedded-online": Preset(
        questions=8, attempts=4, learning_rate=2e-5, weight_decay=0.0, warm_steps=2,
        temperature=1.2, max_prompt=700, max_response=220, rank=8, alpha=16, batch_tokens=1000,
        recompute=False, check_every=0,
    ),
    "tiny": Preset(
        questions=8, attempts=8, learning_rate=6e-4, warm_steps=10, weight_decay=0.0, epochs=24.0,
        kl_weight=0.1, max_prompt=256, max_response=16, rank=16, alpha=32, dtype="float32",
        batch_tokens=16384, recompute=False, save_every=10, check_every=48,
    ),
}  # fmt: skip
"""Of the published runs: `executor` (stage 1), `planner` (stage 2; the code's 5 epochs, the paper
says 4), `ttrl`, `ttrl-unsupervised` (the code's 2e-7, the paper says 1e-6), `streaming`. They
trained all weights of 7 and 8 billion; ours are adapters, so rank and alpha are our choice. Ours:
`embedded-planner`, `embedded-executor` and `embedded-online` (for `mia learn`) for the embedded
model on a CPU, and `tiny`, which runs in a minute and needs nothing."""
