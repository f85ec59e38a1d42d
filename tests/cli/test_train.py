"""`mia train`: policies learn, are published, and go on where they stopped."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.cli.conftest import Said
from tests.training.verl import runs

from mia.cli.main import main
from mia.cli.train_options import Place, Wishes, exercises_of
from mia.models.catalog import known, place
from mia.training import tiny
from mia.training.rewards import Parts, Rollout
from mia.training.verl.launch import begin
from mia.training.versions import Shelf, shelf

Mia = Callable[..., Said]
QUICK = ("--preset", "tiny", "--set", "steps=2", "--set", "questions=2", "--set", "attempts=4")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def mia(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Mia:
    """Runs a command here, with default settings."""
    (tmp_path / "mia.toml").touch()

    def run(*arguments: str) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--config", str(tmp_path / "mia.toml")])
        said = capsys.readouterr()
        assert isinstance(ended.value.code, int) and "Traceback" not in said.err
        return Said(ended.value.code, said.out, said.err)

    return run


def of(home: Path, role: Any) -> Shelf:
    """The versions of the tiny world."""
    return shelf(home / "tiny", role)


def stumbles(rollout: Rollout) -> Parts | None:
    """A reward with a mistake in it."""
    raise KeyError(rollout.episode.id)


def pressed(rollout: Rollout, keys: Iterator[int] = iter([signal.SIGINT])) -> Parts | None:
    """While the first episode is looked at, somebody presses Ctrl-C."""
    for key in keys:
        signal.raise_signal(key)
    return None


def test_both_learn_in_turn_and_a_second_call_does_nothing_anew(mia: Mia, home: Path) -> None:
    said = mia("train", "alternate", *QUICK, "--home", str(home))
    assert said.code == 0, said.err
    assert "planner 2: of use to the tiny world only" in said.err
    assert "mia policy promote" not in said.err
    for role in ("planner", "executor"):
        speaking, learned = of(home, role).versions()
        assert (speaking.made_by, learned.made_by) == ("supervised", role)
        assert learned.parent == speaking.number and "adapter.gguf" in learned.files
        assert of(home, role).current() is None, "nothing is put to use unasked"
    again = mia("train", "alternate", *QUICK, "--home", str(home), "--json")
    assert again.code == 0, again.err
    published = json.loads(again.out.splitlines()[-1])["published"]
    assert [(v["role"], v["number"]) for v in published] == [("executor", 2), ("planner", 2)]
    shown = mia("train", "show", "alternate-tiny-1-planner", "--home", str(home))
    assert "planner: 2 steps are done" in shown.out
    show = ("train", "show", "alternate-tiny-1-planner", "--home", str(home), "--json")
    told = json.loads(mia(*show).out)
    assert told["spec"]["role"] == "planner" and [step["step"] for step in told["steps"]] == [1, 2]
    assert "alternate-tiny-1-planner" in mia("train", "show", "--home", str(home)).out.splitlines()
    missed = mia("train", "show", "alternate-tiny", "--home", str(home))
    assert (
        missed.code == 2 and "no run 'alternate-tiny'; there are: alternate-tiny-1-" in missed.err
    )
    listed = json.loads(mia("train", "show", "--home", str(home), "--json").out)
    assert "alternate-tiny-1-executor" in listed["runs"]


def test_steps_and_checks_can_be_read_by_machines(mia: Mia, home: Path) -> None:
    said = mia("train", "planner", *QUICK, "--home", str(home), "--promote", "--json")
    assert said.code == 0, said.err
    lines = [json.loads(line) for line in said.out.splitlines()]
    steps = [line for line in lines if line.get("run") == "planner-tiny" and "update" in line]
    assert [step["step"] for step in steps] == [1, 2]
    assert lines[-1]["promoted"] is True
    current = of(home, "planner").current()
    assert current is not None and current.number == 2
    assert shelf(home, "planner").versions() == (), "the embedded model has nothing to do with it"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--preset", "tony"), "there is no preset 'tony'; there are executor, planner"),
        ((), "say what to learn from: --data"),
        ((*QUICK, "--set", "rnak=3"), "--set rnak=3: --set takes NAME=VALUE with one of alpha"),
        ((*QUICK, "--set", "rnak=3"), "weight_decay; did you mean rank?"),
        ((*QUICK, "--set", "rank"), "temperature, warm_steps, weight_decay\n"),
        ((*QUICK, "--data", "mine.jsonl", "--web"), "--data, --web: not with --preset tiny"),
        ((*QUICK, "--base", "mine", "--held-out", "a"), "--held-out, --base: not with --preset"),
        ((*QUICK, "--set", "rank=many"), "--set"),
        ((*QUICK, "--set", "attempts=1"), "no run can have this: attempts"),
        ((*QUICK, "--name", "../elsewhere"), "is no name"),
        ((*QUICK, "--from", "9"), "9"),
        ((*QUICK, "--from", "shipped"), "no adapter came with tiny"),
        ((*QUICK, "--device", "tpu"), "there is no device 'tpu' here; there is cpu"),
        ((*QUICK, "--engine", "jax"), "there is no engine 'jax'; there are local and verl"),
        ((*QUICK, "--engine", "verl"), "say what to train: --base"),
        ((*QUICK, "--reward", "nowhere:none"), "no reward at 'nowhere:none'"),
        ((*QUICK, "--set", "supervision=judge"), "nobody here can judge without right answers"),
        ((*QUICK, "--from", "no/where"), "there is no adapter in no/where"),
        ((*QUICK, "--log", "abacus"), "there is no log 'abacus'; there are tensorboard and wandb"),
    ],
)
@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_what_cannot_be_done_is_said(
    mia: Mia, home: Path, arguments: tuple[str, ...], told: str, dry: tuple[str, ...]
) -> None:
    said = mia("train", "planner", *arguments, *dry, "--home", str(home))
    assert said.code in (2, 3) and told in said.err and said.out == ""
    assert of(home, "planner").versions() == ()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--device", "cpu"), "--device: only with --engine local"),
        (("--log", "tensorboard"), "--log: only with --engine local"),
        (("--promote", "--json"), "--promote, --json: only with --engine local"),
        (("--from", "current"), "current is no folder"),
        (("--from", "7"), "7 is no folder"),
        (("--from", "shipped"), "shipped is no folder"),
        (("--from", "no/where"), "no/where is no folder"),
    ],
)
def test_what_verl_would_not_heed_is_refused(
    mia: Mia, home: Path, arguments: tuple[str, ...], told: str
) -> None:
    verl = ("--engine", "verl", "--base", str(home))
    said = mia("train", "planner", *QUICK, *verl, *arguments, "--home", str(home))
    assert said.code == 2 and told in said.err


@pytest.mark.parametrize("option", [("--cluster", "gpus=8"), ("--override", "a=b")])
def test_what_only_verl_heeds_is_refused_elsewhere(
    mia: Mia, home: Path, option: tuple[str, str]
) -> None:
    said = mia("train", "planner", *QUICK, *option, "--all-weights", "--home", str(home))
    assert said.code == 2 and f"{option[0]}, --all-weights: only with --engine verl" in said.err


def test_a_reward_that_raises_is_told_in_one_line(mia: Mia, home: Path) -> None:
    reward = f"{__name__}:stumbles"
    said = mia("train", "planner", *QUICK, "--reward", reward, "--home", str(home))
    assert said.code == 6 and f"the reward {reward} raised KeyError" in said.err


def test_who_interrupts_a_run_is_told_how_it_goes_on(mia: Mia, home: Path) -> None:
    reward = f"{__name__}:pressed"
    said = mia("train", "planner", *QUICK, "--reward", reward, "--home", str(home))
    assert said.code == 130
    assert "stopped; the same command goes on from the last checkpoint" in said.err


def test_a_run_of_another_kind_is_not_gone_on_with(mia: Mia, home: Path) -> None:
    assert mia("train", "planner", *QUICK, "--home", str(home)).code == 0
    said = mia("train", "planner", *QUICK, "--set", "learning_rate=0.5", "--home", str(home))
    assert said.code == 2 and "was begun with another preset" in said.err


def test_a_dry_run_says_what_would_be_done(mia: Mia, home: Path) -> None:
    said = mia("train", "executor", *QUICK, "--dry-run", "--home", str(home))
    told = json.loads(said.out)
    assert told["steps"] == 2 and told["order"]["preset"]["attempts"] == 4
    assert told["order"]["begins"] == "current", "what was left as it is by default is told too"
    assert told["order"]["preset"]["temperature"] == 1.0
    assert not (home / "training").exists()
    both = mia("train", "alternate", *QUICK, "--corpus", "mine", "--home", str(home))
    assert both.code == 2 and "--corpus: not with --preset tiny" in both.err
    assert not (home / "training").exists()


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_an_executor_is_seen_to_learn_in_the_tiny_world(mia: Mia, home: Path) -> None:
    said = mia("train", "executor", "--preset", "tiny", "--set", "steps=48", "--home", str(home))
    assert "2 of 8 held-out questions are right before" in said.err or "0 of 8" in said.err
    assert "6 of 8 held-out questions are right after 48 steps" in said.err


@pytest.fixture
def published(home: Path, tmp_path: Path) -> Path:
    """A folder with a question that has an answer, one that has none, and a corpus."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "questions.jsonl").write_text(
        '{"question": "a?", "answer": "b"}\n{"question": "c?"}\n'
    )
    (folder / "corpus.jsonl").write_text('{"id": "1", "title": "a", "text": "b"}\n')
    weights = place(home, known("smollm2-135m"))
    weights.parent.mkdir(parents=True)
    weights.touch()
    return folder


