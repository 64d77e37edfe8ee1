"""How each kind of map looks: its layer type, colours and contrast limits."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from napari.utils.colormaps import Colormap, DirectLabelColormap

from napari_irvisfuse.images.ranges import resolve_window
from napari_irvisfuse.types import MapKind

__all__ = ["Kind", "contrast_limits", "label_names", "look"]

Kind: TypeAlias = MapKind | Literal["fused"]

# Dark in the middle, so that on napari's dark canvas nothing is seen where nothing is; equally light on both sides.
_SIGNED = Colormap(
    ["#a8ecff", "#3d9be0", "#1c4a86", "#0b0d12", "#8a3a12", "#e8772a", "#ffe39a"],
    name="blue − 0 + orange",
)
# Okabe and Ito's colours, told apart by everyone, without their black; then lighter ones of Paul Tol.
_CATEGORIES = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442",
    "#bbccee", "#ccddaa", "#ffcccc", "#dddddd", "#aa4499",
)  # fmt: skip
_PERCENTILE = 99.5
_SAMPLE = 65536
_FRAMES = 16


def look(kind: Kind, labels: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the colours of a layer of this kind, as keyword arguments for its constructor."""
    if kind == "index":
        colours = {i + 1: _CATEGORIES[i % len(_CATEGORIES)] for i in range(max(len(labels), len(_CATEGORIES)))}
        return {"colormap": DirectLabelColormap(color_dict={None: "transparent", 0: "transparent", **colours})}
    colormap: Any = {"signed": _SIGNED, "weight": "viridis", "energy": "inferno"}.get(kind, "gray")
    return {"colormap": colormap}


def label_names(labels: tuple[str, ...]) -> dict[str, list[Any]]:
    """Return the features of a Labels layer that name its values in the status bar and in the tooltip."""
    return {"index": list(range(len(labels) + 1)), "name": ["none", *labels]}


def contrast_limits(kind: Kind, data: npt.NDArray[Any], window: object = "auto") -> tuple[float, float]:
    """Return which values are shown as the first and the last colour.

    Parameters
    ----------
    kind
        Not ``"index"``.
    data
        What is shown.
    window
        For the fused image: the visible image's intensity window, as in the recipe.

    Returns
    -------
    low, high
        ``intensity`` and ``weight``: 0, 1. ``signed``: symmetric about 0. ``energy``: from 0. Both to the 99.5
        percentile, so that one hot pixel does not darken the rest. ``fused``: the whole range of the data type
        (of the bit depth in use, for 16 bit), not stretched, to be comparable with the visible image.
    """
    if kind == "fused":
        if isinstance(window, tuple | list):
            low, high = window
            return float(low), float(high)
        used = resolve_window(data, "auto", "visible")
        return used.low, used.high
    if kind in ("intensity", "weight"):
        return 0.0, 1.0
    high = _typical_size(data)
    return (-high, high) if kind == "signed" else (0.0, high)


def _typical_size(data: npt.NDArray[Any]) -> float:
    # Every n-th pixel of a few frames is enough for a display limit, and keeps the live preview live; a stack may lie
    # on a disk.
    if data.ndim > 2:
        planes = data.reshape(-1, *data.shape[-2:])
        data = planes[:: -(-len(planes) // _FRAMES)]
    sample = np.abs(data.ravel()[:: max(1, data.size // _SAMPLE)])
    sample = sample[np.isfinite(sample)]
    size = float(np.percentile(sample, _PERCENTILE)) if sample.size else 0.0
    return size if size > 0 else 1.0
