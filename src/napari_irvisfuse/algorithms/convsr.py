"""Fusion by convolutional sparse representation (Liu, Chen, Ward, Wang, IEEE Signal Processing Letters 23, 2016)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from napari_irvisfuse.errors import WeightsError
from napari_irvisfuse.images.filters import box_mean
from napari_irvisfuse.images.lowpass import tikhonov_lowpass
from napari_irvisfuse.runtime import Runtime
from napari_irvisfuse.sparse.convolutional import CodingOptions, FilterBank, SparseMaps, sparse_code
from napari_irvisfuse.sparse.dictionaries import load_dictionary, read_dictionary

from .base import Fusion, FusionMethod, Map, Parameters, option

__all__ = ["ConvSR", "ConvSRParameters"]


_WIDEST = 63  # pixels


@dataclass(frozen=True)
class ConvSRParameters(Parameters):
    """Parameters of the ConvSR fusion; defaults are the authors' for images of several sensors."""

    window: int = option(
        7,
        "Side of the window in which activity is averaged before the larger wins, odd.",
        bounds=(1, _WIDEST),
        step=2,
        live=True,
    )
    base_rule: str = option(
        "mean",
        "Base layer: the mean of both, or that of the image whose detail is chosen.",
        choices=("mean", "decision"),
        live=True,
    )
    detail_gain: float = option(1.0, "Factor on the fused detail; 1 is the paper's.", bounds=(0, 4), live=True)
    sparsity: float = option(
        0.01, "λ: how much a coefficient costs; more leaves weak texture out of the detail.", bounds=(0.001, 1)
    )
    iterations: int = option(500, "Most iterations of the solver (ADMM) for each image.", bounds=(1, 2000))
    tolerance: float = option(1e-3, "Relative residual at which the solver stops.", bounds=(1e-6, 0.1))
    lowpass: float = option(
        5.0, "λ of the Tikhonov low-pass that makes the base.", bounds=(0.01, 1000), title="low-pass λ"
    )


@dataclass(frozen=True)
class _Codes:
    """Both images, taken apart; in every tensor the first dimension is infrared, visible."""

    base: torch.Tensor  # (2, N, 1, H, W)
    detail: torch.Tensor
    activity: torch.Tensor
    maps: list[list[SparseMaps]]  # of each image, of each of the batch
    dictionary: torch.Tensor


class ConvSR(FusionMethod[ConvSRParameters, _Codes]):
    """Detail as few filters, each at few places: where one image needs more of them, its detail is taken.

    Parameters
    ----------
    dictionary
        Filters ``(M, h, w)`` of your own; those that come with the package if not given.
    """

    name = "convsr"
    title = "ConvSR"
    summary = "Codes detail sparsely over 32 small learnt filters; the busier image gives it. No network needed, slow."
    reference = (
        "Liu, Chen, Ward, Wang: Image fusion with convolutional sparse representation. "
        "IEEE Signal Processing Letters 23 (2016) 1882–1886"
    )
    doi = "10.1109/LSP.2016.2618776"
    accepts_dictionary = True
    parameters_type = ConvSRParameters
    looks_everywhere = "codes the whole image at once"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "multi-modal": {},
        "multi-focus": {"window": 19, "base_rule": "decision"},
    }

    def halo(self, parameters: ConvSRParameters, weights: Path | None = None) -> int:
        """Return what low-pass, filters and the widest window need; codes hang together farther, but loosely."""
        return 32 + _WIDEST // 2

    def __init__(self, dictionary: torch.Tensor | None = None) -> None:
        self._own = dictionary

    def analyse(
        self, ir: torch.Tensor, visible: torch.Tensor, parameters: ConvSRParameters, runtime: Runtime
    ) -> _Codes:
        """Split off the base and code the rest (equations 4 and 5 of the paper)."""
        images = torch.stack([ir, visible])
        base = tikhonov_lowpass(images, parameters.lowpass)
        detail = images - base
        dictionary = self._dictionary(runtime).to(images)
        options = CodingOptions(
            sparsity=parameters.sparsity,
            penalty=100 * parameters.sparsity + 0.5,
            iterations=parameters.iterations,
            tolerance=parameters.tolerance,
        )

        def tick(done: int, total: int) -> None:
            runtime.step(done, total, "Coding detail")

        coded = sparse_code(detail.flatten(0, 1), dictionary, options, tick=tick, check=runtime.check)
        activity = torch.stack([item.activity() for item in coded]).view_as(images)
        return _Codes(base, detail, activity, [coded[: len(ir)], coded[len(ir) :]], dictionary)

    def combine(self, state: _Codes, parameters: ConvSRParameters, runtime: Runtime) -> Fusion:
        """Let the more active image give its coefficients (equations 6 to 9)."""
        smooth = box_mean(state.activity, parameters.window // 2, "zero")
        chosen = smooth[0] > smooth[1]
        details = []
        for ir, visible, choice in zip(*state.maps, chosen, strict=True):
            runtime.check()
            details.append(_fuse_detail(ir, visible, choice[0], state.dictionary, runtime))
        detail = torch.stack(details)[:, None] * parameters.detail_gain
        ir_base, visible_base = state.base
        base = torch.where(chosen, ir_base, visible_base) if parameters.base_rule == "decision" else state.base.mean(0)
        if not runtime.maps:
            return Fusion(base + detail, {})
        index = torch.where(chosen, 1, 2).to(torch.uint8)
        return Fusion(
            base + detail,
            {
                "ir_base": Map(ir_base, "intensity", "IR base", "base"),
                "visible_base": Map(visible_base, "intensity", "Visible base", "base"),
                "fused_base": Map(base, "intensity", "Fused base", "base"),
                "ir_detail": Map(state.detail[0], "signed", "IR detail", "detail"),
                "visible_detail": Map(state.detail[1], "signed", "Visible detail", "detail"),
                "fused_detail": Map(detail, "signed", "Fused detail", "detail"),
                "ir_energy": Map(state.activity[0], "energy", "IR coefficients", "feature"),
                "visible_energy": Map(state.activity[1], "energy", "Visible coefficients", "feature"),
                "ir_activity": Map(smooth[0], "energy", "IR activity", "saliency"),
                "visible_activity": Map(smooth[1], "energy", "Visible activity", "saliency"),
                "decision": Map(index, "index", "Chosen detail", "weight", labels=("infrared", "visible")),
            },
        )

    def _dictionary(self, runtime: Runtime) -> torch.Tensor:
        """Return the filters given in Python, else those of the weights file, else ours."""
        if self._own is not None:
            dictionary, source = self._own, "The dictionary"
        elif runtime.weights is not None:
            dictionary, source = read_dictionary(runtime.weights), str(runtime.weights)
        else:
            return load_dictionary(self.name)
        if dictionary.ndim != 3 or max(dictionary.shape[1:]) > 16:
            raise WeightsError(f"{source} is no convolutional dictionary: filters (M, h, w) of up to 16×16 are needed.")
        return dictionary


def _fuse_detail(
    ir: SparseMaps, visible: SparseMaps, chosen: torch.Tensor, dictionary: torch.Tensor, runtime: Runtime
) -> torch.Tensor:
    """Return the image ``(H, W)`` of the coefficients of ``ir`` where ``chosen``, of ``visible`` elsewhere."""
    maps = ir.kept(chosen).dense()
    other = visible.kept(~chosen)
    maps.view(-1)[other.index] = other.values
    bank = FilterBank(dictionary, (chosen.shape[0], chosen.shape[1]))
    return bank.synthesise(lambda rows: maps[:, rows], runtime.check)
