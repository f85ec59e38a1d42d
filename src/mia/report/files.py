"""A report on the disk: Markdown, a page, its figures, the figures' numbers, and every answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from mia.errors import StoreError
from mia.report.figures import figures
from mia.report.markdown import markdown
from mia.report.page import page
from mia.report.scores import Score
from mia.report.summary import Report
from mia.types import Episode, Noun, Remembered, encode

_FIGURES = "figures"


class Line(Noun, frozen=True):
    """One answer as it was given and counted: a line of `episodes.jsonl`."""

    method: str
    seed: int
    position: int
    right: bool
    exact: bool | None
    f1: float | None
    episode: Episode
    remembered: Remembered | None


class Written(Noun, frozen=True):
    """Where a report lies."""

    page: str
    markdown: str
    summary: str
    episodes: str
    figures: str
    """A folder."""


def write(report: Report, folder: Path) -> Written:
    """Writes the report into a folder; each file is whole or as it was before. Raises MissingError
    without matplotlib or jinja2, and StoreError when something cannot be written."""
    drawn = figures(report.summary)
    paths = Written(
        page=str(folder / "report.html"),
        markdown=str(folder / "report.md"),
        summary=str(folder / "summary.json"),
        episodes=str(folder / "episodes.jsonl"),
        figures=str(folder / _FIGURES),
    )
    try:
        (folder / _FIGURES).mkdir(parents=True, exist_ok=True)
        for each in drawn:
            _write(folder / _FIGURES / f"{each.name}.png", [each.png])
        _write(Path(paths.page), [page(report, drawn).encode()])
        _write(Path(paths.markdown), [markdown(report.summary, drawn, _FIGURES).encode()])
        _write(Path(paths.summary), [encode(report.summary)])
        _write(Path(paths.episodes), lines(report.scores))
    except OSError as error:
        raise StoreError(f"{folder}: {error}") from error
    return paths


def lines(scores: Sequence[Score]) -> Iterator[bytes]:
    """Every answer as JSON, a line each."""
    for score in scores:
        line = Line(
            method=score.method,
            seed=score.seed,
            position=score.position,
            right=score.right,
            exact=score.exact,
            f1=score.f1,
            episode=score.entry.episode,
            remembered=score.entry.remembered,
        )
        yield encode(line) + b"\n"


def _write(path: Path, parts: Sequence[bytes] | Iterator[bytes]) -> None:
    half = path.with_name(f"{path.name}.half")
    with half.open("wb") as file:
        file.writelines(parts)
    half.replace(path)
