"""Orthogonal matching pursuit of very many short signals at once, of one dictionary or of two images' joint one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

__all__ = ["Codes", "joint_omp", "omp"]

_CPU_CHUNK = 1024  # signals at a time: what they need stays in the caches of a core
_GPU_CHUNK = 1 << 16
_SMALLEST = 1e-7  # a residual whose largest correlation is below has nothing left to explain
_NOISE = 16  # in units of the rounding error of the signal's norm, likewise


@dataclass(frozen=True, eq=False)
class Codes:
    """Sparse coefficients of M signals.

    Parameters
    ----------
    atoms
        ``(M, S)`` int16, which atoms, in the order of their choice; −1 where a signal needed fewer.
    values
        ``(M, S)``, their coefficients, 0 where there is no atom.
    """

    atoms: torch.Tensor
    values: torch.Tensor

    def dense(self, size: int) -> torch.Tensor:
        """Return the coefficients with their zeros, ``(M, size)``."""
        full = torch.zeros(len(self.values), size, dtype=self.values.dtype, device=self.values.device)
        return full.scatter_add_(1, self.atoms.long().clamp_min(0), self.values)

    def part(self, rows: slice) -> Codes:
        """Return some of the signals, as views."""
        return Codes(self.atoms[rows], self.values[rows])


def omp(
    signals: torch.Tensor,
    atoms: torch.Tensor,
    sparsity: int,
    *,
    check: Callable[[], None] = lambda: None,
) -> Codes:
    """Code each signal with few atoms, chosen greedily.

    Parameters
    ----------
    signals
        ``(M, d)``.
    atoms
        ``(K, d)``, of norm 1 each; of the signals' data type and on their device.
    sparsity
        S: at most so many atoms a signal.
    check
        Called between chunks, many times a second; may raise to stop.

    Returns
    -------
    Codes
        With atoms of 0 … K − 1.

    Notes
    -----
    Pati, Rezaiifar, Krishnaprasad, Asilomar 1993. The chosen atoms of every signal are kept as an orthonormal basis
    (Gram–Schmidt, each time twice, which is as good as Householder), so a step is a handful of batched products.
    """

    def correlate(residual: torch.Tensor) -> torch.Tensor:
        return (residual @ atoms.T).abs_()

    return _in_chunks(signals, atoms, correlate, sparsity, check)


def joint_omp(
    first: torch.Tensor,
    second: torch.Tensor,
    atoms: torch.Tensor,
    sparsity: int,
    *,
    check: Callable[[], None] = lambda: None,
) -> Codes:
    """Code pairs of signals as what they share and what each has alone.

    Parameters
    ----------
    first, second
        ``(M, d)`` each.
    atoms
        D as ``(K, d)``, of norm 1 each; of the signals' data type and on their device.
    sparsity
        S: at most so many atoms a pair.
    check
        Called between chunks, many times a second; may raise to stop.

    Returns
    -------
    Codes
        Of the joint dictionary [D/√2 D 0; D/√2 0 D]: atoms 0 … K − 1 are shared, K … 2K − 1 are of the first signal
        alone, 2K … 3K − 1 of the second.

    Notes
    -----
    Zhang, Fu, Li, Zou: Dictionary learning method for joint sparse representation-based image fusion, Optical
    Engineering 52 (2013). The correlations with shared atoms are the sum of those of the halves: two products with D
    do the work of three.
    """
    count, length = atoms.shape
    shared = atoms / math.sqrt(2)
    nothing = torch.zeros_like(atoms)
    joint = torch.cat([torch.cat([shared, shared], 1), torch.cat([atoms, nothing], 1), torch.cat([nothing, atoms], 1)])

    def correlate(residual: torch.Tensor) -> torch.Tensor:
        scores = residual.new_empty(len(residual), 3, count)
        halves = (residual.view(-1, length) @ atoms.T).view(-1, 2, count)
        torch.add(halves[:, 0], halves[:, 1], out=scores[:, 0])
        scores[:, 0].mul_(math.sqrt(0.5)).abs_()
        torch.abs(halves, out=scores[:, 1:])
        return scores.view(-1, 3 * count)

    return _in_chunks(torch.cat([first, second], 1), joint, correlate, sparsity, check)


def _in_chunks(
    signals: torch.Tensor,
    atoms: torch.Tensor,
    correlate: Callable[[torch.Tensor], torch.Tensor],
    sparsity: int,
    check: Callable[[], None],
) -> Codes:
    sparsity = min(sparsity, *atoms.shape)
    codes = Codes(
        torch.empty(len(signals), sparsity, dtype=torch.int16, device=signals.device),
        signals.new_empty(len(signals), sparsity),
    )
    size = _CPU_CHUNK if signals.device.type == "cpu" else _GPU_CHUNK
    for start in range(0, len(signals), size):
        check()
        part = slice(start, start + size)
        codes.atoms[part], codes.values[part] = _pursue(signals[part], atoms, correlate, sparsity)
    return codes


def _pursue(
    signals: torch.Tensor,
    atoms: torch.Tensor,
    correlate: Callable[[torch.Tensor], torch.Tensor],
    sparsity: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return atoms and coefficients, both ``(B, S)``, of signals ``(B, d)``."""
    residual = signals.clone()
    smallest = (signals.norm(dim=1) * (_NOISE * torch.finfo(signals.dtype).eps)).clamp_min(_SMALLEST)
    chosen = torch.full((len(signals), sparsity), -1, dtype=torch.int64, device=signals.device)
    basis = signals.new_zeros(len(signals), sparsity, signals.shape[1])
    # signals = coefficients · chosen atoms, and chosen atoms = triangle · basis: both grow by one column a step
    triangle = torch.eye(sparsity, dtype=signals.dtype, device=signals.device).repeat(len(signals), 1, 1)
    shares = signals.new_zeros(len(signals), sparsity, 1)
    for step in range(sparsity):
        index, height = _highest(correlate(residual))
        direction = atoms[index]
        for _ in range(2 if step else 0):
            overlap = torch.bmm(basis[:, :step], direction[:, :, None])
            triangle[:, :step, step] += overlap[..., 0]
            direction = direction - torch.bmm(overlap.transpose(1, 2), basis[:, :step])[:, 0]
        norm = direction.norm(dim=1)
        # finished: nothing left to explain, or nothing but rounding left of the atom, which lies among those chosen
        going = (height > smallest) & (norm > 1e-7)
        if not bool(going.any()):
            break
        norm = torch.where(going, norm, 1)
        direction = torch.where(going[:, None], direction / norm[:, None], 0)
        share = (direction * residual).sum(1)
        residual -= direction * share[:, None]
        chosen[:, step] = torch.where(going, index, -1)
        basis[:, step], triangle[:, step, step], shares[:, step, 0] = direction, norm, share
    values = torch.linalg.solve_triangular(triangle, shares, upper=True)[..., 0]
    return chosen, torch.where(chosen >= 0, values, 0)


def _highest(scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return where the largest of each row ``(B, K)`` is, the first of equals, and its value; ``scores`` is lost."""
    if scores.device.type != "cpu":
        height, index = scores.max(1)
        return index, height
    # max() with an index is not vectorised on CPUs, amax() is: marks on the largest, times their numbers, is the index
    height = scores.amax(1, keepdim=True)
    marks = scores.eq_(height)
    number = torch.arange(scores.shape[1], dtype=scores.dtype)
    index, equals = (marks @ torch.stack([number, torch.ones_like(number)], 1)).long().unbind(1)
    several = (equals > 1).nonzero()[:, 0]
    if len(several):
        index[several] = marks[several].argmax(1)
    return index, height[:, 0]
