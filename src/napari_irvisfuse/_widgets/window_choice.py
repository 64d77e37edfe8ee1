"""Which values of an image are black and white, as a user chooses them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from magicgui.widgets import ComboBox
from psygnal import Signal
from qtpy.QtCore import QLocale
from qtpy.QtGui import QDoubleValidator
from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QVBoxLayout, QWidget

from napari_irvisfuse.errors import ParameterError
from napari_irvisfuse.images.ranges import NAMED_WINDOWS, parse_window

from .qt_parts import shrinkable

if TYPE_CHECKING:
    from napari_irvisfuse.images.ranges import WindowSpec

__all__ = ["WindowChoice"]

_CUSTOM = "custom"
_TITLES = {
    "auto": "automatic",
    "full": "full data type",
    "data": "min to max",
    "percentile": "percentiles",
    _CUSTOM: "from … to …",
}
_HELP = """Which values of the {whose} image count as black and white.
automatic: what its data type and content suggest
full data type: 0 to 255, 0 to 65535, or 0 to 1
min to max: its smallest and largest value
percentiles: the 0.1 and 99.9 percentiles
from … to …: two numbers in its own unit, °C for example"""


class WindowChoice:
    """A named intensity window, or two numbers.

    Parameters
    ----------
    whose
        ``"infrared"`` or ``"visible"``, for the tooltip.

    Attributes
    ----------
    changed
        The window is another one.
    """

    changed = Signal()

    def __init__(self, whose: str) -> None:
        self.box = ComboBox(
            choices=[(_TITLES[name], name) for name in (*NAMED_WINDOWS, _CUSTOM)],
            tooltip=_HELP.format(whose=whose),
        )
        self.low, self.high = _number("from"), _number("to")
        self._numbers = QWidget()
        row = QHBoxLayout(self._numbers)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.low, 1)
        row.addWidget(QLabel("…"))
        row.addWidget(self.high, 1)
        self.native = QWidget()
        self.native.setToolTip(self.box.tooltip)
        layout = QVBoxLayout(self.native)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        shrinkable(self.box.native)
        layout.addWidget(self.box.native)
        layout.addWidget(self._numbers)
        self._numbers.setVisible(False)
        self.box.changed.connect(self._on_changed)
        self.low.editingFinished.connect(self._on_changed)
        self.high.editingFinished.connect(self._on_changed)

    @property
    def value(self) -> WindowSpec:
        """The window.

        Raises
        ------
        ParameterError
            If it is two numbers that are no window.
        """
        if self.box.value == _CUSTOM:
            return parse_window(f"{self.low.text()},{self.high.text()}")
        return parse_window(self.box.value)

    @value.setter
    def value(self, value: WindowSpec) -> None:
        with self.box.changed.blocked():
            self.box.value = value if isinstance(value, str) else _CUSTOM
        if not isinstance(value, str):
            self.low.setText(f"{value[0]:.12g}")
            self.high.setText(f"{value[1]:.12g}")
        self._on_changed()

    @property
    def state(self) -> str | list[float]:
        """The window as JSON can hold it; half typed it is ``"auto"``."""
        try:
            value = self.value
        except ParameterError:
            return "auto"
        return value if isinstance(value, str) else list(value)

    def _on_changed(self, _: object = None) -> None:
        self._numbers.setVisible(self.box.value == _CUSTOM)
        self.changed.emit()


def _number(placeholder: str) -> QLineEdit:
    # counts, kelvins or [0, 1]: no spin box has steps that suit them all
    edit = QLineEdit()
    edit.setPlaceholderText(placeholder)
    validator = QDoubleValidator(edit)
    validator.setLocale(QLocale.c())
    edit.setValidator(validator)
    shrinkable(edit)
    return edit
