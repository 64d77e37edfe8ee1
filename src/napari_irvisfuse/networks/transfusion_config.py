"""The sizes of the TransFusion network: the paper's, and those of one that is small enough to be shipped."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from napari_irvisfuse.errors import WeightsError

__all__ = ["COMPACT", "FULL", "PRESETS", "TransFusionConfig"]

_MOST_LEVELS = 5  # a stride of 16, the smallest side of an image: the reflection cannot be longer than that
_MOST = 4096


@dataclass(frozen=True)
class TransFusionConfig:
    """The sizes of the network; stored with its weights. The defaults are the paper's.

    Parameters
    ----------
    channels
        Of each level's features, finest first; level i has a stride of 2 to the power of i − 1.
    convolutions
        3×3 convolutions of the encoder in each level; from the second level on a maximum pooling comes first.
    reductions
        r: the channel perception of a level goes through its channels / r.
    ups
        Channels that each transposed convolution of the decoder gives, deepest stage first: one less than levels.
    decoder
        Channels that each 3×3 convolution of a stage gives, deepest stage first.
    kernel
        Side of the spatial attention's convolution in pixels, odd.
    """

    channels: tuple[int, ...] = (64, 128, 256, 512, 512)
    convolutions: tuple[int, ...] = (2, 2, 4, 4, 4)
    reductions: tuple[int, ...] = (1, 1, 2, 4, 4)
    ups: tuple[int, ...] = (512, 256, 128, 64)
    decoder: tuple[tuple[int, ...], ...] = (
        (768, 512),
        (512, 512, 256, 256),
        (256, 256, 128, 128, 128, 128),
        (128, 128, 128, 64, 64, 64, 32, 32, 16),
    )
    kernel: int = 3

    def __post_init__(self) -> None:
        levels = len(self.channels)
        lengths = [len(self.convolutions), len(self.reductions), len(self.ups) + 1, len(self.decoder) + 1]
        if not 2 <= levels <= _MOST_LEVELS or lengths != [levels] * 4:
            raise WeightsError(f"The network's sizes do not go together: {levels} levels are described by {lengths}.")
        sizes = [*self.channels, *self.convolutions, *self.reductions, *self.ups, self.kernel]
        for widths in self.decoder:
            sizes += widths or (0,)
        wrong = [size for size in sizes if type(size) is not int or not 1 <= size <= _MOST]
        if wrong:
            raise WeightsError(f"The network's sizes should be whole numbers from 1 to {_MOST}; got {wrong[0]!r}.")
        if self.kernel % 2 == 0:
            raise WeightsError(f"The network's kernel should be odd; got {self.kernel}.")
        if any(channels % r for channels, r in zip(self.channels, self.reductions, strict=True)):
            raise WeightsError("The network's reductions should divide its channels.")

    @property
    def strides(self) -> tuple[int, ...]:
        """Image pixels per feature pixel of each level."""
        return tuple(2**number for number in range(len(self.channels)))

    @property
    def stride(self) -> int:
        """What the sides of an image are padded to a multiple of."""
        return self.strides[-1]

    @property
    def steps(self) -> int:
        """Layers that take time: the 3×3 and the transposed convolutions."""
        return sum(self.convolutions) + 2 * len(self.channels) + sum(len(widths) + 1 for widths in self.decoder) + 1

    @property
    def reach(self) -> int:
        """How far around a tile, in pixels, the network looks, but for the pools of the channel perception.

        For tiles that begin and end on multiples of :attr:`stride`.
        """
        need, attended = 1, []  # in pixels of the level, which double from one to the next
        for widths in reversed(self.decoder):
            need += len(widths)
            attended.append(need + 2)  # the two output convolutions; the guidance never reaches farther than they do
            need = -(-need // 2)
        attended.append(need + 2)
        reach = 0
        for number in reversed(range(len(attended))):
            reach = max(2 * reach, attended[number] + self.kernel // 2) + self.convolutions[number]
        return reach

    def to_dict(self) -> dict[str, Any]:
        """Return the sizes as JSON can hold them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TransFusionConfig:
        """Read the sizes as :meth:`to_dict` gives them, also after a way through JSON, which has no tuples.

        Raises
        ------
        WeightsError
            If a size is missing, unknown, or does not go with the others.
        """
        known = {item.name for item in dataclasses.fields(cls)}
        if set(values) != known:
            raise WeightsError(f"These are no sizes of TransFusion: {', '.join(sorted(set(values) ^ known))}.")
        plain = dict(values)
        try:
            for name in ("channels", "convolutions", "reductions", "ups"):
                plain[name] = tuple(plain[name])
            plain["decoder"] = tuple(tuple(widths) for widths in plain["decoder"])
        except TypeError as error:
            raise WeightsError(f"These are no sizes of TransFusion: {name} or decoder is no list.") from error
        return cls(**plain)


FULL = TransFusionConfig()
"""The paper's: all of VGG-19's convolutions, 53 million weights."""

COMPACT = TransFusionConfig(
    channels=(64, 128, 256),
    convolutions=(2, 2, 1),
    reductions=(1, 1, 2),
    ups=(64, 32),
    decoder=((128, 128, 64, 64, 64, 64), (64, 64, 64, 32, 32, 32, 16, 16, 8)),
)
"""Ours: VGG-19 up to relu3_1, and the last two stages of the decoder at half their widths, 3 million weights."""

PRESETS = {"compact": COMPACT, "full": FULL}
