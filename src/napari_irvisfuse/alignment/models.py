"""The models of a transform: how many numbers each has, what it keeps, and what it means in words.

Matrices take ``(row, column, 1)`` of the infrared image to the visible one, up to a factor; pixel centres are at whole
numbers. A model describes the correction of a start, on the visible image's side:
``ir_to_visible = correction @ start``.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from napari_irvisfuse.errors import ParameterError
from napari_irvisfuse.images.alignment_files import Alignment, read_alignment
from napari_irvisfuse.images.grids import Matrix, apply, as_matrix, fit

__all__ = [
    "DEGREES",
    "MODELS",
    "Model",
    "as_matrix_between",
    "as_model",
    "corner_distance",
    "describe",
    "transform",
]

Model: TypeAlias = Literal["translation", "similarity", "affine", "homography"]
MODELS: tuple[Model, ...] = get_args(Model)
DEGREES: dict[Model, int] = {"translation": 2, "similarity": 4, "affine": 6, "homography": 8}
"""Numbers that describe each model."""


def as_model(name: str) -> Model:
    """Check the name of a model.

    Raises
    ------
    ParameterError
        If there is none of that name.
    """
    if name not in MODELS:
        raise ParameterError(f"There is no model {name!r}: choose one of {', '.join(MODELS)}.")
    return name


def as_matrix_between(value: object, ir_shape: tuple[int, int], visible_shape: tuple[int, int]) -> Matrix:
    """Return how two images are thought to lie on each other, given in any of the ways that ``fuse`` takes.

    Parameters
    ----------
    value
        A 3×3 matrix, an :class:`~napari_irvisfuse.Alignment` or the path of its file; ``"fit"`` or None: the same view,
        corner on corner.
    ir_shape, visible_shape
        Height and width.

    Raises
    ------
    AlignmentError
        If it is none of these, or for images of other sizes.
    """
    if value is None or (isinstance(value, str) and value == "fit"):
        return fit(ir_shape, visible_shape)
    if isinstance(value, str | Path):
        value = read_alignment(value)
    if isinstance(value, Alignment):
        value.check_shapes(ir_shape, visible_shape)
        value = value.ir_to_visible
    return as_matrix(value)


def transform(matrix: Matrix, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Take ``(n, 2)`` points (row, column) through a matrix."""
    return apply(matrix, points.T).T


def corner_distance(matrix: Matrix, other: Matrix, ir_shape: tuple[int, int]) -> float:
    """Return how far apart two transforms put the corners of the infrared image, the mean in visible pixels."""
    bottom, right = ir_shape[0] - 1.0, ir_shape[1] - 1.0
    corners = np.array([(0, 0), (0, right), (bottom, 0), (bottom, right)])
    return float(np.linalg.norm(transform(matrix, corners) - transform(other, corners), axis=1).mean())


def describe(matrix: Matrix, start: Matrix, ir_shape: tuple[int, int]) -> str:
    """Say what a transform does beyond its start: ``"moved 12.1 px down and 3.0 px left, turned 1.20°, scaled 1.031"``.

    The movement is that of the infrared image's centre, in visible pixels; the turn is clockwise on the screen.
    """
    centre = (np.array([ir_shape], float) - 1) / 2
    change = matrix @ np.linalg.inv(start)
    here = transform(start, centre)
    down, right = (transform(matrix, centre) - here)[0]
    step = np.array([[1.0, 0.0], [0.0, 1.0]])
    linear = (transform(change, here + step) - transform(change, here)).T  # its derivative at the centre
    # rows down, columns right: a positive angle from the columns' axis to the rows' axis is clockwise
    turn = math.degrees(math.atan2(linear[0, 1] - linear[1, 0], linear[0, 0] + linear[1, 1]))
    scale = math.sqrt(abs(np.linalg.det(linear)))
    vertical = f"{abs(down):.1f} px {'down' if down >= 0 else 'up'}"
    horizontal = f"{abs(right):.1f} px {'right' if right >= 0 else 'left'}"
    return f"moved {vertical} and {horizontal}, turned {turn:.2f}°, scaled {scale:.3f}"
