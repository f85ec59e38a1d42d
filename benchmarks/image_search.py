"""Image search in one's own index: how often the right picture comes first, and how soon.

    python benchmarks/image_search.py --data ../shared/data/images [--many 100000]

Takes a folder with `index.jsonl` and `questions_dev.jsonl`, whose questions name pictures, the
picture of the index each was made of, and how (its variant). Every method answers every picture on
one core. `answered` is what `mia images search` says, which may be nothing; `ranked` is without the
right to say nothing. A stranger is a query whose picture, or whose whole family of pictures, is
taken out of the index; `mia` may then be wrong. The second table asks with pictures that are made
here, of the index's own, with another seed than those that parameters were chosen with. `--many`
times the first stage, the one that grows, with so many pictures.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import cv2
import msgspec
import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from mia.image_search.building import build
from mia.image_search.layouts import DIMENSIONS, WINDOWS, views
from mia.image_search.local import LocalImages
from mia.image_search.pixels import Pixels, opened
from mia.image_search.ranking import hints, ranked
from mia.pictures import Decoder, Pictures
from mia.statistics import wilson

SEED = "benchmark"


class Row(msgspec.Struct, frozen=True):
    """A picture of the index."""

    image_id: str
    file: str
    family: str


class Asked(msgspec.Struct, frozen=True):
    """A question, as far as it names pictures."""

    image: str
    variant: str
    other_variants: dict[str, str]
    gold_image_id: str


@dataclass(frozen=True)
class Query:
    """A picture that is asked for, and the row that is right."""

    variant: str
    right: int
    pixels: Pixels
    jpeg: bytes


Ranks = Callable[[Pixels], Sequence[int]]
"""Rows of the index, the best first."""


# Baselines ------------------------------------------------------------------------------------


def by_vectors(pictures: list[Pixels], describe: Callable[[Pixels], np.ndarray]) -> Ranks:
    table = np.stack([describe(pixels) for pixels in pictures])
    return lambda pixels: np.argsort(-(table @ describe(pixels)), kind="stable")


def perceptual_hash(pixels: Pixels) -> np.ndarray:
    """64 signs of the slowest waves of a 32 x 32 picture (as ImageHash's phash)."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA)
    waves = cv2.dct(small.astype(np.float32))[:8, :8]
    return np.where(waves > np.median(waves), 1.0, -1.0).reshape(-1)


def colour_histogram(pixels: Pixels) -> np.ndarray:
    counts = cv2.calcHist([pixels], [0, 1, 2], None, [8, 8, 8], [0, 256] * 3).reshape(-1)
    return np.sqrt(counts / counts.sum())


def grey_correlation(pixels: Pixels) -> np.ndarray:
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32).reshape(-1)
    small -= small.mean()
    return small / (np.linalg.norm(small) + 1e-6)


def orb(pictures: list[Pixels]) -> Ranks:
    """Matches of 500 ORB keypoints that pass the ratio test and one homography."""
    detector, matcher = cv2.ORB_create(500, fastThreshold=5), cv2.BFMatcher(cv2.NORM_HAMMING)

    def seen(pixels: Pixels) -> tuple[Sequence[cv2.KeyPoint], np.ndarray | None]:
        return detector.detectAndCompute(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), None)

    known = [seen(pixels) for pixels in pictures]

    def agreeing(points: Sequence[cv2.KeyPoint], looks: np.ndarray, row: int) -> int:
        others, theirs = known[row]
        if theirs is None or len(theirs) < 2:
            return 0
        pairs = [pair for pair in matcher.knnMatch(looks, theirs, k=2) if len(pair) == 2]
        good = [first for first, second in pairs if first.distance < 0.8 * second.distance]
        if len(good) < 4:
            return len(good)
        source = np.float32([points[match.queryIdx].pt for match in good])
        target = np.float32([others[match.trainIdx].pt for match in good])
        _, inliers = cv2.findHomography(source, target, cv2.RANSAC, 5.0)
        return 0 if inliers is None else 4 + int(inliers.sum())

    def rank(pixels: Pixels) -> Sequence[int]:
        points, looks = seen(pixels)
        if looks is None:
            return range(len(known))
        counts = [agreeing(points, looks, row) for row in range(len(known))]
        return np.argsort(-np.array(counts), kind="stable")

    return rank


