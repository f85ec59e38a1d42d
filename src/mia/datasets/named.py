"""What a person means by the data to ask: a set that was got, a file, or a folder with a corpus."""

from __future__ import annotations

from pathlib import Path

from mia.datasets.catalog import KNOWN, find
from mia.datasets.kept import Got, got, names
from mia.errors import InputError, MissingError
from mia.types import Noun


class Data(Noun, frozen=True):
    """Questions, and what they can be answered from where that came with them."""

    questions: Path
    """JSONL, for `mia.datasets.jsonl.load`."""
    label: str
    """For people."""
    corpus: Path | None = None


def named(name: str | Path, home: Path) -> Data:
    """The data of a name: a JSONL file; a folder with questions.jsonl, and corpus.jsonl where it
    has one; NAME or NAME:SPLIT of the sets of this home.

    Raises MissingError that says how to get a set that is known but not here, InputError for what
    is none of these.
    """
    path = Path(name)
    if path.is_file():
        return Data(questions=path, label=path.stem)
    if (path / "questions.jsonl").is_file():
        corpus = path / "corpus.jsonl"
        return Data(
            questions=path / "questions.jsonl",
            corpus=corpus if corpus.is_file() else None,
            label=path.resolve().name,
        )
    called, _, split = str(name).partition(":")
    here = got(home, called)
    if here:
        chosen = _chosen(called, split, here)
        return Data(questions=chosen.path, label=f"{called}:{chosen.split}")
    if find(called) is not None:
        wanted = f" --split {split}" if split else ""
        raise MissingError(f"{called} is not here yet; run: mia data get {called}{wanted}")
    if path.is_dir():
        raise InputError(f"{path} has no questions.jsonl")
    every = dict.fromkeys((*(each.name for each in KNOWN), *names(home)))
    raise InputError(f"no file and no data set is called {name}; there are: {', '.join(every)}")


def _chosen(name: str, split: str, here: tuple[Got, ...]) -> Got:
    """The split asked for; else the one that is asked by default, or the only one."""
    known = find(name)
    default = known.splits[0].name if known else ""
    for one in here:
        if one.split == (split or default) or (not split and len(here) == 1):
            return one
    there = ", ".join(f"{name}:{one.split}" for one in here)
    if split and known is not None:
        known.split(split)  # says which there are, where there is none of that name
        raise MissingError(
            f"{name}:{split} is not here yet; run: mia data get {name} --split {split}"
            f" (here: {there})"
        )
    raise InputError(f"which split of {name}? There are: {there}")
