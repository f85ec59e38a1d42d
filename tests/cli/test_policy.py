"""`mia policy`: what there is, what is in use, and adapters in every form."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace
from rich.console import Console
from tests.cli.conftest import Mia
from tests.cli.playing import Home

from mia.cli.policy_look import table_of
from mia.engines import adapters
from mia.models.catalog import known, place
from mia.models.gguf_adapters import Heads
from mia.training.versions import GGUF, Draft, Role, Shelf, shelf

SMOLLM2 = known("smollm2-135m")


def publish(home: Home, role: Role = "planner", parent: int = 0, gguf: bool = True) -> Shelf:
    one = shelf(home.data, role)
    draft = Draft(
        base="SmolLM2",
        base_sha256=SMOLLM2.sha256,
        made_by="online",
        parent=parent,
        data="[ten] questions",
        config={"rank": 8},
        metrics={"loss": 0.51234},
        checks={"exact": 0.75},
    )

    def fill(folder: Path) -> None:
        (folder / "adapter_config.json").write_text("{}")
        (folder / "adapter_model.safetensors").write_bytes(b"weights")
        if gguf:
            shutil.copyfile(adapters()["reader"], folder / GGUF)

    one.publish(draft, fill)
    return one


def embedded(home: Home) -> None:
    """Settings in which no endpoint plays anybody."""
    home.config.write_text(f'home = "{home.data}"\n')


def rows(out: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.splitlines()]


def test_an_empty_shelf_says_that_what_came_with_mia_is_in_use(mia: Mia, home: Home) -> None:
    embedded(home)
    said = mia("policy", "list")
    assert (said.code, said.out) == (0, "")
    assert said.err.splitlines() == [
        f"{role}: what came with MIA is in use" for role in ("planner", "executor")
    ]
    assert not (home.data / "policies").exists()


def test_the_list_tells_what_is_in_use(mia: Mia, home: Home) -> None:
    embedded(home)
    publish(home).promote(1)
    publish(home, parent=1)
    publish(home, "executor")
    lines = mia("policy", "list").out.splitlines()
    assert len(lines) == 4
    assert [("in use" in line, "[ten] questions" in line) for line in lines] == [
        (False, False), (True, True), (False, True), (False, True),
    ]  # fmt: skip
    told = rows(mia("policy", "list", "--json").out)
    assert [(row["role"], row["number"], row["current"], row["parent"]) for row in told] == [
        ("planner", 1, True, 0), ("planner", 2, False, 1), ("executor", 1, False, 0),
    ]  # fmt: skip
    told = rows(mia("policy", "list", "--role", "executor", "--json").out)
    assert [row["role"] for row in told] == ["executor"]


def test_who_it_is_is_seen_on_a_narrow_terminal_too(home: Home) -> None:
    (version,) = publish(home).versions()
    many = {f"accuracy of 100 after {step} steps": step / 100 for step in range(0, 100, 20)}
    seen = io.StringIO()
    Console(file=seen, width=80).print(table_of([(replace(version, checks=many), "in use")]))
    first = next(line for line in seen.getvalue().splitlines() if "planner" in line)
    assert first.split()[:7] == ["planner", "1", "in", "use", "SmolLM2", "online", "0"]
    words = " ".join(seen.getvalue().split())
    assert "0.8" in words and "0.6" not in words, "of its checks the last is told"


def test_where_an_endpoint_plays_the_role_no_version_is_in_use(mia: Mia, home: Home) -> None:
    publish(home).promote(1)
    said = mia("policy", "list")
    (line,) = said.out.splitlines()[1:]
    assert "promoted" in line and "in use" not in said.out
    assert said.err.splitlines() == [
        f"{role}: an endpoint plays the {role} (toy), and serves what it serves"
        for role in ("planner", "executor")
    ]
    (told,) = rows(mia("policy", "list", "--json").out)
    assert (told["current"], told["speaks"]) == (True, False)
    shown = mia("policy", "show", "planner", "1")
    assert shown.out.startswith("planner 1  promoted\n") and "but an endpoint plays" in shown.err
    embedded(home)
    (told,) = rows(mia("policy", "show", "planner", "1", "--json").out)
    assert (told["current"], told["speaks"]) == (True, True)


def test_a_version_is_shown_whole(mia: Mia, home: Home) -> None:
    embedded(home)
    for parent in (0, 1, 2):
        publish(home, parent=parent)
    shelf(home.data, "planner").promote(3)
    said = mia("policy", "show", "planner", "current").out
    assert said.startswith("planner 3  in use\n")
    for part in ("2 ← 1 ← what came with MIA", "rank = 8", "loss 0.5123", "exact 0.75",
                 "adapter_model.safetensors", SMOLLM2.sha256[:12], "[ten] questions"):  # fmt: skip
        assert part in said
    (told,) = rows(mia("policy", "show", "planner", "3", "--json").out)
    assert (told["number"], told["current"], told["ancestors"]) == (3, True, [2, 1, 0])
    assert told["folder"] == str(home.data / "policies" / "planner" / "000003")
    assert mia("policy", "show", "planner", "2").out.startswith("planner 2\n")


@pytest.mark.parametrize("command", ["show", "promote", "export"])
def test_a_number_that_is_not_there_is_told_what_is(mia: Mia, home: Home, command: str) -> None:
    publish(home)
    more = ("--form", "peft", "--out", str(home.folder / "x")) if command == "export" else ()
    said = mia("policy", command, "planner", "9", *more)
    assert (said.code, said.out) == (2, "")
    assert said.err == "mia: no version 9 of planner; there are: 1\n"
    assert "is no version; give a number" in mia("policy", command, "planner", "last", *more).err
    said = mia("policy", command, "planner", "current", *more)
    assert (said.code, "mia policy list" in said.err) == (2, True)


def test_a_place_that_cannot_be_written_to_is_said(mia: Mia, home: Home) -> None:
    publish(home)
    (home.folder / "a file").touch()
    out = home.folder / "a file" / "new"
    said = mia("policy", "export", "planner", "1", "--form", "peft", "--out", str(out))
    assert said.code == 5 and said.err.startswith(f"mia: cannot export to {out}: ")


def test_promote_and_rollback_move_what_is_in_use(mia: Mia, home: Home) -> None:
    embedded(home)
    for _ in range(2):
        publish(home)
    said = mia("policy", "promote", "planner", "2")
    assert said.out == "planner: version 2 is in use from here on\n" and said.err == ""
    assert rows(mia("policy", "promote", "planner", "1", "--json").out) == [
        {"role": "planner", "number": 1, "demoted": 0, "readmitted": 0}
    ]
    assert mia("policy", "rollback", "planner").out == "planner: version 2 is in use from here on\n"
    assert rows(mia("policy", "rollback", "planner", "--json").out) == [
        {"role": "planner", "number": 0, "demoted": 0, "readmitted": 0}
    ]
    said = mia("policy", "rollback", "planner")
    assert said.code == 2 and "no version of planner was promoted before" in said.err
    mia("policy", "promote", "planner", "1")
    assert "what came with MIA is in use" in mia("policy", "promote", "planner", "0").out
    assert shelf(home.data, "planner").current() is None


def test_a_damaged_version_is_not_promoted(mia: Mia, home: Home) -> None:
    file = publish(home).folder(1) / "adapter_model.safetensors"
    file.chmod(0o644)
    file.write_bytes(b"weightz")
    said = mia("policy", "promote", "planner", "1")
    assert said.code == 5 and f"{file} is damaged" in said.err
    assert shelf(home.data, "planner").current() is None


def test_who_promotes_what_the_embedded_model_cannot_take_is_told(mia: Mia, home: Home) -> None:
    publish(home, gguf=False)
    embedded(home)
    said = mia("policy", "promote", "planner", "1")
    assert "version 1 would be in use" in said.out and "has no adapter.gguf" in said.err


def test_who_promotes_where_an_endpoint_plays_the_role_is_told(mia: Mia, home: Home) -> None:
    publish(home)
    doubt = "but an endpoint plays the planner (toy), and serves what it serves\n"
    said = mia("policy", "promote", "planner", "1")
    assert said.out == "planner: version 1 would be in use from here on\n" and said.err == doubt
    said = mia("policy", "rollback", "planner", "--json")
    (told,) = rows(said.out)
    assert (told["role"], told["number"], said.err) == ("planner", 0, doubt)


def test_the_doctor_tells_which_versions_are_in_use(mia: Mia, home: Home) -> None:
    embedded(home)
    one = publish(home, "executor")

    def check() -> dict[str, object]:
        said = mia("doctor", "--json", "--corpus", str(home.corpus))
        return next(row for row in rows(said.out) if row["what"] == "policies")

    assert check()["said"] == "planner as shipped, executor as shipped"
    one.promote(1)
    assert (check()["ok"], check()["said"]) == (True, "planner as shipped, executor 1")
    file = one.folder(1) / GGUF
    file.chmod(0o644)
    file.write_bytes(b"junk")
    broken = check()
    assert broken["ok"] is False and "adapter.gguf is damaged" in str(broken["said"])
    assert "mia policy rollback executor" in str(broken["mend"])


def test_an_adapter_is_taken_out_as_it_is(mia: Mia, home: Home) -> None:
    publish(home)
    peft, gguf = home.folder / "peft", home.folder / "deep" / "gguf"
    said = mia("policy", "export", "planner", "1", "--form", "peft", "--out", str(peft))
    assert said.out == f"wrote planner 1 to {peft}\n"
    assert {path.name for path in peft.iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors",
    }  # fmt: skip
    (peft / "adapter_config.json").write_text("what was taken out is yours to change")
    said = mia("policy", "export", "planner", "1", "--form", "gguf", "--out", str(gguf), "--json")
    assert rows(said.out) == [{"role": "planner", "number": 1, "form": "gguf", "out": str(gguf)}]
    assert (gguf / GGUF).read_bytes() == adapters()["reader"].read_bytes()
    said = mia("policy", "export", "planner", "1", "--form", "peft", "--out", str(peft))
    assert said.code == 2 and "something at" in said.err


def test_what_cannot_be_taken_out_leaves_nothing(mia: Mia, home: Home) -> None:
    publish(home, gguf=False)
    out = home.folder / "out"
    said = mia("policy", "export", "planner", "1", "--form", "gguf", "--out", str(out))
    assert said.code == 3 and "weights of SmolLM2; name them with --base" in said.err
    other = home.folder / "other.gguf"
    other.write_bytes(b"other weights")
    for form in ("gguf", "merged"):
        said = mia("policy", "export", "planner", "1", "--form", form, "--out", str(out),
                   "--base", str(other))  # fmt: skip
        assert said.code == 2 and "is not the base of version 1 of planner" in said.err
    assert list(home.folder.glob("out*")) == []


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A base in Hugging Face's form."""
    pytest.importorskip("peft", reason="the extra `train` is not installed")
    from mia.training.tiny import make_base

    return make_base(tmp_path / "tiny-base")


