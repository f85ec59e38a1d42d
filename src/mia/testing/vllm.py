"""A server on this machine that speaks vLLM's routes for LoRA adapters."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from mia.testing.faults import Fault, ok
from mia.testing.server import FaultServer, Received

_CONFIG = "adapter_config.json"


class VllmStandIn(FaultServer):
    """`async with VllmStandIn("base") as server:` serves one model and what is loaded beside it at
    `server.url`.

    It loads folders that have an adapter_config.json, and replies with the name of the model that
    was asked. As vLLM does, it refuses a name that is loaded already (400), to unload one that is
    not (404), and requests for models that it does not know (404). What is in `unused` comes
    first, whatever was asked.
    """

    def __init__(self, base: str, wait: float = 0.0) -> None:
        """`wait` is how many seconds a reply takes."""
        super().__init__()
        self.base = base
        self.loaded: dict[str, str] = {}
        """The path of each adapter, by its name."""
        self._wait = wait

    def _fault(self, request: Received) -> Fault:
        if self.unused:
            return self.unused.pop(0)
        body: dict[str, Any] = request.body or {}
        match request.method, request.path:
            case "GET", "/v1/models":
                return self._models()
            case "POST", "/v1/load_lora_adapter":
                return self._load(body.get("lora_name"), body.get("lora_path"))
            case "POST", "/v1/unload_lora_adapter":
                return self._unload(body.get("lora_name"))
            case "POST", "/v1/chat/completions":
                return self._reply(body["model"])
            case _:
                return _refusal(404, "Not Found")

    def _models(self) -> Fault:
        cards = [{"id": self.base, "object": "model", "root": self.base, "parent": None}]
        cards += [
            {"id": name, "object": "model", "root": path, "parent": self.base}
            for name, path in self.loaded.items()
        ]
        return Fault(body=msgspec.json.encode({"object": "list", "data": cards}))

    def _load(self, name: str | None, path: str | None) -> Fault:
        if not name or not path:
            return _refusal(400, "Both 'lora_name' and 'lora_path' must be provided.")
        if name in self.loaded:
            return _refusal(400, f"The lora adapter '{name}' has already been loaded.")
        if not (Path(path) / _CONFIG).is_file():
            return _refusal(404, f"Loading lora {name} failed: No adapter found for {path}")
        self.loaded[name] = path
        return Fault(body=f"Success: LoRA adapter '{name}' added successfully.".encode())

    def _unload(self, name: str | None) -> Fault:
        if not name:
            return _refusal(400, "'lora_name' needs to be provided to unload a LoRA adapter.")
        if name not in self.loaded:
            return _refusal(404, f"The lora adapter '{name}' cannot be found.")
        del self.loaded[name]
        return Fault(body=f"Success: LoRA adapter '{name}' removed successfully.".encode())

    def _reply(self, model: str) -> Fault:
        if model != self.base and model not in self.loaded:
            return _refusal(404, f"The model `{model}` does not exist.")
        return replace(ok(model), wait=self._wait)


def _refusal(status: int, message: str) -> Fault:
    error = {"message": message, "type": HTTPStatus(status).phrase, "code": status}
    return Fault(status=status, body=msgspec.json.encode({"error": error}))
