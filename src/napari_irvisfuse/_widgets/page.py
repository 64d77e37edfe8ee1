"""How all dock widgets are laid out: a page that scrolls, and a foot that stays in sight."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

__all__ = ["fill", "table_in"]

_WIDTH = 310  # the narrowest at which no control is cut off


def fill(root: QWidget, parts: Iterable[QWidget], foot: QWidget) -> None:
    """Fill a widget with parts one below the other, and its foot.

    Parameters
    ----------
    root
        With an empty layout.
    parts
        They scroll where the dock is too low for them.
    foot
        Run and what is wrong: in sight however far the page is scrolled.
    """
    page = QWidget()
    column = QVBoxLayout(page)
    column.setContentsMargins(10, 8, 10, 8)
    column.setSpacing(6)
    for part in parts:
        column.addWidget(part)
    column.addStretch(1)
    scroll = QScrollArea()
    scroll.setWidgetResizable(True)
    scroll.setFrameShape(QFrame.Shape.NoFrame)
    scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    scroll.setWidget(page)
    layout = root.layout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(0)
    layout.addWidget(scroll, 1)
    layout.addWidget(foot)
    root.setMinimumWidth(_WIDTH)


def table_in(state: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return a table of remembered settings, empty if it is missing or damaged."""
    value = state.get(key)
    return value if isinstance(value, Mapping) else {}
