"""What became of the sources' edges: kept (Q^AB/F), lost (L^AB/F) or covered by invented ones (N^AB/F).

The three are shares of one whole: where the sources have any edge, they add up to 1.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from .contrast import sobel

__all__ = ["EdgeShares", "edge_shares", "labf", "nabf", "qabf"]

_STRENGTH = (0.9994, 15.0, 0.5)  # Γ, −κ and σ of the sigmoid for strength
_ORIENTATION = (0.9879, 22.0, 0.8)  # the same for orientation


class EdgeShares(NamedTuple):
    """At every pixel, ``(…, H, W)`` in [0, 1]; all 0 where neither source has an edge."""

    kept: torch.Tensor
    lost: torch.Tensor
    invented: torch.Tensor
    weight: torch.Tensor
    """Strength of the sources' edges, with which the shares are averaged."""


class _Edges(NamedTuple):
    strength: torch.Tensor
    orientation: torch.Tensor


def qabf(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    """Share of the sources' edge information that the fused image holds (Qabf).

    Parameters
    ----------
    fused, ir, visible
        ``(…, H, W)`` in [0, 1]; a common gain and any offsets change nothing.

    Returns
    -------
    torch.Tensor
        ``(…)``, 0 to 0.975, which it is where all three are equal; symmetric in the sources. 0 if neither source has an
        edge.

    Notes
    -----
    Xydeas, Petrović: Objective image fusion performance measure, Electronics Letters 36 (2000) 308–309, with the
    constants given there and weights g¹. Two things are read with care: orientations are compared modulo π (the formula
    taken literally holds −89° and 89° for opposite, as Petrović, Xydeas 2005 put right), and edge pixels are repeated,
    so that the frame of the image is no edge.
    """
    shares = edge_shares(fused, ir, visible)
    return _average(shares.kept, shares.weight)


def labf(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    """Share of the sources' edge information that was lost (Labf).

    Parameters, symmetry and flat sources as for :func:`qabf`.

    Returns
    -------
    torch.Tensor
        ``(…)``, 0 to 1; lower is better. 0.025 where all three are equal, since the sigmoids never reach 1.

    Notes
    -----
    Petrović, Xydeas: Objective image fusion performance characterisation, ICCV 2005, 1866–1871: what is not kept, where
    the fused edge is not stronger than those of both sources.
    """
    shares = edge_shares(fused, ir, visible)
    return _average(shares.lost, shares.weight)


def nabf(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    """Share of the sources' edge information that gave way to edges which neither source has: artefacts (Nabf).

    Parameters, symmetry and flat sources as for :func:`qabf`.

    Returns
    -------
    torch.Tensor
        ``(…)``, 0 to 1; lower is better. Edges where both sources are wholly flat have no weight and are not seen.

    Notes
    -----
    What is not kept, where the fused edge is stronger than those of both sources, in the form of Shreyamsha Kumar:
    Multifocus and multispectral image fusion based on pixel significance using discrete cosine harmonic wavelet
    transform, Signal, Image and Video Processing 7 (2013) 1125–1143, in which Q + L + N = 1. With weights g¹, so the
    images' range does not matter, unlike in published code that weighs by g^1.5 above a threshold in grey levels.
    """
    shares = edge_shares(fused, ir, visible)
    return _average(shares.invented, shares.weight)


def edge_shares(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor) -> EdgeShares:
    """Tell for every pixel which share of the sources' edges was kept, lost, or gave way to invented ones."""
    f, a, b = (_edges(image) for image in (fused, ir, visible))
    weight = a.strength + b.strength
    kept = _kept(a, f) * a.strength + _kept(b, f) * b.strength
    kept = torch.where(weight > 0, kept / weight, 0.0)
    missing = torch.where(weight > 0, 1 - kept, 0.0)
    # not by rounding alone: where a source is copied, strengths are equal but for that
    rounding = 32 * torch.finfo(weight.dtype).eps
    stronger = f.strength > torch.maximum(a.strength, b.strength) + rounding
    return EdgeShares(kept, torch.where(stronger, 0.0, missing), torch.where(stronger, missing, 0.0), weight)


def _average(share: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    total = weight.sum((-2, -1))
    return torch.where(total > 0, (share * weight).sum((-2, -1)) / total, 0.0)


def _edges(image: torch.Tensor) -> _Edges:
    across, down = sobel(image)
    return _Edges(torch.hypot(across, down), torch.atan2(down, across))


def _kept(source: _Edges, fused: _Edges) -> torch.Tensor:
    """How well an edge is kept."""
    weaker, stronger = torch.minimum(source.strength, fused.strength), torch.maximum(source.strength, fused.strength)
    ratio = torch.where(stronger > 0, weaker / stronger, 1.0)
    turned = (source.orientation - fused.orientation).remainder(math.pi)
    agreement = (turned - math.pi / 2).abs() / (math.pi / 2)
    return _sigmoid(ratio, *_STRENGTH) * _sigmoid(agreement, *_ORIENTATION)


def _sigmoid(value: torch.Tensor, height: float, steepness: float, middle: float) -> torch.Tensor:
    return height * torch.sigmoid(steepness * (value - middle))
