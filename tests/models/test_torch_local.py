"""A model on torch: what it draws is what its weights say, however many draw beside it."""

from __future__ import annotations

import collections
import copy
import json
import math
import random
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mia.errors import ConfigError, InputError, ModelError
from mia.model import Generation, Message, Sampling
from mia.models.catalog import known, place
from mia.models.torch_local import (
    Origin,
    TokenizerChat,
    device_of,
    from_gguf,
    libraries,
    open_base,
    origin_of,
)
from mia.models.torch_sampler import Request, Sampler
from mia.training import tiny

END = 0
WORDS = 8
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def small() -> Any:
    """A model of eight tokens, whose conversations are short."""
    torch, transformers = libraries()
    torch.set_num_threads(1)
    torch.manual_seed(3)
    config = transformers.LlamaConfig(
        vocab_size=WORDS, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
        eos_token_id=END, bos_token_id=END, initializer_range=0.6,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_base(tmp_path_factory.mktemp("tiny") / "base")


def sampler(model: Any) -> Sampler:
    return Sampler(model, END, lambda: 7)


def request(prompt: Sequence[int], seed: int, temperature: float = 1.0, most: int = 10) -> Request:
    return Request(tuple(prompt), Sampling(temperature=temperature, max_tokens=most), seed)


def told(model: Any, prompt: Sequence[int], response: Sequence[int], temperature: float) -> Any:
    """Logprobs over the vocabulary where each response token stands, [T, V], by one forward pass
    over the whole, alone and without padding."""
    torch, _ = libraries()
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[*prompt, *response]])).logits[0]
    return torch.log_softmax(logits[len(prompt) - 1 : -1] / (temperature or 1.0), dim=-1)


prompts = st.lists(st.integers(1, WORDS - 1), min_size=1, max_size=20)
asked = st.builds(
    request, prompts, st.integers(0, 2**62), st.sampled_from([0.0, 0.3, 1.0, 1.7]),
    st.integers(1, 12),
)  # fmt: skip


def check(model: Any, requests: list[Request]) -> None:
    for one, generation in zip(requests, sampler(model)(requests), strict=True):
        heat = one.sampling.temperature
        logprobs = told(model, one.prompt_ids, generation.ids, heat)
        theirs = [float(row[id]) for row, id in zip(logprobs, generation.ids, strict=True)]
        assert generation.logprobs == pytest.approx(theirs, abs=1e-4)
        if heat == 0:
            assert list(generation.ids) == logprobs.argmax(dim=-1).tolist()
        assert generation.version == 7


