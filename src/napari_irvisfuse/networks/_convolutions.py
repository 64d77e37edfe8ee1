"""3×3 convolutions and what follows them: in place where no gradient needs more, and large ones in pieces."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["Tick", "gelu", "passed", "relu"]

Tick: TypeAlias = Callable[[], None]
"""Called between any two layers, and within long ones; may raise to stop."""

_PIECE = 25_000_000_000
"""Multiplications at a time on a CPU: a fraction of a second. Smaller pieces cost speed."""


def passed(layer: nn.Module, x: torch.Tensor, tick: Tick) -> torch.Tensor:
    """Convolve ``(N, C, h, w)``."""
    return _run(layer, x, lambda y: y, tick)


def gelu(layer: nn.Module, x: torch.Tensor, tick: Tick) -> torch.Tensor:
    """Convolve, then the exact GELU."""
    return _run(layer, x, _gelu, tick)


def relu(layer: nn.Module, x: torch.Tensor, tick: Tick, *, grey: bool = False) -> torch.Tensor:
    """Convolve, then ReLU; ``grey`` sees one channel as that many equal ones as the convolution wants."""
    return _run(layer, x, torch.relu_, tick, grey=grey)


def _gelu(x: torch.Tensor) -> torch.Tensor:
    if x.requires_grad:
        return F.gelu(x)
    result: torch.Tensor = torch.ops.aten.gelu_(x)  # asking the system for another tensor takes longer than the GELU
    return result


def _run(
    layer: nn.Module,
    x: torch.Tensor,
    activate: Callable[[torch.Tensor], torch.Tensor],
    tick: Tick,
    *,
    grey: bool = False,
) -> torch.Tensor:
    assert isinstance(layer, nn.Conv2d)
    weight, bias = layer.weight, layer.bias
    if grey:
        weight = weight.sum(1, keepdim=True)

    def convolve(part: torch.Tensor) -> torch.Tensor:
        tick()
        return activate(F.conv2d(part, weight, bias, padding=1))

    n, _, height, width = x.shape
    pieces = min(height, -(-height * width * weight.numel() // _PIECE))
    learning = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    if pieces == 1 or x.device.type != "cpu" or learning:
        return convolve(x)
    size = (n, weight.shape[0], height, width)
    result = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    rows = -(-height // pieces)
    for image, out in zip(x.chunk(n), result.chunk(n), strict=True):  # rows of one image are one stretch of memory
        for top in range(0, height, rows):
            bottom = min(height, top + rows)
            first, last = max(0, top - 1), min(height, bottom + 1)
            out[..., top:bottom, :] = convolve(image[..., first:last, :])[..., top - first : bottom - first, :]
    return result
