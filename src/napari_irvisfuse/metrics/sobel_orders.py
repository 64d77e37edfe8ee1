"""Sobel gradients whose last digit is that of published code.

Where two images, or two neighbouring pixels, have the same gradient, a measure that asks which one is larger gets its
answer from rounding. Whole regions are like that: one source is copied, or an edge is straight. Qabf, N_abf and FMI of
edges all ask, and change by up to 0.006, 0.004 and 0.0001 with the order in which a few numbers are added. So the order
is part of the definition.
"""

from __future__ import annotations

import torch

__all__ = ["sobel_by_columns", "sobel_by_products"]


def sobel_by_products(padded: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Add the six products one by one, as MATLAB's ``conv2`` and ``imfilter`` do.

    Parameters
    ----------
    padded
        ``(…, H + 2, W + 2)``.

    Returns
    -------
    tuple of torch.Tensor
        Derivatives to the right and downwards, ``(…, H, W)`` each, unscaled: kernels (1, 2, 1) ⊗ (−1, 0, 1). Powers
        of two change no digit, so the scale is the caller's.

    Notes
    -----
    From the last column to the first, each from its last row to its first.
    """
    height, width = padded.shape[-2] - 2, padded.shape[-1] - 2
    x = torch.zeros(*padded.shape[:-2], height, width, dtype=padded.dtype, device=padded.device)
    y = torch.zeros_like(x)
    for column in (2, 1, 0):
        for row in (2, 1, 0):
            pixel = padded[..., row : row + height, column : column + width]
            if column != 1:
                x.add_(pixel, alpha=(2 - abs(row - 1)) * (column - 1))
            if row != 1:
                y.add_(pixel, alpha=(2 - abs(column - 1)) * (row - 1))
    return x, y


def sobel_by_columns(padded: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Add up each column of three first, then the columns, as ``sum(sum(window .* kernel))`` does.

    Parameters and result as for :func:`sobel_by_products`.
    """
    column = (padded[..., :-2, :] + 2 * padded[..., 1:-1, :]) + padded[..., 2:, :]
    x = column[..., 2:] - column[..., :-2]
    column = padded[..., 2:, :] - padded[..., :-2, :]
    y = (column[..., :-2] + 2 * column[..., 1:-1]) + column[..., 2:]
    return x, y
