"""What to do with stacks: which frames, smoothed how much, and whether they share their intensity window."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from magicgui.widgets import ComboBox, FloatSlider
from psygnal import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_irvisfuse.images.temporal import MAX_SMOOTHING

from .qt_parts import hint, rows

__all__ = ["ALL", "SHOWN", "THIS", "StackChoice"]

THIS, ALL, SHOWN = "this", "all", "shown"
_TIP = """this frame: the one displayed
all frames: a stack of the same axes, with progress and cancel
as shown: a stack whose frames are fused when the slider gets there, and kept for a while"""
_WINDOWS_TIP = """Whether all frames have one intensity window; with their own they pump when something hot comes.
One for all means that all frames are read once, unless 8 bit or two numbers decide."""
_NOT_SMOOTHED = "As shown, frames are not smoothed: each would need all before it."


class StackChoice:
    """The controls that matter to layers with more than two axes; hidden for others.

    Attributes
    ----------
    changed
        Something else was chosen.
    """

    changed = Signal()

    def __init__(self) -> None:
        self.frames_box = ComboBox(
            choices=[("this frame", THIS), ("all frames", ALL), ("as shown (lazy)", SHOWN)], tooltip=_TIP
        )
        self.windows_box = ComboBox(
            choices=[("one for all", "shared"), ("one per frame", "frame")],
            tooltip=_WINDOWS_TIP,
        )
        self.smoothing_box = FloatSlider(
            value=0.0,
            min=0.0,
            max=MAX_SMOOTHING,
            step=0.01,
            tooltip="Calms flicker: share of the past where nothing moves."
            " 0.8 averages nine frames; what moves is left alone.",
        )
        self._not_smoothed = hint(_NOT_SMOOTHED)
        self._smoothing = rows(("Smoothing", self.smoothing_box.native))
        self.native = QWidget()
        column = QVBoxLayout(self.native)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(5)
        column.addWidget(rows(("Frames", self.frames_box.native)))
        column.addWidget(rows(("Windows", self.windows_box.native)))
        column.addWidget(self._smoothing)
        column.addWidget(self._not_smoothed)
        self.native.setVisible(False)
        self._stacked = False
        self._show()
        for box in (self.frames_box, self.windows_box, self.smoothing_box):
            box.changed.connect(self._on_changed)

    @property
    def frames(self) -> str:
        """Return ``"this"``, ``"all"`` or ``"shown"``; without a stack ``"this"``, whatever was chosen."""
        return str(self.frames_box.value) if self._stacked else THIS

    def offer(self, stacked: bool) -> None:
        """Show the controls if there is a stack."""
        self._stacked = stacked
        self.native.setVisible(stacked)

    def choices(self) -> dict[str, Any]:
        """Return what a recipe keeps, as far as it has consequences."""
        return {
            "smoothing": float(self.smoothing_box.value) if self.frames == ALL else 0.0,
            "windows": self.windows_box.value if self._stacked else "shared",
        }

    @property
    def state(self) -> dict[str, Any]:
        """Everything chosen, as values that JSON can hold."""
        return {
            "frames": self.frames_box.value,
            "windows": self.windows_box.value,
            "smoothing": float(self.smoothing_box.value),
        }

    @state.setter
    def state(self, state: Mapping[str, Any]) -> None:
        for key, box in (("frames", self.frames_box), ("windows", self.windows_box)):
            if state.get(key) in box.choices:
                box.value = state[key]
        smoothing = state.get("smoothing")
        if isinstance(smoothing, int | float) and 0 <= smoothing <= MAX_SMOOTHING:
            self.smoothing_box.value = float(smoothing)

    def reset(self) -> None:
        """Go back to this frame, unsmoothed, with shared windows."""
        self.state = {"frames": THIS, "windows": "shared", "smoothing": 0.0}

    def _show(self) -> None:
        self._smoothing.setVisible(self.frames_box.value == ALL)
        self._not_smoothed.setVisible(self.frames_box.value == SHOWN)

    def _on_changed(self, _: Any = None) -> None:
        self._show()
        self.changed.emit()
