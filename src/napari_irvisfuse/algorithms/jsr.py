"""Joint sparse representation (Zhang, Fu, Li, Zou, Optical Engineering 52, 2013)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ._joint_sparse import CodedPair, JointSparse, JointSparseParameters, shares
from .base import Map, option

__all__ = ["JSR", "JSRParameters"]


@dataclass(frozen=True)
class JSRParameters(JointSparseParameters):
    """Parameters of the JSR fusion; defaults are the published ones."""

    common_gain: float = option(
        math.sqrt(2),
        "Factor on what both images share; √2 is the published code's and brightens, 1 keeps the brightness.",
        bounds=(0, 2),
        live=True,
    )


class JSR(JointSparse[JSRParameters]):
    """What is in one image alone is weighed by how much of it there is."""

    name = "jsr"
    title = "JSR"
    summary = "Patches coded as what both images share and what one has alone. Brightens; no network needed."
    reference = (
        "Zhang, Fu, Li, Zou: Dictionary learning method for joint sparse representation-based image fusion."
        " Optical Engineering 52 (2013) 057006"
    )
    doi = "10.1117/1.OE.52.5.057006"
    parameters_type = JSRParameters

    def _weights(
        self, state: CodedPair, parameters: JSRParameters
    ) -> tuple[torch.Tensor, dict[str, Map[torch.Tensor]]]:
        """Compare the ℓ1 norms of the innovations."""
        return shares(state.activity), {}

    def _common_gain(self, parameters: JSRParameters) -> float:
        return parameters.common_gain
