"""Entropy and mutual information of grey levels, in bits."""

from __future__ import annotations

import math

import torch

__all__ = ["entropy", "mutual_information", "normalised_mutual_information"]


def entropy(image: torch.Tensor, *, bins: int = 256, data_range: float = 1.0) -> torch.Tensor:
    """Shannon entropy of the grey levels (EN).

    Parameters
    ----------
    image
        ``(…, H, W)`` in [0, ``data_range``].
    bins
        Grey levels that are told apart; values are rounded to the nearest.
    data_range
        The value of white.

    Returns
    -------
    torch.Tensor
        ``(…)``, bits, 0 for a constant image to log2(``bins``) where all levels are equally frequent.

    Notes
    -----
    H = −Σ p log2 p over the levels present (Shannon 1948; for fusion Roberts, van Aardt, Ahmed 2008). It rises with
    noise as well: a high value alone does not make a good fusion.
    """
    return _entropy(_counts(_levels(image, bins, data_range), bins))


def mutual_information(
    fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor, *, bins: int = 256, data_range: float = 1.0
) -> torch.Tensor:
    """Information that the fused image shares with its sources (MI).

    Parameters
    ----------
    fused, ir, visible
        ``(…, H, W)`` in [0, ``data_range``].
    bins, data_range
        As for :func:`entropy`.

    Returns
    -------
    torch.Tensor
        ``(…)``, I(A;F) + I(B;F) in bits, 0 to 2·log2(``bins``); symmetric in the sources.

    Notes
    -----
    I(A;F) = H(A) + H(F) − H(A,F) from the joint histogram; Qu, Zhang, Yan: Information measure for performance of image
    fusion, Electronics Letters 38 (2002) 313–315. Small images share information by chance, since most of the
    ``bins``² cells are empty: compare images of one size only.
    """
    f, *sources = (_levels(image, bins, data_range) for image in (fused, ir, visible))
    shared = [_shared(source, f, bins)[0] for source in sources]
    return shared[0] + shared[1]


def normalised_mutual_information(
    fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor, *, bins: int = 256, data_range: float = 1.0
) -> torch.Tensor:
    """Information shared with each source, as a share of what the two images hold (NMI).

    Parameters
    ----------
    fused, ir, visible
        ``(…, H, W)`` in [0, ``data_range``].
    bins, data_range
        As for :func:`entropy`.

    Returns
    -------
    torch.Tensor
        ``(…)``, 0 (nothing shared, or nothing there: constant images) to 2 (all three hold the same);
        symmetric in the sources.

    Notes
    -----
    2·(I(A;F)/(H(A)+H(F)) + I(B;F)/(H(B)+H(F))): Hossny, Nahavandi, Creighton: Comments on "Information measure for
    performance of image fusion", Electronics Letters 44 (2008) 1066–1067. Plain MI favours the source of higher
    entropy.
    """
    f, *sources = (_levels(image, bins, data_range) for image in (fused, ir, visible))
    shares = []
    for source in sources:
        shared, total = _shared(source, f, bins)
        shares.append(torch.where(total > 0, 2 * shared / total, torch.zeros_like(total)))
    return shares[0] + shares[1]


def _levels(image: torch.Tensor, bins: int, data_range: float) -> torch.Tensor:
    scaled = image * ((bins - 1) / data_range)
    return torch.floor(scaled + 0.5).clamp(0, bins - 1).long()


def _counts(levels: torch.Tensor, bins: int) -> torch.Tensor:
    """Histogram of each plane of ``(…, H, W)``: ``(…, bins)``."""
    planes = levels.flatten(-2).reshape(-1, levels.shape[-2] * levels.shape[-1])
    first = torch.arange(len(planes), device=levels.device)[:, None] * bins
    counts = torch.bincount((planes + first).flatten(), minlength=len(planes) * bins)
    return counts.reshape(*levels.shape[:-2], bins)


def _entropy(counts: torch.Tensor) -> torch.Tensor:
    # float64, except on Apple GPUs, which have none
    dtype = torch.float32 if counts.device.type == "mps" else torch.float64
    share = counts.to(dtype) / counts.sum(-1, keepdim=True)
    nats: torch.Tensor = torch.special.entr(share).sum(-1)
    return nats / math.log(2)


def _shared(a: torch.Tensor, b: torch.Tensor, bins: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return I(a;b) and H(a) + H(b)."""
    total = _entropy(_counts(a, bins)) + _entropy(_counts(b, bins))
    joint = _entropy(_counts(a * bins + b, bins * bins))
    # rounding leaves −1e-16 for independent images
    return (total - joint).clamp(min=0), total
