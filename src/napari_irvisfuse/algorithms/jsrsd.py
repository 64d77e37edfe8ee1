"""Joint sparse representation with saliency detection (Liu, Qi, Ding, Infrared Physics & Technology 83, 2017)."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

import torch

from napari_irvisfuse.runtime import Runtime
from napari_irvisfuse.sparse.omp import Codes
from napari_irvisfuse.sparse.patches import bands

from ._joint_sparse import CodedPair, JointSparse, JointSparseParameters, at_centres, shares
from .base import Map, option

__all__ = ["JSRSD", "JSRSDParameters"]


@dataclass(frozen=True)
class JSRSDParameters(JointSparseParameters):
    """Parameters of the JSRSD fusion; defaults are the published ones."""

    local_share: float = option(
        0.4, "Share of local saliency, contrast with the neighbours; the rest is global.", bounds=(0, 1), live=True
    )
    window: int = option(5, "Side of the neighbourhood of local saliency, in patches.", bounds=(3, 9), step=2)
    distance_weight: float = option(2.0, "How fast neighbours count less with their distance.", bounds=(0, 100))
    common_gain: float = option(
        1.0, "Factor on what both images share; 1 is the published one.", bounds=(0, 2), live=True
    )


class JSRSD(JointSparse[JSRSDParameters]):
    """What is in one image alone is weighed by how salient it is, in itself and among its neighbours."""

    name = "jsrsd"
    title = "JSRSD"
    summary = "As JSR, weighed by saliency of the codes, and without its brightening. No network needed."
    reference = (
        "Liu, Qi, Ding: Infrared and visible image fusion method based on saliency detection in sparse domain."
        " Infrared Physics & Technology 83 (2017) 94–102"
    )
    doi = "10.1016/j.infrared.2017.04.018"
    parameters_type = JSRSDParameters

    def receptive_field(self, parameters: JSRSDParameters, weights: Path | None = None) -> int | None:
        """Return how far patches and their neighbours reach."""
        reach = super().receptive_field(parameters, weights)
        return None if reach is None else reach + parameters.window // 2

    def analyse(
        self, ir: torch.Tensor, visible: torch.Tensor, parameters: JSRSDParameters, runtime: Runtime
    ) -> CodedPair:
        """Code the patches, and compare each code with its neighbours'."""
        state = super().analyse(ir, visible, parameters, runtime)
        contrasts = [
            _contrast(codes, len(atoms), state, parameters, runtime)
            for atoms, codes in zip(state.atoms, state.codes, strict=True)
        ]
        return dataclasses.replace(state, saliency=torch.stack(contrasts, 1))

    def _weights(
        self, state: CodedPair, parameters: JSRSDParameters
    ) -> tuple[torch.Tensor, dict[str, Map[torch.Tensor]]]:
        """Mix local and global saliency; near the border, where neighbours are missing, the rule is that of JSR."""
        assert state.saliency is not None
        radius = parameters.window // 2
        inside = (..., slice(radius, -radius), slice(radius, -radius))
        local = 1 - torch.exp(-state.saliency)
        share = parameters.local_share
        saliency = state.activity.clone()
        saliency[inside] = share * local[inside] + (1 - share) * state.activity[inside]
        maps: dict[str, Map[torch.Tensor]] = {}
        for k, (name, title) in enumerate((("ir", "IR"), ("visible", "Visible"))):
            maps[f"{name}_local_saliency"] = Map(
                at_centres(local[k], state.size), "weight", f"{title} local saliency", "saliency"
            )
            maps[f"{name}_saliency"] = Map(
                at_centres(saliency[k], state.size), "energy", f"{title} saliency", "saliency"
            )
        return shares(saliency), maps

    def _common_gain(self, parameters: JSRSDParameters) -> float:
        return parameters.common_gain


def _contrast(
    codes: Codes, count: int, state: CodedPair, parameters: JSRSDParameters, runtime: Runtime
) -> torch.Tensor:
    """Return the mean of ‖u − u'‖₂ / (1 + c·distance) over the neighbours of every patch, ``(2, h, w)``.

    Neighbours beyond the border count as equal. ‖u − u'‖² = ‖u‖² + ‖u'‖² − 2 u·u', and the product of two sparse codes
    is a look-up of one's few atoms in the other. Each pair of neighbours is compared once, for both of them.
    """
    height, width = state.activity.shape[-2:]
    radius = parameters.window // 2
    sparsity = codes.values.shape[1]
    atoms = codes.atoms.long().clamp_min(0).view(height, width, sparsity)
    part = torch.where(codes.atoms >= 0, codes.atoms // count, 0).view(height, width, sparsity)
    values = codes.values.view(height, width, sparsity)
    alone = [torch.where(part == k, values, 0) for k in (1, 2)]
    squares = torch.stack([item.square().sum(-1) for item in alone])
    total = torch.zeros_like(squares)
    offsets = [
        (down, right) for down in range(radius + 1) for right in range(-radius, radius + 1) if down > 0 or right > 0
    ]
    shape = (height + state.size - 1, width + state.size - 1)
    for rows in bands(shape, state.size, values.device):
        runtime.check()
        pieces = codes.part(slice(rows.start * width, rows.stop * width))
        dense = pieces.dense(3 * count).view(-1, width, 3 * count)
        for down, right in offsets:
            stop = min(rows.stop, height - down)
            if stop <= rows.start or abs(right) >= width:
                continue
            here = (slice(rows.start, stop), slice(max(0, -right), width - max(0, right)))
            there = (slice(rows.start + down, stop + down), slice(max(0, right), width - max(0, -right)))
            met = dense[: stop - rows.start, here[1]].gather(-1, atoms[there])
            weight = 1 / (1 + parameters.distance_weight * math.hypot(down, right))
            for k in range(2):
                product = (met * alone[k][there]).sum(-1)
                apart = squares[k][here] + squares[k][there] - 2 * product
                distance = apart.clamp_min(0).sqrt() * weight
                total[k][here] += distance
                total[k][there] += distance
    return total / (parameters.window**2 - 1)
