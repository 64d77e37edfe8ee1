"""Three drawings of a report, as plain matplotlib: a radar, parallel lines, and one metric over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from .metrics_report import Report, arrow
from .plot_style import FONT, LINES, Colours, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

__all__ = ["MOST_COLUMNS", "draw_curves", "draw_parallel", "draw_radar"]

_STYLES = ("-", "--", ":", "-.")  # for more results than colours
MOST_COLUMNS = 16
"""The most metrics whose names still fit beside each other."""
_INNER = 0.18  # the worst is a ring, not a point: there its lines could not be told apart


def draw_radar(figure: Figure, report: Report, colours: Colours) -> None:
    """Draw a spoke per metric; on the outer ring lies the best result, on the inner one the worst."""
    with styled(colours):
        axes: Any = figure.add_subplot(projection="polar")
        angles = np.linspace(0, 2 * np.pi, len(report.metrics), endpoint=False)
        axes.set_theta_offset(np.pi / 2)
        axes.set_theta_direction(-1)
        for name, radii, style in zip(report.results, _radii(report), _styles(), strict=False):
            closed = np.append(angles, angles[0]), np.append(radii, radii[0])
            axes.plot(*closed, label=name, marker="o", markersize=3, linewidth=1.6, **style)
            axes.fill(*closed, color=style["color"], alpha=0.10)
        axes.set_ylim(0, 1.04)
        axes.set_yticks([_INNER, (1 + _INNER) / 2, 1], [])
        axes.set_xticks(angles, [info.name for info in report.metrics])
        for label, angle in zip(axes.get_xticklabels(), angles, strict=True):
            label.set_horizontalalignment(_side(angle))
        axes.tick_params(axis="x", pad=-1)
        axes.spines["polar"].set_visible(False)
        _finish(figure, axes, len(report.results))


def draw_parallel(figure: Figure, report: Report, colours: Colours) -> None:
    """Draw a column per metric and a line per result, upwards is better; many metrics lie, to the right is better."""
    lying = len(report.metrics) > MOST_COLUMNS
    with styled(colours):
        axes = figure.add_subplot()
        places = np.arange(len(report.metrics))
        for name, scores, style in zip(report.results, report.scores, _styles(), strict=False):
            points = (scores, places) if lying else (places, scores)
            axes.plot(*points, label=name, marker="o", markersize=4, linewidth=1.6, **style)
        across, along = (axes.yaxis, axes.xaxis) if lying else (axes.xaxis, axes.yaxis)
        across.set_ticks(places, [info.name for info in report.metrics], rotation=0 if lying else 90)
        along.set_ticks([0, 1], ["worst", "best"])
        along.grid(False)
        (axes.set_xlim if lying else axes.set_ylim)(-0.06, 1.06)
        ends = (-0.4, len(places) - 0.6)
        if lying:
            axes.set_ylim(*reversed(ends))  # in the order of the table
        else:
            axes.set_xlim(*ends)
        _finish(figure, axes, len(report.results))


def draw_curves(figure: Figure, report: Report, metric: int, frame: int, colours: Colours) -> Line2D:
    """Draw one metric over the frames of every result that has several, and return the marker of a frame."""
    with styled(colours):
        axes = figure.add_subplot()
        info = report.metrics[metric]
        several = 0
        for name, frames, style in zip(report.results, report.frames, _styles(), strict=False):
            if len(frames) > 1:
                several += 1
                axes.plot(frames[:, metric], label=name, marker="o", markersize=3, linewidth=1.6, **style)
        axes.set_xlabel("frame")
        axes.set_ylabel(f"{info.name} {arrow(info)}")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        _finish(figure, axes, several if len(report.results) > 1 else 0)
        return axes.axvline(frame, color=colours.text, linewidth=1.0, linestyle=(0, (4, 3)), zorder=0)


def _styles() -> list[dict[str, str]]:
    return [{"color": colour, "linestyle": style} for style in _STYLES for colour in LINES]


def _radii(report: Report) -> Any:
    return _INNER + (1 - _INNER) * report.scores


def _side(angle: float) -> str:
    """Keep a label outside of the circle, whose angles run clockwise from the top."""
    sideways = float(np.sin(angle))
    return "center" if abs(sideways) < 0.15 else "left" if sideways > 0 else "right"


def _finish(figure: Figure, axes: Axes, results: int) -> None:
    if results > 0:
        figure.legend(
            *axes.get_legend_handles_labels(),
            loc="outside lower center",
            ncols=min(results, 3),
            fontsize=FONT,
            handlelength=1.4,
            columnspacing=1.2,
            borderaxespad=0.2,
        )
