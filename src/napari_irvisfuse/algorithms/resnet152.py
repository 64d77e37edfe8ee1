"""Two-scale fusion weighted by a pretrained ResNet-152 (Zhang, Li, Zhu, Du, MTAP 81, 2022)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F

from napari_irvisfuse.errors import ParameterError
from napari_irvisfuse.images.filters import Border, box_mean, separable
from napari_irvisfuse.images.lowpass import tikhonov_lowpass
from napari_irvisfuse.networks.backbones import BACKBONES, IMAGENET_STD, Backbone, Blocks, build_backbone
from napari_irvisfuse.runtime import Runtime
from napari_irvisfuse.types import MapKind

from .base import Fusion, FusionMethod, Map, MapGroup, Parameters, option

__all__ = ["ResNet152", "ResNet152Parameters"]

_IMAGES = ("ir", "visible")
_TITLES = ("IR", "Visible")
_KERNELS = {"121": (1.0, 2.0, 1.0), "box": (1.0, 1.0, 1.0), "none": (1.0,)}
_LEVEL_NAMES = ("level 1 (stem)", "level 2", "level 3", "level 4", "level 5", "level 0 (detail itself)")


@dataclass(frozen=True)
class ResNet152Parameters(Parameters):
    """Parameters of the ResNet-152 fusion; defaults are the paper's."""

    base_weight_ir: float = option(
        0.6,
        "λ₁: share of the infrared base layer; the visible one has the rest (equation 3).",
        bounds=(0, 1),
        live=True,
    )
    levels: tuple[int, ...] = option(
        (1, 2, 3, 4, 5),
        "Levels that compete in the maximum (equation 9); 0 is the detail layer itself.",
        choices=(0, 1, 2, 3, 4, 5),
        live=True,
    )
    kernel: str = option(
        "121", "3×3 smoothing of the activity (equation 6): 1-2-1, box, or none.", choices=tuple(_KERNELS), live=True
    )
    upsampling: str = option(
        "bilinear",
        "How weights grow to image size (equation 8); published repeats the last level 31 times.",
        choices=("bilinear", "nearest", "published"),
        live=True,
    )
    power: int = option(1, "The activity is raised to this power before it is smoothed.", bounds=(1, 2), live=True)
    detail_gain: float = option(1.0, "Factor on the fused detail; 1 is the paper's.", bounds=(0, 4), live=True)
    decomposition: str = option(
        "mean", "How base and detail are split (equation 1).", choices=("mean", "tikhonov"), title="two scales by"
    )
    window: int = option(31, "Z: side of the mean filter in pixels, odd.", bounds=(3, 255), step=2)
    border: str = option(
        "reflect",
        "What the mean filter sees outside the image (the paper does not say).",
        choices=("reflect", "symmetric", "replicate", "zero"),
    )
    regularisation: float = option(5.0, "λ of the Tikhonov low-pass.", bounds=(0.01, 1000))
    backbone: str = option("resnet152", "The pretrained network.", choices=BACKBONES)
    imagenet: str = option(
        "V1", "Which of torchvision's ResNet-152 weights.", choices=("V1", "V2"), title="ImageNet weights"
    )
    blocks: str = option(
        "first",
        "Which block of a stage is its level (equation 4).",
        choices=("first", "last", "published"),
    )
    norm: str = option("l1", "Norm over the channels (equation 5).", choices=("l1", "l2"))
    scaling: str = option(
        "none",
        "Scale detail by the standard deviation that the network was trained with.",
        choices=("none", "imagenet"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.backbone == "vgg19" and self.blocks == "published":
            raise ParameterError("The published blocks exist in ResNets only: choose first or last blocks for vgg19.")
        if self.imagenet == "V2" and self.backbone != "resnet152":
            raise ParameterError(f"V2 weights are offered for resnet152 only: choose V1 for {self.backbone}.")


@dataclass
class _Analysis:
    """What the network found out; in every tensor the first dimension is infrared, visible."""

    base: torch.Tensor  # (2, N, 1, H, W)
    detail: torch.Tensor  # (2, N, 1, H, W)
    strides: dict[int, int] = field(default_factory=dict)
    norms: dict[int, torch.Tensor] = field(default_factory=dict)  # level -> (2, N, 1, h, w)


class ResNet152(FusionMethod[ResNet152Parameters, _Analysis]):
    """A network that never saw infrared says, at five depths, where each image has something to show."""

    name = "resnet152"
    title = "ResNet-152"
    summary = (
        "Two scales; detail weighted by the activity of a pretrained network. Needs 242 MB of weights, no training."
    )
    reference = (
        "Zhang, Li, Zhu, Du: An infrared and visible image fusion algorithm based on ResNet-152. "
        "Multimedia Tools and Applications 81 (2022) 9277–9287"
    )
    doi = "10.1007/s11042-021-11549-w"
    needs_weights = True
    parameters_type = ResNet152Parameters
    stride = 32
    looks_everywhere = "runs a network that sees hundreds of pixels far"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "authors": {
            "base_weight_ir": 0.5,
            "levels": (0, 1, 2, 3, 4, 5),
            "upsampling": "published",
            "power": 2,
            "decomposition": "tikhonov",
            "blocks": "published",
        },
    }

    def weights_name(self, parameters: ResNet152Parameters) -> str:
        """Name the entry in the store of weights."""
        return "resnet152-v2" if parameters.imagenet == "V2" else parameters.backbone

    def halo(self, parameters: ResNet152Parameters, weights: Path | None = None) -> int:
        """Return four pixels of the coarsest level and what the mean filter takes; the network sees farther."""
        return 4 * self.stride + parameters.window // 2

    def analyse(
        self, ir: torch.Tensor, visible: torch.Tensor, parameters: ResNet152Parameters, runtime: Runtime
    ) -> _Analysis:
        """Split into two scales (equations 1, 2) and take the norms of the network's features (equations 4, 5)."""
        images = torch.stack([ir, visible])
        base = _base(images, parameters)
        analysis = _Analysis(base, images - base)
        runtime.step(0, 0, f"Loading {parameters.backbone}")
        network = _network(parameters, runtime)
        analysis.strides = {0: 1, **dict(enumerate(network.strides, start=1))}
        flat = analysis.detail.flatten(0, 1)
        # Both images in one batch; one after the other if memory was too short for that.
        parts = flat.chunk(len(flat)) if runtime.low_memory else (flat,)
        collected: dict[int, list[torch.Tensor]] = {}
        for number, part in enumerate(parts):

            def collect(level: int, features: torch.Tensor) -> None:
                norm = _channel_norm(features, parameters.norm, runtime.compute.arithmetic)
                collected.setdefault(level, []).append(norm)

            def tick(done: int, steps: int, before: int = number) -> None:
                runtime.step(before * steps + done, len(parts) * steps, f"Running {parameters.backbone}")

            x = part.to(runtime.compute.network).contiguous(memory_format=torch.channels_last)
            network.run(x, collect, tick)
        for level, norms in collected.items():
            joined = torch.cat(norms)
            analysis.norms[level] = joined.view(2, -1, *joined.shape[1:])
        return analysis

    def combine(self, state: _Analysis, parameters: ResNet152Parameters, runtime: Runtime) -> Fusion:
        """Weigh base (equation 3) and detail (equations 6 to 11)."""
        ir_base, visible_base = state.base
        fused_base = torch.lerp(visible_base, ir_base, parameters.base_weight_ir)

        height, width = state.detail.shape[-2:]
        norms = {0: state.detail.abs(), **state.norms}
        weights = {level: _weights(norms[level], parameters) for level in parameters.levels}
        best = torch.zeros_like(state.detail)
        winner = torch.zeros_like(state.detail, dtype=torch.uint8)
        for level, weight in weights.items():
            runtime.check()
            factor = state.strides[level]
            if parameters.upsampling == "published" and factor == 32:
                factor = 31  # sic; what it leaves uncovered takes no part in the maximum
            large = _enlarge(weight, factor, parameters.upsampling == "bilinear")[..., :height, :width]
            rows, columns = large.shape[-2:]
            ahead = large > best[..., :rows, :columns]
            best[..., :rows, :columns] = torch.where(ahead, large, best[..., :rows, :columns])
            if not runtime.maps:
                continue
            label = torch.tensor(level or 6, dtype=torch.uint8, device=winner.device)
            winner[..., :rows, :columns] = torch.where(ahead, label, winner[..., :rows, :columns])
        fused_detail = (best * state.detail).sum(0) * parameters.detail_gain
        if not runtime.maps:
            return Fusion(fused_base + fused_detail, {})

        maps: dict[str, Map[torch.Tensor]] = {
            "fused_base": Map(fused_base, "intensity", "Fused base", "base"),
            "fused_detail": Map(fused_detail, "signed", "Fused detail", "detail"),
        }
        for k, (image, title) in enumerate(zip(_IMAGES, _TITLES, strict=True)):
            whole: list[tuple[str, torch.Tensor, MapKind, MapGroup]] = [
                ("base", state.base[k], "intensity", "base"),
                ("detail", state.detail[k], "signed", "detail"),
                ("weight", best[k], "weight", "weight"),
            ]
            for name, data, kind, group in whole:
                maps[f"{image}_{name}"] = Map(data, kind, f"{title} {name}", group)
            maps[f"{image}_level"] = Map(winner[k], "index", f"{title} winning level", "level", labels=_LEVEL_NAMES)
            for level in parameters.levels:
                stride = state.strides[level]
                maps[f"{image}_weight_{level}"] = Map(
                    weights[level][k], "weight", f"{title} weight, level {level}", "weight", stride
                )
                maps[f"{image}_norm_{level}"] = Map(
                    norms[level][k], "energy", f"{title} activity, level {level}", "feature", stride
                )
        return Fusion(fused_base + fused_detail, maps)

    def release(self) -> None:
        """Drop the network that is kept between runs."""
        _load.cache_clear()


def _base(images: torch.Tensor, parameters: ResNet152Parameters) -> torch.Tensor:
    if parameters.decomposition == "tikhonov":
        return tikhonov_lowpass(images, parameters.regularisation)
    radius = parameters.window // 2
    border: Border = parameters.border  # type: ignore[assignment]
    size = min(images.shape[-2:])
    if border in ("reflect", "symmetric") and radius >= size:
        raise ParameterError(
            f"A window of {parameters.window} is too large for an image of {size} pixels:"
            f" choose {2 * size - 1} or less."
        )
    return box_mean(images, radius, border)


def _channel_norm(features: torch.Tensor, norm: str, dtype: torch.dtype) -> torch.Tensor:
    """Take the norm over the channels of ``(N, C, h, w)`` in ``dtype`` (equation 5); ``(N, 1, h, w)``.

    A million values at a time: a whole level in float32 is tens of megabytes that are written once and read once, and
    asking the system for them takes ten times as long as the arithmetic.
    """
    n, channels, height, width = features.shape
    pixels = features.permute(0, 2, 3, 1).reshape(-1, channels)  # a view, since memory is channels-last
    sums = []
    for part in pixels.tensor_split(max(1, pixels.numel() >> 20)):
        values = part.to(dtype)
        sums.append(values.abs().sum(1) if norm == "l1" else values.square().sum(1).sqrt())
    return torch.cat(sums).view(n, 1, height, width)


def _weights(norm: torch.Tensor, parameters: ResNet152Parameters) -> torch.Tensor:
    """Smooth the activity and share it out between the images (equations 6 and 7)."""
    kernel = torch.tensor(_KERNELS[parameters.kernel], device=norm.device, dtype=norm.dtype)
    # the largest activity as unit: squares of large sums stay far from the limits of float32, and the ratio is the same
    scale = norm.amax(dim=(0, -2, -1), keepdim=True).clamp_min(torch.finfo(norm.dtype).tiny)
    activity = separable((norm / scale) ** parameters.power, kernel, "zero")
    total = activity.sum(0)
    return torch.where(total > 0, activity / total, 0.5)


def _enlarge(weight: torch.Tensor, factor: int, smooth: bool) -> torch.Tensor:
    """Enlarge ``(2, N, 1, h, w)`` by a whole factor (equation 8).

    By the factor itself and not to the image's size: stretching ⌈M/s⌉ pixels to M would slide the map by up to half of
    its pixels on sizes that are no multiple of the stride.
    """
    if factor == 1:
        return weight
    if not smooth:
        return weight.repeat_interleave(factor, -2).repeat_interleave(factor, -1)
    large = F.interpolate(weight.flatten(0, 1), scale_factor=factor, mode="bilinear", align_corners=False)
    return large.view(*weight.shape[:2], *large.shape[1:])


def _network(parameters: ResNet152Parameters, runtime: Runtime) -> Backbone:
    path = runtime.weights
    assert path is not None  # the pipeline resolves it, since needs_weights
    stat = path.stat()
    divisor = IMAGENET_STD if parameters.scaling == "imagenet" else (1.0, 1.0, 1.0)
    blocks: Blocks = parameters.blocks  # type: ignore[assignment]
    stamp = (stat.st_mtime_ns, stat.st_size)
    return _load(path, stamp, parameters.backbone, blocks, divisor, runtime.compute.device, runtime.compute.network)


@lru_cache(maxsize=2)  # 242 MB each in float32: enough to compare two presets without loading them again and again
def _load(
    path: Path,
    stamp: tuple[int, int],
    backbone: str,
    blocks: Blocks,
    divisor: tuple[float, ...],
    device: torch.device,
    dtype: torch.dtype,
) -> Backbone:
    from napari_irvisfuse.weights import store

    network = build_backbone(backbone, blocks, store.load_state_dict(path), divisor=divisor)
    return network.to(device, dtype, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
