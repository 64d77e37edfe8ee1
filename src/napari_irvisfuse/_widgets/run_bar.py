"""The foot of a widget: what is wrong or was done, how far a job is, and the button that runs and cancels."""

from __future__ import annotations

from collections.abc import Callable

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtGui import QAction, QKeySequence, QShortcut
from qtpy.QtWidgets import QHBoxLayout, QLabel, QMenu, QProgressBar, QPushButton, QSizePolicy, QVBoxLayout
from qtpy.QtWidgets import QWidget as Widget

from .qt_parts import Message

__all__ = ["RunBar"]

# White reads well on both of these, and both stand out from the dark and from the light theme.
_GO_HUE, _STOP_HUE = "46, 111, 186", "168, 66, 66"
_BUTTON = (
    "QPushButton {{ font-weight: bold; }}"
    " QPushButton:enabled {{ background-color: rgb({hue}); color: white; }}"
    " QPushButton:enabled:hover {{ background-color: rgba({hue}, 200); }}"
)
_BAR = (
    "QProgressBar { background: rgba(128, 128, 128, 70); border: none; border-radius: 3px; padding: 0px; }"
    f" QProgressBar::chunk {{ background: rgb({_GO_HUE}); border-radius: 3px; }}"
)
RUN_KEY, CANCEL_KEY = "Ctrl+Return", "Esc"
_KEYPAD_RUN_KEY = "Ctrl+Enter"


class RunBar:
    """Message, progress, Run that turns into Cancel, and a menu.

    Parameters
    ----------
    scope
        The widget whose focus the shortcuts need: they must not be heard while the user works on the canvas.
    does, menu
        What the button and the menu beside it are for, in their tooltips.

    Attributes
    ----------
    run_asked, cancel_asked
        The button or its shortcut was pressed.
    """

    run_asked = Signal()
    cancel_asked = Signal()

    def __init__(
        self, scope: Widget, does: str = "Fuse the two layers", menu: str = "Python code, recipes, reset"
    ) -> None:
        self._does = does
        self.message = Message()
        self.doing = QLabel()
        self.doing.setStyleSheet("QLabel { padding: 0px; }")
        self.doing.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(6)
        self.bar.setStyleSheet(_BAR)
        self.button = QPushButton("Run")
        self.button.setMinimumHeight(32)
        self.menu_button = QPushButton(text="⋯")
        self.menu_button.setToolTip(menu)
        self.menu_button.setFixedSize(34, 32)
        # the arrow that Qt adds to a menu button says nothing that the dots do not
        self.menu_button.setStyleSheet("QPushButton::menu-indicator { image: none; width: 0px; }")
        self.menu = QMenu(self.menu_button)
        self.menu_button.setMenu(self.menu)
        self.native = self._laid_out()
        self._running = self._stopping = False
        self._reason = ""
        self.button.clicked.connect(self._on_clicked)
        self._shortcuts = [
            self._shortcut(scope, RUN_KEY, self._on_run_key),
            self._shortcut(scope, _KEYPAD_RUN_KEY, self._on_run_key),
            self._shortcut(scope, CANCEL_KEY, self._on_cancel_key),
        ]
        self._show()

    @property
    def running(self) -> bool:
        """Whether it shows a running job."""
        return self._running

    def add_action(self, text: str, handler: Callable[..., object], tip: str) -> QAction:
        """Add an entry to the menu; ``handler`` must be a bound method, Qt keeps other callables alive."""
        action = self.menu.addAction(text)
        action.setToolTip(tip)
        action.triggered.connect(handler)
        self.menu.setToolTipsVisible(True)
        return action

    def add_separator(self) -> None:
        """Add a line to the menu."""
        self.menu.addSeparator()

    def started(self) -> None:
        """Show a job that begins."""
        self._running, self._stopping = True, False
        self.progress(0, 0, "Starting")
        self._show()

    def progress(self, done: int, total: int, message: str) -> None:
        """Show how far it is; ``total`` 0 while unknown."""
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        self.doing.setText(f"{message}…")

    def stopping(self) -> None:
        """Show that the job was asked to stop."""
        self._stopping = True
        self.progress(0, 0, "Cancelling")
        self._show()

    def finished(self) -> None:
        """Show that no job runs."""
        self._running = self._stopping = False
        self._show()

    def allow(self, reason: str) -> None:
        """Let the user run if ``reason`` is empty, else say in the tooltip why not."""
        self._reason = reason
        self._show()

    def _show(self) -> None:
        self.bar.setVisible(self._running)
        self.doing.setVisible(self._running)
        self.button.setStyleSheet(_BUTTON.format(hue=_STOP_HUE if self._running else _GO_HUE))
        self.button.setText("Cancel" if self._running else "Run")
        self.button.setEnabled(not self._stopping if self._running else not self._reason)
        self.button.setToolTip(
            f"Stop; nothing is changed ({CANCEL_KEY})"
            if self._running
            else self._reason or f"{self._does} ({RUN_KEY.replace('Return', 'Enter')})"
        )

    def _on_clicked(self, _: bool = False) -> None:
        (self.cancel_asked if self._running else self.run_asked).emit()

    def _on_run_key(self) -> None:
        if not self._running and not self._reason:
            self.run_asked.emit()

    def _on_cancel_key(self) -> None:
        if self._running and not self._stopping:
            self.cancel_asked.emit()

    @staticmethod
    def _shortcut(scope: Widget, key: str, handler: Callable[[], None]) -> QShortcut:
        shortcut = QShortcut(QKeySequence(key), scope)
        shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        shortcut.activated.connect(handler)
        return shortcut

    def _laid_out(self) -> Widget:
        native = Widget()
        native.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        layout = QVBoxLayout(native)
        layout.setContentsMargins(10, 6, 10, 10)
        layout.setSpacing(6)
        layout.addWidget(self.message)
        layout.addWidget(self.doing)
        layout.addWidget(self.bar)
        row = QHBoxLayout()
        row.setSpacing(6)
        row.addWidget(self.button, 1)
        row.addWidget(self.menu_button)
        layout.addLayout(row)
        return native