def test_right_answers_are_asked_for_where_the_reward_needs_them_only(
    mia: Mia, home: Path, published: Path, tmp_path: Path
) -> None:
    dry = ("train", "planner", "--data", str(published), "--dry-run", "--home", str(home))
    assert "row 2" in mia(*dry).err
    own = mia(*dry, "--reward", "tests.training.tiny_world:opposite")
    assert json.loads(own.out)["exercises"] == 2
    (tmp_path / "mia.toml").write_text(
        '[models.default]\nbase_url = "http://127.0.0.1:9/v1"\nmodel = "toy"\n'
    )
    judged = mia(*dry, "--set", "supervision=judge")
    assert json.loads(judged.out)["exercises"] == 2
    assert mia(*dry, "--preset", "ttrl-unsupervised").code == 0
    assert "row 2" in mia(*dry, "--preset", "ttrl").err


def test_what_nobody_measures_and_whose_corpus_is_searched_is_said(
    mia: Mia, home: Path, published: Path, tmp_path: Path
) -> None:
    mine = str(published / "questions.jsonl")
    own = ("--reward", "tests.training.tiny_world:opposite", "--dry-run", "--home", str(home))
    unmeasured, demos = "of fewer than 10 questions none is held out", "is the demo's corpus"
    said = mia("train", "planner", "--data", mine, *own).err
    assert unmeasured in said and demos in said
    held = mia("train", "planner", "--data", mine, "--held-out", str(_held_out(tmp_path)), *own)
    assert unmeasured not in held.err and demos in held.err
    unasked = ("--set", "check_every=0", "--corpus", str(published / "corpus.jsonl"))
    assert mia("train", "planner", "--data", mine, *unasked, *own).err == ""
    assert demos not in mia("train", "planner", "--data", str(published), *own).err
    (tmp_path / "mia.toml").write_text(f'[search]\ncorpus = "{published / "corpus.jsonl"}"\n')
    assert demos not in mia("train", "planner", "--data", mine, *own).err


