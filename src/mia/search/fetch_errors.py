"""How a fetch may fail."""

from __future__ import annotations

from typing import Literal

from mia.errors import SearchError

Why = Literal["refused", "dead", "status", "too_big", "too_slow", "kind", "unreadable"]
"""refused: it is not ours to ask (an internal address, a downgrade, too many redirects). dead: no
such host, no connection, or one that broke. status: an answer that is no page. too_big, too_slow:
over a cap. kind: not a document of the kind asked for. unreadable: not what HTTP or the kind say
it is."""

_SHOWN = 150
"""Characters of an address that a message repeats."""


class FetchError(SearchError):
    """An address that gave nothing to read. Its text repeats nothing that the server said."""

    def __init__(self, why: Why, url: str, told: str, status: int | None = None) -> None:
        super().__init__(f"{shown(url)}: {told}")
        self.why: Why = why
        self.status = status
        """What the server answered; None where it did not."""


def shown(url: str) -> str:
    """An address in a message: printable, not too long, and without its query, which may hold
    somebody's secrets."""
    address, question, _ = url.partition("?")
    printable = "".join(c if c.isprintable() else "\ufffd" for c in address[: _SHOWN + 1])
    cut = f"{printable[:_SHOWN]}..." if len(printable) > _SHOWN else printable
    return f"{cut}?..." if question else cut
