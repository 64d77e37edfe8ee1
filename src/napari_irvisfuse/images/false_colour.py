"""False colour: thermal pictures that were painted with a palette, and the way back to how hot it was."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from .color import split_luma
from .ranges import FloatArray

__all__ = ["unpaint"]

Palette = npt.NDArray[np.float64]

_KNOWN = ("inferno", "magma", "plasma", "viridis", "hot", "jet", "turbo", "rainbow", "CMRmap", "gnuplot2")
# What makers call iron or ironbow differs a little from one to the next: black, violet, orange, white.
_IRON = [
    (0, 0, 0),
    (0.13, 0, 0.45),
    (0.5, 0, 0.6),
    (0.75, 0.1, 0.5),
    (0.9, 0.3, 0.15),
    (0.96, 0.6, 0),
    (0.99, 0.85, 0.2),
]
_STEPS = 256
_OWN = "its own"

_FINE = (1 << 21) - 1  # steps of a channel, three of which fit into one number; as fine as float32
_SAMPLE = 20_000
_VIVID = 0.15  # difference between the largest and the smallest channel
_NEAR = 0.12  # JPEG blurs colours, and makers have ideas of their own
_SAME = 0.06  # of a palette that is seen without noise
_SPREAD = 0.1  # share of a palette
_COLOURED, _FOUND_COLOURED, _MOST = 0.25, 0.5, 0.75  # shares of a picture: in colour, and on the palette

_CELLS = 16
_THICK = 5.0  # cells of colour space per step along a curve: a curve fills its neighbours, a photograph many more
_HUES = 0.35  # of what two tones, or a tinted grey, do not reach


def unpaint(rgb: FloatArray) -> tuple[FloatArray | None, str]:
    """Find out with which palette a picture was painted, and turn its colours back into shares of the palette.

    Parameters
    ----------
    rgb
        ``(H, W, 3)``, gamma-encoded, in [0, 1].

    Returns
    -------
    values
        ``(H, W)`` in [0, 1], 0 at the cold end; None if the picture follows no palette.
    name
        Of the palette; ``"its own"`` if it is none of those that are known, and was found in the picture.

    Notes
    -----
    Known palettes are recognised if three quarters of the picture lie on one. A picture without noise shows its
    palette itself: its colours form one thin curve, along which distances are measured from neighbour to neighbour (as
    in Isomap, Tenenbaum et al. 2000). That decides where it is there and no known palette is the same. The cold end is
    the darker and bluer one. Pictures with little colour follow no palette: their luma says the same.
    """
    colours = rgb.reshape(-1, 3)[:: max(1, rgb.size // 3 // _SAMPLE)].astype(np.float64)
    vivid = float((np.ptp(colours, axis=-1) > _VIVID).mean())
    if vivid < _COLOURED:
        return None, ""
    curve = _curve_of(colours) if vivid >= _FOUND_COLOURED else None
    shown, near = (colours, _NEAR) if curve is None else (curve, _SAME)
    shares = {name: float((_distances(shown, palette) < near).mean()) for name, palette in _palettes().items()}
    name = max(shares, key=lambda known: shares[known])
    if shares[name] >= _MOST:
        values = _positions(rgb, _palettes()[name])
        low, high = np.percentile(values, (1, 99))
        return (values, name) if high - low > _SPREAD else (None, "")  # a single tone is no scale
    return (None, "") if curve is None else (_positions(rgb, curve), _OWN)


@cache
def _palettes() -> dict[str, Palette]:
    from matplotlib import colormaps

    known = {name: colormaps[name](np.linspace(0, 1, _STEPS))[:, :3] for name in _KNOWN}
    return {"iron": _resampled(np.array([*_IRON, (1, 1, 0.95)]), np.arange(len(_IRON) + 1)), **known}


def _resampled(colours: npt.NDArray[Any], places: npt.NDArray[Any]) -> Palette:
    at = np.linspace(places[0], places[-1], _STEPS)
    return np.stack([np.interp(at, places, channel) for channel in colours.T], axis=-1)


def _distances(colours: npt.NDArray[Any], palette: Palette) -> npt.NDArray[np.float64]:
    from scipy.spatial import cKDTree

    distances: npt.NDArray[np.float64] = cKDTree(palette).query(colours)[0]
    return distances


def _positions(rgb: FloatArray, palette: Palette) -> FloatArray:
    """Return where on the palette each colour lies, between its steps too: there is no detour through 8 bit."""
    from scipy.spatial import cKDTree

    # each colour once: painted pictures have few
    packed = np.round(rgb.reshape(-1, 3).astype(np.float64) * _FINE).astype(np.int64) @ (1 << 42, 1 << 21, 1)
    each, inverse = np.unique(packed, return_inverse=True)
    colours = np.stack([each >> 42, (each >> 21) & _FINE, each & _FINE], axis=-1) / _FINE
    nearest = cKDTree(palette).query(colours)[1]
    best, least = nearest.astype(np.float64), np.full(len(colours), np.inf)
    for first in (nearest - 1, nearest):  # the two pieces that meet there
        first = np.clip(first, 0, len(palette) - 2)
        start, piece = palette[first], palette[first + 1] - palette[first]
        length = np.maximum((piece**2).sum(-1), 1e-12)
        along = np.clip(((colours - start) * piece).sum(-1) / length, 0, 1)
        distance = ((colours - start - along[:, None] * piece) ** 2).sum(-1)
        closer = distance < least
        best[closer], least[closer] = (first + along)[closer], distance[closer]
    values: FloatArray = (best / (len(palette) - 1)).astype(rgb.dtype)[inverse].reshape(rgb.shape[:2])
    return values


def _curve_of(colours: npt.NDArray[np.float64]) -> Palette | None:
    """Find the thin curve that colours lie on, from cold to hot; None if they do not."""
    cells = _means_of_cells(colours)
    places = _along(cells)
    if places is None:
        return None
    step = 1 / _CELLS
    if len(cells) * step > _THICK * places.max():
        return None
    order = np.argsort(places)
    places, cells = places[order], cells[order]
    edges = np.arange(0, places[-1] + step, step)
    group = np.clip(np.digitize(places, edges) - 1, 0, len(edges) - 1)
    used = np.unique(group)
    if len(used) < 4:
        return None
    middle = np.array([cells[group == number].mean(0) for number in used])
    at = np.array([places[group == number].mean() for number in used])
    chroma = middle - middle.mean(-1, keepdims=True)
    if np.ptp(chroma, axis=0).max() < _HUES:
        return None
    curve = _resampled(middle, at)
    luma = split_luma(curve[[0, -1]])[0]
    warmth = luma + curve[[0, -1], 0] - curve[[0, -1], 2]
    return curve if warmth[0] <= warmth[1] else curve[::-1]


def _means_of_cells(colours: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the mean colours of those cells of colour space that hold all but a few."""
    index = np.clip((colours * _CELLS).astype(int), 0, _CELLS - 1) @ (_CELLS**2, _CELLS, 1)
    counts = np.bincount(index, minlength=_CELLS**3)
    order = np.argsort(counts)[::-1]
    enough = int(np.searchsorted(np.cumsum(counts[order]), 0.97 * len(colours))) + 1
    kept = order[:enough]
    sums = np.stack([np.bincount(index, channel, _CELLS**3) for channel in colours.T], axis=-1)
    means: npt.NDArray[np.float64] = sums[kept] / counts[kept, None]
    return means


def _along(cells: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
    """Return distances from one end, from cell to cell; None if the colours fall apart."""
    from scipy.sparse.csgraph import dijkstra
    from scipy.spatial import cKDTree

    if len(cells) < 4:
        return None
    graph = cKDTree(cells).sparse_distance_matrix(cKDTree(cells), 3 / _CELLS).tocsr()
    start = dijkstra(graph, directed=False, indices=0)
    if not np.isfinite(start).all():
        return None
    distances: npt.NDArray[np.float64] = dijkstra(graph, directed=False, indices=int(start.argmax()))
    return distances
