"""Which addresses of the web may be asked, and which lead into somebody's own network.

What a page, a model or a search result names is not trusted: it may be one of this machine, of the
network it stands in, or of the cloud it runs on, in any spelling. Two looks decide: `Allowed`
reads a URL strictly, so that there is one meaning of its host, and `public` judges the number that
is really connected to, after the name was looked up.

Not covered: a network that maps private IPv4 addresses into global IPv6 ones by a prefix of its own
(RFC 6052), which only its operator can know of.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address
from ipaddress import IPv4Network as Net4
from ipaddress import IPv6Network as Net6
from urllib.parse import SplitResult, quote, urlsplit

import idna

from mia.errors import ConfigError
from mia.search.fetch_errors import FetchError
from mia.types import Noun

MAX_URL = 2048
"""Characters."""
_PORTS = {"http": 80, "https": 443}

# The registries of special addresses at IANA, without those few that are reachable by everybody,
# and one address at which a cloud answers its own machines.
_INSIDE4 = tuple(
    Net4(block)
    for block in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
        "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
        "168.63.129.16/32",
    )
)  # fmt: skip
_GLOBAL6 = Net6("2000::/3")
_INSIDE6 = tuple(Net6(block) for block in ("2001::/23", "2001:db8::/32", "3fff::/20"))
_TEREDO = Net6("2001::/32")
_SIX_TO_FOUR = Net6("2002::/16")
_MAPPED = Net6("::ffff:0:0/96")
_NAT64 = Net6("64:ff9b::/96")
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)
"""The upper half of an interface id that holds an IPv4 address in its lower half."""

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PLACE = re.compile(r"(\[[^\[\]]*\]|[^:\[\]@]+)(?::([0-9]{0,5}))?")
"""A host, in brackets or not, and perhaps a port."""
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\xa0\\\u2028\u2029\ud800-\udfff]")
_KEPT = "%/:=&?~#+!$,;'@()*[]|"
"""Signs of a path that stay as they are; all else that is not ASCII is percent-encoded."""

_INSIDE_NAMES = frozenset(
    "localhost localdomain local internal intranet private corp home lan svc arpa test invalid "
    "onion".split()
)
"""Last labels that no public site has, and some network or machine of somebody's may."""


def public(address: str | IPv4Address | IPv6Address) -> bool:
    """Whether an address is one of the open internet, and every IPv4 address inside it as well.
    A text that is no address is not."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    return _public4(ip) if isinstance(ip, IPv4Address) else _public6(ip)


def _public4(ip: IPv4Address) -> bool:
    return not any(ip in block for block in _INSIDE4)


def _public6(ip: IPv6Address) -> bool:
    number = int(ip)
    low = IPv4Address(number & 0xFFFF_FFFF)
    if ip.scope_id is not None:
        return False
    if ip in _MAPPED or ip in _NAT64:
        return _public4(low)
    if ip in _TEREDO:
        server = IPv4Address(number >> 64 & 0xFFFF_FFFF)
        return _public4(server) and _public4(IPv4Address(int(low) ^ 0xFFFF_FFFF))
    if ip not in _GLOBAL6 or any(ip in block for block in _INSIDE6):
        return False
    if ip in _SIX_TO_FOUR and not _public4(IPv4Address(number >> 80 & 0xFFFF_FFFF)):
        return False
    return number >> 32 & 0xFFFF_FFFF not in _ISATAP or _public4(low)


class Target(Noun, frozen=True):
    """An address as it will be asked."""

    scheme: str
    host: str
    """ASCII, in small letters; a number without brackets."""
    port: int
    path: str
    """With the query; begins with a slash."""
    trusted: bool = False
    """The settings name it: it may be internal."""

    @property
    def place(self) -> str:
        """The host as it stands in a URL, with its port where that is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.place}{self.path}"


class Allowed:
    """The hosts that may be asked wherever they are: `wiki.lan`, or `wiki.lan:8080` for a port that
    is not 80 or 443. Only settings name them."""

    def __init__(self, hosts: Iterable[str] = ()) -> None:
        """Raises ConfigError for what is neither."""
        self._places = frozenset(_allowed(place) for place in hosts)

    def trusts(self, host: str, port: int) -> bool:
        """Whether the settings name this place."""
        usual = port in _PORTS.values()
        return (host, port) in self._places or (usual and (host, None) in self._places)

    def target(self, url: str) -> Target:
        """What a URL means. Raises FetchError (refused) for one that nobody should ask."""
        parts = _parts(url)
        host, given = _place(url, parts.netloc)
        port = _PORTS[parts.scheme] if given is None else given
        trusted = self.trusts(host, port)
        if not trusted:
            _check(url, host, port)
        path = quote(parts.path or "/", safe=_KEPT)
        if parts.query:
            path += "?" + quote(parts.query, safe=_KEPT)
        return Target(scheme=parts.scheme, host=host, port=port, path=path, trusted=trusted)


def _allowed(place: str) -> tuple[str, int | None]:
    try:
        return _place(place, place)
    except FetchError as error:
        raise ConfigError(f"an allowed host is `host` or `host:port`; {error}") from None


def _parts(url: str) -> SplitResult:
    if len(url) > MAX_URL:
        raise FetchError("refused", url, f"an address has at most {MAX_URL} characters")
    if _UNFIT.search(url.strip()):
        raise FetchError("refused", url, "there are characters in it that no address has")
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        raise FetchError("refused", url, "this is no address of the web") from None
    if parts.scheme not in _PORTS or not parts.netloc:
        raise FetchError("refused", url, "only http:// and https:// addresses are read")
    return parts


def _place(url: str, netloc: str) -> tuple[str, int | None]:
    """The host and the port that are meant, in their one spelling."""
    match = _PLACE.fullmatch(netloc)
    if match is None:
        raise FetchError("refused", url, "its host is not one, or carries a user name")
    host, port = match[1], int(match[2]) if match[2] else None
    if port is not None and not 0 < port < 65536:
        raise FetchError("refused", url, "there is no such port")
    return (_literal6(url, host[1:-1]) if host[0] == "[" else _name(url, host)), port


def _literal6(url: str, text: str) -> str:
    try:
        ip = IPv6Address(text)
    except AddressValueError:
        raise FetchError("refused", url, "its host is no IPv6 address") from None
    if ip.scope_id is not None:
        raise FetchError("refused", url, "its host is an address of one cable only")
    return str(ip)


def _name(url: str, text: str) -> str:
    """A host name as DNS knows it, or an IPv4 address in the one spelling that has one meaning:
    0x7f.1, 2130706433 and 0177.0.0.1 are read differently by different programs."""
    host = text.lower()
    if not host.isascii():
        try:
            host = idna.encode(host, uts46=True).decode("ascii")
        except UnicodeError:
            raise FetchError("refused", url, "its host is not a name") from None
    host = host.removesuffix(".")
    labels = host.split(".")
    if len(host) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise FetchError("refused", url, "its host is not a name")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return str(IPv4Address(host))
        except AddressValueError:
            raise FetchError("refused", url, "its host is a number in an odd spelling") from None
    return host


def _check(url: str, host: str, port: int) -> None:
    """Raises for a place that the settings would have to name."""
    if port not in _PORTS.values():
        raise FetchError("refused", url, f"port {port} is none of the web")
    last = host.rpartition(".")[2]
    if ":" in host or last.isdigit():
        if not public(host):
            raise FetchError("refused", url, "that is an address of an internal network")
    elif "." not in host or last in _INSIDE_NAMES:
        raise FetchError("refused", url, "that is a name of an internal network")
