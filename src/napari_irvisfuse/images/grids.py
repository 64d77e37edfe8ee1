"""Grids: where the pixels of an image lie in the world, and how two images lie on each other.

Matrices act on columns ``(row, column, 1)``, pixel centres at whole numbers, so the first pixel covers −0.5 … 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from napari_irvisfuse.errors import AlignmentError

__all__ = [
    "Grid",
    "Matrix",
    "apply",
    "as_matrix",
    "corners_of",
    "fit",
    "inverse",
    "overlap",
    "pixel_size",
    "same_place",
    "upright",
]

Matrix: TypeAlias = npt.NDArray[np.float64]
Shape: TypeAlias = tuple[int, int]
_SAME = 0.01  # pixels: transforms are rounded on their way through files
_SINGULAR = 1e12  # condition of a scaled matrix; beyond it the plane has collapsed to a line


def as_matrix(value: object, name: str = "ir_to_visible") -> Matrix:
    """Check a transform given by a user and return it as a new 3×3 float64 array that cannot be written to.

    Parameters
    ----------
    value
        Nine numbers, 3×3, acting on ``(row, column, 1)``; the last row need not be ``0 0 1`` (a homography).
    name
        What the error calls it.

    Raises
    ------
    AlignmentError
        If it is none, or if it maps the plane onto a line.
    """
    try:
        matrix = np.array(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        matrix = np.empty(0)
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
        raise AlignmentError(f"{name} is a 3×3 matrix of finite numbers that acts on (row, column, 1); got {value!r}.")
    # columns and rows have different units (pixels, 1/pixels): compare only what is left once those are taken out
    size = np.abs(matrix).max(axis=1, keepdims=True)
    scaled = matrix / np.where(size > 0, size, 1)
    if np.linalg.cond(scaled) > _SINGULAR:
        raise AlignmentError(f"{name} maps the image onto a line or a point: it has no inverse.")
    matrix.flags.writeable = False
    return matrix


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the pixels of an image lie.

    Parameters
    ----------
    shape
        Height and width in pixels.
    to_world
        ``(3, 3)``: pixel ``(row, column, 1)`` to the world, up to a factor.

    Examples
    --------
    A camera with half the pixels each way, whose picture begins 10 pixels further right in the world:

    >>> visible = Grid((480, 640), np.eye(3))
    >>> ir = Grid((240, 320), [[2, 0, 0.5], [0, 2, 10.5], [0, 0, 1]])
    >>> ir.onto(visible)[:2, 2]
    array([ 0.5, 10.5])
    """

    shape: Shape
    to_world: Matrix

    def __post_init__(self) -> None:
        object.__setattr__(self, "to_world", as_matrix(self.to_world, "to_world"))

    def onto(self, other: Grid) -> Matrix:
        """Return the matrix that takes pixels of this grid to pixels of the other, both seen in one world."""
        return inverse(other.to_world) @ self.to_world


def inverse(matrix: Matrix) -> Matrix:
    """Return the way back."""
    return np.asarray(np.linalg.inv(matrix), np.float64)


def apply(matrix: Matrix, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Take points ``(2, …)`` to where the matrix says; NaN for those behind the horizon of a homography."""
    linear, shift = matrix[:2, :2], matrix[:2, 2].reshape(2, *[1] * (points.ndim - 1))
    moved = np.tensordot(linear, points, 1) + shift
    if not matrix[2, :2].any():
        return np.asarray(moved / matrix[2, 2])
    depth = np.tensordot(matrix[2, :2], points, 1) + matrix[2, 2]
    return np.asarray(moved / np.where(depth > 0, depth, np.nan))


def upright(matrix: Matrix, shape: Shape) -> Matrix:
    """Return the same transform with the factor that puts the middle of an image before the horizon."""
    depth = matrix[2] @ [*_middle(shape), 1.0]
    return np.asarray(matrix / (depth or 1.0))


def corners_of(shape: Shape) -> npt.NDArray[np.float64]:
    """Return the corners of an image's area, ``(2, 4)``: half a pixel outside of the centres of the outermost ones."""
    height, width = shape
    return np.array([(y, x) for y in (-0.5, height - 0.5) for x in (-0.5, width - 0.5)]).T


def fit(source: Shape, target: Shape) -> Matrix:
    """Return the matrix that lays one image on another so that both show the same view, corner on corner."""
    (height, width), (rows, columns) = source, target
    down, right = rows / height, columns / width
    return np.array([[down, 0, (down - 1) / 2], [0, right, (right - 1) / 2], [0, 0, 1]])


def pixel_size(matrix: Matrix, shape: Shape) -> float:
    """Return how many target pixels long one pixel in the middle of the source is, the mean of both directions."""
    middle = np.array(_middle(shape))
    steps = np.array([[0.5, -0.5, 0, 0], [0, 0, 0.5, -0.5]])
    ends = apply(upright(matrix, shape), middle[:, None] + steps)
    down, right = ends[:, 0] - ends[:, 1], ends[:, 2] - ends[:, 3]
    return float(np.sqrt(abs(down[0] * right[1] - down[1] * right[0])))


def same_place(matrix: Matrix, source: Shape, target: Shape) -> bool:
    """Tell whether two grids are one: the same pixels, each at most a hundredth of a pixel off."""
    if source != target:
        return False
    corners = corners_of(source)
    off = np.abs(apply(upright(matrix, source), corners) - corners)
    return bool((off <= _SAME).all())


def overlap(matrix: Matrix, source: Shape, target: Shape) -> bool:
    """Tell whether two images have anything in common: whether no line can be drawn between their areas."""
    there, here = apply(upright(matrix, source), corners_of(source)), corners_of(target)
    if np.isnan(there).any():  # reaches behind the horizon: what lies before it decides, pixel by pixel
        return True
    for corners in (there, here):
        origin, right, down, far = corners.T
        for edge in (right - origin, far - right, down - far, origin - down):
            normal = np.array([-edge[1], edge[0]])
            first, second = normal @ there, normal @ here
            if first.max() <= second.min() or second.max() <= first.min():
                return False
    return True


def _middle(shape: Shape) -> tuple[float, float]:
    return (shape[0] - 1) / 2, (shape[1] - 1) / 2