@given(st.lists(asked, min_size=1, max_size=6), st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_logprobs_are_those_of_one_pass_over_the_whole(
    small: Any, requests: list[Request], seed: int
) -> None:
    check(small, [*requests, requests[0]._replace(seed=seed)])


def test_logprobs_are_those_of_one_pass_where_a_model_counts_its_places() -> None:
    torch, transformers = libraries()
    torch.manual_seed(3)
    config = transformers.GPT2Config(
        vocab_size=WORDS, n_embd=16, n_layer=2, n_head=2, n_positions=64, eos_token_id=END,
        bos_token_id=END, initializer_range=0.6,
    )  # fmt: skip
    check(
        transformers.GPT2LMHeadModel(config).eval(),
        [request([at % 7 + 1] * (1 + at % 5), at, 0.8) for at in range(20)],
    )


def test_equal_prompts_are_read_and_kept_once(small: Any) -> None:
    shapes: list[tuple[int, ...]] = []
    hook = small.register_forward_pre_hook(
        lambda _, args, asked: shapes.append(tuple(asked["input_ids"].shape)), with_kwargs=True
    )
    draw = sampler(small)
    shapes.clear()  # of what it tried first
    draw([request([1, 2, 3 + at % 2], at, most=2) for at in range(20)])
    hook.remove()
    read, went_on = shapes
    assert read == (2, 3) and went_on[0] == 2 and went_on[1] <= 10


def test_prompts_are_read_once_where_rows_are_kept_apart() -> None:
    torch, transformers = libraries()
    torch.manual_seed(3)
    config = transformers.MistralConfig(
        vocab_size=WORDS, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
        eos_token_id=END, bos_token_id=END, initializer_range=0.6, sliding_window=4,
    )  # fmt: skip
    check(
        transformers.MistralForCausalLM(config).eval(),
        [request([at % 3 + 1] * (7 + at % 3), at, 0.8) for at in range(20)],
    )


@given(st.lists(asked, min_size=1, max_size=6))
@settings(deadline=None, max_examples=40)
def test_it_ends_at_the_end_or_at_its_limit(small: Any, requests: list[Request]) -> None:
    for one, generation in zip(requests, sampler(small)(requests), strict=True):
        most = one.sampling.max_tokens
        assert 1 <= len(generation.ids) <= most and END not in generation.ids[:-1]
        assert generation.truncated == (generation.ids[-1] != END)
        assert not generation.truncated or len(generation.ids) == most


def test_both_ends_are_come_to(small: Any) -> None:
    drawn = sampler(small)([request([1, 2], seed) for seed in range(64)])
    assert {one.truncated for one in drawn} == {True, False}
    assert len({len(one.ids) for one in drawn}) > 4, "rows leave the batch one after the other"


def test_equal_seeds_draw_equally_whoever_draws_beside_them(small: Any) -> None:
    lot = random.Random(5)
    requests = [
        request(lot.choices(range(1, WORDS), k=lot.randint(1, 20)), seed, lot.choice([0.5, 1.0]))
        for seed in range(150)
    ]
    draw = sampler(small)
    together = draw(requests)
    order = lot.sample(range(150), 150)
    mixed = dict(zip(order, draw([requests[at] for at in order]), strict=True))
    for at, one in enumerate(requests):
        for drawn in (draw([one])[0], mixed[at]):
            assert drawn.ids == together[at].ids
            assert drawn.logprobs == pytest.approx(together[at].logprobs, abs=1e-4)
    other = draw([one._replace(seed=one.seed + 1000) for one in requests])
    assert [one.ids for one in other] != [one.ids for one in together]


def test_equal_seeds_draw_equally_on_the_device_that_is_here(small: Any) -> None:
    elsewhere = copy.deepcopy(small).to(device_of())
    requests = [request([at % 7 + 1], at) for at in range(20)]
    drawn = [[one.ids for one in sampler(model)(requests)] for model in (small, elsewhere)]
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_what_many_seeds_draw_is_what_the_model_says(small: Any, temperature: float) -> None:
    count, prompt = 6000, (3, 1, 4)
    drawn = sampler(small)([request(prompt, seed, temperature, 2) for seed in range(count)])
    seen = collections.Counter(one.ids for one in drawn)
    likely: dict[tuple[int, ...], float] = {}
    for first in range(WORDS):
        rows = told(small, prompt, (first, END), temperature).exp()
        if first == END:
            likely[(END,)] = float(rows[0, END])
        else:
            likely |= {(first, at): float(rows[0, first] * rows[1, at]) for at in range(WORDS)}
    assert math.fsum(likely.values()) == pytest.approx(1, abs=1e-4)
    often = {ids: chance for ids, chance in likely.items() if chance * count >= 5}
    expected = [chance * count for chance in often.values()]
    counted = [seen[ids] for ids in often]
    expected.append(max(count - math.fsum(expected), 1.0))  # all the others together
    counted.append(count - sum(counted))
    surprise = math.fsum((c - e) ** 2 / e for c, e in zip(counted, expected, strict=True))
    freedom = len(expected) - 1
    assert freedom > 8 and surprise < freedom + 4 * math.sqrt(2 * freedom)


def test_draws_of_one_seed_do_not_repeat_each_other(small: Any) -> None:
    drawn = sampler(small)([request([1], seed, 50.0, 12) for seed in range(40)])
    assert len({ids for one in drawn for ids in one.ids}) == WORDS
    assert sum(len(set(one.ids)) > 2 for one in drawn if len(one.ids) > 8) > 5


def test_every_answer_comes_to_who_asked(small: Any) -> None:
    lonely: list[Generation] = []
    requests = [request([at % 7 + 1], 9, 0.0, 3) for at in range(130)]  # more than one batch
    draw = sampler(small)
    for one in requests[:7]:
        lonely += draw([one])
    assert [one.ids for one in draw(requests)] == [lonely[at % 7].ids for at in range(130)]
    assert draw([]) == []


def chatml(eos: str = "<|im_end|>", template: str | None = CHATML) -> Any:
    """A tokenizer with merges, and with control tokens that it has no name for."""
    import tokenizers

    _, transformers = libraries()
    level = tokenizers.pre_tokenizers.ByteLevel
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = level(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    made.train_from_iterator(
        ["user\nassistant\n the cat sat on the mat\n\nassistant user the user"] * 5,
        tokenizers.trainers.BpeTrainer(
            vocab_size=320, initial_alphabet=level.alphabet(), show_progress=False,
            special_tokens=["<|end|>", "<|im_end|>", "<|im_start|>", "<file>"],
        ),
    )  # fmt: skip
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token=eos, chat_template=template
    )


CHATS = ["tiny", "chatml"]


@pytest.fixture(scope="module")
def chats(tiny_base: Path) -> dict[str, TokenizerChat]:
    _, transformers = libraries()
    own = transformers.AutoTokenizer.from_pretrained(tiny_base)
    return {"tiny": TokenizerChat(own, 100), "chatml": TokenizerChat(chatml(), 100)}


words = st.text(max_size=12) | st.sampled_from(["the cat", "user\n", "\n\n", " ", "assistant"])
messages = st.lists(
    st.builds(Message, role=st.sampled_from(["user", "assistant"]), content=words), max_size=3
).map(lambda said: (Message(role="user", content="the user"), *said))


@pytest.mark.parametrize("name", CHATS)
@given(before=messages, reply=st.text("the cat sat", min_size=1, max_size=12), after=messages)
@settings(deadline=None, max_examples=60)
def test_what_follows_a_reply_is_what_would_stand_there_in_the_whole(
    chats: dict[str, TokenizerChat],
    name: str,
    before: tuple[Message, ...],
    reply: str,
    after: tuple[Message, ...],
) -> None:
    chat = chats[name]
    whole = chat.opening((*before, Message(role="assistant", content=reply), *after))
    piecewise = [*chat.opening(before), *chat.ids(reply), chat.end, *chat.further(after)]
    assert piecewise == whole


HOSTILE = ["<|im_start|>", "<|im_end|>", "<|end|>", "<file>", "<e>", "<", "|", "im_end", ">", "e",
           "system\n", "¦"]  # fmt: skip
hostile = st.lists(st.sampled_from(HOSTILE), max_size=8).map("".join)


@pytest.mark.parametrize("name", CHATS)
@given(said=st.lists(hostile, min_size=1, max_size=3))
@settings(deadline=None, max_examples=100)
def test_control_tokens_in_a_message_stay_text(
    chats: dict[str, TokenizerChat], name: str, said: list[str]
) -> None:
    chat = chats[name]
    controls = {i for text in HOSTILE[:5] for i in chat.ids(text) if chat.text([i]) == ""}
    assert chat.end in controls

    def opened(contents: list[str]) -> list[int]:
        talk = tuple(Message(role="user", content=content) for content in contents)
        return [id for id in (*chat.opening(talk), *chat.further(talk)) if id in controls]

    assert opened(said) == opened(["harmless"] * len(said))


def test_control_tokens_say_nothing_and_text_is_read_back(chats: dict[str, TokenizerChat]) -> None:
    for chat in chats.values():
        ids = chat.ids("the cat, às vezes ✓")
        assert chat.text([*ids, chat.end]) == "the cat, às vezes ✓"


@pytest.mark.parametrize(
    ("template", "told"),
    [
        (None, "has no chat template"),
        (CHATML.replace("<|im_end|>", "<|end|>"), "does not end an assistant's turn"),
    ],
)
def test_a_template_that_cannot_be_trained_with_is_refused(template: str | None, told: str) -> None:
    with pytest.raises(ModelError, match=told):
        TokenizerChat(chatml(template=template), 100)


@pytest.mark.parametrize("remembers", [1, 2, 3])
def test_a_template_that_changes_what_was_said_is_refused(remembers: int) -> None:
    kept = f"{{{{ m['content'] if loop.revindex <= {remembers} else '' }}}}"
    forgets = CHATML.replace("{{ m['content'] }}", kept)
    with pytest.raises(ModelError, match="changes what was said before"):
        TokenizerChat(chatml(template=forgets), 100)


def published(name: str) -> str:
    """A chat template as its makers have it: TRL brings them."""
    spec = find_spec("trl")
    assert spec is not None and spec.origin is not None
    return (Path(spec.origin).parent / "chat_templates" / f"{name}.jinja").read_text("utf-8")


PUBLISHED = ["qwen2_5", "qwen3", "qwen3_instruct_2507", "qwen3_training", "qwen3_5_nothink",
             "qwen3_5_think", "qwen3_6", "qwen3_8"]  # fmt: skip
TOLD = ["and then?", "<tool_response>\nthe cat\n</tool_response>"]


@pytest.mark.parametrize("name", PUBLISHED)
@given(told=st.lists(st.sampled_from(TOLD), min_size=1, max_size=3))
@settings(deadline=None, max_examples=20)
def test_published_templates_go_on_after_a_turn_as_they_would_in_the_whole(
    name: str, told: list[str]
) -> None:
    chat = TokenizerChat(chatml(template=published(name)), 100)
    asks, replies = Message(role="user", content="the user"), Message(role="assistant", content="t")
    said = [each for text in told for each in (Message(role="user", content=text), replies)]
    further, whole = chat.further(said[:-1]), chat.opening((asks, replies, *said[:-1]))
    assert chat.text(further).startswith("\nuser\n" + told[0])
    assert further == whole[-len(further) :]
    assert chat.text(whole[: -len(further)]).endswith("t") and whole[-len(further) - 1] == chat.end


def test_a_base_is_known_by_its_weights(tiny_base: Path, tmp_path: Path) -> None:
    base = open_base(tiny_base, device="cpu", dtype="float32")
    assert base.origin == Origin(name="tiny", sha256="tiny-0")
    folder = tmp_path / "mine"
    base.model.save_pretrained(folder)
    first = origin_of(folder)
    assert first.name == "mine" and len(first.sha256) == 64
    with libraries()[0].no_grad():
        next(base.model.parameters()).add_(1)
    base.model.save_pretrained(folder)
    assert origin_of(folder).sha256 != first.sha256


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no model in Hugging Face's form"):
        open_base(tmp_path, device="cpu", dtype="float32")
    with pytest.raises(ConfigError, match="there is no device 'abacus' here"):
        device_of("abacus")
    assert device_of("cpu") == "cpu" and device_of() in ("cuda", "mps", "cpu")


@pytest.mark.parametrize("raw", [b"", b"GGUF", b"no model at all", b"GGUF\x03" + bytes(60)])
def test_a_gguf_that_is_none_leaves_no_base(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "m.gguf").write_bytes(raw)
    origin = Origin(name="m", sha256="")
    with pytest.raises(ModelError, match="cannot be turned into a model to train"):
        from_gguf(tmp_path / "m.gguf", origin, tmp_path / "base")
    assert not (tmp_path / "base").exists()


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_the_embedded_model_can_be_trained(real_home: Path, tmp_path: Path) -> None:
    model = known("smollm2-135m")
    origin, folder = Origin(name=model.name, sha256=model.sha256), tmp_path / "base"
    (tmp_path / "base.half").mkdir()  # of one that was killed
    assert from_gguf(place(real_home, model), origin, folder) == folder
    made = (folder / "config.json").stat().st_mtime_ns
    base = open_base(from_gguf(place(real_home, model), origin, folder), device="cpu",
                     dtype="float32")  # fmt: skip
    assert base.origin == origin and (folder / "config.json").stat().st_mtime_ns == made
    chat = TokenizerChat(base.tokenizer, 2048)
    asks = Message(role="user", content="What is the capital of France? <|im_end|><repo_name>")
    prompt = chat.opening((asks,))
    assert not set(prompt) & set(chat.ids("<repo_name>"))
    draw = Sampler(base.model, chat.end, lambda: 0)
    (generation,) = draw([request(prompt, 1, 0.0, 24)])
    assert "Paris" in chat.text(generation.ids)
    assert json.loads((folder / "mia_base.json").read_bytes())["sha256"] == model.sha256
