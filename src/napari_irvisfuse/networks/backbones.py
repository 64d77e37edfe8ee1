"""Pretrained classification networks, cut at the levels whose activity a fusion method looks at.

Built for inference only: batch norm is folded into the convolutions, a grey input into the first one, and nothing
behind the last level exists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeAlias

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

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

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.reduce = fuse_conv_bn_eval(block.conv1, block.bn1)
        self.filter = fuse_conv_bn_eval(block.conv2, block.bn2)
        self.expand = fuse_conv_bn_eval(block.conv3, block.bn3)
        self.shortcut = fuse_conv_bn_eval(*block.downsample) if block.downsample is not None else None

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the sum and the shortcut branch that went into it."""
        shortcut = x if self.shortcut is None else self.shortcut(x)
        y = torch.relu_(self.reduce(x))
        y = torch.relu_(self.filter(y))
        y = self.expand(y)
        y += shortcut
        return y, shortcut


class _ResNet(Backbone):
    def __init__(self, model: Any, blocks: Blocks, divisor: torch.Tensor) -> None:
        stages = [list(stage) for stage in (model.layer1, model.layer2, model.layer3, model.layer4)]
        if blocks == "first":
            stages[3] = stages[3][:1]  # nothing looks at the rest
        super().__init__((2, 4, 8, 16, 32), 1 + sum(map(len, stages)))
        self.blocks = blocks
        self.stem = _fold_grey(fuse_conv_bn_eval(model.conv1, model.bn1), divisor)
        self.pool = model.maxpool
        self.stages = nn.ModuleList(nn.ModuleList(_Bottleneck(block) for block in stage) for stage in stages)

    def run(self, image: torch.Tensor, level: Level, tick: Tick) -> None:
        tick(0, self.steps)
        x = torch.relu_(self.stem(image))
        level(1, x)
        x = self.pool(x)
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

    def __init__(self, model: Any, blocks: Blocks, divisor: torch.Tensor) -> None:
        groups: list[list[nn.Module]] = [[]]
        for layer in model.features:
            if isinstance(layer, nn.MaxPool2d):
                groups.append([])
            elif isinstance(layer, nn.Conv2d):
                groups[-1].append(layer)
        groups = groups[:5]
        if blocks == "first":
            groups[4] = groups[4][:1]
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
    folded = nn.Conv2d(
        1, first.out_channels, first.kernel_size, first.stride, first.padding, device=first.weight.device
    )
    weight = (first.weight.double() / divisor.view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    folded.weight = nn.Parameter(weight.to(first.weight.dtype))
    folded.bias = first.bias
    return folded


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
    from ._torchvision import torchvision_models  # a second's import, only needed once a network is

    with torch.device("meta"):  # no memory, no random numbers: every value comes from the file
        model = getattr(torchvision_models(), name)(weights=None)
    head = ("classifier.",) if name == "vgg19" else ("fc.",)
    wanted = {key for key in model.state_dict() if not key.startswith(head)}
    features = {key: value for key, value in state.items() if not key.startswith(head)}
    optional = {key for key in wanted if key.endswith("num_batches_tracked")}
    missing, unexpected = sorted(wanted - optional - set(features)), sorted(set(features) - wanted)
    if missing or unexpected:
        raise WeightsError(
            f"These weights are not {name}'s: {len(missing)} of its entries are missing{_some(missing)}"
            f" and {len(unexpected)} are not its own{_some(unexpected)}."
        )
    try:
        model.load_state_dict(features, strict=False, assign=True)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise WeightsError(f"These weights do not fit {name}: {reason}") from error
    model.eval().requires_grad_(False)
    kind = _VGG if name == "vgg19" else _ResNet
    with torch.inference_mode(False), torch.no_grad():
        backbone = kind(model, blocks, torch.tensor(tuple(divisor), dtype=torch.float64))
    return backbone.eval().requires_grad_(False)


def _some(names: list[str]) -> str:
    return f" ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})" if names else ""
