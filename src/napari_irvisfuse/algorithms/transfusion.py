"""TransFusion: VGG-19 features, competing modalities, guided attention, a decoder (Qian et al., IPT 150, 2025)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import torch

from napari_irvisfuse.errors import WeightsError
from napari_irvisfuse.networks.pooling import Pools, channel_energy, pool
from napari_irvisfuse.networks.transfusion import Gates, Guidance, TransFusion
from napari_irvisfuse.networks.transfusion_checkpoints import build_transfusion, is_authors
from napari_irvisfuse.networks.transfusion_config import PRESETS, TransFusionConfig
from napari_irvisfuse.runtime import Runtime
from napari_irvisfuse.tiling import Tile, run_tiled, tiles

from .base import Fusion, FusionMethod, Map, Parameters, option

__all__ = ["TransFusionMethod", "TransFusionParameters"]

# Pixels at a time, halo included: the full network needs about a gigabyte for each million of them in bfloat16.
_PIXELS = {"cpu": 4_000_000, "other": 12_000_000, "low_memory": 1_000_000}
_IMAGES = ("ir", "visible")
_TITLES = {"ir": "IR", "visible": "Visible", "fused": "Fused"}


@dataclass(frozen=True)
class TransFusionParameters(Parameters):
    """Parameters of TransFusion: which network, and how it attends."""

    preset: str = option(
        "compact",
        "The network: compact is a small one, a part of this package; full is the paper's and needs a weights file.",
        choices=tuple(PRESETS),
        title="network",
    )
    guidance: str = option(
        "paper",
        "Whether deeper levels guide the spatial attention of finer ones, or none as in the published code.",
        choices=("paper", "none"),
    )


@dataclass
class _Analysis:
    """What the network said; gates by name ``(N, C)``, everything else ``(N, 1, h, w)``."""

    fused: torch.Tensor
    maps: dict[str, torch.Tensor]
    differences: dict[str, torch.Tensor]
    gates: dict[str, torch.Tensor] = field(default_factory=dict)


class TransFusionMethod(FusionMethod[TransFusionParameters, _Analysis]):
    """A network that lets the modalities compete for each channel, then attends to places, then draws the image."""

    name = "transfusion"
    title = "TransFusion"
    summary = "VGG-19 features; the modalities compete channel by channel, deep attention guides fine, a decoder draws."
    reference = (
        "Qian, An, Liu, Tang, Xiao, Bavirisetti: TransFusion: Transfer learning-driven adaptive fusion network for"
        " infrared and visible image. Infrared Physics & Technology 150 (2025) 105906; re-implemented"
    )
    doi = "10.1016/j.infrared.2025.105906"
    needs_weights = True
    parameters_type = TransFusionParameters
    stride = 16
    looks_everywhere = "weighs its channels by the whole image"

    def halo(self, parameters: TransFusionParameters, weights: Path | None = None) -> int:
        """Return how far everything but the channel weights reaches."""
        return PRESETS[parameters.preset].reach

    def weights_name(self, parameters: TransFusionParameters) -> str:
        """Name the entry in the store of weights."""
        return "transfusion-compact" if parameters.preset == "compact" else "transfusion"

    def analyse(
        self, ir: torch.Tensor, visible: torch.Tensor, parameters: TransFusionParameters, runtime: Runtime
    ) -> _Analysis:
        """Run the network, in tiles on large images; the channel gates are those of the whole image all the same."""
        runtime.step(0, 0, "Loading the network")
        network = _network(parameters, runtime)
        run = _Run(network, parameters.guidance, runtime)  # type: ignore[arg-type]
        images = torch.cat([ir, visible], 1)
        height, width = images.shape[-2:]
        tile = _tile(network.config, height, width, runtime)
        gates = None
        if tile < max(height, width):
            gates = run.gates(images, tile)
            images = network.pad(images)
        config = network.config

        def fuse(part: torch.Tensor) -> dict[str, torch.Tensor]:
            return run.fuse(part, gates)

        strides = {
            f"{name}_{level}": stride
            for level, stride in enumerate(config.strides, start=1)
            for name in ("attention", *(f"{image}_energy" for image in _TITLES))
        }
        found = run_tiled(
            fuse, images, tile=tile, halo=config.reach, multiple=config.stride, strides=strides, tick=run.begin
        )
        fused = found.pop("fused")[..., :height, :width]
        if not runtime.maps:
            return _Analysis(fused, {}, {})
        maps = {name: found[name][..., : -(-height // s), : -(-width // s)] for name, s in strides.items()}
        differences = {name: (fused - image).abs() for name, image in zip(_IMAGES, (ir, visible), strict=True)}
        return _Analysis(fused, maps, differences, run.seen_gates)

    def combine(self, state: _Analysis, parameters: TransFusionParameters, runtime: Runtime) -> Fusion:
        """Show what the network saw; nothing is left to compute."""
        maps: dict[str, Map[torch.Tensor]] = {}
        for name, values in state.maps.items():
            what, level = name.rsplit("_", 1)
            if what == "attention":
                maps[name] = Map(values, "weight", f"Spatial attention, level {level}", "weight", _stride(name))
            else:
                title = f"{_TITLES[what.partition('_')[0]]} features, level {level}"
                maps[name] = Map(values, "energy", title, "feature", _stride(name))
        for name, values in state.differences.items():
            title = "|Fused − IR|" if name == "ir" else "|Fused − visible|"
            maps[f"{name}_difference"] = Map(values, "energy", title, "detail")
        for name, values in state.gates.items():  # without pixels: one number a channel
            what, level = name.rsplit("_", 1)
            title = f"{_TITLES[what.partition('_')[0]]} channel gates, level {level}"
            maps[name] = Map(values, "weight", title, "feature", _stride(name))
        return Fusion(state.fused, maps)

    def release(self) -> None:
        """Drop the networks that are kept between runs."""
        _load.cache_clear()


class _Run:
    """One run of a network over an image, in one or several tiles."""

    def __init__(self, network: TransFusion, guidance: Guidance, runtime: Runtime) -> None:
        self.network = network
        self.guidance: Guidance = guidance
        self.runtime = runtime
        self.seen_gates: dict[str, torch.Tensor] = {}
        self._done = 0
        self._tile = self._tiles = 0

    def begin(self, tile: int, tiles: int) -> None:
        """Begin a tile."""
        self._tile, self._tiles, self._done = tile, tiles, 0
        self.runtime.check()

    def _tick(self) -> None:
        steps = self.network.config.steps
        self._done = min(self._done + 1, steps)  # long layers tick more than once
        self.runtime.step(self._tile * steps + self._done - 1, self._tiles * steps, "Fusing")

    def _prepared(self, images: torch.Tensor) -> torch.Tensor:
        return images.to(self.runtime.compute.network).contiguous(memory_format=torch.channels_last)

    def fuse(self, images: torch.Tensor, gates: Gates | None) -> dict[str, torch.Tensor]:
        """Fuse ``(N, 2, h, w)``: the fused image and the maps with pixels."""
        arithmetic = self.runtime.compute.arithmetic
        found: dict[str, torch.Tensor] = {}

        def seen(name: str, level: int, values: torch.Tensor) -> None:
            if name.endswith("_gates"):
                self.seen_gates[f"{name}_{level}"] = values.to(arithmetic)
            elif name == "attention":
                found[f"{name}_{level}"] = values.to(arithmetic)
            else:
                found[f"{name}_energy_{level}"] = channel_energy(values, arithmetic)

        ir, visible = (self._prepared(image) for image in images.split_with_sizes([1, 1], 1))
        fused = self.network(ir, visible, self.guidance, gates, seen if self.runtime.maps else None, self._tick)
        return {"fused": fused.to(arithmetic).contiguous(), **found}

    def gates(self, images: torch.Tensor, tile: int) -> Gates:
        """Return the channel gates of the whole of ``(N, 2, H, W)``, whose features do not fit into memory at once."""
        network, config = self.network, self.network.config
        padded = network.pad(images)
        parts = list(tiles(*padded.shape[-2:], tile=tile, halo=config.reach, multiple=config.stride))
        maxima: list[torch.Tensor] = []
        sums: list[torch.Tensor] = []
        for number, part in enumerate(parts):
            self.runtime.step(number, len(parts), "Looking at all channels")
            top, bottom, left, right = part.outer
            both = torch.cat(padded[..., top:bottom, left:right].split_with_sizes([1, 1], 1))
            features = network.encode(self._prepared(both), self.runtime.check)
            pools = [
                _pooled(level, part, stride, images.shape[-2], images.shape[-1])
                for level, stride in zip(features, config.strides, strict=True)
            ]
            if number == 0:
                maxima, sums = [maximum for maximum, _ in pools], [total for _, total in pools]
            else:
                maxima = [torch.maximum(old, new) for old, (new, _) in zip(maxima, pools, strict=True)]
                sums = [old + new for old, (_, new) in zip(sums, pools, strict=True)]
        areas = [-(-images.shape[-2] // s) * -(-images.shape[-1] // s) for s in config.strides]
        whole = [(m.chunk(2), (t / area).chunk(2)) for m, t, area in zip(maxima, sums, areas, strict=True)]
        ir, visible = ([(m[k], t[k]) for m, t in whole] for k in range(2))
        return network.gates_of(ir, visible)


def _pooled(features: torch.Tensor, part: Tile, stride: int, height: int, width: int) -> Pools:
    """Return maximum and sum of each channel over what a tile contributes; nothing that was padded counts."""
    top, bottom, left, right = part.inner
    rows, columns = (
        slice((start - outer) // stride, (-(-min(end, length) // stride)) - outer // stride)
        for start, end, outer, length in ((top, bottom, part.outer[0], height), (left, right, part.outer[2], width))
    )
    inside = features[..., rows, columns]
    maximum, mean = pool(inside)
    return maximum, mean * (inside.shape[-2] * inside.shape[-1])


def _stride(name: str) -> int:
    """Image pixels per map pixel, by the level in a map's name."""
    return 1 << (int(name.rsplit("_", 1)[1]) - 1)


