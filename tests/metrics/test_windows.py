"""Local statistics under Gaussian windows: against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_irvisfuse.metrics.windows import fill_border, local_statistics, window_mean


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random(shape))


def window(sigma: float, radius: int) -> np.ndarray:
    x = np.arange(-radius, radius + 1)
    kernel = np.exp(-(x[:, None] ** 2 + x**2) / (2 * sigma**2))
    return kernel / kernel.sum()


@pytest.mark.parametrize(("sigma", "radius"), [(1.5, 5), (3.4, 8), (0.6, 1)])
def test_moments_by_loops(sigma, radius):
    a, b = noise(2, 19, 22).numpy()
    weights = window(sigma, radius)
    result = local_statistics(torch.from_numpy(a), torch.from_numpy(b), sigma, radius)
    assert result.covariance.shape == (19 - 2 * radius, 22 - 2 * radius)
    for y, x in np.ndindex(result.covariance.shape):
        p, q = (image[y : y + len(weights), x : x + len(weights)] for image in (a, b))
        mean_p, mean_q = (weights * p).sum(), (weights * q).sum()
        expected = (
            mean_p,
            mean_q,
            (weights * (p - mean_p) ** 2).sum(),
            (weights * (q - mean_q) ** 2).sum(),
            (weights * (p - mean_p) * (q - mean_q)).sum(),
        )
        assert [values[y, x].item() for values in result] == pytest.approx(expected, abs=1e-13)


def test_float32_keeps_small_variances():
    a = 0.9 + noise(40, 40) / 1000
    exact, single = local_statistics(a, a, 1.5, 5), local_statistics(a.float(), a.float(), 1.5, 5)
    torch.testing.assert_close(single.variance_a.double(), exact.variance_a, rtol=1e-3, atol=0)


def test_too_small_is_empty():
    assert window_mean(noise(16, 16), 3.4, 8).numel() == 0


def test_fill_border_repeats():
    filled = fill_border(noise(3, 4), 2)
    np.testing.assert_array_equal(filled, np.pad(noise(3, 4), 2, mode="edge"))
