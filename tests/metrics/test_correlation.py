"""CC: against NumPy, and its laws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_irvisfuse.metrics.correlation import correlation_coefficient, pearson


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random(shape))


def test_is_numpys():
    fused, ir, visible = noise(3, 17, 19)
    expected = [np.corrcoef(x.ravel(), fused.ravel())[0, 1] for x in (ir, visible)]
    assert correlation_coefficient(fused, ir, visible).item() == pytest.approx(np.mean(expected))


@given(st.integers(0, 50), st.floats(0.01, 10), st.floats(-5, 5))
def test_laws(seed, gain, offset):
    fused, ir, visible = noise(3, 16, 16, seed=seed)
    value = correlation_coefficient(fused, ir, visible)
    assert -1 <= value.item() <= 1
    torch.testing.assert_close(correlation_coefficient(fused, visible, ir), value)
    torch.testing.assert_close(correlation_coefficient(gain * fused + offset, ir, visible), value)
    torch.testing.assert_close(correlation_coefficient(-fused, ir, visible), -value)
    assert correlation_coefficient(fused, fused, fused).item() == pytest.approx(1)
    assert correlation_coefficient(1 - fused, fused, fused).item() == pytest.approx(-1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("grey", [0, 0.1, 0.3, 1])
def test_a_constant_correlates_with_nothing(dtype, grey):
    flat, image = torch.full((50, 70), grey, dtype=dtype), noise(50, 70).to(dtype)
    assert pearson(flat, image).item() == 0
    assert pearson(image, flat).item() == 0
    assert correlation_coefficient(flat, flat, flat).item() == 0


def test_batch_is_loop_and_float32_is_float64():
    images = noise(3, 2, 4, 16, 18)
    images[:, 0, 1] = 0.3
    batch = correlation_coefficient(*images)
    assert batch.shape == (2, 4)
    for i, j in np.ndindex(2, 4):
        torch.testing.assert_close(batch[i, j], correlation_coefficient(*images[:, i, j]))
    torch.testing.assert_close(correlation_coefficient(*images.float()).double(), batch, rtol=0, atol=1e-6)
