"""What became of edges: the definition by loops, Q + L + N = 1, and the laws of each share."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_irvisfuse.metrics.petrovic import edge_shares, labf, nabf, qabf

ALL = [qabf, labf, nabf]
BEST = 0.9994 / (1 + math.exp(-15 * 0.5)) * 0.9879 / (1 + math.exp(-22 * 0.2))


def images(height: int = 18, width: int = 21, *, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random((3, height, width)))


def test_by_definition():
    fused, *sources = (image.numpy() for image in images())
    gradient = [[ndimage.sobel(x, axis, mode="nearest") for axis in (1, 0)] for x in (fused, *sources)]
    strength = [np.hypot(*g) for g in gradient]
    angle = [np.arctan(g[1] / g[0]) for g in gradient]
    sums = np.zeros(4)
    for y, x in np.ndindex(fused.shape):
        g_f = strength[0][y, x]
        for k in (1, 2):
            g = strength[k][y, x]
            turn = abs(angle[k][y, x] - angle[0][y, x])
            turn = min(turn, math.pi - turn)
            ratio = min(g, g_f) / max(g, g_f)
            kept = 0.9994 / (1 + math.exp(-15 * (ratio - 0.5)))
            kept *= 0.9879 / (1 + math.exp(-22 * (1 - turn / (math.pi / 2) - 0.8)))
            invented = g_f > max(strength[1][y, x], strength[2][y, x])
            sums += g * np.array([kept, (1 - kept) * (not invented), (1 - kept) * invented, 1])
    values = [function(*images()).item() for function in ALL]
    assert values == pytest.approx(sums[:3] / sums[3])


@settings(max_examples=10)
@given(st.integers(0, 1000), st.floats(0.1, 10))
def test_laws(seed, gain):
    fused, ir, visible = images(16, 16, seed=seed)
    values = [function(fused, ir, visible) for function in ALL]
    assert sum(values).item() == pytest.approx(1)
    for function, value in zip(ALL, values, strict=True):
        assert 0 <= value.item() <= 1
        torch.testing.assert_close(function(fused, visible, ir), value)
        torch.testing.assert_close(function(fused.T, ir.T, visible.T), value)
        torch.testing.assert_close(function(fused.flip(-1), ir.flip(-1), visible.flip(-1)), value)
        torch.testing.assert_close(function(gain * fused + 1, gain * ir, gain * visible - 1), value)
    torch.testing.assert_close(qabf(1 - fused, ir, visible), values[0])  # an edge and its negative are one


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_identity(dtype):
    image = images()[0].to(dtype)
    assert qabf(image, image, image).item() == pytest.approx(BEST, abs=1e-5)
    assert labf(image, image, image).item() == pytest.approx(1 - BEST, abs=1e-5)
    assert nabf(image, image, image).item() == 0
    # the same gradients by another sum: rounding must not invent edges
    assert nabf((image + 0.7) - 0.7, image, image).item() == 0


def test_extremes():
    image = images()[0]
    flat = torch.full_like(image, 0.4)
    assert [function(flat, image, image).item() for function in ALL] == pytest.approx([0, 1, 0], abs=1e-3)
    assert [function(flat, flat, flat).item() for function in ALL] == [0, 0, 0]
    assert [function(image, flat, flat).item() for function in ALL] == [0, 0, 0]
    faint = 0.01 * images(seed=1)[0]
    assert nabf(image, faint, faint).item() > 0.9
    assert labf(faint, image, image).item() > 0.9


def test_maps_average_to_the_values_and_see_where():
    fused, ir, _ = images(32, 32)
    fused[:16], fused[16:] = ir[:16], 0
    shares = edge_shares(fused, ir, ir)
    assert shares.kept[:15].mean() > 0.9
    assert shares.lost[17:].mean() > 0.9
    for function, share in zip(ALL, shares[:3], strict=True):
        assert share.shape == (32, 32)
        expected = (share * shares.weight).sum() / shares.weight.sum()
        torch.testing.assert_close(function(fused, ir, ir), expected)


@pytest.mark.parametrize("function", ALL)
def test_batch_is_loop_and_float32_is_float64(function):
    stack = torch.stack([images(seed=seed) for seed in range(4)]).transpose(0, 1).reshape(3, 2, 2, 18, 21)
    batch = function(*stack)
    assert batch.shape == (2, 2)
    for i, j in np.ndindex(2, 2):
        torch.testing.assert_close(batch[i, j], function(*stack[:, i, j]))
    torch.testing.assert_close(function(*stack.float()).double(), batch, rtol=1e-4, atol=1e-5)
