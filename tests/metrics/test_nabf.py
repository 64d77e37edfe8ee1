"""N_abf of the published code: the definition by loops, and its laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_irvisfuse.metrics.nabf import nabf, nabf_map, nabf_quality
from napari_irvisfuse.metrics.sobel_orders import sobel_by_columns, sobel_by_products


def images(height: int = 17, width: int = 20, *, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (3, height, width)) / 255)


def by_loops(fused: np.ndarray, ir: np.ndarray, visible: np.ndarray, white: float) -> np.ndarray:
    kernel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
    padded = [np.pad(image * white, 1, mode="reflect") for image in (fused, ir, visible)]
    result = np.zeros((2, *fused.shape))
    for i, j in np.ndindex(fused.shape):
        windows = [image[i : i + 3, j : j + 3] for image in padded]
        slopes = [((window * kernel).sum(), (window * kernel.T).sum()) for window in windows]
        strength = [math.hypot(*slope) for slope in slopes]
        angle = [math.atan2(*slope) for slope in slopes]  # modulo π below
        weights = [g**1.5 if g >= 2 else 0.001 for g in strength[1:]]
        for k in (1, 2):
            # mirrored both ways, a corner has no gradient
            ratio = min(strength[k], strength[0]) / (max(strength[k], strength[0]) or 1)
            turn = abs((abs(angle[k] - angle[0])) % math.pi - math.pi / 2) * 2 / math.pi
            q = 0.9999 / (1 + math.exp(-19 * (ratio - 0.5))) * 0.9995 / (1 + math.exp(-22 * (turn - 0.5)))
            if strength[0] > max(strength[1:]):
                result[0, i, j] += (1 - math.sqrt(q)) * weights[k - 1]
            result[1, i, j] += weights[k - 1]
    return result


@pytest.mark.parametrize("white", [1.0, 255.0])
def test_by_definition(white):
    invented, weight = by_loops(*(image.numpy() for image in images()), white)
    assert nabf(*images(), data_range=white).item() == pytest.approx(invented.sum() / weight.sum(), abs=1e-12)
    np.testing.assert_allclose(nabf_map(*images(), data_range=white).numpy(), invented / weight, atol=1e-12)


def test_both_orders_are_the_same_gradient():
    padded = images()
    for a, b in zip(sobel_by_columns(padded), sobel_by_products(padded), strict=True):
        torch.testing.assert_close(a, b)
    ramp = torch.arange(20.0).expand(17, 20)
    for function in (sobel_by_columns, sobel_by_products):
        x, y = function(ramp)
        assert (x == 8).all()
        assert (y == 0).all()
        x, y = function(ramp.T)
        assert (x == 0).all()
        assert (y == 8).all()


@settings(max_examples=10)
@given(st.integers(0, 1000), st.sampled_from([1.0, 255.0]))
def test_laws(seed, white):
    # between grey levels, where no two gradients are equal
    fused, ir, visible = torch.from_numpy(np.random.default_rng(seed).random((3, 16, 16)))
    value = nabf(fused, ir, visible, data_range=white)
    assert 0 < value <= 1
    assert nabf(fused, visible, ir, data_range=white) == value
    torch.testing.assert_close(nabf(fused.flip(-1), ir.flip(-1), visible.flip(-1), data_range=white), value)
    torch.testing.assert_close(nabf(1 - fused, ir, visible, data_range=white), value)


@pytest.mark.parametrize("white", [1.0, 255.0])
def test_copies_and_dimming_invent_nothing(white):
    image, other, _ = images()
    assert nabf(image, image, image, data_range=white) == 0
    assert nabf(image, image, other, data_range=white) == 0
    assert nabf(image / 2, image, image, data_range=white) == 0
    constant = torch.full_like(image, 0.5)
    assert nabf(constant, image, other, data_range=white) == 0
    assert nabf(constant, constant, constant, data_range=white) == 0
    assert nabf(image, constant, constant, data_range=white) > 0.9


def test_quality_map_shows_where():
    constant = torch.full((32, 32), 0.5, dtype=torch.float64)
    fused = constant.clone()
    fused[8:12, 20:25] = 1
    quality = nabf_quality(fused, constant, constant)["N_abf"]
    assert (quality.kind, quality.title, quality.group) == ("weight", "Artefacts (N_abf)", "quality")
    assert quality.data[8, 20] > 0.9
    assert quality.data[:, :15].max() == 0
    assert quality.data.mean().item() == pytest.approx(nabf(fused, constant, constant).item())


def test_batch_is_loop_and_float32():
    batch = torch.stack([images(seed=seed) for seed in range(4)], dim=1).reshape(3, 2, 2, 17, 20)
    values = nabf(*batch)
    assert values.shape == (2, 2)
    assert values[1, 0].item() == pytest.approx(nabf(*batch[:, 1, 0]).item(), abs=1e-15)
    single = nabf(*batch.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), values, rtol=0, atol=1e-4)
