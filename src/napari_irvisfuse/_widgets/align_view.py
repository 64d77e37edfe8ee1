"""What the align widget shows: the controls and their arrangement, no thread, no viewer but for its layer names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox
from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from .layer_choice import LayerChoice
from .page import fill
from .qt_parts import Message, Section, hint, rows
from .run_bar import RunBar

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_irvisfuse.alignment.points import PointsResult

    from .point_pairs import FloatArray

__all__ = ["MODELS", "AlignView"]

MODELS = ("translation", "similarity", "affine")
_MODEL_TITLES = ("translation", "rotation and scale", "affine")
_NEAR, _WIDE = "near", "wide"
_TABLE_HEIGHT = 168
_HOMOGRAPHY = "A layer cannot be in perspective: homographies are for Python and the command line."
_WORST = QColor(213, 94, 0)


class AlignView:
    """All controls, and their state as a plain dictionary.

    Parameters
    ----------
    viewer
        Whose layers to offer.
    root
        The widget to fill.

    Attributes
    ----------
    edited
        The user changed something.
    """

    edited = Signal()

    def __init__(self, viewer: ViewerModel, root: QWidget) -> None:
        self.layers = LayerChoice(viewer)
        self.model_box = ComboBox(
            choices=list(zip(_MODEL_TITLES, MODELS, strict=True)),
            value="similarity",
            tooltip=f"What may be changed about how the infrared layer lies.\n{_HOMOGRAPHY}",
        )
        self.reach_box = ComboBox(
            choices=[("near", _NEAR), ("further away", _WIDE)],
            value=_NEAR,
            tooltip="How far from where the layers lie now to look. Near: 13 % of the width, 6°, a factor of 1.16."
            "\nFurther away: 30 %, 18°, 1.9; takes some ten times as long.",
        )
        self.check_button = _button("Check", "Say whether the layers are aligned as they lie")
        self.show_button = _button("Show where", "Add a layer that shows by how far each part is off")
        self.checked = Message()
        self.pick_button = _button("Set points", "Click the same thing in both images, in turn")
        self.pick_button.setCheckable(True)
        self.remove_button = _button("Remove", "Remove the pair that is chosen in the table, or the last one")
        self.fit_button = _button("Apply", "Move the infrared layer to where the points say")
        self.robust_box = CheckBox(text="leave out what does not fit", tooltip="RANSAC in place of least squares.")
        self.prompt = hint()
        self.table = _table()
        self.sections = {
            "check": Section("Are they aligned?"),
            "points": Section("By hand", expanded=False),
        }
        self.run_bar = RunBar(root, "Align the two layers", "Undo, save, load")
        self._lay_out(root)
        self._connect()

    @property
    def model(self) -> str:
        """The chosen model."""
        return str(self.model_box.value)

    @property
    def wide(self) -> bool:
        """Whether to look further away."""
        return bool(self.reach_box.value == _WIDE)

    @property
    def chosen_pair(self) -> int | None:
        """Number of the row that is chosen in the table, from 0."""
        chosen = self.table.selectionModel().selectedRows()
        return chosen[0].row() if chosen else None

    def state(self) -> dict[str, Any]:
        """Return all choices but the layers, as values that JSON can hold."""
        return {
            "model": self.model,
            "reach": self.reach_box.value,
            "robust": self.robust_box.value,
            "open": {name: section.expanded for name, section in self.sections.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state` returned, however old or damaged; what does not fit is left as it is."""
        for key, box in (("model", self.model_box), ("reach", self.reach_box)):
            if state.get(key) in box.choices:
                box.value = state[key]
        self.robust_box.value = bool(state.get("robust", False))
        opened = state.get("open")
        for name, section in self.sections.items():
            if isinstance(opened, Mapping) and name in opened:
                section.expanded = bool(opened[name])

    def show_pairs(self, ir: FloatArray, visible: FloatArray, result: PointsResult | None) -> None:
        """Fill the table: places in both images, and how far each pair is from fitting, the worst in colour."""
        self.table.setRowCount(len(ir))
        for row, (here, there) in enumerate(zip(ir, visible, strict=True)):
            off = "–" if result is None else f"{result.residuals[row]:.1f}"
            left_out = result is not None and not result.used[row]
            cells = (
                f"{here[0]:.1f}, {here[1]:.1f}",
                f"{there[0]:.1f}, {there[1]:.1f}",
                f"({off})" if left_out else off,
            )
            for column, text in enumerate(cells):
                item = QTableWidgetItem(text)
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                if result is not None and len(ir) > 1 and row == result.worst and result.residuals[row] > 0.05:
                    item.setForeground(_WORST)
                self.table.setItem(row, column, item)
        self.table.setVisible(len(ir) > 0)

    def _lay_out(self, root: QWidget) -> None:
        check = QWidget()
        column = _column(check)
        column.addWidget(_row(self.check_button, self.show_button))
        column.addWidget(self.checked)
        self.sections["check"].add(check)
        points = QWidget()
        column = _column(points)
        column.addWidget(_row(self.pick_button, self.remove_button, self.fit_button))
        column.addWidget(self.prompt)
        column.addWidget(self.table)
        column.addWidget(self.robust_box.native)
        self.sections["points"].add(points)
        self.table.setVisible(False)

        choices = rows(("May change", self.model_box.native), ("Look", self.reach_box.native))
        fill(root, (self.layers.native, choices, *self.sections.values()), self.run_bar.native)

    def _connect(self) -> None:
        self.layers.changed.connect(self._on_edited)
        self.model_box.changed.connect(self._on_edited)
        self.reach_box.changed.connect(self._on_edited)
        self.robust_box.changed.connect(self._on_edited)

    def _on_edited(self, _: Any = None) -> None:
        self.edited.emit()


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    return button


def _column(widget: QWidget) -> QVBoxLayout:
    column = QVBoxLayout(widget)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(5)
    return column


def _row(*buttons: QPushButton) -> QWidget:
    widget = QWidget()
    row = QHBoxLayout(widget)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(6)
    for button in buttons:
        row.addWidget(button, 1)
    return widget


def _table() -> QTableWidget:
    table = QTableWidget(0, 3)
    table.setHorizontalHeaderLabels(["Infrared", "Visible", "Off by px"])
    table.setToolTip("Row and column in both images, and how far apart the pair is with the transform that fits best")
    table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setFixedHeight(_TABLE_HEIGHT)
    return table
