"""MEF-SSIM: the definition by loops over windows, scale by scale, and its laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_irvisfuse.metrics.mef_ssim import MEF_SSIM_WEIGHTS, mef_ms_ssim, mef_ssim_map, mef_ssim_quality


def images(height: int = 17, width: int = 20, *, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (3, height, width)) / 255)


def by_loops(fused: np.ndarray, ir: np.ndarray, visible: np.ndarray) -> np.ndarray:
    x = np.arange(-5, 6)
    weights = np.exp(-(x[:, None] ** 2 + x**2) / (2 * 1.5**2))
    weights /= weights.sum()
    result = np.zeros((fused.shape[0] - 10, fused.shape[1] - 10))
    for i, j in np.ndindex(result.shape):
        f, a, b = (255 * image[i : i + 11, j : j + 11] for image in (fused, ir, visible))
        a, b = a - a.mean(), b - b.mean()
        norms = np.linalg.norm(a), np.linalg.norm(b)
        agreement = min((np.linalg.norm(a + b) + 1e-16) / (sum(norms) + 1e-16), 1)
        power = 10 if agreement > 1 - 1e-12 else min(math.tan(math.pi / 2 * agreement), 10)
        strength = [norm + 0.001 for norm in norms]
        share = [(s / 11) ** power for s in strength]
        wanted = sum(s / sum(share) * w / e for s, w, e in zip(share, (a, b), strength, strict=True))
        if np.linalg.norm(wanted) > 0:
            wanted *= max(strength) / np.linalg.norm(wanted)
        wanted, f = (w - (weights * w).sum() for w in (wanted, f))
        c = (0.03 * 255) ** 2
        covariance, variances = (weights * wanted * f).sum(), (weights * (wanted**2 + f**2)).sum()
        result[i, j] = (2 * covariance + c) / (variances + c)
    return result


def halve(image: np.ndarray) -> np.ndarray:
    even = np.pad(image, [(0, n % 2) for n in image.shape], mode="edge")
    return (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4


@pytest.mark.parametrize("size", [(17, 20), (11, 30)])
def test_map_by_definition(size):
    planes = images(*size)
    expected = by_loops(*(image.numpy() for image in planes))
    np.testing.assert_allclose(mef_ssim_map(*planes).numpy(), expected, atol=1e-9)


@pytest.mark.parametrize(
    ("size", "scales"), [((16, 40), 1), ((20, 40), 1), ((21, 40), 2), ((40, 45), 2), ((41, 45), 3)]
)
def test_scales_by_definition(size, scales):
    planes = [image.numpy() for image in images(*size)]
    planes[0] = 0.2 * planes[0] + 0.4 * planes[1] + 0.4 * planes[2]
    weights = MEF_SSIM_WEIGHTS[:scales]
    expected, small = 1.0, planes
    for weight in weights:
        expected *= by_loops(*small).mean() ** (weight / sum(weights))
        small = [halve(image) for image in small]
    value = mef_ms_ssim(*(torch.from_numpy(image) for image in planes))
    assert value.item() == pytest.approx(expected, abs=1e-9)


@settings(max_examples=10)
@given(st.integers(0, 1000))
def test_laws(seed):
    fused, ir, visible = images(24, 24, seed=seed)
    value = mef_ms_ssim(fused, ir, visible)
    assert 0 <= value <= 1
    assert mef_ssim_map(fused, ir, visible).abs().max() <= 1
    torch.testing.assert_close(mef_ms_ssim(fused, visible, ir), value)
    torch.testing.assert_close(mef_ms_ssim(fused.T, ir.T, visible.T), value)
    # mean brightness is not asked for
    torch.testing.assert_close(mef_ms_ssim(fused + 0.2, ir - 0.1, visible), value)


def test_the_stronger_source_is_what_is_wanted():
    image = images(48, 48)[0]
    assert mef_ms_ssim(image, image, image).item() == pytest.approx(1, abs=1e-9)
    faint = 0.5 + 0.01 * images(48, 48)[1]
    assert mef_ms_ssim(image, image, faint) > 0.99
    assert mef_ms_ssim(faint, image, faint) < 0.1
    assert mef_ms_ssim(1 - image, image, image) == 0


def test_constants():
    constant = torch.full((48, 48), 0.3, dtype=torch.float64)
    assert mef_ms_ssim(constant, constant, constant).item() == pytest.approx(1, abs=1e-6)
    image = images(48, 48)[0]
    assert mef_ms_ssim(image, image, constant).item() == pytest.approx(1, abs=1e-3)
    assert mef_ms_ssim(image, constant, constant) < 0.1


def test_quality_map():
    quality = mef_ssim_quality(*images())["MEF_SSIM"]
    assert quality.data.shape == (17, 20)
    assert quality.group == "quality"
    assert torch.equal(quality.data[5:-5, 5:-5], mef_ssim_map(*images()))


def test_batch_is_loop_and_float32():
    batch = torch.stack([images(45, 48, seed=seed) for seed in range(4)], dim=1).reshape(3, 2, 2, 45, 48)
    values = mef_ms_ssim(*batch)
    assert values.shape == (2, 2)
    assert values[1, 0].item() == pytest.approx(mef_ms_ssim(*batch[:, 1, 0]).item(), abs=1e-12)
    single = mef_ms_ssim(*batch.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), values, rtol=0, atol=1e-4)
