"""A language model in this process, on torch: its base, its chat, and sampling in batches with
exact logprobs. The extra `train` brings what it needs.

The base may be any causal model in Hugging Face's form, or a GGUF of one, which is turned into that
form once and kept. Axes: B rows of a batch, T tokens, V vocabulary.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from mia.errors import ConfigError, InputError, MissingError, ModelError, adding
from mia.model import Generation, Message, Sampling
from mia.types import Noun

_ORIGIN = "mia_base.json"
_WEIGHTS = ("*.safetensors", "*.bin")
_PROBE = (Message(role="user", content="a"), Message(role="assistant", content="b"))
_BATCH = 64
"""Rows that are sampled at once: beyond it a CPU gains nothing and memory grows."""


class Origin(Noun, frozen=True):
    """What a base in Hugging Face's form was made of."""

    name: str
    sha256: str
    """Of the weights as they came."""


@dataclass(frozen=True)
class Base:
    """A frozen model with its tokenizer."""

    origin: Origin
    folder: Path
    model: Any
    tokenizer: Any


class Request(NamedTuple):
    """What one asks of a sampler."""

    prompt_ids: tuple[int, ...]
    sampling: Sampling
    seed: int


def libraries() -> tuple[Any, Any]:
    """torch and transformers. Raises MissingError, which says how to get them."""
    try:
        return import_module("torch"), import_module("transformers")
    except ImportError as error:
        raise MissingError(
            f"training needs torch and transformers; run: {adding('train')}"
        ) from error


def device_of(wanted: str = "auto") -> str:
    """`cuda`, `mps` or `cpu`: what is there, unless somebody wants another. Raises ConfigError
    where that is not there."""
    torch, _ = libraries()
    here = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if wanted == "auto":
        return next(name for name, there in here.items() if there)
    if not here.get(wanted.split(":")[0], False):
        raise ConfigError(f"there is no device {wanted!r} here; there is {device_of()}")
    return wanted


def open_base(folder: Path, *, device: str, dtype: str) -> Base:
    """The model in a folder of Hugging Face's form. Raises InputError when there is none."""
    torch, transformers = libraries()
    if not (folder / "config.json").is_file():
        raise InputError(f"no model in Hugging Face's form at {folder}")
    transformers.utils.logging.disable_progress_bar()
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=getattr(torch, dtype), local_files_only=True
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return Base(origin_of(folder), folder, model.to(device).eval(), tokenizer)


def origin_of(folder: Path) -> Origin:
    """What the base in a folder is, by its weights, which are read through."""
    noted = folder / _ORIGIN
    if noted.is_file():
        return msgspec.json.decode(noted.read_bytes(), type=Origin)
    digest = hashlib.sha256()
    for pattern in _WEIGHTS:
        for file in sorted(folder.glob(pattern)):
            with file.open("rb") as weights:
                while block := weights.read(1 << 20):
                    digest.update(block)
    return Origin(name=folder.name, sha256=digest.hexdigest())


def from_gguf(gguf: Path, origin: Origin, folder: Path) -> Path:
    """The folder with a GGUF's model in Hugging Face's form, 32 bits a weight. It is made when it
    is not there, which takes a minute. Raises ModelError when transformers cannot read it."""
    if (folder / _ORIGIN).is_file():
        return folder
    torch, transformers = libraries()
    transformers.utils.logging.disable_progress_bar()
    half = folder.with_name(f"{folder.name}.half")
    shutil.rmtree(half, ignore_errors=True)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            gguf.parent,
            gguf_file=gguf.name,
            dtype=torch.float32,
            quantization_config=transformers.GgufConfig(gguf_file=gguf.name, dequantize=True),
        )
    except (OSError, ValueError, LookupError, struct.error, ImportError) as error:
        raise ModelError(f"{gguf} cannot be turned into a model to train: {error}") from error
    # transformers refuses to save what it knows to have come from a quantised file
    model.hf_quantizer, model.is_quantized, model.quantization_method = None, False, None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    tokenizer.save_pretrained(half)
    model.save_pretrained(half)
    (half / _ORIGIN).write_bytes(msgspec.json.encode(origin))
    half.replace(folder)
    return folder


