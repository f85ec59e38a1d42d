"""A web page as Markdown. Runs in a process of its own: markup may eat memory and time.

Left out are links and pictures, which nobody can follow or see there, and all that a person before
a browser would not see: instructions to machines hide in comments and in hidden elements. Not
covered: text that a stylesheet of another file, a script or its colour hides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from mia.search.pages_charset import decoded
from mia.search.pages_styles import hidden_names, hides

_TAGS = 0.4
"""Tags, opening and closing, that are read for each character that is wanted; a page is cut behind
them."""
_MAX_ELEMENTS = 30_000
"""Of a page that trafilatura is given, which copies it several times."""
_MAX_DEPTH = 200
"""Of such a page: time grows with the square of it."""
_TOO_LITTLE = 0.1
"""Where trafilatura keeps a smaller share of the words than this, it took the page for something
else than it is, and its plain text is better."""
_MAX_TITLE = 300

_NOTHING = frozenset(
    "script style noscript template iframe object embed svg canvas audio video head".split()
)
_NEVER_HIDDEN = frozenset("html body main article".split())
"""Some pages hide these until a script has run."""
_BLOCKS = frozenset(
    "address article aside blockquote br dd div dl dt figcaption figure footer form h1 h2 h3 h4 h5 "
    "h6 header hr li main nav ol option p pre section summary table tbody td tfoot th thead tr "
    "ul".split()
)
_DATES = (
    "//meta[@property='article:published_time']/@content",
    "//meta[@itemprop='datePublished']/@content",
    "//*[@itemprop='datePublished']/@datetime",
    "//time[@pubdate]/@datetime",
    "//meta[@name='date' or @name='pubdate' or @name='publish-date' or @name='dc.date'"
    " or @name='DC.date' or @name='DC.date.issued' or @name='dcterms.created'"
    " or @name='citation_publication_date' or @name='citation_date'"
    " or @name='parsely-pub-date']/@content",
)
_LINKED_DATE = re.compile(r'"datePublished"\s*:\s*"([^"]{4,40})"')
_YEAR = re.compile(r"\b(1[5-9]|20)\d\d\b")
_MAX_DATE = 40
_ESCAPED = re.compile(r"```.*?(```|\Z)|`[^`\n]*`|\\(?P<sign>[\\_*\[\]<>#`])", re.DOTALL)
"""Code, or a sign behind a backslash."""


def read(raw: bytes, charset: str | None, most: int) -> dict[str, str | None]:
    """The title, the text of at most so many characters, and the date of publication where the page
    gives one. Raises ValueError for what is no web page."""
    lxml_html: Any = import_module("lxml.html")
    parser = lxml_html.HTMLParser(
        encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True
    )
    markup = _cut(decoded(raw, charset), int(most * _TAGS)).encode("utf-8", "replace")
    try:
        tree = lxml_html.document_fromstring(markup, parser=parser)
    except import_module("lxml.etree").ParserError:
        raise ValueError("there is nothing in it") from None
    del markup
    title, published = _title(tree), _published(tree)
    _strip(tree)
    return {"title": title, "text": _text(tree)[:most], "published": published}


def _cut(markup: str, tags: int) -> str:
    """A page up to its last tag that is read."""
    for count, tag in enumerate(re.finditer("<", markup)):
        if count == tags:
            return markup[: tag.start()]
    return markup


def _title(tree: Any) -> str:
    for path in ("//meta[@property='og:title']/@content", "//title/text()"):
        for found in tree.xpath(path):
            if found.strip():
                return " ".join(str(found).split())[:_MAX_TITLE]
    heading = tree.find(".//h1")
    words = "" if heading is None else " ".join(heading.itertext())
    return " ".join(words.split())[:_MAX_TITLE]


def _published(tree: Any) -> str | None:
    """The date as the page gives it."""
    found = [str(value) for path in _DATES for value in tree.xpath(path)]
    for script in tree.xpath("//script[@type='application/ld+json']/text()"):
        found += _LINKED_DATE.findall(str(script))
    dates = (" ".join(value.split()) for value in found)
    return next((date[:_MAX_DATE] for date in dates if _YEAR.search(date[:_MAX_DATE])), None)


def _strip(tree: Any) -> None:
    """Takes out what is never text, and what a reader is not shown."""
    styles = "\n".join(str(text) for text in tree.xpath("//style/text()"))
    names = hidden_names(styles)
    for element in list(tree.iter()):
        hidden = element.tag not in _NEVER_HIDDEN and _is_hidden(element, names)
        if hidden or element.tag in _NOTHING:
            # Emptied, not removed: joining the texts around it would take longer each time.
            element.clear(keep_tail=True)
            element.tag = "span"


def _is_hidden(element: Any, names: frozenset[str]) -> bool:
    attributes = element.attrib
    if not attributes:
        return False
    if "hidden" in attributes or attributes.get("aria-hidden", "").strip().lower() == "true":
        return True
    if hides(attributes.get("style", "")):
        return True
    if not names:
        return False
    classes = attributes.get("class", "").split()
    return f"#{attributes.get('id', '')}" in names or any(f".{name}" in names for name in classes)


def _text(tree: Any) -> str:
    """The main text as Markdown; the plain text of everything where there is no main text."""
    plain = _plain(tree)
    elements, depth = _size(tree)
    if elements > _MAX_ELEMENTS or depth > _MAX_DEPTH:
        return plain
    try:
        main = _main(tree)
    except Exception:  # noqa: BLE001  # whatever it stumbles over, the words are there
        return plain
    if len(main.split()) < _TOO_LITTLE * len(plain.split()):
        return plain
    return main


def _main(tree: Any) -> str:
    trafilatura: Any = import_module("trafilatura")
    text = trafilatura.extract(
        tree,
        output_format="markdown",
        favor_recall=True,
        include_comments=False,
        include_links=False,
        include_images=False,
        include_tables=True,
        include_formatting=True,
    )
    return _unescaped(str(text or "").strip())


def _unescaped(markdown: str) -> str:
    """Without the backslashes that only a program which renders Markdown needs. In code there are
    none of these."""
    return _ESCAPED.sub(lambda found: found["sign"] or found[0], markdown)


def _size(tree: Any) -> tuple[int, int]:
    """How many elements there are, and how deep they are nested."""
    elements = depth = deepest = 0
    for event, _ in _walk(tree):
        if event == "start":
            elements += 1
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
    return elements, deepest


def _walk(tree: Any) -> Any:
    return import_module("lxml.etree").iterwalk(tree, events=("start", "end"))


def _plain(tree: Any) -> str:
    """All text, a line for each block."""
    lines = (" ".join(line.split()) for line in "".join(_pieces(tree)).split("\n"))
    return "\n".join(line for line in lines if line)


def _pieces(tree: Any) -> Iterator[str]:
    for event, element in _walk(tree):
        block = element.tag in _BLOCKS
        if event == "start":
            yield "\n" if block else ""
            yield (element.text or "").replace("\n", " ")
        else:
            yield "\n" if block else ""
            yield (element.tail or "").replace("\n", " ")
