"""K-SVD: it finds planted atoms, never makes a code worse, and is the same for the same seed."""

from __future__ import annotations

import pytest
import torch

from napari_irvisfuse.errors import Cancelled, ImageError
from napari_irvisfuse.sparse import ksvd
from napari_irvisfuse.sparse.ksvd import learn, learn_patches
from napari_irvisfuse.sparse.omp import omp


def planted(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    """Return 12 atoms and 600 signals, each of 2 of them."""
    generator = torch.Generator().manual_seed(4)
    atoms = torch.randn(12, 16, generator=generator, dtype=torch.float64)
    atoms /= atoms.norm(dim=1, keepdim=True)
    chosen = torch.stack([torch.randperm(12, generator=generator)[:2] for _ in range(600)])
    values = torch.randn(600, 2, 1, generator=generator, dtype=torch.float64).sign() + 0.5
    return atoms.to(dtype), (atoms[chosen] * values).sum(1).to(dtype)


def error(signals: torch.Tensor, atoms: torch.Tensor, sparsity: int) -> float:
    return float((signals - omp(signals, atoms, sparsity).dense(len(atoms)) @ atoms).norm() / signals.norm())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_planted_atoms_are_found(dtype):
    atoms, signals = planted(dtype)
    learnt = learn(signals, atoms=16, sparsity=2, steps=40)
    likeness = (atoms @ learnt.T).abs().amax(1)
    assert (likeness > 0.99).sum() >= 10
    assert error(signals, learnt, 2) < 0.1


def test_a_step_never_makes_the_given_codes_worse():
    signals = torch.rand(400, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    dictionary = ksvd._first_atoms(signals, 20, generator)
    codes = omp(signals, dictionary, 3)
    before = (signals - codes.dense(20) @ dictionary).norm()
    residual = ksvd._improve(signals, dictionary, codes, generator, lambda: None)
    torch.testing.assert_close(residual, signals - codes.dense(20) @ dictionary, rtol=0, atol=1e-12)
    assert residual.norm() < 0.98 * before
    torch.testing.assert_close(dictionary.norm(dim=1), torch.ones(20, dtype=torch.float64))


def test_learning_helps():
    _, signals = planted()
    first = learn(signals, atoms=16, sparsity=2, steps=1)
    assert error(signals, learn(signals, atoms=16, sparsity=2, steps=20), 2) < 0.7 * error(signals, first, 2)


def test_the_same_seed_gives_the_same_and_another_does_not():
    _, signals = planted()
    before = signals.clone()
    one, again, other = (learn(signals, atoms=14, sparsity=2, steps=3, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.allclose(one, other, atol=1e-3)
    assert torch.equal(signals, before)


def test_hardly_used_and_alike_atoms_are_replaced_by_what_is_coded_worst():
    _, signals = planted()
    dictionary = ksvd._first_atoms(signals, 16, torch.Generator().manual_seed(0))
    dictionary[3] = dictionary[5]
    codes = omp(signals, dictionary, 2)
    residual = signals - codes.dense(16) @ dictionary
    worst = signals[residual.norm(dim=1).argmax()]
    assert ksvd._uses(codes, 16)[5] == 0  # of two equal atoms the first is taken
    ksvd._replace(signals, dictionary, codes, residual)
    torch.testing.assert_close(dictionary[3], worst / worst.norm())
    assert float((dictionary @ dictionary.T - torch.eye(16)).abs().max()) < 0.999


def test_few_signals_are_enough():
    learnt = learn_patches(torch.rand(10, 49, generator=torch.Generator().manual_seed(0)), atoms=30, steps=2)
    assert learnt.shape == (30, 7, 7)
    assert learnt.isfinite().all()
    torch.testing.assert_close(learnt.flatten(1).norm(dim=1), torch.ones(30))


def test_the_most_used_atom_comes_first():
    _, signals = planted()
    learnt = learn(signals, atoms=12, sparsity=2, steps=5)
    uses = ksvd._uses(omp(signals, learnt, 2), 12)
    assert (uses.diff() <= 0).all()


def test_black_patches_teach_nothing():
    with pytest.raises(ImageError, match="every patch is black"):
        learn(torch.zeros(5, 9))
    signals = torch.cat([torch.zeros(50, 16), planted(torch.float32)[1]])
    assert learn(signals, atoms=12, sparsity=2, steps=2).isfinite().all()


def test_progress_and_cancelling():
    _, signals = planted()
    seen = []
    learn(signals, atoms=12, sparsity=2, steps=3, progress=lambda *args: seen.append(args))
    assert [item[:2] for item in seen] == [(0, 3), (1, 3), (2, 3), (3, 3)]
    with pytest.raises(Cancelled):
        learn(signals, atoms=12, sparsity=2, steps=3, cancelled=lambda: len(seen) > 0)
