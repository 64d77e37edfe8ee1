"""On whose pixels to fuse two layers that do not have the same, and what is resampled for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox
from psygnal import Signal
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from .layer_geometry import affine_that_fits, unplaced
from .layer_pairs import place_layers, problem_with
from .qt_parts import Message, rows

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_irvisfuse.images.placement import GridChoice

__all__ = ["GridBox"]

_TITLES = (("visible", "visible"), ("infrared", "ir"), ("the finer one", "finer"))
_IN_THE_CORNER = (
    "Sizes differ, but both layers begin at the same pixel: one lies in a corner of the other. If they show the same"
    " view, fit one onto the other; if not, align them."
)


class GridBox:
    """The choice of a grid, a sentence about what it means, and a remedy for layers that nobody has placed yet.

    Hidden while both layers have the same pixels and there is nothing to choose.

    Attributes
    ----------
    changed
        The user chose another grid.
    """

    changed = Signal()

    def __init__(self) -> None:
        self.box = ComboBox(
            choices=list(_TITLES),
            value="visible",
            tooltip="On whose pixels to fuse; the other image is resampled onto them where it lies in the world.",
        )
        self.message = Message()
        self.fit_button = QPushButton("Same view: fit infrared onto visible")
        self.fit_button.setToolTip("Sets the infrared layer's affine so that both cover each other corner on corner.")
        self.native = QWidget()
        column = QVBoxLayout(self.native)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(5)
        column.addWidget(rows(("Grid", self.box.native)))
        column.addWidget(self.message)
        column.addWidget(self.fit_button)
        self.native.setVisible(False)
        self._layers: tuple[Image | None, Image | None] = (None, None)
        self.box.changed.connect(self._on_choice)
        self.fit_button.clicked.connect(self._on_fit)

    @property
    def value(self) -> GridChoice:
        """``"visible"``, ``"ir"`` or ``"finer"``."""
        choice: GridChoice = self.box.value
        return choice

    @value.setter
    def value(self, choice: GridChoice) -> None:
        self.box.value = choice

    def show(self, ir: Image | None, visible: Image | None) -> None:
        """Say what a choice means for these two layers."""
        self._layers = ir, visible
        if ir is None or visible is None or problem_with(ir, visible) is not None:
            self.native.setVisible(False)
            return
        placement = place_layers(ir, visible, self.value)
        self.native.setVisible(placement.ir_to_visible is not None)
        in_the_corner = unplaced(ir, visible)
        self.fit_button.setVisible(in_the_corner)
        if in_the_corner:
            self.message.say(_IN_THE_CORNER, "warning")
        else:
            self.message.say(placement.note, "note")

    def _on_choice(self, _: Any = None) -> None:
        self.show(*self._layers)
        self.changed.emit()

    def _on_fit(self, _: bool = False) -> None:
        ir, visible = self._layers
        if ir is not None and visible is not None:
            ir.affine = affine_that_fits(ir, visible)
