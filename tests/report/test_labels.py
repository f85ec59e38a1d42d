"""Names beside points: none covers a mark or another name while there is room."""

from __future__ import annotations

import itertools

from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text

from mia.report.labels import Mark, place


def test_names_of_points_that_crowd_do_not_cover_each_other() -> None:
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    marks = [Mark(f"method {n}", 1000 + 8 * n, 0.5 + 0.004 * n, 0.49, 0.54) for n in range(6)]
    axes.set_xlim(0, 2000)
    axes.set_ylim(0, 1)
    place(axes, marks, "black")
    figure.draw_without_rendering()
    boxes = [Text.get_window_extent(each) for each in axes.texts]  # without their lines
    assert len(boxes) == 6
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    points = [axes.transData.transform((mark.x, mark.y)) for mark in marks]
    assert not any(box.contains(*point) for box in boxes for point in points)


def test_a_name_far_from_its_point_is_led_there() -> None:
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    place(axes, [Mark("m", 0.5, 0.5, 0.4, 0.6) for _ in range(9)], "black")
    led = [t.arrow_patch is not None for t in axes.texts if isinstance(t, Annotation)]
    assert not led[0] and led[-1]
