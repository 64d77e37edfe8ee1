"""Planes of layers at a small size, for what needs no detail: read and shrunk in a job, little memory at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_irvisfuse.errors import Cancelled
from napari_irvisfuse.images.checks import MIN_SIZE

from .layer_geometry import plane_shape
from .layer_pairs import plane_of

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_irvisfuse.types import Cancel

__all__ = ["small_plane"]

_BAND = 1 << 22  # pixels that are shrunk between two questions whether to stop


def small_plane(
    layer: Image, step: tuple[int, ...], longer_side: int, cancelled: Cancel
) -> tuple[npt.NDArray[Any], tuple[int, int]]:
    """Read one plane of a layer, with a longer side of at least, and less than twice, so many pixels if it has them.

    Parameters
    ----------
    layer
        Of a multiscale layer the smallest level that is large enough is read, nothing of the others.
    step
        As for :func:`~.layer_pairs.plane_of`.
    longer_side
        In pixels. A plane that is very narrow stays larger: the other side keeps what an image needs at least.
    cancelled
        Asked while the plane is shrunk; reading it cannot be stopped.

    Returns
    -------
    plane
        Each pixel is the mean of those it covers, in the layer's data type (float32 for bool and float).
    covers
        Height and width, in pixels of full resolution, of what it shows from the first corner on: fewer than a pixel's
        width are missing at the last one.

    Raises
    ------
    ImageError
        If the stack does not reach to this step.
    Cancelled
        If ``cancelled`` answered True.
    """
    level = _level(layer, longer_side)
    plane = plane_of(layer, step, level)
    size = plane.shape[:2]
    factor = max(1, min(max(size) // longer_side, min(size) // MIN_SIZE))
    covered = [side // factor * factor / side for side in size]
    height, width = (round(part * side) for part, side in zip(covered, plane_shape(layer), strict=True))
    return _shrunk(plane, factor, cancelled), (height, width)


def _level(layer: Image, longer_side: int) -> int:
    """Return the smallest level whose planes are large enough; one that also leaves out frames is of no use."""
    if not layer.multiscale:
        return 0
    stack, plane = slice(0, layer.ndim - 2), slice(layer.ndim - 2, layer.ndim)
    shapes = [level.shape for level in layer.data]
    fit = [_is_enough(shape[plane], longer_side) and shape[stack] == shapes[0][stack] for shape in shapes]
    return max((level for level, fits in enumerate(fit) if fits), default=0)


def _is_enough(shape: tuple[int, ...], longer_side: int) -> bool:
    return max(shape) >= longer_side and min(shape) >= MIN_SIZE


def _shrunk(plane: npt.NDArray[Any], factor: int, cancelled: Cancel) -> npt.NDArray[Any]:
    if factor == 1:
        return plane
    height, width = (side // factor for side in plane.shape[:2])
    whole = np.issubdtype(plane.dtype, np.integer)
    small = np.empty((height, width, *plane.shape[2:]), plane.dtype if whole else np.float32)
    rows = max(1, _BAND // (factor * plane.shape[1]))
    for top in range(0, height, rows):
        if cancelled():
            raise Cancelled
        band = plane[top * factor : min(top + rows, height) * factor, : width * factor]
        blocks = band.reshape(-1, factor, width, factor, *plane.shape[2:])
        mean = blocks.mean((1, 3), dtype=np.float32)
        small[top : top + rows] = np.rint(mean) if whole else mean
    return small
