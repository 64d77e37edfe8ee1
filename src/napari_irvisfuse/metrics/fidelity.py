"""How far the fused image keeps its sources: PSNR, SSIM, MS-SSIM."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .ssim_matlab import gaussian_ssim_map
from .windows import local_statistics

__all__ = ["MS_SSIM_MIN_SIZE", "SSIM_RADIUS", "ms_ssim", "psnr", "ssim", "ssim_map", "ssim_sum"]

SSIM_RADIUS = 5
"""Of the 11×11 window."""
MS_SSIM_MIN_SIZE = 161
"""Height and width from which a window fits into the coarsest of the five scales."""

_SIGMA = 1.5
_K2 = 0.03
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def psnr(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor, *, data_range: float = 1.0) -> torch.Tensor:
    """Peak signal-to-noise ratio, with the mean of the two mean squared errors (PSNR).

    Parameters
    ----------
    fused, ir, visible
        ``(…, H, W)`` in [0, ``data_range``].
    data_range
        The value of white.

    Returns
    -------
    torch.Tensor
        ``(…)``, dB, 0 to ∞ (all three are equal); symmetric in the sources.

    Notes
    -----
    10·log10(L²/((MSE(A,F) + MSE(B,F))/2)); Jagalingam, Hegde: A review of quality metrics for fused image, Aquatic
    Procedia 4 (2015) 133–142. The plain mean of A and B has the highest PSNR that a pair allows, so this rewards blur.
    """
    errors = [(fused - source).square().mean((-2, -1)) for source in (ir, visible)]
    return 10 * torch.log10(data_range**2 / ((errors[0] + errors[1]) / 2))


def ssim(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor, *, data_range: float = 1.0) -> torch.Tensor:
    """Structural similarity, mean over both sources (SSIM).

    Parameters
    ----------
    fused, ir, visible
        ``(…, H, W)`` in [0, ``data_range``], at least 11×11; NaN if smaller.
    data_range
        The value of white.

    Returns
    -------
    torch.Tensor
        ``(…)`` in [−1, 1]; 1 only if all three are equal; symmetric in the sources.

    Notes
    -----
    See :func:`ssim_map`. Agrees with scikit-image (``gaussian_weights=True, sigma=1.5, use_sample_covariance=False``)
    to rounding. ``torchmetrics`` has the same values inside, but averages over the border as well, with mirrored pixels
    beyond it: its mean differs by some 1e-3.
    """
    return ssim_sum(fused, ir, visible, data_range=data_range) / 2


def ssim_sum(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor, *, data_range: float = 1.0) -> torch.Tensor:
    """SSIM(A,F) + SSIM(B,F), in [−2, 2]: what many tables print as SSIM. Otherwise as :func:`ssim`."""
    maps = [ssim_map(fused, source, data_range=data_range) for source in (ir, visible)]
    return maps[0].mean((-2, -1)) + maps[1].mean((-2, -1))


def ssim_map(a: torch.Tensor, b: torch.Tensor, *, data_range: float = 1.0) -> torch.Tensor:
    """Structural similarity of two images under every window inside them.

    Parameters
    ----------
    a, b
        ``(…, H, W)`` in [0, ``data_range``].
    data_range
        L in the constants C1 = (0.01·L)² and C2 = (0.03·L)².

    Returns
    -------
    torch.Tensor
        ``(…, H − 10, W − 10)`` in [−1, 1].

    Notes
    -----
    Wang, Bovik, Sheikh, Simoncelli: Image quality assessment: from error visibility to structural similarity, IEEE
    Transactions on Image Processing 13 (2004) 600–612, equation 13: Gaussian window 11×11, σ = 1.5, weighted variances,
    windows inside the image only, no downsampling first.
    """
    return gaussian_ssim_map(a / data_range, b / data_range, border="valid")


def ms_ssim(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor, *, data_range: float = 1.0) -> torch.Tensor:
    """Multi-scale structural similarity, mean over both sources (MS-SSIM).

    Parameters
    ----------
    fused, ir, visible
        ``(…, H, W)`` in [0, ``data_range``].
    data_range
        The value of white.

    Returns
    -------
    torch.Tensor
        ``(…)`` in [0, 1]; 1 only if all three are equal; symmetric in the sources. NaN for images of fewer than 161
        pixels in height or width: fewer scales would be another quantity under the same name.

    Notes
    -----
    Wang, Simoncelli, Bovik: Multiscale structural similarity for image quality assessment, Asilomar 2003, equation 7:
    the product over five scales of mean contrast·structure, with mean luminance·contrast·structure at the coarsest,
    each to its weight; a negative mean counts as 0. Between scales, 2×2 means are taken at every second pixel, and an
    odd last row or column is repeated, as in the authors' code. ``torchmetrics`` leaves that row or column out and
    takes the coarsest scale's mean over a mirrored border as well: it differs by some 1e-2.
    """
    values = [_ms_ssim_of_pair(fused, source, data_range) for source in (ir, visible)]
    return (values[0] + values[1]) / 2


def _ms_ssim_of_pair(a: torch.Tensor, b: torch.Tensor, data_range: float) -> torch.Tensor:
    if min(a.shape[-2:]) < MS_SSIM_MIN_SIZE:
        return a.new_full(a.shape[:-2], torch.nan)
    *finer, coarsest = _SCALE_WEIGHTS
    product = a.new_ones(a.shape[:-2])
    for weight in finer:
        similarity = _contrast_structure(a, b, data_range)
        product = product * similarity.mean((-2, -1)).clamp(min=0) ** weight
        a, b = _halve(a), _halve(b)
    similarity = ssim_map(a, b, data_range=data_range)
    return product * similarity.mean((-2, -1)).clamp(min=0) ** coarsest


def _contrast_structure(a: torch.Tensor, b: torch.Tensor, data_range: float) -> torch.Tensor:
    """SSIM without its luminance term."""
    statistics = local_statistics(a, b, _SIGMA, SSIM_RADIUS)
    c2 = (_K2 * data_range) ** 2
    return (2 * statistics.covariance + c2) / (statistics.variance_a + statistics.variance_b + c2)


def _halve(image: torch.Tensor) -> torch.Tensor:
    height, width = image.shape[-2:]
    flat = image.reshape(-1, 1, height, width)
    halved = F.avg_pool2d(F.pad(flat, (0, width % 2, 0, height % 2), mode="replicate"), 2)
    return halved.reshape(*image.shape[:-2], *halved.shape[-2:])
