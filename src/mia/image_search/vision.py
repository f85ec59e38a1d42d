"""Image search by Google Cloud Vision's web detection. It takes the picture itself, so it needs no
public address; the picture goes to Google."""

from __future__ import annotations

import asyncio
import base64

import msgspec

from mia.image_search.found import Fetch, Found, Shown
from mia.pictures import Pictures
from mia.provider_http import PATIENCE, Api, Refusal
from mia.retry import Policy
from mia.tool import ImageHit
from mia.types import Picture

GOOGLE = "https://vision.googleapis.com"
_SECONDS = 20.0
"""For one request: it takes the picture along."""
_MOST = 10
"""Results asked for of each kind: many pages have no title."""
_SURE_ENTITY = 0.5
"""Entities below this have next to nothing to do with the picture."""
_STATUS = {3: 400, 7: 403, 8: 429, 13: 500, 14: 503, 16: 401}
"""Google's own error codes as those of HTTP."""


class _Label(msgspec.Struct, frozen=True):
    label: str | None = None


class _Entity(msgspec.Struct, frozen=True):
    description: str | None = None
    score: float | None = None


class _Image(msgspec.Struct, frozen=True):
    url: str | None = None


class _Page(msgspec.Struct, frozen=True, rename="camel"):
    url: str | None = None
    page_title: str | None = None
    full_matching_images: list[_Image] | None = None
    partial_matching_images: list[_Image] | None = None


class _Detection(msgspec.Struct, frozen=True, rename="camel"):
    best_guess_labels: list[_Label] | None = None
    web_entities: list[_Entity] | None = None
    full_matching_images: list[_Image] | None = None
    partial_matching_images: list[_Image] | None = None
    pages_with_matching_images: list[_Page] | None = None
    visually_similar_images: list[_Image] | None = None


class _Error(msgspec.Struct, frozen=True):
    code: int = 0
    message: str = ""


class _Response(msgspec.Struct, frozen=True, rename="camel"):
    web_detection: _Detection | None = None
    error: _Error | None = None


class _Reply(msgspec.Struct, frozen=True):
    responses: list[_Response]


class VisionImages:
    """Google Vision. Hits have pictures where `fetch` is given."""

    name = "Google Vision"

    def __init__(
        self,
        key: str,
        pictures: Pictures,
        fetch: Fetch | None = None,
        *,
        base_url: str = GOOGLE,
        patience: Policy = PATIENCE,
    ) -> None:
        """Raises ConfigError for a key that cannot be sent."""
        self._api = Api(self.name, base_url, {"X-Goog-Api-Key": key}, key=key, seconds=_SECONDS,
                        patience=patience)  # fmt: skip
        self._pictures = pictures
        self._shown = Shown(pictures, fetch)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._api.aclose()

    async def similar(self, picture: Picture, limit: int) -> tuple[ImageHit, ...]:
        """What Google thinks it is first, then titles of pages that show it. Raises
        ProviderError."""
        raw = await asyncio.to_thread(self._pictures.bytes, picture)
        asked = {"requests": [_request(raw)]}
        reply = await self._api.post("/v1/images:annotate", asked, _Reply)
        return await self._shown.hits(_found(self._detection(reply)), limit)

    def _detection(self, reply: _Reply) -> _Detection:
        if not reply.responses:
            raise self._api.fault("unreadable", "an answer without responses")
        response = reply.responses[0]
        if response.error is not None:
            status = _STATUS.get(response.error.code, 400)
            raise self._api.refused(Refusal(status=status, words=response.error.message))
        return response.web_detection or _Detection()


def _request(raw: bytes) -> dict[str, object]:
    return {
        "image": {"content": base64.b64encode(raw).decode()},
        "features": [{"type": "WEB_DETECTION", "maxResults": _MOST}],
    }


def _found(detection: _Detection) -> list[Found]:
    """The best guess, the pages, and what entities add to them."""
    alike = [*(detection.full_matching_images or []), *(detection.partial_matching_images or [])]
    anything = _urls([*alike, *(detection.visually_similar_images or [])])
    labels = (detection.best_guess_labels or [])[:1]
    found = [Found(title=label.label or "", images=anything) for label in labels]
    for page in detection.pages_with_matching_images or []:
        images = [*(page.full_matching_images or []), *(page.partial_matching_images or [])]
        found.append(Found(title=page.page_title or "", page=page.url, images=_urls(images)))
    found += [
        Found(title=entity.description or "")
        for entity in detection.web_entities or []
        if (entity.score or 0) >= _SURE_ENTITY
    ]
    return found


def _urls(images: list[_Image]) -> tuple[str, ...]:
    return tuple(image.url for image in images if image.url)
