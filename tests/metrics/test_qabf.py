"""Qabf of the published code: the definition by loops, its peculiarities, and its laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import convolve2d

from napari_irvisfuse.metrics.qabf import qabf, qabf_map, qabf_quality

LARGEST = 0.9994 * 0.9879 / (1 + math.exp(-22 * 0.2))


def images(height: int = 17, width: int = 20, *, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (3, height, width)) / 255)


def by_loops(fused: np.ndarray, ir: np.ndarray, visible: np.ndarray) -> np.ndarray:
    across = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    slopes = [[convolve2d(x, k, mode="same") for k in (across, -across.T)] for x in (fused, ir, visible)]
    result = np.zeros((2, *fused.shape))
    for at in np.ndindex(fused.shape):
        strength = [math.hypot(x[at], y[at]) for x, y in slopes]
        angle = [math.pi / 2 if x[at] == 0 else math.atan(y[at] / x[at]) for x, y in slopes]
        for k in (1, 2):
            low, high = sorted((strength[0], strength[k]))
            ratio = low if low == high else low / high
            turn = 1 - abs(angle[k] - angle[0]) / (math.pi / 2)
            kept = 0.9994 / (1 + math.exp(-15 * (ratio - 0.5))) * 0.9879 / (1 + math.exp(-22 * (turn - 0.8)))
            result[0][at] += kept * strength[k]
            result[1][at] += strength[k]
    return result


def test_by_definition():
    kept, wanted = by_loops(*(image.numpy() for image in images()))
    assert qabf(*images()).item() == pytest.approx(kept.sum() / wanted.sum(), abs=1e-12)
    np.testing.assert_allclose(qabf_map(*images()).numpy(), kept / wanted, atol=1e-12)


@settings(max_examples=10)
@given(st.integers(0, 1000))
def test_laws(seed):
    # between grey levels, where no two gradients are equal
    fused, ir, visible = torch.from_numpy(np.random.default_rng(seed).random((3, 16, 16)))
    value = qabf(fused, ir, visible)
    assert 0 < value <= LARGEST
    assert qabf(fused, visible, ir) == value
    torch.testing.assert_close(qabf(fused / 2, ir / 2, visible / 2), value)


def test_equal_gradients_are_scored_by_their_strength():
    """A copy loses its faint edges, and a hair's breadth of change gives them back: as published."""
    faint = 0.5 + 0.01 * images()[0]
    inside = (..., slice(1, -1), slice(1, -1))  # the frame, next to black, is no faint edge
    assert qabf_map(faint, faint, faint)[inside].max() < 0.01
    changed = faint * (1 - 1e-9)
    assert qabf_map(changed, faint, faint)[inside].mean() > 0.95


def test_outside_is_black():
    constant = torch.full((16, 18), 0.5, dtype=torch.float64)
    kept = qabf_map(constant, constant, constant)
    assert kept[1:-1, 1:-1].max() == 0
    assert kept[0, 5] > 0.9
    assert qabf(constant, constant, constant).item() == pytest.approx(LARGEST, abs=1e-3)


def test_nothing_to_keep():
    black = torch.zeros(16, 16, dtype=torch.float64)
    assert qabf(images(16, 16)[0], black, black) == 0
    assert qabf(black, black, black) == 0
    assert qabf(black, *images(16, 16)[1:]) < 1e-3


def test_quality_map():
    quality = qabf_quality(*images())["Qabf"]
    assert (quality.kind, quality.title, quality.group) == ("weight", "Edges kept (Qabf)", "quality")
    assert torch.equal(quality.data, qabf_map(*images()))


def test_batch_is_loop_and_float32():
    batch = torch.stack([images(seed=seed) for seed in range(4)], dim=1).reshape(3, 2, 2, 17, 20)
    values = qabf(*batch)
    assert values.shape == (2, 2)
    assert values[1, 0].item() == pytest.approx(qabf(*batch[:, 1, 0]).item(), abs=1e-15)
    single = qabf(*batch.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), values, rtol=0, atol=2e-3)
