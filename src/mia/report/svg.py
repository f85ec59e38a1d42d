"""An SVG file as an element of a page: with colours of the page, ids of its own, and a name for
those who cannot see it."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from mia.report import plots

_SVG, _XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
_CITED = re.compile(r"url\(#([^)]+)\)")


def inline(file: str, name: str, title: str) -> str:
    """The element. Colours become variables that the page sets for light and dark; ids that are
    cited begin with `name`, so that figures do not take each other's; the others go."""
    root = ET.fromstring(file)  # our own drawing: nothing in it was parsed before
    cited = {id for element in root.iter() for id in _cites(element)}
    for parent in list(root.iter()):
        for child in list(parent):
            if _local(child) in ("metadata", "style"):
                parent.remove(child)
    for element in root.iter():
        element.tag = _local(element)
        element.attrib = {
            key.removeprefix(_XLINK): _value(key, value, name)
            for key, value in element.attrib.items()
            if key != "id" or value in cited
        }
    _tell(root, name, title)
    return _coloured(ET.tostring(root, encoding="unicode"))


def _tell(root: ET.Element, name: str, title: str) -> None:
    """Names the figure, and says where it is described: the page has a caption of that id."""
    for key in ("version", "width", "height"):
        root.attrib.pop(key, None)
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-title")
    root.set("aria-describedby", f"{name}-caption")
    element = ET.Element("title", {"id": f"{name}-title"})
    element.text = title
    root.insert(0, element)


def _local(element: ET.Element) -> str:
    return str(element.tag).removeprefix(_SVG)


def _cites(element: ET.Element) -> list[str]:
    found = [id for value in element.attrib.values() for id in _CITED.findall(value)]
    target = element.get(f"{_XLINK}href", "")
    return [*found, target.removeprefix("#")] if target else found


def _value(key: str, value: str, name: str) -> str:
    if key == "id":
        return f"{name}-{value}"
    if key == f"{_XLINK}href":
        return f"#{name}-{value.removeprefix('#')}"
    return _CITED.sub(rf"url(#{name}-\1)", value)


def _coloured(element: str) -> str:
    for colour, variable in plots.VARIABLES.items():
        element = element.replace(f": {colour}", f": var(--{variable})")
    return element