@pytest.fixture
def trained(tiny: Path, tmp_path: Path) -> Path:
    """An adapter over it that says something."""
    import peft
    import torch
    from transformers import AutoModelForCausalLM

    lora = peft.LoraConfig(r=4, lora_alpha=8, target_modules="all-linear")
    model = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(tiny), lora)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.1)
    model.save_pretrained(tmp_path / "trained")
    return tmp_path / "trained"


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_an_adapter_from_elsewhere_goes_in_and_comes_out_merged(
    mia: Mia, home: Home, tiny: Path, trained: Path
) -> None:
    import peft
    import torch
    from transformers import AutoModelForCausalLM

    said = mia("policy", "import", "executor", str(trained), "--base", str(tiny),
               "--data", "a cluster")  # fmt: skip
    assert said.out == "executor: 1; to use it: mia policy promote executor 1\n", said.err
    version = shelf(home.data, "executor").verify(1)
    assert (version.made_by, version.base, version.data) == ("imported", "tiny", "a cluster")
    assert set(version.files) == {"adapter_config.json", "adapter_model.safetensors", GGUF}
    merged = home.folder / "merged"
    said = mia("policy", "export", "executor", "1", "--form", "merged", "--out", str(merged))
    assert said.code == 0, said.err
    ids = torch.arange(20)[None]
    with torch.no_grad():
        base = AutoModelForCausalLM.from_pretrained(tiny)
        plain = base(ids).logits
        adapted = peft.PeftModel.from_pretrained(base, trained)(ids).logits
        whole = AutoModelForCausalLM.from_pretrained(merged)(ids).logits
    assert torch.allclose(whole, adapted, atol=1e-4)
    assert not torch.allclose(plain, adapted, atol=1e-2)
    assert (merged / "tokenizer.json").is_file()
    again = mia("policy", "import", "executor", str(trained), "--base", str(tiny), "--parent", "1",
                "--json")  # fmt: skip
    assert rows(again.out) == [{"role": "executor", "number": 2}]
    assert shelf(home.data, "executor").version(2).parent == 1


