"""What JSR and JSRSD share: patches coded as what both images have in common and what is in one of them alone."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
import torch.nn.functional as F

from napari_irvisfuse.errors import ParameterError, WeightsError
from napari_irvisfuse.runtime import Runtime
from napari_irvisfuse.sparse.dictionaries import load_dictionary, read_dictionary
from napari_irvisfuse.sparse.ksvd import learn
from napari_irvisfuse.sparse.omp import Codes, joint_omp
from napari_irvisfuse.sparse.patches import Blend, Overlap, bands, extract
from napari_irvisfuse.sparse.ties import settle, settle_as_published

from .base import Fusion, FusionMethod, Map, Parameters, option

__all__ = ["CodedPair", "JointSparse", "JointSparseParameters"]

_PATCH = 7
_LEARNING_STEP = 3  # pixels between the patches that a pair's own dictionary is learnt from
_ATOMS = 256
_LARGEST_PATCH = 16  # the smallest image that can be fused
_UNIT = 1e-6  # how far from 1 a norm may be by rounding


@dataclass(frozen=True)
class JointSparseParameters(Parameters):
    """Parameters of both methods."""

    sparsity: int = option(16, "How many atoms a pair of patches is coded with.", bounds=(1, 49))
    dictionary: str = option(
        "shipped",
        "shipped: atoms that fit all scenes; pair: learnt from these two images first, as published, which takes long.",
        choices=("shipped", "pair"),
    )
    learning_steps: int = option(50, "Steps of K-SVD when the dictionary is learnt from the pair.", bounds=(1, 500))
    overlap: str = option(
        "average",
        "How patches make an image: their mean, or as published each averaged with what is there, which blurs less.",
        choices=("average", "published"),
    )
    detail_gain: float = option(
        1.0, "Factor on what is in one image alone; 1 is the paper's.", bounds=(0, 4), live=True
    )


ParametersT = TypeVar("ParametersT", bound=JointSparseParameters)


@dataclass(frozen=True)
class CodedPair:
    """What the codes say; h = H − s + 1 and w = W − s + 1 patches of side s.

    Parameters
    ----------
    atoms
        For each pair its dictionary, ``(K, s²)``.
    codes
        For each pair the codes of its patches, row by row.
    common
        What both images share, ``(N, 1, H, W)``.
    innovations
        What is in infrared and in visible alone, ``(2, N, 1, H, W)``; ``(0, N, 1, H, W)`` if no maps are wanted.
    activity
        ‖u‖₁ of each patch and image, ``(2, N, h, w)``.
    saliency
        What a method adds to it, or None.
    """

    atoms: list[torch.Tensor]
    codes: list[Codes]
    common: torch.Tensor
    innovations: torch.Tensor
    activity: torch.Tensor
    saliency: torch.Tensor | None = None

    @property
    def size(self) -> int:
        """Side of the patches, s."""
        return math.isqrt(self.atoms[0].shape[1])


class JointSparse(FusionMethod[ParametersT, CodedPair]):
    """Base of the methods: they differ in how they weigh what is in one image alone."""

    accepts_dictionary = True

    looks_everywhere = "learns its dictionary from the whole pair"

    def receptive_field(self, parameters: ParametersT, weights: Path | None = None) -> int | None:
        """Return how far patches reach, unless their dictionary is learnt from the images."""
        if parameters.dictionary == "pair":
            return None
        return (_PATCH if weights is None else _LARGEST_PATCH) - 1

    @abstractmethod
    def _weights(self, state: CodedPair, parameters: ParametersT) -> tuple[torch.Tensor, dict[str, Map[torch.Tensor]]]:
        """Return the weights of both innovations, ``(2, N, h, w)``, and maps of how they come about."""

    @abstractmethod
    def _common_gain(self, parameters: ParametersT) -> float:
        """Return the factor on what both images share."""

    def analyse(self, ir: torch.Tensor, visible: torch.Tensor, parameters: ParametersT, runtime: Runtime) -> CodedPair:
        """Code every pair of patches with atoms that both share and atoms of one alone."""
        exact = [_dictionary(*pair, parameters, runtime) for pair in zip(ir[:, 0], visible[:, 0], strict=True)]
        atoms = [item.to(ir.dtype).to(ir.device) for item in exact]
        size = math.isqrt(atoms[0].shape[1])
        patches = (ir.shape[-2] - size + 1) * (ir.shape[-1] - size + 1)
        coded = []
        for number, pair in enumerate(zip(ir[:, 0], visible[:, 0], atoms, exact, strict=True)):

            def tick(done: int, before: int = number * patches) -> None:
                runtime.step(before + done, len(atoms) * patches, "Coding patches")

            coded.append(_code(*pair, parameters, tick, runtime))
        codes, images, activity = zip(*coded, strict=True)
        parts = torch.stack(images, 1)[:, :, None]
        return CodedPair(atoms, list(codes), parts[0], parts[1:], torch.stack(activity, 1))

    def combine(self, state: CodedPair, parameters: ParametersT, runtime: Runtime) -> Fusion:
        """Weigh the innovations patch by patch, and put everything together."""
        weights, maps = self._weights(state, parameters)
        blend: Blend = parameters.overlap  # type: ignore[assignment]
        shape = (state.common.shape[-2], state.common.shape[-1])
        details = []
        for number, (atoms, codes) in enumerate(zip(state.atoms, state.codes, strict=True)):
            pair_weights = weights[:, number].flatten(1)
            overlap = Overlap(shape, state.size, blend, state.common)
            for rows, patches in _patches_of(shape, state.size, state.common.device):
                runtime.check()
                weighted = _weighted(codes.part(patches), pair_weights[:, patches], len(atoms))
                overlap.add(atoms.T @ weighted.T, rows)
            details.append(overlap.image())
        detail = torch.stack(details)[:, None] * parameters.detail_gain
        fused = self._common_gain(parameters) * state.common + detail
        if not runtime.maps:
            return Fusion(fused, {})
        return Fusion(fused, {**_maps(state, detail), **_patch_maps(state, weights), **maps})


def _dictionary(
    ir: torch.Tensor, visible: torch.Tensor, parameters: JointSparseParameters, runtime: Runtime
) -> torch.Tensor:
    """Return the atoms for one pair, ``(K, s²)`` float64 on the CPU."""
    if parameters.dictionary == "pair":
        if runtime.weights is not None:
            raise ParameterError(
                "A dictionary is either given or learnt from the pair: leave the weights file out, or choose"
                " dictionary shipped, in whose place it is used."
            )
        patches = torch.cat([extract(image, _PATCH, step=_LEARNING_STEP) for image in (ir, visible)])
        learnt = learn(
            patches,
            atoms=_ATOMS,
            sparsity=parameters.sparsity,
            steps=parameters.learning_steps,
            progress=runtime.progress,
            cancelled=runtime.cancelled,
        )
        return learnt.cpu().double()
    given = load_dictionary("jsr") if runtime.weights is None else read_dictionary(runtime.weights)
    norms = given.double().flatten(1).norm(dim=1)
    if given.ndim != 3 or not 2 <= given.shape[1] == given.shape[2] <= _LARGEST_PATCH or not bool((norms > 0).all()):
        raise WeightsError(
            f"A dictionary of patches has shape (atoms, side, side), side at most {_LARGEST_PATCH}, and no atom that is"
            f" 0; {runtime.weights} holds {tuple(given.shape)}: irvisfuse train dictionary makes one."
        )
    # atoms of norm 1 stay as they are to the last digit, on which the published choice between equal codes depends
    norms = torch.where((norms - 1).abs() < _UNIT, 1, norms)
    return given.double().flatten(1) / norms[:, None]


def _patches_of(shape: tuple[int, int], size: int, device: torch.device) -> list[tuple[slice, slice]]:
    """Cut the patches into pieces: their rows, and their numbers."""
    width = shape[1] - size + 1
    return [(rows, slice(rows.start * width, rows.stop * width)) for rows in bands(shape, size, device)]


def _code(
    ir: torch.Tensor,
    visible: torch.Tensor,
    atoms: torch.Tensor,
    exact: torch.Tensor,
    parameters: JointSparseParameters,
    tick: Callable[[int], None],
    runtime: Runtime,
) -> tuple[Codes, torch.Tensor, torch.Tensor]:
    """Code one pair; return the codes, common part and innovations ``(3, H, W)``, and activities ``(2, h, w)``.

    ``exact`` are the atoms in float64. Without maps the innovations, which are shown only, are left out: ``(1, H, W)``.
    """
    count, size = len(atoms), math.isqrt(atoms.shape[1])
    shape = (ir.shape[0], ir.shape[1])
    blend: Blend = parameters.overlap  # type: ignore[assignment]
    images = [Overlap(shape, size, blend, ir) for _ in range(3 if runtime.maps else 1)]
    coded, activity = [], []
    for rows, patches in _patches_of(shape, size, ir.device):
        tick(patches.start)
        first, second = (extract(image, size, rows) for image in (ir, visible))
        codes = joint_omp(first, second, atoms, parameters.sparsity, check=runtime.check)
        codes = settle_as_published(codes, first, second, exact) if blend == "published" else settle(codes, count)
        coded.append(codes)
        runtime.check()
        # in parts: shared, infrared alone, visible alone; a shared atom is in each image by 1/√2
        parts = codes.dense(3 * count).view(-1, 3, count)
        activity.append(parts[:, 1:].abs().sum(2).T)
        for number, image in enumerate(images):
            runtime.check()
            image.add((atoms.T if number else atoms.T * 0.5**0.5) @ parts[:, number].T, rows)
    joined = Codes(torch.cat([item.atoms for item in coded]), torch.cat([item.values for item in coded]))
    grid = (2, shape[0] - size + 1, shape[1] - size + 1)
    return joined, torch.stack([image.image() for image in images]), torch.cat(activity, 1).view(grid)


def _weighted(codes: Codes, weights: torch.Tensor, count: int) -> torch.Tensor:
    """Return w₁u₁ + w₂u₂ with their zeros, ``(M, K)``, for weights ``(2, M)``."""
    atoms = codes.atoms.long()
    factor = torch.where(atoms < 2 * count, weights[0, :, None], weights[1, :, None])
    alone = torch.where(atoms >= count, codes.values * factor, 0)
    return Codes(atoms.clamp_min(0) % count, alone).dense(count)


def _maps(state: CodedPair, detail: torch.Tensor) -> dict[str, Map[torch.Tensor]]:
    return {
        "common": Map(state.common, "intensity", "What both share", "base"),
        "ir_innovation": Map(state.innovations[0], "signed", "IR alone", "detail"),
        "visible_innovation": Map(state.innovations[1], "signed", "Visible alone", "detail"),
        "fused_detail": Map(detail, "signed", "Fused innovation", "detail"),
    }


def _patch_maps(state: CodedPair, weights: torch.Tensor) -> dict[str, Map[torch.Tensor]]:
    maps: dict[str, Map[torch.Tensor]] = {}
    parts = [
        (name, title) for name, title in (("common", "common part"), ("ir", "IR alone"), ("visible", "visible alone"))
    ]
    counts = _counts(state)
    for number, (name, title) in enumerate(parts):
        maps[f"{name}_atoms"] = Map(at_centres(counts[number], state.size), "energy", f"Atoms, {title}", "feature")
    for k, (name, title) in enumerate((("ir", "IR"), ("visible", "Visible"))):
        maps[f"{name}_activity"] = Map(
            at_centres(state.activity[k], state.size), "energy", f"{title} activity", "saliency"
        )
        maps[f"{name}_weight"] = Map(at_centres(weights[k], state.size), "weight", f"{title} weight", "weight")
    return maps


def _counts(state: CodedPair) -> torch.Tensor:
    """Count the atoms of the three parts in each patch, ``(3, N, h, w)``."""
    grid = state.activity.shape[2:]
    counts = []
    for atoms, codes in zip(state.atoms, state.codes, strict=True):
        part = torch.where(codes.atoms >= 0, codes.atoms // len(atoms), -1)
        counts.append(torch.stack([(part == number).sum(1).to(state.common.dtype).view(grid) for number in range(3)]))
    return torch.stack(counts, 1)


def at_centres(values: torch.Tensor, size: int) -> torch.Tensor:
    """Place one value a patch ``(N, h, w)`` at the patches' centres, and repeat at the borders; ``(N, 1, H, W)``."""
    before, after = (size - 1) // 2, size // 2
    return F.pad(values[:, None], (before, after, before, after), mode="replicate")


def shares(saliency: torch.Tensor) -> torch.Tensor:
    """Divide both saliencies ``(2, …)`` by the larger one; 1 where both are 0."""
    largest = saliency.amax(0)
    return torch.where(largest > 0, saliency / largest, 1)
