"""The local learner: what an update does to a policy, and what it leaves as it was."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.training.tiny_world import EXERCISES, Naive, chat_of, learner_of, opened, preset

from mia.errors import ConfigError, InputError, StoreError, TrainingError
from mia.model import Message, Sampling
from mia.models.torch_local import libraries, open_base
from mia.models.torch_sampler import Request
from mia.training import tiny
from mia.training.grpo import Groups
from mia.training.learner import Learner
from mia.training.presets import Preset
from mia.training.samples import Sample
from mia.training.stages import said_well

WEIGHTS = "adapter_model.safetensors"
END = 0
PLAIN: dict[str, Any] = {
    "temperature": 0.8, "gradient_norm": 1e9, "kl_weight": 0.0, "warm_steps": 0
}  # fmt: skip
"""Nothing is cut, so that gradients can be compared."""


def ids(text: str) -> tuple[int, ...]:
    """A byte a token, in the tiny tokenizer's order; only that they differ matters."""
    return tuple(letter + 1 for letter in text.encode())


def sample(prompt: str, *said: str, sampled: float = -1.0, episode: str = "e") -> Sample:
    """A conversation in which the policy said the first of these, then others, then the policy."""
    response: list[int] = []
    mask: list[int] = []
    for place, text in enumerate(said):
        response += (*ids(text), END)
        mask += [1 - place % 2] * (len(text) + 1)
    return Sample(
        prompt_ids=ids(prompt), response_ids=tuple(response), mask=tuple(mask),
        logprobs=tuple(sampled * bit for bit in mask), reward=0.0, group="g", episode=episode,
        version=0,
    )  # fmt: skip


def better(*advantages: float | None) -> Groups:
    return Groups(advantages=advantages, groups=1, dropped=0)


def weights(learner: Learner, folder: Path) -> bytes:
    """What a learner has come to, to the last bit."""
    learner.write_adapter(folder)
    return (folder / WEIGHTS).read_bytes()


def moments(learner: Learner, folder: Path) -> list[Any]:
    """The optimiser's running mean of gradients, of which each is a tenth."""
    torch, _ = libraries()
    learner.save(folder)
    state = torch.load(folder / "learner.pt", weights_only=True)["optimiser"]["state"]
    return [state[place]["exp_avg"].clone() for place in sorted(state)]


def alike(ours: Sequence[Any], theirs: Sequence[Any]) -> bool:
    torch, _ = libraries()
    flat, other = (torch.cat([one.flatten() for one in each]) for each in (ours, theirs))
    assert float(other.norm()) > 1e-4, "there is something to compare"
    return bool((flat - other).norm() < 1e-4 * other.norm())


MIXED = (
    sample("find a", "a", "+", "no"),
    sample("find a", "a", "+", "no", sampled=-0.2, episode="f"),  # the same, drawn otherwise
    sample("find b, which is longer", "cab", sampled=-3.0),
    sample("q", "yes", "?", "b", "much that others say", "d", sampled=-0.5),
    sample("find a", "a"),
)
HOW_MUCH = (1.0, -0.4, -1.5, 0.7, 0.2)


@pytest.mark.parametrize("batch_tokens", [1, 40, 100_000])
@pytest.mark.parametrize(("kl_weight", "recompute"), [(0.0, False), (0.3, False), (0.3, True)])
def test_an_update_is_the_sum_of_its_samples_however_they_are_put_together(
    tiny_base: Path,
    speaking: Path,
    tmp_path: Path,
    batch_tokens: int,
    kl_weight: float,
    recompute: bool,
) -> None:
    how = {**PLAIN, "kl_weight": kl_weight, "batch_tokens": batch_tokens, "learning_rate": 3e-3}
    how["recompute"] = recompute
    learner = learner_of(tiny_base, speaking, **how)
    preset = Preset(temperature=0.8, kl_weight=kl_weight)
    began = Naive(tiny_base, speaking, preset)
    first = learner.update(MIXED, better(*HOW_MUCH))
    assert (first.samples, first.rows, first.tokens) == (5, 4, sum(sum(s.mask) for s in MIXED))
    once = moments(learner, tmp_path / "1")
    assert alike([10 * each for each in once], began.gradient(MIXED, HOW_MUCH))
    assert first.gradient == pytest.approx(10 * math.hypot(*(float(m.norm()) for m in once)))

    learner.write_adapter(tmp_path / "moved")
    moved = Naive(tiny_base, tmp_path / "moved", preset)
    learner.update(MIXED, better(*HOW_MUCH))
    twice = moments(learner, tmp_path / "2")
    second = [10 * (now - 0.9 * before) for now, before in zip(twice, once, strict=True)]
    assert alike(second, moved.gradient(MIXED, HOW_MUCH, began))


