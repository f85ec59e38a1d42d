"""Sets come from the hub by its own library: the real one, from a hub on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from tests.datasets.hub_stand_in import COMMIT, hub
from tests.datasets.written import Rows, jsonl, parquet, picture, table

from mia.datasets.catalog import known
from mia.datasets.hub import Hub
from mia.datasets.jsonl import load
from mia.datasets.kept import About, got
from mia.errors import MissingError

INSTALLED = find_spec("datasets") is not None
needs_library = pytest.mark.skipif(not INSTALLED, reason="needs datasets: pip install 'mia[data]'")
HOTPOT: Rows = [
    {"id": f"h{n}", "question": f"Question {n}?", "answer": f"answer {n}", "type": "bridge",
     "context": {"title": ["A"], "sentences": [["One.", "Two."]]}}
    for n in range(300)
]  # fmt: skip
CONFIGS = """---
configs:
- config_name: distractor
  data_files:
  - split: validation
    path: distractor/validation-*
- config_name: fullwiki
  data_files:
  - split: validation
    path: fullwiki/validation-*
---
"""
PICTURES = """---
dataset_info:
  features:
  - name: data_id
    dtype: string
  - name: prompt
    list:
    - name: role
      dtype: string
    - name: content
      dtype: string
  - name: images
    list: image
---
"""


class Said(NamedTuple):
    """What the command printed, and how it ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    with hub(tmp_path / "repos") as url:
        yield url


def get(home: Path, url: str, *arguments: str) -> Said:
    """`mia data get` in a process of its own: the library reads once where its hub is."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "MIA_"))}
    command: Sequence[str] = ("data", "get", *arguments, "--json", "--home", str(home / "home"))
    done = subprocess.run(
        [sys.executable, "-m", "mia", *command],
        env={**environment, "HF_ENDPOINT": url, "HF_HOME": str(home / "hf")},
        cwd=home, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return Said(done.returncode, done.stdout, done.stderr)


def questions(home: Path, name: str) -> list[str]:
    (one,) = got(home / "home", name)
    return [question.text for question in load(one.path)]


@needs_library
def test_a_split_of_a_configuration_is_got_at_one_commit(tmp_path: Path, served: str) -> None:
    repo = tmp_path / "repos" / "hotpotqa" / "hotpot_qa"
    parquet(repo / "fullwiki" / "validation-00000-of-00002.parquet", HOTPOT[:200])
    parquet(repo / "fullwiki" / "validation-00001-of-00002.parquet", HOTPOT[200:])
    parquet(repo / "distractor" / "validation-00000-of-00001.parquet", HOTPOT[:3])
    (repo / "README.md").write_text(CONFIGS)
    said = get(tmp_path, served, "hotpotqa")
    assert said.code == 0, said.err
    about = msgspec.json.decode(said.out, type=dict[str, msgspec.Raw])["about"]
    told = msgspec.json.decode(about, type=About)
    assert (told.source, told.revision, told.rows) == ("hotpotqa/hotpot_qa", COMMIT, 300)
    assert questions(tmp_path, "hotpotqa") == [row["question"] for row in HOTPOT]


@needs_library
def test_no_code_of_a_repository_is_run(tmp_path: Path, served: str) -> None:
    repo = tmp_path / "repos" / "xanhho" / "2WikiMultihopQA"
    row = {"_id": "w", "type": "inference", "question": "When?", "answer": "1900",
           "evidences": '[["a", "father", "b"]]'}  # fmt: skip
    parquet(repo / "dev.parquet", [row])
    script = f"open({str(tmp_path / 'ran')!r}, 'w')\n"
    (repo / "2WikiMultihopQA.py").write_text(script)
    assert get(tmp_path, served, "2wikimultihopqa").code == 0
    assert questions(tmp_path, "2wikimultihopqa") == ["When?"]
    assert not (tmp_path / "ran").exists()


@needs_library
def test_tables_and_lines_come_as_well(tmp_path: Path, served: str) -> None:
    repos = tmp_path / "repos"
    popqa = {"id": 1, "question": "Job?", "possible_answers": '["x"]', "prop": "occupation"}
    table(repos / "akariasai" / "PopQA" / "test.tsv", [popqa])
    frames = {"": 3, "Prompt": "How many?", "Answer": "nine", "reasoning_types": "t"}
    table(repos / "google" / "frames-benchmark" / "test.tsv", [frames])
    musique = {"id": "2hop__1_2", "question": "Whose?", "answer": "x", "answer_aliases": ["y"],
               "answerable": True}  # fmt: skip
    jsonl(repos / "dgslibisey" / "MuSiQue" / "musique_ans_v1.0_dev.jsonl", [musique])
    for name, question in (("popqa", "Job?"), ("frames", "How many?"), ("musique", "Whose?")):
        said = get(tmp_path, served, name)
        assert said.code == 0, said.err
        assert questions(tmp_path, name) == [question]
    assert load(got(tmp_path / "home", "frames")[0].path)[0].id == "frames:3"


@needs_library
def test_pictures_come_as_they_are(tmp_path: Path, served: str) -> None:
    row = {"data_id": "fvqa_test_1", "prompt": [{"role": "user", "content": "Who?"}],
           "images": [{"bytes": picture(9), "path": None}]}  # fmt: skip
    repo = tmp_path / "repos" / "somebody" / "else"
    parquet(repo / "test-0.parquet", [row])
    (repo / "README.md").write_text(PICTURES)
    said = get(tmp_path, served, "livevqa", "--repo", "somebody/else")
    assert said.code == 0, said.err
    folder = tmp_path / "home" / "data" / "livevqa"
    assert len(list((folder / "pictures").glob("*.jpg"))) == 1


@needs_library
def test_what_the_hub_does_not_give_says_what_to_do(tmp_path: Path, served: str) -> None:
    (tmp_path / "repos").mkdir()
    unknown = get(tmp_path, served, "popqa")
    assert unknown.code == 3 and "knows no akariasai/PopQA" in unknown.err
    assert "mia data get popqa --from FILE" in unknown.err
    gated = get(tmp_path, served, "gaia")
    assert gated.code == 3 and "accepted its terms" in gated.err and "HF_TOKEN" in gated.err
    parquet(tmp_path / "repos" / "a" / "b" / "test-0.parquet", [{"data_id": "1"}])
    split = get(tmp_path, served, "livevqa", "--repo", "a/b", "--split", "ttrl")
    assert split.code == 3 and "cannot get a/b from the hub" in split.err


@needs_library
def test_whoever_is_offline_is_told_at_once(tmp_path: Path) -> None:
    said = get(tmp_path, "http://127.0.0.1:9", "hotpotqa")
    assert said.code == 3 and "cannot reach the hub" in said.err
    assert "mia data get hotpotqa --from FILE" in said.err


@pytest.mark.skipif(INSTALLED, reason="datasets is installed")
def test_without_the_library_it_says_how_to_install_it() -> None:
    with pytest.raises(MissingError, match=r"pip install 'mia\[data\]==.*--from FILE"):
        Hub(known("hotpotqa"))


def test_a_set_without_a_known_place_asks_for_one() -> None:
    with pytest.raises(MissingError, match="mia data get livevqa --repo OWNER/NAME, or --from"):
        Hub(known("livevqa"))
