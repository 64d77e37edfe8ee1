"""Reductions of features, taken in bands so that a CPU does them in its cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch

__all__ = ["Pools", "channel_energy", "in_rows", "pool"]

Pools: TypeAlias = tuple[torch.Tensor, torch.Tensor]
"""Maximum and mean of each channel, ``(N, C)``."""


def pool(features: torch.Tensor) -> Pools:
    """Return maximum and mean of each channel of ``(N, C, h, w)``, in float32 at least."""
    dtype = torch.promote_types(features.dtype, torch.float32)
    area = features.shape[-2] * features.shape[-1]
    sums = [part.sum((-2, -1), dtype=dtype) for part in in_rows(features)]
    return features.amax((-2, -1)).to(dtype), torch.stack(sums).sum(0) / area


def in_rows(features: torch.Tensor) -> Sequence[torch.Tensor]:
    """Cut ``(N, C, h, w)`` into bands of about a million values on a CPU, to work on them in its cache.

    Converted as a whole they would be written to memory once and read once, which takes longer than summing up.
    """
    if features.device.type != "cpu":
        return (features,)
    return features.tensor_split(max(1, min(features.shape[-2], features.numel() >> 20)), -2)


def channel_energy(features: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return the mean of the absolute values over the channels of ``(N, C, h, w)``; ``(N, 1, h, w)``."""
    sums = [part.abs().sum(1, keepdim=True, dtype=dtype) for part in in_rows(features)]
    return torch.cat(sums, -2) / features.shape[1]
