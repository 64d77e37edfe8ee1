"""Planes: what the search for an alignment sees of an image, its luma at a working size and where it has a value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from napari_irvisfuse.images.checks import as_image, normalise
from napari_irvisfuse.images.grids import Matrix, fit

__all__ = ["WORKING_SIZE", "Plane", "plane_of", "sample"]

WORKING_SIZE = 640
"""Longer side of the largest planes that are compared, in pixels: what is found is good to a pixel or two of these."""


@dataclass(frozen=True, eq=False)
class Plane:
    """One image at a working size.

    Parameters
    ----------
    luma
        ``(h, w)`` float32 in [0, 1].
    valid
        ``(h, w)`` float32, 1 where the image has values.
    source_shape
        Height and width of the image itself.
    """

    luma: torch.Tensor
    valid: torch.Tensor
    source_shape: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the plane."""
        height, width = self.luma.shape
        return height, width

    @property
    def to_source(self) -> Matrix:
        """Matrix from the plane's pixels to those of the image."""
        return fit(self.shape, self.source_shape)

    def shrunk(self, longer_side: int) -> Plane:
        """Return the plane with a longer side of at most so many pixels; each is the mean of what it covers."""
        factor = longer_side / max(self.shape)
        if factor >= 1:
            return self
        size = [max(1, round(side * factor)) for side in self.shape]
        both = torch.stack([self.luma * self.valid, self.valid])[None]
        luma, valid = F.interpolate(both, size=size, mode="bilinear", antialias=True, align_corners=False)[0]
        return Plane(luma / valid.clamp(min=1e-6), (valid > 0.999).float(), self.source_shape)


def plane_of(image: object, name: str) -> Plane:
    """Check an image and bring it to the working size.

    Parameters
    ----------
    image
        Array, tensor or path, as for :func:`~napari_irvisfuse.fuse`; a :class:`Plane` is returned as it is.
    name
        What the errors call it: ``"infrared"``.

    Raises
    ------
    ImageError
        If it is no image.
    """
    if isinstance(image, Plane):
        return image
    array = as_image(image, name)
    # percentiles, whatever the image is fused with: one hot pixel must not flatten the rest
    luma, _, valid, _ = normalise(array, name, "percentile", "ir", np.float32)
    height, width = luma.shape
    full = Plane(torch.from_numpy(luma), torch.from_numpy(valid).float(), (height, width))
    return full.shrunk(WORKING_SIZE)


def sample(
    image: torch.Tensor,
    valid: torch.Tensor,
    matrix: torch.Tensor,
    shape: tuple[int, int],
    beside: torch.Tensor | float = 0.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Look at an image through a matrix, bilinear; differentiable by the matrix.

    Parameters
    ----------
    image
        ``(C, H, W)``.
    valid
        ``(H, W)``, 1 where it has values.
    matrix
        ``(3, 3)``, float32: pixel ``(row, column, 1)`` of the result to that of the image.
    shape
        Height and width of the result.
    beside
        ``(2, h, w)``, how far down and right of each pixel of the result to look instead of at its centre.

    Returns
    -------
    values : ``(C, h, w)``
    seen : ``(h, w)``, 1 where all that a value was made of is inside of the image and valid
    """
    height, width = image.shape[-2:]
    pixels = torch.stack(torch.meshgrid(torch.arange(shape[0]), torch.arange(shape[1]), indexing="ij")) + beside
    here = torch.cat([pixels.float(), torch.ones(1, *shape)]).flatten(1)
    there = matrix @ here
    row, column = (there[:2] / there[2:]).reshape(2, *shape)
    inside = (row >= 0) & (row <= height - 1) & (column >= 0) & (column <= width - 1)
    place = torch.stack([(2 * column + 1) / width - 1, (2 * row + 1) / height - 1], dim=-1)[None]
    values = F.grid_sample(image[None], place, mode="bilinear", padding_mode="border", align_corners=False)[0]
    with torch.no_grad():
        clear = F.grid_sample(valid[None, None], place, mode="bilinear", padding_mode="zeros", align_corners=False)
    return values, (inside & (clear[0, 0] > 0.999)).float()
