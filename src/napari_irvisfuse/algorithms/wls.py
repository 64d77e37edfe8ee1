"""Visual saliency and weighted least squares (Ma, Zhou, Wang, Zong, Infrared Physics & Technology 82, 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch

from napari_irvisfuse.images.filters import box_mean, gaussian, guided_filter_by, histogram_saliency
from napari_irvisfuse.runtime import Runtime

from .base import Fusion, FusionMethod, Map, Parameters, option

__all__ = ["WLS", "WLSParameters"]

_SCALES = (2, 4, 8)
_RANGE_SIGMA = 0.05
_TINY = 1e-6


@dataclass(frozen=True)
class WLSParameters(Parameters):
    """Parameters of the WLS fusion; defaults are the authors'."""

    iterations: int = option(
        4, "Rolling guidance iterations: more keep edges sharper while small structure goes.", bounds=(1, 10)
    )
    regularisation: float = option(
        0.01, "λ: how strongly detail follows the visible image where infrared has none.", bounds=(0, 10), live=True
    )
    saliency_weight: float = option(
        0.5, "How far visual saliency shifts the base layer from the plain mean.", bounds=(0, 0.5), live=True
    )
    detail_gain: float = option(1.0, "Factor on the fused detail; 1 is the paper's.", bounds=(0, 4), live=True)


@dataclass(frozen=True)
class _Layers:
    """Everything that the images and the decomposition decide; first of the batch is visible, second infrared."""

    details: list[torch.Tensor]  # finest first, each (2, N, 1, H, W)
    base: torch.Tensor
    saliency: torch.Tensor


class WLS(FusionMethod[WLSParameters, _Layers]):
    """Multi-scale decomposition by rolling guidance; detail by weighted least squares, base by saliency."""

    name = "wls"
    title = "WLS"
    summary = "Edge-keeping decomposition; salient base, visible texture where infrared is flat. No network needed."
    reference = (
        "Ma, Zhou, Wang, Zong: Infrared and visible image fusion based on visual saliency map and weighted"
        " least square optimization. Infrared Physics & Technology 82 (2017) 8–17"
    )
    doi = "10.1016/j.infrared.2017.02.005"
    parameters_type = WLSParameters
    looks_everywhere = "compares every grey level with all others of the image"

    def halo(self, parameters: WLSParameters, weights: Path | None = None) -> int:
        """Return eight times the coarsest scale: what lies beyond changes nothing but the saliency."""
        return 8 * _SCALES[-1]

    def analyse(self, ir: torch.Tensor, visible: torch.Tensor, parameters: WLSParameters, runtime: Runtime) -> _Layers:
        """Decompose both images and find what is salient in them (sections 3.1 and 3.2 of the paper)."""
        both = torch.cat([visible, ir])
        layers = [both]
        steps = len(_SCALES) * parameters.iterations + 1
        for number, scale in enumerate(_SCALES):
            image = layers[-1]
            smooth = gaussian(image, scale, radius=3 * scale)
            apply = guided_filter_by(image, scale, _RANGE_SIGMA**2)
            for iteration in range(parameters.iterations):
                runtime.step(number * parameters.iterations + iteration, steps, f"Decomposing, scale {scale}")
                smooth = apply(smooth)
            layers.append(smooth)
        layers.append(gaussian(layers[-1], 2, radius=6))
        runtime.step(steps - 1, steps, "Finding what is salient")
        n = len(ir)

        def split(stacked: torch.Tensor) -> torch.Tensor:
            return stacked.view(2, n, *stacked.shape[1:])

        details = [split(finer - coarser) for finer, coarser in pairwise(layers)]
        return _Layers(details, split(layers[-1]), split(histogram_saliency(both)))

    def combine(self, state: _Layers, parameters: WLSParameters, runtime: Runtime) -> Fusion:
        """Fuse base (equation 11) and details (equations 12 to 17)."""
        s1, s2 = state.saliency
        weight = 0.5 + parameters.saliency_weight * (s1 - s2)
        base = weight * state.base[0] + (1 - weight) * state.base[1]

        fused_details = []
        decisions = []
        for level, (d1, d2) in enumerate(state.details):
            runtime.check()
            chosen = (d1.abs() >= d2.abs()).to(d1.dtype)
            if level > 0:
                chosen = gaussian(chosen, 2, radius=6, border="symmetric")
            mixed = chosen * d1 + (1 - chosen) * d2
            if level > 0:
                # (I + λA) d = M + λA·d₁ with A diagonal: a weighted mean of the mix and the visible detail
                pull = parameters.regularisation / (box_mean(d2, 3).abs() + _TINY)
                mixed = (mixed + pull * d1) / (1 + pull)
            fused_details.append(mixed * parameters.detail_gain)
            decisions.append(chosen)
        detail = torch.stack(fused_details).sum(0)
        if not runtime.maps:
            return Fusion(base + detail, {})

        maps: dict[str, Map[torch.Tensor]] = {
            "ir_base": Map(state.base[1], "intensity", "IR base", "base"),
            "visible_base": Map(state.base[0], "intensity", "Visible base", "base"),
            "fused_base": Map(base, "intensity", "Fused base", "base"),
            "fused_detail": Map(detail, "signed", "Fused detail", "detail"),
            "ir_saliency": Map(s2, "weight", "IR saliency", "saliency"),
            "visible_saliency": Map(s1, "weight", "Visible saliency", "saliency"),
            "base_weight": Map(weight, "weight", "Visible share of the base", "weight"),
        }
        for level, ((d1, d2), mixed, chosen) in enumerate(
            zip(state.details, fused_details, decisions, strict=True), start=1
        ):
            maps[f"ir_detail_{level}"] = Map(d2, "signed", f"IR detail {level}", "detail")
            maps[f"visible_detail_{level}"] = Map(d1, "signed", f"Visible detail {level}", "detail")
            maps[f"fused_detail_{level}"] = Map(mixed, "signed", f"Fused detail {level}", "detail")
            maps[f"decision_{level}"] = Map(chosen, "weight", f"Visible share of detail {level}", "weight")
        return Fusion(base + detail, maps)
