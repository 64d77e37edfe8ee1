"""Aligning by hand: the transform that takes points of one image to the same things in the other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from napari_irvisfuse.errors import AlignmentError, ParameterError
from napari_irvisfuse.images.alignment_files import Alignment
from napari_irvisfuse.images.grids import Matrix

from .models import Model, as_model, transform

__all__ = ["NEEDED", "PointsResult", "align_points"]

FloatArray = npt.NDArray[np.float64]

NEEDED: dict[Model, int] = {"translation": 1, "similarity": 2, "affine": 3, "homography": 4}
"""Pairs of points that decide each model; with more, their errors show."""
_TRIES = 2000
_FLAT = 1e-9  # share of their extent by which points leave a line


@dataclass(frozen=True, eq=False)
class PointsResult:
    """What pairs of points say about how the images lie on each other.

    Parameters
    ----------
    alignment
        The transform; the sizes of the images and the confidence are not known.
    residuals
        ``(n,)``: how far each infrared point lands from its visible one, in visible pixels.
    used
        ``(n,)`` bool: which pairs the transform was made of; all, unless it was robust.
    sentence
        For people.
    """

    alignment: Alignment
    residuals: FloatArray
    used: npt.NDArray[np.bool_]
    sentence: str

    @property
    def ir_to_visible(self) -> Matrix:
        """``(3, 3)``: infrared ``(row, column, 1)`` to visible."""
        return self.alignment.ir_to_visible

    @property
    def worst(self) -> int:
        """Index of the pair that fits worst."""
        return int(self.residuals.argmax())


def align_points(
    ir_points: object,
    visible_points: object,
    model: str = "similarity",
    *,
    robust: bool = False,
    threshold: float = 4.0,
) -> PointsResult:
    """Find the transform that takes infrared points to visible ones.

    Parameters
    ----------
    ir_points, visible_points
        ``(n, 2)``: row and column of the same things in both images, in the same order, in pixels whose centres are at
        whole numbers.
    model
        ``"translation"`` (from 1 pair on), ``"similarity"`` (2), ``"affine"`` (3), ``"homography"`` (4).
    robust
        False: least squares over all pairs. True: pairs that fit badly are left out (RANSAC); needs one more.
    threshold
        Distance in visible pixels up to which a pair fits, if robust.

    Returns
    -------
    PointsResult
        With ``ir_to_visible`` and the ``residuals``.

    Raises
    ------
    ParameterError
        For an unknown model or a threshold that is not positive.
    AlignmentError
        If the points are not pairs of numbers, too few, or lie so that they decide nothing.

    Notes
    -----
    Fischler, Bolles: Random sample consensus, Communications of the ACM 24, 1981; of the samples with the best score,
    all pairs that fit decide. Every sample is tried where there are at most 2000, so that the same points always
    give the same transform; else 2000 of them, drawn with a fixed seed.
    """
    chosen = as_model(model)
    source, target = _points(ir_points, "infrared"), _points(visible_points, "visible")
    if len(source) != len(target):
        raise AlignmentError(f"There are {len(source)} infrared points and {len(target)} visible ones: set pairs.")
    if not threshold > 0:
        raise ParameterError(f"threshold is a distance in pixels above 0; got {threshold!r}.")
    needed = NEEDED[chosen] + robust
    if len(source) < needed:
        extra = " (one more than without robust)" if robust else ""
        raise AlignmentError(
            f"{model} needs at least {needed} pairs of points{extra}; there are {len(source)}: set more."
        )
    used = _consensus(source, target, chosen, threshold) if robust else np.ones(len(source), np.bool_)
    matrix = _fit(source[used], target[used], chosen)
    if matrix is None:
        raise AlignmentError(
            f"The points do not decide the {model}: they lie on one line or on each other. Spread them over the image."
        )
    residuals = np.linalg.norm(transform(matrix, source) - target, axis=1)
    return PointsResult(Alignment(matrix, model, None, None), residuals, used, _sentence(residuals, used, chosen))


def _points(value: object, name: str) -> FloatArray:
    try:
        points = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        points = np.full((1, 1), np.nan)
    if points.size == 0 and points.ndim <= 2:
        points = points.reshape(0, 2)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise AlignmentError(f"The {name} points are (row, column) pairs, (n, 2) finite numbers; got {value!r}.")
    return points


def _sentence(residuals: FloatArray, used: npt.NDArray[np.bool_], model: Model) -> str:
    count = int(used.sum())
    if count <= NEEDED[model]:
        return f"{count} pairs decide the {model} exactly: set more to see how well they fit."
    typical = math.sqrt(float(np.mean(residuals[used] ** 2)))
    worst = int(residuals.argmax())
    sentence = f"{count} pairs fit to {typical:.1f} px (root mean square); the worst is number {worst + 1}"
    left_out = len(used) - count
    return f"{sentence}, {residuals[worst]:.1f} px{f'; {left_out} left out' if left_out else ''}."


def _consensus(source: FloatArray, target: FloatArray, model: Model, threshold: float) -> npt.NDArray[np.bool_]:
    """Return which pairs agree with the best sample."""
    number, size = len(source), NEEDED[model]
    if math.comb(number, size) <= _TRIES:
        samples = [list(sample) for sample in combinations(range(number), size)]
    else:
        draw = np.random.default_rng(0)
        samples = [draw.choice(number, size, replace=False).tolist() for _ in range(_TRIES)]
    best, used = math.inf, np.ones(number, np.bool_)
    for sample in samples:
        matrix = _fit(source[sample], target[sample], model)
        if matrix is None:
            continue
        with np.errstate(divide="ignore", invalid="ignore"):
            squares = np.sum((transform(matrix, source) - target) ** 2, axis=1)
        cost = float(np.minimum(np.nan_to_num(squares, nan=np.inf), threshold**2).sum())
        if cost < best:
            best, used = cost, squares <= threshold**2
    return used


def _fit(source: FloatArray, target: FloatArray, model: Model) -> Matrix | None:
    """Return the least-squares transform, or None if the points do not decide it."""
    if model == "homography":
        return _homography(source, target)
    matrix = np.eye(3)
    centre, goal = source.mean(0), target.mean(0)
    around, wanted = source - centre, target - goal
    if model == "translation":
        linear = np.eye(2)
    elif model == "similarity":
        square = float(np.sum(around**2))
        if square <= _FLAT**2 * (1 + float(np.sum(source**2))):
            return None
        grow = float(np.sum(around * wanted)) / square
        turn = float(np.sum(around[:, 0] * wanted[:, 1] - around[:, 1] * wanted[:, 0])) / square
        linear = np.array([[grow, -turn], [turn, grow]])
    else:
        solution, _, _, extents = np.linalg.lstsq(around, wanted, rcond=None)
        if extents[-1] <= _FLAT * max(extents[0], 1.0):
            return None
        linear = solution.T
    if abs(np.linalg.det(linear)) < _FLAT:  # all visible points on a line
        return None
    matrix[:2, :2], matrix[:2, 2] = linear, goal - linear @ centre
    return matrix


def _homography(source: FloatArray, target: FloatArray) -> Matrix | None:
    """Fit by the normalised direct linear transform, then by the distances themselves.

    Hartley, Zisserman: Multiple view geometry in computer vision, 2nd edition, 2004, algorithms 4.2 and 4.3.
    """
    from scipy.optimize import least_squares

    of_source, of_target = _normaliser(source), _normaliser(target)
    if of_source is None or of_target is None:
        return None
    here, there = transform(of_source, source), transform(of_target, target)
    ones, zeros = np.ones((len(here), 1)), np.zeros((len(here), 3))
    lines = np.column_stack([here, ones])
    system = np.vstack(
        [
            np.hstack([lines, zeros, -there[:, :1] * lines]),
            np.hstack([zeros, lines, -there[:, 1:] * lines]),
        ]
    )
    _, values, vectors = np.linalg.svd(system)
    if values[7] <= 1e-7 * values[0]:  # more than one solution: three of the points on a line
        return None
    first = vectors[8].reshape(3, 3)
    if abs(np.linalg.det(first)) < _FLAT or abs(first[2, 2]) < _FLAT:
        return None
    first = first / first[2, 2]
    if len(source) > NEEDED["homography"]:

        def distances(numbers: FloatArray) -> FloatArray:
            return (transform(np.append(numbers, 1.0).reshape(3, 3), here) - there).ravel()

        first = np.append(least_squares(distances, first.ravel()[:8]).x, 1.0).reshape(3, 3)
    matrix: Matrix = np.linalg.inv(of_target) @ first @ of_source
    return None if abs(matrix[2, 2]) < _FLAT else matrix / matrix[2, 2]


def _normaliser(points: FloatArray) -> Matrix | None:
    """Return the matrix that centres points and brings them to a mean distance of √2."""
    centre = points.mean(0)
    spread = float(np.linalg.norm(points - centre, axis=1).mean())
    if spread == 0:
        return None
    factor = math.sqrt(2) / spread
    return np.array([[factor, 0, -factor * centre[0]], [0, factor, -factor * centre[1]], [0, 0, 1.0]])
