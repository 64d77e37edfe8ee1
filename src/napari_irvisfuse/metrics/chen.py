"""Two metrics modelled on human vision: Qcb (Chen, Blum) and Qcv (Chen, Varshney).

Both weigh spatial frequencies by the contrast sensitivity of the eye. That needs a viewing distance, which the papers
give as the angle that the image fills: 15° for Qcb and 4° for Qcv, in width and in height.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F

from napari_irvisfuse.images.filters import gaussian

from .contrast import sobel_magnitude

__all__ = ["QCV_BLOCK", "qcb", "qcb_map", "qcv", "qcv_map"]

QCV_BLOCK = 16
"""Side of the regions of Qcv, in pixels."""

_QCB_DEGREES, _QCV_DEGREES = 15.0, 4.0
_CONTRAST_SIGMA = 2.0
_MASKING = 1e-4  # Z of Chen, Blum
_SALIENCY_POWER = 5  # α of Chen, Varshney
_WHITE = 255.0


def qcb(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    """Preservation of perceived local contrast (Qcb).

    Parameters
    ----------
    fused, ir, visible
        ``(…, H, W)``, 0 is black; a gain on any of them changes nothing.

    Returns
    -------
    torch.Tensor
        ``(…)`` in [0, 1]; 1 if all three are equal; symmetric in the sources.

    Notes
    -----
    See :func:`qcb_map`.
    """
    return qcb_map(fused, ir, visible).mean((-2, -1))


def qcb_map(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    """Preservation of perceived contrast at every pixel, ``(…, H, W)`` in [0, 1]; its mean is :func:`qcb`.

    Notes
    -----
    Chen, Blum: A new automated quality assessment algorithm for image fusion, Image and Vision Computing 27 (2009)
    1421–1432. Contrast sensitivity is a difference of Gaussians; local contrast is the ratio of Gaussian means of σ 2
    and 4 less 1, masked as C³/(C² + 10⁻⁴); preserved is the smaller masked contrast over the larger, weighted by the
    squared masked contrast of the sources. Where nobody has contrast, all of it is preserved: 1. Toolboxes stretch each
    image to its full range first, which hides a loss of contrast, and surround it with black, which makes an edge; here
    images stay as they are, and edge pixels are repeated.
    """
    f, *sources = (_masked_contrast(image) for image in (fused, ir, visible))
    preserved = [_smaller_over_larger(source, f) for source in sources]
    a, b = sources
    # c_a²/(c_a² + c_b²), written so that neither very small nor very large contrasts overflow
    weight = 1 / (1 + (b / a).square())
    weight = torch.where((a == 0) & (b == 0), 0.5, weight)
    return weight * preserved[0] + (1 - weight) * preserved[1]


def _masked_contrast(image: torch.Tensor) -> torch.Tensor:
    frequency = _cycles_per_degree(image, _QCB_DEGREES)
    sensitivity = torch.exp(-(frequency / 15.3870).square()) - 0.7622 * torch.exp(-(frequency / 1.3456).square())
    seen = _weigh_frequencies(image, sensitivity)
    narrow, wide = (gaussian(seen, sigma, radius=15) for sigma in (_CONTRAST_SIGMA, 2 * _CONTRAST_SIGMA))
    contrast = torch.where(wide == 0, 0.0, narrow / wide - 1).abs()
    # what rounding leaves of a flat image is no contrast: ratios of it would be anything
    contrast = torch.where(contrast < 64 * torch.finfo(image.dtype).eps, 0.0, contrast)
    return contrast / (1 + _MASKING / contrast.square())


def _smaller_over_larger(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    larger = torch.maximum(a, b)
    return torch.where(larger == 0, 1.0, torch.minimum(a, b) / larger)


class _Regions(NamedTuple):
    """Per region: how salient the sources are in it, and how much the fused image differs from them."""

    saliencies: tuple[torch.Tensor, torch.Tensor]
    differences: tuple[torch.Tensor, torch.Tensor]

    def weighted_difference(self) -> torch.Tensor:
        (sa, sb), (da, db) = self
        return sa * da + sb * db

    def saliency(self) -> torch.Tensor:
        return self.saliencies[0] + self.saliencies[1]

    def plain_difference(self) -> torch.Tensor:
        return (self.differences[0] + self.differences[1]) / 2


def qcv(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor, *, data_range: float = 1.0) -> torch.Tensor:
    """Perceived difference from the sources, most where they have edges (Qcv).

    Parameters
    ----------
    fused, ir, visible
        ``(…, H, W)`` in [0, ``data_range``].
    data_range
        The value of white.

    Returns
    -------
    torch.Tensor
        ``(…)``, squared grey levels of 0 … 255, 0 (all three are equal) upwards; lower is better; symmetric in the
        sources.

    Notes
    -----
    Chen, Varshney: A human perception inspired quality metric for image fusion based on regional information,
    Information Fusion 8 (2007) 193–207. Regions are 16×16, those at the right and bottom may be smaller; a region
    weighs Σ G⁵ with G the Sobel magnitude of the source; differences are filtered by the contrast sensitivity of
    Mannos and Sakrison, then squared and averaged. Without any edge all regions weigh the same. Toolboxes stretch each
    image to its full range first; here images stay as they are, on the scale that they share.
    """
    regions = _regions(fused, ir, visible, data_range)
    saliency = regions.saliency().sum((-2, -1))
    weighted = regions.weighted_difference().sum((-2, -1)) / saliency
    return torch.where(saliency > 0, weighted, regions.plain_difference().mean((-2, -1)))


def qcv_map(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor, *, data_range: float = 1.0) -> torch.Tensor:
    """Perceived difference of every 16×16 region, ``(…, ⌈H/16⌉, ⌈W/16⌉)``; :func:`qcv` weighs them by saliency."""
    regions = _regions(fused, ir, visible, data_range)
    saliency = regions.saliency()
    return torch.where(saliency > 0, regions.weighted_difference() / saliency, regions.plain_difference())


def _regions(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor, data_range: float) -> _Regions:
    frequency = _cycles_per_degree(fused, _QCV_DEGREES)
    sensitivity = 2.6 * (0.0192 + 0.144 * frequency) * torch.exp(-((0.144 * frequency) ** 1.1))
    saliencies, differences = [], []
    for source in (ir, visible):
        # of images in [0, 1]: fifth powers of grey levels leave little room in float32
        edges = sobel_magnitude(source, data_range=data_range) / _WHITE
        saliencies.append(_pool(edges**_SALIENCY_POWER, divisor=1))
        seen = _weigh_frequencies((source - fused) * (_WHITE / data_range), sensitivity)
        differences.append(_pool(seen.square()))
    return _Regions((saliencies[0], saliencies[1]), (differences[0], differences[1]))


def _pool(image: torch.Tensor, divisor: int | None = None) -> torch.Tensor:
    """Mean over regions, or sum divided by ``divisor``; incomplete regions count the pixels that they have."""
    flat = image.reshape(-1, 1, *image.shape[-2:])
    pooled = F.avg_pool2d(flat, QCV_BLOCK, ceil_mode=True, divisor_override=divisor)
    return pooled.reshape(*image.shape[:-2], *pooled.shape[-2:])


def _cycles_per_degree(image: torch.Tensor, degrees: float) -> torch.Tensor:
    """Frequencies of the real Fourier transform of an image that fills ``degrees`` each way: ``(H, W//2 + 1)``."""
    height, width = image.shape[-2:]
    down = torch.fft.fftfreq(height, degrees / height, dtype=image.dtype, device=image.device)
    across = torch.fft.rfftfreq(width, degrees / width, dtype=image.dtype, device=image.device)
    return torch.hypot(down[:, None], across)


def _weigh_frequencies(image: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    filtered: torch.Tensor = torch.fft.irfft2(torch.fft.rfft2(image) * weight, s=image.shape[-2:])
    return filtered
