"""Reranking: the pool is read, not the cut, and an answer that cannot be right is refused."""

from __future__ import annotations

import pytest

from mia.errors import ConfigError, SearchError
from mia.retry import Policy
from mia.search.rerank import Reranked
from mia.search.rerank_endpoint import RerankEndpoint
from mia.testing import FaultServer, ToySearch, faults
from mia.testing.faults import Fault
from mia.types import Passage

PASSAGES = tuple(
    Passage(id=str(n), title=f"Town {n}", text=f"A town of {n} people.") for n in range(5)
)


def ranked(*results: tuple[int, float]) -> Fault:
    return faults.json(
        {"id": "x", "results": [{"index": n, "relevance_score": s} for n, s in results]}
    )


def endpoint(server: FaultServer, key: str | None = None) -> RerankEndpoint:
    patience = Policy(deadline=5.0, attempts=2, first_pause=0.0)
    return RerankEndpoint(server.url, "judge-1", api_key=key, patience=patience)


async def test_passages_are_put_in_the_servers_order() -> None:
    async with FaultServer([ranked((1, 0.2), (4, 0.9), (0, 0.5))]) as server:
        reranker = endpoint(server, "secret")
        found = await reranker.rerank("which town?", PASSAGES, 2)
        await reranker.aclose()
        (asked,) = server.requests
    assert [(p.id, p.score) for p in found] == [("4", 0.9), ("0", 0.5)]
    assert found[0].text == PASSAGES[4].text
    assert asked.path.endswith("/rerank") and asked.headers["authorization"] == "Bearer secret"
    assert asked.body == {
        "model": "judge-1", "query": "which town?", "top_n": 2,
        "documents": [f"{p.title}\n{p.text}" for p in PASSAGES],
    }  # fmt: skip


async def test_the_pool_is_reranked_and_not_only_the_best() -> None:
    async with FaultServer([ranked((4, 0.9))]) as server:
        reranker = endpoint(server)
        found = await Reranked(ToySearch(PASSAGES), reranker, pool=5).search("town", 1)
        await reranker.aclose()
        assert len(server.requests[0].body["documents"]) == 5
    assert len(found) == 1


async def test_nothing_found_is_nothing_to_ask() -> None:
    async with FaultServer() as server:
        reranker = endpoint(server)
        assert await Reranked(ToySearch(PASSAGES), reranker).search("xylophone", 3) == ()
        await reranker.aclose()
        assert server.requests == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (ranked((5, 0.9)), "other documents"),
        (ranked((-1, 0.9)), "other documents"),
        (ranked((1, 0.9), (1, 0.8)), "other documents"),
        (faults.json({"results": [{"index": 0}]}), "JSON of another kind"),
        (faults.raw(b"<html>"), "a web page; check the base URL"),
        (faults.raw(b"x" * (3 << 20)), "more than"),
        (faults.status(404), "answered 404.*check the base URL and the model"),
        (faults.status(401), "answered 401.*check the base URL, the model and the key"),
    ],
)
async def test_an_answer_that_cannot_be_right_is_refused(answer: Fault, reason: str) -> None:
    async with FaultServer([answer]) as server:
        reranker = endpoint(server)
        with pytest.raises(SearchError, match=reason):
            await reranker.rerank("which town?", PASSAGES, 2)
        await reranker.aclose()


async def test_a_server_that_stumbles_is_asked_again() -> None:
    async with FaultServer([faults.status(503), ranked((0, 0.5))]) as server:
        reranker = endpoint(server)
        assert [p.id for p in await reranker.rerank("x", PASSAGES, 1)] == ["0"]
        await reranker.aclose()
        assert server.unused == []


async def test_a_key_that_the_server_echoes_is_not_shown() -> None:
    echo = Fault(status=403, body=b'{"error": "bad key sk-secret"}')
    async with FaultServer([echo]) as server:
        reranker = endpoint(server, "sk-secret")
        with pytest.raises(SearchError, match="403") as caught:
            await reranker.rerank("x", PASSAGES, 1)
        await reranker.aclose()
    assert "sk-secret" not in str(caught.value) and "***" in str(caught.value)


def test_an_address_or_a_key_that_cannot_be_used_is_refused() -> None:
    for url, key in (("nonsense", None), ("ftp://x", None), ("http://x", "ä")):
        with pytest.raises(ConfigError):
            RerankEndpoint(url, "m", api_key=key, patience=Policy())
