"""Matching pursuit: against a naive NumPy version and scikit-learn's, and what must hold for every code."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_irvisfuse.errors import Cancelled
from napari_irvisfuse.sparse import omp as module
from napari_irvisfuse.sparse.omp import Codes, joint_omp, omp
from napari_irvisfuse.sparse.ties import settle

CLOSE = {"rtol": 0, "atol": 1e-9}


def unit(rows: int, length: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    values = torch.randn(rows, length, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (values / values.norm(dim=1, keepdim=True)).to(dtype)


def signals(count: int, length: int, seed: int = 1, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.rand(count, length, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def joint(atoms: torch.Tensor) -> torch.Tensor:
    root, nothing = 2**0.5, torch.zeros_like(atoms)
    rows = ([atoms / root, atoms / root], [atoms, nothing], [nothing, atoms])
    return torch.cat([torch.cat(row, 1) for row in rows])


def naive(signal: np.ndarray, atoms: np.ndarray, sparsity: int) -> np.ndarray:
    """Return the coefficients ``(K,)`` of one signal, the plain way."""
    chosen: list[int] = []
    residual, values = signal, np.zeros(0)
    for _ in range(sparsity):
        chosen.append(int(np.argmax(np.abs(atoms @ residual))))
        values = np.linalg.lstsq(atoms[chosen].T, signal, rcond=None)[0]
        residual = signal - values @ atoms[chosen]
    full = np.zeros(len(atoms))
    full[chosen] = values
    return full


@pytest.mark.parametrize(("count", "length", "sparsity"), [(30, 12, 5), (64, 49, 16), (9, 20, 9), (20, 6, 6)])
def test_is_the_naive_version(count, length, sparsity):
    atoms, data = unit(count, length), signals(40, length)
    codes = omp(data, atoms, sparsity)
    expected = np.stack([naive(item, atoms.numpy(), sparsity) for item in data.numpy()])
    np.testing.assert_allclose(codes.dense(count).numpy(), expected, **CLOSE)


def test_the_joint_code_is_that_of_the_joint_dictionary():
    atoms = unit(20, 9)
    first, second = signals(60, 9), signals(60, 9, seed=2)
    codes = joint_omp(first, second, atoms, 6)
    both = torch.cat([first, second], 1)
    expected = np.stack([naive(item, joint(atoms).numpy(), 6) for item in both.numpy()])
    # which of two equal codes it is depends on rounding; after settling it does not
    found = settle(codes, 20).dense(60)
    chosen = torch.from_numpy(expected)
    plain = Codes(*_ordered(codes, chosen))
    torch.testing.assert_close(found, settle(plain, 20).dense(60), **CLOSE)


def _ordered(codes: Codes, dense: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Bring dense coefficients into the order of ``codes``, whose twins d₁ and d₂ may stand in for each other."""
    count = dense.shape[1] // 3
    atoms = codes.atoms.long()
    twin = torch.where(atoms < count, atoms, torch.where(atoms < 2 * count, atoms + count, atoms - count))
    there = dense.gather(1, atoms) != 0
    atoms = torch.where(there, atoms, twin)
    return atoms.to(torch.int16), dense.gather(1, atoms)


def test_agrees_with_scikit_learn():
    linear_model = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is not installed")
    atoms, data = unit(256, 49), signals(200, 49)
    gram, products = (atoms @ atoms.T).numpy(), (atoms @ data.T).numpy()
    theirs = linear_model.orthogonal_mp_gram(gram, products, n_nonzero_coefs=16)
    np.testing.assert_allclose(omp(data, atoms, 16).dense(256).numpy(), theirs.T, rtol=0, atol=1e-8)


@given(st.integers(1, 12), st.integers(2, 30), st.integers(2, 10), st.integers(0, 1000))
def test_what_is_left_is_orthogonal_to_what_was_chosen(sparsity, count, length, seed):
    atoms, data = unit(count, length, seed), signals(5, length, seed + 1)
    codes = omp(data, atoms, sparsity)
    residual = data - codes.dense(count) @ atoms
    assert codes.atoms.shape == (5, min(sparsity, count, length))
    for row, left in zip(codes.atoms.tolist(), residual, strict=True):
        chosen = [atom for atom in row if atom >= 0]
        assert len(set(chosen)) == len(chosen)
        assert (atoms[chosen] @ left).abs().max() < 1e-7


def test_more_atoms_leave_less():
    atoms, data = unit(40, 16), signals(100, 16)
    left = [(data - omp(data, atoms, s).dense(40) @ atoms).norm(dim=1) for s in range(1, 17)]
    assert all((after <= before + 1e-12).all() for before, after in pairwise(left))
    assert left[-1].max() < 1e-9


def test_sparse_sums_of_orthogonal_atoms_are_found_again():
    atoms = torch.linalg.qr(torch.randn(12, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64))[0]
    true = torch.zeros(30, 12, dtype=torch.float64)
    true[:, :4] = torch.randn(30, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    codes = omp(true @ atoms, atoms, 8)
    torch.testing.assert_close(codes.dense(12), true, **CLOSE)
    assert ((codes.atoms >= 0).sum(1) == 4).all()  # no atom is spent on rounding errors


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nothing_needs_no_atom(dtype):
    data = torch.cat([torch.zeros(3, 9, dtype=dtype), signals(2, 9, dtype=dtype)])
    codes = omp(data, unit(12, 9, dtype=dtype), 4)
    assert (codes.atoms[:3] == -1).all()
    assert (codes.values[:3] == 0).all()
    assert (codes.atoms[3:] >= 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_atom_that_is_there_twice_is_used_once(dtype):
    atoms = unit(6, 9, dtype=dtype).repeat(2, 1)
    codes = omp(signals(20, 9, dtype=dtype), atoms, 9)
    assert (codes.atoms < 6).all()
    assert codes.values.isfinite().all()


def test_chunks_make_no_difference(monkeypatch):
    atoms, data = unit(30, 12), signals(50, 12)
    whole = omp(data, atoms, 5)
    monkeypatch.setattr(module, "_CPU_CHUNK", 7)
    calls = []
    parts = omp(data, atoms, 5, check=lambda: calls.append(1))
    assert len(calls) == 8
    torch.testing.assert_close(parts.values, whole.values, **CLOSE)
    assert torch.equal(parts.atoms, whole.atoms)


def test_float32_is_as_good_as_it_can_be():
    atoms, data = unit(256, 49), signals(500, 49)
    exact, single = (omp(data.to(t), atoms.to(t), 16).dense(256).double() for t in (torch.float64, torch.float32))
    same = ((exact != 0) == (single != 0)).all(1)
    assert same.double().mean() > 0.98  # the rest are ties to seven digits
    torch.testing.assert_close(single[same], exact[same], rtol=0, atol=1e-4)


def test_it_stops_when_asked_to_and_leaves_the_signals_alone():
    data = signals(10, 9)
    before = data.clone()

    def stop() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        omp(data, unit(12, 9), 4, check=stop)
    omp(data, unit(12, 9), 4)
    assert torch.equal(data, before)


def test_the_highest_is_the_first_of_equals():
    scores = torch.tensor([[0.0, 3.0, 3.0, 1.0], [2.0, 0.0, 1.0, 2.0], [0.0, 0.0, 0.0, 5.0], [0.0, 0.0, 0.0, 0.0]])
    index, height = module._highest(scores)
    assert index.tolist() == [1, 0, 3, 0]
    assert height.tolist() == [3, 2, 5, 0]
