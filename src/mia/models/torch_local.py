"""A language model in this process, on torch: its base and its chat. The extra `train` brings what
it needs.

The base may be any causal model in Hugging Face's form, or a GGUF of one, which is turned into that
form once and kept.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

import msgspec

from mia.errors import ConfigError, InputError, MissingError, ModelError, adding
from mia.locks import alone
from mia.model import Message
from mia.types import Noun

_ORIGIN = "mia_base.json"
_WEIGHTS = ("*.safetensors", "*.bin")
_SPOKEN, _HEARD = "spoken", "heard"
_PROBE = (Message(role="user", content="a"), Message(role="assistant", content=_SPOKEN))
_FOLLOWING = tuple(
    Message(role="user", content=content)
    for content in (_HEARD, f"<tool_response>\n{_HEARD}\n</tool_response>")
)
"""What may be said after an assistant's turn. Where it is a tool's output, some templates count the
turn as still under way, and show it with its thoughts."""
_CHANGES = "this chat template changes what was said before; it cannot be trained"


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


def libraries() -> tuple[Any, Any]:
    """torch and transformers, which draws no bars of its own. Raises MissingError, which says how
    to get them."""
    try:
        torch, transformers = import_module("torch"), import_module("transformers")
    except ImportError as error:
        raise MissingError(
            f"training needs torch and transformers; run: {adding('train')}"
        ) from error
    transformers.utils.logging.disable_progress_bar()
    return torch, transformers


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
    with alone(folder.with_name(f"{folder.name}.lock")):
        if not (folder / _ORIGIN).is_file():  # nobody made it meanwhile
            _turn(gguf, origin, folder)
    return folder


def _turn(gguf: Path, origin: Origin, folder: Path) -> None:
    torch, transformers = libraries()
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
        self._heads = tuple(map(self._head, _FOLLOWING))
        for first, later in product(_FOLLOWING, _FOLLOWING):
            self._after((first, _PROBE[1], later))  # refuses what does not stay as it is

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
        for head in self._heads:
            if whole.startswith(head):
                return whole[len(head) :]
        raise ModelError(_CHANGES)

    def _head(self, following: Message) -> str:
        """A conversation up to the token that ends the assistant's turn, as it stands once this
        follows: a turn that is the last one may be shown differently."""
        whole = self._rendered((*_PROBE, following), opens=False)
        heard = whole.rfind(_HEARD)
        spoken = whole.rfind(_SPOKEN, 0, max(heard, 0))
        if spoken < 0:
            raise ModelError(_CHANGES)
        end = whole.find(self._tokenizer.eos_token, spoken, heard)
        if end < 0:
            raise ModelError(
                "the chat template does not end an assistant's turn with its end token"
            )
        return whole[: end + len(self._tokenizer.eos_token)]

    def _rendered(self, messages: Sequence[Message], *, opens: bool) -> str:
        said = [{"role": message.role, "content": self._plain(message)} for message in messages]
        return self._tokenizer.apply_chat_template(
            said, tokenize=False, add_generation_prompt=opens
        )

    def _plain(self, message: Message) -> str:
        """A message in which control tokens are broken up: a document cannot open a turn."""
        return self._special.sub(lambda found: f"{found[0][0]}¦{found[0][2:]}", message.content)
