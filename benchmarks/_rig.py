"""How two cameras that were never moved against each other lie on each other, from all their pairs at once.

By local mutual information of ranks, which has nothing in common with the edges that we align by: each part of the
visible image is compared with the infrared one at every shift, and what that gives is added up over the pairs before
anything is decided.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Any

import numpy as np

Array = np.ndarray
REACH, LEVELS, ROWS, COLUMNS = 9, 16, 5, 7
HALF = (55, 65)  # of a part, pixels


def own_alignment(pairs: Iterable[tuple[Array, Array]], draws: int = 40) -> dict[str, Any]:
    """Return where the parts lie, how sure that is (a bootstrap over the pairs), and the similarity through them."""
    surfaces = np.array([surfaces_of(ir, visible) for ir, visible in pairs])
    height, width = 480, 640
    centres = np.array(list(product(*centres_of((height, width)))), float)
    offsets = peaks(surfaces.sum(0))
    draw = np.random.default_rng(0)
    drawn = [peaks(surfaces[draw.integers(0, len(surfaces), len(surfaces))].sum(0)) for _ in range(draws)]
    matrix = similarity_through(centres + offsets, centres)
    left = (np.c_[centres + offsets, np.ones(len(centres))] @ matrix.T)[:, :2] - centres
    return {
        "pairs": len(surfaces),
        "offsets": offsets.reshape(ROWS, COLUMNS, 2).tolist(),
        "spread": float(np.median(np.std(drawn, axis=0))),
        "matrix": matrix.tolist(),
        "scale": float(np.sqrt(np.linalg.det(matrix[:2, :2]))),
        "rms": [float(np.sqrt(np.square(field).sum(1).mean())) for field in (offsets, left)],
    }


def centres_of(shape: tuple[int, int]) -> list[Array]:
    """Return the rows and the columns of the parts' centres."""
    return [
        np.linspace(half + REACH + 6, side - half - REACH - 7, number).round().astype(int)
        for side, half, number in zip(shape, HALF, (ROWS, COLUMNS), strict=True)
    ]


def surfaces_of(ir: Array, visible: Array) -> Array:
    """Return the mutual information of every part at every shift, without its mean, ``(parts, 2R + 1, 2R + 1)``."""
    fixed, moving = ranks(visible) * LEVELS, ranks(ir)
    (down, right), side = HALF, 2 * REACH + 1
    result = []
    for row, column in product(*centres_of(visible.shape)):
        part = fixed[row - down : row + down, column - right : column + right]
        there = moving[row - down - REACH : row + down + REACH, column - right - REACH : column + right + REACH]
        views = np.lib.stride_tricks.sliding_window_view(there, part.shape)
        surface = np.array([information(part + view) for view in views.reshape(-1, *part.shape)])
        result.append((surface - surface.mean()).reshape(side, side))
    return np.array(result)


def ranks(image: Array) -> Array:
    """Return the image in so many levels, as many pixels in each."""
    noisy = image + np.random.default_rng(0).normal(0, 1e-4, image.shape)  # 256 levels have ties
    order = np.argsort(np.argsort(noisy.ravel()))
    return (order * LEVELS // order.size).reshape(image.shape)


def information(both: Array) -> float:
    joint = np.bincount(both.ravel(), minlength=LEVELS**2).reshape(LEVELS, LEVELS) / both.size
    apart = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    there = joint > 0
    return float((joint[there] * np.log2(joint[there] / apart[there])).sum())


def peaks(surfaces: Array) -> Array:
    """Return the best shift of each part, between pixels by the parabola through the three values there."""

    def top(values: Array, place: int) -> float:
        if not 0 < place < len(values) - 1:
            return place - REACH
        left, middle, right = values[place - 1 : place + 2]
        return place - REACH + 0.5 * (left - right) / (left - 2 * middle + right)

    found = []
    for surface in surfaces:
        row, column = np.unravel_index(surface.argmax(), surface.shape)
        found.append((top(surface[:, column], int(row)), top(surface[row], int(column))))
    return np.array(found)


def similarity_through(here: Array, there: Array) -> Array:
    design = np.zeros((2 * len(here), 4))
    design[0::2, 0], design[0::2, 1], design[0::2, 2] = here[:, 0], -here[:, 1], 1
    design[1::2, 0], design[1::2, 1], design[1::2, 3] = here[:, 1], here[:, 0], 1
    cosine, sine, down, right = np.linalg.lstsq(design, there.ravel(), rcond=None)[0]
    return np.array([[cosine, -sine, down], [sine, cosine, right], [0, 0, 1]])