def test_a_warm_up_that_is_not_measured_searches_nothing(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mia.toml").touch()
    here = Place(None, False, tmp_path / "mia.toml", tmp_path / "home")
    mine = str(published / "questions.jsonl")
    lessons = Wishes(mine, None, None, (), None, None, None, supervised=True)
    exercises_of("planner", lessons, here)
    assert "demo's corpus" not in capsys.readouterr().err
    exercises_of("planner", lessons._replace(held_out=str(_held_out(tmp_path))), here)
    assert "demo's corpus" in capsys.readouterr().err


def test_a_base_that_is_none_is_refused_before_any_work(
    mia: Mia, home: Path, published: Path
) -> None:
    own = ("--reward", "tests.training.tiny_world:opposite", "--dry-run", "--home", str(home))
    said = mia("train", "planner", "--data", str(published), "--base", "nowhere", *own)
    assert said.code == 2 and "no model in Hugging Face's form at nowhere" in said.err


def test_a_judge_s_supervision_takes_the_answers_away_from_what_is_learned_from(
    published: Path, tmp_path: Path
) -> None:
    (tmp_path / "mia.toml").touch()
    here = Place(None, False, tmp_path / "mia.toml", tmp_path / "home")
    mine = str(published / "questions.jsonl")
    plain = Wishes(mine, None, None, (), None, None, None, supervised=True)
    learned, _ = exercises_of("planner", plain, here)
    assert [each.question.answers for each in learned] == [("b",), None]
    held = str(_held_out(tmp_path))
    judged = plain._replace(supervised=False, changes=("supervision=judge",), held_out=held)
    learned, kept = exercises_of("planner", judged, here)
    assert [each.question.answers for each in learned] == [None, None]
    assert [each.question.answers for each in kept] == [("e",)], "progress is measured by them"


def test_a_folder_brings_its_corpus_unless_another_is_named(
    mia: Mia, home: Path, published: Path
) -> None:
    own = ("--reward", "tests.training.tiny_world:opposite")
    dry = ("train", "planner", "--data", str(published), *own, "--dry-run", "--home", str(home))
    assert json.loads(mia(*dry).out)["corpus"] == str(published / "corpus.jsonl")
    assert json.loads(mia(*dry, "--web").out)["corpus"] is None
    other = str(published / "questions.jsonl")
    assert json.loads(mia(*dry, "--corpus", other).out)["corpus"] == other


def test_a_run_on_verl_is_shown_as_what_it_is(mia: Mia, home: Path, tmp_path: Path) -> None:
    begin(replace(runs.job(tmp_path), folder=home / "training" / "far"))
    show = ("train", "show", "far", "--home", str(home))
    assert "planner on verl" in mia(*show).out and "no checkpoint yet" in mia(*show).out
    for step in (20, 3):
        (home / "training" / "far" / "checkpoints" / f"global_step_{step}").mkdir(parents=True)
    assert "after steps 3, 20, in " in mia(*show).out
    told = json.loads(mia(*show, "--json").out)
    assert (told["engine"], told["role"], told["checkpoints"]) == ("verl", "planner", [3, 20])
    drawn = mia(*show, "--figure", str(tmp_path / "a.png"))
    assert drawn.code == 2 and "far is a run on verl" in drawn.err
    (home / "training" / "far" / "run.json").write_text("{}")
    assert "cannot be read" in mia(*show).err


def test_a_checkpoint_of_a_run_on_verl_is_merged_by_verl(
    mia: Mia, home: Path, tmp_path: Path
) -> None:
    far = replace(runs.job(tmp_path), folder=home / "training" / "far")
    begin(far)
    for step in (10, 20):
        far.files.actor(step).mkdir(parents=True)
    far.files.latest.write_text("20")
    merge = ("train", "merge", "far", "--home", str(home), "--out", str(tmp_path / "out"))
    told = mia(*merge, "--dry-run").out
    assert "-m verl.model_merger merge" in told and str(far.files.actor(20)) in told
    assert str(far.files.actor(10)) in mia(*merge, "--step", "10", "--dry-run").out
    assert "of step 11; there are: 10, 20" in mia(*merge, "--step", "11", "--dry-run").err
    if find_spec("verl") is None:
        here = mia(*merge)
        assert here.code == 3 and "call this in verl's environment" in here.err
    (tmp_path / "out").mkdir()
    taken = mia(*merge, "--dry-run")
    assert taken.code == 2 and "there is something at" in taken.err


def test_who_promotes_at_once_is_told_what_mia_policy_promote_tells(
    mia: Mia, home: Path, tmp_path: Path
) -> None:
    asked = tmp_path / "mine.jsonl"
    asked.write_text('{"question": "a?", "answer": "b"}\n')
    base = tiny.make_base(tmp_path / "base")
    said = mia(
        "train", "planner", "--data", str(asked), "--held-out", str(_held_out(tmp_path)), "--base",
        str(base), "--from", "none", "--promote", "--set", "steps=0", "--set", "check_every=0",
        "--home", str(home),
    )  # fmt: skip
    assert said.code == 0, said.err
    assert "planner 1: is promoted\nplanner: but version 1 of planner is an adapter for tiny" in (
        said.err
    )


@pytest.mark.parametrize(
    ("protocol", "told"), [("", True), ('[executor]\nprotocol = "text"\n', False)]
)
def test_an_executor_that_learned_tags_says_how_it_is_used(
    mia: Mia, home: Path, tmp_path: Path, protocol: str, told: bool
) -> None:
    asked = tmp_path / "mine.jsonl"
    asked.write_text('{"question": "a?", "answer": "b"}\n')
    endpoint = '[models.executor]\nbase_url = "http://127.0.0.1:9/v1"\nmodel = "toy"\n'
    (tmp_path / "mia.toml").write_text(f"{endpoint}{protocol}")
    base = tiny.make_base(tmp_path / "base")
    said = mia(
        "train", "executor", "--data", str(asked), "--held-out", str(_held_out(tmp_path)), "--base",
        str(base), "--from", "none", "--set", "steps=0", "--set", "check_every=0",
        "--home", str(home),
    )  # fmt: skip
    assert said.code == 0, said.err
    assert "mia policy promote executor 1" in said.err
    assert ('use it with protocol = "text"' in said.err) is told


def _held_out(folder: Path) -> Path:
    file = folder / "held.jsonl"
    file.write_text('{"question": "d?", "answer": "e"}\n')
    return file


def test_questions_without_answers_are_refused_by_their_row(
    mia: Mia, home: Path, tmp_path: Path
) -> None:
    asked = tmp_path / "mine.jsonl"
    asked.write_text('{"question": "a?", "answer": "b"}\n{"question": "c?"}\n')
    said = mia("train", "planner", "--data", str(asked), "--home", str(home))
    assert said.code == 2 and "mine.jsonl" in said.err and "2" in said.err
