"""The one synchronous door: `MIA().ask("...")` for scripts and notebooks."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Self

from msgspec.structs import replace
from ulid import ULID

from mia.config import load
from mia.datasets.jsonl import question_of
from mia.engines import missing_models
from mia.errors import MissingError
from mia.executor import Watch, unwatched
from mia.solve import Team, solve
from mia.team import House
from mia.types import Episode, Recollection


class MIA:
    """A team with its memory, by the settings in force. Close it, or use it in a `with`."""

    def __init__(
        self,
        corpus: Path | str | None = None,
        *,
        config: Path | str | None = None,
        home: Path | str | None = None,
        namespace: str | None = None,
    ) -> None:
        """`corpus` is a JSONL file, a folder or an index; None for the demo's. Raises MissingError
        that names the command for a model that is not here yet."""
        loaded = load(Path(config) if config else None)
        settings = loaded.settings
        settings = replace(settings, home=str(home)) if home else settings
        settings = replace(settings, namespace=namespace) if namespace else settings
        loaded = replace(loaded, settings=settings)
        if missing := missing_models(loaded):
            raise MissingError(f"{missing[0]} is not here yet; run: mia models get {missing[0]}")
        self._house = House(loaded, corpus=Path(corpus) if corpus else None)

    @cached_property
    def _team(self) -> Team:
        return self._house.team(self._house.run(f"python-{ULID()}"))

    def ask(self, question: str, gold: tuple[str, ...] = (), watch: Watch = unwatched) -> Episode:
        """The episode of a question, written down and remembered; `gold` are right answers to
        judge by. Raises InputError for a question that cannot be asked."""
        id = str(ULID())  # asked twice, a question has two episodes
        asked = question_of(question, "the question", id=id, answers=gold or None)
        return self._house.complete(solve(asked, self._team, watch))

    def recall(self, question: str) -> Recollection:
        """What memory would give a planner for a question."""
        asked = question_of(question, "the question")
        return self._house.complete(self._house.memory.recall(asked))

    def close(self) -> None:
        """Lets go of memory and journal."""
        self._house.__exit__()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
