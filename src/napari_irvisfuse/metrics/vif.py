"""Visual information fidelity: what an observer can still learn about the sources from the fused image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch

from .windows import local_statistics, window_mean

__all__ = ["VIF_MIN_SIZE", "vif", "vif_of_pair", "viff"]

VIF_MIN_SIZE = 41
"""Height and width from which a window fits into the coarsest of the four scales."""

_RADII = (8, 4, 2, 1)  # windows of 17, 9, 5 and 3 pixels, finest scale first
_WHITE = 255.0
_TINY = 1e-10
_NOISE = 2.0  # of the eye, σ², in grey levels of 0 … 255
_FUSION_NOISE = 0.005 * _WHITE**2
_FUSION_WEIGHTS = (1 / 2.15, 0.0, 0.15 / 2.15, 1 / 2.15)
_FUSION_TINY = 1e-7


class _Scale(NamedTuple):
    """How one scale of the distorted image follows from the reference: distorted = gain·reference + noise."""

    gain: torch.Tensor
    signal: torch.Tensor  # variance of the reference
    noise: torch.Tensor  # variance of what was added

    def seen_in_distorted(self, eye: float) -> torch.Tensor:
        return torch.log10(1 + self.gain.square() * self.signal / (self.noise + eye))

    def seen_in_reference(self, eye: float) -> torch.Tensor:
        return torch.log10(1 + self.signal / eye)


def vif(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor, *, data_range: float = 1.0) -> torch.Tensor:
    """Visual information fidelity in the pixel domain, sum over both sources (VIF).

    Parameters
    ----------
    fused, ir, visible
        ``(…, H, W)`` in [0, ``data_range``].
    data_range
        The value of white.

    Returns
    -------
    torch.Tensor
        ``(…)``, 0 upwards; 2 if all three are equal; symmetric in the sources. NaN below 41×41.
    """
    return vif_of_pair(fused, ir, data_range=data_range) + vif_of_pair(fused, visible, data_range=data_range)


def vif_of_pair(distorted: torch.Tensor, reference: torch.Tensor, *, data_range: float = 1.0) -> torch.Tensor:
    """Visual information of the reference that is left in another image (VIFp).

    Parameters
    ----------
    distorted, reference
        ``(…, H, W)`` in [0, ``data_range``]; the order matters.
    data_range
        The value of white.

    Returns
    -------
    torch.Tensor
        ``(…)``; 0: nothing is left, 1: all is (also of a constant reference, which holds nothing), above 1: the
        contrast was enhanced. NaN for images of fewer than 41 pixels in height or width.

    Notes
    -----
    Sheikh, Bovik: Image information and visual quality, IEEE Transactions on Image Processing 15 (2006) 430–444, in the
    authors' pixel-domain version: four scales, Gaussian windows of 17, 9, 5 and 3 pixels with σ a fifth of that, inside
    the image only, noise of the eye σ² = 2 in grey levels. Agrees with ``torchmetrics`` (given grey levels) to
    rounding.
    """
    if min(reference.shape[-2:]) < VIF_MIN_SIZE:
        return reference.new_full(reference.shape[:-2], torch.nan)
    kept = there = reference.new_zeros(reference.shape[:-2])
    for scale in _scales(reference, distorted, data_range):
        kept = kept + scale.seen_in_distorted(_NOISE).sum((-2, -1))
        there = there + scale.seen_in_reference(_NOISE).sum((-2, -1))
    return torch.where(there > 0, kept / there, torch.ones_like(there))


def viff(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor, *, data_range: float = 1.0) -> torch.Tensor:
    """Visual information fidelity for fusion (VIFF), a quantity of its own, neither a mean nor a sum of VIF.

    Parameters
    ----------
    fused, ir, visible
        ``(…, H, W)`` in [0, ``data_range``].
    data_range
        The value of white.

    Returns
    -------
    torch.Tensor
        ``(…)``, 0 upwards, 1 if all three are equal; above 1 where contrast was enhanced. NaN below 41×41.

    Notes
    -----
    Han, Cai, Cao, Xu: A new image fusion performance metric based on visual information fidelity, Information Fusion 14
    (2013) 127–135: under each window the source counts of which less is left (smaller gain), visible where both are
    equal; scales weigh (1, 0, 0.15, 1)/2.15, finest first; noise of the eye 0.005·255². Gains are equal mostly where
    the contrast of both sources was turned round (0); where that happens, exchanging the sources changes the value a
    little.
    """
    if min(fused.shape[-2:]) < VIF_MIN_SIZE:
        return fused.new_full(fused.shape[:-2], torch.nan)
    total = fused.new_zeros(fused.shape[:-2])
    scales = zip(_scales(ir, fused, data_range), _scales(visible, fused, data_range), _FUSION_WEIGHTS, strict=True)
    for of_ir, of_visible, weight in scales:
        ir_counts = of_ir.gain < of_visible.gain
        kept, there = (
            torch.where(ir_counts, from_ir, from_visible) + _FUSION_TINY
            for from_ir, from_visible in (
                (of_ir.seen_in_distorted(_FUSION_NOISE), of_visible.seen_in_distorted(_FUSION_NOISE)),
                (of_ir.seen_in_reference(_FUSION_NOISE), of_visible.seen_in_reference(_FUSION_NOISE)),
            )
        )
        total = total + weight * kept.sum((-2, -1)) / there.sum((-2, -1))
    return total


def _scales(reference: torch.Tensor, distorted: torch.Tensor, data_range: float) -> Iterator[_Scale]:
    both = torch.stack([reference, distorted]) * (_WHITE / data_range)
    for number, radius in enumerate(_RADII):
        sigma = (2 * radius + 1) / 5
        if number > 0:
            both = window_mean(both, sigma, radius)[..., ::2, ::2]
        yield _linear_fit(*both, sigma=sigma, radius=radius)


def _linear_fit(reference: torch.Tensor, distorted: torch.Tensor, *, sigma: float, radius: int) -> _Scale:
    _, _, signal, power, covariance = local_statistics(reference, distorted, sigma, radius)
    gain = covariance / (signal + _TINY)
    noise = power - gain * covariance
    # What no gain explains is noise: a flat reference, and contrast turned round.
    unexplained = (signal < _TINY) | (gain < 0)
    gain = torch.where(unexplained | (power < _TINY), 0.0, gain)
    noise = torch.where(unexplained, power, noise).clamp(min=_TINY)
    return _Scale(gain, torch.where(signal < _TINY, 0.0, signal), noise)
