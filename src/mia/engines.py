"""Puts together from settings who thinks: endpoints, the embedded model, the embedder."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path

from mia import config
from mia.config import Endpoint, Loaded
from mia.errors import ConfigError
from mia.model import Embedder, Model
from mia.models.catalog import known, place, present
from mia.models.llama_cpp import Engine
from mia.models.minilm import MiniLM
from mia.models.openai_compatible import OpenAICompatible, OpenAIEmbeddings, Prices
from mia.models.openai_wire import Shown
from mia.models.recorded import (
    RecordedEmbedder,
    RecordedModel,
    ReplayEmbedder,
    ReplayModel,
    Tape,
)
from mia.models.shared import Replies, SharedModel
from mia.retry import Policy, Retry
from mia.training.bases import weights_sha256
from mia.training.versions import GGUF, Role, Version, shelf

ADAPTERS: Mapping[str, Role] = {"planner": "planner", "reader": "executor"}
"""The embedded model's adapters, and the role that each of them plays."""


@dataclass
class Engines:
    """The models that settings describe, each made when it is first asked for."""

    loaded: Loaded
    shown: Shown
    """Gives pictures to the models that see."""
    recorded: Tape | None
    replayed: Tape | None
    connections: AsyncExitStack
    """Closes what talks to servers, in the loop that it talked in."""
    replies: Replies | None = None
    """What was asked already, where greedy calls are made once."""
    versions: Mapping[Role, int] = field(default_factory=dict[Role, int])
    """The version to speak through in a role, where it is not the one in use; 0 for the adapter
    that came with MIA."""

    def endpoint(self, role: str) -> Endpoint | None:
        """The endpoint that plays a role; None where the embedded model does. `default` is whoever
        plays those that nobody was named for."""
        models = self.loaded.settings.models
        named = {"manager": models.manager, "planner": models.planner,
                 "executor": models.executor, "judge": models.judge, "default": None}  # fmt: skip
        return named[role] or models.default

    def sees(self, role: str) -> bool:
        """Whether the model of a role takes pictures."""
        endpoint = self.endpoint(role)
        return endpoint is not None and endpoint.sees

    def model(self, role: str, adapter: str | None = None) -> Model:
        """The model of a role; `adapter` is what the embedded engine speaks through."""
        if self.replayed is not None:
            return ReplayModel(self.replayed, role)
        endpoint = self.endpoint(role)
        model: Model = self.engine.role(adapter) if endpoint is None else self._remote(endpoint)
        if self.replies is not None:
            name = f"{endpoint.base_url} {endpoint.model}" if endpoint else self._speaker(adapter)
            model = SharedModel(model, self.replies, name)
        return RecordedModel(model, self.recorded, role) if self.recorded is not None else model

    def _speaker(self, adapter: str | None) -> str:
        """The embedded model with an adapter, as the files are now: what was said through one is
        not what its successor says."""
        files = [self.weights, *([self._adapters[adapter]] if adapter else [])]
        known = [(file, file.stat()) for file in files]
        return " ".join(f"{file} {stat.st_size} {stat.st_mtime_ns}" for file, stat in known)

    def _remote(self, endpoint: Endpoint) -> OpenAICompatible:
        policy = Policy(deadline=endpoint.deadline, concurrency=endpoint.concurrency)
        model = OpenAICompatible(
            endpoint.base_url,
            endpoint.model,
            api_key=self.loaded.secrets.key(endpoint.api_key_env),
            retry=Retry(policy),
            prices=Prices(
                prompt=endpoint.dollars_per_million_prompt,
                completion=endpoint.dollars_per_million_completion,
            ),
            grammars=endpoint.grammars,
            shown=self.shown if endpoint.sees else None,
        )
        self.connections.push_async_callback(model.aclose)
        return model

    @cached_property
    def engine(self) -> Engine:
        """The embedded model with its two adapters. Raises ConfigError for a version in use that it
        cannot speak through."""
        config.rest_idle_threads()
        return Engine(self.weights, self._adapters, self.loaded.settings.threads or None)

    @cached_property
    def _adapters(self) -> dict[str, Path]:
        """Of each role's version in use, or those that came with MIA."""
        folder, speaks = self.loaded.settings.folder, adapters()
        for name, role in ADAPTERS.items():
            version = self.version(role)
            if version is not None:
                speaks[name] = shelf(folder, role).folder(version.number) / GGUF
        return speaks

    def version(self, role: Role) -> Version | None:
        """The policy version that the embedded model speaks through in a role; None for the adapter
        that came with MIA, and where an endpoint plays the role. Raises ConfigError for a version
        that is of another model or in another form, StoreError for one that cannot be read."""
        of_role = shelf(self.loaded.settings.folder, role)
        asked = self.versions.get(role)
        if self.endpoint(role) is not None or asked == 0:
            return None
        version = of_role.current() if asked is None else of_role.version(asked)
        if version is None:
            return None
        mend = f"go back (mia policy rollback {role}) or promote another version"
        if version.base_sha256 != self.weights_sha256:
            raise ConfigError(
                f"version {version.number} of {role} is an adapter for {version.base}, and the"
                f" embedded model is another: {mend}, or set [models.{role}] to an endpoint that"
                f" serves {version.base}"
            )
        if GGUF not in version.files:
            raise ConfigError(
                f"version {version.number} of {role} has no {GGUF}, the form that the embedded"
                f" model takes: {mend}"
            )
        return version

    @property
    def weights(self) -> Path:
        """The file of the embedded model."""
        settings = self.loaded.settings
        fetched = place(settings.folder, known("smollm2-135m"))
        return Path(settings.smollm2) if settings.smollm2 else fetched

    @cached_property
    def weights_sha256(self) -> str:
        """Of the embedded model's weights. The one that is fetched was checked when it was; a local
        file has to be read through. Raises ConfigError for a file that cannot be read."""
        settings = self.loaded.settings
        if not settings.smollm2:
            return known("smollm2-135m").sha256
        try:
            return weights_sha256(self.weights, settings.folder / "policies" / "bases.json")
        except OSError as error:
            raise ConfigError(f"cannot read the model that smollm2 names: {error}") from error

    @cached_property
    def embedder(self) -> Embedder:
        """What memory is found by."""
        endpoint = self.loaded.settings.models.embedder
        if self.replayed is not None:
            return ReplayEmbedder(self.replayed, endpoint.model if endpoint else MiniLM.name)
        embedder: Embedder
        if endpoint is None:
            embedder = MiniLM(place(self.loaded.settings.folder, known("minilm")).parent)
        else:
            embedder = self._remote_embedder(endpoint)
        return RecordedEmbedder(embedder, self.recorded) if self.recorded is not None else embedder

    def _remote_embedder(self, endpoint: Endpoint) -> OpenAIEmbeddings:
        embedder = OpenAIEmbeddings(
            endpoint.base_url,
            endpoint.model,
            api_key=self.loaded.secrets.key(endpoint.api_key_env),
            retry=Retry(Policy(deadline=endpoint.deadline, concurrency=endpoint.concurrency)),
        )
        self.connections.push_async_callback(embedder.aclose)
        return embedder


def adapters() -> dict[str, Path]:
    """The adapters shipped with MIA."""
    folder = Path(str(files("mia.models"))) / "adapters"
    return {name: folder / f"{name}.gguf" for name in ADAPTERS}


def missing_models(loaded: Loaded) -> list[str]:
    """The names of models that these settings need and that are not there yet."""
    settings = loaded.settings
    models, default = settings.models, settings.models.default
    needed: list[str] = []
    if not all((models.planner or default, models.executor or default)) and not settings.smollm2:
        needed.append("smollm2-135m")
    if models.embedder is None:
        needed.append("minilm")
    return [name for name in needed if not present(settings.folder, known(name))]
