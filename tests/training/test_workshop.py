"""The workshop: runs of training are put together, and what they come to is published once."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from safetensors import SafetensorError
from tests.training.tiny_world import EXERCISES, SPEAKING, ignored, preset

from mia.config import load
from mia.errors import (
    ConfigError,
    InputError,
    MIAError,
    MissingError,
    ModelError,
    StoreError,
    TrainingError,
)
from mia.executors.react.native import Native
from mia.executors.react.protocol import ReactProtocol
from mia.executors.react.tagged import Tagged
from mia.locks import alone
from mia.models.gguf_adapters import CONFIG, WEIGHTS, Heads
from mia.team import silent
from mia.training.bench import Order
from mia.training.embedded import EMBEDDED, shipped
from mia.training.stages import Said, Step, Watch, progress_of
from mia.training.versions import ROLES, Draft, Role, Version, sha256_of
from mia.training.workshop import Trained, Workshop, alternate
from mia.types import Noun, decode

QUICK: dict[str, Any] = {"questions": 2, "attempts": 6, "steps": 3, "check_every": 3}
HELD_OUT = EXERCISES[:4]
SMOLLM2 = Heads(attention=9, key_value=3)


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


def said(folder: Path) -> list[Said]:
    raw = (folder / "attempts.jsonl").read_bytes()
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
        version = shop.shelf(trained.version.role, "tiny").verify(trained.version.number)
        assert version == trained.version and version.base == "tiny"
        assert {"adapter_model.safetensors", "adapter.gguf"} <= version.files.keys()
        assert version.config["run"] == trained.folder.name and version.metrics["steps"] == 3
        assert version.data == "the tiny world" and list(version.checks) == [
            "accuracy of 4 after 0 steps", "accuracy of 4 after 3 steps"
        ]  # fmt: skip
    assert all(shop.shelf(role, "tiny").current() is None for role in ROLES), (
        "nothing is in use unasked"
    )

    # the same stages beside the same partners, one by one
    for at, partner in ((1, versions[0]), (2, versions[1])):
        again = order(versions[at].role, "again" + str(at), str(versions[at].parent))
        assert _plain(said(run(shop, again, partner=partner).folder)) == _plain(
            said(done[at].folder)
        )
    # and with none in use, beside one that does everything right
    with_rule = run(shop, order("planner", "by rule", "1"))
    assert _plain(said(with_rule.folder)) != _plain(said(done[1].folder))


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
    shelves = {role: shop.shelf(role, "tiny").versions() for role in ROLES}
    steps.clear()
    assert both() == first and steps == []
    assert {role: shop.shelf(role, "tiny").versions() for role in ROLES} == shelves


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
    assert shop.shelf("planner", "tiny").versions() == ()
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
    beside_the_mute = order("planner", "beside the mute", begins)
    with pytest.raises(TrainingError, match=r"no episode of step 1 has a reward.*: one letter"):
        run(shop, beside_the_mute, partner=mute)
    assert all(one.answer is None for one in said(shop.folder("beside the mute")))
    beside_nobody = run(shop, order("planner", "beside nobody", begins))
    assert any(one.answer is not None for one in said(beside_nobody.folder))
    shop.shelf("executor", "tiny").promote(mute.number)
    with pytest.raises(TrainingError, match="no episode of step 1 has a reward"):
        run(shop, order("planner", "beside who is in use", begins))
    assert all(one.answer is None for one in said(shop.folder("beside who is in use")))


def test_a_run_is_not_gone_on_with_beside_another_partner(shop: Workshop, speaking: Path) -> None:
    begins = str(speaking)
    mute = run(shop, order("executor", "mute", steps=0)).version
    run(shop, order("planner", "run", begins))
    with pytest.raises(ConfigError, match="'run' was begun with another settings;"):
        run(shop, order("planner", "run", begins), partner=mute)
    with pytest.raises(ConfigError, match="'run' was begun with another begins"):
        run(shop, order("planner", "run"))
    with pytest.raises(ConfigError, match=r"'mute' was begun with another begins \(none 0\);"):
        run(shop, order("executor", "mute", str(mute.number), steps=0))
    with pytest.raises(ConfigError, match=r"another preset \(attempts=6, seed=its default\);"):
        run(shop, order("planner", "run", begins, attempts=8, seed=1))


def test_who_is_in_use_is_begun_with(shop: Workshop) -> None:
    first = run(shop, order("planner", "first", "current", steps=0)).version
    assert first.parent == 0, "nobody was in use"
    shop.shelf("planner", "tiny").promote(first.number)
    assert run(shop, order("planner", "second", "current", steps=0)).version.parent == first.number
    folder = shop.shelf("planner", "tiny").folder(first.number)
    from_folder = run(shop, order("planner", "third", str(folder), steps=0)).version
    weights = "adapter_model.safetensors"
    assert from_folder.parent == 0 and from_folder.files[weights] == first.files[weights]


def test_the_tiny_world_and_the_embedded_model_leave_each_other_s_versions_alone(
    shop: Workshop,
) -> None:
    draft = Draft(base="huge", base_sha256="0" * 64, made_by="imported")
    for role in ROLES:
        shelf = shop.shelf(role, EMBEDDED)
        shelf.publish(draft, lambda folder: (folder / "a").write_text("a") and None)
        shelf.promote(1)
    tried = run(shop, order("planner", "tried", "current", steps=0)).version
    assert (tried.number, tried.parent, tried.base) == (1, 0, "tiny")
    shop.shelf("planner", "tiny").promote(tried.number)
    in_use = shop.shelf("planner", EMBEDDED).current()
    assert in_use is not None and in_use.base == "huge"


def test_two_processes_do_not_train_one_run(shop: Workshop) -> None:
    with alone(shop.folder("run") / "busy.lock"):
        with pytest.raises(StoreError, match="another process works at 'run'"):
            run(shop, order("planner", "run", steps=0))
        assert run(shop, order("planner", "another", steps=0)).version.number == 1
    assert run(shop, order("planner", "run", steps=0)).version.number == 2


@contextmanager
def small_files() -> Iterator[None]:
    """No file of this process can be longer than ten kilobytes, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_is_full_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "mia.toml").touch()
    loaded = load(tmp_path / "mia.toml", {"MIA_HOME": str(tmp_path / "home")})
    with small_files(), pytest.raises(StoreError, match=r"cannot write a base to .*: "):
        run(Workshop(loaded, None, False, silent), order("planner", "run"))


