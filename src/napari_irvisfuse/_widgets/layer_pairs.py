"""From two layers to an image pair, or to the sentence that says why not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image

from napari_irvisfuse.errors import ImageError
from napari_irvisfuse.images.checks import MIN_SIZE
from napari_irvisfuse.images.pair import ImagePair
from napari_irvisfuse.images.ranges import WindowSpec

from .layer_geometry import leaves_its_plane, plane_shape, same_place

if TYPE_CHECKING:
    from napari.components import Dims

__all__ = ["displayed_step", "pair_from_layers", "plane_of", "problem_with"]


def problem_with(ir: Image | None, visible: Image | None) -> str | None:
    """Say in one sentence why these layers cannot be fused, or return None; nothing is computed."""
    if ir is None or visible is None:
        return f"Choose {'an infrared' if ir is None else 'a visible'} layer."
    if ir is visible:
        return "Infrared and visible are the same layer: choose two different ones."
    for layer in (ir, visible):
        problem = _problem_with_one(layer)
        if problem is not None:
            return problem
    if plane_shape(ir) != plane_shape(visible):
        return (
            f"{ir.name!r} is {_size(ir)} and {visible.name!r} {_size(visible)} pixels (width × height):"
            " resample one onto the grid of the other first."
        )
    if not same_place(ir, visible):
        return (
            f"{ir.name!r} and {visible.name!r} do not lie on each other: their scale, position, rotation or units"
            " differ. Give both the same transform, or resample one onto the grid of the other first."
        )
    return None


def pair_from_layers(
    ir: Image,
    visible: Image,
    *,
    ir_window: WindowSpec = "auto",
    visible_window: WindowSpec = "auto",
    step: tuple[int, ...] = (),
    visible_step: tuple[int, ...] | None = None,
    dtype: npt.DTypeLike = np.float32,
) -> ImagePair:
    """Read the displayed plane of two layers.

    Parameters
    ----------
    ir, visible
        On one grid. Of a multiscale layer the full resolution is read, of a dask array only the plane.
    ir_window, visible_window, dtype
        As for :meth:`ImagePair.from_images`.
    step
        Which plane of stacks, as for :func:`plane_of`.
    visible_step
        The same for the visible layer, where it is another one; see :func:`displayed_step`.

    Raises
    ------
    ImageError
        With the sentence of :func:`problem_with`, or if a stack does not reach to this step.
    """
    problem = problem_with(ir, visible)
    if problem is not None:
        raise ImageError(problem)
    return ImagePair.from_images(
        plane_of(ir, step),
        plane_of(visible, step if visible_step is None else visible_step),
        ir_window=ir_window,
        visible_window=visible_window,
        dtype=dtype,
    )


def displayed_step(layer: Image, dims: Dims) -> tuple[int, ...]:
    """Return the layer's own index of what is displayed, for :func:`plane_of`.

    The viewer's ``current_step`` counts in the finest step of all its layers, from the first place that one of them
    reaches; it is the index of a plane only as long as all stacks start at 0 with one step.
    """
    return tuple(round(float(index)) for index in layer.world_to_data(dims.point))


def plane_of(layer: Image, step: tuple[int, ...]) -> npt.NDArray[Any]:
    """Read one plane of a layer.

    Parameters
    ----------
    layer
        Of a multiscale layer the full resolution is read.
    step
        Which plane of a stack, by its index; the axes of a layer are the last ones. See :func:`displayed_step`.

    Raises
    ------
    ImageError
        If the stack does not reach to this step.
    """
    data = _full_resolution(layer)
    stacked = layer.ndim - 2
    padded = (0,) * layer.ndim + tuple(step)
    index = padded[len(padded) - layer.ndim : len(padded) - 2]
    for axis in range(stacked):
        if not 0 <= index[axis] < data.shape[axis]:
            raise ImageError(
                f"{layer.name!r} has no plane {index[axis]}, only 0 to {data.shape[axis] - 1}:"
                " move the slider to where both layers have an image."
            )
    return np.asarray(data[index])  # cropped first: a lazy stack stays lazy


def _full_resolution(layer: Image) -> Any:
    return layer.data[0] if layer.multiscale else layer.data


def _size(layer: Image) -> str:
    height, width = plane_shape(layer)
    return f"{width}×{height}"


def _problem_with_one(layer: Image) -> str | None:
    data = _full_resolution(layer)
    dtype = np.dtype(data.dtype)
    if dtype not in (np.bool_, np.uint8, np.uint16) and not np.issubdtype(dtype, np.floating):
        return f"{layer.name!r} has data type {dtype}: convert it to uint8, uint16 or float (in [0, 1]) first."
    if not layer.rgb and data.ndim > 2 and data.shape[-1] in (3, 4):
        return f"{layer.name!r} has shape {tuple(data.shape)} but is no colour layer: add it again with rgb=True."
    if layer.ndim < 2 or min(plane_shape(layer)) < MIN_SIZE:
        return f"{layer.name!r} is {_size(layer)} pixels: at least {MIN_SIZE}×{MIN_SIZE} are needed to fuse it."
    if leaves_its_plane(layer):
        return f"{layer.name!r} is rotated or sheared out of its image plane: reset that transform first."
    return None
