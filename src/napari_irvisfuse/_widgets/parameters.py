"""A form for any method's parameters, built from their descriptions alone: nothing here knows a method."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from magicgui.widgets import (
    CheckBox,
    ComboBox,
    FloatSlider,
    FloatSpinBox,
    LineEdit,
    LiteralEvalLineEdit,
    SpinBox,
)
from psygnal import Signal
from qtpy.QtWidgets import QAbstractSpinBox, QGridLayout, QWidget

from napari_irvisfuse.errors import ParameterError

from .qt_parts import rows

if TYPE_CHECKING:
    from napari_irvisfuse.algorithms.base import MethodInfo, ParameterInfo

__all__ = ["CUSTOM", "ManyOf", "ParameterForm", "checked_values", "control_for"]

CUSTOM = "custom"
"""What the preset box says once a value was edited."""

_PRESET = "preset"
_UNBOUNDED = 1e9
_ROW_CHARACTERS = 20  # of the labels in one row of check boxes, so that the form fits a narrow dock


class ParameterForm:
    """Controls for the parameters of one method.

    Parameters
    ----------
    info
        The method.

    Attributes
    ----------
    changed
        ``changed(name, live)``: a value was changed by the user or a preset; ``live`` if a result can follow at once.

    Notes
    -----
    The form keeps the values itself and asks a control only after the user has touched it: a value from a recipe
    survives even if a slider cannot show all of its digits.
    """

    changed = Signal(str, bool)

    def __init__(self, info: MethodInfo) -> None:
        self.info = info
        self._infos = {item.name: item for item in info.parameters}
        self._presets = {name: checked_values(info, {_PRESET: name}) for name in info.presets}
        self._values = self.defaults()
        self._controls = {name: control_for(item) for name, item in self._infos.items()}
        self._shown: dict[str, Any] = {}
        self._preset = self._preset_box()
        self._show_values()
        preset = [("Preset", self._preset)] if self._preset is not None else []
        labelled = [*preset, *((_label(self._infos[name]), control) for name, control in self._controls.items())]
        for name, control in self._controls.items():
            control.native.setToolTip(_tooltip(self._infos[name]))
        self.native = rows(*((label, control.native) for label, control in labelled))
        for _, control in labelled:
            control.changed.connect(self._on_edit)

    @property
    def preset(self) -> str | None:
        """Name of the preset that the values are, ``"custom"``, or None if the method has none."""
        if not self._presets:
            return None
        return next((name for name, values in self._presets.items() if values == self._values), CUSTOM)

    def __len__(self) -> int:
        return len(self._controls)

    def control(self, name: str) -> Any:
        """Return the control of one parameter."""
        return self._controls[name]

    def defaults(self) -> dict[str, Any]:
        """Return the values of the first preset, or the parameters' own defaults."""
        return checked_values(self.info, {})

    def values(self) -> dict[str, Any]:
        """Return names and values."""
        return dict(self._values)

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Show these values; parameters not named keep theirs.

        Raises
        ------
        ParameterError
            For an unknown name or a value that is not allowed; then nothing is changed.
        """
        checked = checked_values(self.info, {**self._values, **values})
        self._take(checked)

    def reset(self) -> None:
        """Go back to the defaults."""
        self._take(self.defaults())

    def use_preset(self, name: str) -> None:
        """Take the values of a preset.

        Raises
        ------
        ParameterError
            If the method has no such preset.
        """
        if name not in self._presets:
            raise ParameterError(f"{self.info.title} has no preset {name!r}.")
        self._take(self._presets[name])

    def _take(self, values: Mapping[str, Any]) -> None:
        changed = [name for name, value in values.items() if value != self._values[name]]
        self._values.update(values)
        self._show_values()
        for name in changed:
            self.changed.emit(name, self._infos[name].live)

    def _preset_box(self) -> ComboBox | None:
        if not self._presets:
            return None
        tooltip = "Named sets of values. It says custom once one of them was edited."
        return ComboBox(choices=self._preset_choices, tooltip=tooltip)

    def _preset_choices(self, _: Any = None) -> list[str]:
        # "custom" is a state, not a choice: it is listed only while it is true
        return [*self._presets, *([CUSTOM] if self.preset == CUSTOM else [])]

    def _show_values(self) -> None:
        """Bring the controls up to date without hearing them as edits."""
        for name, control in self._controls.items():
            with control.changed.blocked():
                control.value = self._values[name]
            self._shown[name] = control.value
        self._show_preset()

    def _show_preset(self) -> None:
        if self._preset is None:
            return
        with self._preset.changed.blocked():
            self._preset.reset_choices()
            self._preset.value = self.preset

    def _on_edit(self, _: Any = None) -> None:
        """Find out what the user edited; one handler for all controls."""
        if self._preset is not None and self._preset.value not in (self.preset, CUSTOM):
            self.use_preset(self._preset.value)
            return
        for name, control in self._controls.items():
            try:
                value = control.value
                if value == self._shown[name]:
                    continue
                checked = self._infos[name].check(_on_grid(self._infos[name], value))
            except (ParameterError, ValueError, SyntaxError):
                continue  # half-typed text; the last good value stays
            if checked != value:
                with control.changed.blocked():
                    control.value = checked
            self._shown[name] = control.value
            self._values[name] = checked
            self._show_preset()
            self.changed.emit(name, self._infos[name].live)


class ManyOf:
    """Check boxes for a parameter that is a selection; at least one stays checked.

    Parameters
    ----------
    options
        What can be chosen, in order.
    """

    changed = Signal(object)

    def __init__(self, options: tuple[Any, ...]) -> None:
        self._boxes = {item: CheckBox(text=str(item), value=True) for item in options}
        longest = max(len(str(item)) for item in options)
        columns = max(1, min(len(options), _ROW_CHARACTERS // (longest + 5)))
        self.native = QWidget()
        grid = QGridLayout(self.native)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(4)
        grid.setVerticalSpacing(2)
        for index, box in enumerate(self._boxes.values()):
            grid.addWidget(box.native, index // columns, index % columns)
            box.changed.connect(self._on_box)
        self._last = self.value

    @property
    def value(self) -> tuple[Any, ...]:
        """The chosen items, in order of the options."""
        return tuple(item for item, box in self._boxes.items() if box.value)

    @value.setter
    def value(self, value: tuple[Any, ...]) -> None:
        for item, box in self._boxes.items():
            with box.changed.blocked():
                box.value = item in value
        self._last = self.value

    def box(self, item: Any) -> CheckBox:
        """Return the check box of one item."""
        return self._boxes[item]

    def _on_box(self, _: Any = None) -> None:
        if not self.value:
            self.value = self._last
            return
        self._last = self.value
        self.changed.emit(self._last)


def checked_values(info: MethodInfo, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return all parameters of a method with these values, the others at their defaults.

    Parameters
    ----------
    info
        The method.
    values
        Names and values; ``preset`` may name a set of values to start from, otherwise the first one is.

    Raises
    ------
    ParameterError
        For an unknown name or preset, or a value that is not allowed.
    """
    infos = {item.name: item for item in info.parameters}
    given = dict(values)
    preset = next(iter(info.presets), None)
    if _PRESET not in infos and _PRESET in given:
        preset = given.pop(_PRESET)
        if preset not in info.presets:
            raise ParameterError(f"{info.title} has no preset {preset!r}.")
    unknown = sorted(set(given) - set(infos))
    if unknown:
        raise ParameterError(f"{info.title} has no parameter {unknown[0]!r}.")
    start = info.presets[preset] if preset is not None else {}
    return {name: item.check(given.get(name, start.get(name, item.default))) for name, item in infos.items()}


