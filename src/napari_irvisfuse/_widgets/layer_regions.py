"""Which pixels somebody looks at: the part of a layer's image plane in the current view, or inside a shape."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from napari_irvisfuse.errors import ParameterError
from napari_irvisfuse.images.grids import apply, inverse
from napari_irvisfuse.images.regions import Region

from .layer_geometry import plane_shape, plane_to_world

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.components.camera import Camera
    from napari.layers import Image, Shapes

    from napari_irvisfuse.images.grids import Matrix

__all__ = ["Part", "PartKind", "camera_of", "part_in_shape", "part_in_view"]

PartKind: TypeAlias = Literal["view", "shape"]
Points: TypeAlias = npt.NDArray[np.float64]

_UPRIGHT = 1e-6  # pixels by which the sides of a rectangle may lean
_ARC = np.linspace(0, 2 * np.pi, 180, endpoint=False)


@dataclass(frozen=True)
class Part:
    """A part of a grid.

    Parameters
    ----------
    kind
        What was looked at.
    region
        The rectangle that is fused.
    outline
        Corners ``(row, column)`` in pixels of the grid, outside of which the visible image stays; empty if the
        rectangle is all there is.
    """

    kind: PartKind
    region: Region
    outline: tuple[tuple[float, float], ...] = ()

    def mask(self) -> npt.NDArray[np.bool_] | None:
        """Return which pixels of the region lie within the outline, None if all do."""
        if not self.outline:
            return None
        from skimage.draw import polygon2mask

        corners = np.array(self.outline) - (self.region.top, self.region.left)
        return np.asarray(polygon2mask(self.region.shape, corners), np.bool_)


def camera_of(viewer: ViewerModel) -> Camera:
    """Return the camera, which moved within the viewer in napari 0.9."""
    scene = getattr(viewer, "scene", None)
    return viewer.camera if scene is None else scene.camera


def part_in_view(viewer: ViewerModel, layer: Image) -> Part:
    """Return the pixels of a layer's plane that the canvas shows, whatever the transforms.

    Parameters
    ----------
    viewer
        In two dimensions, and showing the two axes of the layer's image plane.
    layer
        Need not be visible.

    Raises
    ------
    ParameterError
        If nothing of it is in the view, or the view is not that of the image plane.
    """
    dims = viewer.dims
    axes = tuple(dims.displayed)
    if dims.ndisplay != 2 or set(axes) != {dims.ndim - 2, dims.ndim - 1}:
        raise ParameterError("The view does not show the image plane: go back to 2D and the usual order of axes.")
    camera = camera_of(viewer)
    half = np.array(_canvas_size(viewer)) / (2 * camera.zoom)
    corners = np.array([(y, x) for y in (-1, 1) for x in (-1, 1)]) * half + np.array(camera.center[-2:])
    if axes[0] > axes[1]:
        corners = corners[:, ::-1]
    units = getattr(dims, "units", None) or layer.units
    points = _to_pixels(corners, np.eye(3), units[-2:], layer)
    # every pixel of which a bit is seen
    low, high = np.floor(points.min(axis=0) + 0.5), np.ceil(points.max(axis=0) - 0.5)
    try:
        return Part("view", _region(low, high).clipped(plane_shape(layer)))
    except ParameterError:
        raise ParameterError("Nothing of the images is in the view: move it back, or fuse the whole image.") from None


def part_in_shape(shapes: Shapes | None, layer: Image) -> Part:
    """Return the pixels of a layer's plane whose centres lie inside the selected shape, or else the last one.

    Raises
    ------
    ParameterError
        If there is no shape, or it lies beside the image.
    """
    if shapes is None or len(shapes.data) == 0:
        raise ParameterError("Draw a shape around what should be fused, in a layer of shapes.")
    index = max(shapes.selected_data, default=len(shapes.data) - 1)
    vertices = np.asarray(shapes.data[index], np.float64)[:, -2:]
    kind = str(shapes.shape_type[index])
    points = _to_pixels(_outline(vertices, kind), plane_to_world(shapes), shapes.units[-2:], layer)
    low, high = points.min(axis=0), points.max(axis=0)
    upright = kind == "rectangle" and bool((np.minimum(np.abs(points - low), np.abs(points - high)) < _UPRIGHT).all())
    try:
        region = _region(np.ceil(low), np.floor(high)).clipped(plane_shape(layer))
    except ParameterError:
        raise ParameterError(
            "No pixel of the images is inside the shape: draw it on them, or make it larger."
        ) from None
    area = () if upright or len(points) < 3 else tuple((float(y), float(x)) for y, x in points)
    return Part("shape", region, area)


def _outline(vertices: Points, kind: str) -> Points:
    """Return the corners of a shape; of an ellipse, which napari stores as its box, many."""
    if kind != "ellipse":
        return vertices
    origin, right, _, down = vertices[:4]
    middle = (right + down) / 2
    around: Points = middle + np.outer(np.cos(_ARC), right - origin) / 2 + np.outer(np.sin(_ARC), down - origin) / 2
    return around


def _to_pixels(points: Points, to_world: Matrix, units: Any, layer: Image) -> Points:
    """Bring points ``(N, 2)`` to the pixels of a layer's plane; ``to_world`` leads to a world in these units."""
    factors = np.ones((2, 1))
    for axis, (unit, wanted) in enumerate(zip(units, layer.units[-2:], strict=True)):
        if not unit.is_compatible_with(wanted):
            raise ParameterError(f"{layer.name!r} is measured in {wanted:~P}, and what is looked at in {unit:~P}.")
        factors[axis] = (1 * unit).to(wanted).magnitude
    found: Points = apply(inverse(plane_to_world(layer)), apply(to_world, points.T) * factors).T
    return found


def _region(low: Points, high: Points) -> Region:
    """Return the region from a first to a last pixel; far away is far enough."""
    edges = [*low, *(high + 1)]
    return Region(*(int(np.clip(edge, -(2**31), 2**31)) if math.isfinite(edge) else 0 for edge in edges))


def _canvas_size(viewer: ViewerModel) -> tuple[float, float]:
    """Return height and width of the canvas in its pixels, of one cell of it in grid mode."""
    canvas = getattr(viewer, "canvas", None)
    if canvas is not None and hasattr(canvas, "viewbox_size"):  # since napari 0.9
        height, width = canvas.viewbox_size(viewer.layers)
        return float(height), float(width)
    height, width = viewer._canvas_size
    rows, columns = viewer.grid.actual_shape(len(viewer.layers)) if viewer.grid.enabled else (1, 1)
    return height / rows, width / columns
