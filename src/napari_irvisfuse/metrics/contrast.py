"""How much contrast and sharpness a fused image has by itself, in grey levels of 0 … 255.

All four count noise as detail, so a high value alone does not make a good fusion. They are given in 8-bit grey levels
whatever the images' range, because published tables are.
"""

from __future__ import annotations

import torch

from napari_irvisfuse.images.filters import pad

__all__ = ["average_gradient", "edge_intensity", "sobel", "sobel_magnitude", "spatial_frequency", "standard_deviation"]

_WHITE = 255.0


def standard_deviation(image: torch.Tensor, *, data_range: float = 1.0) -> torch.Tensor:
    """Global contrast (SD).

    Parameters
    ----------
    image
        ``(…, H, W)`` in [0, ``data_range``].
    data_range
        The value of white.

    Returns
    -------
    torch.Tensor
        ``(…)``, grey levels, 0 for a constant image to 127.5.

    Notes
    -----
    Divided by the number of pixels, not by one less. Rao: In-fibre Bragg grating sensors, Measurement Science and
    Technology 8 (1997) 355 is what the field cites; it is the standard deviation of any textbook.
    """
    return image.std((-2, -1), correction=0) * (_WHITE / data_range)


def spatial_frequency(image: torch.Tensor, *, data_range: float = 1.0) -> torch.Tensor:
    """Overall activity along rows and columns (SF).

    Parameters
    ----------
    image
        ``(…, H, W)`` in [0, ``data_range``].
    data_range
        The value of white.

    Returns
    -------
    torch.Tensor
        ``(…)``, grey levels, 0 for a constant image to 255·√2.

    Notes
    -----
    √(RF² + CF²), with RF² and CF² the sums of squared differences of neighbours divided by H·W, as in Eskicioglu,
    Fisher: Image quality measures and their performance, IEEE Transactions on Communications 43 (1995) 2959–2965.
    """
    across, down = image.diff(dim=-1), image.diff(dim=-2)
    energy = across.square().sum((-2, -1)) + down.square().sum((-2, -1))
    return (energy / (image.shape[-2] * image.shape[-1])).sqrt() * (_WHITE / data_range)


def average_gradient(image: torch.Tensor, *, data_range: float = 1.0) -> torch.Tensor:
    """Mean sharpness (AG).

    Parameters
    ----------
    image
        ``(…, H, W)`` in [0, ``data_range``].
    data_range
        The value of white.

    Returns
    -------
    torch.Tensor
        ``(…)``, grey levels, 0 for a constant image to 255.

    Notes
    -----
    Mean of √((Δx² + Δy²)/2) with forward differences, over the (H − 1)·(W − 1) pixels that have both; Cui, Feng, Xu,
    Li, Chen: Detail preserved fusion of visible and infrared images using regional saliency extraction and multi-scale
    image decomposition, Optics Communications 341 (2015) 199–209. Tools that leave out the ½ print √2 times as much.
    """
    across = image.diff(dim=-1)[..., :-1, :]
    down = image.diff(dim=-2)[..., :, :-1]
    return ((across.square() + down.square()) / 2).sqrt().mean((-2, -1)) * (_WHITE / data_range)


def edge_intensity(image: torch.Tensor, *, data_range: float = 1.0) -> torch.Tensor:
    """Mean magnitude of the Sobel gradient (EI).

    Parameters
    ----------
    image
        ``(…, H, W)`` in [0, ``data_range``].
    data_range
        The value of white.

    Returns
    -------
    torch.Tensor
        ``(…)``, grey levels, 0 for a constant image; no pixel has more than 255·√20.

    Notes
    -----
    Kernels (1, 2, 1) ⊗ (−1, 0, 1) without a factor, edge pixels repeated; Rajalingam, Priya: Hybrid multimodality
    medical image fusion technique for feature enhancement in medical diagnosis, International Journal of Engineering
    Science Invention 2 (2018) 52–60.
    """
    return sobel_magnitude(image, data_range=data_range).mean((-2, -1))


def sobel_magnitude(image: torch.Tensor, *, data_range: float = 1.0) -> torch.Tensor:
    """Sobel gradient of every pixel, ``(…, H, W)``, grey levels; its mean is :func:`edge_intensity`."""
    across, down = sobel(image)
    return (across.square() + down.square()).sqrt() * (_WHITE / data_range)


def sobel(image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradient along rows and along columns of ``(…, H, W)``, same size, edge pixels repeated, no factor."""
    padded = pad(image, 1, 1, "replicate")
    across = padded[..., 2:] - padded[..., :-2]
    down = padded[..., 2:, :] - padded[..., :-2, :]
    return (
        across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :],
        down[..., :-2] + 2 * down[..., 1:-1] + down[..., 2:],
    )
