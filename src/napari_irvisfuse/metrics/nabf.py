"""N^AB/F: how much of the edges in the fused image is in neither source (Petrović, Xydeas; Shreyamsha Kumar)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch

from napari_irvisfuse.images.filters import pad
from napari_irvisfuse.maps import Map

from .sobel_orders import sobel_by_columns

__all__ = ["nabf", "nabf_map", "nabf_quality"]

STRENGTH = (0.9999, 19.0, 0.5)
"""Height, steepness and middle of the sigmoid that says how well the strength of an edge is kept."""
ORIENTATION = (0.9995, 22.0, 0.5)
"""The same for its orientation."""
STRONG = 2.0
"""Strength from which an edge counts by its strength, in grey levels: on images in [0, 1] hardly any is reached."""
WEAK_WEIGHT = 0.001
EXPONENT = 1.5


class _Edges(NamedTuple):
    strength: torch.Tensor
    orientation: torch.Tensor
    weight: torch.Tensor


def _edges(image: torch.Tensor) -> _Edges:
    """Return the edges of an image that is mirrored about its outermost pixels."""
    x, y = (part / 8 for part in sobel_by_columns(pad(image, 1, 1, "reflect")))
    strength = (y * y + x * x).sqrt()
    # x / 0 is ±∞, of which the arc tangent is ±π/2
    orientation = torch.where(strength == 0, 0, torch.atan(x / torch.where(strength == 0, 1, y)))
    weight = torch.where(strength >= STRONG, strength**EXPONENT, WEAK_WEIGHT)
    return _Edges(strength, orientation, weight)


def _sigmoid(value: torch.Tensor, height: float, steepness: float, middle: float) -> torch.Tensor:
    return height * torch.sigmoid(steepness * (value - middle))


def _kept(source: _Edges, fused: _Edges) -> torch.Tensor:
    """Return how well each pixel's edge is kept, in [0, 1]."""
    weaker, stronger = torch.minimum(source.strength, fused.strength), torch.maximum(source.strength, fused.strength)
    ratio = weaker / torch.where(stronger == 0, 1, stronger)
    turn = ((source.orientation - fused.orientation).abs() - math.pi / 2).abs() * (2 / math.pi)
    return (_sigmoid(ratio, *STRENGTH) * _sigmoid(turn, *ORIENTATION)).sqrt()


def _invented_and_weight(
    fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor, data_range: float
) -> tuple[torch.Tensor, torch.Tensor]:
    if data_range != 1.0:
        # back to whole grey levels: k / 255 · 255 is not always k, and equal gradients would become unequal
        fused, ir, visible = ((image * data_range).round(decimals=9) for image in (fused, ir, visible))
    edges, a, b = _edges(fused), _edges(ir), _edges(visible)
    stronger = (edges.strength > a.strength) & (edges.strength > b.strength)
    lost = (1 - _kept(a, edges)) * a.weight + (1 - _kept(b, edges)) * b.weight
    return torch.where(stronger, lost, 0), a.weight + b.weight


def nabf(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor, *, data_range: float = 1.0) -> torch.Tensor:
    """Measure how much edge information the fused image holds that is in neither source: artefacts.

    Parameters
    ----------
    fused, ir, visible
        ``(…, H, W)`` in [0, 1].
    data_range
        What they are multiplied with first. Published tables use 1, where nearly every pixel weighs the same; the
        thresholds of the measure were made for 255, where strong edges count most.

    Returns
    -------
    torch.Tensor
        ``(…)`` in [0, 1]; lower is better; symmetric in the sources; 0 if no edge of the fused image is stronger than
        those of both sources.

    Notes
    -----
    Σ n·((1 − Q_AF)·w_A + (1 − Q_BF)·w_B) / Σ (w_A + w_B), where n is 1 where the fused edge is stronger than both,
    Q = √(Q_strength·Q_orientation), and w = g^1.5 for edges of strength g ≥ 2, else 0.001.

    References
    ----------
    Petrović, Xydeas: Objective image fusion performance characterisation, ICCV 2005.
    https://doi.org/10.1109/ICCV.2005.175
    Shreyamsha Kumar: Multifocus and multispectral image fusion based on pixel significance using discrete cosine
    harmonic wavelet transform, Signal, Image and Video Processing 7 (2013).
    https://doi.org/10.1007/s11760-012-0361-x
    """
    invented, weight = _invented_and_weight(fused, ir, visible, data_range)
    return invented.sum(dim=(-2, -1)) / weight.sum(dim=(-2, -1))


def nabf_map(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor, *, data_range: float = 1.0) -> torch.Tensor:
    """Return how much of an edge was invented at each pixel, ``(…, H, W)`` in [0, 1]; 0 where none was."""
    invented, weight = _invented_and_weight(fused, ir, visible, data_range)
    return invented / weight


def nabf_quality(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor) -> Mapping[str, Map[torch.Tensor]]:
    """Show where artefacts are invented."""
    return {"N_abf": Map(nabf_map(fused, ir, visible), "weight", "Artefacts (N_abf)", "quality")}
