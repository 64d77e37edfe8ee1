"""Pretrained classification networks, cut at the levels whose activity a fusion method looks at.

Built for inference only: batch norm is folded into the convolutions, a grey input into the first one, and nothing
behind the last level exists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeAlias

import torch
from torch import nn

from napari_irvisfuse.errors import WeightsError

__all__ = ["BACKBONES", "IMAGENET_STD", "Backbone", "Blocks", "Level", "build_backbone"]

Blocks: TypeAlias = Literal["first", "last", "published"]
"""Which block of a stage is its level.

``first`` and ``last``: after that block's ReLU. ``published``: as in the code published with the ResNet-152 paper, that
is the shortcut branch of the first block of stage 2, and the sums (before the ReLU) of the last blocks of stages 3–5.
"""

BACKBONES = ("resnet152", "resnet101", "resnet50", "vgg19")
IMAGENET_STD = (0.229, 0.224, 0.225)

Level: TypeAlias = Callable[[int, torch.Tensor], None]
Tick: TypeAlias = Callable[[int, int], None]


_DEPTHS = {"resnet152": (3, 8, 36, 3), "resnet101": (3, 4, 23, 3), "resnet50": (3, 4, 6, 3)}
_NORM = ("weight", "bias", "running_mean", "running_var")
# The convolutions between the poolings of VGG-19; the numbers count every layer, ReLUs and poolings too.
_VGG19 = tuple(
    tuple(f"features.{number}" for number in numbers)
    for numbers in ((0, 2), (5, 7), (10, 12, 14, 16), (19, 21, 23, 25), (28, 30, 32, 34))
)


class _Layers:
    """Builds convolutions from the entries of a ``state_dict``.

    The networks are spelt out here, some forty lines, and not taken from torchvision: importing that into a process
    with a window drags in compilers that have been seen to crash against the graphics driver's own.
    """

    def __init__(self, name: str, state: Mapping[str, torch.Tensor]) -> None:
        self.name = name
        self.state = state

    def channels(self, key: str) -> int:
        """Return how many channels go into a convolution."""
        return int(self.state[key].shape[1])

    def plain(self, name: str, inputs: int, outputs: int) -> nn.Conv2d:
        """Build a 3×3 convolution with a bias."""
        weight = self._take(f"{name}.weight", (outputs, inputs, 3, 3))
        return _convolution(weight, self._take(f"{name}.bias", (outputs,)), 1, 1)

    def folded(self, name: str, norm: str, inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
        """Build a convolution with the batch norm behind it folded in."""
        weight = self._take(f"{name}.weight", (outputs, inputs, size, size))
        gain, offset, mean, variance = (self._take(f"{norm}.{part}", (outputs,)) for part in _NORM)
        scale = gain * torch.rsqrt(variance + 1e-5)  # ε of every batch norm in these networks
        return _convolution(weight * scale.view(-1, 1, 1, 1), offset - mean * scale, stride, size // 2)

    def _take(self, key: str, shape: tuple[int, ...]) -> torch.Tensor:
        value = self.state[key]
        if tuple(value.shape) != shape:
            raise WeightsError(
                f"These weights do not fit {self.name}: {key} is {tuple(value.shape)} and should be {shape}."
            )
        return value


def _convolution(weight: torch.Tensor, bias: torch.Tensor, stride: int, padding: int) -> nn.Conv2d:
    outputs, inputs, size, _ = weight.shape
    layer = nn.Conv2d(inputs, outputs, size, stride, padding, device="meta")
    layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
    return layer


class Backbone(nn.Module):
    """A network whose levels are handed out one by one, so that none has to be kept.

    Parameters
    ----------
    strides
        Image pixels per feature pixel of levels 1 to 5.
    steps
        How often :meth:`run` ticks.
    """

    def __init__(self, strides: tuple[int, ...], steps: int) -> None:
        super().__init__()
        self.strides = strides
        self.steps = steps

    def run(self, image: torch.Tensor, level: Level, tick: Tick) -> None:
        """Pass an image through.

        Parameters
        ----------
        image
            ``(N, 1, H, W)``.
        level
            Called as ``level(i, features)``, i from 1, features ``(N, C, ⌈H/stride⌉, ⌈W/stride⌉)``, only valid during
            the call.
        tick
            Called as ``tick(done, steps)`` between any two blocks; may raise to stop.
        """
        raise NotImplementedError  # pragma: no cover - every backbone has its own


class _Bottleneck(nn.Module):
    """A residual block with folded batch norm that stops at the sum, before the last ReLU."""

    def __init__(self, layers: _Layers, name: str, narrow: int, wide: int, stride: int) -> None:
        super().__init__()
        before = layers.channels(f"{name}.conv1.weight")
        self.reduce = layers.folded(f"{name}.conv1", f"{name}.bn1", before, narrow, 1)
        self.filter = layers.folded(f"{name}.conv2", f"{name}.bn2", narrow, narrow, 3, stride)
        self.expand = layers.folded(f"{name}.conv3", f"{name}.bn3", narrow, wide, 1)
        self.shortcut = None
        if f"{name}.downsample.0.weight" in layers.state:
            self.shortcut = layers.folded(f"{name}.downsample.0", f"{name}.downsample.1", before, wide, 1, stride)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the sum and the shortcut branch that went into it."""
        shortcut = x if self.shortcut is None else self.shortcut(x)
        y = torch.relu_(self.reduce(x))
        y = torch.relu_(self.filter(y))
        y = self.expand(y)
        y += shortcut
        return y, shortcut


