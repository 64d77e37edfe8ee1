"""The features whose mutual information FMI measures: edges, DCT, discrete Meyer wavelet, gradient, raw pixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import MappingProxyType
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F

from napari_irvisfuse.images.filters import pad

from .sobel_orders import sobel_by_products

__all__ = ["FEATURES", "FmiFeature", "dct", "edges", "gradient", "meyer_wavelet"]

FmiFeature: TypeAlias = Literal["edge", "dct", "wavelet", "gradient", "pixel"]

# Taps 0 to 30 on one side of the symmetric low-pass. They are no closed formula: the FIR approximation of Meyer's
# filter (which decays too slowly to be cut off) that MATLAB calls "dmey", as printed in PyWavelets 1.8 (MIT licence),
# pywt.Wavelet("dmey").rec_lo[30:61].
_MEYER = (
    0.7445855923188063, 0.44459300275757724, -0.035087555656258346, -0.13284520043622938, 0.030655091960824263,
    0.0637390243228016, -0.024348745906078023, -0.03213079399021176, 0.017423434103729693, 0.015270015130934803,
    -0.011061496392513451, -0.006387718318497156, 0.006045814097323304, 0.002202534100911002, -0.002704672124643725,
    -0.0006011502343516092, 6.554305930575149e-05, -1.6312699734552807e-05, 3.20544191334478e-06,
    7.367572885903746e-07, -1.489549216497156e-06, 1.1307947017916706e-06, -5.506340565252278e-07,
    1.1783004497663934e-07, 8.200680650386481e-08, -1.0866516536735883e-07, 6.066975741351135e-08,
    -1.0798819539621958e-08, -1.111944952595278e-08, 8.519459636796214e-09, -1.009999956941423e-12,
)  # fmt: skip
_MEYER_LENGTH = 102
"""Taps of MATLAB's filter, most of the outer ones 0: decides where the grid of the sub-bands lies, and its size."""
_BLOCK = 64  # wavelet coefficients of one kind that one matrix product computes in a row


def gradient(image: torch.Tensor) -> torch.Tensor:
    """Horizontal derivative of ``(…, H, W)``: half the difference of both neighbours, one-sided at the border."""
    inner = (image[..., 2:] - image[..., :-2]) / 2
    return torch.cat([image[..., 1:2] - image[..., :1], inner, image[..., -1:] - image[..., -2:-1]], dim=-1)


def edges(image: torch.Tensor) -> torch.Tensor:
    """Thin Sobel edges, as MATLAB's ``edge`` with all its defaults.

    Parameters
    ----------
    image
        ``(…, H, W)`` in [0, 1].

    Returns
    -------
    torch.Tensor
        The same shape, 1 on edges and 0 elsewhere.

    Notes
    -----
    Kernels scaled by 1/8, border replicated; an edge where the squared magnitude b is above four times its mean over
    the image, and a ridge: along the axis in which the gradient is not the smaller one, b is no less than at the pixel
    before and greater than at the pixel after (outside the image nothing is).
    """
    x, y = (part / 8 for part in sobel_by_products(pad(image, 1, 1, "replicate")))
    b = x * x + y * y
    strong = b > 4 * b.mean(dim=(-2, -1), keepdim=True)

    slack = 100 * torch.finfo(b.dtype).eps
    outside = F.pad(b, (1, 1, 1, 1), value=-math.inf)
    centre = outside[..., 1:-1, 1:-1]
    ridge_x = (outside[..., 1:-1, :-2] <= centre) & (centre > outside[..., 1:-1, 2:])
    ridge_y = (outside[..., :-2, 1:-1] <= centre) & (centre > outside[..., 2:, 1:-1])
    size_x, size_y = x.abs(), y.abs()
    ridge = ((size_x >= size_y - slack) & ridge_x) | ((size_y >= size_x - slack) & ridge_y)
    return (strong & ridge).to(image.dtype)


def dct(image: torch.Tensor) -> torch.Tensor:
    """Orthonormal DCT-II of the whole image ``(…, H, W)``, along both axes; the same shape."""
    return _dct_last(_dct_last(image).transpose(-1, -2)).transpose(-1, -2)


