"""Pictures for tests, each another one by its seed, and what may happen to a picture."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import msgspec
import numpy as np
from PIL import Image, ImageDraw, ImageEnhance

from mia.image_search.pixels import Pixels, opened

SHAPES = 12
STRIPES = 4


def shapes(seed: int) -> Image.Image:
    """Soft colours with hard shapes before them."""
    luck = np.random.default_rng(seed)
    ground = luck.integers(0, 255, (3, 4, 3), dtype=np.uint8)
    image = Image.fromarray(ground).resize((320, 240), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(14):
        x, y, wide, high = (int(n) for n in luck.integers((0, 0, 10, 10), (300, 220, 90, 90)))
        colour = tuple(int(n) for n in luck.integers(0, 255, 3))
        paint = (draw.rectangle, draw.ellipse)[int(luck.integers(0, 2))]
        paint((x, y, x + wide, y + high), fill=colour)
    return image


def stripes(seed: int) -> Image.Image:
    """Three upright stripes, as flags have them."""
    luck = np.random.default_rng(1000 + seed)
    colours = luck.integers(0, 255, (1, 3, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize((240, 160), Image.Resampling.NEAREST)


def furnish(folder: Path) -> Path:
    """Fills a folder with pictures and their labels."""
    (folder / "pictures").mkdir(parents=True)
    lines: list[dict[str, str]] = []
    painted = [(f"shapes {n}", shapes(n)) for n in range(SHAPES)]
    painted += [(f"stripes {n}", stripes(n)) for n in range(STRIPES)]
    for title, image in painted:
        file = f"pictures/{title.replace(' ', '_')}.png"
        image.save(folder / file)
        lines.append({"file": file, "title": title, "url": f"https://e.example/{file}"})
    label(folder, lines)
    return folder


def label(folder: Path, lines: list[dict[str, str]]) -> None:
    """Writes the labels."""
    encoded = b"\n".join(msgspec.json.encode(line) for line in lines)
    (folder / "index.jsonl").write_bytes(encoded)


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    file = BytesIO()
    image.convert("RGB").save(file, "JPEG", quality=quality)
    return file.getvalue()


def compared(image: Image.Image) -> Pixels:
    """A picture as engines compare it."""
    return opened(jpeg(image))


def cropped(image: Image.Image) -> Image.Image:
    width, height = image.size
    return image.crop((width // 5, height // 8, width * 19 // 20, height * 9 // 10))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "as it is": lambda image: image,
    "smaller": lambda image: image.resize((image.width // 3, image.height // 3)),
    "larger": lambda image: image.resize((image.width * 3, image.height * 3)),
    "poor": lambda image: Image.open(BytesIO(jpeg(image, 15))),
    "cropped": cropped,
    "turned": lambda image: image.rotate(8, Image.Resampling.BICUBIC, fillcolor=(255, 255, 255)),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.6),
    "flatter": lambda image: ImageEnhance.Contrast(image).enhance(0.6),
    "paler": lambda image: ImageEnhance.Color(image).enhance(0.5),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "all at once": lambda image: ImageEnhance.Brightness(
        cropped(image).rotate(-6, Image.Resampling.BICUBIC).resize((150, 110))
    ).enhance(0.7),
}  # fmt: skip
