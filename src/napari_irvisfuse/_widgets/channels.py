"""Numbers without a place, such as channel gates, which no layer can show: those of both images side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from napari_irvisfuse.maps import Map

__all__ = ["BY_CHANNEL", "ORDERS", "Pairing", "pairings"]

_IR, _VISIBLE = "ir_", "visible_"
BY_CHANNEL, _BY_IR, _BY_VISIBLE, _BY_DIFFERENCE = "channel", "ir", "visible", "difference"
ORDERS = [
    ("channel", BY_CHANNEL),
    ("infrared", _BY_IR),
    ("visible", _BY_VISIBLE),
    ("difference", _BY_DIFFERENCE),
]


@dataclass(frozen=True)
class Pairing:
    """The same numbers of either image.

    Parameters
    ----------
    title
        What they are, for example "Channel gates, level 1".
    ir, visible
        ``(C,)``, one number for each channel.
    """

    title: str
    ir: npt.NDArray[Any]
    visible: npt.NDArray[Any]

    def order(self, by: str) -> npt.NDArray[np.intp]:
        """Return the channels in the order in which they are drawn."""
        if by == BY_CHANNEL:
            return np.arange(len(self.ir))
        keys = {_BY_IR: self.ir, _BY_VISIBLE: self.visible, _BY_DIFFERENCE: self.ir - self.visible}
        return np.argsort(-keys[by], kind="stable")


def pairings(maps: Mapping[str, Map[npt.NDArray[Any]]]) -> list[Pairing]:
    """Find the maps without pixels that there are of both images: ``ir_…`` and ``visible_…``."""
    found = []
    for name, item in maps.items():
        other = maps.get(_VISIBLE + name.removeprefix(_IR))
        if name.startswith(_IR) and item.data.ndim == 1 and other is not None and other.data.shape == item.data.shape:
            title = item.title.partition(" ")[2]  # without the image's name
            found.append(Pairing(title[:1].upper() + title[1:], item.data, other.data))
    return found
