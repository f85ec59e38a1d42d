"""No disguise reaches an internal address: every row of the table, over real sockets."""

from __future__ import annotations

import pytest
from benchmarks.search_safety import DISGUISES, OUTSIDE, SITE, Disguise, Net, tried

from mia.search.fetch import Fetcher
from mia.search.fetch_errors import FetchError


@pytest.mark.parametrize("disguise", DISGUISES, ids=lambda disguise: disguise.what)
async def test_no_disguise_reaches_an_internal_address(disguise: Disguise) -> None:
    seen = await tried(disguise)
    assert seen.contacts == 0
    assert not seen.outcome.startswith("read")


async def test_the_table_would_catch_a_client_without_the_rules() -> None:
    some = DISGUISES[::4]
    led_inside = [disguise for disguise in some if (await tried(disguise)).plain_contacts]
    assert len(DISGUISES) >= 40 and len(led_inside) > len(some) * 0.7


async def test_an_honest_site_is_read_through_the_same_network() -> None:
    async with Net(Disguise("honest", redirects=("/next",))) as net:
        fetcher = Fetcher(resolve=net.resolve, dial=net.dial)
        fetched = await fetcher.get(SITE)
        await fetcher.aclose()
        assert (fetched.url, net.outside, net.inside) == (f"{SITE}next", 2, 0)


async def test_the_number_that_was_checked_is_the_number_that_is_dialled() -> None:
    asked: list[str] = []
    dialled: list[str] = []
    async with Net(Disguise("rebinding", dns=((OUTSIDE[0],), ("127.0.0.1",)))) as net:

        async def resolve(host: str, port: int):
            asked.append(host)
            return await net.resolve(host, port)

        async def dial(address: str, port: int):
            dialled.append(address)
            return await net.dial(address, port)

        fetcher = Fetcher(resolve=resolve, dial=dial)
        await fetcher.get(SITE)
        assert (asked, dialled) == (["site.example"], [OUTSIDE[0]])
        with pytest.raises(FetchError, match="internal network"):
            await fetcher.get(SITE)
        await fetcher.aclose()
        assert dialled == [OUTSIDE[0]] and net.inside == 0


async def test_a_page_outside_may_not_send_us_to_a_host_that_the_settings_allow() -> None:
    async with Net(Disguise("inwards", redirects=("http://wiki.lan/",))) as net:
        fetcher = Fetcher(["wiki.lan"], resolve=net.resolve, dial=net.dial)
        with pytest.raises(FetchError, match="redirects into an internal network"):
            await fetcher.get(SITE)
        assert net.inside == 0
        assert (await fetcher.get("http://wiki.lan/", kinds=("text/*",))).body == b"secret"
        await fetcher.aclose()
        assert net.inside == 1
