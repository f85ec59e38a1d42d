"""A method of somebody's own: one Python file with two functions.

    async def recall(question: str) -> str | list[str]: ...
    async def remember(episode: dict) -> None: ...

Either may be a plain function; it then runs in a thread. Either may take an `arm` as well: a dict
of `seed`, the order of the questions, and `folder`, where this arm alone keeps its files. What
`recall` returns is shown as notes, the best first. `remember` gets the episode as the journal has
it, fields at their defaults left out, without the question's gold answers, with what was answered
under `answer`; it may be called again with an episode that it has seen, after a crash. That nothing
it knows of a question helps that very question is its own affair. Its errors are not caught: their
traceback is what its author needs.

The file is run as it is. It comes from whoever runs MIA, never from the web or a memory.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, TypedDict

import msgspec
from msgspec.structs import replace

from mia.captioner import in_words
from mia.errors import ConfigError
from mia.memories.kept import unfinished
from mia.types import Episode, Note, Question, Recollection, Remembered

_FORMS = {"recall": "recall(question)", "remember": "remember(episode)"}


class Arm(TypedDict):
    """What a file is told of where it stands."""

    seed: int
    folder: str
    """Its own; there, and empty when the arm begins."""


class Own:
    """The two functions of a file."""

    def __init__(self, path: Path, folder: Path, seed: int) -> None:
        """Runs the file. `folder` is made. Raises ConfigError when the file is not there, is no
        Python, or lacks a function that can be called with one argument, and `arm` or not."""
        self.path = path
        folder.mkdir(parents=True, exist_ok=True)
        self._arm = Arm(seed=seed, folder=str(folder))
        module = _loaded(path)
        self._recall = _function(module, "recall", path)
        self._remember = _function(module, "remember", path)

    def count(self) -> None:
        """Only the file knows."""

    def close(self) -> None:
        """There is nothing of ours to close."""

    async def recall(self, question: Question) -> Recollection:
        """What the file's function returns. Raises ConfigError when that is no text or texts."""
        found = await self._called(self._recall, in_words(question))
        try:
            texts = msgspec.convert([found] if isinstance(found, str) else found, list[str])
        except msgspec.ValidationError as error:
            raise ConfigError(
                f"{self.path}: recall should return a str or a list of str: {error}"
            ) from error
        said = [text for text in texts if text.strip()]
        notes = (
            Note(id=str(place), text=text, score=1 / place) for place, text in enumerate(said, 1)
        )
        return Recollection(notes=tuple(notes))

    async def remember(self, episode: Episode) -> Remembered:
        """Shows the file's function an episode that came to an end."""
        refused = unfinished(episode)
        if refused is not None:
            return refused
        untold = replace(episode, question=replace(episode.question, answers=None))
        await self._called(
            self._remember, {**msgspec.to_builtins(untold), "answer": episode.answer}
        )
        return Remembered(decision="stored", reason=f"{self.path.name} was shown the episode")

    async def _called(self, function: Callable[..., Any], argument: object) -> Any:
        arm = {"arm": self._arm} if "arm" in inspect.signature(function).parameters else {}
        if inspect.iscoroutinefunction(function):
            return await function(argument, **arm)
        return await asyncio.to_thread(function, argument, **arm)


def check(path: Path) -> None:
    """Runs a file to see that it can be. Raises ConfigError, as `Own`."""
    with TemporaryDirectory() as folder:
        Own(path, Path(folder), 0)


def _loaded(path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigError(f"there is no file {path}")
    spec = spec_from_file_location(f"own_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path} should be a Python file, and its name end in .py")
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (SyntaxError, ImportError) as error:
        raise ConfigError(f"{path} cannot be loaded: {error}") from error
    return module


def _function(module: ModuleType, name: str, path: Path) -> Callable[..., Any]:
    found: Any = getattr(module, name, None)
    if not callable(found):
        raise ConfigError(f"{path} should have a function {_FORMS[name]}")
    form = inspect.signature(found)
    arm = {"arm": None} if "arm" in form.parameters else {}
    try:
        form.bind("", **arm)
    except TypeError as error:
        raise ConfigError(f"{path}: {name} should be {_FORMS[name]}: {error}") from error
    return found