def test_a_shipped_adapter_goes_round_and_speaks_for_the_embedded_model(
    mia: Mia, home: Home, real_home: Path
) -> None:
    """GGUF to PEFT, in as a version of the embedded model, and promoted without a word."""
    pytest.importorskip("gguf", reason="the extra `train` is not installed")
    from mia.models.gguf_adapters import from_gguf

    place(home.data, SMOLLM2).parent.mkdir(parents=True)
    place(home.data, SMOLLM2).symlink_to(place(real_home, SMOLLM2))
    from_gguf(adapters()["planner"], home.folder / "peft", Heads(9, 3))
    embedded(home)
    assert mia("policy", "import", "planner", str(home.folder / "peft")).code == 0
    version = shelf(home.data, "planner").version(1)
    assert (version.base, version.base_sha256) == ("smollm2-135m", SMOLLM2.sha256)
    said = mia("policy", "promote", "planner", "1")
    assert (said.code, said.err) == (0, "")


def test_what_is_no_adapter_does_not_go_in(mia: Mia, home: Home, tiny: Path) -> None:
    said = mia("policy", "import", "planner", str(home.folder), "--base", str(tiny))
    assert said.code == 2 and "it has no adapter_config.json" in said.err
    said = mia("policy", "import", "planner", str(home.folder), "--base", str(home.folder / "gone"))
    assert said.code == 3 and "name the adapter's with --base" in said.err
    said = mia("policy", "import", "planner", str(tiny), "--base", str(tiny), "--parent", "4")
    assert said.code == 2 and "no version 4 of planner; there are none" in said.err
    assert shelf(home.data, "planner").versions() == ()
