"""Rows from the hub, by its own library `datasets`. No code of a repository is run: since its
version 4 the library has none.

The library finds the token by itself: `HF_TOKEN`, or what `hf auth login` has kept.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol, cast

import httpx2

from mia.datasets.dataset import DataSet, Raw, Split
from mia.errors import MissingError, adding

_SECONDS = 20.0
"""For the first answer of the hub: whoever is offline should know it soon."""


class _Stream(Protocol):
    """The part of `datasets.IterableDataset` that is used."""

    @property
    def features(self) -> object | None: ...

    def decode(self, enable: bool) -> _Stream: ...

    def __iter__(self) -> Iterator[Raw]: ...


class _Library(Protocol):
    """The part of `datasets` that is used. It is not imported by name: its types would be asked
    of everybody who checks ours."""

    def disable_progress_bars(self) -> None: ...

    def load_dataset(
        self,
        path: str,
        name: str | None = None,
        *,
        data_files: Sequence[str] | None = None,
        split: str,
        revision: str | None = None,
        streaming: bool,
    ) -> _Stream: ...


class _Errors(Protocol):
    DatasetsError: type[Exception]
    DatasetNotFoundError: type[Exception]
    """Also for a gated one without a token."""


class Hub:
    """The repository of a set. Everything raises MissingError that says what can be done."""

    def __init__(self, data_set: DataSet, repo: str | None = None) -> None:
        """`repo` is another one with the same rows. Raises MissingError where none is known, and
        without the library."""
        self._set = data_set
        self.repo = repo or data_set.repo or ""
        if not self.repo:
            raise MissingError(
                f"where the hub keeps {data_set.name} is not known here; find it by its publishers"
                f" and say: mia data get {data_set.name} --repo OWNER/NAME, or --from FILE"
            )
        if find_spec("datasets") is None:
            raise MissingError(
                f"the hub needs the datasets library; run: {adding('data')}, or give a file:"
                f" mia data get {data_set.name} --from FILE"
            )

    def commit(self, revision: str | None = None) -> str:
        """What a revision is called for good; of the newest where none is named."""
        from huggingface_hub import HfApi

        with self._told():
            found = HfApi().dataset_info(self.repo, revision=revision, timeout=_SECONDS)
        if found.sha is None:
            raise MissingError(f"the hub names no revision of {self.repo}")
        return found.sha

    def rows(self, split: Split, commit: str) -> Iterator[Raw]:
        """The rows of a split as they come; nothing is kept but what the library keeps."""
        with self._told():
            found = self._stream(split, commit)
            # pictures stay bytes; what has no declared columns has none
            yield from found if found.features is None else found.decode(False)

    def _stream(self, split: Split, commit: str) -> _Stream:
        library = cast(_Library, import_module("datasets"))
        library.disable_progress_bars()
        if split.file is None:
            return library.load_dataset(
                self.repo, self._set.config, split=split.name, revision=commit, streaming=True
            )
        # by its address: a repository with a script beside the file is refused as a whole
        place = f"hf://datasets/{self.repo}@{commit}/{split.file}"
        return library.load_dataset("parquet", data_files=[place], split="train", streaming=True)

    @contextmanager
    def _told(self) -> Generator[None]:
        from huggingface_hub.errors import RepositoryNotFoundError

        errors = cast(_Errors, import_module("datasets.exceptions"))
        refused = (RepositoryNotFoundError, errors.DatasetNotFoundError)
        away = (ConnectionError, TimeoutError, httpx2.TransportError)
        # TypeError is what the library says to files whose columns are not alike
        failed = (OSError, ValueError, TypeError, httpx2.HTTPError, errors.DatasetsError)
        by_hand = f"give the file yourself: mia data get {self._set.name} --from FILE"
        try:
            yield
        except refused as error:
            raise MissingError(f"{self._refused()}, or {by_hand}") from error
        except away as error:
            raise MissingError(f"cannot reach the hub ({_words(error)}); {by_hand}") from error
        except failed as error:
            words = f"cannot get {self.repo} from the hub ({_words(error)})"
            raise MissingError(f"{words}; {by_hand}") from error

    def _refused(self) -> str:
        if self._set.gated:
            return (
                f"the hub gives {self.repo} only to those who have accepted its terms: do that on"
                " its page there, and run `hf auth login` or set HF_TOKEN"
            )
        return f"the hub knows no {self.repo} that is for all to see; name another with --repo"


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
