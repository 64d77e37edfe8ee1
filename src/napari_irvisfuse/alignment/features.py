"""What infrared and visible images have in common: not how bright things are, but where edges run and which way.

A warm thing may be dark or bright in the other image, so an edge may lead from dark to bright in one and from bright to
dark in the other; its direction modulo 180° is the same.

References
----------
Ye, Bruzzone, Shan, Bovolo, Zhu: Fast and robust matching for multimodal remote sensing image registration, IEEE
Transactions on Geoscience and Remote Sensing 57, 2019 (channel features of orientated gradients, compared by FFT). What
is done here differs in the local contrast, which is taken out, and in the part that all orientations share, which says
nothing about edges and is taken out too.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from napari_irvisfuse.images.filters import gaussian

__all__ = ["edges", "rotate", "similarity"]

_ORIENTATIONS = 8
_FINE, _SPREAD, _AROUND = 1.0, 1.5, 12.0  # σ in pixels: of the gradient, of its place, of the contrast around it
_NOISE = 0.005  # gradient per pixel of a unit image that counts as half an edge in an otherwise empty place
_WEAK = 0.05
_RIM = 3  # a border has an edge of its own that no camera saw


def edges(luma: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Describe the edges of an image.

    Parameters
    ----------
    luma
        ``(H, W)`` in [0, 1].
    valid
        ``(H, W)``, 1 where it has values; elsewhere and close by there are no edges.

    Returns
    -------
    ``(8, H, W)``: how much more of each direction there is than of all together, of length below 1 at each pixel.
    """
    smooth = gaussian(luma, _FINE, radius=3)
    down = F.pad(smooth[2:] - smooth[:-2], (0, 0, 1, 1)) / 2
    right = F.pad(smooth[:, 2:] - smooth[:, :-2], (1, 1)) / 2
    strength = torch.hypot(down, right) * _inner(valid)
    relative = strength / (gaussian(strength, _AROUND, radius=30) + _NOISE)
    relative = relative / (1 + relative)  # a strong edge counts as two, not as twenty
    direction = torch.atan2(down, right) % math.pi * (_ORIENTATIONS / math.pi)
    bins = torch.arange(_ORIENTATIONS, dtype=luma.dtype)[:, None, None]
    apart = (direction - bins).abs()
    share = (1 - torch.minimum(apart, _ORIENTATIONS - apart)).clamp(min=0)
    channels = gaussian(share * relative, _SPREAD, radius=5)
    channels = 0.5 * channels + 0.25 * (channels.roll(1, 0) + channels.roll(-1, 0))
    channels = channels - channels.mean(0)
    channels = channels / (channels.norm(dim=0) + _WEAK)
    # once more, or the values between pixels would depend on how far they are from the next one
    return gaussian(channels, _FINE, radius=3)


def rotate(channels: torch.Tensor, angle: float) -> torch.Tensor:
    """Return what the description becomes when the image is turned by so many radians, from rows towards columns."""
    steps = angle * _ORIENTATIONS / math.pi
    whole = math.floor(steps)
    part = steps - whole
    return (1 - part) * channels.roll(-whole, 0) + part * channels.roll(-whole - 1, 0)


def _inner(valid: torch.Tensor) -> torch.Tensor:
    size = 2 * _RIM + 1
    return 1 - F.max_pool2d(F.pad(1 - valid[None], (_RIM,) * 4, value=1.0), size, stride=1)[0]


def similarity(one: torch.Tensor, other: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """Correlate two descriptions of edges, ``(8, H, W)`` each, where ``seen`` is 1; in [−1, 1]."""
    product = (one * other * seen).sum()
    sizes = (one.square() * seen).sum() * (other.square() * seen).sum()
    return product / sizes.clamp(min=1e-12).sqrt()
