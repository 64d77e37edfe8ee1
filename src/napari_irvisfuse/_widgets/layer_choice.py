"""The two boxes that say which layer is which; they follow the viewer's list and keep the user's choice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox
from psygnal import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QSizePolicy, QWidget

from .layers import guess_pair
from .qt_parts import rows

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

__all__ = ["LayerChoice"]


class _LayerBox(ComboBox):
    null_string = "choose a layer"


class LayerChoice:
    """Infrared layer, visible layer, and a button that swaps them.

    Parameters
    ----------
    viewer
        Whose layers to offer.

    Attributes
    ----------
    changed
        The choice is another one, by the user or because layers came and went.
    """

    changed = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._chosen_by_user = False
        self._boxes = (
            _LayerBox(choices=self._choices, nullable=True, tooltip="The infrared (thermal) image."),
            _LayerBox(choices=self._choices, nullable=True, tooltip="The visible image; its colour is kept."),
        )
        self.swap_button = QPushButton(text="⇅")
        self.swap_button.setToolTip("Swap the two layers")
        self.swap_button.clicked.connect(self.swap)
        self.native = self._laid_out()
        self._pair: tuple[Image | None, Image | None] = (None, None)
        for box in self._boxes:
            box.changed.connect(self._on_user_choice)
        self.refresh()

    @property
    def ir(self) -> Image | None:
        """The infrared layer, or None."""
        return self._pair[0]

    @property
    def visible(self) -> Image | None:
        """The visible layer, or None."""
        return self._pair[1]

    def choose(self, ir: Image | None, visible: Image | None) -> None:
        """Choose both, as the user would."""
        self._chosen_by_user = True
        self._show(ir, visible)

    def keep(self) -> None:
        """Stop guessing: layers that are added from now on leave the choice as it is."""
        self._chosen_by_user = True

    def swap(self) -> None:
        """Let the layers change places."""
        self.choose(self.visible, self.ir)

    def refresh(self, _: Any = None) -> None:
        """Follow the viewer's layers: what was chosen stays, what is missing is guessed."""
        there = [layer for layer in self._pair if layer in self._layers()]
        if len(there) < 2 and not self._chosen_by_user:
            self._show(*guess_pair(self._layers()))
            return
        ir, visible = (layer if layer in there else None for layer in self._pair)
        if ir is None or visible is None:
            guess = guess_pair([layer for layer in self._layers() if layer not in there])
            ir, visible = ir or guess[0], visible or guess[1]
        self._show(ir, visible)

    def _show(self, ir: Image | None, visible: Image | None) -> None:
        before = self._pair
        for box, layer in zip(self._boxes, (ir, visible), strict=True):
            with box.changed.blocked():
                box.reset_choices()
                box.value = layer
                box.native.setToolTip(f"{box.tooltip}\n{layer.name}" if layer is not None else box.tooltip)
        self._pair = (ir, visible)
        if self._pair != before:
            self.changed.emit()

    def _layers(self) -> list[Image]:
        from napari.layers import Image

        return [layer for layer in self._viewer.layers if isinstance(layer, Image)]

    def _choices(self, _: Any = None) -> list[tuple[str, Image]]:
        return [(layer.name, layer) for layer in self._layers()]

    def _on_user_choice(self, _: Any = None) -> None:
        self.choose(self._boxes[0].value, self._boxes[1].value)

    def _laid_out(self) -> QWidget:
        native = QWidget()
        row = QHBoxLayout(native)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(6)
        row.addWidget(rows(("Infrared", self._boxes[0].native), ("Visible", self._boxes[1].native)), 1)
        self.swap_button.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Expanding)
        self.swap_button.setFixedWidth(24)
        row.addWidget(self.swap_button)
        return native
