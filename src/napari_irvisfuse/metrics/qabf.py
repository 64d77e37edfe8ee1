"""Q^AB/F: how much of the edges of both sources arrives in the fused image (Xydeas and Petrović)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch

from napari_irvisfuse.images.filters import pad
from napari_irvisfuse.maps import Map

from .sobel_orders import sobel_by_products

__all__ = ["qabf", "qabf_map", "qabf_quality"]

STRENGTH = (0.9994, 15.0, 0.5)
"""Height, steepness and middle of the sigmoid that says how well the strength of an edge is kept."""
ORIENTATION = (0.9879, 22.0, 0.8)
"""The same for its orientation."""


class _Edges(NamedTuple):
    strength: torch.Tensor
    orientation: torch.Tensor


def _edges(image: torch.Tensor) -> _Edges:
    right, down = sobel_by_products(pad(image, 1, 1, "zero"))
    strength = (right * right + down * down).sqrt()
    # The published kernel points to the left, which matters where an edge is level: that counts as +π/2.
    level = right == 0
    orientation = torch.where(level, math.pi / 2, torch.atan(down / torch.where(level, 1, -right)))
    return _Edges(strength, orientation)


def _sigmoid(value: torch.Tensor, height: float, steepness: float, middle: float) -> torch.Tensor:
    return height * torch.sigmoid(steepness * (value - middle))


def _kept(source: _Edges, fused: _Edges) -> torch.Tensor:
    """Return how well each pixel's edge is kept, in [0, 1]."""
    weaker, stronger = torch.minimum(source.strength, fused.strength), torch.maximum(source.strength, fused.strength)
    # Where both are equally strong the published code takes the strength itself in place of the ratio 1.
    ratio = torch.where(weaker == stronger, fused.strength, weaker / torch.where(stronger == 0, 1, stronger))
    turn = 1 - (source.orientation - fused.orientation).abs() / (math.pi / 2)
    return _sigmoid(ratio, *STRENGTH) * _sigmoid(turn, *ORIENTATION)


def _kept_and_wanted(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    edges, a, b = _edges(fused), _edges(ir), _edges(visible)
    return _kept(a, edges) * a.strength + _kept(b, edges) * b.strength, a.strength + b.strength


def qabf(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    """Measure how much edge information of the sources the fused image holds.

    Parameters
    ----------
    fused, ir, visible
        ``(…, H, W)`` in [0, 1].

    Returns
    -------
    torch.Tensor
        ``(…)``, 0 to 0.975; higher is better; symmetric in the sources; 0 where neither source has an edge.

    Notes
    -----
    Σ (Q_AF·g_A + Q_BF·g_B) / Σ (g_A + g_B), where g is the strength of the Sobel edge and Q the product of two
    sigmoids: of the smaller strength over the larger, and of the agreement in orientation.

    As in the code that tables are made with, of which two peculiarities are kept: outside the image is black, so the
    frame counts as an edge, and where both strengths are exactly equal the strength itself is taken for their ratio, so
    that a fused image identical to both sources scores *low* wherever its edges are faint. The value therefore hangs on
    rounding where gradients agree: see :mod:`~napari_irvisfuse.metrics.sobel_orders`.

    References
    ----------
    Xydeas, Petrović: Objective image fusion performance measure, Electronics Letters 36 (2000).
    https://doi.org/10.1049/el:20000267
    """
    kept, wanted = (part.sum(dim=(-2, -1)) for part in _kept_and_wanted(fused, ir, visible))
    return torch.where(wanted == 0, 0, kept / torch.where(wanted == 0, 1, wanted))


def qabf_map(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    """Return the share of the edges that is kept at each pixel, ``(…, H, W)`` in [0, 1]; 0 where there is no edge."""
    kept, wanted = _kept_and_wanted(fused, ir, visible)
    return torch.where(wanted == 0, 0, kept / torch.where(wanted == 0, 1, wanted))


def qabf_quality(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor) -> Mapping[str, Map[torch.Tensor]]:
    """Show where edges of the sources are kept."""
    return {"Qabf": Map(qabf_map(fused, ir, visible), "weight", "Edges kept (Qabf)", "quality")}
