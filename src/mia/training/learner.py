"""The local learner: a LoRA adapter over a frozen base, on torch, transformers and peft.

It holds the weights, so it is also what samples: a policy's version goes up with every update, and
what is drawn after it is drawn from the new one. Everything that decides the next update is in its
checkpoint, so a resumed run goes on as if it had not been interrupted.

Conversations that begin alike stand in one tree, so that the prompt of a group is computed once.

Axes: B trees, N nodes of a tree, C columns (where some tree has a node before a policy token), K
policy tokens of all trees, S samples, T policy tokens of a sample.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from mia.errors import InputError, StoreError, TrainingError
from mia.model import Generation
from mia.models.torch_local import Base, libraries
from mia.models.torch_sampler import Request, Sampler
from mia.models.trees import laid_out, shares
from mia.training.adapters import OWN, adapted, check_adapter, forgetful, put, training
from mia.training.batches import Part, Row, parts_of, rows_of
from mia.training.grpo import Groups
from mia.training.loss import Loss, grpo_loss, k3, token_logprobs
from mia.training.presets import Preset
from mia.training.samples import Sample
from mia.types import Noun

_STATE = "learner.pt"
_PARTNER = "partner"


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


class Learner:
    """Trains one adapter."""

    def __init__(self, base: Base, preset: Preset, begins: Path | None = None) -> None:
        """`begins` is an adapter in PEFT's form to go on from. Raises MissingError without the
        libraries, InputError for a folder without an adapter."""
        self._torch, _ = libraries()
        self._base, self._preset = base, preset
        self._torch.manual_seed(preset.seed)
        self._adapted = adapted(base, preset, begins)
        self._layers = forgetful(self._adapted) if preset.recompute else ()
        self._weights = [p for p in self._adapted.parameters() if p.requires_grad]
        if not self._weights:
            raise InputError(f"the adapter in {begins} has nothing to train")
        self._masters = [p.detach().float().clone() for p in self._weights]
        self._began = [p.clone() for p in self._masters]
        self._good = [p.clone() for p in self._masters]
        self._optimiser = self._torch.optim.AdamW(
            self._masters, lr=preset.learning_rate, weight_decay=preset.weight_decay
        )
        self.version = 0
        """Of the policy: updates since the run began."""
        self._most = preset.batch_tokens if shares(self._adapted) else 0
        """Nodes of a tree."""
        self._sampler = Sampler(self._adapted, base.tokenizer.eos_token_id, lambda: self.version)
        self._publish()

    def draw(self, requests: Sequence[Request]) -> list[Generation]:
        """Samples from the policy as it is now."""
        return self._sampler(requests)

    def partner(self, begins: Path | None) -> Callable[[Sequence[Request]], list[Generation]]:
        """What samples, over the same base, with a frozen adapter of somebody else; None for the
        bare base. Raises InputError for a folder without an adapter."""
        sampler, model = self._sampler, self._adapted
        if begins is None:

            def bare(requests: Sequence[Request]) -> list[Generation]:
                with model.disable_adapter():
                    return sampler(requests)

            return bare
        check_adapter(begins)
        model.load_adapter(begins, _PARTNER, autocast_adapter_dtype=False)

        def frozen(requests: Sequence[Request]) -> list[Generation]:
            model.set_adapter(_PARTNER, inference_mode=True)
            try:
                return sampler(requests)
            finally:
                model.set_adapter(OWN)

        return frozen

    def update(self, samples: Sequence[Sample], better: Groups) -> Update:
        """One GRPO update; where no sample has an advantage, nothing changes but the version.

        Raises TrainingError, before any weight has changed, for a loss or a gradient that is no
        number."""
        kept = [(s, a) for s, a in zip(samples, better.advantages, strict=True) if a is not None]
        rows = [row for row in rows_of(kept) if self._preset.kl_weight or not row.cancels]
        tokens = sum(sum(sample.mask) for sample, _ in kept)
        losses: list[Loss] = []
        for part in self._parts(rows):
            losses.append(self._grpo(part, tokens))
            self._descend(losses[-1].value)
        return self._stepped(losses, len(kept), len(rows))

    def warm_up(self, samples: Sequence[Sample]) -> Update:
        """One supervised update towards what the policy tokens of the samples say, token-mean; who
        sampled them, and how likely they were, does not matter."""
        rows = rows_of([(sample, 1.0) for sample in samples])
        tokens = sum(sum(sample.mask) for sample in samples)
        losses: list[Loss] = []
        for part in self._parts(rows):
            logprobs_K, entropy_K = self._logprobs(part)
            of = [at for sample in part.samples for at in sample.tokens]
            of_M = self._torch.tensor(of, device=logprobs_K.device)
            said = -logprobs_K[of_M].sum() / tokens
            self._descend(said)
            losses.append(Loss(said, len(of), 0.0, 0.0, 0.0, float(entropy_K[of_M].mean())))
        return self._stepped(losses, len(samples), len(rows))

    def found_good(self) -> None:
        """Remembers the policy as it is: what to go back to, and to measure drift from."""
        with self._torch.no_grad():
            for good, master in zip(self._good, self._masters, strict=True):
                good.copy_(master)

    def go_back(self) -> None:
        """The policy is again what was last found good. The optimiser forgets where it was going;
        the version stays, since it counts updates."""
        with self._torch.no_grad():
            for master, good in zip(self._masters, self._good, strict=True):
                master.copy_(good)
        self._optimiser.state.clear()
        self._publish()

    def take(self, begins: Path | None) -> None:
        """Goes on from the adapter in a folder, None for the bare base, as the policy that is good.
        The version stays, since it counts updates. Raises InputError, and then nothing changed, for
        a folder without an adapter or with one of another form."""
        put(self._adapted, begins)
        with self._torch.no_grad():
            for master, weight in zip(self._masters, self._weights, strict=True):
                master.copy_(weight)
        self.found_good()
        self._optimiser.state.clear()
        self._publish()

    def drift(self, samples: Sequence[Sample]) -> float:
        """The KL of the policy from the one last found good, nats a token, estimated on what was
        sampled (k3)."""
        apart, count = 0.0, 0
        for part in self._parts(rows_of([(sample, 1.0) for sample in samples])):
            with self._torch.no_grad():
                now_K, _ = self._logprobs(part)
                with self._with(self._good):
                    good_K, _ = self._logprobs(part)
                apart += float(k3(now_K, good_K).sum())
            count += len(part.tokens)
        return apart / count if count else 0.0

    def _parts(self, rows: Sequence[Row]) -> Iterator[Part]:
        return parts_of(rows, self._preset.batch_tokens, self._most)

    def _grpo(self, part: Part, tokens: int) -> Loss:
        preset = self._preset
        reference_K = None
        if preset.kl_weight:  # first, since weights must not change under a gradient
            with self._torch.no_grad(), self._with(self._began):
                reference_K, _ = self._logprobs(part)
        logprobs_K, entropy_K = self._logprobs(part)
        longest = max(len(sample.tokens) for sample in part.samples)

        def even(rows: Iterable[Sequence[float]]) -> Any:
            return logprobs_K.new_tensor([[*row, *[0] * (longest - len(row))] for row in rows])

        of_ST = even(sample.tokens for sample in part.samples).long()
        return grpo_loss(
            logprobs_K[of_ST],
            even(sample.logprobs for sample in part.samples),
            logprobs_K.new_tensor([sample.advantage for sample in part.samples]),
            even([1] * len(sample.tokens) for sample in part.samples),
            tokens=tokens,
            clip=(preset.clip_low, preset.clip_high),
            dual_clip=preset.dual_clip,
            reference_BT=None if reference_K is None else reference_K[of_ST],
            kl_weight=preset.kl_weight,
            entropy_BT=entropy_K[of_ST],
        )

    def _logprobs(self, part: Part) -> tuple[Any, Any]:
        """Logprobs and entropies of the part's tokens, [K] each. The output layer is computed only
        where some tree has one of them next."""
        batch = laid_out(part.trees, self._adapted)
        longest = batch.ids_BN.shape[1]
        where = [token.before + longest - len(part.trees[token.tree]) for token in part.tokens]
        columns = sorted(set(where))
        with training(self._layers):
            logits_BCV = self._adapted(
                input_ids=batch.ids_BN,
                position_ids=batch.at_BN,
                attention_mask=batch.mask,
                use_cache=False,
                logits_to_keep=batch.ids_BN.new_tensor(columns),
            ).logits
        place = {at: column for column, at in enumerate(columns)}
        of_K, at_K, ids_K = batch.ids_BN.new_tensor(
            [
                [token.tree for token in part.tokens],
                [place[at] for at in where],
                [token.id for token in part.tokens],
            ]
        )
        return token_logprobs(
            logits_BCV[of_K, at_K], ids_K, self._preset.temperature, lean=self._preset.recompute
        )

    def _descend(self, loss: Any) -> None:
        """Adds a part's gradient to that of the parts before it, in 32 bits: in 16 a sum of many
        small ones stands still."""
        loss.backward()
        for master, weight in zip(self._masters, self._weights, strict=True):
            if weight.grad is not None:
                part = weight.grad.float()
                master.grad = part if master.grad is None else master.grad + part
                weight.grad = None

    def _stepped(self, losses: Sequence[Loss], samples: int, rows: int) -> Update:
        """Takes the step that the gradients ask for, and tells of it."""
        torch = self._torch
        self.version += 1
        tokens = sum(part.tokens for part in losses)
        if not losses:
            return Update(version=self.version, samples=0, rows=0, tokens=0)
        loss = math.fsum(float(part.value.detach()) for part in losses)
        gradient = float(torch.nn.utils.clip_grad_norm_(self._masters, self._preset.gradient_norm))
        if not (math.isfinite(loss) and math.isfinite(gradient)):
            self.version -= 1
            self._optimiser.zero_grad()
            raise TrainingError(
                f"the loss ({loss}) or its gradient ({gradient}) is no number at update"
                f" {self.version + 1}; nothing was changed"
            )
        warm = min(1.0, self.version / self._preset.warm_steps) if self._preset.warm_steps else 1.0
        for group in self._optimiser.param_groups:
            group["lr"] = self._preset.learning_rate * warm
        self._optimiser.step()
        self._optimiser.zero_grad()
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
    def _with(self, others: Sequence[Any]) -> Generator[None]:
        """The policy with other weights."""
        with self._torch.no_grad():
            for other, weight in zip(others, self._weights, strict=True):
                weight.copy_(other)
        try:
            yield
        finally:
            self._publish()

    def write_adapter(self, folder: Path) -> None:
        """The adapter in PEFT's form."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a base that has no card
            self._adapted.save_pretrained(folder, selected_adapters=[OWN])

    def save(self, folder: Path) -> None:
        """A checkpoint: whole or not at all. Raises StoreError."""
        state = {
            "version": self.version,
            "masters": self._masters,
            "began": self._began,
            "good": self._good,
            "optimiser": self._optimiser.state_dict(),
            "base": self._base.origin.sha256,
        }
        half = folder / f"{_STATE}.half"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with half.open("wb") as file:
                self._torch.save(state, file)
                file.flush()
                os.fsync(file.fileno())
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
            every = {"masters": self._masters, "began": self._began, "good": self._good}
            for name, own in every.items():
                for master, saved in zip(own, state[name], strict=True):
                    master.copy_(saved)
        self._optimiser.load_state_dict(state["optimiser"])
        self._publish()
        return True
