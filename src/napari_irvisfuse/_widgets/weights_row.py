"""The network's weights: whether the file is here, how large it is if not, and a file of the user's own."""

from __future__ import annotations

from pathlib import Path

from psygnal import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from .qt_parts import hint, shrinkable

__all__ = ["WeightsRow"]

_FILTER = "Weights (*.safetensors *.pth *.pt);;All files (*)"


class WeightsRow:
    """State of the published weights, and a path for others.

    Attributes
    ----------
    changed
        Another file was chosen, or the published one again.
    """

    changed = Signal()

    def __init__(self) -> None:
        self._state = hint("")
        self.edit = QLineEdit()
        self.edit.setPlaceholderText("a weights file of your own (optional)")
        self.edit.setToolTip("Leave it empty to use the published weights, downloaded once and checked.")
        self.edit.setClearButtonEnabled(True)
        shrinkable(self.edit)
        self._browse = QPushButton(text="…")
        self._browse.setFixedWidth(28)
        self._browse.setToolTip("Choose a weights file")
        self.native = QWidget()
        layout = QVBoxLayout(self.native)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self._state)
        row = QHBoxLayout()
        row.addWidget(self.edit, 1)
        row.addWidget(self._browse)
        layout.addLayout(row)
        self._browse.clicked.connect(self._on_browse)
        self.edit.textChanged.connect(self._on_edited)

    @property
    def path(self) -> str | None:
        """The user's own file, or None for the published weights."""
        text = self.edit.text().strip()
        return str(Path(text).expanduser()) if text else None

    @path.setter
    def path(self, path: str | None) -> None:
        self.edit.setText(path or "")

    @property
    def state(self) -> str:
        """What is known about the file, in words."""
        return self._state.text()

    def tell(self, text: str) -> None:
        """Say whether the file is here."""
        self._state.setText(text)
        self._state.setVisible(bool(text))

    def _on_browse(self, _: bool = False) -> None:
        path, _kind = QFileDialog.getOpenFileName(self.native, "Choose a weights file", self.path or "", _FILTER)
        if path:
            self.path = path

    def _on_edited(self, _: str = "") -> None:
        self.changed.emit()
