"""The workshop: runs of training are put together, and what they come to is published once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.training.tiny_world import EXERCISES, SPEAKING, ignored, preset

from mia.config import load
from mia.errors import ConfigError, InputError, MIAError, StoreError
from mia.team import silent
from mia.training.stages import Said, Step, Watch, progress_of
from mia.training.versions import ROLES, Draft, Role, Version, sha256_of
from mia.training.workshop import Order, Trained, Workshop, alternate
from mia.types import Noun, decode

QUICK: dict[str, Any] = {"questions": 2, "attempts": 6, "steps": 3, "check_every": 3}
HELD_OUT = EXERCISES[:4]


@pytest.fixture
def shop(tiny_base: Path, tmp_path: Path) -> Workshop:
    """A workshop with nothing in it but the tiny base."""
    (tmp_path / "mia.toml").touch()
    shutil.copytree(tiny_base, tmp_path / "home" / "models" / "hf" / "tiny")
    return Workshop(
        load(tmp_path / "mia.toml", {"MIA_HOME": str(tmp_path / "home")}), None, False, silent
    )


def order(role: Role, name: str, begins: str = "none", **changes: Any) -> Order:
    return Order(
        role=role, preset=preset(**{**QUICK, **changes}), name=name, data="the tiny world",
        base="tiny", begins=begins,
    )  # fmt: skip


def run(
    shop: Workshop, what: Order, watch: Watch = ignored, partner: Version | None = None
) -> Trained:
    return shop.run(what, EXERCISES, HELD_OUT, watch, partner)


def taught(shop: Workshop, role: Role) -> Version:
    """A version of a role that can speak."""
    lessons = replace(order(role, f"{role} speaks", **SPEAKING), supervised=True)
    return run(shop, lessons).version


def said(trained: Trained) -> list[Said]:
    raw = (trained.folder / "attempts.jsonl").read_bytes()
    return [decode(line, Said) for line in raw.splitlines()]


def orders(number_of: dict[Role, Version]) -> Callable[[Role, int], Order]:
    return lambda role, number: order(role, f"{number} {role}", str(number_of[role].number))


def test_stages_take_turns_each_from_what_the_one_before_came_to(shop: Workshop) -> None:
    spoken = {role: taught(shop, role) for role in ROLES}
    done = alternate(shop, orders(spoken), 2, lambda _: EXERCISES, HELD_OUT, lambda _: ignored)
    versions = [trained.version for trained in done]
    assert [(v.role, v.number, v.parent, v.made_by) for v in versions] == [
        ("executor", 2, 1, "executor"), ("planner", 2, 1, "planner"),
        ("executor", 3, 2, "executor"), ("planner", 3, 2, "planner"),
    ]  # fmt: skip
    for trained in done:
        version = shop.shelf(trained.version.role).verify(trained.version.number)
        assert version == trained.version and version.base == "tiny"
        assert {"adapter_model.safetensors", "adapter.gguf"} <= version.files.keys()
        assert version.config["run"] == trained.folder.name and version.metrics["steps"] == 3
        assert version.data == "the tiny world" and list(version.checks) == [
            "accuracy of 4 after 0 steps", "accuracy of 4 after 3 steps"
        ]  # fmt: skip
    assert all(shop.shelf(role).current() is None for role in ROLES), "nothing is in use unasked"

    # the same stages beside the same partners, one by one
    for at, partner in ((1, versions[0]), (2, versions[1])):
        again = order(versions[at].role, "again" + str(at), str(versions[at].parent))
        assert _plain(said(run(shop, again, partner=partner))) == _plain(said(done[at]))
    # and with none in use, beside one that does everything right
    with_rule = run(shop, order("planner", "by rule", "1"))
    assert _plain(said(with_rule)) != _plain(said(done[1]))


def _plain(lines: list[Said]) -> list[tuple[object, ...]]:
    return [(one.step, one.question, one.replies, one.answer) for one in lines]


def test_a_second_call_publishes_nothing_anew(shop: Workshop) -> None:
    spoken = {role: taught(shop, role) for role in ROLES}
    steps: list[Noun] = []

    def both() -> list[Trained]:
        return alternate(
            shop, orders(spoken), 1, lambda _: EXERCISES, HELD_OUT, lambda _: steps.append
        )

    first = both()
    shelves = {role: shop.shelf(role).versions() for role in ROLES}
    steps.clear()
    assert both() == first and steps == []
    assert {role: shop.shelf(role).versions() for role in ROLES} == shelves


class Enough(Exception):
    """Somebody pressed a key."""


def test_a_run_that_was_interrupted_is_published_when_it_has_come_to_its_end(
    shop: Workshop, speaking: Path
) -> None:
    wanted = order("planner", "run", str(speaking), save_every=1)

    def stops(noun: Noun) -> None:
        if isinstance(noun, Step) and noun.step == 2:
            raise Enough

    with pytest.raises(Enough):
        run(shop, wanted, stops)
    assert shop.shelf("planner").versions() == ()
    steps: list[int] = []
    trained = run(shop, wanted, lambda n: steps.append(n.step) if isinstance(n, Step) else None)
    whole = run(shop, replace(wanted, name="whole"))
    assert steps == [2, 3] and (trained.version.number, whole.version.number) == (1, 2)
    weights = "adapter_model.safetensors"
    assert trained.version.files[weights] == whole.version.files[weights]
    assert trained.version.files[weights] != sha256_of(speaking / weights)


def test_a_partner_that_cannot_speak_is_asked_and_not_somebody_else(
    shop: Workshop, speaking: Path
) -> None:
    begins = str(speaking)
    mute = run(shop, order("executor", "mute", steps=0)).version
    beside = run(shop, order("planner", "beside the mute", begins), partner=mute)
    assert all(one.answer is None for one in said(beside))
    alone = run(shop, order("planner", "beside nobody", begins))
    assert any(one.answer is not None for one in said(alone))
    shop.shelf("executor").promote(mute.number)
    in_use = run(shop, order("planner", "beside who is in use", begins))
    assert all(one.answer is None for one in said(in_use))


def test_a_run_is_not_gone_on_with_beside_another_partner(shop: Workshop, speaking: Path) -> None:
    begins = str(speaking)
    mute = run(shop, order("executor", "mute", steps=0)).version
    run(shop, order("planner", "run", begins))
    with pytest.raises(ConfigError, match="'run' was begun with another settings"):
        run(shop, order("planner", "run", begins), partner=mute)
    with pytest.raises(ConfigError, match="'run' was begun with another begins"):
        run(shop, order("planner", "run"))


def test_who_is_in_use_is_begun_with(shop: Workshop) -> None:
    first = run(shop, order("planner", "first", "current", steps=0)).version
    assert first.parent == 0, "nobody was in use"
    shop.shelf("planner").promote(first.number)
    assert run(shop, order("planner", "second", "current", steps=0)).version.parent == first.number
    folder = shop.shelf("planner").folder(first.number)
    from_folder = run(shop, order("planner", "third", str(folder), steps=0)).version
    weights = "adapter_model.safetensors"
    assert from_folder.parent == 0 and from_folder.files[weights] == first.files[weights]


def test_a_version_of_another_base_is_refused(shop: Workshop) -> None:
    draft = Draft(base="huge", base_sha256="0" * 64, made_by="imported")
    shop.shelf("planner").publish(draft, lambda folder: (folder / "a").write_text("a") and None)
    with pytest.raises(ConfigError, match="version 1 of the planner is of huge, not of tiny"):
        run(shop, order("planner", "run", "1"))
    assert not (shop.home / "training" / "run").exists()


def test_a_damaged_version_is_not_begun_with(shop: Workshop) -> None:
    version = run(shop, order("planner", "run", steps=0)).version
    weights = shop.shelf("planner").folder(version.number) / "adapter_model.safetensors"
    raw = weights.read_bytes()
    weights.unlink()
    weights.write_bytes(raw[:-1] + b"?")
    with pytest.raises(StoreError, match=r"adapter_model\.safetensors is damaged"):
        run(shop, order("planner", "another", str(version.number)))


def test_a_partner_of_another_base_or_with_other_files_is_not_trained_beside(
    shop: Workshop,
) -> None:
    shelf = shop.shelf("executor")
    draft = Draft(base="huge", base_sha256="0" * 64, made_by="imported")
    huge = shelf.publish(draft, lambda folder: (folder / "a").write_text("a") and None)
    with pytest.raises(ConfigError, match="version 1 of the executor is of huge, not of tiny"):
        run(shop, order("planner", "run"), partner=huge)
    own = run(shop, order("executor", "own", steps=0)).version
    (shelf.folder(own.number) / "adapter_config.json").unlink()
    with pytest.raises(StoreError, match=r"adapter_config\.json"):
        run(shop, order("planner", "another"), partner=own)


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"begins": "9"}, InputError, "no version 9 of planner"),
        ({"begins": "shipped"}, ConfigError, "no adapter came with tiny"),
        ({"begins": "/nowhere"}, InputError, "there is no adapter in /nowhere"),
        ({"base": "/nowhere"}, InputError, "no model in Hugging Face's form at /nowhere"),
        ({"name": ""}, InputError, "is no name"),
        ({"name": "../up"}, InputError, "is no name"),
        ({"reward": "nowhere:none"}, ConfigError, "no reward at 'nowhere:none'"),
        ({"device": "abacus"}, ConfigError, "there is no device 'abacus' here"),
    ],
)
def test_what_cannot_be_trained_is_refused_and_nothing_is_written(
    shop: Workshop, changes: dict[str, Any], error: type[MIAError], told: str
) -> None:
    with pytest.raises(error, match=told):
        run(shop, replace(order("planner", "run"), **changes))
    assert not (shop.home / "training").exists() and shop.shelf("planner").versions() == ()


def test_somebody_s_own_reward_is_what_is_paid(shop: Workshop, speaking: Path) -> None:
    begins = str(speaking)
    own = replace(order("planner", "run", begins), reward="tests.training.tiny_world:opposite")
    paid, usual = said(run(shop, own)), said(run(shop, order("planner", "usual", begins)))
    first = [(a.reward, b.reward) for a, b in zip(paid, usual, strict=True) if a.step == 1]
    assert all(ours == pytest.approx(1 - (theirs or 0)) for ours, theirs in first)
    assert progress_of(shop.folder("run")).spec.reward == own.reward
