"""The Captioner for teams that cannot see: what the most similar known picture is called."""

from __future__ import annotations

from msgspec.structs import replace

from mia.captioner import needs_caption
from mia.errors import SearchError
from mia.tool import ImageSearch, observed
from mia.types import Observation, Picture, Question, ToolCall, Turn

HITS = 3


class BySearch:
    """Looks each picture up, and takes the title of the best hit for what it shows."""

    def __init__(self, engine: ImageSearch, tool: str) -> None:
        """`tool` is what the lookup is called in the turns, so that memory can tell of it."""
        self._engine = engine
        self._tool = tool

    async def look(self, question: Question) -> tuple[Turn, ...]:
        """One turn a picture."""
        if not needs_caption(question):
            return ()
        turns = [await self._turn(at, picture) for at, picture in enumerate(question.pictures)]
        seen = [f"picture {n}: {turn.found}" for n, turn in enumerate(turns, 1) if turn.found]
        if len(turns) > 1 and seen:
            turns[-1] = replace(turns[-1], found="; ".join(seen))
        return tuple(turns)

    async def _turn(self, at: int, picture: Picture) -> Turn:
        thought = f"What does picture {at + 1} show?"
        call = ToolCall(name=self._tool, arguments={"img_idx": str(at)})
        try:
            hits = await self._engine.similar(picture, HITS)
        except SearchError as error:
            told = f"the picture could not be looked up: {error}"
            return Turn(thought=thought, call=call, observation=Observation(text=told, error=told))
        found = hits[0].title if hits else None
        return Turn(thought=thought, call=call, observation=observed(hits), found=found)
