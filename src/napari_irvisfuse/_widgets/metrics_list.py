"""Which metrics of a profile to compute: a grid of small boxes, all ticked at first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from psygnal import Signal
from qtpy.QtWidgets import QCheckBox, QGridLayout, QWidget

from .metrics_report import arrow, describe
from .qt_parts import Section

if TYPE_CHECKING:
    from napari_irvisfuse.metrics.base import MetricInfo

__all__ = ["MetricsList"]

_COLUMNS = 2
_STYLE = "QCheckBox { padding: 0px; spacing: 4px; }"


class MetricsList(Section):
    """A section that folds away; its button says how many are chosen, and chooses all or none.

    Attributes
    ----------
    changed
        The user ticked or unticked metrics.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__("Metrics", expanded=False, action="all")
        self.boxes: dict[str, QCheckBox] = {}
        self._quiet = False
        self.action.setToolTip("Choose all metrics, or none")
        self.action.clicked.connect(self._on_all_or_none)

    @property
    def chosen(self) -> tuple[str, ...]:
        """Names of the ticked metrics, in the order of the profile."""
        return tuple(name for name, box in self.boxes.items() if box.isChecked())

    @property
    def left_out(self) -> list[str]:
        """Names of the others."""
        return [name for name, box in self.boxes.items() if not box.isChecked()]

    def offer(self, metrics: Mapping[str, MetricInfo], left_out: Iterable[str] = ()) -> None:
        """List these metrics, all ticked but those left out."""
        left_out = set(left_out)
        grid_widget = QWidget()
        grid = QGridLayout(grid_widget)
        grid.setContentsMargins(2, 0, 0, 0)
        grid.setVerticalSpacing(2)
        self.boxes = {}
        lines = -(-len(metrics) // _COLUMNS)  # down the columns, so that a family stays together
        for number, (name, info) in enumerate(metrics.items()):
            box = QCheckBox(f"{name} {arrow(info)}")
            box.setStyleSheet(_STYLE)
            box.setToolTip(describe(info))
            box.setChecked(name not in left_out)
            box.toggled.connect(self._on_ticked)
            grid.addWidget(box, number % lines, number // lines)
            self.boxes[name] = box
        self.replace(grid_widget)
        self._count()

    def tick(self, names: Iterable[str]) -> None:
        """Tick these and no others."""
        names = set(names)
        self._quiet = True
        for name, box in self.boxes.items():
            box.setChecked(name in names)
        self._quiet = False
        self._on_ticked()

    def _on_all_or_none(self, _: bool = False) -> None:
        self.tick(self.boxes if self.left_out else ())

    def _on_ticked(self, _: bool = False) -> None:
        if not self._quiet:
            self._count()
            self.changed.emit()

    def _count(self) -> None:
        chosen, offered = len(self.chosen), len(self.boxes)
        self.action.setText(f"all {offered}" if chosen == offered else f"{chosen} of {offered}")
