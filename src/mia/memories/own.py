"""A method of somebody's own: one Python file with two functions.

    async def recall(question: str) -> str | list[str]: ...
    async def remember(episode: dict) -> None: ...

Either may be a plain function; it then runs in a thread. What `recall` returns is shown as notes,
the best first. `remember` gets the episode as the journal has it, fields at their defaults left
out, with what was answered under `answer`; it may be called again with an episode that it has seen,
after a crash. What the file keeps, where, and that nothing it knows of a question helps that very
question, is its own affair. Its errors are not caught: their traceback is what its author needs.

The file is run as it is. It comes from whoever runs MIA, never from the web or a memory.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from mia.captioner import in_words
from mia.errors import ConfigError
from mia.memories.kept import unfinished
from mia.types import Episode, Note, Question, Recollection, Remembered

_FORMS = {"recall": "recall(question)", "remember": "remember(episode)"}


class Own:
    """The two functions of a file."""

    def __init__(self, path: Path) -> None:
        """Runs the file. Raises ConfigError when it is not there, is no Python, or lacks a function
        that can be called with one argument."""
        self.path = path
        module = _loaded(path)
        self._recall = _function(module, "recall", path)
        self._remember = _function(module, "remember", path)

    def count(self) -> int:
        """None that we know of."""
        return 0

    def close(self) -> None:
        """There is nothing of ours to close."""

    async def recall(self, question: Question) -> Recollection:
        """What the file's function returns. Raises ConfigError when that is no text or texts."""
        found = await _called(self._recall, in_words(question))
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
        shown = {**msgspec.to_builtins(episode), "answer": episode.answer}
        await _called(self._remember, shown)
        return Remembered(decision="stored", reason=f"{self.path.name} was shown the episode")


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
    try:
        inspect.signature(found).bind("")
    except TypeError as error:
        raise ConfigError(f"{path}: {name} should be {_FORMS[name]}: {error}") from error
    return found


async def _called(function: Callable[..., Any], argument: object) -> Any:
    if inspect.iscoroutinefunction(function):
        return await function(argument)
    return await asyncio.to_thread(function, argument)
