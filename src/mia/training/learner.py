"""The local learner: a LoRA adapter over a frozen base, on torch, transformers and peft.

It holds the weights, so it is also what samples: a policy's version goes up with every update, and
what is drawn after it is drawn from the new one. Everything that decides the next update is in its
checkpoint, so a resumed run goes on as if it had not been interrupted.

Axes: B rows (different conversations), C columns (places where some row has a policy token), S
samples.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple

from mia.errors import InputError, MissingError, StoreError, TrainingError, adding
from mia.model import Generation
from mia.models.torch_local import Base, Request, Sampler, libraries
from mia.training.grpo import Groups
from mia.training.loss import Loss, grpo_loss, token_logprobs
from mia.training.presets import Preset
from mia.training.samples import Sample
from mia.types import Noun

_STATE = "learner.pt"
_OWN, _PARTNER = "default", "partner"
_NOTHING = 1e-6
"""What is left of advantages that cancel."""
_ADAPTER = "adapter_model.safetensors"


class Update(Noun, frozen=True, omit_defaults=False):
    """What one update did. Means are over the policy tokens learned from."""

    version: int
    """Of the policy after it."""
    samples: int
    """Learned from; those of groups that teach nothing are not."""
    rows: int
    """Different from each other, and with something to teach."""
    tokens: int
    loss: float = 0.0
    gradient: float = 0.0
    """Norm of the gradient, before it is cut."""
    clipped: float = 0.0
    off_policy: float = 0.0
    """KL of what sampled from what learns, nats a token: rounding, when nothing is stale."""
    reference_kl: float = 0.0
    entropy: float = 0.0


class _Row(NamedTuple):
    """One conversation, and the samples that are this one."""

    ids: tuple[int, ...]
    mask: tuple[int, ...]
    """For each id: 1 where the policy sampled it."""
    members: list[tuple[Sample, float]]


class Learner:
    """Trains one adapter."""

    def __init__(self, base: Base, preset: Preset, begins: Path | None = None) -> None:
        """`begins` is an adapter in PEFT's form to go on from. Raises MissingError without the
        libraries, InputError for a folder without an adapter."""
        self._torch, _ = libraries()
        self._base, self._preset = base, preset
        self._torch.manual_seed(preset.seed)
        self._adapted = _adapted(base, preset, begins)
        self._weights = [p for p in self._adapted.parameters() if p.requires_grad]
        if not self._weights:
            raise InputError(f"the adapter in {begins} has nothing to train")
        self._masters = [p.detach().float().clone() for p in self._weights]
        self._began = [p.clone() for p in self._masters]
        self._optimiser = self._torch.optim.AdamW(
            self._masters, lr=preset.learning_rate, weight_decay=preset.weight_decay
        )
        self.version = 0
        """Of the policy: updates since the run began."""
        self._sampler = Sampler(self._adapted, base.tokenizer.eos_token_id, lambda: self.version)
        self._publish()

    def draw(self, requests: Sequence[Request]) -> list[Generation]:
        """Samples from the policy as it is now."""
        return self._sampler(requests)

    def partner(self, begins: Path | None) -> Callable[[Sequence[Request]], list[Generation]]:
        """What samples, over the same base, with a frozen adapter of somebody else; None for the
        bare base. Raises InputError for a folder without an adapter."""
        sampler, adapted = self._sampler, self._adapted
        if begins is None:

            def bare(requests: Sequence[Request]) -> list[Generation]:
                with adapted.disable_adapter():
                    return sampler(requests)

            return bare
        _check_adapter(begins)
        adapted.load_adapter(begins, _PARTNER, autocast_adapter_dtype=False)

        def frozen(requests: Sequence[Request]) -> list[Generation]:
            adapted.set_adapter(_PARTNER, inference_mode=True)
            try:
                return sampler(requests)
            finally:
                adapted.set_adapter(_OWN)

        return frozen

    def update(self, samples: Sequence[Sample], better: Groups) -> Update:
        """One GRPO update; where no sample has an advantage, nothing changes but the version.

        Raises TrainingError, before any weight has changed, for a loss or a gradient that is no
        number."""
        kept = [(s, a) for s, a in zip(samples, better.advantages, strict=True) if a is not None]
        rows = [row for row in _rows(kept) if self._preset.kl_weight or not _cancels(row)]
        tokens = sum(sum(sample.mask) for sample, _ in kept)
        losses: list[Loss] = []
        for part in _parts(rows, self._preset.batch_tokens):
            losses.append(self._grpo(part, tokens))
            losses[-1].value.backward()
        return self._stepped(losses, len(kept), len(rows))

    def warm_up(self, samples: Sequence[Sample]) -> Update:
        """One supervised update towards what the policy tokens of the samples say, token-mean; who
        sampled them, and how likely they were, does not matter."""
        rows = _rows([(sample, 1.0) for sample in samples])
        tokens = sum(sum(sample.mask) for sample in samples)
        losses: list[Loss] = []
        for part in _parts(rows, self._preset.batch_tokens):
            logprobs_BC, entropy_BC, _, mask_BC = self._logprobs(part)
            often_B1 = logprobs_BC.new_tensor([[len(row.members)] for row in part])
            said = -(logprobs_BC * often_B1)[mask_BC].sum() / tokens
            said.backward()
            entropy = float(entropy_BC[mask_BC].mean())
            losses.append(Loss(said, int(mask_BC.sum()), 0.0, 0.0, 0.0, entropy))
        return self._stepped(losses, len(samples), len(rows))

    def _grpo(self, rows: Sequence[_Row], tokens: int) -> Loss:
        torch, preset = self._torch, self._preset
        reference_BC = None
        if preset.kl_weight:  # first, since weights must not change under a gradient
            with torch.no_grad(), self._as_it_began():
                reference_BC = self._logprobs(rows)[0]
        logprobs_BC, entropy_BC, columns, mask_BC = self._logprobs(rows)
        members = [(b, *member) for b, row in enumerate(rows) for member in row.members]
        of_S = torch.tensor([b for b, _, _ in members], device=logprobs_BC.device)
        sampled_SC = torch.tensor(
            [[_sampled(sample, column) for column in columns] for _, sample, _ in members],
            device=logprobs_BC.device,
        )
        return grpo_loss(
            logprobs_BC[of_S],
            sampled_SC,
            torch.tensor([a for _, _, a in members], device=logprobs_BC.device),
            mask_BC[of_S],
            tokens=tokens,
            clip=(preset.clip_low, preset.clip_high),
            dual_clip=preset.dual_clip,
            reference_BT=None if reference_BC is None else reference_BC[of_S],
            kl_weight=preset.kl_weight,
            entropy_BT=entropy_BC[of_S],
        )

    def _logprobs(self, rows: Sequence[_Row]) -> tuple[Any, Any, list[int], Any]:
        """Logprobs and entropies where any row has a policy token, the places of those tokens, and
        which rows have one there. The output layer is computed at these places only."""
        torch, device = self._torch, self._adapted.device
        columns = sorted({at for row in rows for at, bit in enumerate(row.mask) if bit})
        longest = max(len(row.ids) for row in rows)
        ids_BT = torch.zeros((len(rows), longest), dtype=torch.long)
        mask_BT = torch.zeros((len(rows), longest), dtype=torch.bool)
        for b, row in enumerate(rows):
            ids_BT[b, : len(row.ids)] = torch.tensor(row.ids)
            mask_BT[b, : len(row.ids)] = torch.tensor(row.mask, dtype=torch.bool)
        ids_BT, at_C = ids_BT.to(device), torch.tensor(columns, device=device)
        # what pads stands to the right, where a causal model does not look
        logits_BCV = self._adapted(
            input_ids=ids_BT, use_cache=False, logits_to_keep=at_C - 1
        ).logits
        warm_BCV = logits_BCV.float() / self._preset.temperature
        logprobs_BC, entropy_BC = token_logprobs(warm_BCV, ids_BT[:, at_C])
        return logprobs_BC, entropy_BC, columns, mask_BT.to(device)[:, at_C]

    def _stepped(self, losses: Sequence[Loss], samples: int, rows: int) -> Update:
        """Takes the step that the gradients ask for, and tells of it."""
        torch = self._torch
        self.version += 1
        tokens = sum(part.tokens for part in losses)
        if not losses:
            return Update(version=self.version, samples=0, rows=0, tokens=0)
        loss = math.fsum(float(part.value.detach()) for part in losses)
        for master, weight in zip(self._masters, self._weights, strict=True):
            master.grad = None if weight.grad is None else weight.grad.float()
            weight.grad = None
        gradient = float(torch.nn.utils.clip_grad_norm_(self._masters, self._preset.gradient_norm))
        if not (math.isfinite(loss) and math.isfinite(gradient)):
            self.version -= 1
            raise TrainingError(
                f"the loss ({loss}) or its gradient ({gradient}) is no number at update"
                f" {self.version + 1}; nothing was changed"
            )
        warm = min(1.0, self.version / self._preset.warm_steps) if self._preset.warm_steps else 1.0
        for group in self._optimiser.param_groups:
            group["lr"] = self._preset.learning_rate * warm
        self._optimiser.step()
        self._publish()

        def mean(name: str) -> float:
            return math.fsum(getattr(part, name) * part.tokens for part in losses) / tokens

        return Update(
            version=self.version,
            samples=samples,
            rows=rows,
            tokens=tokens,
            loss=loss,
            gradient=gradient,
            clipped=mean("clipped"),
            off_policy=mean("off_policy"),
            reference_kl=mean("reference_kl"),
            entropy=mean("entropy"),
        )

    def _publish(self) -> None:
        """From the optimiser's copies to the weights that compute. Small updates would be rounded
        away in 16 bits."""
        with self._torch.no_grad():
            for master, weight in zip(self._masters, self._weights, strict=True):
                weight.copy_(master)

    @contextmanager
    def _as_it_began(self) -> Generator[None]:
        """The policy with the weights that the run began with."""
        with self._torch.no_grad():
            for began, weight in zip(self._began, self._weights, strict=True):
                weight.copy_(began)
        try:
            yield
        finally:
            self._publish()

    def write_adapter(self, folder: Path) -> None:
        """The adapter in PEFT's form."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a base that has no card
            self._adapted.save_pretrained(folder, selected_adapters=[_OWN])

    def save(self, folder: Path) -> None:
        """A checkpoint: whole or not at all. Raises StoreError."""
        state = {
            "version": self.version,
            "masters": self._masters,
            "began": self._began,
            "optimiser": self._optimiser.state_dict(),
            "base": self._base.origin.sha256,
        }
        half = folder / f"{_STATE}.half"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._torch.save(state, half)
            half.replace(folder / _STATE)
        except (OSError, RuntimeError) as error:  # torch says RuntimeError for a full disk
            raise StoreError(f"no checkpoint could be written to {folder}: {error}") from error

    def restore(self, folder: Path) -> bool:
        """Goes on from the checkpoint in a folder; whether there was one. Raises InputError for one
        of another base, StoreError for one that is damaged."""
        if not (folder / _STATE).is_file():
            return False
        try:
            state = self._torch.load(folder / _STATE, weights_only=True)
        except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
            raise StoreError(
                f"the checkpoint {folder / _STATE} cannot be read ({error}); remove it to begin"
                " anew"
            ) from error
        if state["base"] != self._base.origin.sha256:
            raise InputError(f"the checkpoint in {folder} is of another base; take another --name")
        self.version = state["version"]
        with self._torch.no_grad():
            for name, own in (("masters", self._masters), ("began", self._began)):
                for master, saved in zip(own, state[name], strict=True):
                    master.copy_(saved)
        self._optimiser.load_state_dict(state["optimiser"])
        self._publish()
        return True