def control_for(info: ParameterInfo) -> Any:
    """Return the control that suits one parameter.

    A slider if a bounded number can be set well with one, a spin box if not (a default of 0.01 between 0 and 10),
    check boxes for a selection, and a line of text for whatever is left.
    """
    if info.type is tuple and info.choices:
        return ManyOf(info.choices)
    if info.choices:
        return ComboBox(value=info.default, choices=list(info.choices))
    if info.type is bool:
        return CheckBox(value=info.default, text=" ")
    low, high = info.bounds or (-_UNBOUNDED, _UNBOUNDED)
    if info.type is int:
        control = SpinBox(value=info.default, min=int(low), max=int(high), step=int(info.step or 1))
        control.native.setKeyboardTracking(False)  # a number is a number when it is typed to its end
        return control
    if info.type is float:
        return _float_control(info, low, high)
    if info.type is str:
        return LineEdit(value=info.default)
    return LiteralEvalLineEdit(value=repr(info.default))


def _float_control(info: ParameterInfo, low: float, high: float) -> Any:
    span = high - low
    slider = info.bounds is not None and (info.default == low or (info.default - low) / span >= 0.02)
    if slider:
        step = info.step or 10.0 ** math.floor(math.log10(span)) / 100
        control = FloatSlider(value=info.default, min=low, max=high, step=step)
        for readout in control.native.findChildren(QAbstractSpinBox):
            readout.setKeyboardTracking(False)
            readout.setStyleSheet("QAbstractSpinBox { min-width: 44px; max-width: 50px; padding: 0px 2px; }")
        return control
    magnitude = abs(info.default) or (span / 100 if info.bounds else 1.0)
    digits = max(2, 2 - math.floor(math.log10(magnitude)))
    # the decimals come before the bounds and the value: a spin box rounds both to what it can show
    control = FloatSpinBox(min=low, max=high, step=10.0**-digits)
    control.native.setDecimals(digits + 1)
    control.value = info.default
    control.native.setKeyboardTracking(False)
    if info.step:
        control.native.setSingleStep(info.step)
    else:
        control.native.setStepType(control.native.StepType.AdaptiveDecimalStepType)
    return control


def _on_grid(info: ParameterInfo, value: Any) -> Any:
    """Return the nearest allowed number, for parameters that come in steps."""
    if not info.step or info.bounds is None:
        return value
    low, high = info.bounds
    steps = round((min(value, high) - low) / info.step)
    return info.type(min(low + steps * info.step, low + (high - low) // info.step * info.step))


def _label(info: ParameterInfo) -> str:
    title = re.sub(r"\bir\b", "IR", info.title)
    first = title[:1]
    return (first.upper() if first.isascii() else first) + title[1:]  # λ stays λ


def _tooltip(info: ParameterInfo) -> str:
    when = "The result follows at once." if info.live else "Takes effect with the next run."
    return f"{info.help}\n{when}"
