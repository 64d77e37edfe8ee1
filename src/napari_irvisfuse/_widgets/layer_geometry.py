"""Where layers lie: the grid of the image plane, how two of them lie on each other, and where a map of one lies."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image, Layer
from napari.utils.transforms import Affine, CompositeAffine
from scipy.linalg import block_diag

from napari_irvisfuse.errors import AlignmentError
from napari_irvisfuse.images.grids import Grid, Matrix, fit, inverse
from napari_irvisfuse.images.regions import Region

__all__ = [
    "affine_for",
    "affine_that_fits",
    "grid_of",
    "leaves_its_plane",
    "matrix_between",
    "plane_shape",
    "plane_to_world",
    "spatial",
    "unplaced",
]


def plane_shape(layer: Image) -> tuple[int, int]:
    """Height and width of the image plane in pixels, of a multiscale layer at full resolution."""
    shape = (layer.data[0] if layer.multiscale else layer.data).shape
    height, width = shape[-3:-1] if layer.rgb else shape[-2:]
    return int(height), int(width)


def leaves_its_plane(layer: Image) -> bool:
    """Tell whether the transform mixes the two axes of the image plane with those of the stack."""
    matrices = (_physical(layer).linear_matrix, layer.affine.linear_matrix)
    return any(np.any(matrix[:-2, -2:]) or np.any(matrix[-2:, :-2]) for matrix in matrices)


def grid_of(layer: Image, like: Image | None = None) -> Grid:
    """Return the grid of the image plane, of a multiscale layer at full resolution.

    Parameters
    ----------
    layer
        Whose transform does not leave its plane.
    like
        In the units of this layer, else in its own.

    Raises
    ------
    AlignmentError
        If the units of the two cannot be compared, or the transform has no inverse.
    """
    factors = np.ones(3)
    for axis, (unit, wanted) in enumerate(zip(layer.units[-2:], (like or layer).units[-2:], strict=True)):
        if not unit.is_compatible_with(wanted):
            raise AlignmentError(
                f"{layer.name!r} is measured in {unit:~P} and {(like or layer).name!r} in {wanted:~P}:"
                " give both layers the same units."
            )
        factors[axis] = (1 * unit).to(wanted).magnitude
    return Grid(plane_shape(layer), factors[:, None] * plane_to_world(layer))


def plane_to_world(layer: Layer) -> Matrix:
    """Return the matrix that takes places ``(row, column, 1)`` of a layer's last two axes to the world, in its units.

    Of any layer whose transform does not leave its plane, Shapes as well.
    """
    return _plane_matrix(layer.affine, layer) @ _plane_matrix(_physical(layer), layer)


def matrix_between(first: Image, second: Image) -> Matrix:
    """Return the matrix that takes pixels of one layer's plane to pixels of the other's.

    Raises
    ------
    AlignmentError
        As for :func:`grid_of`.
    """
    return grid_of(first, second).onto(grid_of(second))


def unplaced(ir: Image, visible: Image) -> bool:
    """Tell whether nobody has placed these layers yet: two sizes that begin at the same pixel, as opened files do.

    Raises
    ------
    AlignmentError
        As for :func:`grid_of`.
    """
    return plane_shape(ir) != plane_shape(visible) and np.allclose(matrix_between(ir, visible), np.eye(3))


def affine_that_fits(ir: Image, visible: Image) -> npt.NDArray[np.float64]:
    """Return the ``affine`` with which the infrared plane covers the visible one, corner on corner.

    Raises
    ------
    AlignmentError
        As for :func:`grid_of`.
    """
    return affine_for(ir, visible, fit(plane_shape(ir), plane_shape(visible)))


def affine_for(ir: Image, visible: Image, ir_to_visible: Matrix) -> npt.NDArray[np.float64]:
    """Return the ``affine`` with which infrared pixels lie where the matrix puts them on the visible plane.

    Parameters
    ----------
    ir, visible
        Their own scale, translate, rotate and shear, and whatever else there is about the visible layer, stay.
    ir_to_visible
        ``(3, 3)``, affine: pixel ``(row, column, 1)`` of one plane to the other.

    Raises
    ------
    AlignmentError
        As for :func:`grid_of`.
    """
    own = _plane_matrix(_physical(ir), ir)
    wanted = grid_of(visible, ir).to_world @ ir_to_visible @ inverse(own)
    wanted /= wanted[2, 2]
    affine: npt.NDArray[np.float64] = np.array(ir.affine.affine_matrix, np.float64)
    affine[-3:-1, -3:-1], affine[-3:-1, -1] = wanted[:2, :2], wanted[:2, 2]
    return affine


def spatial(
    layer: Image, stride: int = 1, stack: Image | None = None, *, region: Region | None = None
) -> dict[str, Any]:
    """Return where a map lies that was computed from this layer, as keyword arguments for its constructor.

    Parameters
    ----------
    layer
        Whose image plane the map describes.
    stride
        Image pixels per map pixel.
    stack
        The layer that the further axes are taken from, if the map has any; its image plane lies in the same place.
    region
        What of the image plane the map shows; None: all.

    Returns
    -------
    dict
        ``scale, translate, rotate, shear, affine, units, axis_labels`` of a two-dimensional layer, or of one with the
        axes of the stack.

    Notes
    -----
    The centre of map pixel i is at image pixel i·stride + (stride − 1)/2. A uniform factor passes through rotation
    and shear, so only the shift has to be carried through them.
    """
    axes = [layer.ndim - 2, layer.ndim - 1]
    plane = _physical(layer).set_slice(axes)
    first = region.at_stride(stride) if region is not None else None
    origin = np.array([first.top, first.left]) * stride if first is not None else np.zeros(2)
    shift = plane.linear_matrix @ (origin + (stride - 1) / 2)
    flat = {
        "scale": plane.scale * stride,
        "translate": plane.translate + shift,
        "rotate": plane.rotate,
        "shear": plane.shear,
        "affine": layer.affine.set_slice(axes).affine_matrix,
        "units": layer.units[-2:],
        "axis_labels": layer.axis_labels[-2:],
    }
    return flat if stack is None or stack.ndim == 2 else _with_axes_of(stack, flat)


def _with_axes_of(stack: Image, plane: dict[str, Any]) -> dict[str, Any]:
    """Put the further axes of a stack in front of those of an image plane; the two are not mixed by any transform."""
    axes = list(range(stack.ndim - 2))
    front, affine = _physical(stack).set_slice(axes), stack.affine.set_slice(axes).affine_matrix
    return {
        "scale": np.concatenate([front.scale, plane["scale"]]),
        "translate": np.concatenate([front.translate, plane["translate"]]),
        "rotate": block_diag(front.rotate, plane["rotate"]),
        "shear": _upper(front.shear, plane["shear"]),
        "affine": _joined(affine, plane["affine"]),
        "units": (*stack.units[:-2], *plane["units"]),
        "axis_labels": (*stack.axis_labels[:-2], *plane["axis_labels"]),
    }


def _upper(front: npt.NDArray[Any], plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Join two shears: the values above the diagonal, row by row, as napari keeps them."""
    parts = []
    for values in (front, plane):
        size = round((1 + (1 + 8 * len(values)) ** 0.5) / 2)
        part = np.zeros((size, size))
        part[np.triu_indices(size, 1)] = values
        parts.append(part)
    joined = block_diag(*parts)
    return joined[np.triu_indices(len(joined), 1)]


def _joined(front: npt.NDArray[Any], plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Join two affine matrices with their shifts in the last column."""
    joined = block_diag(front[:-1, :-1], plane)
    size = len(front) - 1
    joined[:size, -1] = front[:-1, -1]
    return joined


def _physical(layer: Layer) -> CompositeAffine:
    return CompositeAffine(scale=layer.scale, translate=layer.translate, rotate=layer.rotate, shear=layer.shear)


def _plane_matrix(transform: Affine, layer: Layer) -> Matrix:
    return np.asarray(transform.set_slice([layer.ndim - 2, layer.ndim - 1]).affine_matrix, np.float64)
