"""Equal joint codes: once two signals share an atom, it may as well be in the one of them alone as in the other.

d₁ = [d; 0], d₂ = [0; d] and the shared c = [d; d]/√2 lie in one plane: d₁ = √2·c − d₂. When c has been chosen, the
residual is as much along d₁ as it is against d₂, to the last digit, and which of the two joint matching pursuit takes
next is up to rounding errors. The codes mean the same signals, but a fusion rule that weighs the parts does not give
the same image: in the published results every thirtieth pixel depends on it.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from .omp import Codes

__all__ = ["settle", "settle_as_published"]

_ROOT = math.sqrt(2)


def settle(codes: Codes, count: int) -> Codes:
    """Take the one of two equal codes that has the smaller ℓ1 norm.

    Parameters
    ----------
    codes
        Of :func:`~napari_irvisfuse.sparse.omp.joint_omp`.
    count
        K, number of atoms of the dictionary.

    Returns
    -------
    Codes
        Whatever the rounding errors were, and with the parts exchanged if the signals are.
    """
    row, alone, shared = _ties(codes, count)
    other = codes.values[row, shared] + _ROOT * codes.values[row, alone]
    smaller = other.abs() < codes.values[row, shared].abs()
    return _exchange(codes, count, row[smaller], alone[smaller], shared[smaller])


def settle_as_published(codes: Codes, first: torch.Tensor, second: torch.Tensor, atoms: torch.Tensor) -> Codes:
    """Take the one of two equal codes that the published program takes.

    Parameters
    ----------
    codes
        Of :func:`~napari_irvisfuse.sparse.omp.joint_omp`.
    first, second
        The signals, ``(M, s²)`` patches in [0, 1] with their pixels row by row.
    atoms
        ``(K, s²)``, likewise, in float64: the choice depends on their last digit.

    Notes
    -----
    There OMP-Cholesky of OMPBox (Rubinstein, Zibulevsky, Elad, 2008) decides by its rounding errors, so they have to be
    the same: float64, the same order of every sum, pixels column by column, and no fused multiplication and addition.
    Values that are 8-bit grey levels are taken as such, in whatever precision they come. It is done for the few signals
    with a tie only.
    """
    count = len(atoms)
    row, alone, shared = _ties(codes, count)
    if not len(row):
        return codes
    rows, place = torch.unique(row, return_inverse=True)
    tied = torch.zeros(len(rows), codes.values.shape[1], dtype=torch.bool)
    tied[place.cpu(), alone.cpu()] = True

    def by_column(patches: torch.Tensor) -> torch.Tensor:
        size = math.isqrt(patches.shape[1])
        return patches.cpu().double().view(-1, size, size).transpose(1, 2).flatten(1)

    signals = torch.cat([_grey_levels(by_column(patches[rows])) for patches in (first, second)], 1)
    chosen = codes.atoms[rows].cpu().long()
    settled = _Rounding(signals, by_column(atoms), chosen, tied).settled()
    different = (settled != chosen)[place.cpu(), alone.cpu()].to(row.device)
    return _exchange(codes, count, row[different], alone[different], shared[different])


def _grey_levels(values: torch.Tensor) -> torch.Tensor:
    """Return k/255 in float64 for what is that in float32."""
    scaled = values * 255
    level = scaled.round()
    return torch.where((scaled - level).abs() < 1e-4, level / 255, values)


def _ties(codes: Codes, count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return (signal, place of the atom in one signal alone, place of the same atom shared and chosen earlier)."""
    atoms = codes.atoms
    base = torch.where(atoms >= count, atoms % count, -2)
    same = (base[:, :, None] == atoms[:, None, :]).tril(-1)
    row, alone, shared = same.nonzero().unbind(1)
    return row, alone, shared


def _exchange(codes: Codes, count: int, row: torch.Tensor, alone: torch.Tensor, shared: torch.Tensor) -> Codes:
    """Write b·d₁ as √2·b·c − b·d₂, and b·d₂ likewise."""
    atoms, values = codes.atoms.clone(), codes.values.clone()
    moved = values[row, alone]
    atoms[row, alone] += torch.where(atoms[row, alone] < 2 * count, count, -count).to(atoms.dtype)
    values[row, shared] += _ROOT * moved
    values[row, alone] = -moved
    return Codes(atoms, values)


