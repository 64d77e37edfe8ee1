"""Linear and edge-keeping filters on ``(…, H, W)`` tensors that several methods share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F

__all__ = ["Border", "box_mean", "box_sum", "gaussian", "guided_filter_by", "histogram_saliency", "pad", "separable"]

Border: TypeAlias = Literal["replicate", "reflect", "symmetric", "zero"]
"""``reflect`` mirrors without repeating the edge pixel, ``symmetric`` with."""

_BLOCK = 64  # outputs per block: fastest of 32, 64, 128 for all kernels in use, on AVX-512
_TORCH_MODES = {"replicate": "replicate", "reflect": "reflect"}


def pad(image: torch.Tensor, rows: int, columns: int, border: Border) -> torch.Tensor:
    """Extend ``(…, H, W)`` by ``rows`` above and below and ``columns`` left and right."""
    if border == "symmetric":
        return _pad_symmetric(_pad_symmetric(image, rows, -2), columns, -1)
    flat = image.reshape(-1, 1, *image.shape[-2:])
    size = (columns, columns, rows, rows)
    padded = F.pad(flat, size) if border == "zero" else F.pad(flat, size, mode=_TORCH_MODES[border])
    return padded.reshape(*image.shape[:-2], *padded.shape[-2:])


def _pad_symmetric(image: torch.Tensor, amount: int, axis: int) -> torch.Tensor:
    length = image.shape[axis]
    before = image.narrow(axis, 0, amount).flip(axis)
    after = image.narrow(axis, length - amount, amount).flip(axis)
    return torch.cat([before, image, after], dim=axis)


def separable(image: torch.Tensor, kernel: torch.Tensor, border: Border) -> torch.Tensor:
    """Correlate ``(…, H, W)`` with ``kernel ⊗ kernel``, both odd ``(k,)``; same size."""
    radius = len(kernel) // 2
    padded = pad(image, radius, radius, border)
    return _correlate(_correlate(padded, kernel, -2), kernel, -1)


def _correlate(image: torch.Tensor, kernel: torch.Tensor, axis: Literal[-2, -1]) -> torch.Tensor:
    """Correlate along one axis; the result is ``len(kernel) − 1`` shorter.

    As a product with a banded matrix, one block of outputs at a time: convolutions of a single channel leave nearly
    all of a processor idle, and take some twenty times as long.
    """
    length = image.shape[axis] - len(kernel) + 1
    blocks = -(-length // _BLOCK)
    missing = blocks * _BLOCK - length
    if missing:
        image = F.pad(image, (0, missing) if axis == -1 else (0, 0, 0, missing))
    band = torch.zeros(_BLOCK + len(kernel) - 1, _BLOCK, dtype=image.dtype, device=image.device)
    for offset, weight in enumerate(kernel.tolist()):
        band.diagonal(-offset).fill_(weight)
    windows = image.unfold(axis, len(band), _BLOCK)
    result = (windows @ band).flatten(-2) if axis == -1 else (band.T @ windows.transpose(-1, -2)).flatten(-3, -2)
    return result.narrow(axis, 0, length)


def gaussian(image: torch.Tensor, sigma: float, *, radius: int, border: Border = "replicate") -> torch.Tensor:
    """Smooth ``(…, H, W)`` with a normalised Gaussian, σ in pixels, cut off at ``radius``."""
    x = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-x.square() / (2 * sigma**2))
    return separable(image, kernel / kernel.sum(), border)


def box_sum(image: torch.Tensor, radius: int) -> torch.Tensor:
    """Sum over ``(2·radius + 1)²`` windows of ``(…, H, W)``; outside the image is 0.

    Doubling: a window of 2w is two windows of w, so the cost grows with log(radius). Running sums would be cheaper
    still on paper, but lose the small differences that follow in float32, and do not vectorise along rows.
    """
    padded = pad(image, radius, radius, "zero")
    return _run_sum(_run_sum(padded, 2 * radius + 1, -2), 2 * radius + 1, -1)


def _run_sum(image: torch.Tensor, width: int, axis: int) -> torch.Tensor:
    """Sum ``width`` neighbours along ``axis``; the result is ``width − 1`` shorter."""
    length = image.shape[axis] - width + 1
    total: torch.Tensor | None = None
    offset, span, part = 0, 1, image
    while True:
        if width & span:
            piece = part.narrow(axis, offset, length)
            total = piece if total is None else total + piece
            offset += span
        if 2 * span > width:
            return total if total is not None else part
        part = part.narrow(axis, 0, part.shape[axis] - span) + part.narrow(axis, span, part.shape[axis] - span)
        span *= 2


def box_mean(image: torch.Tensor, radius: int, border: Border = "replicate") -> torch.Tensor:
    """Mean over ``(2·radius + 1)²`` windows of ``(…, H, W)``."""
    width = 2 * radius + 1
    padded = pad(image, radius, radius, border)
    return _run_sum(_run_sum(padded, width, -2), width, -1) / width**2


def guided_filter_by(image: torch.Tensor, radius: int, epsilon: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the guided filter of ``image``, still waiting for its guide.

    Parameters
    ----------
    image
        ``(…, H, W)``, what is filtered.
    radius
        Of the square windows, in pixels; windows shrink at the border.
    epsilon
        Variance below which a window of the guide counts as flat.

    Returns
    -------
    Function of the guide. What depends on the image alone is computed once: rolling guidance filters one image with
    a new guide again and again.

    Notes
    -----
    He, Sun, Tang: Guided image filtering, PAMI 2013, equations 5, 6 and 8.
    """
    area = 1 / box_sum(torch.ones_like(image), radius)
    image_mean = box_sum(image, radius) * area

    def apply(guide: torch.Tensor) -> torch.Tensor:
        mean, correlation, square = box_sum(torch.stack([guide, guide * image, guide.square()]), radius) * area
        slope = (correlation - mean * image_mean) / (square - mean.square() + epsilon)
        slope_mean, offset_mean = box_sum(torch.stack([slope, image_mean - slope * mean]), radius) * area
        filtered: torch.Tensor = slope_mean * guide + offset_mean
        return filtered

    return apply


def histogram_saliency(image: torch.Tensor) -> torch.Tensor:
    """How different each grey level is from all others: S(p) = Σ_q |I(p) − I(q)|, min–max per image.

    Parameters
    ----------
    image
        ``(N, 1, H, W)`` in [0, 1]; 256 levels are told apart.

    Returns
    -------
    ``(N, 1, H, W)`` in [0, 1]; 0 everywhere for a constant image.

    Notes
    -----
    Zhai, Shah: Visual attention detection in video sequences using spatiotemporal cues, ACM MM 2006, section 4.
    """
    levels = torch.floor(image * 255 + 0.5).clamp(0, 255).long()
    grey = torch.arange(256, device=image.device, dtype=image.dtype)
    distance = (grey[:, None] - grey).abs()
    saliency = []
    for plane in levels:
        counts = torch.bincount(plane.flatten(), minlength=256).to(image.dtype)
        # a share of the pixels in place of their number: sums of 10⁸ are beyond float32, and min–max cancels it
        table = distance @ (counts / plane.numel())
        present = table[counts > 0]
        low, high = present.min(), present.max()
        table = (table - low) / (high - low) if high > low else torch.zeros_like(table)
        saliency.append(table[plane])
    return torch.stack(saliency)
