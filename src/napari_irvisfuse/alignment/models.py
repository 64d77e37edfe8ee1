"""The models of a transform: how many numbers each has, what it keeps, and what it means in words.

Matrices take ``(row, column, 1)`` of the infrared image to the visible one, up to a factor; pixel centres are at whole
numbers. A model describes the correction of a start, on the visible image's side:
``ir_to_visible = correction @ start``.
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
import torch

from napari_irvisfuse.errors import ParameterError
from napari_irvisfuse.images.grids import Matrix

__all__ = [
    "DEGREES",
    "MODELS",
    "Model",
    "as_model",
    "between_grids",
    "corner_distance",
    "correction",
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


def correction(model: Model, numbers: torch.Tensor) -> torch.Tensor:
    """Return the ``(3, 3)`` matrix of a small correction, the identity for zeros; differentiable.

    Parameters
    ----------
    model
        Which matrices there are.
    numbers
        ``(DEGREES[model],)``, meant for coordinates centred in the image and of the order of 1.
    """
    zero, one = torch.zeros_like(numbers[0]), torch.ones_like(numbers[0])
    if model == "translation":
        entries = [one, zero, numbers[0], zero, one, numbers[1], zero, zero, one]
    elif model == "similarity":
        grow, turn, down, right = numbers
        entries = [one + grow, -turn, down, turn, one + grow, right, zero, zero, one]
    else:
        a, b, c, d, e, f = numbers[:6]
        last = [numbers[6], numbers[7]] if model == "homography" else [zero, zero]
        entries = [one + a, b, c, d, one + e, f, *last, one]
    return torch.stack(entries).reshape(3, 3)


def between_grids(shape: tuple[int, int], other: tuple[int, int]) -> Matrix:
    """Return the matrix from the pixels of one grid to those of another that shows the same view, corner to corner."""
    rows, columns = other[0] / shape[0], other[1] / shape[1]
    # corners are half a pixel outside of the outermost pixel centres
    return np.array([[rows, 0, (rows - 1) / 2], [0, columns, (columns - 1) / 2], [0, 0, 1.0]])


def transform(matrix: Matrix, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Take ``(n, 2)`` points (row, column) through a matrix."""
    moved = points @ matrix[:, :2].T + matrix[:, 2]
    result: npt.NDArray[np.float64] = moved[:, :2] / moved[:, 2:]
    return result


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
