"""SD, SF, AG, EI: against NumPy and SciPy, and on images whose values are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_irvisfuse.metrics.contrast import (
    average_gradient,
    edge_intensity,
    sobel_magnitude,
    spatial_frequency,
    standard_deviation,
)

ALL = [standard_deviation, spatial_frequency, average_gradient, edge_intensity]


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random(shape or (19, 23)))


def test_standard_deviation_is_numpys():
    image = noise()
    assert standard_deviation(image).item() == pytest.approx(255 * np.std(image.numpy()))


def test_spatial_frequency_by_loops():
    image = noise(7, 9)
    row = sum((image[y, x] - image[y, x - 1]) ** 2 for y in range(7) for x in range(1, 9))
    column = sum((image[y, x] - image[y - 1, x]) ** 2 for y in range(1, 7) for x in range(9))
    assert spatial_frequency(image).item() == pytest.approx(255 * math.sqrt((row + column) / 63))


def test_average_gradient_by_loops():
    image = noise(7, 9)
    values = [
        math.sqrt(((image[y, x + 1] - image[y, x]) ** 2 + (image[y + 1, x] - image[y, x]) ** 2) / 2)
        for y in range(6)
        for x in range(8)
    ]
    assert average_gradient(image).item() == pytest.approx(255 * np.mean(values))


def test_edge_intensity_is_scipys():
    image = noise().numpy()
    expected = np.hypot(*(ndimage.sobel(image, axis, mode="nearest") for axis in (0, 1)))
    np.testing.assert_allclose(sobel_magnitude(torch.from_numpy(image)), 255 * expected, atol=1e-10)
    assert edge_intensity(torch.from_numpy(image)).item() == pytest.approx(255 * expected.mean())


def test_a_ramp():
    ramp = (torch.arange(20, dtype=torch.float64) / 255).expand(16, 20)
    assert average_gradient(ramp).item() == pytest.approx(math.sqrt(0.5))
    assert spatial_frequency(ramp).item() == pytest.approx(math.sqrt(19 / 20))
    assert edge_intensity(ramp).item() == pytest.approx((18 * 8 + 2 * 4) / 20)


@pytest.mark.parametrize("function", ALL)
def test_constant_images_have_none(function):
    assert function(torch.full((16, 16), 0.3, dtype=torch.float64)).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("function", ALL)
@given(seed=st.integers(0, 50), gain=st.floats(0.1, 4), offset=st.floats(-1, 1))
def test_gain_scales_and_offset_does_nothing(function, seed, gain, offset):
    image = noise(16, 17, seed=seed)
    value = function(image).item()
    assert function(gain * image + offset).item() == pytest.approx(gain * value)
    assert function(gain * image, data_range=gain).item() == pytest.approx(value)
    assert function(image.flip(-1)).item() == pytest.approx(value, rel=0.2 if function is average_gradient else 1e-9)


def test_bounds():
    stripes = (torch.arange(16) % 2).double().expand(16, 16)
    chess = (stripes + stripes.T) % 2
    assert standard_deviation(chess).item() == pytest.approx(127.5)
    assert average_gradient(chess).item() == pytest.approx(255)
    assert 255 < spatial_frequency(chess).item() <= 255 * math.sqrt(2)
    corner = torch.zeros(16, 16, dtype=torch.float64).index_put(
        tuple(torch.tensor([[7, 6, 7, 8, 8, 8], [8, 8, 9, 9, 8, 7]])), torch.tensor(1.0, dtype=torch.float64)
    )
    assert sobel_magnitude(corner).amax().item() <= 255 * math.sqrt(20) + 1e-9


@pytest.mark.parametrize("function", ALL)
def test_batch_is_loop_and_float32_is_float64(function):
    images = noise(2, 3, 16, 18)
    batch = function(images)
    assert batch.shape == (2, 3)
    for i, j in np.ndindex(2, 3):
        torch.testing.assert_close(batch[i, j], function(images[i, j]))
    single = function(images.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), batch, rtol=1e-5, atol=0)
