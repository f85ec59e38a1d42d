"""Serves a GGUF over llama.cpp's own OpenAI-compatible HTTP server, on loopback.

    python recipes/llama_server.py [MODEL.gguf] [--adapter planner|reader|FILE.gguf] [--port 8080]

Without a model it serves the embedded one. A server has one adapter, so the embedded default over
HTTP takes two of them, and in mia.toml:

    [executor]
    kind = "stepwise"
    [models.planner]
    base_url = "http://127.0.0.1:8081/v1"    # --adapter planner --port 8081
    model = "planner"
    grammars = true
    [models.executor]
    base_url = "http://127.0.0.1:8082/v1"    # --adapter reader --port 8082
    model = "reader"
    grammars = true

A capable model needs none of this: MIA_BASE_URL=http://127.0.0.1:8080/v1 MIA_MODEL=local mia ask.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from mia.config import load, rest_idle_threads
from mia.engines import adapters
from mia.models.catalog import known, place


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--adapter", help="planner, reader, or a LoRA adapter's file")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--slots", type=int, default=2)
    options = parser.parse_args()
    rest_idle_threads()
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(options.model or place(load().settings.folder, known("smollm2-135m")))
    params.hostnames, params.port = ["127.0.0.1"], options.port
    params.n_parallel, params.n_ctx, params.n_gpu_layers = options.slots, 8192 * options.slots, 0
    if options.adapter:
        path = adapters().get(options.adapter, Path(options.adapter))
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(path), 1.0)]
    params.cache_ram_mib = 0
    params.use_jinja, params.verbosity = True, -1
    server = xllamacpp.Server(params)
    print(f"serving {params.model.path} at {server.listening_address}/v1", flush=True)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
