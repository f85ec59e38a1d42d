"""Serves policy versions by a vLLM server that is there already (`vllm serve BASE --enable-lora`,
with VLLM_ALLOW_RUNTIME_LORA_UPDATING=True).

Each version is loaded under a name of its own, and never in the place of another: vLLM's prefix
cache goes by the name, and what goes on would change its mind halfway. An adapter's folder must be
at the same path for the server.

One host a server and a name: another one would unload what this one leases.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Self

import httpx2
import msgspec

from mia.errors import ModelError
from mia.model import Model
from mia.models.openai_compatible import OpenAICompatible
from mia.retry import Policy, Retry
from mia.training.hosts.host import Leases, Serving
from mia.training.versions import Version

_SECONDS = 120.0
"""For loading an adapter, which a busy server does between two steps."""
_WORDS = 300
"""How much of the server's own words is passed on."""


class _Card(msgspec.Struct, frozen=True):
    id: str
    root: str | None = None
    """Of an adapter: the folder it was loaded from."""


class _Cards(msgspec.Struct, frozen=True):
    data: list[_Card]


class VllmHost:
    """A Host on one vLLM server. Use it as an asynchronous context manager: leaving unloads what it
    loaded."""

    def __init__(
        self,
        base_url: str,
        base: str,
        name: str,
        *,
        api_key: str | None = None,
        policy: Policy | None = None,
    ) -> None:
        """`base_url` ends in /v1; `base` is what the server calls the base model, which is served
        as version 0; adapters will be called `<name>-v<number>`. `policy` is how patient models are
        with the server."""
        self._url, self._base, self._name = base_url.rstrip("/"), base, name
        self._key, self._policy = api_key, policy
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = httpx2.AsyncClient(headers=headers, timeout=_SECONDS, trust_env=False)
        self._leases = Leases(self._bare())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @property
    def version(self) -> int:
        """The number of the version that new leases get."""
        return self._leases.number

    def lease(self) -> AbstractAsyncContextManager[tuple[Model, int]]:
        """A model and its version's number, for a whole episode."""
        return self._leases.lease()

    async def activate(self, version: Version | None, folder: Path | None) -> None:
        """Raises ModelError when the server does not load the version; the one before serves on
        then."""
        if version is None:
            await self._leases.switch(0, self._started_bare)
            return
        if folder is None:
            raise ModelError(f"version {version.number} of {version.role} has no folder to load")
        number, path = version.number, str(_absolute(folder))
        await self._leases.switch(number, lambda: self._load(number, path))

    async def aclose(self) -> None:
        """Unloads what was loaded, and closes the connections."""
        await self._leases.aclose()
        await self._client.aclose()

    def _bare(self) -> Serving:
        model = self._model(self._base)
        return Serving(0, model, model.aclose)

    async def _started_bare(self) -> Serving:
        return self._bare()

    def _model(self, name: str) -> OpenAICompatible:
        return OpenAICompatible(self._url, name, api_key=self._key, retry=Retry(self._policy))

    async def _load(self, number: int, path: str) -> Serving:
        name = f"{self._name}-v{number}"
        cards = await self._ask("GET", "/models")
        try:
            listed = msgspec.json.decode(cards.content, type=_Cards).data
        except msgspec.DecodeError as error:
            raise ModelError(f"{self._url}/models is not vLLM's: {error}") from error
        loaded = next((card for card in listed if card.id == name), None)
        if loaded is None:
            await self._ask("POST", "/load_lora_adapter", {"lora_name": name, "lora_path": path})
        elif loaded.root != path:  # left by a host that was killed, or another home's
            raise ModelError(
                f"{self._url} serves another adapter as {name}, from {loaded.root}; unload it, or"
                " choose another name"
            )
        model = self._model(name)

        async def end() -> None:
            await model.aclose()
            await self._ask("POST", "/unload_lora_adapter", {"lora_name": name})

        return Serving(number, model, end)

    async def _ask(
        self, method: str, route: str, body: dict[str, str] | None = None
    ) -> httpx2.Response:
        """One request. Raises ModelError for every answer but 200."""
        where = f"{self._url}{route}"
        try:
            response = await self._client.request(method, where, json=body)
        except httpx2.HTTPError as error:
            raise ModelError(
                f"no answer from {where}: {error or type(error).__name__}; is the server running?"
            ) from error
        if response.status_code != 200:
            said = " ".join(response.text.split())[:_WORDS]
            raise ModelError(f"{where} answered {response.status_code} ({said})")
        return response


def _absolute(folder: Path) -> Path:
    """As it is called from any working folder: the server has its own."""
    return folder.absolute()
