"""The `web_image_to_image_search` tool: what pictures like the question's are called."""

from __future__ import annotations

from typing import Any

from mia.errors import ToolError
from mia.prompts import fill
from mia.tool import ImageSearch, observed
from mia.types import Observation, Picture

HITS = 3


class PictureSearch:
    """`web_image_to_image_search{img_idx}`, bound to one question's pictures."""

    name = "web_image_to_image_search"
    limit = 1
    """Uses in one question: models that are trained for this tool have learned so."""

    def __init__(self, engine: ImageSearch, pictures: tuple[Picture, ...]) -> None:
        if not pictures:
            raise ValueError("a question without pictures needs no search for them")
        self._engine = engine
        self._pictures = pictures

    @property
    def description(self) -> str:
        last = str(len(self._pictures) - 1)
        return fill("mia.tools", "image_search.txt", hits=str(HITS), last=last).strip()

    @property
    def parameters(self) -> dict[str, Any]:
        known = [str(number) for number in range(len(self._pictures))]
        return {
            "type": "object",
            "properties": {"img_idx": {"type": "string", "enum": known}},
            "required": ["img_idx"],
            "additionalProperties": False,
        }

    async def call(self, arguments: dict[str, Any]) -> Observation:
        """Numbered titles, and the pictures in the same order."""
        picture = self._pictures[_index(arguments, len(self._pictures))]
        return observed(await self._engine.similar(picture, HITS))


def _index(arguments: dict[str, Any], count: int) -> int:
    """Which picture is meant: models write the number with quotes or without."""
    if set(arguments) != {"img_idx"}:
        raise ToolError("web_image_to_image_search takes exactly one argument: img_idx, a string")
    given: object = arguments["img_idx"]
    known = {str(number): number for number in range(count)}
    wanted = str(given).strip() if isinstance(given, str | int) else ""
    if wanted not in known:
        raise ToolError(f"img_idx should be one of: {', '.join(known)}")
    return known[wanted]