def test_what_came_with_mia_is_turned_into_what_can_be_trained_whole(
    shop: Workshop, tmp_path: Path
) -> None:
    folder, left = tmp_path / "begins", tmp_path / "begins.half"
    with small_files(), pytest.raises((OSError, SafetensorError)):
        shipped("planner", folder, SMOLLM2)
    assert not folder.exists(), "what cannot be written to its end is not begun with"
    left.mkdir(exist_ok=True)
    (left / "left by a kill").touch()
    assert shipped("planner", folder, SMOLLM2) == folder and not left.exists()
    assert sorted(file.name for file in folder.iterdir()) == [CONFIG, WEIGHTS]
    before = sha256_of(folder / WEIGHTS)
    assert sha256_of(shipped("executor", tmp_path / "other", SMOLLM2) / WEIGHTS) != before
    assert sha256_of(shipped("executor", folder, SMOLLM2) / WEIGHTS) == before, "it is made once"


def test_the_embedded_model_is_what_the_settings_name_or_has_to_be_fetched(
    shop: Workshop, tmp_path: Path
) -> None:
    wanted = replace(order("planner", "run"), base=EMBEDDED)
    with pytest.raises(MissingError, match="run: mia models get smollm2-135m"):
        shop.check(wanted)
    named = tmp_path / "mine.gguf"
    config = tmp_path / "named.toml"
    config.write_text(f'smollm2 = "{named}"\n')
    loaded = load(config, {"MIA_HOME": str(tmp_path / "home")})
    other = Workshop(loaded, None, False, silent)
    with pytest.raises(ConfigError, match=r"smollm2 names .*mine\.gguf"):
        other.check(wanted)
    named.touch()
    other.check(wanted)
    with pytest.raises(ModelError, match=r"mine\.gguf cannot be turned into a model to train"):
        run(other, wanted)


@pytest.mark.parametrize(("base", "stepwise"), [(EMBEDDED, True), ("./a-capable-one", False)])
def test_who_learns_on_a_base_of_ones_own_plans_in_prose(
    shop: Workshop, tmp_path: Path, base: str, stepwise: bool
) -> None:
    with shop.house(replace(order("planner", "run"), base=base), tmp_path / "run") as house:
        assert house.stepwise is stepwise


@pytest.mark.parametrize(
    ("models", "protocol"),
    [("", Tagged), ("[models.planner]", Tagged), ("[models.executor]", Native),
     ("[models.default]", Native)],
)  # fmt: skip
def test_a_base_of_ones_own_that_plays_the_executor_calls_tools_in_text(
    shop: Workshop, tmp_path: Path, models: str, protocol: type[ReactProtocol]
) -> None:
    said = f'{models}\nbase_url = "http://127.0.0.1:9/v1"\nmodel = "toy"\n' if models else ""
    (tmp_path / "mia.toml").write_text(said)
    loaded = load(tmp_path / "mia.toml", {"MIA_HOME": str(shop.home)})
    mine = replace(order("planner", "run"), base="./a-capable-one")
    with Workshop(loaded, None, False, silent).house(mine, tmp_path / "run") as house:
        assert isinstance(house.protocol, protocol)


