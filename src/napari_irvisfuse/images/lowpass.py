"""Low-pass filters that split an image into base and detail."""

from __future__ import annotations

import torch

from .filters import pad

__all__ = ["tikhonov_lowpass"]


def tikhonov_lowpass(image: torch.Tensor, regularisation: float, *, margin: int = 16) -> torch.Tensor:
    """Smooth by penalising gradients: argmin_b ‖b − I‖² + λ(‖∇_r b‖² + ‖∇_c b‖²), solved in the Fourier domain.

    Parameters
    ----------
    image
        ``(…, H, W)``, H and W at least ``margin``.
    regularisation
        λ; larger is smoother.
    margin
        Width of the symmetric extension in pixels that keeps opposite borders from bleeding into each other.

    Returns
    -------
    ``(…, H, W)``.

    Notes
    -----
    The base layer of Liu, Chen, Ward, Wang: Image fusion with convolutional sparse representation, IEEE SPL 2016.
    With forward differences, |G(k)|² = 2 − 2 cos(2πk/n).
    """
    padded = pad(image, margin, margin, "symmetric")
    rows, columns = padded.shape[-2:]

    def spectrum(frequency: torch.Tensor) -> torch.Tensor:
        return 2 - 2 * torch.cos(2 * torch.pi * frequency)

    # on the CPU, since Apple GPUs have no float64; these are one-dimensional
    vertical = spectrum(torch.fft.fftfreq(rows, dtype=torch.float64))
    horizontal = spectrum(torch.fft.rfftfreq(columns, dtype=torch.float64))
    response = 1 / (1 + regularisation * (vertical[:, None] + horizontal))
    smooth: torch.Tensor = torch.fft.irfft2(torch.fft.rfft2(padded) * response.to(image), s=(rows, columns))
    return smooth[..., margin : rows - margin, margin : columns - margin]
