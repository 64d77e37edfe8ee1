"""Local mean, variance and covariance under a Gaussian window that lies wholly inside the image."""

from __future__ import annotations

from typing import NamedTuple

import torch

from napari_irvisfuse.images.filters import gaussian, pad

__all__ = ["LocalStatistics", "fill_border", "local_statistics", "window_mean"]


class LocalStatistics(NamedTuple):
    """Of two images, ``(…, H − 2·radius, W − 2·radius)`` each."""

    mean_a: torch.Tensor
    mean_b: torch.Tensor
    variance_a: torch.Tensor
    variance_b: torch.Tensor
    covariance: torch.Tensor


def window_mean(image: torch.Tensor, sigma: float, radius: int) -> torch.Tensor:
    """Weighted mean under every window inside the image: ``(…, H − 2·radius, W − 2·radius)``, empty if none fits."""
    inside = gaussian(image, sigma, radius=radius, border="zero")
    return inside[..., radius:-radius, radius:-radius]


def local_statistics(a: torch.Tensor, b: torch.Tensor, sigma: float, radius: int) -> LocalStatistics:
    """Weighted moments of two images ``(…, H, W)`` under every window inside them."""
    # about each image's own mean: E[x²] − E[x]² of raw values loses half the digits of float32
    centre_a, centre_b = (image.mean((-2, -1), keepdim=True) for image in (a, b))
    x, y = a - centre_a, b - centre_b
    mean_x, mean_y, xx, yy, xy = window_mean(torch.stack([x, y, x * x, y * y, x * y]), sigma, radius)
    return LocalStatistics(
        mean_x + centre_a,
        mean_y + centre_b,
        (xx - mean_x.square()).clamp(min=0),
        (yy - mean_y.square()).clamp(min=0),
        xy - mean_x * mean_y,
    )


def fill_border(values: torch.Tensor, radius: int) -> torch.Tensor:
    """Repeat the outermost values, so that a map of windows inside the image gets the image's size for display."""
    return pad(values, radius, radius, "replicate")
