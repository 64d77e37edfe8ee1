"""Cross bilateral filter fusion (Shreyamsha Kumar, Signal, Image and Video Processing 9, 2015)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from napari_irvisfuse.images.filters import pad
from napari_irvisfuse.runtime import Runtime

from .base import Fusion, FusionMethod, Map, Parameters, option

__all__ = ["CBF", "CBFParameters"]

_WIDEST = 31  # pixels
_LEVELS = 255.0  # the paper counts grey levels
_STRIP = 1 << 17  # pixels of one image at a time: bounds the memory; smaller pieces keep several threads waiting
_EPSILON = torch.finfo(torch.float64).eps / _LEVELS**2  # the published code's weight of a window without any detail


@dataclass(frozen=True)
class CBFParameters(Parameters):
    """Parameters of the CBF fusion; defaults are the author's."""

    spatial_sigma: float = option(1.8, "σ_s: how far the filter smooths, in pixels (equation 2).", bounds=(0.3, 10))
    range_sigma: float = option(
        25.0, "σ_r: how large a step of the other image is an edge to keep, in 8-bit levels.", bounds=(1, 255)
    )
    window: int = option(11, "Side of the filter in pixels, odd.", bounds=(3, _WIDEST), step=2)
    covariance_window: int = option(
        5, "Side of the window whose covariances say how strong detail is, odd.", bounds=(3, _WIDEST), step=2, live=True
    )


@dataclass(frozen=True)
class _Layers:
    """Both images and what the filter took away; first of the batch is infrared, second visible."""

    images: torch.Tensor  # (2, N, 1, H, W)
    details: torch.Tensor


class CBF(FusionMethod[CBFParameters, _Layers]):
    """Each image is smoothed along the edges of the other; the more is lost by that, the more it weighs."""

    name = "cbf"
    title = "CBF"
    summary = (
        "Smooths each image along the other's edges; weighs pixels by the detail that this takes. No network needed."
    )
    reference = (
        "Shreyamsha Kumar: Image fusion based on pixel significance using cross bilateral filter. "
        "Signal, Image and Video Processing 9 (2015) 1193–1204"
    )
    doi = "10.1007/s11760-013-0556-9"
    parameters_type = CBFParameters

    def receptive_field(self, parameters: CBFParameters, weights: Path | None = None) -> int:
        """Return how far the filter and, after it, the largest covariance windows reach."""
        return parameters.window // 2 + _WIDEST // 2

    def analyse(self, ir: torch.Tensor, visible: torch.Tensor, parameters: CBFParameters, runtime: Runtime) -> _Layers:
        """Take the detail that the cross bilateral filter removes (equations 3 to 6 of the paper)."""
        images = torch.stack([ir, visible])
        height, width = images.shape[-2:]
        radius = parameters.window // 2
        padded = pad(images, radius, radius, "reflect")
        details = torch.empty_like(images)
        rows = max(parameters.window, _STRIP // (width * len(ir)))
        for top in range(0, height, rows):
            runtime.step(top, height, "Filtering")
            strip = padded[..., top : top + rows + 2 * radius, :]
            details[..., top : top + rows, :] = _cross_bilateral_detail(strip, parameters)
        return _Layers(images, details)

    def combine(self, state: _Layers, parameters: CBFParameters, runtime: Runtime) -> Fusion:
        """Weigh every pixel by the strength of detail around it (equations 7 to 11)."""
        runtime.check()
        strength = _detail_strength(state.details, parameters.covariance_window)
        share = torch.where(strength > 0, strength, _EPSILON)
        share = share / share.sum(0)
        fused = (share * state.images).sum(0)
        if not runtime.maps:
            return Fusion(fused, {})
        ir_base, visible_base = state.images - state.details
        return Fusion(
            fused,
            {
                "ir_base": Map(ir_base, "intensity", "IR base", "base"),
                "visible_base": Map(visible_base, "intensity", "Visible base", "base"),
                "ir_detail": Map(state.details[0], "signed", "IR detail", "detail"),
                "visible_detail": Map(state.details[1], "signed", "Visible detail", "detail"),
                "ir_strength": Map(strength[0], "energy", "IR detail strength", "saliency"),
                "visible_strength": Map(strength[1], "energy", "Visible detail strength", "saliency"),
                "ir_weight": Map(share[0], "weight", "IR weight", "weight"),
                "visible_weight": Map(share[1], "weight", "Visible weight", "weight"),
            },
        )


def _cross_bilateral_detail(padded: torch.Tensor, parameters: CBFParameters) -> torch.Tensor:
    """Return what the filter takes from each of two images if the other one says where edges are.

    Parameters
    ----------
    padded
        ``(2, N, 1, h + 2r, w + 2r)``, r the filter's radius.

    Returns
    -------
    ``(2, N, 1, h, w)``, image minus filtered image.

    Notes
    -----
    The difference is summed up in place of the filtered image, so that flat regions give exactly 0. A pair of pixels
    has one weight whichever of both is filtered, so half of the offsets are enough: what p gets from p + d is, with
    the opposite sign, what p + d gets from p.
    """
    radius = parameters.window // 2
    height, width = (side - 2 * radius for side in padded.shape[-2:])
    sharpness = -0.5 * (_LEVELS / parameters.range_sigma) ** 2
    detail = torch.zeros_like(padded[..., :height, :width])
    total = torch.ones_like(detail)
    for down in range(radius + 1):
        for right in range(-radius if down else 1, radius + 1):
            closeness = math.exp(-0.5 * (down**2 + right**2) / parameters.spatial_sigma**2)
            # p from d before the strip to its end, so that p and p − d are both in it
            before = max(right, 0)
            area = (height + down, width + abs(right))
            here = _part(padded, radius - down, radius - before, area)
            there = _part(padded, radius, radius - before + right, area)
            step = there - here
            weight = (step.square().mul_(sharpness)).exp_().mul_(closeness).flip(0)
            pull = step.mul_(weight)
            ahead = (down, before)
            behind = (0, before - right)
            for target, amount, sign in ((detail, pull, -1), (total, weight, 1)):
                target.add_(_part(amount, *ahead, (height, width)), alpha=sign)
                target.add_(_part(amount, *behind, (height, width)))
    return detail.div_(total)


def _part(image: torch.Tensor, top: int, left: int, size: tuple[int, int]) -> torch.Tensor:
    return image[..., top : top + size[0], left : left + size[1]]


def _detail_strength(details: torch.Tensor, window: int) -> torch.Tensor:
    """Sum up the eigenvalues of the covariance matrices of the rows and of the columns of ``window``² pixels.

    The eigenvalues of a matrix sum up to its trace, here the unbiased variances of all rows and of all columns.
    """
    radius = window // 2
    padded = pad(details, radius, radius, "reflect")
    across = _variance(_neighbours(padded, window, -1))
    down = _variance(_neighbours(padded, window, -2))
    return _sum(_neighbours(across, window, -2)) + _sum(_neighbours(down, window, -1))


def _neighbours(image: torch.Tensor, window: int, axis: int) -> list[torch.Tensor]:
    """Return the first, the second … pixel of every window along ``axis``, as views."""
    length = image.shape[axis] - window + 1
    return [image.narrow(axis, offset, length) for offset in range(window)]


def _variance(values: list[torch.Tensor]) -> torch.Tensor:
    mean = _sum(values).div_(len(values))
    return _sum((value - mean).square_() for value in values).div_(len(values) - 1)


def _sum(values: Iterable[torch.Tensor]) -> torch.Tensor:
    remaining = iter(values)
    total = next(remaining).clone()
    for value in remaining:
        total += value
    return total
