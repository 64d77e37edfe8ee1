"""The plot of numbers without a place: infrared upwards, visible downwards, a bar for each channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import ComboBox
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from napari.utils.theme import get_theme
from qtpy.QtWidgets import QVBoxLayout, QWidget

from .channels import BY_CHANNEL, ORDERS, Pairing
from .plot_style import FONT, LINES, Canvas, colours_of, styled
from .qt_parts import hint, rows

if TYPE_CHECKING:
    from matplotlib.backend_bases import Event

__all__ = ["ChannelPlot"]

_HEIGHT = 190
_COLOURS = LINES[1], LINES[0]  # warm and cold


class ChannelPlot(QWidget):
    """One pairing at a time, in an order of the user's choice.

    Parameters
    ----------
    theme
        Name of napari's theme.
    """

    def __init__(self, theme: str) -> None:
        super().__init__()
        self._theme = theme
        self._pairings: list[Pairing] = []
        self.figure = Figure(layout="constrained")
        self.canvas = Canvas(self.figure)
        self.canvas.setFixedHeight(_HEIGHT)
        self.canvas.mpl_connect("motion_notify_event", self._on_motion)
        self.which_box = ComboBox(choices=self._choices, tooltip="Which level of the network.")
        self.order_box = ComboBox(
            choices=ORDERS,
            tooltip="In which order the channels stand: by number, the largest first, or by infrared minus visible.",
        )
        self.which_box.changed.connect(self._on_choice)
        self.order_box.changed.connect(self._on_choice)
        self.note = hint(" ")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(rows(("Shown", self.which_box.native), ("Sorted by", self.order_box.native)))
        layout.addWidget(self.canvas)
        layout.addWidget(self.note)

    @property
    def shown(self) -> Pairing | None:
        """What is drawn, None while there is nothing."""
        number = self.which_box.value
        return self._pairings[number] if number is not None and number < len(self._pairings) else None

    def show_pairings(self, found: list[Pairing]) -> None:
        """Draw other numbers; the level stays if there is one of that title."""
        before = self.shown.title if self.shown is not None else ""
        self._pairings = found
        with self.which_box.changed.blocked():
            self.which_box.reset_choices()
            titles = [pairing.title for pairing in found]
            if before in titles:
                self.which_box.value = titles.index(before)
        self._draw()

    def show_theme(self, theme: str) -> None:
        """Follow napari to another theme."""
        self._theme = theme
        self._draw()

    def _choices(self, _: Any = None) -> list[tuple[str, int]]:
        titles = [pairing.title for pairing in self._pairings]
        if len({title.rpartition(", ")[0] for title in titles}) == 1:  # the box is narrow: only what tells them apart
            titles = [title.rpartition(", ")[2] for title in titles]
        return [(title, number) for number, title in enumerate(titles)]

    def _draw(self) -> None:
        """Draw anew: a matplotlib figure takes its colours when its parts are made."""
        colours = colours_of(get_theme(self._theme))
        self.figure.clear()
        self.figure.set_facecolor(colours.background)
        pairing = self.shown
        if pairing is None:
            return
        order = pairing.order(self.order_box.value)
        with styled(colours):
            axes = self.figure.add_subplot()
            places = np.arange(len(order) + 1) - 0.5
            # as one outline each: hundreds of single bars would take their time
            axes.stairs(pairing.ir[order], places, fill=True, color=_COLOURS[0], label="infrared")
            axes.stairs(-pairing.visible[order], places, fill=True, color=_COLOURS[1], label="visible")
            axes.axhline(0, color=colours.text, linewidth=0.8)
            axes.set_xlim(places[0], places[-1])
            axes.set_xlabel("channel" if self.order_box.value == BY_CHANNEL else "place in the order")
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{abs(value):g}"))
            axes.grid(False, axis="x")
            self.figure.legend(loc="outside lower center", ncols=2, fontsize=FONT, handlelength=1.0, borderaxespad=0.2)
        higher = int((pairing.ir > pairing.visible).sum())
        self.note.setText(
            f"Infrared wins {higher} of {len(order)} channels; means {pairing.ir.mean():.3f} and"
            f" {pairing.visible.mean():.3f}. Point at a bar for its channel."
        )
        self.canvas.draw_idle()

    def _on_choice(self, _: Any = None) -> None:
        self._draw()

    def _on_motion(self, event: Event) -> None:
        place, pairing = getattr(event, "xdata", None), self.shown
        if pairing is None or place is None or not 0 <= round(place) < len(pairing.ir):
            self.canvas.setToolTip("")
            return
        channel = pairing.order(self.order_box.value)[round(place)]
        self.canvas.setToolTip(
            f"Channel {channel}: infrared {pairing.ir[channel]:.3f}, visible {pairing.visible[channel]:.3f}"
        )
