"""Laws of what may be asked: one meaning for each host, and none that is internal."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mia.errors import ConfigError
from mia.search.addresses import Allowed, public
from mia.search.fetch_errors import FetchError

v4 = st.integers(0, 2**32 - 1).map(IPv4Address)
v6 = st.integers(0, 2**128 - 1).map(IPv6Address)
global6 = st.integers(0x2000 << 112, (0x4000 << 112) - 1).map(IPv6Address)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "1.1.1.1", "93.184.216.34", "172.15.0.1", "172.32.0.1", "100.63.0.1", "223.255.1.1",
     "2606:2800:220:1::1", "2a00:1450::1", "64:ff9b::808:808", "::ffff:8.8.8.8", "2002:808:808::1",
     "2001:0:808:808::f7f7:f7f7"],
)  # fmt: skip
def test_addresses_of_the_open_internet_are_public(address: str) -> None:
    assert public(address)


@given(v4 | v6 | global6)
def test_nothing_is_public_that_python_holds_to_be_otherwise(
    address: IPv4Address | IPv6Address,
) -> None:
    inside = isinstance(address, IPv6Address) and (address.ipv4_mapped or address.teredo)
    if public(address) and not inside and address not in IPv6Network("64:ff9b::/96"):
        assert address.is_global and not address.is_multicast and not address.is_reserved


@given(v4)
@example(IPv4Address("127.0.0.1"))
@example(IPv4Address("169.254.169.254"))
@example(IPv4Address("8.8.8.8"))
def test_an_ipv4_address_is_no_more_public_inside_an_ipv6_one(address: IPv4Address) -> None:
    number = int(address)
    wrapped = [
        (0xFFFF << 32) | number,
        (0x64FF9B << 96) | number,
        (0x2002 << 112) | (number << 80) | 1,
        (0x20010000 << 96) | (number << 64) | 0xF7F7F7F7,
        (0x20010000 << 96) | (0x08080808 << 64) | (number ^ 0xFFFFFFFF),
        (0x26064700 << 96) | (0x5EFE << 32) | number,
        (0x26064700 << 96) | (0x02005EFE << 32) | number,
    ]
    assert [public(IPv6Address(n)) for n in wrapped] == [public(address)] * len(wrapped)
    never = [number, (0xFFFF << 48) | number, (0x64FF9B0001 << 80) | number]
    assert not any(public(IPv6Address(n)) for n in never)


@pytest.mark.parametrize(
    "text", ["", "localhost", "127.1", "fe80::1%eth0", "2606::1%1", "1.1.1.1/8"]
)
def test_what_is_no_single_address_is_not_public(text: str) -> None:
    assert not public(text)


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("http://example.org", "http://example.org/"),
        (" HTTPS://Example.ORG:443/A?b=c#d ", "https://example.org/A?b=c"),
        ("http://example.org:443/", "http://example.org:443/"),
        ("http://example.org./x", "http://example.org/x"),
        ("http://example.org?q=1", "http://example.org/?q=1"),
        ("http://example.org/a b/%20/é", "http://example.org/a%20b/%20/%C3%A9"),
        ("http://example.org/?q=日本 x", "http://example.org/?q=%E6%97%A5%E6%9C%AC%20x"),
        ("http://bücher.de/", "http://xn--bcher-kva.de/"),
        ("http://ℌello。ｄｅ/", "http://hello.de/"),
        ("http://faß.de/", "http://xn--fa-hia.de/"),
        ("http://8.8.8.8/", "http://8.8.8.8/"),
        ("http://[2606:4700:0:0::1111]/", "http://[2606:4700::1111]/"),
        ("http://a_b.example.org/", "http://a_b.example.org/"),
        ("http://en.wikipedia.org/wiki/Emma_(novel)", "http://en.wikipedia.org/wiki/Emma_(novel)"),
        ("http://lосalhost.com/", "http://xn--lalhost-9ig1a.com/"),
    ],
)
def test_a_url_has_one_spelling(url: str, meant: str) -> None:
    target = Allowed().target(url)
    assert target.url == meant and not target.trusted
    assert Allowed().target(target.url) == target


@pytest.mark.parametrize(
    "url",
    ["", "example.org", "//example.org/", "http:/example.org", "http://", "http:///", "http://:80/",
     "javascript:alert(1)", "data:text/html,x", "ws://example.org/", "http://example.org:99999/",
     "http://example.org:0/", "http://example.org:8080/", "http://example.org:１/",
     "http://exa mple.org/", "http://a..b.org/", "http://-a.org/", "http://[1.2.3.4]/", "http://[::1/",
     "http://::1/", "http://256.1.1.1/", "http://1.2.3.4.5/", "http://example.0x1/",
     "http://example.org/\ud800", "http://exa\x00mple.org/", "http://xn--\u2488.org/",
     "http://" + "a." * 200 + "org/", "http://example.org/" + "a" * 3000, "http://[v1.x]/"],
)  # fmt: skip
def test_what_is_no_address_of_the_web_is_refused(url: str) -> None:
    with pytest.raises(FetchError) as refused:
        Allowed().target(url)
    assert refused.value.why == "refused" and "\n" not in str(refused.value)


PLACES = st.text("0123456789abcdefx.:[]%@/\\?# lochst-_\u3002\uff11\u2460\u00ad", max_size=30)


@given(PLACES | st.text(max_size=20))
@example("0x7f.1")
@example("017700000001")
@example("127.0.0.1%2f@site.org")
@example("\u2460\u2461\u2466.0.0.1")
def test_no_host_that_passes_is_a_number_of_an_internal_network(place: str) -> None:
    try:
        target = Allowed().target(f"http://{place}/")
    except FetchError:
        return
    assert target.host == target.host.lower() and target.host.isascii()
    last = target.host.rpartition(".")[2]
    if ":" in target.host or last.isdigit():
        assert public(target.host)
    else:
        assert "." in target.host and last != "localhost" and not last.startswith("0x")


def test_only_what_the_settings_name_is_trusted_and_only_at_its_port() -> None:
    allowed = Allowed(["wiki.lan", "LOCALHOST:8888", "[::1]:9000", "10.0.0.7"])
    for url in ("http://wiki.lan/", "https://wiki.lan/x", "http://localhost:8888/",
                "http://[::1]:9000/", "http://10.0.0.7/"):  # fmt: skip
        assert allowed.target(url).trusted, url
    for url in ("http://localhost/", "http://wiki.lan:8080/", "http://[::1]/", "http://10.0.0.8/",
                "http://x.wiki.lan/", "http://localhost:8889/"):  # fmt: skip
        with pytest.raises(FetchError):
            allowed.target(url)


@pytest.mark.parametrize("place", ["", "http://wiki.lan", "wiki.lan/x", "a b", "u@wiki.lan", "x:0"])
def test_an_allowed_host_that_is_none_is_an_error_of_the_settings(place: str) -> None:
    with pytest.raises(ConfigError, match="an allowed host is"):
        Allowed([place])