class _Rounding:
    """Matching pursuit with the rounding errors of OMPBox, where the atoms are known but for the ties.

    Parameters
    ----------
    signals
        ``(T, n)`` float64.
    atoms
        ``(K, n/2)`` float64.
    chosen
        ``(T, S)``, the atoms in the order of their choice.
    tied
        ``(T, S)``, which of them are to be decided between the first and the second signal.
    """

    def __init__(self, signals: torch.Tensor, atoms: torch.Tensor, chosen: torch.Tensor, tied: torch.Tensor) -> None:
        nothing = torch.zeros_like(atoms)
        shared = atoms / _ROOT
        self._count = len(atoms)
        self._joint = torch.cat(
            [torch.cat([shared, shared], 1), torch.cat([atoms, nothing], 1), torch.cat([nothing, atoms], 1)]
        )
        self._signals, self._tied = signals, tied
        self._chosen = chosen.clone()
        self._vectors = self._joint[self._chosen.clamp_min(0)]  # (T, S, n)
        self._products = _dot(self._vectors, signals[:, None])
        steps = chosen.shape[1]
        self._triangle = torch.eye(steps, dtype=torch.float64).repeat(len(chosen), 1, 1)

    def settled(self) -> torch.Tensor:
        """Return ``chosen`` with every tie decided."""
        last = int(self._tied.any(0).nonzero().max())
        for step in range(1, last + 1):
            rows = self._tied[:, step].nonzero()[:, 0]
            if len(rows):
                self._decide(rows, step)
            if step < last:
                self._extend(step)
        return self._chosen

    def _decide(self, rows: torch.Tensor, step: int) -> None:
        residual = self._residual(rows, step)
        first = self._count + self._chosen[rows, step] % self._count
        along, against = (_dot(self._joint[atom], residual) for atom in (first, first + self._count))
        atom = torch.where(along * along >= against * against, first, first + self._count)
        self._chosen[rows, step] = atom
        self._vectors[rows, step] = self._joint[atom]
        self._products[rows, step] = _dot(self._joint[atom], self._signals[rows])

    def _extend(self, step: int) -> None:
        """Add one row to the Cholesky factor of the chosen atoms' Gram matrix."""
        gram = _dot(self._vectors[:, :step], self._vectors[:, step : step + 1])
        total = torch.zeros(len(gram), dtype=torch.float64)
        solution = _solve_lower(self._triangle, gram)
        for place, value in enumerate(solution):
            self._triangle[:, step, place] = value
            total = total + value * value
        # torch's square root may be off by the last digit (it is MKL's), NumPy's is not
        self._triangle[:, step, step] = torch.from_numpy(np.sqrt((1 - total).clamp_min(1e-300).numpy()))

    def _residual(self, rows: torch.Tensor, step: int) -> torch.Tensor:
        triangle = self._triangle[rows]
        coefficients = _solve_upper(triangle, _solve_lower(triangle, self._products[rows, :step]))
        explained = torch.zeros_like(self._signals[rows])
        for place, value in enumerate(coefficients):
            explained = explained + self._vectors[rows, place] * value[:, None]
        return self._signals[rows] - explained


def _dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Sum a·b over the last dimension in OMPBox's order: four running sums, and what is left over at the end."""
    product = a * b
    length = product.shape[-1]
    rounds = (length - 1) // 4
    sums = torch.zeros_like(product[..., :4])
    for start in range(0, 4 * rounds, 4):
        sums = sums + product[..., start : start + 4]
    total = (sums[..., 0] + sums[..., 1]) + (sums[..., 2] + sums[..., 3])
    for rest in range(4 * rounds, length):
        total = total + product[..., rest]
    return total


def _solve_lower(triangle: torch.Tensor, right: torch.Tensor) -> list[torch.Tensor]:
    """Solve L x = b row by row; the unknowns one by one, ``(T,)`` each."""
    unknown: list[torch.Tensor] = []
    for i in range(right.shape[1]):
        rest = right[:, i]
        for j, known in enumerate(unknown):
            rest = rest - triangle[:, i, j] * known
        unknown.append(rest / triangle[:, i, i])
    return unknown


def _solve_upper(triangle: torch.Tensor, right: list[torch.Tensor]) -> list[torch.Tensor]:
    """Solve Lᵀ x = b from the last row up."""
    steps = len(right)
    unknown: dict[int, torch.Tensor] = {}
    for i in reversed(range(steps)):
        rest = right[i]
        for j in range(i + 1, steps):
            rest = rest - triangle[:, j, i] * unknown[j]
        unknown[i] = rest / triangle[:, i, i]
    return [unknown[i] for i in range(steps)]
