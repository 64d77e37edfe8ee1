"""Layers with more axes than those of the image: their frames, and whether those of two layers belong together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image

from napari_irvisfuse.errors import ImageError
from napari_irvisfuse.images.frames import Frames, common_shape, from_array

__all__ = ["frames_of", "is_stacked", "problem_with_stacks"]

# Frames nearer than this share of their distance are at the same place, as in layer_geometry.
_TOLERANCE = 0.01


def is_stacked(*layers: Image | None) -> bool:
    """Tell whether one of these layers has more axes than those of the image."""
    return any(layer is not None and layer.ndim > 2 for layer in layers)


def frames_of(layer: Image) -> Frames:
    """Open a layer as frames: nothing is read, a dask array stays one; of a multiscale layer the full resolution."""
    frames = from_array(layer.data[0] if layer.multiscale else layer.data, layer.name)
    return replace(frames, unit=str(layer.metadata.get("unit") or ""))


def problem_with_stacks(ir: Image, visible: Image) -> str | None:
    """Say in one sentence why the frames of these layers do not belong together, or return None."""
    stacks = frames_of(ir), frames_of(visible)
    try:
        common_shape(stacks[0].shape, stacks[1].shape)
    except ImageError as error:
        return str(error)
    shared = min(ir.ndim, visible.ndim) - 2
    for back in range(1, shared + 1):
        counts = [stack.shape[-back] for stack in stacks]
        if min(counts) == 1:
            continue  # one frame for all places
        places = [_ends(layer, -2 - back) for layer in (ir, visible)]
        step = abs(places[1][1] - places[1][0]) / (counts[1] - 1)
        if np.abs(places[0] - places[1]).max() > _TOLERANCE * step:
            axis = visible.axis_labels[-2 - back]
            return (
                f"The frames of {ir.name!r} and {visible.name!r} lie at different places along axis {axis}: give both"
                " the same scale and position there, or fuse this frame only."
            )
    return None


def _ends(layer: Image, axis: int) -> npt.NDArray[Any]:
    """Return where the first and the last frame along an axis lie in the world."""
    first, last = np.zeros(layer.ndim), np.zeros(layer.ndim)
    last[axis] = (layer.data[0] if layer.multiscale else layer.data).shape[axis - (1 if layer.rgb else 0)] - 1
    return np.array([layer.data_to_world(point)[axis] for point in (first, last)])
