"""Linear correlation of the fused image with its sources."""

from __future__ import annotations

import torch

__all__ = ["correlation_coefficient", "pearson"]


def correlation_coefficient(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    """Mean of the correlations with both sources (CC).

    Parameters
    ----------
    fused, ir, visible
        ``(…, H, W)``; gain and offset of any of them change nothing.

    Returns
    -------
    torch.Tensor
        ``(…)`` in [−1, 1]; symmetric in the sources. A constant image correlates with nothing: 0.

    Notes
    -----
    (r(A, F) + r(B, F))/2; Deshmukh, Bhosale: Image fusion and image quality assessment of fused images, International
    Journal of Image Processing 4 (2010) 484–508.
    """
    return (pearson(ir, fused) + pearson(visible, fused)) / 2


def pearson(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Pearson's correlation of two images ``(…, H, W)``; 0 if either is constant."""
    x, y = (image - image.mean((-2, -1), keepdim=True) for image in (a, b))
    # a constant image is constant to rounding only, once its mean is taken off
    x, y = (torch.where(_constant(image), 0.0, centred) for image, centred in ((a, x), (b, y)))
    energy = x.square().sum((-2, -1)).sqrt() * y.square().sum((-2, -1)).sqrt()
    covariance = (x * y).sum((-2, -1))
    return torch.where(energy > 0, covariance / energy, torch.zeros_like(energy)).clamp(-1, 1)


def _constant(image: torch.Tensor) -> torch.Tensor:
    return image.amax((-2, -1), keepdim=True) == image.amin((-2, -1), keepdim=True)
