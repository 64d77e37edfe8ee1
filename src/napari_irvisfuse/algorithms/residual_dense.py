"""Residual dense network with gradient loss (after Li, Liu, Zhou, Zhang, Kasabov, IPT 128, 2023), trained by us."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from napari_irvisfuse.errors import WeightsError
from napari_irvisfuse.images.weight_blocks import BLOCK, WeightBlocks, sobel_magnitude, weight_blocks
from napari_irvisfuse.networks.residual_dense import ResidualDenseConfig, ResidualDenseNetwork
from napari_irvisfuse.runtime import Runtime
from napari_irvisfuse.tiling import run_tiled

from .base import Fusion, FusionMethod, Map, Parameters

__all__ = ["ResidualDense", "ResidualDenseParameters"]

# On a CPU, features of small tiles stay in memory that is there, which outweighs what is computed twice in the halos.
# A GPU wants large ones, but Apple's stop at tensors of 4 GB.
_TILE = {"cpu": 320, "mps": 1024, "cuda": 4096, "low_memory": 192}
_TITLES = {"shallow": "Shallow features", "residual_dense": "Residual dense features", "deep": "Deep features"}


@dataclass(frozen=True)
class ResidualDenseParameters(Parameters):
    """The residual dense network has none: it has learnt everything, and its sizes are stored with its weights."""


@dataclass(frozen=True)
class _Analysis:
    fused: torch.Tensor
    energies: dict[str, torch.Tensor]
    blocks: WeightBlocks | None
    images: tuple[torch.Tensor, torch.Tensor]  # infrared, visible


class ResidualDense(FusionMethod[ResidualDenseParameters, _Analysis]):
    """A small network that learnt to keep the stronger gradients of two images, with no fusion rule made by hand."""

    name = "rdn"
    title = "RDN"
    summary = "Residual dense network, learnt with a gradient loss. Its weights are in the package: instant, offline."
    reference = (
        "Li, Liu, Zhou, Zhang, Kasabov: Infrared and visible image fusion based on residual dense network and gradient"
        " loss. Infrared Physics & Technology 128 (2023) 104486; re-implemented from the abstract, trained by us"
    )
    doi = "10.1016/j.infrared.2022.104486"
    needs_weights = True
    parameters_type = ResidualDenseParameters
    stride = BLOCK

    def weights_name(self, parameters: ResidualDenseParameters) -> str:
        """Name the entry in the store of weights."""
        return "rdn"

    def receptive_field(self, parameters: ResidualDenseParameters, weights: Path | None = None) -> int:
        """Return how far the network looks, and the gradient of what it drew, or the weight blocks if farther."""
        from napari_irvisfuse.weights import store

        path = weights or store.resolve("rdn", None)
        return max(_config(path, store.load_metadata(path)).receptive_field + 1, 2 * BLOCK)

    def analyse(
        self, ir: torch.Tensor, visible: torch.Tensor, parameters: ResidualDenseParameters, runtime: Runtime
    ) -> _Analysis:
        """Run the network, tile by tile on large images; its weight blocks look at the whole."""
        runtime.step(0, 0, "Loading the network")
        network = _network(runtime)
        kind = "low_memory" if runtime.low_memory else ir.device.type

        def run(images: torch.Tensor) -> dict[str, torch.Tensor]:
            energies: dict[str, torch.Tensor] = {}

            def collect(name: str, features: torch.Tensor) -> None:
                runtime.check()
                if runtime.maps:
                    energies[name] = features.abs().mean(1, keepdim=True, dtype=runtime.compute.arithmetic)

            x = images.to(runtime.compute.network).contiguous(memory_format=torch.channels_last)
            fused = network(x, collect)
            return {"fused": fused.to(runtime.compute.arithmetic), **energies}

        found = run_tiled(
            run,
            torch.cat([ir, visible], 1),
            tile=_TILE.get(kind, _TILE["cuda"]),
            halo=network.config.receptive_field,
            tick=lambda done, total: runtime.step(done, total, "Fusing"),
        )
        blocks = weight_blocks(ir, visible) if runtime.maps else None
        return _Analysis(found.pop("fused"), found, blocks, (ir, visible))

    def combine(self, state: _Analysis, parameters: ResidualDenseParameters, runtime: Runtime) -> Fusion:
        """Show what the network saw; nothing is left to compute."""
        ir, visible = state.images
        blocks = state.blocks
        if blocks is None:
            return Fusion(state.fused, {})
        maps: dict[str, Map[torch.Tensor]] = {
            "ir_texture_weight": Map(blocks.texture, "weight", "IR texture weight", "weight"),
            "visible_texture_weight": Map(1 - blocks.texture, "weight", "Visible texture weight", "weight"),
            "ir_intensity_weight": Map(blocks.intensity, "weight", "IR intensity weight", "weight"),
            "visible_intensity_weight": Map(1 - blocks.intensity, "weight", "Visible intensity weight", "weight"),
        }
        for name, title, image in (("ir", "IR", ir), ("visible", "Visible", visible), ("fused", "Fused", state.fused)):
            runtime.check()
            maps[f"{name}_gradient"] = Map(sobel_magnitude(image), "energy", f"{title} gradient", "detail")
        maps["ir_difference"] = Map((state.fused - ir).abs(), "energy", "|Fused − IR|", "detail")
        maps["visible_difference"] = Map((state.fused - visible).abs(), "energy", "|Fused − visible|", "detail")
        for name, energy in state.energies.items():
            title = _TITLES.get(name, name.replace("_", " ").capitalize() + " features")
            maps[f"{name}_energy"] = Map(energy, "energy", title, "feature")
        return Fusion(state.fused, maps)

    def release(self) -> None:
        """Drop the network that is kept between runs."""
        _load.cache_clear()


def _network(runtime: Runtime) -> ResidualDenseNetwork:
    path = runtime.weights
    assert path is not None  # the pipeline resolves it, since weights_name names one
    stat = path.stat()
    compute = runtime.compute
    return _load(path, (stat.st_mtime_ns, stat.st_size), compute.device, compute.network, compute.arithmetic)


@lru_cache(maxsize=4)
def _load(
    path: Path, stamp: tuple[int, int], device: torch.device, layers: torch.dtype, image: torch.dtype
) -> ResidualDenseNetwork:
    from napari_irvisfuse.weights import store

    config = _config(path, store.load_metadata(path))
    state = store.load_state_dict(path)
    with torch.device("meta"):
        network = ResidualDenseNetwork(config)
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in state.items()}
    if expected != found:
        wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        raise WeightsError(f"{path} does not fit the sizes that it states: {', '.join(wrong[:5])}.")
    network.load_state_dict(state, assign=True)
    network.requires_grad_(False).to_precision(layers, image)
    return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _config(path: Path, metadata: Mapping[str, str]) -> ResidualDenseConfig:
    """Read the sizes; they are never guessed from the weights."""
    if metadata.get("network") != "rdn":
        raise WeightsError(f"{path} holds no residual dense network: choose a file that irvisfuse train rdn made.")
    try:
        values = json.loads(metadata["config"])
    except (KeyError, ValueError) as error:
        raise WeightsError(f"{path} does not state the sizes of its network: train it again.") from error
    if not isinstance(values, dict):
        raise WeightsError(f"{path} does not state the sizes of its network: train it again.")
    return ResidualDenseConfig.from_dict(values)
