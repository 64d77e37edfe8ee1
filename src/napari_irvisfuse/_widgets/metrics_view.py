"""What the metrics widget shows: the controls and their arrangement, no thread, no viewer but for its layer names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox
from psygnal import Signal
from qtpy.QtWidgets import QMenu, QPushButton, QWidget

from .metrics_layers import SubjectChoice
from .metrics_list import MetricsList
from .metrics_plot import MetricsPlot
from .metrics_table import MetricsTable
from .page import fill, table_in
from .qt_parts import Section, rows
from .run_bar import RunBar

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from .metrics_jobs import Catalogue
    from .metrics_report import Report

__all__ = ["ALL_FRAMES", "THIS_FRAME", "MetricsView"]

THIS_FRAME, ALL_FRAMES = "this", "all"
_LOADING = "Loading metrics…"
_NO_MAPS = "None of the chosen metrics has values per pixel."
_MAPS = "Add the values per pixel of {} as layers on top of the fused image: where is it good, and where not?"


class MetricsView:
    """All controls, and their state as a plain dictionary.

    Parameters
    ----------
    viewer
        Whose layers to offer, and whose theme to follow.
    root
        The widget to fill.

    Attributes
    ----------
    edited
        The user changed what is to be measured, or how it is shown.
    """

    edited = Signal()

    def __init__(self, viewer: ViewerModel, root: QWidget) -> None:
        self._catalogue: Catalogue | None = None
        self._wanted_profile = self._shown_profile = ""
        self._left_out: dict[str, list[str]] = {}  # of every profile, as last seen
        self.subjects = SubjectChoice(viewer)
        self.profile_box = ComboBox(
            choices=self._profile_choices,
            tooltip="Whose definitions: the textbook's (standard), or those of a published tool, number by number.",
        )
        self.profile_box.enabled = False
        self.frames_box = ComboBox(
            choices=[("displayed frame", THIS_FRAME), ("all frames", ALL_FRAMES)],
            tooltip="Of a stack: the displayed frame, or the mean over all and the curve over time.",
        )
        self.frames_row = rows(("Frames", self.frames_box.native))
        self.metrics = MetricsList()
        self.table = MetricsTable()
        self.plot = MetricsPlot(viewer.theme)
        self.maps_button = QPushButton("Add quality maps")
        self.values = Section("Values", action="Copy")
        self.run_bar = RunBar(root, "Measure", "Copy, quality maps, reset")
        self._fill_menus()
        self._lay_out(root)
        self._connect()
        self.show_maps_button()

    # -- state -----------------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether the metrics are known."""
        return self._catalogue is not None

    @property
    def profile(self) -> str:
        """The chosen profile; empty while loading."""
        return str(self.profile_box.value or "")

    @property
    def mapped(self) -> tuple[str, ...]:
        """The chosen metrics that have values per pixel."""
        if self._catalogue is None:
            return ()
        return tuple(name for name in self.metrics.chosen if name in self._catalogue.mapped[self.profile])

    def offer(self, catalogue: Catalogue) -> None:
        """Fill in what can be chosen; what was wanted before is chosen now, if it is there."""
        self._catalogue = catalogue
        with self.profile_box.changed.blocked():
            self.profile_box.reset_choices()
            known = self._wanted_profile in catalogue.profiles
            self.profile_box.value = self._wanted_profile if known else next(iter(catalogue.profiles), None)
        self.profile_box.enabled = True
        self._show_metrics()

    def state(self) -> dict[str, Any]:
        """Return all choices but the layers, as values that JSON can hold."""
        self._note_left_out()
        return {
            "mode": self.subjects.mode,
            "profile": self.profile if self.ready else self._wanted_profile,
            "left_out": {profile: list(names) for profile, names in self._left_out.items()},
            "frames": self.frames_box.value,
            "plot": self.plot.wanted,
            "results_as_rows": self.table.values.results_as_rows,
            "open": {"metrics": self.metrics.expanded, "values": self.values.expanded},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state` returned, however old or damaged; what does not fit is left as it is."""
        for key, box in (("mode", self.subjects.mode_box), ("frames", self.frames_box)):
            if state.get(key) in box.choices:
                box.value = state[key]
        left_out = {k: names for k, names in table_in(state, "left_out").items() if isinstance(names, list)}
        self._left_out.update({profile: [str(name) for name in names] for profile, names in left_out.items()})
        self._wanted_profile = str(state.get("profile", ""))
        self.plot.wanted = str(state.get("plot", ""))
        if bool(state.get("results_as_rows", False)) != self.table.values.results_as_rows:
            self.table.turn()
        opened = table_in(state, "open")
        self.metrics.expanded = bool(opened.get("metrics", False))
        self.values.expanded = bool(opened.get("values", True))

    def reset(self) -> None:
        """Put everything but the layers back to its default."""
        self._left_out.clear()
        if self._catalogue is not None and self._catalogue.profiles:
            self.profile_box.value = next(iter(self._catalogue.profiles))
        self.metrics.tick(self.metrics.boxes)
        self.frames_box.value = THIS_FRAME
        self.plot.wanted = "radar"

    def show_report(self, report: Report | None) -> None:
        """Show values in the table and in the plot, or none."""
        if report is not None:
            self.table.show_report(report)
        self.values.setVisible(report is not None)
        self.plot.show_report(report)

    def show_maps_button(self, *, allowed: bool = True) -> None:
        """Let the button be pressed if there are maps to add."""
        mapped = self.mapped
        self.maps_button.setEnabled(allowed and bool(mapped))
        self.maps_button.setToolTip(_MAPS.format(", ".join(mapped)) if mapped else _NO_MAPS)

    # -- changes ---------------------------------------------------------------------------------------------------

    def _profile_choices(self, _: Any = None) -> list[tuple[str, str]]:
        if self._catalogue is None:
            return [(_LOADING, "")]
        return [(profile, profile) for profile in self._catalogue.profiles]

    def _note_left_out(self) -> None:
        if self.metrics.boxes:
            self._left_out[self._shown_profile] = self.metrics.left_out

    def _show_metrics(self) -> None:
        assert self._catalogue is not None
        self._shown_profile = self.profile
        self.metrics.offer(self._catalogue.profiles.get(self.profile, {}), self._left_out.get(self.profile, ()))
        self.show_maps_button()

    def _on_profile(self, _: Any = None) -> None:
        self._note_left_out()
        self._show_metrics()
        self.edited.emit()

    def _on_edited(self, _: Any = None) -> None:
        self.edited.emit()

    def _on_turn(self, _: bool = False) -> None:
        self.table.turn()
        self.edited.emit()

    def _on_copy_csv(self, _: bool = False) -> None:
        self.table.copy_csv()

    def _on_copy_markdown(self, _: bool = False) -> None:
        self.table.copy_markdown()

    def _on_reset(self, _: bool = False) -> None:
        self.reset()

    # -- construction ----------------------------------------------------------------------------------------------

    def _fill_menus(self) -> None:
        bar, copy = self.run_bar, QMenu(self.values.action)
        for text, handler, tip in (
            ("Copy as CSV", self._on_copy_csv, "A line per result, at full precision"),
            ("Copy as Markdown", self._on_copy_markdown, "A line per metric, as shown, the best in bold"),
        ):
            bar.add_action(text, handler, tip)
            copy.addAction(text.removeprefix("Copy ")).triggered.connect(handler)
        self.values.action.setMenu(copy)
        self.values.action.setToolTip("Copy the table to the clipboard")
        self.values.action.setStyleSheet(
            "QPushButton { padding: 2px 8px; } QPushButton::menu-indicator { image: none; width: 0px; }"
        )
        bar.add_separator()
        bar.add_action("Exchange rows and columns", self._on_turn, "Results beside or below each other")
        bar.add_action("Reset all settings", self._on_reset, "Everything but the layers")

    def _lay_out(self, root: QWidget) -> None:
        self.values.add(self.table)
        self.values.setVisible(False)
        parts = (
            self.subjects.native,
            rows(("Definitions", self.profile_box.native)),
            self.frames_row,
            self.metrics,
            self.maps_button,
            self.values,
            self.plot,
        )
        fill(root, parts, self.run_bar.native)

    def _connect(self) -> None:
        self.subjects.changed.connect(self._on_edited)
        self.profile_box.changed.connect(self._on_profile)
        self.frames_box.changed.connect(self._on_edited)
        self.metrics.changed.connect(self._on_edited)
        self.plot.kind_chosen.connect(self._on_edited)
        self.table.metric_chosen.connect(self.plot.show_metric)
