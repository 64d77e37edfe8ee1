"""Does a fused sequence flicker? For stacks only: a single image has no time."""

from __future__ import annotations

import torch

__all__ = ["flicker", "temporal_change"]


def temporal_change(stack: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of each frame from the one before.

    Parameters
    ----------
    stack
        ``(…, T, H, W)`` in [0, 1], at least two frames.

    Returns
    -------
    torch.Tensor
        ``(…, T − 1)`` in [0, 1]: a curve over time.
    """
    return stack.diff(dim=-3).abs().mean((-2, -1))


def flicker(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    """Temporal change of a fused sequence against that of its sources.

    Parameters
    ----------
    fused, ir, visible
        ``(…, T, H, W)`` in [0, 1], at least two frames.

    Returns
    -------
    torch.Tensor
        ``(…)``, 0 upwards, lower is better: the mean absolute temporal difference of the fused frames, divided by the
        mean of the same of the two sources. 1 if nothing moves anywhere, ∞ if only the fused frames change. Symmetric
        in the sources.

    Notes
    -----
    Sources that move and flicker themselves set the scale. Averaging them can never exceed 1 (triangle inequality);
    above 1, frames differ more than their sources do, for example since a normalisation or a decision jumps from frame
    to frame. Well below 1, motion was lost. For the course over time see :func:`temporal_change`.
    """
    change, of_ir, of_visible = (temporal_change(stack).mean(-1) for stack in (fused, ir, visible))
    expected = (of_ir + of_visible) / 2
    still = (change == 0) & (expected == 0)
    return torch.where(still, torch.ones_like(change), change / expected)
