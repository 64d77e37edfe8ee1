"""Device and precision, with a sentence about what ``auto`` means on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from magicgui.widgets import ComboBox
from psygnal import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from .qt_parts import hint, rows

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
        self._devices: list[str] = [AUTO]
        self._precisions: list[str] = [AUTO]
        self._device = ComboBox(
            choices=self._device_choices, tooltip="Where to compute; auto takes the first GPU, else the CPU."
        )
        self._precision = ComboBox(
            choices=self._precision_choices,
            tooltip="Number format of the networks; auto takes the fastest one that this device computes natively."
            " float64 also changes the arithmetic around them.",
        )
        self._wanted = {"device": AUTO, "precision": AUTO}
        self._explanation = hint("Looking for devices…")
        self.native = QWidget()
        layout = QVBoxLayout(self.native)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(5)
        layout.addWidget(rows(("Device", self._device.native), ("Precision", self._precision.native)))
        layout.addWidget(self._explanation)
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
            self._devices, self._precisions = [AUTO, *devices], list(get_args(Precision))
            self._device.reset_choices()
            self._precision.reset_choices()
        self.choose(self.device, self.precision)

    def choose(self, device: str, precision: str) -> None:
        """Choose both; what is not offered becomes ``auto``, before :meth:`offer` it is kept in mind."""
        self._wanted = {"device": device, "precision": precision}
        if len(self._precisions) > 1:
            with self._device.changed.blocked(), self._precision.changed.blocked():
                for key, box in (("device", self._device), ("precision", self._precision)):
                    wanted = self._wanted[key]
                    # "cuda" means the first one, as it does for nif.fuse
                    self._wanted[key] = next((name for name in (wanted, f"{wanted}:0") if name in box.choices), AUTO)
                    box.value = self._wanted[key]
        self.changed.emit()

    def explain(self, text: str) -> None:
        """Say what the choice means here."""
        self._explanation.setText(text)
        self._explanation.setVisible(bool(text))

    # callables: a fixed list would come back whenever Qt gives a box another parent
    def _device_choices(self, _: object = None) -> list[str]:
        return self._devices

    def _precision_choices(self, _: object = None) -> list[str]:
        return self._precisions

    def _on_changed(self, _: object = None) -> None:
        self._wanted = {"device": self._device.value, "precision": self._precision.value}
        self.changed.emit()
