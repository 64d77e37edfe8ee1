"""VIF and VIFF: against torchmetrics and the definition in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_irvisfuse.metrics.vif import VIF_MIN_SIZE, vif, vif_of_pair, viff
from napari_irvisfuse.networks._torchvision import torchvision_models

ALL = [vif, viff]


def images(height: int = 48, width: int = 53, *, seed: int = 0) -> torch.Tensor:
    values = np.random.default_rng(seed).random((4, height, width))
    smooth = ndimage.gaussian_filter(values, (0, 1, 1))
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    return torch.from_numpy(np.clip(0.7 * smooth[:3] + 0.3 * smooth[3], 0, 1))


@pytest.mark.parametrize("size", [(48, 53), (64, 41)])
def test_vif_is_torchmetrics(size):
    torchvision_models()  # torchmetrics imports torchvision, which may not fit torch
    library = pytest.importorskip("torchmetrics.functional.image")
    fused, ir, visible = images(*size)
    values = [
        library.visual_information_fidelity(255 * fused[None, None], 255 * x[None, None]).item() for x in (ir, visible)
    ]
    assert vif_of_pair(fused, ir).item() == pytest.approx(values[0], abs=1e-9)
    assert vif(fused, ir, visible).item() == pytest.approx(sum(values), abs=1e-9)


def scales(reference: np.ndarray, distorted: np.ndarray, eye: float) -> list[tuple[np.ndarray, ...]]:
    """Gain and both pieces of visual information per scale, in grey levels, straight from the paper."""
    a, b = 255 * reference, 255 * distorted
    found = []
    for number, radius in enumerate((8, 4, 2, 1)):

        def mean(image: np.ndarray, radius: int = radius) -> np.ndarray:
            smooth = ndimage.gaussian_filter(image, (2 * radius + 1) / 5, radius=radius)
            return smooth[radius:-radius, radius:-radius]

        if number:
            a, b = mean(a)[::2, ::2], mean(b)[::2, ::2]
        signal, power = mean(a * a) - mean(a) ** 2, mean(b * b) - mean(b) ** 2
        covariance = mean(a * b) - mean(a) * mean(b)
        gain = np.maximum(covariance / (signal + 1e-10), 0)
        noise = np.where(gain > 0, power - gain * covariance, power)
        noise = np.maximum(noise, 1e-10)
        found.append((gain, np.log10(1 + gain**2 * signal / (noise + eye)), np.log10(1 + signal / eye)))
    return found


def test_viff_by_definition():
    fused, ir, visible = images()
    total = 0.0
    pairs = [scales(x.numpy(), fused.numpy(), 0.005 * 255**2) for x in (ir, visible)]
    for of_ir, of_visible, weight in zip(*pairs, (1, 0, 0.15, 1), strict=True):
        ir_counts = of_ir[0] < of_visible[0]
        kept, there = (np.where(ir_counts, of_ir[k], of_visible[k]) + 1e-7 for k in (1, 2))
        total += weight / 2.15 * kept.sum() / there.sum()
    assert viff(fused, ir, visible).item() == pytest.approx(total, abs=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("grey", [0.0, 0.3, 1.0])
def test_identity_and_constant_sources(dtype, grey):
    image, flat = images()[0].to(dtype), torch.full((48, 53), grey, dtype=dtype)
    assert vif(image, image, image).item() == pytest.approx(2, abs=1e-4)
    assert viff(image, image, image).item() == pytest.approx(1, abs=1e-4)
    for fused in (flat, image):  # nothing was there, so nothing was lost
        assert vif(fused, flat, flat).item() == pytest.approx(2, abs=1e-4)
        assert viff(fused, flat, flat).item() == pytest.approx(1, abs=1e-4)
    assert vif(flat, image, image).item() == pytest.approx(0, abs=1e-4)
    assert viff(flat, image, image).item() == pytest.approx(0, abs=1e-4)


def test_more_contrast_is_more_and_blur_is_less():
    fused, ir, visible = images()
    blurred = torch.from_numpy(ndimage.gaussian_filter(ir.numpy(), 2))
    assert vif_of_pair(blurred, ir).item() < 0.6
    assert vif_of_pair(ir + 0.5 * (ir - ir.mean()), ir).item() > 1
    assert vif_of_pair(1 - ir, ir).item() == 0
    torch.testing.assert_close(vif_of_pair(fused + 0.1, ir), vif_of_pair(fused, ir))
    torch.testing.assert_close(vif(fused, visible, ir), vif(fused, ir, visible))
    mean = (ir + visible) / 2 + 0.1 * ir * visible  # of which all gains are above 0, so no two of them are equal
    torch.testing.assert_close(viff(mean, visible, ir), viff(mean, ir, visible))


@pytest.mark.parametrize("function", ALL)
def test_too_small_is_nan(function):
    for size in ((16, 16), (40, 90), (90, 40)):
        assert function(*images(*size)).isnan()
    assert not function(*images(VIF_MIN_SIZE, VIF_MIN_SIZE)).isnan()


@pytest.mark.parametrize("function", ALL)
def test_batch_is_loop_and_float32_is_float64(function):
    stack = torch.stack([images(seed=seed) for seed in range(4)]).transpose(0, 1).reshape(3, 2, 2, 48, 53)
    batch = function(*stack)
    assert batch.shape == (2, 2)
    for i, j in np.ndindex(2, 2):
        torch.testing.assert_close(batch[i, j], function(*stack[:, i, j]))
    assert function(*stack.float()).dtype == torch.float32
    torch.testing.assert_close(function(*stack.float()).double(), batch, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(function(*(255 * stack), data_range=255), batch)
