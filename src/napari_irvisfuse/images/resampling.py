"""Bring an image onto another grid: interpolated where it grows, averaged where it shrinks, nothing invented."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_irvisfuse.errors import Cancelled
from napari_irvisfuse.types import Cancel

from .grids import Matrix, Shape, apply, as_matrix, inverse, upright
from .ranges import FloatArray

__all__ = ["fill_from_nearest", "resample"]

_STRIP = 1 << 18  # target pixels at once, so that memory does not grow with the image
_EDGE = 1e-4  # pixels: what rounding may put outside of an area that it touches
_WHOLE = 1e-6  # pixels: nearer than this to a source pixel's centre is that pixel, untouched
_ENLARGED = 0.1  # from this share above 1:1 on, a target pixel needs more than one sample per axis
_DIGITS = 9  # of a length in pixels; the last ones are rounding, which differs from region to region
_MOST_SAMPLES = 32  # per axis; beyond it, single source pixels are passed over


def resample(
    image: npt.NDArray[Any],
    source_to_target: npt.ArrayLike,
    shape: Shape,
    *,
    valid: npt.NDArray[np.bool_] | None = None,
    cancelled: Cancel | None = None,
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Bring an image onto another grid.

    Parameters
    ----------
    image
        ``(H, W)`` or ``(H, W, C)``, any real data type. Not modified.
    source_to_target
        ``(3, 3)``: takes pixel ``(row, column, 1)`` of the image to a pixel of the target, up to a factor.
    shape
        Height and width of the target.
    valid
        ``(H, W)``, False where the image has no value; pixels with NaN or infinity have none either.
    cancelled
        Asked a few times a second.

    Returns
    -------
    values
        ``(height, width)`` or ``(height, width, C)``, float32 (float64 for float64 images); 0 where there is none.
    covered
        ``(height, width)`` bool: where the target has a value.

    Raises
    ------
    AlignmentError
        If the matrix is none.
    Cancelled
        If ``cancelled`` answered True.

    Notes
    -----
    A pixel is an area, from half a pixel before to half a pixel after its centre. A target pixel gets the mean of a
    grid of samples in its area, no further apart than the source's pixels: one where the image grows, k×k where it
    shrinks by k (which is the mean of the block if k is whole). A sample is interpolated between the centres of the
    source pixels, those without a value replaced by the nearest one that has one, and counts only if it lies within the
    area of a pixel that has one. Several samples are interpolated linearly; a single one cubically, but never beyond
    the four pixels around it, so that no temperature comes out that lies outside of those measured there.
    """
    to_source = inverse(upright(as_matrix(source_to_target, "source_to_target"), image.shape[:2]))
    planes, holes = _planes(image, valid)
    values = np.zeros((*shape, len(planes)), planes[0].dtype)
    covered = np.zeros(shape, np.bool_)
    rows = max(1, _STRIP // shape[1])
    for top in range(0, shape[0], rows):
        strip = slice(top, min(top + rows, shape[0]))
        points = np.mgrid[strip, 0 : shape[1]].astype(np.float64)
        hit = _has_value(apply(to_source, points), image.shape[:2], holes)
        points = points[:, hit]
        if not points.size:
            continue
        means = np.zeros((len(planes), points.shape[1]))
        inside = np.ones(points.shape[1], np.bool_)
        for alike, offsets in _samplings(to_source, points):
            interpolate = _cubic if len(offsets) == 1 else _linear  # a mean of many is smooth enough
            centres, seen, sums = points[:, alike], inside[alike], means[:, alike]
            for offset in offsets:
                if cancelled is not None and cancelled():
                    raise Cancelled
                at = _snapped(apply(to_source, centres + offset[:, None]))
                seen &= _has_value(at, image.shape[:2], holes)
                at[:, ~seen] = 0.0  # no NaN must reach what turns places into indices
                for plane, total in zip(planes, sums, strict=True):
                    total += interpolate(plane, at)
            inside[alike], means[:, alike] = seen, sums / len(offsets)
        hit[hit] = inside
        covered[strip] = hit
        values[strip][hit] = means[:, inside].T
    return values if image.ndim == 3 else values[..., 0], covered


def fill_from_nearest(values: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """Replace invalid pixels by the nearest valid one: a constant there would be an edge that no camera saw."""
    from scipy.ndimage import distance_transform_edt

    rows, columns = distance_transform_edt(~valid, return_distances=False, return_indices=True)
    filled: npt.NDArray[Any] = values[rows, columns]
    return filled


def _planes(
    image: npt.NDArray[Any], valid: npt.NDArray[np.bool_] | None
) -> tuple[list[FloatArray], npt.NDArray[np.bool_] | None]:
    """Return the channels in float without holes, and where holes were (None: nowhere)."""
    channels = _channels(image)
    has_value = np.ones(image.shape[:2], np.bool_) if valid is None else valid.copy()
    if np.issubdtype(image.dtype, np.floating):
        for channel in channels:
            has_value &= np.isfinite(channel)
    if not has_value.all() and has_value.any():
        channels = _channels(fill_from_nearest(image, has_value))
    dtype = np.float64 if image.dtype.name == "float64" else np.float32
    planes: list[FloatArray] = [np.ascontiguousarray(channel, dtype) for channel in channels]
    return planes, None if has_value.all() else ~has_value


def _channels(image: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    return [image] if image.ndim == 2 else list(np.moveaxis(image, -1, 0))


def _samplings(
    to_source: Matrix, points: npt.NDArray[np.float64]
) -> Iterator[tuple[slice | npt.NDArray[np.intp], list[npt.NDArray[np.float64]]]]:
    """Yield which target pixels to sample alike, and where in them, seen from their centres.

    As often as the source's pixels are fine at that very place, so that a pixel is the same in any part of the target.
    """
    uniform = not to_source[2, :2].any()
    centres = points[:, :1] if uniform else points  # a homography shrinks more the nearer its horizon is
    halves = np.array([[0.5, 0.0], [0.0, 0.5]])
    spans = [apply(to_source, centres + half[:, None]) - apply(to_source, centres - half[:, None]) for half in halves]
    wanted = np.ceil(np.nan_to_num(np.linalg.norm(spans, axis=1), nan=np.inf).round(_DIGITS) - _ENLARGED)
    counts = np.clip(wanted, 1, _MOST_SAMPLES).astype(np.intp)
    code = counts[0] * (_MOST_SAMPLES + 1) + counts[1]
    for number in np.unique(code):
        down, right = ((np.arange(n) + 0.5) / n - 0.5 for n in divmod(int(number), _MOST_SAMPLES + 1))
        offsets = [np.array([y, x]) for y in down for x in right]
        yield slice(None) if uniform else np.flatnonzero(code == number), offsets


def _has_value(at: npt.NDArray[np.float64], shape: Shape, holes: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.bool_]:
    """Tell which places of the source lie within the area of a pixel that has a value."""
    far = np.array(shape, np.float64).reshape(2, *[1] * (at.ndim - 1)) - 0.5
    inside = np.asarray(((at >= -0.5 - _EDGE) & (at <= far + _EDGE)).all(axis=0))
    if holes is not None:
        places, there = at[:, inside], np.zeros(np.count_nonzero(inside), np.bool_)
        for nudge in itertools.product((-_EDGE, _EDGE), repeat=2):  # a hole's edge is as wide as the image's
            pixels = np.floor(places + np.array(nudge)[:, None] + 0.5)
            row, column = np.clip(pixels, 0, far.reshape(2, 1) - 0.5).astype(np.intp)
            there |= ~holes[row, column]
        inside[inside] = there
    return inside


def _snapped(at: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Undo the rounding of a transform, so that a shift by whole pixels changes not a bit."""
    whole = np.rint(at)
    return np.where(np.abs(at - whole) < _WHOLE, whole, at)


def _linear(plane: FloatArray, at: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    from scipy.ndimage import map_coordinates

    found: npt.NDArray[np.float64] = map_coordinates(plane, at, np.float64, order=1, mode="nearest", prefilter=False)
    return found


def _cubic(plane: FloatArray, at: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Interpolate with Keys's kernel (IEEE TASSP 1981, a = −1/2), within the range of the four pixels around."""
    height, width = plane.shape
    first = np.floor(at)
    weights_y, weights_x = (_keys(past) for past in at - first)
    row, column = first.astype(np.intp)
    rows = [np.clip(row + step, 0, height - 1) * width for step in (-1, 0, 1, 2)]
    columns = [np.clip(column + step, 0, width - 1) for step in (-1, 0, 1, 2)]
    pixels = [[plane.ravel().take(y + x) for x in columns] for y in rows]
    total = np.zeros(at.shape[1])
    for weight_y, line in zip(weights_y, pixels, strict=True):
        for weight_x, pixel in zip(weights_x, line, strict=True):
            total += weight_y * weight_x * pixel
    around = [pixel for line in pixels[1:3] for pixel in line[1:3]]
    return np.clip(total, np.minimum.reduce(around), np.maximum.reduce(around))


def _keys(past: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], ...]:
    """Return the weights of the four pixels around a place, which lies ``past`` the second of them."""
    return (
        ((1 - past / 2) * past - 0.5) * past,
        (1.5 * past - 2.5) * past**2 + 1,
        ((2 - 1.5 * past) * past + 0.5) * past,
        (past / 2 - 0.5) * past**2,
    )
