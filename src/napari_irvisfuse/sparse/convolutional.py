"""Convolutional sparse coding: an image as a sum of filters, each convolved with a map that is nearly everywhere 0."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F

__all__ = ["CodingOptions", "FilterBank", "SparseMaps", "sparse_code"]

_RATIO = 1.2  # the penalty is changed where one residual is this many times the other
_LARGEST_CHANGE = 1000.0
_CPU_STRIP = 1 << 13  # pixels at a time: all coefficients of a strip stay in the cache of a core
_GPU_STRIP = 1 << 18


@dataclass(frozen=True)
class CodingOptions:
    """What is minimised, and when that is good enough.

    Parameters
    ----------
    sparsity
        λ of ½‖Σ dₘ∗xₘ − s‖² + λ Σ‖xₘ‖₁.
    penalty
        ρ that ADMM starts with.
    iterations
        At most so many.
    tolerance
        Both relative residuals are smaller than this at the end, unless the iterations run out before.
    relaxation
        α between 1 (none) and 2.
    adapting
        In the first so many iterations ρ follows the residuals. It is constant then, as convergence asks for: on very
        sparse images it would swing for ever, far from the minimum.
    """

    sparsity: float
    penalty: float
    iterations: int = 500
    tolerance: float = 1e-3
    relaxation: float = 1.8
    adapting: int = 200


@dataclass(frozen=True, eq=False)
class SparseMaps:
    """Coefficient maps of one image, without their zeros.

    Parameters
    ----------
    index
        ``(K,)``, rising: where in the flat ``(M, H, W)`` the values stand.
    values
        ``(K,)``.
    shape
        (M, H, W).
    iterations
        How many it took to find them.
    """

    index: torch.Tensor
    values: torch.Tensor
    shape: tuple[int, int, int]
    iterations: int

    @property
    def pixel(self) -> torch.Tensor:
        """Where in the flat ``(H, W)`` each value stands."""
        return self.index % (self.shape[1] * self.shape[2])

    def activity(self) -> torch.Tensor:
        """Sum of magnitudes over the filters, ``(H, W)``."""
        _, height, width = self.shape
        total = torch.zeros(height * width, dtype=self.values.dtype, device=self.values.device)
        return total.index_add_(0, self.pixel, self.values.abs()).view(height, width)

    def kept(self, mask: torch.Tensor) -> SparseMaps:
        """Return the maps with 0 where the mask ``(H, W)`` is False."""
        chosen = mask.flatten()[self.pixel]
        return SparseMaps(self.index[chosen], self.values[chosen], self.shape, self.iterations)

    def dense(self) -> torch.Tensor:
        """Return the maps with their zeros, ``(M, H, W)``."""
        maps = torch.zeros(self.shape, dtype=self.values.dtype, device=self.values.device)
        maps.view(-1)[self.index] = self.values
        return maps


class FilterBank:
    """A dictionary on images of one size, which continue periodically: Σ dₘ∗xₘ, its adjoint, and their inverse.

    Parameters
    ----------
    dictionary
        ``(M, h, w)``, h ≤ H and w ≤ W.
    shape
        (H, W) of the images.
    """

    def __init__(self, dictionary: torch.Tensor, shape: tuple[int, int]) -> None:
        self.shape = shape
        self.size = (dictionary.shape[-2], dictionary.shape[-1])
        self.taps = dictionary.flatten(1)
        self._dictionary = dictionary

    @cached_property
    def power(self) -> torch.Tensor:
        """Σ|d̂ₘ|² at every frequency, ``(H, W/2 + 1)``."""
        power = self.taps.new_zeros(self.shape[0], self.shape[1] // 2 + 1)
        for item in self._dictionary:
            power += torch.fft.rfft2(item, s=self.shape).abs().square_()
        return power

    def strips(self) -> Iterator[slice]:
        """Cut the rows into pieces that are worked on one after the other."""
        height, width = self.shape
        pixels = _CPU_STRIP if self.taps.device.type == "cpu" else _GPU_STRIP
        rows = max(self.size[0], pixels // width)
        for top in range(0, height, rows):
            yield slice(top, min(top + rows, height))

    def synthesise(
        self, part: Callable[[slice], torch.Tensor], check: Callable[[], None] = lambda: None
    ) -> torch.Tensor:
        """Return Σ dₘ∗xₘ, ``(H, W)``, of maps of which ``part`` gives the wanted rows, ``(M, rows, W)``."""
        (height, width), (h, w) = self.shape, self.size
        total = torch.zeros(height + h - 1, width + w - 1, dtype=self.taps.dtype, device=self.taps.device)
        for rows in self.strips():
            check()
            maps = part(rows)
            n = maps.shape[1]
            # every coefficient gives h·w values; those that fall on one pixel are summed, along columns, then rows
            given = (self.taps.T @ maps.flatten(1)).view(h, w, n, width)
            columns = torch.zeros(w, n + h - 1, width, dtype=given.dtype, device=given.device)
            for down in range(h):
                columns[:, down : down + n] += given[down]
            strip = total[rows.start : rows.stop + h - 1]
            for right in range(w):
                strip[:, right : right + width] += columns[right]
        total[: h - 1] += total[height:]
        total[:, : w - 1] += total[:, width:]
        return total[:height, :width]

    def correlate(self, extended: torch.Tensor, rows: slice) -> torch.Tensor:
        """Return the pixels that each coefficient in ``rows`` reaches, ``(h·w, rows·W)``, of an extended image."""
        h, w = self.size
        windows = extended[rows.start : rows.stop + h - 1].unfold(0, h, 1).unfold(1, w, 1)
        return windows.permute(2, 3, 0, 1).reshape(h * w, -1)

    def extend(self, image: torch.Tensor) -> torch.Tensor:
        """Continue ``(H, W)`` periodically by as much as the filters reach."""
        h, w = self.size
        return F.pad(image[None, None], (0, w - 1, 0, h - 1), mode="circular")[0, 0]

    def invert(self, image: torch.Tensor, penalty: float) -> torch.Tensor:
        """Solve (ρI + DDᵀ) q = ``image``."""
        return torch.fft.irfft2(torch.fft.rfft2(image) / (self.power + penalty), s=self.shape)  # type: ignore[no-any-return]


def sparse_code(
    images: torch.Tensor,
    dictionary: torch.Tensor,
    options: CodingOptions,
    *,
    tick: Callable[[int, int], None] = lambda done, total: None,
    check: Callable[[], None] = lambda: None,
) -> list[SparseMaps]:
    """Minimise ½‖Σ dₘ∗xₘ − s‖² + λ Σ‖xₘ‖₁ for every image s.

    Parameters
    ----------
    images
        ``(N, 1, H, W)`` without their low frequencies, at least as large as the filters.
    dictionary
        ``(M, h, w)``, of norm 1 each; of the images' data type and on their device.
    options
        λ and when to stop.
    tick
        Called with the number of iterations done and of all that may come.
    check
        Called several times within an iteration; both may raise to stop.

    Returns
    -------
    For each image its coefficient maps, exactly sparse.

    Notes
    -----
    Convolutional basis pursuit denoising by ADMM: Wohlberg, Efficient algorithms for convolutional sparse
    representations, IEEE TIP 25 (2016); relaxation, automatic ρ and relative stopping are those of his SPORCO, and
    each image has its own ρ and end.

    The linear system (DᵀD + ρI) x = Dᵀs + ρv has, by the matrix inversion lemma, the solution
    x = v + Dᵀ(DDᵀ + ρI)⁻¹(s − Dv): what needs a Fourier transform is one image and not M maps, and short filters are
    applied as matrix products, strip by strip. Of both the sparse maps y and the dual maps u only the sum z is kept,
    since soft thresholding splits it: u = clip(z, ±λ/ρ) and y = z − u. One array of M·H·W is all the memory.
    """
    bank = FilterBank(dictionary, (images.shape[-2], images.shape[-1]))
    total = len(images) * options.iterations

    def solve(number: int, image: torch.Tensor) -> SparseMaps:
        return _solve(image, bank, options, lambda done: tick(number * options.iterations + done, total), check)

    return [solve(number, image[0]) for number, image in enumerate(images)]


def _solve(
    image: torch.Tensor,
    bank: FilterBank,
    options: CodingOptions,
    tick: Callable[[int], None],
    check: Callable[[], None],
) -> SparseMaps:
    penalty = options.penalty
    split = _Split(bank, options.sparsity / penalty)
    done = 0
    while done < options.iterations:
        tick(done)
        residual = image - bank.synthesise(lambda rows: split.difference(rows)[0], check)
        correction = bank.extend(bank.invert(residual, penalty))
        threshold = options.sparsity / penalty
        squares = []
        for rows in bank.strips():
            check()
            squares.append(split.update(rows, bank.correlate(correction, rows), threshold, options.relaxation))
        done += 1
        primal, dual = _relative_residuals(torch.stack(squares))
        change = _penalty_change(primal, dual, options.sparsity) if 1 < done <= options.adapting else 1.0
        penalty *= change
        split.threshold, split.rescale = threshold, 1 / change
        if primal < options.tolerance and dual < options.tolerance:
            break
    return split.sparse(done)


class _Split:
    """The sparse maps y and the scaled dual maps u of ADMM, as their sum z: u = clip(z, ±threshold), y = z − u.

    A new ρ scales u, which is left to the next reading: ``rescale`` is by how much.
    """

    def __init__(self, bank: FilterBank, threshold: float) -> None:
        self.taps = bank.taps
        self.sum = bank.taps.new_zeros(len(bank.taps), *bank.shape)
        self.threshold = threshold
        self.rescale = 1.0

    def difference(self, rows: slice) -> tuple[torch.Tensor, torch.Tensor]:
        """Return y − u in some rows, ``(M, rows, W)``, and u before it is rescaled."""
        z = self.sum[:, rows]
        dual = z.clamp(-self.threshold, self.threshold)
        return z.add(dual, alpha=-1 - self.rescale), dual

    def update(self, rows: slice, reached: torch.Tensor, threshold: float, relaxation: float) -> torch.Tensor:
        """Take one step of ADMM in some rows; return the squared norms of x, y, u, x − y and of the change of y."""
        z = self.sum[:, rows]
        x, dual = self.difference(rows)
        x.view(len(x), -1).addmm_(self.taps, reached)
        change = z - dual  # y of before
        # z = αx + (1 − α)y + u, written without y
        z.lerp_(x, relaxation).add_(dual, alpha=self.rescale - 1 + relaxation)
        torch.clamp(z, -threshold, threshold, out=dual)
        sparse = z - dual
        norms = [_square(x), _square(sparse), _square(dual)]
        return torch.stack([*norms, _square(x.sub_(sparse)), _square(change.sub_(sparse))])

    def sparse(self, iterations: int) -> SparseMaps:
        """Return y."""
        planes = self.sum.flatten(1)
        # plane by plane, since the largest thing that is held is not to be held twice
        index = torch.cat(
            [(plane.abs() > self.threshold).nonzero()[:, 0] + m * plane.numel() for m, plane in enumerate(planes)]
        )
        kept = planes.view(-1)[index]
        values = kept - kept.clamp(-self.threshold, self.threshold)
        maps, height, width = self.sum.shape
        return SparseMaps(index, values, (maps, height, width), iterations)


def _square(values: torch.Tensor) -> torch.Tensor:
    flat = values.view(-1)
    return torch.dot(flat, flat)


def _relative_residuals(squares: torch.Tensor) -> tuple[float, float]:
    """Return how far x is from y, and how much y has changed, as shares of their size and of that of u."""
    x, y, u, apart, change = squares.cpu().double().sum(0).sqrt().tolist()
    return apart / (max(x, y) or 1.0), change / (u or 1.0)


def _penalty_change(primal: float, dual: float, sparsity: float) -> float:
    """Return the factor on ρ that brings both residuals together, as SPORCO does it."""
    target = 1 + 18.3 ** (math.log10(sparsity) + 1)
    if primal > target * _RATIO * dual:
        return min(math.sqrt(primal / (target * dual)), _LARGEST_CHANGE) if dual > 0 else _LARGEST_CHANGE
    if dual > _RATIO / target * primal:
        return 1 / (min(math.sqrt(target * dual / primal), _LARGEST_CHANGE) if primal > 0 else _LARGEST_CHANGE)
    return 1.0
