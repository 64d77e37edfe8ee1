"""Grids: where the pixels of an image lie in the world, and how two images lie on each other.

Matrices act on columns ``(row, column, 1)``, pixel centres at whole numbers, so the first pixel covers −0.5 … 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_irvisfuse.errors import AlignmentError

__all__ = ["Grid", "Matrix", "as_matrix"]

Matrix = npt.NDArray[np.float64]
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
    except (TypeError, ValueError):
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
        ``(3, 3)`` float64: pixel ``(row, column, 1)`` to world, up to a factor.
    """

    shape: tuple[int, int]
    to_world: Matrix

    def __post_init__(self) -> None:
        object.__setattr__(self, "to_world", as_matrix(self.to_world, "to_world"))
