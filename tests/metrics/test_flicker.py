"""Flicker of fused sequences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_irvisfuse.metrics.flicker import flicker, temporal_change


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random(shape))


def test_change_by_loop():
    stack = noise(4, 16, 17)
    expected = [(stack[t + 1] - stack[t]).abs().mean().item() for t in range(3)]
    assert temporal_change(stack).tolist() == pytest.approx(expected)


@given(st.integers(0, 50), st.floats(0, 1))
def test_a_fixed_mix_never_flickers(seed, weight):
    ir = noise(4, 16, 16, seed=seed)
    mean = flicker((ir + ir.flip(0)) / 2, ir, ir.flip(0)).item()
    assert mean <= 1 + 1e-12
    assert flicker(weight * ir, ir, ir).item() == pytest.approx(weight)


def test_identity_symmetry_and_stillness():
    fused, ir, visible = noise(3, 5, 16, 16)
    still = torch.zeros(5, 16, 16, dtype=torch.float64)
    assert flicker(fused, fused, fused).item() == pytest.approx(1)
    torch.testing.assert_close(flicker(fused, ir, visible), flicker(fused, visible, ir))
    assert flicker(still, still, still).item() == 1
    assert flicker(still, ir, visible).item() == 0
    assert flicker(fused, still, still).item() == math.inf


def test_jumps_of_brightness_show():
    ir = noise(6, 16, 16) * 0.1
    jumping = ir + torch.tensor([0, 0.5] * 3)[:, None, None]
    assert flicker(jumping, ir, ir).item() > 5


def test_batch_is_loop_and_float32_is_float64():
    stacks = noise(3, 2, 4, 16, 18)
    batch = flicker(*stacks)
    assert batch.shape == (2,)
    for i in range(2):
        torch.testing.assert_close(batch[i], flicker(*stacks[:, i]))
    torch.testing.assert_close(flicker(*stacks.float()).double(), batch, rtol=1e-5, atol=0)
