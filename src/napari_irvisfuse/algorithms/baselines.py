"""Average and maximum: what every table of results has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from napari_irvisfuse.runtime import Runtime

from .base import Fusion, FusionMethod, Map, Parameters, option

__all__ = ["Average", "Maximum"]

Pair = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class AverageParameters(Parameters):
    """Parameters of the average."""

    ir_weight: float = option(
        0.5, "Share of the infrared image; the visible image has the rest.", bounds=(0, 1), live=True
    )


class Average(FusionMethod[AverageParameters, Pair]):
    """Weighted mean of the two images."""

    name = "average"
    title = "Average"
    summary = "Mean of both images: nothing is lost, nothing stands out."
    baseline = True
    parameters_type = AverageParameters

    def receptive_field(self, parameters: AverageParameters, weights: Path | None = None) -> int:
        """Return 0: every pixel stands for itself."""
        return 0

    def analyse(self, ir: torch.Tensor, visible: torch.Tensor, parameters: AverageParameters, runtime: Runtime) -> Pair:
        """Keep the two images."""
        return ir, visible

    def combine(self, state: Pair, parameters: AverageParameters, runtime: Runtime) -> Fusion:
        """Mix them."""
        ir, visible = state
        return Fusion(torch.lerp(visible, ir, parameters.ir_weight), {})


class Maximum(FusionMethod[Parameters, Pair]):
    """Pixel-wise maximum."""

    name = "max"
    title = "Maximum"
    summary = "The brighter of the two images at every pixel: hot and lit things survive, shadows do not."
    baseline = True

    def receptive_field(self, parameters: Parameters, weights: Path | None = None) -> int:
        """Return 0: every pixel stands for itself."""
        return 0

    def analyse(self, ir: torch.Tensor, visible: torch.Tensor, parameters: Parameters, runtime: Runtime) -> Pair:
        """Keep the two images."""
        return ir, visible

    def combine(self, state: Pair, parameters: Parameters, runtime: Runtime) -> Fusion:
        """Choose, and say which image was chosen."""
        ir, visible = state
        fused = torch.maximum(ir, visible)
        if not runtime.maps:
            return Fusion(fused, {})
        chosen = torch.where(ir > visible, 1, 2).to(torch.uint8)
        return Fusion(
            fused,
            {"chosen": Map(chosen, "index", "Chosen image", "weight", labels=("infrared", "visible"))},
        )
