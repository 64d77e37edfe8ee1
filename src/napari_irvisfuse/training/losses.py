"""Differentiable terms of the losses, each a value per image of the batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from napari_irvisfuse.images.filters import gaussian

__all__ = ["ms_ssim", "mutual_information", "per_image", "ssim"]

_C1, _C2 = 0.01**2, 0.03**2
_RADIUS, _SIGMA = 5, 1.5
_LEAST_SPAN = 0.01  # of a channel, as a share of the image's liveliest
# Of the scales, finest first (Wang, Simoncelli, Bovik 2003, section 3.2).
_EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


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
    luminance, contrast = _luminance_and_contrast(first, second)
    return per_image(luminance * contrast)


def ms_ssim(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return the multi-scale structural similarity of ``(N, 1, H, W)`` images in [0, 1], ``(N,)``.

    Parameters
    ----------
    first, second
        At least 11 pixels high and wide.

    Notes
    -----
    Wang, Simoncelli, Bovik: Multiscale structural similarity for image quality assessment, Asilomar 2003: the product
    over up to five scales of the mean contrast and structure, each to its exponent, with the luminance of the coarsest.
    An image that is too small for five scales has as many as its shorter side lets a window fit into, and their
    exponents are scaled to the same sum. A mean below zero, which has no power, counts as zero.
    """
    side = min(first.shape[-2:])
    scales = [number for number in range(len(_EXPONENTS)) if side >> number > 2 * _RADIUS]
    exponents = [_EXPONENTS[number] / sum(_EXPONENTS[s] for s in scales) for number in scales]
    product = first.new_ones(len(first))
    for number, exponent in zip(scales, exponents, strict=True):
        if number:
            first, second = F.avg_pool2d(first, 2), F.avg_pool2d(second, 2)
        luminance, contrast = _luminance_and_contrast(first, second)
        value = per_image(contrast if number < scales[-1] else luminance * contrast)
        # the power's slope has no end at zero
        product = product * value.clamp_min(1e-4) ** exponent
    return product


def _luminance_and_contrast(first: torch.Tensor, second: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    moments = torch.stack([first, second, first * first, second * second, first * second])
    inside = slice(_RADIUS, -_RADIUS)
    m1, m2, s11, s22, s12 = gaussian(moments, _SIGMA, radius=_RADIUS)[..., inside, inside]
    v1, v2, covariance = s11 - m1 * m1, s22 - m2 * m2, s12 - m1 * m2
    return (2 * m1 * m2 + _C1) / (m1 * m1 + m2 * m2 + _C1), (2 * covariance + _C2) / (v1 + v2 + _C2)


def mutual_information(first: torch.Tensor, second: torch.Tensor, bins: int = 32) -> torch.Tensor:
    """Return the mutual information of samples, differentiable by both.

    Parameters
    ----------
    first, second
        ``(N, C, n)``: n samples of each of C channels, of any range. Each channel is stretched to its own smallest and
        largest value; all channels of an image share its histogram.
    bins
        Of the histogram, along each axis; at least 4.

    Returns
    -------
    Tensor
        ``(N,)``, in nats, not below 0 but for rounding.

    Notes
    -----
    A sample is shared between the four bins around it by a cubic B-spline, as in Thévenaz, Unser: Optimization of
    mutual information for multiresolution image registration, TIP 2000, so that the histogram changes smoothly with
    it; the marginals are the joint histogram's own. Values closer than that are not told apart: what a sample says of
    itself is up to a nat less than its entropy. The gradient goes through the smallest and the largest value too:
    without, it is that of another quantity.
    """
    p, q = _assigned(first, bins), _assigned(second, bins)
    joint = p.transpose(1, 2) @ q / p.shape[1]
    apart = joint.sum(2, keepdim=True) * joint.sum(1, keepdim=True)
    tiny = torch.finfo(joint.dtype).tiny
    return (joint * (joint.clamp_min(tiny).log() - apart.clamp_min(tiny).log())).flatten(1).sum(1)


def _assigned(samples: torch.Tensor, bins: int) -> torch.Tensor:
    """Return the share of each bin in each sample, ``(N, C·n, bins)``; they sum to 1."""
    low = samples.amin(2, keepdim=True)
    span = samples.amax(2, keepdim=True) - low
    # what hardly varies counts as constant: the slope of a channel that says nothing would drown all others
    least = (_LEAST_SPAN * span.detach().amax(1, keepdim=True)).clamp_min(1e-9)
    span = torch.maximum(span, least)
    # a bin is left free at either end, so that no sample loses a part of its spline
    position = (1 + (samples - low) / span * (bins - 3)).flatten(1)[..., None]
    distance = (position - torch.arange(bins, device=samples.device, dtype=samples.dtype)).abs()
    near = 2 / 3 - distance.square() * (1 - distance / 2)
    far = (2 - distance).clamp_min(0) ** 3 / 6
    return torch.where(distance < 1, near, far)
