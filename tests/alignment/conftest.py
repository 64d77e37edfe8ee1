"""What the tests of alignment share: the sample scene, and ways to move and bend its infrared image."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import map_coordinates

from napari_irvisfuse.samples.scene import grey_pair

Array = npt.NDArray[Any]
HEIGHT, WIDTH = 180, 240


@cache
def scene() -> tuple[Array, Array]:
    """Return infrared and visible image of the sample scene, which lie on each other to the pixel."""
    return grey_pair(HEIGHT, WIDTH)


def known(down: float = 6.0, right: float = -9.0, degrees: float = 3.0, scale: float = 1.05) -> Array:
    """Return a similarity about the centre, infrared to visible."""
    cosine, sine = (scale * f(math.radians(degrees)) for f in (math.cos, math.sin))
    linear = np.array([[cosine, -sine], [sine, cosine]])
    centre = np.array([(HEIGHT - 1) / 2, (WIDTH - 1) / 2])
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = linear, centre - linear @ centre + (down, right)
    return matrix


def moved(image: Array, ir_to_visible: Array) -> Array:
    """Return the image that, put where the matrix says, shows what ``image`` shows: by SciPy, not by our code."""
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    here = np.stack([rows, columns, np.ones_like(rows)]).reshape(3, -1)
    there = ir_to_visible @ here
    values = map_coordinates(image.astype(float), there[:2] / there[2], order=1, mode="nearest")
    return np.round(values).reshape(image.shape).astype(image.dtype)


def bent(image: Array, pixels: float) -> Array:
    """Return the image deformed by a wave: as much to one side as to the other, so nothing an affine could mend."""
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]].astype(float)
    wave = pixels * np.sin(2 * np.pi * columns / image.shape[1] * 1.5) * np.cos(2 * np.pi * rows / image.shape[0])
    return np.round(
        map_coordinates(image.astype(float), [rows + wave, columns - wave], order=1, mode="nearest")
    ).astype(image.dtype)


def corner_error(found: Array, truth: Array, shape: tuple[int, int] = (HEIGHT, WIDTH)) -> float:
    """Return the mean distance of the corners in visible pixels."""
    corners = np.array([(r, c, 1.0) for r in (0, shape[0] - 1) for c in (0, shape[1] - 1)]).T
    one, other = found @ corners, truth @ corners
    return float(np.linalg.norm(one[:2] / one[2] - other[:2] / other[2], axis=0).mean())


@pytest.fixture
def stop_after() -> Callable[[int], Callable[[], bool]]:
    """Return a question that is answered with no so many times, and with yes from then on."""

    def make(times: int) -> Callable[[], bool]:
        asked = iter(range(times))
        return lambda: next(asked, None) is None

    return make
