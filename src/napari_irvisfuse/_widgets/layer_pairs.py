"""From two layers to an image pair, or to the sentence that says why not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image

from napari_irvisfuse.errors import AlignmentError, ImageError
from napari_irvisfuse.images.checks import MIN_SIZE
from napari_irvisfuse.images.grids import overlap, same_place
from napari_irvisfuse.images.pair import ImagePair
from napari_irvisfuse.images.pair_source import PairSource
from napari_irvisfuse.images.placement import GridChoice, Placement, place
from napari_irvisfuse.images.ranges import WindowSpec
from napari_irvisfuse.types import Cancel

from .layer_geometry import leaves_its_plane, matrix_between, plane_shape

if TYPE_CHECKING:
    from napari.components import Dims

__all__ = [
    "displayed_step",
    "pair_from_layers",
    "place_layers",
    "plane_of",
    "problem_with",
    "problem_with_planes",
    "same_grid",
    "source_from_layers",
]


def problem_with(ir: Image | None, visible: Image | None) -> str | None:
    """Say in one sentence why these layers cannot be fused, or return None; nothing is computed."""
    problem = problem_with_planes(ir, visible)
    if problem is not None or ir is None or visible is None:
        return problem
    try:
        place_layers(ir, visible)
    except AlignmentError as error:
        return str(error)
    return None


def problem_with_planes(ir: Image | None, visible: Image | None) -> str | None:
    """Say in one sentence why these layers are no pair, wherever they lie, or return None."""
    if ir is None or visible is None:
        return f"Choose {'an infrared' if ir is None else 'a visible'} layer."
    if ir is visible:
        return "Infrared and visible are the same layer: choose two different ones."
    for layer in (ir, visible):
        problem = _problem_with_one(layer)
        if problem is not None:
            return problem
    try:
        matrix_between(ir, visible)
    except AlignmentError as error:
        return str(error)
    return None


def place_layers(ir: Image, visible: Image, grid: GridChoice = "visible") -> Placement:
    """Find out how two layers lie on each other in the world, and on which of their grids to fuse them.

    Raises
    ------
    AlignmentError
        If they lie apart, or nothing can be said because of their units.
    """
    matrix, shapes = matrix_between(ir, visible), (plane_shape(ir), plane_shape(visible))
    if same_place(matrix, *shapes):
        return place(*shapes, grid=grid)
    if not overlap(matrix, *shapes):
        raise AlignmentError(
            f"{ir.name!r} and {visible.name!r} do not overlap: their scale, position or rotation puts one beside the"
            " other. Move one of them onto the other first."
        )
    return place(*shapes, matrix, grid)


def same_grid(first: Image, second: Image) -> bool:
    """Tell whether two layers have the same pixels in the world."""
    return same_place(matrix_between(first, second), plane_shape(first), plane_shape(second))


def pair_from_layers(
    ir: Image,
    visible: Image,
    *,
    ir_window: WindowSpec = "auto",
    visible_window: WindowSpec = "auto",
    step: tuple[int, ...] = (),
    visible_step: tuple[int, ...] | None = None,
    grid: GridChoice = "visible",
    dtype: npt.DTypeLike = np.float32,
    cancelled: Cancel | None = None,
) -> ImagePair:
    """Read the displayed plane of two layers, as :func:`source_from_layers` does, and normalise all of it."""
    source = source_from_layers(
        ir,
        visible,
        ir_window=ir_window,
        visible_window=visible_window,
        step=step,
        visible_step=visible_step,
        grid=grid,
        dtype=dtype,
    )
    return source.cut(cancelled=cancelled)


def source_from_layers(
    ir: Image,
    visible: Image,
    *,
    ir_window: WindowSpec = "auto",
    visible_window: WindowSpec = "auto",
    step: tuple[int, ...] = (),
    visible_step: tuple[int, ...] | None = None,
    grid: GridChoice = "visible",
    dtype: npt.DTypeLike = np.float32,
) -> PairSource:
    """Read the displayed plane of two layers, for pairs of any part of it.

    Parameters
    ----------
    ir, visible
        Where both lie in the world says how they lie on each other. Of a multiscale layer the full resolution is read,
        of a dask array only the plane.
    ir_window, visible_window, grid, dtype
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
    return PairSource.from_images(
        plane_of(ir, step),
        plane_of(visible, step if visible_step is None else visible_step),
        ir_window=ir_window,
        visible_window=visible_window,
        ir_to_visible=place_layers(ir, visible, grid).ir_to_visible,
        grid=grid,
        ir_unit=str(ir.metadata.get("unit") or ""),
        dtype=dtype,
    )


def displayed_step(layer: Image, dims: Dims) -> tuple[int, ...]:
    """Return the layer's own index of what is displayed, for :func:`plane_of`.

    The viewer's ``current_step`` counts in the finest step of all its layers, from the first place that one of them
    reaches; it is the index of a plane only as long as all stacks start at 0 with one step.
    """
    return tuple(round(float(index)) for index in layer.world_to_data(dims.point))


def plane_of(layer: Image, step: tuple[int, ...], level: int = 0) -> npt.NDArray[Any]:
    """Read one plane of a layer.

    Parameters
    ----------
    layer
        The layer.
    step
        Which plane of a stack, by its index; the axes of a layer are the last ones. See :func:`displayed_step`.
    level
        Of a multiscale layer, with as many planes as the full resolution, level 0, has.

    Raises
    ------
    ImageError
        If the stack does not reach to this step.
    """
    data = layer.data[level] if layer.multiscale else layer.data
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