class TokenizerChat:
    """A Chat by the template that a tokenizer of Hugging Face's brings."""

    def __init__(self, tokenizer: Any, context: int) -> None:
        """Raises ModelError for a tokenizer without a template, or with one in which a
        conversation does not begin with its own beginning."""
        if not getattr(tokenizer, "chat_template", None):
            raise ModelError("this model has no chat template: use one that follows instructions")
        self.context = context
        self._tokenizer = tokenizer
        self.end: int = tokenizer.eos_token_id
        # a tokenizer has control tokens beside those that it has a name for
        added = {str(one) for one in tokenizer.added_tokens_decoder.values() if one.special}
        specials = sorted({*tokenizer.all_special_tokens, *added}, key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, specials)))
        self._before = self._rendered(_PROBE, opens=False)
        self._cut = self._before.rfind(tokenizer.eos_token) + len(tokenizer.eos_token)
        if self._cut < len(tokenizer.eos_token) or not self._after(_PROBE[:1]):
            raise ModelError(
                "the chat template does not end an assistant's turn with its end token"
            )

    def opening(self, messages: Sequence[Message]) -> list[int]:
        """A whole conversation, up to where the assistant begins to speak."""
        return self.ids(self._rendered(messages, opens=True))

    def further(self, messages: Sequence[Message]) -> list[int]:
        """What follows the token that ended the assistant's turn."""
        return self.ids(self._after(messages))

    def text(self, ids: Sequence[int]) -> str:
        """What tokens say, control tokens left out."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=True)

    def ids(self, text: str) -> list[int]:
        """The tokens of a text."""
        return self._tokenizer(text, add_special_tokens=False).input_ids

    def _after(self, messages: Sequence[Message]) -> str:
        whole = self._rendered((*_PROBE, *messages), opens=True)
        if whole[: self._cut] != self._before[: self._cut]:
            raise ModelError(
                "this chat template changes what was said before; it cannot be trained"
            )
        return whole[self._cut :]

    def _rendered(self, messages: Sequence[Message], *, opens: bool) -> str:
        said = [{"role": message.role, "content": self._plain(message)} for message in messages]
        return self._tokenizer.apply_chat_template(
            said, tokenize=False, add_generation_prompt=opens
        )

    def _plain(self, message: Message) -> str:
        """A message in which control tokens are broken up: a document cannot open a turn."""
        return self._special.sub(lambda found: f"{found[0][0]}¦{found[0][2:]}", message.content)


class Sampler:
    """Draws from a causal model, rows of a batch side by side.

    A row's draws depend on its seed alone, and on the others only as far as a batch's shape moves
    the last bits of its sums. Equal prompts are read once.
    """

    def __init__(self, model: Any, end: int, version: Callable[[], int]) -> None:
        """`version` is asked for at each batch."""
        self._model = model
        self._end = end
        self._version = version

    def __call__(self, requests: Sequence[Request]) -> list[Generation]:
        """One generation a request, in their order."""
        torch, _ = libraries()
        drawn: list[Generation] = []
        with torch.inference_mode():
            for begin in range(0, len(requests), _BATCH):
                drawn += self._batch(torch, requests[begin : begin + _BATCH])
        return drawn

    def _batch(self, torch: Any, requests: Sequence[Request]) -> list[Generation]:
        rows = [_Row(request) for request in requests]
        cache, logits_BV, mask_BT, at_B = self._read(torch, [r.prompt_ids for r in requests])
        alive = list(rows)
        while True:
            ids_B, logprobs_B = _draw(torch, logits_BV, alive)
            for row, token, logprob in zip(alive, ids_B.tolist(), logprobs_B.tolist(), strict=True):
                row.take(token, logprob, self._end)
            going = [i for i, row in enumerate(alive) if not row.done]
            if not going:
                break
            if len(going) < len(alive):
                kept = torch.tensor(going, device=mask_BT.device)
                cache.batch_select_indices(kept)
                mask_BT, at_B, ids_B = mask_BT[kept], at_B[kept], ids_B[kept]
                alive = [alive[i] for i in going]
            mask_BT = torch.cat([mask_BT, mask_BT.new_ones(len(alive), 1)], dim=1)
            out = self._model(
                input_ids=ids_B[:, None], attention_mask=mask_BT, position_ids=at_B[:, None],
                past_key_values=cache, use_cache=True,
            )  # fmt: skip
            cache, logits_BV, at_B = out.past_key_values, out.logits[:, -1], at_B + 1
        version = self._version()
        return [row.generation(version) for row in rows]

    def _read(self, torch: Any, prompts: list[tuple[int, ...]]) -> tuple[Any, Any, Any, Any]:
        """Cache, logits of the first token, mask and next position, a row for each prompt."""
        unique = list(dict.fromkeys(prompts))
        longest, device = max(map(len, unique)), self._model.device
        ids_BT = torch.zeros((len(unique), longest), dtype=torch.long)
        mask_BT = torch.zeros((len(unique), longest), dtype=torch.long)
        for row, prompt in enumerate(unique):
            ids_BT[row, longest - len(prompt) :] = torch.tensor(prompt)
            mask_BT[row, longest - len(prompt) :] = 1
        ids_BT, mask_BT = ids_BT.to(device), mask_BT.to(device)
        at_BT = (mask_BT.cumsum(dim=1) - 1).clamp(min=0)
        out = self._model(
            input_ids=ids_BT, attention_mask=mask_BT, position_ids=at_BT, use_cache=True,
            logits_to_keep=1,
        )  # fmt: skip
        index = {prompt: row for row, prompt in enumerate(unique)}
        rows = torch.tensor([index[prompt] for prompt in prompts], device=device)
        out.past_key_values.batch_select_indices(rows)
        return (
            out.past_key_values,
            out.logits[:, -1][rows],
            mask_BT[rows],
            at_BT[:, -1][rows] + 1,
        )


class _Row:
    """One request while it is answered."""

    def __init__(self, request: Request) -> None:
        self.temperature = request.sampling.temperature
        self.limit = max(1, request.sampling.max_tokens)
        self.done = False
        self._ids: list[int] = []
        self._logprobs: list[float] = []
        self._ended = False
        self._chance = np.random.default_rng(request.seed % 2**63)

    def chance(self) -> float:
        """The next of this row's numbers, 0 to 1."""
        return float(self._chance.random())

    def take(self, token: int, logprob: float, end: int) -> None:
        self._ids.append(token)
        self._logprobs.append(logprob)
        self._ended = token == end
        self.done = self._ended or len(self._ids) >= self.limit

    def generation(self, version: int) -> Generation:
        return Generation(
            ids=tuple(self._ids),
            logprobs=tuple(self._logprobs),
            version=version,
            truncated=not self._ended,
        )


def _draw(torch: Any, logits_BV: Any, rows: Sequence[_Row]) -> tuple[Any, Any]:
    """A token a row and its logprob: the likeliest at temperature 0, else by the inverse of the
    cumulated distribution at the row's next number."""
    device = logits_BV.device
    warmth_B1 = torch.tensor([[row.temperature or 1.0] for row in rows], device=device)
    logprobs_BV = torch.log_softmax(logits_BV.float() / warmth_B1, dim=-1)
    sums_BV = logprobs_BV.double().exp().cumsum(dim=-1)
    chance_B1 = torch.tensor([[row.chance()] for row in rows], dtype=torch.double, device=device)
    drawn_B = torch.searchsorted(sums_BV, chance_B1 * sums_BV[:, -1:], right=True)[:, 0]
    drawn_B = drawn_B.clamp(max=logits_BV.shape[-1] - 1)
    greedy_B = torch.tensor([row.temperature <= 0 for row in rows], device=device)
    ids_B = torch.where(greedy_B, logits_BV.argmax(dim=-1), drawn_B)
    return ids_B, logprobs_BV.gather(-1, ids_B[:, None])[:, 0]
