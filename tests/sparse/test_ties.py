"""Equal joint codes: what settling changes, and that the published choice is that of OMPBox, digit by digit."""

from __future__ import annotations

import math

import pytest
import torch

from napari_irvisfuse.sparse.omp import Codes, joint_omp
from napari_irvisfuse.sparse.ties import settle, settle_as_published

CLOSE = {"rtol": 0, "atol": 1e-12}
COUNT, SIZE, SPARSITY = 14, 3, 7


def problem(seed: int = 0, count: int = 900) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Make signals of 8-bit grey levels, and few atoms, so that ties are frequent."""
    generator = torch.Generator().manual_seed(seed)
    atoms = torch.rand(COUNT, SIZE**2, generator=generator, dtype=torch.float64)
    atoms /= atoms.norm(dim=1, keepdim=True)
    first, second = (torch.randint(256, (count, SIZE**2), generator=generator).double() / 255 for _ in range(2))
    return first, second, atoms


def meaning(codes: Codes, atoms: torch.Tensor) -> torch.Tensor:
    shared, first, second = codes.dense(3 * COUNT).view(-1, 3, COUNT).unbind(1)
    return torch.stack([(shared / math.sqrt(2) + alone) @ atoms for alone in (first, second)])


def swap(codes: Codes) -> Codes:
    offset = torch.where(codes.atoms >= 2 * COUNT, -COUNT, torch.where(codes.atoms >= COUNT, COUNT, 0))
    return Codes((codes.atoms + offset).to(codes.atoms.dtype), codes.values)


def test_settled_codes_mean_the_same_with_a_smaller_norm():
    first, second, atoms = problem()
    codes = joint_omp(first, second, atoms, SPARSITY)
    before = codes.atoms.clone(), codes.values.clone()
    settled = settle(codes, COUNT)
    torch.testing.assert_close(meaning(settled, atoms), meaning(codes, atoms), **CLOSE)
    norms = [item.values.abs().sum(1) for item in (settled, codes)]
    assert (norms[0] <= norms[1] + 1e-12).all()
    assert (norms[0] < norms[1] - 1e-3).sum() > 10  # or nothing was settled
    assert torch.equal(codes.atoms, before[0])
    assert torch.equal(codes.values, before[1])


def test_it_is_settled_the_same_from_either_of_the_two():
    first, second, atoms = problem()
    codes = joint_omp(first, second, atoms, SPARSITY)
    one, other = settle(codes, COUNT), settle(swap(joint_omp(second, first, atoms, SPARSITY)), COUNT)
    torch.testing.assert_close(one.dense(3 * COUNT), other.dense(3 * COUNT), rtol=0, atol=1e-9)


def test_without_ties_nothing_changes():
    codes = Codes(torch.tensor([[COUNT + 3, 3, 5, -1]], dtype=torch.int16), torch.tensor([[1.0, -2.0, 3.0, 0.0]]))
    signal = torch.rand(1, SIZE**2)
    for settled in (settle(codes, COUNT), settle_as_published(codes, signal, signal, problem()[2])):
        assert torch.equal(settled.atoms, codes.atoms)
        assert torch.equal(settled.values, codes.values)


# -- OMPBox, one number after the other: Python's floats are float64 and are never fused -------------------------


def _dot(a: list[float], b: list[float]) -> float:
    sums, place = [0.0] * 4, 0
    while place + 4 < len(a):
        for lane in range(4):
            sums[lane] += a[place + lane] * b[place + lane]
        place += 4
    total = (sums[0] + sums[1]) + (sums[2] + sums[3])
    for rest in range(place, len(a)):
        total += a[rest] * b[rest]
    return total


def _lower(triangle: list[list[float]], right: list[float]) -> list[float]:
    unknown: list[float] = []
    for i, rest in enumerate(right):
        for j in range(i):
            rest -= triangle[i][j] * unknown[j]
        unknown.append(rest / triangle[i][i])
    return unknown


def _upper(triangle: list[list[float]], right: list[float]) -> list[float]:
    unknown = [0.0] * len(right)
    for i in reversed(range(len(right))):
        rest = right[i]
        for j in range(i + 1, len(right)):
            rest -= triangle[j][i] * unknown[j]
        unknown[i] = rest / triangle[i][i]
    return unknown


def ompbox(signal: list[float], atoms: list[list[float]]) -> list[int]:
    """Return the atoms of one signal in the order of their choice."""
    start = [_dot(atom, signal) for atom in atoms]
    chosen: list[int] = []
    triangle: list[list[float]] = []
    along = start
    for _ in range(SPARSITY):
        squares = [value * value for value in along]
        best = squares.index(max(squares))
        row = _lower(triangle, [_dot(atoms[atom], atoms[best]) for atom in chosen])
        total = 0.0
        for value in row:
            total += value * value
        triangle.append([*row, math.sqrt(1 - total)])
        chosen.append(best)
        values = _upper(triangle, _lower(triangle, [start[atom] for atom in chosen]))
        explained = [0.0] * len(signal)
        for atom, value in zip(chosen, values, strict=True):
            explained = [e + a * value for e, a in zip(explained, atoms[atom], strict=True)]
        residual = [x - e for x, e in zip(signal, explained, strict=True)]
        along = [_dot(atom, residual) for atom in atoms]
    return chosen


@pytest.mark.parametrize("seed", [0, 1])
def test_the_published_choice_is_that_of_ompbox(seed):
    first, second, atoms = problem(seed)
    codes = joint_omp(first, second, atoms, SPARSITY)
    settled = settle_as_published(codes, first, second, atoms)
    torch.testing.assert_close(meaning(settled, atoms), meaning(codes, atoms), **CLOSE)

    def by_column(rows: torch.Tensor) -> torch.Tensor:
        return rows.view(-1, SIZE, SIZE).transpose(1, 2).reshape(-1, SIZE**2)

    columns = by_column(atoms)
    nothing, half = torch.zeros_like(columns), columns / math.sqrt(2)
    joint = torch.cat([torch.cat(row, 1) for row in ((half, half), (columns, nothing), (nothing, columns))])
    both = torch.cat([by_column(first), by_column(second)], 1)
    expected = [ompbox(signal, joint.tolist()) for signal in both.tolist()]
    assert settled.atoms.tolist() == expected
    exchanged = (settled.atoms != settle(codes, COUNT).atoms).any(1)
    assert exchanged.sum() > 10  # or it would have been equal by chance
    in_float32 = settle_as_published(codes, first.float(), second.float(), atoms)
    assert torch.equal(in_float32.atoms, settled.atoms)
