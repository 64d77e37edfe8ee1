"""The plot: what is drawn when, in napari's colours, and the marker of the current frame."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from napari.utils.theme import get_theme
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication

from napari_irvisfuse._widgets.metrics_plot import MetricsPlot
from napari_irvisfuse._widgets.metrics_report import Report
from napari_irvisfuse.metrics.base import MetricInfo

METRICS = tuple(MetricInfo(f"M{i}", f"M{i}", "", i != 1, (0, 1)) for i in range(20))


def report(results: int = 3, metrics: int = 4, frames: int = 1) -> Report:
    values = np.random.default_rng(5).random((results, frames, metrics))
    return Report(tuple("ABC"[:results]), METRICS[:metrics], tuple(values))


@pytest.fixture
def plot(qtbot: Any) -> MetricsPlot:
    plot = MetricsPlot("dark")
    qtbot.addWidget(plot)
    return plot


def lines(plot: MetricsPlot) -> dict[str, Any]:
    """Return the drawn lines of results."""
    (axes,) = plot.figure.axes
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


@pytest.mark.parametrize(
    ("made", "kinds"),
    [
        (report(), ["radar", "parallel"]),
        (report(metrics=2), ["parallel"]),
        (report(metrics=17), ["parallel"]),
        (report(results=1), []),
        (report(results=1, frames=5), ["curves"]),
        (report(frames=5), ["radar", "parallel", "curves"]),
        (None, []),
    ],
    ids=["several", "two metrics", "many metrics", "one result", "one stack", "stacks", "nothing"],
)
def test_offers_what_can_be_drawn(plot: MetricsPlot, made: Report | None, kinds: list[str]) -> None:
    plot.show_report(report())
    plot.show_report(made)
    assert list(plot.kind_box.choices) == kinds
    assert plot.kind == (kinds[0] if kinds else None)
    assert plot.isHidden() is not bool(kinds)
    assert bool(plot.figure.axes) is bool(kinds)
    plot.canvas.draw()


def test_better_is_outwards_in_the_radar(plot: MetricsPlot) -> None:
    made = report()
    plot.show_report(made)
    assert set(lines(plot)) == {"A", "B", "C"}
    radii = np.array([line.get_ydata()[:-1] for line in lines(plot).values()])
    assert (radii.argmax(axis=0) == np.where(made.best.T)[1]).all()
    assert radii[:, 1].argmax() == made.values[:, 1].argmin()  # lower is better
    assert radii.max() == 1
    assert radii.min() > 0
    plot.canvas.draw()


def test_better_is_upwards_in_the_parallel_lines(plot: MetricsPlot) -> None:
    made = report()
    plot.show_report(made)
    plot.kind_box.value = "parallel"
    heights = np.array([line.get_ydata() for line in lines(plot).values()])
    np.testing.assert_array_equal(heights, made.scores)
    plot.canvas.draw()


def test_many_metrics_lie_and_better_is_to_the_right(plot: MetricsPlot) -> None:
    made = report(metrics=20)
    plot.show_report(made)
    np.testing.assert_array_equal([line.get_xdata() for line in lines(plot).values()], made.scores)
    (axes,) = plot.figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [info.name for info in made.metrics]
    assert axes.yaxis_inverted()  # the first metric on top, as in the table
    plot.canvas.draw()


def test_the_choice_is_kept_where_it_can_be_drawn(plot: MetricsPlot) -> None:
    plot.show_report(report())
    plot.kind_box.value = "parallel"
    plot.show_report(report(results=1, frames=3))
    assert plot.kind == "curves"
    plot.show_report(report())
    assert plot.kind == "parallel"
    plot.wanted = "nonsense"
    assert plot.wanted == "parallel"


def test_the_curve_of_the_metric_and_its_marker(plot: MetricsPlot) -> None:
    made = report(frames=6)
    plot.show_report(made)
    plot.kind_box.value = "curves"
    plot.show_metric(2)
    for curve, frames in zip(lines(plot).values(), made.frames, strict=True):
        np.testing.assert_array_equal(curve.get_ydata(), frames[:, 2])
    plot.show_frame(4)
    assert list(plot._marker.get_xdata()) == [4, 4]
    plot.show_metric(0)
    assert list(plot._marker.get_xdata()) == [4, 4]
    plot.canvas.draw()


def test_a_click_into_the_curve_chooses_its_frame(plot: MetricsPlot) -> None:
    chosen: list[int] = []
    plot.frame_chosen.connect(chosen.append)
    plot.show_report(report(frames=6))
    plot._on_press(SimpleNamespace(xdata=2.3))  # the radar has no frames
    plot.kind_box.value = "curves"
    plot._on_press(SimpleNamespace(xdata=2.3))
    plot._on_press(SimpleNamespace(xdata=None))
    assert chosen == [2]


def test_values_that_are_none_leave_a_gap(plot: MetricsPlot) -> None:
    made = report()
    made.frames[0][0, 2] = math.nan
    for kind in ("radar", "parallel"):
        plot.wanted = kind
        plot.show_report(made)
        assert np.isnan(lines(plot)["A"].get_ydata()[2])
        plot.canvas.draw()


@pytest.mark.parametrize("kind", ["radar", "parallel", "curves"])
def test_follows_the_theme(plot: MetricsPlot, kind: str) -> None:
    plot.wanted = kind
    plot.show_report(report(frames=3))
    seen = {}
    for name in ("dark", "light"):
        plot.show_theme(name)
        theme = get_theme(name)
        assert to_hex(plot.figure.get_facecolor()) == theme.background.as_hex("long")
        (axes,) = plot.figure.axes
        texts = [label.get_color() for label in axes.get_xticklabels()]
        texts += [text.get_color() for text in plot.figure.legends[0].get_texts()]
        assert {to_hex(colour) for colour in texts} == {theme.text.as_hex("long")}
        plot.canvas.draw()
        seen[name] = np.asarray(plot.canvas.buffer_rgba())[0, 0, :3].tolist()
    assert sum(seen["dark"]) < 200
    assert sum(seen["light"]) > 400


def test_the_wheel_scrolls_the_page(plot: MetricsPlot) -> None:
    plot.show_report(report())
    event = QWheelEvent(
        QPointF(5, 5),
        QPointF(5, 5),
        QPoint(0, 0),
        QPoint(0, 120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    event.accept()
    QApplication.sendEvent(plot.canvas, event)
    assert not event.isAccepted()
