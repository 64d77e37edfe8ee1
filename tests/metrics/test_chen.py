"""Qcb and Qcv: against the published equations in NumPy, and their laws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_irvisfuse.metrics.chen import qcb, qcb_map, qcv, qcv_map

ALL = [qcb, qcv]


def images(height: int = 40, width: int = 47, *, seed: int = 0) -> torch.Tensor:
    values = np.random.default_rng(seed).random((4, height, width))
    smooth = ndimage.gaussian_filter(values, (0, 1, 1))
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    return torch.from_numpy(np.clip(0.7 * smooth[:3] + 0.3 * smooth[3], 0, 1))


def weigh(image: np.ndarray, degrees: float, sensitivity) -> np.ndarray:
    height, width = image.shape
    down, across = np.meshgrid(
        np.arange(height) - height // 2, np.arange(width) - width // 2, indexing="ij"
    )  # cycles over the image
    spectrum = np.fft.fftshift(np.fft.fft2(image)) * sensitivity(np.hypot(down, across) / degrees)
    return np.fft.ifft2(np.fft.ifftshift(spectrum)).real


@pytest.mark.parametrize("size", [(40, 47), (33, 64), (16, 16)])
def test_qcb_by_definition(size):
    def masked(image: np.ndarray) -> np.ndarray:
        seen = weigh(image, 15, lambda r: np.exp(-((r / 15.3870) ** 2)) - 0.7622 * np.exp(-((r / 1.3456) ** 2)))
        narrow, wide = (ndimage.gaussian_filter(seen, s, radius=15, mode="nearest") for s in (2, 4))
        contrast = np.abs(narrow / wide - 1)
        return contrast**3 / (contrast**2 + 1e-4)

    f, a, b = (masked(image.numpy()) for image in images(*size))
    preserved = [np.minimum(x, f) / np.maximum(x, f) for x in (a, b)]
    expected = (a**2 * preserved[0] + b**2 * preserved[1]) / (a**2 + b**2)
    np.testing.assert_allclose(qcb_map(*images(*size)), expected, atol=1e-9)
    assert qcb(*images(*size)).item() == pytest.approx(expected.mean(), abs=1e-9)


@pytest.mark.parametrize("size", [(40, 47), (33, 64), (16, 16)])
def test_qcv_by_definition(size):
    fused, *sources = (image.numpy() for image in images(*size))

    def mannos(r: np.ndarray) -> np.ndarray:
        return 2.6 * (0.0192 + 0.144 * r) * np.exp(-((0.144 * r) ** 1.1))

    height, width = size
    above = below = 0.0
    regions = np.zeros((-(-height // 16), -(-width // 16)))
    seen = [weigh(255 * (x - fused), 4, mannos) for x in sources]
    edges = [np.hypot(*(ndimage.sobel(x, axis, mode="nearest") for axis in (0, 1))) for x in sources]
    for y, x in np.ndindex(regions.shape):
        part = (slice(16 * y, 16 * y + 16), slice(16 * x, 16 * x + 16))
        saliency = [(e[part] ** 5).sum() for e in edges]
        difference = [(s[part] ** 2).mean() for s in seen]
        regions[y, x] = np.dot(saliency, difference) / sum(saliency)
        above, below = above + np.dot(saliency, difference), below + sum(saliency)
    np.testing.assert_allclose(qcv_map(*images(*size)), regions, rtol=1e-9)
    assert qcv(*images(*size)).item() == pytest.approx(above / below)


@settings(max_examples=8)
@given(st.integers(0, 100), st.floats(0.1, 0.9))
def test_laws(seed, gain):
    fused, ir, visible = images(20, 35, seed=seed)
    for function in ALL:
        torch.testing.assert_close(function(fused, visible, ir), function(fused, ir, visible))
        torch.testing.assert_close(function(*(x.T for x in (fused, ir, visible))), function(fused, ir, visible))
    assert 0 <= qcb(fused, ir, visible).item() < 1
    torch.testing.assert_close(qcb(gain * fused, ir, visible), qcb(fused, ir, visible))
    # an error grows with its square
    halved = [ir + (x - ir) / 2 for x in (fused, ir)]
    torch.testing.assert_close(qcv(halved[0], ir, ir), qcv(fused, ir, ir) / 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_identity(dtype):
    image = images()[0].to(dtype)
    assert qcb(image, image, image).item() == pytest.approx(1, abs=1e-6)
    assert qcv(image, image, image).item() == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [(16, 16), (37, 50)])
def test_constant_images(dtype, size):
    black, dark, bright = (torch.full(size, grey, dtype=dtype) for grey in (0.0, 0.2, 0.7))
    for fused in (black, dark, bright):
        assert qcb(fused, dark, bright).item() == 1  # nobody has contrast
    image = images(*size)[0].to(dtype)
    assert qcb(dark, image, image).item() == pytest.approx(0, abs=1e-6)
    assert qcb(image, black, dark).item() == pytest.approx(0, abs=1e-6)
    assert qcv(dark, dark, dark).item() == pytest.approx(0, abs=1e-6)
    step = (255 * 0.5 * 2.6 * 0.0192) ** 2  # the eye's sensitivity to brightness as such
    assert qcv(dark, dark + 0.5, dark + 0.5).item() == pytest.approx(step, rel=1e-4)


def test_losing_contrast_costs():
    fused, ir, visible = images()
    flat = fused.mean() + 0.2 * (fused - fused.mean())
    assert qcb(flat, ir, visible) < qcb(fused, ir, visible)
    assert qcv(ir, ir, ir) < qcv(0.9 * ir, ir, ir) < qcv(0.5 * ir, ir, ir)


@pytest.mark.parametrize("function", ALL)
def test_batch_is_loop_and_float32_is_float64(function):
    stack = torch.stack([images(seed=seed) for seed in range(4)]).transpose(0, 1).reshape(3, 2, 2, 40, 47)
    batch = function(*stack)
    assert batch.shape == (2, 2)
    for i, j in np.ndindex(2, 2):
        torch.testing.assert_close(batch[i, j], function(*stack[:, i, j]))
    assert function(*stack.float()).dtype == torch.float32
    torch.testing.assert_close(function(*stack.float()).double(), batch, rtol=1e-3, atol=1e-3)
