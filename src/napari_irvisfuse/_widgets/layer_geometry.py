"""Where layers lie: the transform of the image plane, compared between layers and composed with a map's stride."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image
from napari.utils.transforms import CompositeAffine

__all__ = ["leaves_its_plane", "plane_shape", "same_place", "spatial"]

# Corners nearer than this share of a pixel are the same place: transforms are rounded on their way through files.
_TOLERANCE = 0.01


def plane_shape(layer: Image) -> tuple[int, int]:
    """Height and width of the image plane in pixels, of a multiscale layer at full resolution."""
    shape = (layer.data[0] if layer.multiscale else layer.data).shape
    height, width = shape[-3:-1] if layer.rgb else shape[-2:]
    return int(height), int(width)


def leaves_its_plane(layer: Image) -> bool:
    """Tell whether the transform mixes the two axes of the image plane with those of the stack."""
    matrices = (_physical(layer).linear_matrix, layer.affine.linear_matrix)
    return any(np.any(matrix[:-2, -2:]) or np.any(matrix[-2:, :-2]) for matrix in matrices)


def same_place(first: Image, second: Image) -> bool:
    """Tell whether two planes of one size in pixels cover the same region of the world, units considered."""
    factors = []
    for unit, other in zip(first.units[-2:], second.units[-2:], strict=True):
        if not unit.is_compatible_with(other):
            return False
        factors.append((1 * unit).to(other).magnitude)
    height, width = plane_shape(second)
    corners = np.array([(y, x) for y in (-0.5, height - 0.5) for x in (-0.5, width - 0.5)])
    there, here = _to_world(first, corners) * factors, _to_world(second, corners)
    pixel = min(np.linalg.norm(here[1] - here[0]) / width, np.linalg.norm(here[2] - here[0]) / height)
    return bool(np.abs(there - here).max() <= _TOLERANCE * pixel)


def spatial(layer: Image, stride: int = 1) -> dict[str, Any]:
    """Return where a map lies that was computed from this layer, as keyword arguments for its constructor.

    Parameters
    ----------
    layer
        Whose image plane the map describes.
    stride
        Image pixels per map pixel.

    Returns
    -------
    dict
        ``scale, translate, rotate, shear, affine, units, axis_labels`` of a two-dimensional layer.

    Notes
    -----
    The centre of map pixel i is at image pixel i·stride + (stride − 1)/2. A uniform factor passes through rotation
    and shear, so only the shift has to be carried through them.
    """
    axes = [layer.ndim - 2, layer.ndim - 1]
    plane = _physical(layer).set_slice(axes)
    shift = plane.linear_matrix @ np.full(2, (stride - 1) / 2)
    return {
        "scale": plane.scale * stride,
        "translate": plane.translate + shift,
        "rotate": plane.rotate,
        "shear": plane.shear,
        "affine": layer.affine.set_slice(axes).affine_matrix,
        "units": layer.units[-2:],
        "axis_labels": layer.axis_labels[-2:],
    }


def _physical(layer: Image) -> CompositeAffine:
    return CompositeAffine(scale=layer.scale, translate=layer.translate, rotate=layer.rotate, shear=layer.shear)


def _to_world(layer: Image, points: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    axes = [layer.ndim - 2, layer.ndim - 1]
    world: npt.NDArray[np.float64] = layer.affine.set_slice(axes)(_physical(layer).set_slice(axes)(points))
    return world
