"""MEF-SSIM: how much of the locally strongest structure of the sources the fused image has (Ma et al.)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F

from napari_irvisfuse.images.filters import box_sum, gaussian
from napari_irvisfuse.maps import Map

from .windows import fill_border

__all__ = ["MEF_SSIM_WEIGHTS", "mef_ms_ssim", "mef_ssim_map", "mef_ssim_quality"]

RADIUS = 5
SIZE = 2 * RADIUS + 1
SIGMA = 1.5
K = 0.03
WHITE = 255.0
MEF_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001)
"""Of the scales, finest first; divided by their sum."""
STEEPEST = 10.0
"""Largest exponent of the weights: as good as taking the stronger source alone."""
FAINT = 0.001
"""Added to the strength of every window, in grey levels, so that a flat one can be divided by it."""


def mef_ms_ssim(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    """Measure how well the fused image keeps the structure that is locally the strongest, over three scales.

    Parameters
    ----------
    fused, ir, visible
        ``(…, H, W)`` in [0, 1], at least 11×11. Where an image is too small for a window at the coarser scales
        (41 pixels are needed for all three), those are left out.

    Returns
    -------
    torch.Tensor
        ``(…)`` in [0, 1]; higher is better. Several papers print it as "MS_SSIM", which it is not.

    Notes
    -----
    Mean of :func:`mef_ssim_map` at each scale to the power of its weight, multiplied. Scales are halved by averaging
    2×2 pixels. A negative mean, which has no such power, counts as 0.

    References
    ----------
    Ma, Zeng, Wang: Perceptual quality assessment for multi-exposure image fusion, IEEE Transactions on Image
    Processing 24 (2015). https://doi.org/10.1109/TIP.2015.2442920
    """
    images = torch.stack([fused, ir, visible])
    means = [mef_ssim_map(*images).mean(dim=(-2, -1))]
    while len(means) < len(MEF_SSIM_WEIGHTS) and min(images.shape[-2:]) > 2 * (SIZE - 1):
        images = _halve(images)
        means.append(mef_ssim_map(*images).mean(dim=(-2, -1)))
    weights = MEF_SSIM_WEIGHTS[: len(means)]
    powers = [mean.clamp_min(0) ** (weight / sum(weights)) for mean, weight in zip(means, weights, strict=True)]
    return torch.stack(powers).prod(dim=0)


def _halve(images: torch.Tensor) -> torch.Tensor:
    """Average 2×2 pixels; an odd last row or column is repeated."""
    height, width = images.shape[-2:]
    flat = images.reshape(-1, 1, height, width)
    halved = F.avg_pool2d(F.pad(flat, (0, width % 2, 0, height % 2), mode="replicate"), 2)
    return halved.reshape(*images.shape[:-2], *halved.shape[-2:])


def mef_ssim_map(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    """Compare the structure of every window with the one that the sources promise.

    Parameters
    ----------
    fused, ir, visible
        ``(…, H, W)`` in [0, 1].

    Returns
    -------
    torch.Tensor
        ``(…, H − 10, W − 10)`` in [−1, 1], for each 11×11 window inside the image.

    Notes
    -----
    Each source window, its mean taken off, is divided by its norm e_k and weighted with (e_k/11)^p, where
    p = tan(π/2·R), at most 10, and R is the norm of the sum of the windows over the sum of their norms: where the
    sources agree they are averaged, where they do not the stronger one wins. Their sum, stretched to the larger norm,
    is compared with the fused window by the contrast and structure part of SSIM, (2σ_rf + C)/(σ_r² + σ_f² + C) under
    a Gaussian window. Equations 5 to 10.

    The wanted window is a linear combination of the two sources, so all that is asked of it follows from local means
    of products; no window is ever built.
    """
    # About each image's mean, for the sake of the digits; nothing below depends on it.
    f, a, b = (WHITE * (image - image.mean(dim=(-2, -1), keepdim=True)) for image in (fused, ir, visible))
    share_a, share_b = _combination(a, b)
    smooth = [
        _valid(part)
        for part in gaussian(torch.stack([f, a, b, f * f, a * a, b * b, a * b, a * f, b * f]), SIGMA, radius=RADIUS)
    ]
    mean_f, mean_a, mean_b, ff, aa, bb, ab, af, bf = smooth
    variance_f = ff - mean_f * mean_f
    variance = (
        share_a * share_a * (aa - mean_a * mean_a)
        + share_b * share_b * (bb - mean_b * mean_b)
        + 2 * share_a * share_b * (ab - mean_a * mean_b)
    )
    covariance = share_a * (af - mean_a * mean_f) + share_b * (bf - mean_b * mean_f)
    c = (K * WHITE) ** 2
    return (2 * covariance + c) / (variance + variance_f + c)


def _combination(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the factors of both sources in the wanted window."""
    sums = [_valid(part) for part in box_sum(torch.stack([a, b, a * a, b * b, a * b]), RADIUS)]
    mean_a, mean_b, aa, bb, ab = sums
    count = SIZE * SIZE
    # sums of squares and products about the windows' means
    energy_a = (aa - mean_a * mean_a / count).clamp_min(0)
    energy_b = (bb - mean_b * mean_b / count).clamp_min(0)
    product = ab - mean_a * mean_b / count
    norms = energy_a.sqrt() + energy_b.sqrt()
    together = (energy_a + energy_b + 2 * product).clamp_min(0).sqrt()
    epsilon = torch.finfo(a.dtype).eps
    agreement = ((together + epsilon) / (norms + epsilon)).clamp_max(1)
    exponent = torch.tan(math.pi / 2 * agreement)
    # the tangent of what rounds to π/2 may be on the other side
    exponent = torch.where((exponent > STEEPEST) | (exponent < 0), STEEPEST, exponent)

    strength_a, strength_b = energy_a.sqrt() + FAINT, energy_b.sqrt() + FAINT
    weight_a, weight_b = ((e / SIZE) ** exponent + epsilon for e in (strength_a, strength_b))
    total = weight_a + weight_b
    part_a, part_b = weight_a / total / strength_a, weight_b / total / strength_b
    norm = (part_a * part_a * energy_a + part_b * part_b * energy_b + 2 * part_a * part_b * product).clamp_min(0).sqrt()
    stretch = torch.where(norm > 0, torch.maximum(strength_a, strength_b) / torch.where(norm > 0, norm, 1), 0)
    return part_a * stretch, part_b * stretch


def _valid(image: torch.Tensor) -> torch.Tensor:
    return image[..., RADIUS:-RADIUS, RADIUS:-RADIUS]


def mef_ssim_quality(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor) -> Mapping[str, Map[torch.Tensor]]:
    """Show where the strongest structure is kept, at the finest scale; the last five pixels repeat their neighbours."""
    data = fill_border(mef_ssim_map(fused, ir, visible), RADIUS)
    return {"MEF_SSIM": Map(data, "weight", "Structure kept (MEF-SSIM)", "quality")}