# Queries --------------------------------------------------------------------------------------


def questions(data: Path, rows: list[Row], decoder: Decoder) -> list[Query]:
    """Every picture that the questions name, once."""
    place = {row.image_id: n for n, row in enumerate(rows)}
    asked: dict[str, tuple[str, int]] = {}
    for line in (data / "questions_dev.jsonl").read_bytes().splitlines():
        question = msgspec.json.decode(line, type=Asked)
        right = place[question.gold_image_id]
        for variant, image in {**question.other_variants, question.variant: question.image}.items():
            asked[image] = (variant, right)
    return [
        query(variant, right, (data / image).read_bytes(), decoder)
        for image, (variant, right) in sorted(asked.items())
    ]


def query(variant: str, right: int, raw: bytes, decoder: Decoder) -> Query:
    jpeg = decoder.shrunk(raw).jpeg
    return Query(variant, right, opened(jpeg), jpeg)


def made(data: Path, rows: list[Row], decoder: Decoder) -> Iterator[Query]:
    """Pictures of the index with one thing done to them, and with several."""
    for variant, change in CHANGES.items():
        for right, row in enumerate(rows[::3]):
            luck = random.Random(f"{SEED}/{variant}/{row.image_id}")
            image = Image.open(data / row.file).convert("RGB")
            file = BytesIO()
            change(image, luck).save(file, "JPEG", quality=luck.randint(30, 80))
            yield query(variant, 3 * right, file.getvalue(), decoder)


def cropped(image: Image.Image, luck: random.Random, least: float = 0.6) -> Image.Image:
    width, height = (int(side * luck.uniform(least, 0.9)) for side in image.size)
    left, top = luck.randint(0, image.width - width), luck.randint(0, image.height - height)
    return image.crop((left, top, left + width, top + height))


def turned(image: Image.Image, luck: random.Random) -> Image.Image:
    ground = luck.choice(["black", "white", "grey"])
    return image.rotate(luck.uniform(-12, 12), Image.Resampling.BICUBIC, fillcolor=ground)


def lit(image: Image.Image, luck: random.Random) -> Image.Image:
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhance(image).enhance(luck.uniform(0.6, 1.4))
    return image


def tinted(image: Image.Image, luck: random.Random) -> Image.Image:
    tint = np.array([luck.uniform(0.8, 1.2) for _ in range(3)])
    return Image.fromarray(np.clip(np.asarray(image) * tint, 0, 255).astype(np.uint8))


def small(image: Image.Image, luck: random.Random) -> Image.Image:
    share = luck.uniform(0.35, 0.6)
    blurred = image.filter(ImageFilter.GaussianBlur(luck.uniform(0, 1.5)))
    return blurred.resize([max(8, int(side * share)) for side in image.size])


CHANGES: dict[str, Callable[[Image.Image, random.Random], Image.Image]] = {
    "crop": cropped,
    "turned": turned,
    "light": lit,
    "small": small,
    "crop, tint": lambda image, luck: tinted(cropped(image, luck), luck),
    "crop, grey": lambda image, luck: cropped(image, luck).convert("L"),
    "mirrored": lambda image, luck: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "crop, turned, light, small": lambda image, luck: small(
        lit(cropped(turned(image, luck), luck, 0.55), luck), luck
    ),
}


# Tables ---------------------------------------------------------------------------------------


def share(right: Sequence[bool]) -> str:
    low, high = wilson(sum(right), len(right))
    return f"{sum(right) / len(right):.3f} ({low:.3f}-{high:.3f})"


