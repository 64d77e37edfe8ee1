"""Large images in tiles with a halo, stitched without a seam.

On the lowest floor that knows tensors, below the methods, and not beside the pipeline: only a method knows which of
its steps are local (a network without pooling over the image) and which need the whole (a histogram, a maximum).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch

__all__ = ["Tile", "run_tiled", "tiles"]

Tick = Callable[[int, int], None]


@dataclass(frozen=True)
class Tile:
    """A part of an image: what it contributes, and what it has to see for that.

    Parameters
    ----------
    inner, outer
        ``(top, bottom, left, right)`` in pixels of the image; outer is inner and the halo, cut at the image's border.
    """

    inner: tuple[int, int, int, int]
    outer: tuple[int, int, int, int]


def tiles(height: int, width: int, *, tile: int, halo: int, multiple: int = 1) -> Iterator[Tile]:
    """Cut an image into tiles of nearly one size, row by row.

    Parameters
    ----------
    height, width
        Of the image in pixels.
    tile
        Largest side of what a tile contributes.
    halo
        How far a pixel reaches: that much more a tile sees on each side.
    multiple
        Tiles begin on multiples of it, seen and contributed parts alike, as networks with strides need it.
    """
    halo = -(-halo // multiple) * multiple
    columns = list(_cuts(width, tile, multiple))
    for top, bottom in _cuts(height, tile, multiple):
        for left, right in columns:
            outer = (max(0, top - halo), min(height, bottom + halo), max(0, left - halo), min(width, right + halo))
            yield Tile((top, bottom, left, right), outer)


def _cuts(length: int, tile: int, multiple: int) -> Iterator[tuple[int, int]]:
    count = -(-length // max(tile, multiple))
    size = -(-length // (count * multiple)) * multiple
    for start in range(0, length, size):
        yield start, min(length, start + size)


def run_tiled(
    function: Callable[[torch.Tensor], Mapping[str, torch.Tensor]],
    image: torch.Tensor,
    *,
    tile: int,
    halo: int,
    multiple: int = 1,
    strides: Mapping[str, int] = MappingProxyType({}),
    tick: Tick | None = None,
) -> dict[str, torch.Tensor]:
    """Apply a local function tile by tile.

    Parameters
    ----------
    function
        Takes ``(N, C, h, w)`` and returns tensors ``(N, c, ⌈h/s⌉, ⌈w/s⌉)`` by name, s being its stride. If no pixel
        reaches farther than ``halo``, the result is that of one call on the whole image.
    image
        ``(N, C, H, W)``.
    tile, halo, multiple
        As for :func:`tiles`.
    strides
        Image pixels per pixel of the named results, dividing ``multiple``; 1 where nothing is said.
    tick
        Called as ``tick(done, total)`` before each tile; may raise to stop.

    Returns
    -------
    dict
        The tensors of the whole image.
    """
    height, width = image.shape[-2:]
    parts = list(tiles(height, width, tile=tile, halo=halo, multiple=multiple))
    whole: dict[str, torch.Tensor] = {}
    for number, part in enumerate(parts):
        if tick is not None:
            tick(number, len(parts))
        top, bottom, left, right = part.outer
        found = function(image[..., top:bottom, left:right])
        if len(parts) == 1:
            return dict(found)
        for name, value in found.items():
            stride = strides.get(name, 1)
            if name not in whole:
                size = (*value.shape[:-2], -(-height // stride), -(-width // stride))
                whole[name] = torch.empty(size, dtype=value.dtype, device=value.device)
            y0, y1, x0, x1 = (-(-edge // stride) for edge in part.inner)
            rows, columns = (
                slice(y0 - top // stride, y1 - top // stride),
                slice(x0 - left // stride, x1 - left // stride),
            )
            whole[name][..., y0:y1, x0:x1] = value[..., rows, columns]
    return whole