class _ResNet(Backbone):
    def __init__(self, layers: _Layers, depths: tuple[int, ...], blocks: Blocks, divisor: torch.Tensor) -> None:
        if blocks == "first":
            depths = (*depths[:3], 1)  # nothing looks at the rest
        super().__init__((2, 4, 8, 16, 32), 1 + sum(depths))
        self.blocks = blocks
        self.stem = _fold_grey(layers.folded("conv1", "bn1", 3, 64, 7, 2), divisor)
        self.stages = nn.ModuleList(
            nn.ModuleList(
                _Bottleneck(layers, f"layer{stage}.{block}", narrow, 4 * narrow, 2 if stage > 1 and block == 0 else 1)
                for block in range(depth)
            )
            for stage, (depth, narrow) in enumerate(zip(depths, (64, 128, 256, 512), strict=True), start=1)
        )

    def run(self, image: torch.Tensor, level: Level, tick: Tick) -> None:
        tick(0, self.steps)
        x = torch.relu_(self.stem(image))
        level(1, x)
        x = nn.functional.max_pool2d(x, 3, stride=2, padding=1)
        done = 1
        for number, stage in enumerate(self.stages, start=2):
            assert isinstance(stage, nn.ModuleList)
            at = {"first": 0, "last": len(stage) - 1, "published": 0 if number == 2 else len(stage) - 1}[self.blocks]
            for index, block in enumerate(stage):
                tick(done, self.steps)
                x, shortcut = block(x)
                if index == at and self.blocks == "published":
                    level(number, shortcut if number == 2 else x)
                x = torch.relu_(x)
                if index == at and self.blocks != "published":
                    level(number, x)
                done += 1


class _VGG(Backbone):
    """VGG-19: levels are the first or last convolution of each of the five blocks, after its ReLU."""

    def __init__(self, layers: _Layers, blocks: Blocks, divisor: torch.Tensor) -> None:
        groups: list[list[nn.Module]] = []
        before = 3
        for number, names in enumerate(_VGG19):
            wide = min(512, 64 * 2**number)
            used = names[:1] if blocks == "first" and number == 4 else names
            group: list[nn.Module] = []
            for name in used:
                group.append(layers.plain(name, before, wide))
                before = wide
            groups.append(group)
        super().__init__((1, 2, 4, 8, 16), sum(map(len, groups)))
        self.blocks = blocks
        groups[0][0] = _fold_grey(groups[0][0], divisor)
        self.groups = nn.ModuleList(nn.ModuleList(group) for group in groups)

    def run(self, image: torch.Tensor, level: Level, tick: Tick) -> None:
        x, done = image, 0
        for number, group in enumerate(self.groups, start=1):
            assert isinstance(group, nn.ModuleList)
            if number > 1:
                # as ResNet does, so that odd sizes round up and every level covers the whole image
                x = nn.functional.max_pool2d(x, 2, ceil_mode=True)
            at = 0 if self.blocks == "first" else len(group) - 1
            for index, convolution in enumerate(group):
                tick(done, self.steps)
                x = torch.relu_(convolution(x))
                if index == at:
                    level(number, x)
                done += 1


def _fold_grey(first: Any, divisor: torch.Tensor) -> nn.Conv2d:
    """Turn a convolution of three equal channels, each divided by its divisor, into one of a single channel."""
    weight = (first.weight.double() / divisor.view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    return _convolution(weight.to(first.weight.dtype), first.bias, first.stride[0], first.padding[0])


def build_backbone(
    name: str,
    blocks: Blocks,
    state: Mapping[str, torch.Tensor],
    *,
    divisor: Iterable[float] = (1.0, 1.0, 1.0),
) -> Backbone:
    """Build a backbone from the weights of the whole classification network.

    Parameters
    ----------
    name
        One of :data:`BACKBONES`.
    blocks
        Which blocks are the levels.
    state
        The ``state_dict`` of torchvision's model; the classifier's entries may be missing.
    divisor
        What the three channels of the input are divided by.

    Returns
    -------
    Backbone
        In evaluation mode, no gradients, of the weights' data type, on their device.

    Raises
    ------
    WeightsError
        If the weights are not this network's.
    """
    head = "classifier." if name == "vgg19" else "fc."
    features = {key: value for key, value in state.items() if not key.startswith(head)}
    wanted = _entries(name)
    missing = sorted(wanted - set(features))
    unexpected = sorted(key for key in set(features) - wanted if not key.endswith(".num_batches_tracked"))
    if missing or unexpected:
        raise WeightsError(
            f"These weights are not {name}'s: {len(missing)} of its entries are missing{_some(missing)}"
            f" and {len(unexpected)} are not its own{_some(unexpected)}."
        )
    layers = _Layers(name, features)
    scale = torch.tensor(tuple(divisor), dtype=torch.float64)
    with torch.inference_mode(False), torch.no_grad():
        backbone = _VGG(layers, blocks, scale) if name == "vgg19" else _ResNet(layers, _DEPTHS[name], blocks, scale)
    return backbone.eval().requires_grad_(False)


def _entries(name: str) -> set[str]:
    """Name all entries that a ``state_dict`` of this network has, but for the classifier."""
    if name == "vgg19":
        return {f"{layer}.{part}" for group in _VGG19 for layer in group for part in ("weight", "bias")}
    convolutions = {"conv1": "bn1"}
    for stage, depth in enumerate(_DEPTHS[name], start=1):
        convolutions[f"layer{stage}.0.downsample.0"] = f"layer{stage}.0.downsample.1"
        for block in range(depth):
            convolutions |= {f"layer{stage}.{block}.conv{i}": f"layer{stage}.{block}.bn{i}" for i in (1, 2, 3)}
    norms = {f"{norm}.{part}" for norm in convolutions.values() for part in _NORM}
    return norms | {f"{convolution}.weight" for convolution in convolutions}


def _some(names: list[str]) -> str:
    return f" ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})" if names else ""
