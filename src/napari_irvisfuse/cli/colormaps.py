"""From the numbers of a map to colours: small tables for the contact sheet, so that it needs no plotting library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_irvisfuse.maps import Map
from napari_irvisfuse.types import MapKind

__all__ = ["NOTHING", "Coloured", "colourise", "table"]

Colours = npt.NDArray[np.uint8]

# A handful of anchors, evenly spaced; what lies between them is interpolated.
_GREY = "000000 ffffff"
_VIRIDIS = "440154 482878 3e4a89 31688e 26828e 1f9e89 35b779 6ece58 b5de2b fde725"
_INFERNO = "000004 1b0c41 4a0c6b 781c6d a52c60 cf4446 ed6925 fb9b06 f7d13d fcffa4"
# Dark in the middle: on a dark sheet that is where nothing happens.
_BERLIN = "c4d2ff 7fbdf2 4798c8 2a6f90 1c4355 1b1e25 52240f 91401f c86a49 ea9c88 ffcdc6"
_TABLES: dict[MapKind, str] = {"intensity": _GREY, "signed": _BERLIN, "weight": _VIRIDIS, "energy": _INFERNO}

# One wrong pixel must not decide how all the others look.
_PERCENTILE = 99.5

NOTHING = (52, 56, 66)
"""Colour of value 0 of an index map."""
_CATEGORIES = "f4a259 4ea8de 7bc96f e56b8a b79ced ffe066 4fd1c5 d98c5f 9aa5b1 f28cd3"


@dataclass(frozen=True, eq=False)
class Coloured:
    """A map ready to be drawn.

    Parameters
    ----------
    rgb
        ``(h, w, 3)``, at the map's own resolution.
    bar
        ``(256, 3)`` colours from the lower to the upper limit, or None where a legend takes its place.
    low, high
        The limits, in words.
    legend
        Colour and name of every value, for index maps.
    """

    rgb: Colours
    bar: Colours | None = None
    low: str = ""
    high: str = ""
    legend: tuple[tuple[tuple[int, int, int], str], ...] = ()


def table(anchors: str, size: int = 256) -> Colours:
    """Interpolate ``(size, 3)`` colours from hexadecimal anchors with spaces between them."""
    colours = np.array([_rgb(anchor) for anchor in anchors.split()], dtype=np.float64)
    place = np.linspace(0, len(colours) - 1, size)
    channels = [np.interp(place, np.arange(len(colours)), channel) for channel in colours.T]
    return np.round(np.stack(channels, axis=-1)).astype(np.uint8)


def colourise(item: Map[npt.NDArray[Any]]) -> Coloured:
    """Colour a map as its kind demands.

    Intensities are grey and weights viridis on [0, 1], signed values diverge around 0 with symmetric limits, energies
    start at 0; the limits of the last two are the 99.5 percentile of the magnitude. Every index has its own colour.
    """
    if item.kind == "index":
        return _categories(item)
    data = np.nan_to_num(item.data.astype(np.float64))
    low, high = 0.0, 1.0
    if item.kind in ("signed", "energy"):
        high = _upper_limit(data)
        low = -high if item.kind == "signed" else 0.0
    bar = table(_TABLES[item.kind])
    steps = np.clip((data - low) / (high - low), 0, 1) * (len(bar) - 1)
    return Coloured(bar[np.round(steps).astype(np.intp)], bar, _number(low), _number(high))


def _upper_limit(data: npt.NDArray[np.float64]) -> float:
    magnitude = np.abs(data)
    # the percentile is 0 where only a few pixels are not; a map that is 0 everywhere still needs two limits
    return float(np.percentile(magnitude, _PERCENTILE)) or float(magnitude.max()) or 1.0


def _categories(item: Map[npt.NDArray[Any]]) -> Coloured:
    data = item.data.astype(np.intp)
    count = max(len(item.labels), int(data.max()))
    colours = [_rgb(anchor) for anchor in _CATEGORIES.split()]
    chosen = [NOTHING, *(colours[number % len(colours)] for number in range(count))]
    names = [*item.labels, *(str(number) for number in range(len(item.labels) + 1, count + 1))]
    legend = list(zip(chosen[1:], names, strict=True))
    if (data == 0).any():
        legend.insert(0, (NOTHING, "none"))
    return Coloured(np.array(chosen, dtype=np.uint8)[data], legend=tuple(legend))


def _rgb(text: str) -> tuple[int, int, int]:
    return int(text[0:2], 16), int(text[2:4], 16), int(text[4:6], 16)


def _number(value: float) -> str:
    return f"{value:.0f}" if 100 <= abs(value) < 100000 else f"{value:.2g}"