def test_what_is_computed_again_is_not_kept_and_changes_nothing(
    tiny_base: Path, speaking: Path, tmp_path: Path
) -> None:
    torch, _ = libraries()
    kept: list[int] = []
    came: list[bytes] = []
    for recompute in (False, True):
        learner = learner_of(tiny_base, speaking, **PLAIN, recompute=recompute)
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor, sizes=sizes: sizes.append(tensor.numel()) or tensor, lambda held: held
        ):
            learner.update(MIXED, better(*HOW_MUCH))
        kept.append(sum(sizes))
        came.append(weights(learner, tmp_path / str(recompute)))
        (drawn,) = learner.draw(asked(tiny_base, 1))
        assert drawn.ids
    assert kept[1] < kept[0] / 3
    assert came[0] == came[1]


def test_a_base_that_cannot_compute_again_says_how_to_do_without(
    tiny_base: Path, speaking: Path
) -> None:
    base = opened(tiny_base)
    base.model.supports_gradient_checkpointing = False
    with pytest.raises(ConfigError, match="--set recompute=false"):
        Learner(base, preset(recompute=True), speaking)


def test_what_attempts_have_in_common_is_computed_once(tiny_base: Path, speaking: Path) -> None:
    base = opened(tiny_base)
    computed: list[int] = []
    base.model.register_forward_pre_hook(
        lambda _, args, asked: computed.append(asked["input_ids"].numel()), with_kwargs=True
    )
    learner = Learner(base, Preset(batch_tokens=500, recompute=False), speaking)
    computed.clear()  # of what it tried first
    asked = "a question that is long"
    samples = [sample(asked, said, episode=said) for said in ("a", "b", "c", "d")]
    learner.update(samples, better(1.0, 0.5, -0.5, -1.0))
    assert computed == [len(asked) + 2 * len(samples)]


def test_many_small_gradients_add_up_in_32_bits(tiny_base: Path, speaking: Path) -> None:
    # what others say after the policy's last word makes them differ, and their gradients the same
    samples = [sample("find a", "a", f"{n:03}", episode=str(n)) for n in range(400)]
    norms: list[float] = []
    for batch_tokens in (1, 100_000):
        base = open_base(tiny_base, device="cpu", dtype="bfloat16")
        learner = Learner(base, Preset(batch_tokens=batch_tokens), speaking)
        norms.append(learner.update(samples, better(*[1.0] * len(samples))).gradient)
    assert norms[0] == pytest.approx(norms[1], rel=0.02)


@pytest.mark.parametrize("batch_tokens", [1, 100_000])
def test_a_warm_up_weighs_every_sample_the_same_whether_or_not_it_came_before(
    tiny_base: Path, speaking: Path, tmp_path: Path, batch_tokens: int
) -> None:
    learner = learner_of(tiny_base, speaking, **PLAIN, batch_tokens=batch_tokens)
    naive = Naive(tiny_base, speaking, Preset(temperature=0.8))
    samples = (MIXED[0], MIXED[0], MIXED[0], *MIXED[2:4])
    update = learner.warm_up(samples)
    assert alike([10 * each for each in moments(learner, tmp_path)], naive.supervised(samples))
    assert update.loss == pytest.approx(naive.nll(samples), rel=1e-4)


