"""SSIM with Gaussian windows, as MATLAB's ``ssim`` computes it: every pixel counts, the border is replicated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch

from napari_irvisfuse.images.filters import gaussian
from napari_irvisfuse.maps import Map

__all__ = ["gaussian_ssim_map", "ssim", "ssim_quality", "ssim_sum"]

RADIUS = 5
SIGMA = 1.5
K1, K2 = 0.01, 0.03


def gaussian_ssim_map(
    a: torch.Tensor, b: torch.Tensor, *, border: Literal["replicate", "valid"] = "replicate"
) -> torch.Tensor:
    """Compare two images at every pixel by structural similarity.

    Parameters
    ----------
    a, b
        ``(…, H, W)`` in [0, 1].
    border
        ``"replicate"``: the outermost pixels are repeated and the map is as large as the image (MATLAB);
        ``"valid"``: only windows that lie within the image, ``(…, H − 10, W − 10)`` (Wang's own code).

    Returns
    -------
    torch.Tensor
        Map in [−1, 1]; 1 where the windows are equal.

    Notes
    -----
    Windows of 11×11, Gaussian with σ = 1.5, K = (0.01, 0.03), range L = 1.
    ``(2 μ_a μ_b + C₁)(2 σ_ab + C₂) / ((μ_a² + μ_b² + C₁)(σ_a² + σ_b² + C₂))``, equation 13.

    References
    ----------
    Wang, Bovik, Sheikh, Simoncelli: Image quality assessment: from error visibility to structural similarity,
    IEEE Transactions on Image Processing 13 (2004). https://doi.org/10.1109/TIP.2003.819861
    """
    c1, c2 = K1**2, K2**2
    smooth = gaussian(torch.stack([a, b, a * a + b * b, a * b]), SIGMA, radius=RADIUS)
    if border == "valid":
        smooth = smooth[..., RADIUS:-RADIUS, RADIUS:-RADIUS]
    mean_a, mean_b, squares, product = smooth
    means, mean_product = mean_a * mean_a + mean_b * mean_b, mean_a * mean_b
    variances, covariance = squares - means, product - mean_product
    result: torch.Tensor = (2 * mean_product + c1) * (2 * covariance + c2) / ((means + c1) * (variances + c2))
    return result


def ssim_sum(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    """Measure the structural similarity with both sources, added up: what several papers print as "SSIM".

    Parameters
    ----------
    fused, ir, visible
        ``(…, H, W)`` in [0, 1].

    Returns
    -------
    torch.Tensor
        ``(…)`` in [−2, 2]; higher is better. SSIM(F, A) + SSIM(F, B), see :func:`gaussian_ssim_map`.
    """
    maps = gaussian_ssim_map(fused, ir), gaussian_ssim_map(fused, visible)
    return maps[0].mean(dim=(-2, -1)) + maps[1].mean(dim=(-2, -1))


def ssim(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    """Measure the structural similarity with both sources, the mean of both.

    Parameters
    ----------
    fused, ir, visible
        ``(…, H, W)`` in [0, 1].

    Returns
    -------
    torch.Tensor
        ``(…)`` in [−1, 1]; higher is better. Half of :func:`ssim_sum`.
    """
    return ssim_sum(fused, ir, visible) / 2


def ssim_quality(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor) -> Mapping[str, Map[torch.Tensor]]:
    """Show where the fused image resembles each source."""
    return {
        "SSIM_ir": Map(gaussian_ssim_map(fused, ir), "signed", "Similar to IR (SSIM)", "quality"),
        "SSIM_visible": Map(gaussian_ssim_map(fused, visible), "signed", "Similar to visible (SSIM)", "quality"),
    }
