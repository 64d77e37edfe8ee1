"""The residual dense fusion network (after Li, Liu, Zhou, Zhang, Kasabov, IPT 128, 2023): two images in, one out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from napari_irvisfuse.errors import WeightsError

__all__ = ["PRESETS", "ResidualDenseConfig", "ResidualDenseNetwork"]

_SLOPE = 0.2
_RECONSTRUCTION = (64, 32, 16)

Features = Callable[[str, torch.Tensor], None]


@dataclass(frozen=True)
class ResidualDenseConfig:
    """The sizes of the network; stored with its weights.

    Parameters
    ----------
    features
        G₀: channels of shallow, residual dense and deep features.
    growth
        G: channels that each convolution of a block adds.
    blocks, convolutions
        D residual dense blocks of C convolutions each.
    dense
        False for the ablation: blocks of plain convolutions, nothing concatenated.
    skip
        False for the ablation: shallow features go into the first block only.
    """

    features: int = 32
    growth: int = 16
    blocks: int = 3
    convolutions: int = 4
    dense: bool = True
    skip: bool = True

    def __post_init__(self) -> None:
        for name, most in (("features", 512), ("growth", 512), ("blocks", 32), ("convolutions", 32)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
                raise WeightsError(f"The network's {name} should be a whole number from 1 to {most}; got {value!r}.")

    @property
    def receptive_field(self) -> int:
        """How far a pixel reaches, in pixels: one per 3×3 convolution on the longest way through."""
        return 2 + self.blocks * self.convolutions + 1 + len(_RECONSTRUCTION) + 1

    def to_dict(self) -> dict[str, Any]:
        """Return the sizes as JSON can hold them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ResidualDenseConfig:
        """Read the sizes as :meth:`to_dict` gives them.

        Raises
        ------
        WeightsError
            If one is missing, unknown or out of bounds.
        """
        known = {item.name for item in dataclasses.fields(cls)}
        if set(values) != known:
            odd = sorted(set(values) ^ known)
            raise WeightsError(f"These are no sizes of the residual dense network: {', '.join(odd)}.")
        return cls(**values)


PRESETS = {"paper": ResidualDenseConfig(), "large": ResidualDenseConfig(features=64, growth=32)}


def _as_it_is(x: torch.Tensor) -> AbstractContextManager[object]:
    """Keep autocast away where it is on."""
    kind = x.device.type
    try:
        on = torch.is_autocast_enabled(kind)
    except RuntimeError:  # older versions of torch have none for Apple GPUs
        on = False
    return torch.autocast(kind, enabled=False) if on else nullcontext()


def _reflect(x: torch.Tensor) -> torch.Tensor:
    """Extend by the reflected border of a 3×3 convolution.

    Autocast would do it in float32, which takes as long as the convolution itself: here it has its input's type.
    """
    with _as_it_is(x):
        return F.pad(x, (1, 1, 1, 1), mode="reflect")


def _active(layer: nn.Module, padded: torch.Tensor) -> torch.Tensor:
    """Convolve, then LeakyReLU in place: asking the system for another tensor takes longer than the arithmetic."""
    return F.leaky_relu(layer(padded), _SLOPE, inplace=True)


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3)  # whoever calls it extends the border


class _Block(nn.Module):
    """A residual dense block: every convolution sees all that came before it, and the block adds to its input."""

    def __init__(self, config: ResidualDenseConfig) -> None:
        super().__init__()
        self.dense = config.dense
        features, growth = config.features, config.growth
        if config.dense:
            inputs = [features + number * growth for number in range(config.convolutions)]
            self.layers = nn.ModuleList(_convolution(count, growth) for count in inputs)
            self.fuse = nn.Conv2d(features + config.convolutions * growth, features, 1)
        else:
            self.layers = nn.ModuleList(_convolution(features, features) for _ in range(config.convolutions))
            self.fuse = nn.Conv2d(features, features, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = [_reflect(x)]
        for layer in self.layers:
            new = _reflect(_active(layer, torch.cat(seen, 1)))
            seen = [*seen, new] if self.dense else [new]
        # what is concatenated has borders already, so that no convolution has to copy all of it once more
        result: torch.Tensor = x + self.fuse(torch.cat(seen, 1))[..., 1:-1, 1:-1]
        return result


class ResidualDenseNetwork(nn.Module):
    """Shallow features, residual dense blocks and deep features, merged and reconstructed to one fused image.

    Parameters
    ----------
    config
        Its sizes.

    Notes
    -----
    Reflected borders, stride 1 and no normalisation: the output has the input's size, and a pixel depends on nothing
    farther away than :attr:`ResidualDenseConfig.receptive_field`.
    """

    def __init__(self, config: ResidualDenseConfig) -> None:
        super().__init__()
        self.config = config
        features = config.features
        self.shallow = nn.ModuleList([_convolution(2, features), _convolution(features, features)])
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.blocks))
        self.gather = nn.Conv2d(config.blocks * features, features, 1)
        self.deep = _convolution(features, features)
        widths = ((3 if config.skip else 2) * features, *_RECONSTRUCTION)
        self.reconstruct = nn.ModuleList(_convolution(inputs, outputs) for inputs, outputs in pairwise(widths))
        self.last = _convolution(widths[-1], 1)

    def forward(self, images: torch.Tensor, collect: Features | None = None) -> torch.Tensor:
        """Fuse.

        Parameters
        ----------
        images
            ``(N, 2, H, W)``: infrared and visible luma in [0, 1].
        collect
            Called as ``collect(name, features)`` with ``shallow``, ``block_1`` …, ``residual_dense`` and ``deep``.

        Returns
        -------
        ``(N, 1, H, W)`` in [0, 1].
        """

        def seen(name: str, features: torch.Tensor) -> torch.Tensor:
            if collect is not None:
                collect(name, features)
            return features

        x = images
        for layer in self.shallow:
            x = _active(layer, _reflect(x))
        shallow = seen("shallow", x)
        outputs = []
        for number, block in enumerate(self.blocks, start=1):
            x = seen(f"block_{number}", block(x))
            outputs.append(x)
        gathered = seen("residual_dense", self.gather(torch.cat(outputs, 1)))
        deep = _active(self.deep, _reflect(gathered))
        if self.config.skip:
            deep = deep + shallow
        seen("deep", deep)
        x = torch.cat([shallow, gathered, deep] if self.config.skip else [gathered, deep], 1)
        for layer in self.reconstruct:
            x = _active(layer, _reflect(x))
        # Halves of bfloat16 around 1 are a whole 8-bit level apart: the image itself is made in the weights' precision.
        with _as_it_is(x):
            result: torch.Tensor = (torch.tanh(self.last(_reflect(x.to(self.last.weight.dtype)))) + 1) / 2
        return result

    def to_precision(self, layers: torch.dtype, image: torch.dtype) -> ResidualDenseNetwork:
        """Run all layers in one data type and the last one, which makes the image, in another."""
        self.to(layers)
        self.last.to(image)
        return self