def test_a_warm_up_makes_what_was_said_likelier(tiny_base: Path) -> None:
    learner = learner_of(tiny_base, learning_rate=1e-2, warm_steps=0)
    chat = chat_of(opened(tiny_base))
    samples = [s for each in EXERCISES[:16] for s in said_well(each, "planner", chat)]
    losses = [learner.warm_up(samples).loss for _ in range(12)]
    assert losses[-1] < 0.5 * losses[0] and learner.version == 12


def test_what_was_rewarded_gets_likelier_and_what_was_punished_less_so(
    tiny_base: Path, speaking: Path, tmp_path: Path
) -> None:
    learner = learner_of(tiny_base, speaking, warm_steps=0)
    drawn = {
        generation.ids: Sample(
            prompt_ids=request.prompt_ids, response_ids=generation.ids,
            mask=(1,) * len(generation.ids), logprobs=generation.logprobs, reward=0.0, group="g",
            episode=str(request.seed), version=0,
        )
        for request in asked(tiny_base)
        for generation in learner.draw([request])
        if not generation.truncated
    }  # fmt: skip
    good, bad, *_ = drawn.values()
    learner.write_adapter(tmp_path / "before")
    learner.update((good, bad), better(1.0, -1.0))
    learner.write_adapter(tmp_path / "after")
    before, after = (
        Naive(tiny_base, tmp_path / name, Preset(temperature=1.0)) for name in ("before", "after")
    )
    assert before.told(good) == pytest.approx(math.fsum(good.logprobs), abs=1e-4)
    assert after.told(good) > before.told(good) + 1e-3
    assert after.told(bad) < before.told(bad) - 1e-3


def test_a_policy_can_go_back_to_what_was_found_good_also_after_a_restart(
    tiny_base: Path, speaking: Path, tmp_path: Path
) -> None:
    learner = learner_of(tiny_base, speaking, learning_rate=1e-2, warm_steps=0)
    learner.update(MIXED, better(*HOW_MUCH))
    learner.found_good()
    good = weights(learner, tmp_path / "good")
    assert learner.drift(MIXED) == pytest.approx(0.0, abs=1e-6)
    learner.update(MIXED, better(*HOW_MUCH))
    assert learner.drift(MIXED) > 1e-3
    learner.save(tmp_path / "checkpoint")
    learner.go_back()
    assert weights(learner, tmp_path / "back") == good and learner.version == 2
    again = learner_of(tiny_base, speaking, learning_rate=1e-2, warm_steps=0)
    assert again.restore(tmp_path / "checkpoint")
    assert weights(again, tmp_path / "bad") != good
    again.go_back()
    assert weights(again, tmp_path / "again") == good
    assert again.drift(MIXED) == pytest.approx(0.0, abs=1e-6)


def test_a_policy_can_go_on_from_another_adapter_which_is_good_then(
    tiny_base: Path, speaking: Path, tmp_path: Path
) -> None:
    changes: dict[str, Any] = {"learning_rate": 1e-2, "warm_steps": 0}
    learner = learner_of(tiny_base, speaking, **changes)
    began = weights(learner, tmp_path / "began")
    learner.update(MIXED, better(*HOW_MUCH))
    moved = weights(learner, tmp_path / "moved")
    learner.take(tmp_path / "began")
    assert weights(learner, tmp_path / "taken") == began != moved and learner.version == 1
    assert learner.drift(MIXED) == pytest.approx(0.0, abs=1e-6)
    learner.update(MIXED, better(*HOW_MUCH))
    fresh = learner_of(tiny_base, speaking, **changes)
    fresh.update(MIXED, better(*HOW_MUCH))
    assert weights(learner, tmp_path / "a") == weights(fresh, tmp_path / "b")
    learner.go_back()
    assert weights(learner, tmp_path / "back") == began


