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
    QGraphicsOpacityEffect,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

__all__ = ["Message", "Section", "hint", "rows", "shrinkable", "single_shot", "spare_the_wheel", "wrapped"]

Level = Literal["error", "warning", "note", "success"]

# One hue each, readable on a dark and on a light background; the text keeps the theme's own colour.
_HUES = {"error": "224, 82, 82", "warning": "226, 160, 52", "note": "88, 150, 220", "success": "76, 175, 110"}
_FADED = 0.68
_WIDEST_LABEL = "Saliency weight____"  # the theme's font, not known yet, is a little larger
_SIGNS = {"error": "×", "warning": "!", "note": "i", "success": "✓"}


def wrapped(label: QLabel) -> QLabel:
    """Let a label break its lines instead of widening the dock, and take the height that it then needs."""
    label.setWordWrap(True)
    policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    policy.setHeightForWidth(True)
    label.setSizePolicy(policy)
    return label


def hint(text: str = "") -> QLabel:
    """Return a wrapped, slightly faded line of explanation whose text can be selected and whose links open."""
    label = wrapped(QLabel(text))
    label.setOpenExternalLinks(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
    label.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    label.setStyleSheet("QLabel { padding: 0px; }")
    # faded by opacity, not by a grey of its own: so it is the theme's text colour, light or dark
    faded = QGraphicsOpacityEffect(label)
    faded.setOpacity(_FADED)
    label.setGraphicsEffect(faded)
    label.setVisible(bool(text))
    return label


def rows(*items: tuple[str, QWidget]) -> QWidget:
    """Return labelled controls one below the other, aligned with those of every other group of rows.

    The labels take over the controls' tooltips; a title too long for its column is broken into lines.
    """
    widget = QWidget()
    grid = QGridLayout(widget)
    grid.setContentsMargins(0, 0, 0, 0)
    grid.setHorizontalSpacing(8)
    grid.setVerticalSpacing(5)
    for index, (title, control) in enumerate(items):
        label = QLabel(title)
        label.setToolTip(control.toolTip())
        label.setStyleSheet("QLabel { padding: 0px; }")
        label.setWordWrap(True)
        label.setFixedWidth(label.fontMetrics().horizontalAdvance(_WIDEST_LABEL))
        shrinkable(control)
        grid.addWidget(label, index, 0)
        grid.addWidget(control, index, 1)
    grid.setColumnStretch(1, 1)
    spare_the_wheel(widget)
    return widget


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
        self.action = QPushButton(text=action)
        self.action.setCursor(Qt.CursorShape.PointingHandCursor)
        self.action.setStyleSheet("QPushButton { padding: 2px 8px; }")
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
        self._label = wrapped(QLabel())
        self._label.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.LinksAccessibleByMouse
        )
        self._label.setTextFormat(Qt.TextFormat.PlainText)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(8, 6, 8, 6)
        layout.setSpacing(8)
        layout.addWidget(self._sign, 0, Qt.AlignmentFlag.AlignTop)
        layout.addWidget(self._label, 1)
        self.setObjectName("irvisfuse_message")
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
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
