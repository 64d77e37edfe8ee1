"""The TransFusion network (Qian, An, Liu, Tang, Xiao, Bavirisetti, IPT 150, 2025): VGG-19, adaptive fusion, decoder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import nn

from ._convolutions import Tick, gelu, passed, relu
from .pooling import Pools, pool
from .transfusion_config import TransFusionConfig

__all__ = ["FusedLevels", "Gates", "Guidance", "Seen", "TransFusion"]

Guidance: TypeAlias = Literal["paper", "none"]
"""Whether a level's spatial attention is guided by the deeper one's, as in the paper, or stands alone, as published."""

Seen: TypeAlias = Callable[[str, int, torch.Tensor], None]
"""``seen(name, level, values)``, levels from 1; the values are only valid during the call."""

Gates: TypeAlias = Sequence[tuple[torch.Tensor, torch.Tensor]]
"""For each level g_I and g_V, ``(N, C)`` in [0, 1]."""


@dataclass(frozen=True, eq=False)
class FusedLevels:
    """What the fusion blocks make of two images; finest level first.

    Parameters
    ----------
    levels
        L_i, ``(N, C, h, w)``.
    gates
        g_I and g_V of each level, ``(N, C)``.
    attention
        S_i, ``(N, 1, h, w)`` in [0, 1].
    """

    levels: list[torch.Tensor]
    gates: Gates
    attention: list[torch.Tensor]


class _Perception(nn.Module):
    """Channel perception of one modality: w(X) = σ(MLP(maxpool X) + MLP(avgpool X)); the layers are 1×1, no bias."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, channels // reduction, 1, bias=False)
        self.expand = nn.Conv2d(channels // reduction, channels, 1, bias=False)

    def forward(self, pools: Pools) -> torch.Tensor:
        maximum, mean = (
            self.expand(torch.relu(self.reduce(x.to(self.reduce.weight.dtype)[..., None, None]))) for x in pools
        )
        return torch.sigmoid(maximum + mean)[..., 0, 0]


class _Fusion(nn.Module):
    """The fusion block of one level: channel perception, mean, spatial attention, output convolutions."""

    def __init__(self, channels: int, reduction: int, kernel: int) -> None:
        super().__init__()
        self.ir = _Perception(channels, reduction)
        self.visible = _Perception(channels, reduction)
        self.attention = nn.Conv2d(2, 1, kernel, padding=kernel // 2)
        self.output = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))

    def gates(self, ir: Pools, visible: Pools) -> tuple[torch.Tensor, torch.Tensor]:
        """Let the modalities compete: g_I = σ(2w_I − w_V), g_V = σ(2w_V − w_I)."""
        w_ir, w_visible = self.ir(ir), self.visible(visible)
        return torch.sigmoid(2 * w_ir - w_visible), torch.sigmoid(2 * w_visible - w_ir)

    @staticmethod
    def merge(ir: torch.Tensor, visible: torch.Tensor, gates: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """Return M = (A(1 + g_I) + B(1 + g_V)) / 2."""
        share_ir, share_visible = ((1 + g.to(ir.dtype)[..., None, None]) / 2 for g in gates)
        return (ir * share_ir).addcmul_(visible, share_visible)

    def attend(self, merged: torch.Tensor, deeper: torch.Tensor | None) -> torch.Tensor:
        """Return S of one level, guided by the deeper one's if that is given."""
        seen = torch.cat([merged.amax(1, keepdim=True), merged.mean(1, keepdim=True)], 1)
        attention = torch.sigmoid(self.attention(seen))
        if deeper is not None:
            large = F.interpolate(deeper, scale_factor=2.0, mode="bilinear", align_corners=False)
            attention = torch.sigmoid(attention + large)
        return attention.to(merged.dtype)

    def result(self, merged: torch.Tensor, attention: torch.Tensor, tick: Tick) -> torch.Tensor:
        """Return L = GELU(conv(conv(Q))) with Q = M(1 + S)."""
        first, second = self.output
        return gelu(second, passed(first, torch.addcmul(merged, merged, attention), tick), tick)


class _Stage(nn.Module):
    """A stage of the decoder: twice as large, joined with that level, convolutions with exact GELU."""

    def __init__(self, deeper: int, up: int, level: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(deeper, up, 2, stride=2)
        self.convolutions = _chain((up + level, *widths))

    def join(self, deeper: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        """Return what the convolutions work on. They are not run here: the caller would keep this all the while."""
        return torch.cat([self.up(deeper), level], 1)


def _chain(widths: Sequence[int]) -> nn.ModuleList:
    return nn.ModuleList(nn.Conv2d(inputs, outputs, 3, padding=1) for inputs, outputs in pairwise(widths))


def _no_tick() -> None:
    pass


class TransFusion(nn.Module):
    """A shared encoder, a fusion block on each of its levels, and a decoder.

    Parameters
    ----------
    config
        Its sizes.

    Notes
    -----
    ``encoder``, ``fusion`` and ``decoder`` with ``last`` are what the two stages of the training train or freeze.
    :meth:`forward` is for both training and inference: what the fusion does not need any more is freed on the way if
    no gradient holds it, so that of one level's features never more than a few are in memory.
    """

    def __init__(self, config: TransFusionConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.channels
        # VGG-19 sees three channels; the grey image in all of them is folded when it is used, see _encode_level
        self.encoder = nn.ModuleList(
            _chain((inputs, *[outputs] * count))
            for inputs, outputs, count in zip((3, *channels), channels, config.convolutions, strict=False)
        )
        self.fusion = nn.ModuleList(
            _Fusion(count, r, config.kernel) for count, r in zip(channels, config.reductions, strict=True)
        )
        stages = []
        deeper = channels[-1]
        for up, level, widths in zip(config.ups, channels[-2::-1], config.decoder, strict=True):
            stages.append(_Stage(deeper, up, level, widths))
            deeper = widths[-1]
        self.decoder = nn.ModuleList(stages)
        self.last = nn.Conv2d(deeper, 1, 3, padding=1)

    def pad(self, image: torch.Tensor) -> torch.Tensor:
        """Extend ``(N, C, H, W)`` to multiples of the stride, by reflection, below and to the right; H, W ≥ stride."""
        height, width = image.shape[-2:]
        below, right = -height % self.config.stride, -width % self.config.stride
        return F.pad(image, (0, right, 0, below), mode="reflect") if below or right else image

    def encode(self, image: torch.Tensor, tick: Tick = _no_tick) -> list[torch.Tensor]:
        """Return the features of every level.

        Parameters
        ----------
        image
            ``(N, 1, H, W)`` in [0, 1], the sides multiples of the stride; goes repeated into three channels, not
            normalised as ImageNet's pictures were.
        tick
            Called between any two layers; may raise to stop.

        Returns
        -------
        A tensor ``(N, C, H/s, W/s)`` of each level, finest first.
        """
        levels: list[torch.Tensor] = []
        for number in range(len(self.config.channels)):
            x = F.max_pool2d(levels[-1], 2) if number else image
            levels.append(self._encode_level(number, x, tick))
        return levels

    def _encode_level(self, number: int, x: torch.Tensor, tick: Tick) -> torch.Tensor:
        layers = self.encoder[number]
        assert isinstance(layers, nn.ModuleList)
        for index, layer in enumerate(layers):
            x = relu(layer, x, tick, grey=number == index == 0)
        return x

    def gates(
        self, ir: Sequence[torch.Tensor], visible: Sequence[torch.Tensor], valid: tuple[int, int] | None = None
    ) -> Gates:
        """Return the channel gates of every level.

        Parameters
        ----------
        ir, visible
            Features as :meth:`encode` gives them.
        valid
            Height and width of the image before it was padded, in pixels; all is valid if None.
        """
        pools = [[pool(self._valid(x, n, valid)) for n, x in enumerate(levels)] for levels in (ir, visible)]
        return self.gates_of(*pools)

    def gates_of(self, ir: Sequence[Pools], visible: Sequence[Pools]) -> Gates:
        """Return the channel gates of every level by the pools of the whole images."""
        return [level.gates(a, b) for level, a, b in zip(self.fusion, ir, visible, strict=True)]  # type: ignore[operator]

    def _valid(self, x: torch.Tensor, number: int, valid: tuple[int, int] | None) -> torch.Tensor:
        """Cut off what is beyond the image; a feature pixel counts if some of its image pixels are there."""
        if valid is None:
            return x
        stride = self.config.strides[number]
        return x[..., : -(-valid[0] // stride), : -(-valid[1] // stride)]

    def fuse_levels(
        self,
        ir: Sequence[torch.Tensor],
        visible: Sequence[torch.Tensor],
        guidance: Guidance = "paper",
        valid: tuple[int, int] | None = None,
        gates: Gates | None = None,
    ) -> FusedLevels:
        """Fuse the features of two images, level by level.

        Parameters
        ----------
        ir, visible
            A1 … and B1 …, as :meth:`encode` gives them.
        guidance
            Whether the deeper level's attention guides the next; both ways have the same weights.
        valid
            As for :meth:`gates`.
        gates
            Channel gates that are known already, for example of the image that this is a part of.
        """
        if gates is None:
            gates = self.gates(ir, visible, valid)
        merged = [_Fusion.merge(a, b, g) for a, b, g in zip(ir, visible, gates, strict=True)]
        attention: list[torch.Tensor] = []

        def seen(name: str, level: int, values: torch.Tensor) -> None:
            if name == "attention":
                attention.insert(0, values)

        levels = list(self._fused(merged, guidance, None, seen, _no_tick))
        return FusedLevels(levels[::-1], gates, attention)

    def _fused(
        self, merged: list[torch.Tensor], guidance: Guidance, valid: tuple[int, int] | None, seen: Seen, tick: Tick
    ) -> Iterator[torch.Tensor]:
        """Give L of every level, deepest first, and take ``merged`` apart on the way."""
        attention: torch.Tensor | None = None

        def level(number: int, block: _Fusion) -> torch.Tensor:
            nonlocal attention
            m = merged.pop()
            attention = block.attend(m, attention if guidance == "paper" else None)
            seen("attention", number + 1, self._valid(attention, number, valid))
            result = block.result(m, attention, tick)
            seen("fused", number + 1, self._valid(result, number, valid))
            return result

        for number in reversed(range(len(merged))):
            yield level(number, self.fusion[number])  # type: ignore[arg-type]

    def decode(self, levels: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the image ``(N, 1, H, W)``, not below 0, that the features of every level, finest first, make."""
        return self._decode(reversed(levels), _no_tick)

    def _decode(self, levels: Iterable[torch.Tensor], tick: Tick) -> torch.Tensor:
        remaining = iter(levels)
        x = next(remaining)
        for stage in self.decoder:
            assert isinstance(stage, _Stage)
            tick()
            x = stage.join(x, next(remaining))
            for convolution in stage.convolutions:
                x = gelu(convolution, x, tick)
        return relu(self.last, x, tick)

    def reconstruct(self, image: torch.Tensor) -> torch.Tensor:
        """Encode and decode one image ``(N, 1, H, W)``; what the first stage of the training trains."""
        height, width = image.shape[-2:]
        return self.decode(self.encode(self.pad(image)))[..., :height, :width]

    def forward(
        self,
        ir: torch.Tensor,
        visible: torch.Tensor,
        guidance: Guidance = "paper",
        gates: Gates | None = None,
        seen: Seen | None = None,
        tick: Tick = _no_tick,
    ) -> torch.Tensor:
        """Fuse.

        Parameters
        ----------
        ir, visible
            Luma ``(N, 1, H, W)`` in [0, 1]; sides of at least the stride.
        guidance, gates
            As for :meth:`fuse_levels`.
        seen
            Told of ``ir`` and ``visible`` (features), ``ir_gates`` and ``visible_gates``, ``attention`` and ``fused``
            (features) of every level, without what was padded.
        tick
            Called between any two layers, and within long ones; may raise to stop.

        Returns
        -------
        ``(N, 1, H, W)``, not below 0.
        """
        size = ir.shape[-2], ir.shape[-1]
        seen = seen or (lambda *_: None)
        merged = []
        x = self.pad(torch.cat([ir, visible]))
        for number in range(len(self.config.channels)):
            if number:
                x = F.max_pool2d(x, 2)
            x = self._encode_level(number, x, tick)
            merged.append(self._merge(number, x, size, None if gates is None else gates[number], seen))
        del x
        return self._decode(self._fused(merged, guidance, size, seen, tick), tick)[..., : size[0], : size[1]]

    def _merge(
        self,
        number: int,
        both: torch.Tensor,
        size: tuple[int, int],
        gates: tuple[torch.Tensor, torch.Tensor] | None,
        seen: Seen,
    ) -> torch.Tensor:
        block: _Fusion = self.fusion[number]  # type: ignore[assignment]
        ir, visible = (self._valid(part, number, size) for part in both.chunk(2))
        if gates is None:
            gates = block.gates(pool(ir), pool(visible))
        for name, features, gate in zip(("ir", "visible"), (ir, visible), gates, strict=True):
            seen(name, number + 1, features)
            seen(f"{name}_gates", number + 1, gate)
        first, second = both.chunk(2)
        return block.merge(first, second, gates)