def test_a_policy_can_go_on_from_the_bare_base(
    tiny_base: Path, speaking: Path, tmp_path: Path
) -> None:
    learner, bare = learner_of(tiny_base, speaking), learner_of(tiny_base)
    requests = asked(tiny_base)
    assert learner.draw(requests) != bare.draw(requests)
    learner.take(None)
    assert learner.draw(requests) == bare.draw(requests)


def test_an_adapter_of_another_form_is_not_gone_on_from(
    tiny_base: Path, speaking: Path, tmp_path: Path
) -> None:
    learner_of(tiny_base, rank=4).write_adapter(tmp_path / "small")
    learner = learner_of(tiny_base, speaking)
    before = weights(learner, tmp_path / "before")
    with pytest.raises(InputError, match="of another form"):
        learner.take(tmp_path / "small")
    with pytest.raises(InputError, match="there is no adapter in"):
        learner.take(tmp_path)
    (tmp_path / "small" / WEIGHTS).write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be read"):
        learner.take(tmp_path / "small")
    assert weights(learner, tmp_path / "after") == before


def test_what_others_said_is_not_learned(tiny_base: Path, speaking: Path, tmp_path: Path) -> None:
    come_to: list[bytes] = []
    for others in ("++", "zz"):  # after the policy's last word nothing has to do with it
        learner = learner_of(tiny_base, speaking)
        learner.update((sample("find a", "a", others),), better(1.0))
        come_to.append(weights(learner, tmp_path / others))
    assert come_to[0] == come_to[1]
    learner = learner_of(tiny_base, speaking)
    learner.update((sample("find a", "b", "++"),), better(1.0))
    assert weights(learner, tmp_path / "else") != come_to[0]


def test_groups_that_teach_nothing_change_nothing_but_the_version(
    tiny_base: Path, speaking: Path, tmp_path: Path
) -> None:
    learner = learner_of(tiny_base, speaking, weight_decay=0.1)
    before = weights(learner, tmp_path / "before")
    update = learner.update(MIXED[:2], better(None, None))
    assert (update.version, update.samples, update.tokens) == (1, 0, 0) and learner.version == 1
    assert weights(learner, tmp_path / "after") == before
    nothing_in_common = learner_of(tiny_base, speaking)
    nothing_in_common.update(MIXED[2:4], better(1.0, -1.0))
    beside = learner_of(tiny_base, speaking)
    beside.update((MIXED[0], *MIXED[2:4]), better(None, 1.0, -1.0))
    assert weights(beside, tmp_path / "b") == weights(nothing_in_common, tmp_path / "n")


def test_what_all_attempts_have_in_common_is_left_out(tiny_base: Path, speaking: Path) -> None:
    learner = learner_of(tiny_base, speaking, kl_weight=0.0)
    up, down = sample("find a", "a"), sample("find a", "a", episode="f")
    update = learner.update((up, down, sample("find a", "b")), better(1.0, -1.0, 0.5))
    assert (update.samples, update.rows) == (3, 1)
    assert learner.update((up, down), better(1.0, -1.0)).rows == 0


def test_the_kl_to_the_beginning_is_nothing_at_first_and_something_after(
    tiny_base: Path, speaking: Path
) -> None:
    learner = learner_of(tiny_base, speaking, warm_steps=0, learning_rate=1e-4, kl_weight=0.1)
    far = [learner.update(MIXED, better(*HOW_MUCH)).reference_kl for _ in range(3)]
    assert far[0] == pytest.approx(0, abs=1e-9) and min(far[1:]) > 1e-6


def test_the_learning_rate_rises_and_long_gradients_are_cut(
    tiny_base: Path, speaking: Path, tmp_path: Path
) -> None:
    torch, _ = libraries()
    learner = learner_of(tiny_base, speaking, warm_steps=4, learning_rate=4e-3, gradient_norm=0.01)
    rates: list[float] = []
    for step in range(5):
        update = learner.update(MIXED, better(*HOW_MUCH))
        assert update.gradient > 0.01, "it is told as it was before it was cut"
        learner.save(tmp_path)
        saved = torch.load(tmp_path / "learner.pt", weights_only=True)["optimiser"]
        rates.append(saved["param_groups"][0]["lr"])
        if step == 0:
            length = math.hypot(*(float(s["exp_avg"].norm()) for s in saved["state"].values()))
            assert length == pytest.approx(0.1 * 0.01, rel=1e-3)
    assert rates == pytest.approx([1e-3, 2e-3, 3e-3, 4e-3, 4e-3])


