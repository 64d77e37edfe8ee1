"""How every plot of the widgets looks: napari's colours, small letters, lines that everyone can tell apart."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cycler import cycler
from matplotlib import rc_context
from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from qtpy.QtWidgets import QSizePolicy

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from napari.utils.theme import Theme
    from qtpy.QtGui import QWheelEvent

__all__ = ["FONT", "LINES", "Canvas", "Colours", "colours_of", "styled"]

# Okabe and Ito's colours, told apart by everyone, in an order that stands out from dark and light alike.
LINES = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#0072b2", "#b5a800", "#8c8c8c")
FONT = 8.0


@dataclass(frozen=True)
class Colours:
    """Of a drawing: what it lies on, its words and its thin lines."""

    background: str
    text: str
    faint: str


def colours_of(theme: Theme) -> Colours:
    """Take them from a theme of napari."""
    return Colours(*(colour.as_hex("long") for colour in (theme.background, theme.text, theme.secondary)))


class Canvas(FigureCanvasQTAgg):
    """As wide as there is room; leaves the mouse wheel to the page that it lies on."""

    def __init__(self, figure: Figure) -> None:
        super().__init__(figure)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Pass the wheel on."""
        event.ignore()


def styled(colours: Colours) -> AbstractContextManager[object]:
    """Enter it around everything that is drawn."""
    return rc_context(
        {
            "font.size": FONT,
            "text.color": colours.text,
            "axes.labelcolor": colours.text,
            "axes.facecolor": "none",
            "axes.edgecolor": colours.faint,
            "axes.grid": True,
            "axes.prop_cycle": cycler(color=LINES),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "grid.color": colours.faint,
            "grid.linewidth": 0.6,
            "grid.alpha": 0.7,
            "xtick.color": colours.text,
            "ytick.color": colours.text,
            "xtick.major.size": 2,
            "ytick.major.size": 2,
            "legend.frameon": False,
            "legend.labelcolor": colours.text,
        }
    )
