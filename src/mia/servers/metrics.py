"""Counts and times of a server. Servers that search use the published gateway's names."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST as CONTENT_TYPE
from prometheus_client.exposition import generate_latest

__all__ = ["CONTENT_TYPE", "Metrics"]


class Metrics:
    """Of one server: several in one process do not share them."""

    def __init__(self, prefix: str = "search") -> None:
        """`prefix` is what every name begins with."""
        self._registry = CollectorRegistry()
        self._requests = Counter(
            f"{prefix}_requests", "Requests by tool and status.", ("status", "tool"),
            registry=self._registry,
        )  # fmt: skip
        self._hits = Counter(
            f"{prefix}_cache_hits", "Answers that were kept from before.", ("tool",),
            registry=self._registry,
        )  # fmt: skip
        self._failures = Counter(
            f"{prefix}_failures", "Queries that nobody answered.", ("source",),
            registry=self._registry,
        )  # fmt: skip
        self._seconds = Histogram(
            f"{prefix}_latency_seconds", "Seconds to an answer.", ("tool",),
            registry=self._registry,
        )  # fmt: skip

    @contextmanager
    def measured(self, tool: str) -> Generator[None]:
        """Counts what is done in the block, and whether it ended well."""
        began, status = time.perf_counter(), "error"
        try:
            yield
            status = "success"
        finally:
            self._requests.labels(status, tool).inc()
            self._seconds.labels(tool).observe(time.perf_counter() - began)

    def hit(self, tool: str) -> None:
        """An answer came from the cache."""
        self._hits.labels(tool).inc()

    def failed(self, source: str) -> None:
        """A query was not answered."""
        self._failures.labels(source).inc()

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self._registry)
