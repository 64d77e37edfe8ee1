"""SCD, the sum of the correlations of differences (Aslantas and Bendes)."""

from __future__ import annotations

import torch

from .correlation import pearson

__all__ = ["scd"]


def scd(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    """Measure how much what each source added to the fused image resembles that source (SCD).

    Parameters
    ----------
    fused, ir, visible
        ``(…, H, W)`` in any common range.

    Returns
    -------
    torch.Tensor
        ``(…)`` in [−2, 2]; higher is better; symmetric in the sources.

    Notes
    -----
    r(F − B, A) + r(F − A, B), where r is Pearson's correlation over all pixels, 0 if one side is constant: what is left
    of the fused image once one source is taken off should be the other one. A fused image F = A + B would be perfect
    even though no display could show it, so the measure rewards contrast beyond that of the sources.

    References
    ----------
    Aslantas, Bendes: A new image quality metric for image fusion: the sum of the correlations of differences,
    AEÜ – International Journal of Electronics and Communications 69 (2015). https://doi.org/10.1016/j.aeue.2015.09.004
    """
    return pearson(fused - visible, ir) + pearson(fused - ir, visible)