def _adapted(base: Base, preset: Preset, begins: Path | None) -> Any:
    """The base with an adapter over it."""
    try:
        peft = import_module("peft")
    except ImportError as error:
        raise MissingError(f"training needs peft; run: {adding('train')}") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # between peft and transformers
        if begins is None:
            lora = peft.LoraConfig(
                r=preset.rank, lora_alpha=preset.alpha, target_modules="all-linear"
            )
            return peft.get_peft_model(base.model, lora, autocast_adapter_dtype=False).eval()
        _check_adapter(begins)
        return peft.PeftModel.from_pretrained(
            base.model, begins, is_trainable=True, autocast_adapter_dtype=False
        ).eval()


def _check_adapter(folder: Path) -> None:
    if not (folder / _ADAPTER).is_file():
        raise InputError(f"there is no adapter in {folder}")


def _rows(kept: Sequence[tuple[Sample, float]]) -> list[_Row]:
    """Samples by what they say, in the order of their first: what is the same to the letter, as
    attempts at one question often are, is computed once."""
    rows: dict[tuple[tuple[int, ...], tuple[int, ...]], _Row] = {}
    for sample, advantage in kept:
        ids = sample.prompt_ids + sample.response_ids
        mask = (0,) * len(sample.prompt_ids) + sample.mask
        row = rows.setdefault((ids, mask), _Row(ids, mask, []))
        row.members.append((sample, advantage))
    return list(rows.values())


def _cancels(row: _Row) -> bool:
    """Whether the samples that are this row pull it up as much as down: what all attempts at a
    question have in common teaches nothing."""
    return abs(math.fsum(advantage for _, advantage in row.members)) < _NOTHING


def _parts(rows: Sequence[_Row], tokens: int) -> Iterator[list[_Row]]:
    """Rows of about the same length, so many that with their padding they have at most so many
    tokens; a row that is longer by itself is a part of its own."""
    part: list[_Row] = []
    for row in sorted(rows, key=lambda row: len(row.ids)):
        if part and len(row.ids) * (len(part) + 1) > tokens:
            yield part
            part = []
        part.append(row)
    if part:
        yield part


def _sampled(sample: Sample, at: int) -> float:
    """The logprob of the token at a place of the conversation when it was sampled; 0.0 where the
    sample has none there."""
    place = at - len(sample.prompt_ids)
    return sample.logprobs[place] if 0 <= place < len(sample.logprobs) else 0.0