def _tile(config: TransFusionConfig, height: int, width: int, runtime: Runtime) -> int:
    """Return the side of the tiles; the image's longer side if it needs none."""
    kind = "low_memory" if runtime.low_memory else "cpu" if runtime.compute.device.type == "cpu" else "other"
    pixels = _PIXELS[kind]
    if height * width <= pixels:
        return max(height, width)
    side = int(pixels**0.5) - 2 * config.reach
    return max(side // config.stride, 16) * config.stride


def _network(parameters: TransFusionParameters, runtime: Runtime) -> TransFusion:
    path = runtime.weights
    assert path is not None  # the pipeline resolves it, since weights_name names one
    stat = path.stat()
    stamp = (stat.st_mtime_ns, stat.st_size)
    network = _load(path, stamp, runtime.compute.device, runtime.compute.network)
    for name, config in PRESETS.items():
        if network.config == config and name != parameters.preset:
            raise WeightsError(f"{path} holds the {name} network: choose preset {name} for it.")
    return network


@lru_cache(maxsize=2)  # the full network has 213 MB in float32
def _load(path: Path, stamp: tuple[int, int], device: torch.device, dtype: torch.dtype) -> TransFusion:
    from napari_irvisfuse.weights import store

    state = store.load_state_dict(path)
    config = None if is_authors(state) else _config(path, store.load_metadata(path))
    network = build_transfusion(state, config)
    return network.to(device, dtype, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _config(path: Path, metadata: Mapping[str, str]) -> TransFusionConfig:
    """Read the sizes; they are never guessed from the weights."""
    if metadata.get("network") != "transfusion":
        raise WeightsError(
            f"{path} holds no TransFusion network:"
            " choose a file that irvisfuse train transfusion made, or the authors' checkpoint."
        )
    try:
        values = json.loads(metadata["config"])
    except (KeyError, ValueError) as error:
        raise WeightsError(f"{path} does not state the sizes of its network: train it again.") from error
    if not isinstance(values, dict):
        raise WeightsError(f"{path} does not state the sizes of its network: train it again.")
    return TransFusionConfig.from_dict(values)
