"""Differentiable terms of the losses, each a value per image of the batch."""

from __future__ import annotations

import torch

from napari_irvisfuse.images.filters import gaussian

__all__ = ["per_image", "ssim"]

_C1, _C2 = 0.01**2, 0.03**2
_RADIUS, _SIGMA = 5, 1.5


def per_image(values: torch.Tensor) -> torch.Tensor:
    """Return the mean of ``(N, 1, H, W)`` over the pixels, ``(N,)``."""
    return values.flatten(1).mean(1)


def ssim(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return the structural similarity of ``(N, 1, H, W)`` images in [0, 1], ``(N,)``.

    Notes
    -----
    Wang, Bovik, Sheikh, Simoncelli: Image quality assessment: from error visibility to structural similarity,
    TIP 2004; 11×11 Gaussian windows with σ 1.5 that lie inside the image.
    """
    moments = torch.stack([first, second, first * first, second * second, first * second])
    inside = slice(_RADIUS, -_RADIUS)
    m1, m2, s11, s22, s12 = gaussian(moments, _SIGMA, radius=_RADIUS)[..., inside, inside]
    v1, v2, covariance = s11 - m1 * m1, s22 - m2 * m2, s12 - m1 * m2
    contrast = (2 * covariance + _C2) / (v1 + v2 + _C2)
    return per_image((2 * m1 * m2 + _C1) / (m1 * m1 + m2 * m2 + _C1) * contrast)
