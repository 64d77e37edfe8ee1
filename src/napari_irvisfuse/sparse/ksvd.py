"""K-SVD: learning the atoms that signals are sparse sums of."""

from __future__ import annotations

from collections.abc import Callable

import torch

from napari_irvisfuse.errors import Cancelled, ImageError
from napari_irvisfuse.types import Cancel, Progress

from .omp import Codes, omp

__all__ = ["learn", "learn_patches"]

_ALIKE = 0.999  # of two atoms whose product is above, one is given up; patches keep their means, so all are much alike
_FEWEST = 4  # signals that an atom has to be in


def learn_patches(
    patches: torch.Tensor,
    *,
    atoms: int = 256,
    sparsity: int = 16,
    steps: int = 50,
    seed: int = 0,
    progress: Progress | None = None,
    cancelled: Cancel | None = None,
) -> torch.Tensor:
    """Learn a dictionary of patches; parameters, errors and method as for :func:`learn`.

    Parameters
    ----------
    patches
        ``(M, s²)`` in [0, 1], pixels row by row.

    Returns
    -------
    ``(atoms, s, s)``, norm 1 each, the most used atom first.
    """
    size = round(patches.shape[1] ** 0.5)
    learnt = learn(
        patches, atoms=atoms, sparsity=sparsity, steps=steps, seed=seed, progress=progress, cancelled=cancelled
    )
    return learnt.view(atoms, size, size)


def learn(
    signals: torch.Tensor,
    *,
    atoms: int = 256,
    sparsity: int = 16,
    steps: int = 50,
    seed: int = 0,
    progress: Progress | None = None,
    cancelled: Cancel | None = None,
) -> torch.Tensor:
    """Learn atoms of which the signals are sparse sums.

    Parameters
    ----------
    signals
        ``(M, d)``.
    atoms
        How many to learn, K.
    sparsity
        S: every signal is coded with at most so many of them.
    steps
        How often the signals are coded and the atoms improved.
    seed
        Of the first atoms and of the order in which atoms are improved; the same seed on the same machine, with the
        same number of threads, gives the same atoms.
    progress, cancelled
        As everywhere.

    Returns
    -------
    ``(K, d)`` of the signals' data type, norm 1 each, the most used atom first.

    Raises
    ------
    ImageError
        If all signals are 0, or there are none.
    Cancelled
        If ``cancelled`` answered True.

    Notes
    -----
    Aharon, Elad, Bruckstein, IEEE TSP 54 (2006); each atom and its coefficients by one alternation in place of an SVD,
    as Rubinstein, Zibulevsky, Elad, CS Technion 2008, who also give up atoms that hardly any signal uses or that are
    much like another one, in favour of the signals that are coded worst.
    """
    generator = torch.Generator().manual_seed(seed)
    signals = signals[signals.norm(dim=1) > 0]
    if not len(signals):
        raise ImageError("There is nothing to learn a dictionary from: every patch is black.")
    dictionary = _first_atoms(signals, atoms, generator)

    def check() -> None:
        if cancelled is not None and cancelled():
            raise Cancelled

    codes = omp(signals, dictionary, sparsity, check=check)
    for step in range(steps):
        if progress is not None:
            progress(step, steps, "Learning atoms")
        residual = _improve(signals, dictionary, codes, generator, check)
        _replace(signals, dictionary, codes, residual)
        codes = omp(signals, dictionary, sparsity, check=check)
    if progress is not None:
        progress(steps, steps, "Done")
    return dictionary[_uses(codes, atoms).argsort(descending=True, stable=True)]


def _first_atoms(signals: torch.Tensor, atoms: int, generator: torch.Generator) -> torch.Tensor:
    """Take signals at random; where there are too few of them, noise."""
    picked = torch.randperm(len(signals), generator=generator)[:atoms].to(signals.device)
    noise = torch.randn(atoms - len(picked), signals.shape[1], generator=generator, dtype=torch.float64)
    first = torch.cat([signals[picked], noise.to(signals)])
    norms: torch.Tensor = first.norm(dim=1, keepdim=True)
    return first.div_(norms)


def _uses(codes: Codes, atoms: int) -> torch.Tensor:
    return torch.bincount(codes.atoms[codes.atoms >= 0].long(), minlength=atoms)


def _improve(
    signals: torch.Tensor,
    dictionary: torch.Tensor,
    codes: Codes,
    generator: torch.Generator,
    check: Callable[[], None],
) -> torch.Tensor:
    """Improve every atom and its coefficients in turn, in place; return what the codes leave of the signals."""
    atoms, sparsity = len(dictionary), codes.values.shape[1]
    residual = signals.clone()
    for slot in range(sparsity):
        used = codes.atoms[:, slot].long().clamp_min(0)
        residual -= dictionary[used] * codes.values[:, slot, None]
    flat = codes.atoms.flatten()
    order = flat.argsort(stable=True)  # places of atom −1, then of atom 0, 1, …
    ends = torch.bincount(flat.long() + 1, minlength=atoms + 1).cumsum(0).tolist()
    values = codes.values.view(-1)
    for atom in torch.randperm(atoms, generator=generator).tolist():
        check()
        places = order[ends[atom] : ends[atom + 1]]
        if not len(places):
            continue
        rows, value = places // sparsity, values[places]
        without = torch.addr(residual[rows], value, dictionary[atom])
        better = value @ without
        norm = better.norm()
        if not norm > 0:
            continue
        dictionary[atom] = better / norm
        values[places] = without @ dictionary[atom]
        residual[rows] = without.addr_(values[places], dictionary[atom], alpha=-1)
    return residual


def _replace(signals: torch.Tensor, dictionary: torch.Tensor, codes: Codes, residual: torch.Tensor) -> None:
    """Put the worst coded signals in the place of atoms that are hardly used or much like another, in place."""
    uses = _uses(codes, len(dictionary)).tolist()
    worst = residual.square().sum(1).topk(min(len(dictionary), len(signals))).indices.tolist()
    for atom, used in enumerate(uses):
        likeness = (dictionary @ dictionary[atom]).abs_()
        likeness[atom] = 0
        if (used < _FEWEST or float(likeness.max()) > _ALIKE) and worst:
            signal = signals[worst.pop(0)]
            dictionary[atom] = signal / signal.norm()
