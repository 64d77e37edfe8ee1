"""The coarse search: every shift at once by FFT, for a grid of turns and scales; a start for the fine one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Literal, TypeAlias

import numpy as np
import torch

from napari_irvisfuse.images.grids import Matrix, apply, corners_of, inverse

from .features import edges, rotate
from .models import Model
from .planes import Plane, sample

__all__ = ["Reach", "Search", "coarse"]

Reach: TypeAlias = Literal["near", "wide"]
_SIZE = 160  # longer side in pixels; a shift by one of these is four at 640
_LEAST = 8  # rows and columns; of what lies quite outside nothing else would be left
_FLOOR = 1e-3


@dataclass(frozen=True)
class Search:
    """How far from the start to look.

    Parameters
    ----------
    shift
        Largest shift, as a share of the visible image's longer side.
    turn, turns
        Largest angle in degrees, and how many steps there are on either side of none.
    zoom, zooms
        Largest factor, and steps on either side of 1.
    """

    shift: float
    turn: float
    turns: int
    zoom: float
    zooms: int

    def grid(self, model: Model) -> tuple[list[float], list[float]]:
        """Return the angles in radians, and the factors."""
        if model == "translation":
            return [0.0], [1.0]
        angles = math.radians(self.turn) * np.arange(-self.turns, self.turns + 1) / self.turns
        factors = np.exp(math.log(self.zoom) * np.arange(-self.zooms, self.zooms + 1) / self.zooms)
        return angles.tolist(), factors.tolist()


REACHES: dict[Reach, Search] = {
    "near": Search(shift=0.13, turn=6.0, turns=4, zoom=1.16, zooms=4),
    "wide": Search(shift=0.30, turn=18.0, turns=9, zoom=1.9, zooms=11),
}


def coarse(
    ir: Plane, visible: Plane, start: Matrix, model: Model, reach: Reach, check: Callable[[int, int], None]
) -> list[Matrix]:
    """Return the most promising transforms, infrared to visible image, best first; at most three.

    Parameters
    ----------
    ir, visible
        The images.
    start
        Where to look, infrared to visible image.
    model
        Translations are looked for without turns and scales, all others with.
    reach
        How far to look.
    check
        ``check(done, total)``, called between any two comparisons.
    """
    search = REACHES[reach]
    small_ir, small = ir.shrunk(_SIZE), visible.shrunk(_SIZE)
    radius = round(search.shift * max(small.shape))
    fixed = _Fixed(edges(small.luma, small.valid), small.valid, radius)
    from_ir = np.linalg.inv(small.to_source) @ start @ small_ir.to_source
    angles, factors = search.grid(model)
    found = []
    for number, (factor, angle) in enumerate(product(factors, angles)):
        check(number, len(factors) * len(angles))
        if number % len(angles) == 0:
            zoomed = _Zoomed(small_ir, from_ir, factor, small.shape)
        turned = _about_centre(angle, factor, small.shape)
        value, (down, right) = fixed.best_shift(*zoomed.turned(inverse(turned), angle))
        shifted = np.array([[1, 0, down], [0, 1, right], [0, 0, 1.0]]) @ turned
        found.append((value, small.to_source @ shifted @ np.linalg.inv(small.to_source) @ start))
    found.sort(key=lambda item: -item[0])
    return [matrix for _, matrix in found[:3]]


class _Zoomed:
    """The infrared image at one scale: its edges are described once, and then turned."""

    def __init__(self, ir: Plane, from_ir: Matrix, factor: float, shape: tuple[int, int]) -> None:
        zoomed = np.diag([factor, factor, 1.0]) @ from_ir
        corners = apply(zoomed, corners_of(ir.shape))
        # of an image far larger than the other one, only what may come to lie on that
        # (fmax passes over NaN: the corners that a homography puts behind the horizon)
        low = np.fmax(np.floor(corners.min(1)), np.multiply(shape, -1.0))
        high = np.fmin(np.ceil(corners.max(1)), np.multiply(shape, 2 * max(1.0, factor)))
        self._to_here = np.array([[factor, 0, -low[0]], [0, factor, -low[1]], [0, 0, 1]])
        size = int(max(high[0] - low[0], _LEAST)), int(max(high[1] - low[1], _LEAST))
        to_ir = torch.from_numpy(np.linalg.inv(self._to_here @ from_ir)).float()
        luma, self._seen = sample(ir.luma[None], ir.valid, to_ir, size)
        self._edges = edges(luma[0], self._seen)
        self._shape = shape

    def turned(self, from_visible: Matrix, angle: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the edges as they lie on the visible plane, and where they are known."""
        matrix = torch.from_numpy(self._to_here @ from_visible).float()
        moving, seen = sample(self._edges, self._seen, matrix, self._shape)
        return rotate(moving, angle), seen


class _Fixed:
    """The image that stays, transformed once and compared with many."""

    def __init__(self, features: torch.Tensor, seen: torch.Tensor, radius: int) -> None:
        from scipy.fft import next_fast_len

        self.radius = radius
        self.size = tuple(next_fast_len(side + radius, real=True) for side in seen.shape)
        self.features = self._fft(features * seen)
        self.energy = self._fft((features.square()).sum(0) * seen)
        self.seen = self._fft(seen)

    def best_shift(self, features: torch.Tensor, seen: torch.Tensor) -> tuple[float, tuple[int, int]]:
        """Return the best shift and how plainly it is the best: the similarity over what both images show there."""
        other, energy, mask = self._fft(features * seen), self._fft(features.square().sum(0) * seen), self._fft(seen)
        product = self._around(torch.fft.irfft2((self.features * other.conj()).sum(0), s=self.size))
        mine = self._around(torch.fft.irfft2(self.energy * mask.conj(), s=self.size))
        theirs = self._around(torch.fft.irfft2(self.seen * energy.conj(), s=self.size))
        # what little is shown by chance looks alike more easily: as sure as its number of pixels makes it
        shown = self._around(torch.fft.irfft2(self.seen * mask.conj(), s=self.size)).clamp(min=0) / seen.numel()
        surface = product / (mine.clamp(min=_FLOOR) * theirs.clamp(min=_FLOOR)).sqrt() * shown.sqrt()
        place = int(surface.argmax())
        row, column = divmod(place, surface.shape[1])
        return float(surface.flatten()[place]), (row - self.radius, column - self.radius)

    def _fft(self, image: torch.Tensor) -> torch.Tensor:
        spectrum: torch.Tensor = torch.fft.rfft2(image, s=self.size)
        return spectrum

    def _around(self, surface: torch.Tensor) -> torch.Tensor:
        """Cut out the shifts up to the radius; negative ones are at the far end of the transform."""
        rows, columns = (torch.arange(-self.radius, self.radius + 1) % side for side in self.size)
        return surface[rows][:, columns]


def _about_centre(angle: float, factor: float, shape: tuple[int, int]) -> Matrix:
    cosine, sine = factor * math.cos(angle), factor * math.sin(angle)
    linear = np.array([[cosine, -sine], [sine, cosine]])
    centre = (np.array(shape, float) - 1) / 2
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = linear, centre - linear @ centre
    return matrix
