"""The conditions of a thermal image as controls, with their units and bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from magicgui.widgets import FloatSlider, FloatSpinBox
from psygnal import Signal
from qtpy.QtWidgets import QAbstractSpinBox

from napari_irvisfuse.images.thermography import Conditions

from .qt_parts import rows

__all__ = ["ConditionsForm"]


@dataclass(frozen=True)
class _Condition:
    """How one condition is shown; the bounds are those of the control, what can be is for ``Conditions`` to say."""

    title: str
    help: str
    low: float = 0.0
    high: float = 1.0
    unit: str = ""  # none: a share of 1


def _degrees(title: str, text: str, low: float = -273.15, high: float = 3000.0) -> _Condition:
    return _Condition(title, text, low, high, " °C")


_CONDITIONS = {
    "emissivity": _Condition("Emissivity", "Of what is looked at: skin 0.98, paint 0.9 to 0.95, bare metal less", 0.01),
    "reflected_temperature": _degrees("Reflected", "Temperature of what is mirrored in it; outdoors often the sky's"),
    "distance": _Condition("Distance", "To what is looked at; so much air is between", 0.0, 10_000.0, " m"),
    "atmospheric_temperature": _degrees("Air", "Temperature of the air between", -100.0, 100.0),
    "relative_humidity": _Condition("Humidity", "Of the air between, relative, as a share of 1"),
    "window_transmission": _Condition("Window lets through", "Share of 1; 1: there is no window before the lens", 0.01),
    "window_temperature": _degrees("Window", "Temperature of a window before the lens, if there is one"),
}


class ConditionsForm:
    """Controls for :class:`Conditions`.

    Attributes
    ----------
    edited
        The user has changed :attr:`conditions`.

    Notes
    -----
    The form keeps the conditions itself and asks a control only after the user has touched it: what was set in a camera
    survives even if a control cannot show all of its digits.
    """

    edited = Signal()

    def __init__(self) -> None:
        self.conditions = Conditions()
        self._controls = {name: _control(item, getattr(self.conditions, name)) for name, item in _CONDITIONS.items()}
        for name, control in self._controls.items():
            control.native.setToolTip(f"{_CONDITIONS[name].help}.\nIn Python and on the command line: {name}")
        self._shown = self._values()
        self.native = rows(*((_CONDITIONS[name].title, item.native) for name, item in self._controls.items()))
        for control in self._controls.values():
            control.changed.connect(self._on_edit)

    def control(self, name: str) -> Any:
        """Return the control of one condition."""
        return self._controls[name]

    def show(self, conditions: Conditions) -> None:
        """Show these conditions; nobody is told."""
        before, self.conditions = self.conditions, conditions
        for name, control in self._controls.items():
            value, item = getattr(conditions, name), _CONDITIONS[name]
            if value != getattr(before, name):  # the others may be half typed
                with control.changed.blocked():
                    control.value = min(max(value, item.low), item.high)
        self._shown = self._values()

    def _on_edit(self, _: Any = None) -> None:
        """Find out what the user edited; one handler for all controls."""
        values = self._values()
        edited = {name: value for name, value in values.items() if value != self._shown[name]}
        if edited:
            self._shown = values
            self.conditions = self.conditions.changed(**edited)
            self.edited.emit()

    def _values(self) -> dict[str, float]:
        return {name: control.value for name, control in self._controls.items()}


def _control(item: _Condition, value: float) -> Any:
    if item.unit:
        control = FloatSpinBox(min=item.low, max=item.high, step=0.1 if item.unit == " m" else 0.5)
        control.native.setDecimals(2)
        control.native.setSuffix(item.unit)
        control.value = value
        readouts = [control.native]
    else:
        control = FloatSlider(value=value, min=item.low, max=item.high, step=0.01)
        readouts = control.native.findChildren(QAbstractSpinBox)
        for readout in readouts:
            readout.setStyleSheet("QAbstractSpinBox { min-width: 44px; max-width: 50px; padding: 0px 2px; }")
    for readout in readouts:
        readout.setKeyboardTracking(False)  # a number is a number when it is typed to its end
    return control
