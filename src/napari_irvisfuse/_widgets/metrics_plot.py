"""The plot of values below the table; it follows napari's theme and hides where there is nothing to compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox
from matplotlib.figure import Figure
from napari.utils.theme import get_theme
from psygnal import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from .metrics_drawings import MOST_COLUMNS, draw_curves, draw_parallel, draw_radar
from .metrics_report import Report
from .plot_style import Canvas, colours_of
from .qt_parts import hint, rows

if TYPE_CHECKING:
    from matplotlib.backend_bases import Event
    from matplotlib.lines import Line2D

__all__ = ["MetricsPlot"]

RADAR, PARALLEL, CURVES = "radar", "parallel", "curves"
_TITLES = {RADAR: "radar", PARALLEL: "parallel lines", CURVES: "over time"}
_EXPLAINED = {
    RADAR: "Outer ring: the best of these results; inner ring: the worst.",
    PARALLEL: "Each metric from the worst to the best of these results.",
    CURVES: "Click into the table for another metric, into the curve for its frame.",
}
_FEWEST_SPOKES = 3
_HEIGHT = {RADAR: 250, PARALLEL: 240, CURVES: 200}
_LINE = 15


class MetricsPlot(QWidget):
    """Radar, parallel lines or curve, of those that fit the report the one that the user likes best.

    Parameters
    ----------
    theme
        Name of napari's theme.

    Attributes
    ----------
    frame_chosen
        ``frame_chosen(frame)``: the user clicked into the curve.
    kind_chosen
        The user chose another kind of plot.
    """

    frame_chosen = Signal(int)
    kind_chosen = Signal()

    def __init__(self, theme: str) -> None:
        super().__init__()
        self._report: Report | None = None
        self._metric = self._frame = 0
        self._theme = theme
        self._wanted = RADAR
        self._marker: Line2D | None = None
        self.figure = Figure(layout="constrained")
        self.canvas = Canvas(self.figure)
        self.canvas.mpl_connect("button_press_event", self._on_press)
        self.kind_box = ComboBox(choices=self._choices, tooltip="How the results are drawn.")
        self.kind_box.changed.connect(self._on_kind)
        self.note = hint(" ")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(rows(("Plot", self.kind_box.native)))
        layout.addWidget(self.canvas)
        layout.addWidget(self.note)
        self.setVisible(False)

    @property
    def kind(self) -> str | None:
        """``"radar"``, ``"parallel"`` or ``"curves"``; None while there is nothing to draw."""
        kinds = self._kinds()
        return self._wanted if self._wanted in kinds else next(iter(kinds), None)

    @property
    def wanted(self) -> str:
        """The kind that the user likes best, shown wherever it can be."""
        return self._wanted

    @wanted.setter
    def wanted(self, kind: str) -> None:
        if kind in _TITLES:
            self._wanted = kind
            self._refresh()

    def show_report(self, report: Report | None) -> None:
        """Draw other values, or nothing."""
        self._report, self._metric = report, 0
        self._refresh()

    def show_metric(self, metric: int) -> None:
        """Draw the curve of this metric of the report."""
        self._metric = metric
        if self.kind == CURVES:
            self._draw()

    def show_frame(self, frame: int) -> None:
        """Mark this frame in the curve."""
        self._frame = frame
        if self._marker is not None:
            self._marker.set_xdata([frame, frame])
            self.canvas.draw_idle()

    def show_theme(self, theme: str) -> None:
        """Follow napari to another theme."""
        self._theme = theme
        self._draw()

    def _kinds(self) -> list[str]:
        """Return what can be drawn: one result has nothing to be compared with, two spokes or thirty make no radar."""
        report = self._report
        if report is None or not report.metrics:
            return []
        kinds = []
        if len(report.results) > 1:
            kinds = [RADAR, PARALLEL] if _FEWEST_SPOKES <= len(report.metrics) <= MOST_COLUMNS else [PARALLEL]
        return [*kinds, CURVES] if any(len(frames) > 1 for frames in report.frames) else kinds

    def _choices(self, _: Any = None) -> list[tuple[str, str]]:
        return [(_TITLES[kind], kind) for kind in self._kinds()]

    def _refresh(self) -> None:
        with self.kind_box.changed.blocked():
            self.kind_box.reset_choices()
            if self.kind is not None:
                self.kind_box.value = self.kind
        self.setVisible(self.kind is not None)
        self._draw()

    def _draw(self) -> None:
        """Draw anew: a matplotlib figure takes its colours when its parts are made."""
        colours = colours_of(get_theme(self._theme))
        self.figure.clear()
        self.figure.set_facecolor(colours.background)
        self._marker = None
        report, kind = self._report, self.kind
        if report is None or kind is None:
            return
        self.note.setText(_EXPLAINED[kind])
        lying = kind == PARALLEL and len(report.metrics) > MOST_COLUMNS
        self.canvas.setFixedHeight(_LINE * len(report.metrics) + 60 if lying else _HEIGHT[kind])
        if kind == RADAR:
            draw_radar(self.figure, report, colours)
        elif kind == PARALLEL:
            draw_parallel(self.figure, report, colours)
        else:
            self._marker = draw_curves(self.figure, report, self._metric, self._frame, colours)
        self.canvas.draw_idle()

    def _on_kind(self, kind: str) -> None:
        self._wanted = kind
        self._draw()
        self.kind_chosen.emit()

    def _on_press(self, event: Event) -> None:
        place = getattr(event, "xdata", None)
        if self._marker is not None and place is not None:
            self.frame_chosen.emit(max(round(place), 0))
