"""Device and precision, with a sentence about what ``auto`` means on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from magicgui.widgets import ComboBox
from psygnal import Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QWidget

from .qt_parts import hint, shrinkable, spare_the_wheel

__all__ = ["DeviceChoice"]

AUTO = "auto"


class DeviceChoice:
    """Where and how precisely to compute.

    Until :meth:`offer` is called only ``auto`` can be chosen: asking for devices needs torch, which is loaded in
    the background. A device that was remembered but is not there any more becomes ``auto``.

    Attributes
    ----------
    changed
        Device or precision is another one.
    """

    changed = Signal()

    def __init__(self) -> None:
        self._device = ComboBox(choices=[AUTO], tooltip="Where to compute; auto takes the first GPU, else the CPU.")
        self._precision = ComboBox(
            choices=[AUTO],
            tooltip="Number format of the networks; auto takes the fastest one that this device computes natively."
            " float64 also changes the arithmetic around them.",
        )
        self._wanted = {"device": AUTO, "precision": AUTO}
        self._explanation = hint("Looking for devices…")
        self.native = QWidget()
        grid = QGridLayout(self.native)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(4)
        for row, (title, box) in enumerate((("Device", self._device), ("Precision", self._precision))):
            shrinkable(box.native)
            grid.addWidget(QLabel(title), row, 0)
            grid.addWidget(box.native, row, 1)
        grid.addWidget(self._explanation, 2, 0, 1, 2)
        grid.setColumnStretch(1, 1)
        spare_the_wheel(self.native)
        self._device.changed.connect(self._on_changed)
        self._precision.changed.connect(self._on_changed)

    @property
    def device(self) -> str:
        """Name of the device, or ``"auto"``."""
        return self._wanted["device"]

    @property
    def precision(self) -> str:
        """Name of the precision, or ``"auto"``."""
        return self._wanted["precision"]

    @property
    def explanation(self) -> str:
        """What the choice means here, in words."""
        return self._explanation.text()

    def offer(self, devices: Sequence[str]) -> None:
        """Fill the boxes with what is there."""
        from napari_irvisfuse.devices import Precision  # torch is loaded by now

        with self._device.changed.blocked(), self._precision.changed.blocked():
            self._device.choices = [AUTO, *devices]
            self._precision.choices = list(get_args(Precision))
        self.choose(self.device, self.precision)

    def choose(self, device: str, precision: str) -> None:
        """Choose both; what is not offered becomes ``auto``, before :meth:`offer` it is kept in mind."""
        self._wanted = {"device": device, "precision": precision}
        if len(self._precision.choices) > 1:
            with self._device.changed.blocked(), self._precision.changed.blocked():
                for key, box in (("device", self._device), ("precision", self._precision)):
                    if self._wanted[key] not in box.choices:
                        self._wanted[key] = AUTO
                    box.value = self._wanted[key]
        self.changed.emit()

    def explain(self, text: str) -> None:
        """Say what the choice means here."""
        self._explanation.setText(text)
        self._explanation.setVisible(bool(text))

    def _on_changed(self, _: object = None) -> None:
        self._wanted = {"device": self._device.value, "precision": self._precision.value}
        self.changed.emit()
