"""What to fuse: the whole image, the current view, or what is inside a shape; and whether the result follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox
from psygnal import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from .layer_regions import Part, part_in_shape, part_in_view
from .qt_parts import rows

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Shapes

__all__ = ["SHAPE", "VIEW", "WHOLE", "RegionChoice"]

WHOLE, VIEW, SHAPE = "whole", "view", "shape"
_TITLES = (("whole image", WHOLE), ("current view", VIEW), ("inside a shape", SHAPE))
_HELP = """How much to fuse.
current view: what is on the canvas, in full resolution
inside a shape: the selected shape, or the last one; around it the visible image stays
A part is computed with what the method has to see around it."""


class _ShapesBox(ComboBox):
    null_string = "no shapes layer"


class RegionChoice:
    """The controls; what they mean in pixels is asked for with :meth:`part`.

    Parameters
    ----------
    viewer
        Whose view and Shapes layers to offer.

    Attributes
    ----------
    changed
        Something else was chosen.
    """

    changed = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self.box = ComboBox(choices=list(_TITLES), value=WHOLE, tooltip=_HELP)
        self.shapes_box = _ShapesBox(choices=self._choices, nullable=True, tooltip="The layer with the shape.")
        self.live_box = CheckBox(
            value=True,
            text="Live: follow every move and change",
            tooltip="After the first run, the part is fused anew whenever the view is moved, the shape is edited or"
            " anything is changed here.",
        )
        self.native = QWidget()
        column = QVBoxLayout(self.native)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(5)
        self._shapes_row = rows(("Shapes layer", self.shapes_box.native))
        for widget in (rows(("Fuse", self.box.native)), self._shapes_row, self.live_box.native):
            column.addWidget(widget)
        self.refresh()
        self._show()
        for control in (self.box, self.shapes_box, self.live_box):
            control.changed.connect(self._on_changed)

    @property
    def kind(self) -> str:
        """``"whole"``, ``"view"`` or ``"shape"``."""
        return str(self.box.value)

    @property
    def live(self) -> bool:
        """Whether the result should follow the view, the shape and all settings."""
        return self.kind != WHOLE and bool(self.live_box.value)

    @property
    def shapes(self) -> Shapes | None:
        """The layer whose shape counts, None if there is none or no shape is asked for."""
        return self.shapes_box.value if self.kind == SHAPE else None

    def part(self, layer: Image) -> Part | None:
        """Return what to fuse in pixels of a layer, None for the whole image.

        Raises
        ------
        ParameterError
            If there is nothing of the image in the view or the shape.
        """
        if self.kind == VIEW:
            return part_in_view(self._viewer, layer)
        return part_in_shape(self.shapes, layer) if self.kind == SHAPE else None

    @property
    def state(self) -> dict[str, Any]:
        """Everything chosen but the layer, as values that JSON can hold."""
        return {"kind": self.kind, "live": bool(self.live_box.value)}

    @state.setter
    def state(self, state: Mapping[str, Any]) -> None:
        if state.get("kind") in self.box.choices:
            self.box.value = state["kind"]
        if isinstance(state.get("live"), bool):
            self.live_box.value = state["live"]

    def reset(self) -> None:
        """Go back to the whole image."""
        self.state = {"kind": WHOLE, "live": True}

    def refresh(self) -> None:
        """Follow the viewer's layers; the newest Shapes layer is chosen if none was."""
        before = self.shapes_box.value
        with self.shapes_box.changed.blocked():
            self.shapes_box.reset_choices()
            there = [layer for _, layer in self._choices()]
            self.shapes_box.value = before if before in there else there[-1] if there else None

    def _choices(self, _: Any = None) -> list[tuple[str, Shapes]]:
        from napari.layers import Shapes

        return [(layer.name, layer) for layer in self._viewer.layers if isinstance(layer, Shapes)]

    def _show(self) -> None:
        self._shapes_row.setVisible(self.kind == SHAPE)
        self.live_box.native.setVisible(self.kind != WHOLE)

    def _on_changed(self, _: Any = None) -> None:
        self._show()
        self.changed.emit()
