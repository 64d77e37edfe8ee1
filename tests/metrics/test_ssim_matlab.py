"""SSIM with MATLAB's border: the definition by loops, agreement with scikit-image, and its laws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_irvisfuse.metrics.ssim_matlab import gaussian_ssim_map, ssim, ssim_quality, ssim_sum


def images(height: int = 17, width: int = 20, *, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random((3, height, width)))


def by_loops(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    x = np.arange(-5, 6)
    window = np.exp(-(x[:, None] ** 2 + x**2) / (2 * 1.5**2))
    window /= window.sum()
    padded = [np.pad(image, 5, mode="edge") for image in (a, b)]
    result = np.zeros_like(a)
    for i, j in np.ndindex(a.shape):
        p, q = (image[i : i + 11, j : j + 11] for image in padded)
        m, n = (window * p).sum(), (window * q).sum()
        covariance = (window * (p - m) * (q - n)).sum()
        variances = (window * ((p - m) ** 2 + (q - n) ** 2)).sum()
        result[i, j] = (2 * m * n + 1e-4) * (2 * covariance + 9e-4) / ((m * m + n * n + 1e-4) * (variances + 9e-4))
    return result


@pytest.mark.parametrize("size", [(16, 16), (17, 23)])
def test_by_definition(size):
    fused, ir, visible = images(*size)
    maps = [by_loops(fused.numpy(), source.numpy()) for source in (ir, visible)]
    np.testing.assert_allclose(gaussian_ssim_map(fused, ir).numpy(), maps[0], atol=1e-12)
    inside = gaussian_ssim_map(fused, ir, border="valid").numpy()
    np.testing.assert_allclose(inside, maps[0][5:-5, 5:-5], atol=1e-12)
    assert ssim_sum(fused, ir, visible).item() == pytest.approx(maps[0].mean() + maps[1].mean(), abs=1e-12)
    assert ssim(fused, ir, visible).item() == pytest.approx((maps[0].mean() + maps[1].mean()) / 2, abs=1e-12)


def test_against_scikit_image():
    metrics = pytest.importorskip("skimage.metrics")
    a, b, _ = images(40, 50)
    settings_ = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    _, expected = metrics.structural_similarity(a.numpy(), b.numpy(), full=True, **settings_)
    inside = gaussian_ssim_map(a, b, border="valid")
    np.testing.assert_allclose(inside.numpy(), expected[5:-5, 5:-5], atol=1e-12)


@settings(max_examples=10)
@given(st.integers(0, 1000))
def test_laws(seed):
    fused, ir, visible = images(16, 16, seed=seed)
    values = gaussian_ssim_map(fused, ir)
    assert torch.equal(gaussian_ssim_map(ir, fused), values)
    assert values.abs().max() <= 1
    assert ssim_sum(fused, visible, ir) == ssim_sum(fused, ir, visible)
    torch.testing.assert_close(gaussian_ssim_map(fused.T, ir.T).T, values)
    torch.testing.assert_close(gaussian_ssim_map(fused.flip(-1), ir.flip(-1)).flip(-1), values)


def test_copies_and_constants():
    image, other, _ = images()
    assert (gaussian_ssim_map(image, image) == 1).all()
    assert ssim_sum(image, image, image) == 2
    assert 1 < ssim_sum(image, image, other) < 2
    constant = torch.full_like(image, 0.3)
    assert ssim(constant, constant, constant).item() == pytest.approx(1)
    assert gaussian_ssim_map(1 - image, image).mean() < 0


def test_quality_maps():
    maps = ssim_quality(*images())
    assert list(maps) == ["SSIM_ir", "SSIM_visible"]
    assert all(m.data.shape == (17, 20) and m.group == "quality" for m in maps.values())
    assert sum(m.data.mean() for m in maps.values()).item() == pytest.approx(ssim_sum(*images()).item())


def test_batch_is_loop_and_float32():
    batch = torch.stack([images(seed=seed) for seed in range(4)], dim=1).reshape(3, 2, 2, 17, 20)
    values = ssim(*batch)
    assert values.shape == (2, 2)
    assert values[1, 0].item() == pytest.approx(ssim(*batch[:, 1, 0]).item(), abs=1e-14)
    single = ssim(*batch.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), values, rtol=0, atol=1e-5)
