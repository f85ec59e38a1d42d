"""Which elements of a page its own styles hide, as far as one can tell without a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator

_MAX_STYLES = 300_000
"""Characters of a page's own stylesheets that are looked at."""
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_BRACE = re.compile(r"[{}]")
_SIMPLE = re.compile(r"[.#][\w-]+")
"""A selector of one class or one id; others may hold for some of their elements only."""
_NAMES = re.compile(r"[.#][\w-]+")
_SHOWS = re.compile(r"display\s*:\s*(?!none)|visibility\s*:\s*visible|opacity\s*:\s*(1|0?\.[1-9])")
_FAR = re.compile(r"-(([5-9]\d\d|\d{4,})(\.\d+)?px|([3-9]\d|\d{3,})(\.\d+)?r?em|\d{3,}(\.\d+)?%)")
_FAR_SIDES = ("left", "top", "text-indent", "margin-left", "margin-top")
_ZERO = re.compile(r"(0+(\.0*)?|\.0+)(px|r?em|%|pt)?")
_TINY = re.compile(r"(0|1|0?\.\d+)(\.\d+)?(px|pt)|0|0?\.0\d*r?em")
_CLIPPED = re.compile(r"rect\(\s*(0|1)(px)?[\s,]|inset\(\s*(50|100)%")


def hides(style: str) -> bool:
    """Whether declarations take an element out of sight."""
    if not style:
        return False
    said = dict(_declarations(style.lower()))
    if said.get("display") == "none" or said.get("visibility") in ("hidden", "collapse"):
        return True
    if _ZERO.fullmatch(said.get("opacity", "1")) or _TINY.fullmatch(said.get("font-size", "1em")):
        return True
    if any(_FAR.fullmatch(said.get(side, "")) for side in _FAR_SIDES):
        return True
    if _CLIPPED.match(said.get("clip", said.get("clip-path", ""))):
        return True
    if said.get("overflow") == "hidden" and any(
        _ZERO.fullmatch(said.get(side, "auto"))
        for side in ("width", "height", "max-width", "max-height")
    ):
        return True
    colour = said.get("color")
    ground = said.get("background-color", said.get("background"))
    return colour == "transparent" or (colour is not None and colour == ground)


def _declarations(style: str) -> Iterator[tuple[str, str]]:
    for part in style.split(";"):
        name, _, value = part.partition(":")
        yield name.strip(), value.replace("!important", "").strip()


def hidden_names(styles: str) -> frozenset[str]:
    """The classes (`.name`) and ids (`#name`) that a stylesheet hides and no other rule of it shows
    in some combination."""
    hidden: set[str] = set()
    shown: set[str] = set()
    for selectors, style in _rules(_COMMENT.sub(" ", styles[:_MAX_STYLES])):
        if hides(style):
            hidden |= {s.strip() for s in selectors.split(",") if _SIMPLE.fullmatch(s.strip())}
        elif _SHOWS.search(style):
            shown |= set(_NAMES.findall(selectors))
    return frozenset(hidden - shown)


def _rules(styles: str) -> Iterator[tuple[str, str]]:
    """Selectors and declarations, without those that hold for some media only."""
    depth, start, selectors = 0, 0, ""
    for brace in _BRACE.finditer(styles):
        if brace[0] == "{":
            if depth == 0:
                selectors = styles[start : brace.start()].rpartition(";")[2].strip()
            depth += 1
        else:
            if depth == 1:
                yield selectors, styles[start : brace.start()]
            depth = max(0, depth - 1)
        start = brace.end()
