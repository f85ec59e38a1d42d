"""Prompts are files beside their users. A missing slot raises, and so does an unused one."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

_SLOT = re.compile(r"\{(\w+)\}")


@cache
def _text(package: str, name: str) -> str:
    return files(package).joinpath(name).read_text(encoding="utf-8")


def fill(package: str, name: str, **slots: str) -> str:
    """The prompt `name` of `package` with its slots filled.

    What is filled in is never scanned for slots again, so text from outside cannot open one.
    Raises ValueError when the slots given are not exactly those the prompt has.
    """
    text = _text(package, name)
    wanted = set(_SLOT.findall(text))
    if wanted != set(slots):
        raise ValueError(f"prompt {package}/{name} has slots {sorted(wanted)}, got {sorted(slots)}")
    return _SLOT.sub(lambda match: slots[match[1]], text)