@pytest.mark.parametrize(
    ("settings", "can"),
    [
        ("", False),
        ('[models.judge]\nbase_url = "http://127.0.0.1:9/v1"\nmodel = "toy"\n', True),
        ('[models.default]\nbase_url = "http://127.0.0.1:9/v1"\nmodel = "toy"\n', True),
        ('judge = "reference"\n[models.judge]\nbase_url = "http://127.0.0.1:9/v1"\nmodel = "toy"\n',
         False),
    ],
)  # fmt: skip
def test_a_judge_s_supervision_needs_one_who_can_do_without_right_answers(
    tiny_base: Path, tmp_path: Path, settings: str, can: bool
) -> None:
    (tmp_path / "mia.toml").write_text(settings)
    shop = Workshop(
        load(tmp_path / "mia.toml", {"MIA_HOME": str(tmp_path / "home")}), None, False, silent
    )
    judged = replace(order("planner", "run", supervision="judge"), base=str(tiny_base))
    if can:
        shop.check(judged)
    else:
        with pytest.raises(ConfigError, match="nobody here can judge without right answers"):
            shop.check(judged)
    shop.check(replace(judged, reward="tests.training.tiny_world:opposite"))
    shop.check(replace(judged, supervised=True))
    with pytest.raises(ConfigError, match="nobody here can judge"):
        shop.check(replace(judged, base="tiny"))


def test_a_version_of_another_base_is_refused(shop: Workshop) -> None:
    draft = Draft(base="huge", base_sha256="0" * 64, made_by="imported")
    shop.shelf("planner", "tiny").publish(
        draft, lambda folder: (folder / "a").write_text("a") and None
    )
    with pytest.raises(ConfigError, match="version 1 of the planner is of huge, not of tiny"):
        run(shop, order("planner", "run", "1"))
    assert not (shop.home / "training" / "run").exists()


def test_what_is_in_use_of_another_base_is_left_out_and_said(
    shop: Workshop, tiny_base: Path
) -> None:
    told: list[str] = []
    draft = Draft(base="huge", base_sha256="0" * 64, made_by="imported")
    for role in ROLES:
        shelf = shop.shelf(role, EMBEDDED)
        shelf.publish(draft, lambda folder: (folder / "a").write_text("a") and None)
        shelf.promote(1)
    mine = replace(order("planner", "mine", "current", **SPEAKING), base=str(tiny_base))
    talking = Workshop(shop.loaded, None, False, told.append)
    bare = talking.run(replace(mine, supervised=True), EXERCISES, (), ignored).version
    assert bare.parent == 0 and told == [
        "version 1 of the planner is in use and of huge, not of tiny; this run begins with: --from"
        " none",
        "version 1 of the executor is in use and of huge, not of tiny; the bare tiny plays the"
        " executor",
    ]
    talking.shelf("planner", EMBEDDED).promote(bare.number)
    told.clear()
    again = replace(mine, name="again", supervised=True)
    assert talking.run(again, EXERCISES, (), ignored).version.parent == bare.number
    assert len(told) == 1 and "plays the executor" in told[0]


def test_what_is_in_use_has_no_part_where_an_endpoint_plays(
    shop: Workshop, tiny_base: Path, tmp_path: Path
) -> None:
    (tmp_path / "mia.toml").write_text(
        '[models.executor]\nbase_url = "http://127.0.0.1:9/v1"\nmodel = "toy"\n'
    )
    told: list[str] = []
    loaded = load(tmp_path / "mia.toml", {"MIA_HOME": str(shop.home)})
    beside = Workshop(loaded, None, False, told.append)
    mine = replace(order("planner", "mine", **SPEAKING), base=str(tiny_base), supervised=True)
    beside.run(mine, EXERCISES, (), ignored)
    shelf = shop.shelf("executor", EMBEDDED)
    draft = Draft(base="huge", base_sha256="0" * 64, made_by="imported")
    shelf.publish(draft, lambda folder: (folder / "a").write_text("a") and None)
    shelf.promote(1)
    assert beside.run(mine, EXERCISES, (), ignored).version.number == 1, "it is the same run"
    assert told == []


def test_a_damaged_version_is_not_begun_with(shop: Workshop) -> None:
    version = run(shop, order("planner", "run", steps=0)).version
    weights = shop.shelf("planner", "tiny").folder(version.number) / "adapter_model.safetensors"
    raw = weights.read_bytes()
    weights.unlink()
    weights.write_bytes(raw[:-1] + b"?")
    with pytest.raises(StoreError, match=r"adapter_model\.safetensors is damaged"):
        run(shop, order("planner", "another", str(version.number)))


def test_a_partner_of_another_base_or_with_other_files_is_not_trained_beside(
    shop: Workshop,
) -> None:
    shelf = shop.shelf("executor", "tiny")
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
    assert not (shop.home / "training").exists() and shop.shelf("planner", "tiny").versions() == ()


def test_somebody_s_own_reward_is_what_is_paid(shop: Workshop, speaking: Path) -> None:
    begins = str(speaking)
    own = replace(order("planner", "run", begins), reward="tests.training.tiny_world:opposite")
    paid = said(run(shop, own).folder)
    usual = said(run(shop, order("planner", "usual", begins)).folder)
    first = [(a.reward, b.reward) for a, b in zip(paid, usual, strict=True) if a.step == 1]
    assert all(ours == pytest.approx(1 - (theirs or 0)) for ours, theirs in first)
    assert progress_of(shop.folder("run")).spec.reward == own.reward
