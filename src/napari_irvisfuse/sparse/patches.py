"""Overlapping square patches at every pixel of an image, and images put together from them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F

__all__ = ["Blend", "Overlap", "bands", "extract", "sample"]

Blend: TypeAlias = Literal["average", "published"]
_CPU_BAND = 1 << 13  # patches at a time
_GPU_BAND = 1 << 18


def extract(image: torch.Tensor, size: int, rows: slice = slice(None), step: int = 1) -> torch.Tensor:
    """Cut patches out of an image.

    Parameters
    ----------
    image
        ``(H, W)``.
    size
        Their side in pixels, s.
    rows
        Which rows of patches, of the H − s + 1 that there are.
    step
        Distance of the patches in pixels.

    Returns
    -------
    ``(M, s²)``: patches row by row, and in each the pixels row by row; a copy.
    """
    windows = image.unfold(0, size, 1)[rows][::step].unfold(1, size, step)
    return windows.reshape(-1, size * size)


def sample(image: torch.Tensor, size: int, count: int, generator: torch.Generator) -> torch.Tensor:
    """Cut ``count`` patches out of an image ``(H, W)`` at random places; ``(count, s²)``."""
    windows = image.unfold(0, size, 1).unfold(1, size, 1)
    top, left = (torch.randint(length, (count,), generator=generator) for length in windows.shape[:2])
    return windows[top, left].reshape(count, size * size)


def bands(shape: tuple[int, int], size: int, device: torch.device) -> Iterator[slice]:
    """Cut the rows of patches of an image of this shape into pieces that are worked on one after the other."""
    height, width = shape[0] - size + 1, shape[1] - size + 1
    rows = max(1, (_CPU_BAND if device.type == "cpu" else _GPU_BAND) // width)
    for top in range(0, height, rows):
        yield slice(top, min(top + rows, height))


class Overlap:
    """An image that grows from overlapping patches, one at every pixel.

    Parameters
    ----------
    shape
        (H, W) of the image.
    size
        Side of the patches, s.
    blend
        ``"average"``: every pixel is the mean of all patches that cover it. ``"published"``: patches come row by row,
        and each is averaged with what is there already, as the codes published with the methods do it. The last patch
        then counts ½, the one before ¼, and so on: mostly its upper left pixel is left of a patch.
    like
        Tensor whose data type and device are taken.
    """

    def __init__(self, shape: tuple[int, int], size: int, blend: Blend, like: torch.Tensor) -> None:
        self._size = size
        self._blend = blend
        self._grid = (shape[0] - size + 1, shape[1] - size + 1)
        self._image = torch.zeros(shape, dtype=like.dtype, device=like.device)
        self._down, self._right = (_Cover(length, size, like.device) for length in shape)

    def add(self, patches: torch.Tensor, rows: slice) -> None:
        """Add rows of patches.

        Parameters
        ----------
        patches
            ``(s², M)``: pixels of a patch row by row, patches row by row; may be overwritten.
        rows
            Which rows of patches these are.
        """
        size, (_, width) = self._size, self._grid
        stacked = patches.view(size, size, rows.stop - rows.start, width)
        if self._blend == "published":
            stacked = stacked.mul_(self._weights(rows))
        target = self._image[rows.start : rows.stop + size - 1]
        columns = stacked.flatten(0, 1).flatten(1)[None]
        target += F.fold(columns, tuple(target.shape), size)[0, 0]

    def image(self) -> torch.Tensor:
        """Return the image, ``(H, W)``, once all patches have been added."""
        if self._blend == "published":
            return self._image
        return self._image / (self._down.count[:, None] * self._right.count)

    def _weights(self, rows: slice) -> torch.Tensor:
        """Return how much each pixel of each patch is worth in the end, ``(s, s, rows, W − s + 1)``.

        ½ to the power of 1 + the number of patches that cover the same pixel and come later: those further down, and
        of those in the same row the ones further right.
        """
        size, (_, width) = self._size, self._grid
        offset = torch.arange(size, device=self._image.device)
        y = offset[:, None] + torch.arange(rows.start, rows.stop, device=offset.device)  # (s, rows): row of the pixel
        x = offset[:, None] + torch.arange(width, device=offset.device)  # (s, W − s + 1)
        below = offset[:, None] - self._down.smallest[y]
        beside = offset[:, None] - self._right.smallest[x]
        later = below[:, None, :, None] * self._right.count[x][None, :, None] + beside[None, :, None]
        halves = torch.tensor([0.5 ** (k + 1) for k in range(size * size)], dtype=self._image.dtype)
        return halves.to(later.device)[later]


class _Cover:
    """Along one axis: how many patches cover each pixel, and where in the last of them it lies."""

    def __init__(self, length: int, size: int, device: torch.device) -> None:
        pixel = torch.arange(length, device=device)
        self.smallest = (pixel - (length - size)).clamp_min(0)
        self.count = pixel.clamp_max(size - 1) - self.smallest + 1
