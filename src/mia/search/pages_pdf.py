"""A PDF as text. Runs in a process of its own: a small file may unpack to gigabytes.

Not covered: pictures of text, and text that is there but hidden by its colour or its place.
"""

from __future__ import annotations

import re
from importlib import import_module
from io import BytesIO
from typing import Any

_MAX_TITLE = 300
_BROKEN_WORD = re.compile(r"(?<=[^\W\d_])-\n(?=[^\W\d_])")
_PROGRAMS = re.compile(r"^(microsoft (word|powerpoint|excel) - |untitled)", re.IGNORECASE)
"""What programs write where nobody gave a title."""


def read(raw: bytes, most: int, pages: int) -> dict[str, str | None]:
    """The title it names, and the text of so many pages from the first on, of at most so many
    characters. Raises ValueError when there is none."""
    pypdf: Any = import_module("pypdf")
    errors: Any = import_module("pypdf.errors")
    try:
        reader = pypdf.PdfReader(BytesIO(raw), strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise ValueError("it is locked with a password")
        count = len(reader.pages)
        text = _text(reader, most, pages)
        title = _title(reader)
    except errors.DependencyError:
        raise ValueError("it is locked") from None
    except errors.PyPdfError as error:
        raise ValueError("it is damaged") from error
    if not text:
        raise ValueError("there is no text in it; perhaps it is scanned")
    if count > pages:
        text += f"\n\n[the first {pages} of {count} pages]"
    return {"title": title, "text": text, "published": None}


def _text(reader: Any, most: int, pages: int) -> str:
    texts: list[str] = []
    length = 0
    for page in reader.pages[:pages]:
        text = _BROKEN_WORD.sub("", str(page.extract_text()).strip())
        texts.append(text)
        length += len(text)
        if length > most:
            break
    return "\n\n".join(text for text in texts if text)[:most]


def _title(reader: Any) -> str:
    about = reader.metadata
    title = " ".join(str(about.title or "").split()) if about else ""
    return _PROGRAMS.sub("", title)[:_MAX_TITLE]