def test_a_loss_that_is_no_number_leaves_the_policy_as_it_was(
    tiny_base: Path, speaking: Path, tmp_path: Path
) -> None:
    learner, spared = (learner_of(tiny_base, speaking) for _ in range(2))
    for one in (learner, spared):
        one.update(MIXED, better(*HOW_MUCH))
    before = weights(learner, tmp_path / "before")
    with pytest.raises(TrainingError, match="no number at update 2; nothing was changed"):
        learner.update(MIXED[:2], better(math.inf, 1.0))
    assert weights(learner, tmp_path / "after") == before and learner.version == 1
    for one in (learner, spared):
        one.update(MIXED[2:], better(1.0, -1.0, 0.5))
    assert weights(learner, tmp_path / "l") == weights(spared, tmp_path / "s")


def test_a_policy_with_a_broken_weight_learns_nothing(
    tiny_base: Path, speaking: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    broken = load_file(speaking / WEIGHTS)
    next(iter(broken.values()))[0, 0] = math.nan
    learner_of(tiny_base, speaking).write_adapter(tmp_path / "broken")
    save_file(broken, tmp_path / "broken" / WEIGHTS)
    learner = learner_of(tiny_base, tmp_path / "broken")
    before = weights(learner, tmp_path / "before")
    with pytest.raises(TrainingError, match="no number"):
        learner.update(MIXED, better(*HOW_MUCH))
    with pytest.raises(TrainingError, match="no number"):
        learner.warm_up(MIXED)
    assert weights(learner, tmp_path / "after") == before and learner.version == 0


def asked(base: Path, count: int = 12, temperature: float = 1.0) -> list[Request]:
    prompt = chat_of(opened(base)).opening((Message(role="user", content="find c"),))
    sampling = Sampling(temperature=temperature, max_tokens=8)
    return [Request(tuple(prompt), sampling, seed) for seed in range(count)]


def test_an_adapter_that_is_opened_again_says_the_same(
    tiny_base: Path, speaking: Path, tmp_path: Path
) -> None:
    learner = learner_of(tiny_base, speaking, learning_rate=1e-2, warm_steps=0)
    untouched = learner.draw(asked(tiny_base))
    learner.update(MIXED, better(*HOW_MUCH))
    learner.write_adapter(tmp_path)
    told = [replace(one, version=0) for one in learner.draw(asked(tiny_base))]
    assert told == learner_of(tiny_base, tmp_path).draw(asked(tiny_base))
    assert told != untouched and untouched == learner_of(tiny_base, speaking).draw(asked(tiny_base))


@pytest.mark.parametrize("frozen", [True, False])
def test_a_partner_speaks_for_itself_and_touches_nobody(
    tiny_base: Path, speaking: Path, tmp_path: Path, frozen: bool
) -> None:
    learner, alone = (learner_of(tiny_base, seed=5) for _ in range(2))
    theirs = learner.partner(speaking if frozen else None)
    own = learner_of(tiny_base, speaking) if frozen else learner_of(tiny_base)  # of which B is 0
    for _ in range(3):
        assert theirs(asked(tiny_base)) == [
            replace(one, version=learner.version) for one in own.draw(asked(tiny_base))
        ]
        for one in (learner, alone):
            one.update(MIXED, better(*HOW_MUCH))
        assert learner.draw(asked(tiny_base)) == alone.draw(asked(tiny_base))
    assert weights(learner, tmp_path / "l") == weights(alone, tmp_path / "a")
    assert learner.draw(asked(tiny_base)) != theirs(asked(tiny_base))
    assert [path.name for path in (tmp_path / "l").iterdir() if path.is_dir()] == []


def test_a_run_that_was_interrupted_goes_on_to_the_same_bits(
    tiny_base: Path, speaking: Path, tmp_path: Path
) -> None:
    whole = learner_of(tiny_base, speaking, kl_weight=0.1)
    assert not whole.restore(tmp_path / "checkpoint"), "there is none yet"
    for number in range(4):
        if number == 2:
            whole.save(tmp_path / "checkpoint")
        whole.update(MIXED, better(*HOW_MUCH))
    resumed = learner_of(tiny_base, kl_weight=0.1)  # all that counts is in the checkpoint
    assert resumed.restore(tmp_path / "checkpoint") and resumed.version == 2
    told = [resumed.update(MIXED, better(*HOW_MUCH)) for _ in range(2)]
    assert weights(resumed, tmp_path / "r") == weights(whole, tmp_path / "w")
    assert told[0].reference_kl > 0, "the beginning is the run's"
    assert resumed.update(MIXED, better(*HOW_MUCH)) == whole.update(MIXED, better(*HOW_MUCH))


def test_a_checkpoint_of_another_base_is_refused(tiny_base: Path, tmp_path: Path) -> None:
    learner_of(tiny.make_base(tmp_path / "base", seed=1)).save(tmp_path / "checkpoint")
    learner = learner_of(tiny_base)
    before = weights(learner, tmp_path / "before")
    with pytest.raises(InputError, match="is of another base"):
        learner.restore(tmp_path / "checkpoint")
    assert weights(learner, tmp_path / "after") == before and learner.version == 0


@pytest.mark.parametrize("disk", ["full", "in the way"])
def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(
    tiny_base: Path, tmp_path: Path, disk: str
) -> None:
    learner = learner_of(tiny_base)
    learner.update(MIXED, better(*HOW_MUCH))
    learner.save(tmp_path)
    saved, half = weights(learner, tmp_path / "saved"), tmp_path / "learner.pt.half"
    learner.update(MIXED, better(*HOW_MUCH))
    if disk == "full" and not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    if disk == "full":
        half.symlink_to("/dev/full")
    else:
        half.mkdir()
    with pytest.raises(StoreError, match="no checkpoint could be written"):
        learner.save(tmp_path)
    again = learner_of(tiny_base)
    assert again.restore(tmp_path) and again.version == 1
    assert weights(again, tmp_path / "again") == saved


def test_half_a_checkpoint_is_none(tiny_base: Path, tmp_path: Path) -> None:
    learner = learner_of(tiny_base)
    learner.update(MIXED, better(*HOW_MUCH))
    learner.save(tmp_path)
    whole = (tmp_path / "learner.pt").read_bytes()
    (tmp_path / "learner.pt.half").write_bytes(whole[: len(whole) // 2])  # who wrote it was killed
    again = learner_of(tiny_base)
    assert again.restore(tmp_path) and again.version == 1
    again.update(MIXED, better(*HOW_MUCH))
    again.save(tmp_path)
    assert learner_of(tiny_base).restore(tmp_path) and not (tmp_path / "learner.pt.half").exists()


@pytest.mark.parametrize("kept", [0, 100, 5000])
def test_a_damaged_checkpoint_is_no_beginning(tiny_base: Path, tmp_path: Path, kept: int) -> None:
    learner = learner_of(tiny_base)
    learner.save(tmp_path)
    (tmp_path / "learner.pt").write_bytes((tmp_path / "learner.pt").read_bytes()[:kept])
    with pytest.raises(StoreError, match=r"cannot be read .*; remove it to begin anew"):
        learner.restore(tmp_path)


def test_a_folder_without_an_adapter_is_neither_a_beginning_nor_a_partner(
    tiny_base: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="there is no adapter in"):
        learner_of(tiny_base, tmp_path)
    with pytest.raises(InputError, match="there is no adapter in"):
        learner_of(tiny_base).partner(tmp_path)
