"""Small Qt pieces that the widgets are put together from; they follow napari's theme, light or dark."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

__all__ = ["Message", "Section", "hint", "shrinkable", "single_shot", "spare_the_wheel"]

Level = Literal["error", "warning", "note", "success"]

# One hue each, readable on a dark and on a light background; the text keeps the theme's own colour.
_HUES = {"error": "224, 82, 82", "warning": "226, 160, 52", "note": "88, 150, 220", "success": "76, 175, 110"}
_SIGNS = {"error": "×", "warning": "!", "note": "i", "success": "✓"}


def hint(text: str = "") -> QLabel:
    """Return a wrapped, slightly faded line of explanation whose text can be selected and whose links open."""
    label = QLabel(text)
    label.setWordWrap(True)
    label.setOpenExternalLinks(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
    label.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    label.setStyleSheet("QLabel { color: rgba(140, 145, 155, 255); padding: 0px; margin: 0px; }")
    # a wrapped label asks for its longest word; it may be narrower than any sentence
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.MinimumExpanding)
    label.setVisible(bool(text))
    return label


def shrinkable(widget: QWidget) -> None:
    """Let a control become narrower than its contents: a long layer name must not widen the dock."""
    if isinstance(widget, QComboBox):
        widget.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        widget.setMinimumContentsLength(6)
    widget.setMinimumWidth(60)
    widget.setSizePolicy(QSizePolicy.Policy.Expanding, widget.sizePolicy().verticalPolicy())


def single_shot(owner: QObject, interval_ms: int, slot: Callable[[], None]) -> QTimer:
    """Return a timer that calls a bound method once, some time after its last ``start()``."""
    timer = QTimer(owner)
    timer.setSingleShot(True)
    timer.setInterval(interval_ms)
    timer.timeout.connect(slot)
    return timer


class _WheelGuard(QObject):
    """Passes the mouse wheel on to the page unless the control was clicked first."""

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Ignore the wheel over a control without focus."""
        if event is not None and event.type() == QEvent.Type.Wheel and isinstance(watched, QWidget):
            focused = watched.hasFocus() or any(child.hasFocus() for child in watched.findChildren(QWidget))
            if not focused:
                event.ignore()
                return True
        return False


def spare_the_wheel(parent: QWidget) -> None:
    """Keep scrolling a panel from changing the values that pass under the mouse."""
    guard = parent.findChild(_WheelGuard) or _WheelGuard(parent)
    for kind in (QComboBox, QAbstractSpinBox, QAbstractSlider):
        for control in parent.findChildren(kind):
            control.removeEventFilter(guard)
            control.installEventFilter(guard)
            control.setFocusPolicy(Qt.FocusPolicy.StrongFocus)


class Section(QWidget):
    """A titled group that folds away.

    Parameters
    ----------
    title
        What is in it.
    expanded
        Whether it starts open.
    action
        Text of a small button at the right of the title, or empty for none; see :attr:`action`.
    """

    def __init__(self, title: str, *, expanded: bool = True, action: str = "") -> None:
        super().__init__()
        self._title = title
        self.header = QPushButton(checkable=True)
        self.header.setCursor(Qt.CursorShape.PointingHandCursor)
        self.header.setStyleSheet(
            "QPushButton { text-align: left; font-weight: bold; padding: 3px 0px; border: none;"
            " background: transparent; }"
        )
        self.action = QToolButton(text=action)
        self.action.setCursor(Qt.CursorShape.PointingHandCursor)
        self.action.setStyleSheet("QToolButton { padding: 2px 8px; border-radius: 2px; }")
        self.action.setVisible(bool(action))
        top = QHBoxLayout()
        top.setContentsMargins(0, 0, 0, 0)
        top.addWidget(self.header, 1)
        top.addWidget(self.action)

        self.content = QWidget()
        self._body = QVBoxLayout(self.content)
        self._body.setContentsMargins(0, 2, 0, 4)
        self._body.setSpacing(4)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(top)
        layout.addWidget(self.content)
        self.header.toggled.connect(self._on_toggled)
        self.header.setChecked(expanded)
        self._on_toggled(expanded)

    @property
    def expanded(self) -> bool:
        """Whether it is open."""
        return self.header.isChecked()

    @expanded.setter
    def expanded(self, expanded: bool) -> None:
        self.header.setChecked(expanded)

    def add(self, widget: QWidget) -> None:
        """Append a widget to the contents."""
        self._body.addWidget(widget)

    def replace(self, widget: QWidget) -> None:
        """Show this widget in place of all contents."""
        while (item := self._body.takeAt(0)) is not None:
            old = item.widget()
            if old is not None and old is not widget:
                old.hide()
                old.deleteLater()
        self.add(widget)

    def _on_toggled(self, expanded: bool) -> None:
        self.header.setText(f"{'▾' if expanded else '▸'}  {self._title}")
        self.content.setVisible(expanded)


class Message(QFrame):
    """One sentence to the user, in the widget itself: selectable, with a sign that says how serious it is."""

    def __init__(self) -> None:
        super().__init__()
        self.level: Level = "note"
        self._sign = QLabel()
        self._sign.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._sign.setFixedSize(16, 16)
        self._label = QLabel()
        self._label.setWordWrap(True)
        self._label.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.LinksAccessibleByMouse
        )
        self._label.setTextFormat(Qt.TextFormat.PlainText)
        self._label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.MinimumExpanding)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(8, 6, 8, 6)
        layout.setSpacing(8)
        layout.addWidget(self._sign, 0, Qt.AlignmentFlag.AlignTop)
        layout.addWidget(self._label, 1)
        self.setObjectName("irvisfuse_message")
        self.setVisible(False)

    @property
    def text(self) -> str:
        """What it says; empty while it is hidden."""
        return self._label.text()

    def say(self, text: str, level: Level = "note") -> None:
        """Show a sentence, or hide if it is empty."""
        self.level = level
        hue = _HUES[level]
        self._sign.setText(_SIGNS[level])
        self._sign.setStyleSheet(
            f"background: rgb({hue}); color: white; border-radius: 8px; font-weight: bold; padding: 0px;"
        )
        self._label.setStyleSheet("background: transparent; padding: 0px;")
        self.setStyleSheet(
            f"#irvisfuse_message {{ background: rgba({hue}, 45); border: none;"
            f" border-left: 3px solid rgb({hue}); border-radius: 2px; }}"
        )
        self._label.setText(text)
        self.setVisible(bool(text))
