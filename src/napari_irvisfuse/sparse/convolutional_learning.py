"""Learning the filters of a convolutional dictionary from images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from napari_irvisfuse.errors import Cancelled, ImageError
from napari_irvisfuse.images.lowpass import tikhonov_lowpass
from napari_irvisfuse.types import Cancel, Progress

from .convolutional import CodingOptions, SparseMaps, sparse_code

__all__ = ["highpass", "learn_convolutional"]

_CROP = 96
_TAPER = 8  # crops fade to 0 at their borders, since coding takes them as periodic
_MARGIN = 16  # of the low-pass
_BATCH = 4
_ADAPTING, _ITERATIONS, _TOLERANCE = 20, 120, 5e-3  # of coding; what is left is averaged out by the statistics
_FORGETTING = 10.0  # the larger, the sooner steps with early, poor filters count no more
_DESCENTS = 60


def highpass(image: torch.Tensor) -> torch.Tensor:
    """Return what the method codes: the image ``(…, H, W)`` without its Tikhonov low-pass, λ = 5."""
    return image - tikhonov_lowpass(image, 5.0, margin=_MARGIN)


def learn_convolutional(
    images: Sequence[torch.Tensor],
    *,
    filters: int = 32,
    size: int = 8,
    sparsity: float = 0.01,
    steps: int = 160,
    seed: int = 0,
    progress: Progress | None = None,
    cancelled: Cancel | None = None,
) -> torch.Tensor:
    """Learn filters of which images, freed from low frequencies, are sparse sums.

    Parameters
    ----------
    images
        Luma ``(H, W)`` in [0, 1], of any sizes from 16×16, on one device; what is smaller than a crop is extended by 0.
    filters, size
        M filters of ``size``×``size``.
    sparsity
        λ that they are learnt for: that of the method that they are meant for.
    steps
        Crops of 96×96 are coded, four a step.
    seed
        Of the crops and of the first filters; the same seed on the same machine gives the same filters.
    progress, cancelled
        As everywhere.

    Returns
    -------
    ``(M, size, size)`` float32, norm 1 each, on the images' device, the most used filter first.

    Raises
    ------
    ImageError
        If there is no image, or none with any detail.
    Cancelled
        If ``cancelled`` answered True.

    Notes
    -----
    Online learning with second-order statistics: Liu, Garcia-Cardona, Wohlberg, Yin, First- and second-order methods
    for online convolutional dictionary learning, SIAM Journal on Imaging Sciences 11 (2018), algorithm 2. Each step
    codes new crops, adds them to statistics that forget slowly, and minimises over the filters.
    """
    if not images:
        raise ImageError("There is no image to learn from: give at least one.")
    generator = torch.Generator().manual_seed(seed)
    details = [_prepare(image) for image in images]
    crops = _Crops(details, generator)
    dictionary = crops.first_filters(filters, size)
    statistics = _Statistics(dictionary)

    def check() -> None:
        if cancelled is not None and cancelled():
            raise Cancelled

    options = CodingOptions(
        sparsity=sparsity,
        penalty=100 * sparsity + 0.5,
        iterations=_ITERATIONS,
        tolerance=_TOLERANCE,
        adapting=_ADAPTING,
    )
    for step in range(steps):
        check()
        if progress is not None:
            progress(step, steps, "Learning filters")
        batch = crops.take(_BATCH)
        coded = sparse_code(batch, dictionary, options, check=check)
        statistics.add(batch[:, 0], coded, (1 - 1 / (step + 1)) ** _FORGETTING)
        dictionary = statistics.improve(dictionary)
    if progress is not None:
        progress(steps, steps, "Done")
    return dictionary[statistics.usage().argsort(descending=True)]


def _prepare(image: torch.Tensor) -> torch.Tensor:
    detail = highpass(image.float())
    missing = [max(0, _CROP - side) for side in detail.shape]
    return F.pad(detail, (0, missing[1], 0, missing[0]))


class _Crops:
    """Random pieces of the images, every pixel as likely as any other."""

    def __init__(self, details: list[torch.Tensor], generator: torch.Generator) -> None:
        self._details = details
        self._generator = generator
        self._shares = torch.tensor([item.numel() for item in details], dtype=torch.float64)
        ramp = torch.sin(torch.arange(1, _TAPER + 1, dtype=torch.float64) / (_TAPER + 1) * torch.pi / 2).square()
        taper = torch.ones(_CROP, dtype=torch.float64)
        taper[:_TAPER], taper[-_TAPER:] = ramp, ramp.flip(0)
        self._window = (taper[:, None] * taper).to(details[0])

    def take(self, count: int) -> torch.Tensor:
        """Return ``(count, 1, 96, 96)``."""
        return torch.stack([self._crop(_CROP) * self._window for _ in range(count)])[:, None]

    def first_filters(self, count: int, size: int) -> torch.Tensor:
        """Return the strongest of many small pieces, without their means, of norm 1."""
        pieces = torch.stack([self._crop(size) for _ in range(20 * count)])
        pieces -= pieces.mean((-2, -1), keepdim=True)
        norms = pieces.flatten(1).norm(dim=1)
        best = norms.argsort(descending=True, stable=True)[:count]
        if not norms[best[-1]] > 0:
            raise ImageError("The images have too little detail to learn from: choose others, or more of them.")
        filters: torch.Tensor = pieces[best] / norms[best, None, None]
        return filters

    def _crop(self, size: int) -> torch.Tensor:
        detail = self._details[int(torch.multinomial(self._shares, 1, generator=self._generator))]
        top, left = (int(torch.randint(side - size + 1, (), generator=self._generator)) for side in detail.shape)
        return detail[top : top + size, left : left + size]


class _Statistics:
    """All that the best filters depend on: how coefficients go with each other and with the image, at short distances.

    ½‖Σ dₘ∗xₘ − s‖² = ½ dᵀG d − cᵀd + const over the taps d, with G and c summed over crops.
    """

    def __init__(self, dictionary: torch.Tensor) -> None:
        self._shape = tuple(dictionary.shape)
        filters, size, _ = dictionary.shape
        self._pairs = dictionary.new_zeros(filters, filters, 2 * size - 1, 2 * size - 1)
        self._target = torch.zeros_like(dictionary)
        self._usage = dictionary.new_zeros(filters)

    def add(self, batch: torch.Tensor, coded: list[SparseMaps], memory: float) -> None:
        """Add crops ``(B, 96, 96)`` and their maps; what was there before counts ``memory`` times."""
        _, size, _ = self._shape
        for statistic in (self._pairs, self._target, self._usage):
            statistic *= memory
        lags = torch.arange(1 - size, size, device=batch.device) % _CROP
        for image, item in zip(batch, coded, strict=True):
            maps = item.dense()
            self._usage += maps.abs().sum((-2, -1))
            spectra = torch.fft.rfft2(maps)
            towards = torch.fft.irfft2(spectra.conj() * torch.fft.rfft2(image), s=(_CROP, _CROP))
            self._target += towards[:, :size, :size]
            for m, spectrum in enumerate(spectra):  # one row of pairs at a time bounds the memory
                together = torch.fft.irfft2(spectrum.conj() * spectra, s=(_CROP, _CROP))
                self._pairs[m] += together[:, lags[:, None], lags]

    def improve(self, dictionary: torch.Tensor) -> torch.Tensor:
        """Descend from ``dictionary`` (accelerated projected gradients, FISTA); unused filters stay."""
        gram = self._gram()
        step = 1 / _largest_eigenvalue(gram)
        current = ahead = dictionary
        momentum = 1.0
        for _ in range(_DESCENTS):
            slope = (gram @ ahead.flatten()).view_as(ahead) - self._target
            following = _project(ahead - step * slope)
            faster = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
            ahead = following + (momentum - 1) / faster * (following - current)
            current, momentum = following, faster
        norms = current.flatten(1).norm(dim=1)[:, None, None]
        return torch.where(norms > 0, current / norms, dictionary)

    def usage(self) -> torch.Tensor:
        """Return how much each filter was used of late, ``(M,)``."""
        return self._usage

    def _gram(self) -> torch.Tensor:
        """Return G, ``(M·h·w, M·h·w)``: the entry of two taps depends on the distance between them only."""
        filters, size, _ = self._shape
        tap = torch.arange(size, device=self._pairs.device)
        lag = tap[:, None] - tap + size - 1  # (of the first filter, of the second)
        entries = self._pairs[:, :, lag[:, None, :, None], lag[None, :, None, :]]  # (M, M, y, x, y', x')
        gram: torch.Tensor = entries.permute(0, 2, 3, 1, 4, 5).reshape(filters * size**2, filters * size**2)
        return gram


def _project(filters: torch.Tensor) -> torch.Tensor:
    projected: torch.Tensor = filters / filters.flatten(1).norm(dim=1).clamp_min(1)[:, None, None]
    return projected


def _largest_eigenvalue(matrix: torch.Tensor) -> float:
    """Return an upper bound close to it, by power iteration."""
    # from noise: filters have no mean, and from a constant vector it would take long to find where they are
    start = torch.randn(len(matrix), generator=torch.Generator().manual_seed(0))
    vector = start.to(matrix)
    for _ in range(40):
        vector = matrix @ (vector / vector.norm())
    return 1.1 * float(vector.norm())
