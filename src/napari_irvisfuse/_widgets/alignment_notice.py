"""What the fuse widget says of a pair that is not aligned, and the way to the widget that aligns it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psygnal import Signal
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from .qt_parts import Message, hint

if TYPE_CHECKING:
    from napari_irvisfuse.alignment.detect import AlignmentCheck

__all__ = ["AlignmentNotice"]


class AlignmentNotice:
    """A warning with a button; a faded line if nothing can be told; nothing at all while there is nothing to say.

    Attributes
    ----------
    align_asked
        The user wants to align the pair.
    """

    align_asked = Signal()

    def __init__(self) -> None:
        self.message = Message()
        self.align_button = QPushButton("Align…")
        self.align_button.setToolTip("Open the Align widget with these two layers")
        self.align_button.clicked.connect(self._on_clicked)
        self.unclear = hint()
        self.native = QWidget()
        column = QVBoxLayout(self.native)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(5)
        column.addWidget(self.message)
        column.addWidget(self.align_button)
        column.addWidget(self.unclear)
        self.show(None)

    @property
    def text(self) -> str:
        """What it says; empty while it is hidden."""
        return self.message.text or self.unclear.text()

    def show(self, check: AlignmentCheck | None) -> None:
        """Say what a check has found, if the user has to know; None: nothing is known."""
        unclear = check is not None and check.verdict == "unclear"
        wrong = check is not None and not check.ok
        self.message.say(check.sentence if check is not None and wrong else "", "warning")
        self.align_button.setVisible(wrong)
        self.unclear.setText(check.sentence if check is not None and unclear else "")
        self.unclear.setVisible(unclear)
        self.native.setVisible(wrong or unclear)

    def _on_clicked(self, _: bool = False) -> None:
        self.align_asked.emit()