def table(name: str, queries: list[Query], rank: Ranks) -> None:
    """Prints a row for each variant."""
    ranks: dict[str, list[int]] = {}
    took: list[float] = []
    for asked in queries:
        began = time.perf_counter()
        rows = list(rank(asked.pixels))
        took.append(1000 * (time.perf_counter() - began))
        place = rows.index(asked.right) if asked.right in rows else len(rows) + 99
        ranks.setdefault(asked.variant, []).append(place)
    p95 = statistics.quantiles(took, n=20)[-1]
    for variant, places in ranks.items():
        first, third = ([place < limit for place in places] for limit in (1, 3))
        print(
            f"| {name} | {variant} | {len(places)} | {share(first)} | {share(third)} |"
            f" {statistics.median(took):.0f} | {p95:.0f} |",
            flush=True,
        )


def heading() -> None:
    print("\n| method | variant | n | R@1 (95 %) | R@3 | ms p50 | ms p95 |")
    print("|---|---|---|---|---|---|---|")


def strangers(engine: LocalImages, queries: list[Query], rows: list[Row]) -> None:
    """How often something is answered when nothing is right."""
    floor = engine.stored.manifest.floor
    print("\n| strangers | n | answered all the same |")
    print("|---|---|---|")
    families = {n: row.family for n, row in enumerate(rows)}
    by_kind: list[bool] = []
    by_family: list[bool] = []
    for asked in queries:
        family = [n for n in families if families[n] == families[asked.right]]
        for without, into in (([asked.right], by_kind), (family, by_family)):
            matches = ranked(engine.stored, asked.pixels, without)
            into.append(matches[0].evidence >= floor)
    print(f"| its picture is not in the index | {len(by_kind)} | {share(by_kind)} |")
    print(f"| nor any other of its family | {len(by_family)} | {share(by_family)} |")


class Many:
    """As much of an index as the first stage looks at."""

    def __init__(self, count: int) -> None:
        luck = np.random.default_rng(0)
        shape = (count, len(WINDOWS), DIMENSIONS)
        self.layouts = luck.normal(size=shape).astype(np.float16)

    def __len__(self) -> int:
        return len(self.layouts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--many", type=int, default=0)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    data: Path = options.data
    lines = (data / "index.jsonl").read_bytes().splitlines()
    rows = [msgspec.json.decode(line, type=Row) for line in lines]
    with tempfile.TemporaryDirectory() as folder, Decoder() as decoder:
        out = Path(folder) / "index"
        began = time.perf_counter()
        built = build(data, out)
        seconds = time.perf_counter() - began
        size = sum(path.stat().st_size for path in out.iterdir())
        engine = LocalImages(out, Pictures(Path(folder) / "kept"))
        assert [row.file for row in engine.stored.rows] == [row.file for row in rows]
        print(
            f"index of {built.pictures} pictures: {seconds:.1f} s, of which a part measures where"
            f" chance ends; {size / built.pictures / 1024:.0f} KiB a picture;"
            f" floor {engine.stored.manifest.floor:.2f}"
        )
        pictures = [opened(decoder.shrunk((data / row.file).read_bytes()).jpeg) for row in rows]
        queries = questions(data, rows, decoder)
        mia = lambda pixels: [match.row for match in ranked(engine.stored, pixels)]  # noqa: E731
        says = lambda pixels: [row for row, _ in engine.find(pixels)]  # noqa: E731
        heading()
        table("mia, answered", queries, says)
        table("mia, ranked", queries, mia)
        table("perceptual hash", queries, by_vectors(pictures, perceptual_hash))
        table("colour histogram", queries, by_vectors(pictures, colour_histogram))
        table("grey 32 x 32", queries, by_vectors(pictures, grey_correlation))
        table("ORB", queries, orb(pictures))
        strangers(engine, queries, rows)
        heading()
        table("mia, answered", list(made(data, rows, decoder)), says)
        if options.many:
            asked, _ = views(queries[0].pixels)
            stored = Many(options.many)
            took = []
            for _ in range(5):
                began = time.perf_counter()
                hints(stored, asked, ())  # type: ignore[arg-type]
                took.append(time.perf_counter() - began)
            print(
                f"\nfirst stage, {options.many:,} pictures: {1000 * statistics.median(took):.0f} ms"
            )


if __name__ == "__main__":
    main()
