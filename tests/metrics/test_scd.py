"""SCD: agreement with NumPy, and its laws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_irvisfuse.metrics.scd import scd


def images(height: int = 17, width: int = 20, *, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random((3, height, width)))


@settings(max_examples=10)
@given(st.integers(0, 1000), st.floats(0.1, 10))
def test_definition_and_laws(seed, gain):
    fused, ir, visible = images(16, 16, seed=seed)
    f, a, b = (image.numpy().ravel() for image in (fused, ir, visible))
    value = scd(fused, ir, visible)
    assert value.item() == pytest.approx(np.corrcoef(f - b, a)[0, 1] + np.corrcoef(f - a, b)[0, 1], abs=1e-12)
    torch.testing.assert_close(scd(fused, visible, ir), value)
    torch.testing.assert_close(scd(gain * fused + 1, gain * ir, gain * visible), value)
    torch.testing.assert_close(scd(fused.T, ir.T, visible.T), value)


def test_the_sum_is_perfect():
    _, ir, visible = images()
    assert scd(ir + visible, ir, visible).item() == pytest.approx(2)
    assert scd(-ir - visible, ir, visible).item() < -0.9


def test_copies_and_constants():
    image, other, _ = images()
    constant = torch.full_like(image, 0.3)
    assert scd(image, image, image) == 0
    assert scd(constant, constant, constant) == 0
    assert scd(image, constant, constant) == 0
    # what IR added to a copy of IR is IR less visible, and visible added nothing
    expected = np.corrcoef((image - other).ravel(), image.ravel())[0, 1]
    assert scd(image, image, other).item() == pytest.approx(expected)


def test_batch_is_loop_and_float32():
    batch = torch.stack([images(seed=seed) for seed in range(4)], dim=1).reshape(3, 2, 2, 17, 20)
    values = scd(*batch)
    assert values.shape == (2, 2)
    assert values[1, 0].item() == pytest.approx(scd(*batch[:, 1, 0]).item(), abs=1e-15)
    single = scd(*batch.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), values, rtol=0, atol=1e-5)