def _dct_last(image: torch.Tensor) -> torch.Tensor:
    """One FFT of the samples with even index, then those with odd index backwards (Makhoul 1980, equation 6)."""
    length = image.shape[-1]
    spectrum = torch.fft.fft(torch.cat([image[..., ::2], image[..., 1::2].flip(-1)], dim=-1))
    angle = torch.arange(length, dtype=image.dtype, device=image.device) * (math.pi / (2 * length))
    scale = torch.full_like(angle, math.sqrt(2 / length))
    scale[0] = math.sqrt(1 / length)
    result: torch.Tensor = scale * (spectrum.real * angle.cos() + spectrum.imag * angle.sin())
    return result


def meyer_wavelet(image: torch.Tensor) -> torch.Tensor:
    """One level of the discrete Meyer wavelet, the four sub-bands side by side, min–max to [0, 1] per image.

    Parameters
    ----------
    image
        ``(…, H, W)``.

    Returns
    -------
    torch.Tensor
        ``(…, 2·⌊(H + 101)/2⌋, 2·⌊(W + 101)/2⌋)``: approximation and horizontal edges above, vertical edges and
        diagonals below; 1 everywhere if all coefficients are equal.

    Notes
    -----
    Border mirrored with the edge pixel repeated. MATLAB's ``dwt2(…, 'dmey')``.
    """
    low, high = _analyse(image)
    (approximation, horizontal), (vertical, diagonal) = (
        [part.transpose(-1, -2) for part in _analyse(half.transpose(-1, -2))] for half in (low, high)
    )
    above = torch.cat([approximation, horizontal], dim=-1)
    tiles = torch.cat([above, torch.cat([vertical, diagonal], dim=-1)], dim=-2)
    lowest, highest = tiles.amin(dim=(-2, -1), keepdim=True), tiles.amax(dim=(-2, -1), keepdim=True)
    flat = highest == lowest
    return torch.where(flat, 1, (tiles - lowest) / torch.where(flat, 1, highest - lowest))


def _analyse(image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return every second low-pass and high-pass response along the last axis, ``⌊(W + 101)/2⌋`` each.

    As products with a banded matrix, a block of outputs at a time: strided convolutions of one channel leave nearly
    all of a processor idle.
    """
    length, radius = image.shape[-1], len(_MEYER) - 1
    count = (length + _MEYER_LENGTH - 1) // 2
    blocks = -(-count // _BLOCK)
    # The low-pass is centred on pixel 2k − 50, the high-pass one pixel further.
    first = 2 - _MEYER_LENGTH // 2 - 1 - radius
    position = torch.arange(first, first + 2 * _BLOCK * blocks + 2 * radius, device=image.device) % (2 * length)
    extended = image[..., torch.where(position < length, position, 2 * length - 1 - position)]
    band = torch.zeros(2 * _BLOCK + 2 * radius, 2, _BLOCK, dtype=torch.float64)
    output, offset = torch.arange(_BLOCK), torch.arange(-radius, radius + 1)[:, None]
    taps = torch.tensor(_MEYER, dtype=torch.float64)[offset.abs()]
    band[2 * output + offset + radius, 0, output] = taps
    band[2 * output + 1 + offset + radius, 1, output] = taps * (2 * (offset % 2) - 1)
    windows = extended.unfold(-1, len(band), 2 * _BLOCK)
    # one product in place of one a row: each of them would wake all threads
    parts = windows.reshape(-1, len(band)) @ band.flatten(1).to(image)
    parts = parts.view(*windows.shape[:-1], -1)
    low, high = (parts[..., kind * _BLOCK :][..., :_BLOCK].flatten(-2)[..., :count] for kind in (0, 1))
    return low, high


FEATURES: MappingProxyType[FmiFeature, Callable[[torch.Tensor], torch.Tensor]] = MappingProxyType(
    {"edge": edges, "dct": dct, "wavelet": meyer_wavelet, "gradient": gradient, "pixel": lambda image: image}
)
"""Feature name to the function that computes it from ``(…, H, W)`` in [0, 1]."""
