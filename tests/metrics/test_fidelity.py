"""PSNR, SSIM, MS-SSIM: against torchmetrics, scikit-image and the definition, and their laws."""

from __future__ import annotations

import math
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_irvisfuse.metrics.fidelity import MS_SSIM_MIN_SIZE, ms_ssim, psnr, ssim, ssim_map, ssim_sum
from napari_irvisfuse.networks._torchvision import torchvision_models

ALL = [psnr, ssim, ssim_sum, ms_ssim]
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


@pytest.fixture(scope="module")
def torchmetrics() -> ModuleType:
    torchvision_models()  # torchmetrics imports torchvision, which may not fit torch
    return pytest.importorskip("torchmetrics.functional.image")


def images(height: int = 40, width: int = 47, *, seed: int = 0) -> torch.Tensor:
    """Three related smooth images, ``(3, H, W)``."""
    values = np.random.default_rng(seed).random((4, height, width))
    smooth = ndimage.gaussian_filter(values, (0, 1, 1))
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    return torch.from_numpy(np.clip(0.7 * smooth[:3] + 0.3 * smooth[3], 0, 1))


def four(image: torch.Tensor) -> torch.Tensor:
    return image[None, None]


def test_psnr_is_of_the_mean_error():
    fused, ir, visible = images()
    error = ((fused - ir) ** 2).mean() / 2 + ((fused - visible) ** 2).mean() / 2
    assert psnr(fused, ir, visible).item() == pytest.approx(-10 * math.log10(error.item()))
    assert psnr(*(255 * images()), data_range=255).item() == pytest.approx(psnr(fused, ir, visible).item())


def test_psnr_is_torchmetrics(torchmetrics):
    fused, ir, visible = images()
    expected = torchmetrics.peak_signal_noise_ratio(
        torch.stack([fused, fused]), torch.stack([ir, visible]), data_range=1.0
    )
    assert psnr(fused, ir, visible).item() == pytest.approx(expected.item())


def test_the_mean_of_the_sources_has_the_highest_psnr():
    fused, ir, visible = images()
    best = psnr((ir + visible) / 2, ir, visible)
    assert best > psnr(fused, ir, visible)
    assert best > psnr(0.6 * ir + 0.4 * visible, ir, visible)


def test_ssim_is_scikit_images():
    metrics = pytest.importorskip("skimage.metrics")
    fused, ir, visible = images()
    options = {"data_range": 1.0, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    values = [metrics.structural_similarity(fused.numpy(), x.numpy(), **options) for x in (ir, visible)]
    assert ssim(fused, ir, visible).item() == pytest.approx(np.mean(values), abs=1e-12)
    assert ssim_sum(fused, ir, visible).item() == pytest.approx(np.sum(values), abs=1e-12)


def test_ssim_is_torchmetrics_inside(torchmetrics):
    fused, ir, _ = images()
    _, full = torchmetrics.structural_similarity_index_measure(
        four(fused), four(ir), data_range=1.0, return_full_image=True
    )
    torch.testing.assert_close(ssim_map(fused, ir), full[0, 0, 5:-5, 5:-5], rtol=0, atol=1e-12)


def test_ms_ssim_is_the_product_of_torchmetrics_scales(torchmetrics):
    """Of its values inside; its own product takes the coarsest scale with the border."""
    a, b, _ = images(192, 176)
    expected = torch.ones((), dtype=torch.float64)
    x, y = a, b
    for scale, weight in enumerate(WEIGHTS):
        if scale < 4:
            _, mean = torchmetrics.structural_similarity_index_measure(
                four(x), four(y), data_range=1.0, return_contrast_sensitivity=True
            )
            x, y = (torch.nn.functional.avg_pool2d(four(image), 2)[0, 0] for image in (x, y))
        else:
            _, full = torchmetrics.structural_similarity_index_measure(
                four(x), four(y), data_range=1.0, return_full_image=True
            )
            mean = full[..., 5:-5, 5:-5].mean()
        expected = expected * mean.squeeze() ** weight
    torch.testing.assert_close(ms_ssim(a, b, b), expected, rtol=0, atol=1e-12)
    whole = torchmetrics.multiscale_structural_similarity_index_measure(four(a), four(b), data_range=1.0)
    assert ms_ssim(a, b, b).item() == pytest.approx(whole.item(), abs=0.03)


def test_ms_ssim_of_odd_sizes_by_definition():
    fused, ir, visible = images(163, 175).numpy()

    def of_pair(a: np.ndarray, b: np.ndarray) -> float:
        product = 1.0
        for scale, weight in enumerate(WEIGHTS):

            def mean(image: np.ndarray) -> np.ndarray:
                return ndimage.gaussian_filter(image, 1.5, radius=5)[5:-5, 5:-5]

            mu_a, mu_b = mean(a), mean(b)
            similarity = (2 * (mean(a * b) - mu_a * mu_b) + 0.0009) / (
                mean(a * a) - mu_a**2 + mean(b * b) - mu_b**2 + 0.0009
            )
            if scale == 4:
                similarity = similarity * (2 * mu_a * mu_b + 0.0001) / (mu_a**2 + mu_b**2 + 0.0001)
            product *= similarity.mean() ** weight
            a, b = (ndimage.correlate(x, np.full((2, 2), 0.25), mode="reflect", origin=-1)[::2, ::2] for x in (a, b))
        return product

    expected = (of_pair(fused, ir) + of_pair(fused, visible)) / 2
    value = ms_ssim(*(torch.from_numpy(x) for x in (fused, ir, visible))).item()
    assert value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("size", [(16, 16), (160, 170), (170, 160)])
def test_ms_ssim_says_nothing_of_images_too_small(size):
    assert ms_ssim(*images(*size)).isnan()
    assert not ms_ssim(*images(MS_SSIM_MIN_SIZE, MS_SSIM_MIN_SIZE)).isnan()


def test_opposite_structure_is_no_similarity():
    image = images(161, 161)[0]
    assert ms_ssim(1 - image, image, image).item() == 0
    assert ssim(1 - image, image, image).item() < 0


@settings(max_examples=10)
@given(st.integers(0, 100))
def test_laws(seed):
    fused, ir, visible = images(16, 18, seed=seed)
    value = ssim(fused, ir, visible)
    assert -1 <= value.item() < 1
    for function in (psnr, ssim, ssim_sum):
        torch.testing.assert_close(function(fused, visible, ir), function(fused, ir, visible))
        torch.testing.assert_close(function(*(x.T for x in (fused, ir, visible))), function(fused, ir, visible))
    torch.testing.assert_close(ssim(*(255 * images(16, 18, seed=seed)), data_range=255), value)
    torch.testing.assert_close(ssim_map(fused, ir), ssim_map(ir, fused))


@pytest.mark.parametrize("grey", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_identity(grey, dtype):
    for image in (images()[0].to(dtype), torch.full((16, 16), grey, dtype=dtype)):
        assert psnr(image, image, image).item() == math.inf
        assert ssim(image, image, image).item() == pytest.approx(1, abs=1e-6)
        assert ssim_sum(image, image, image).item() == pytest.approx(2, abs=1e-6)
    flat = torch.full((161, 161), grey, dtype=dtype)
    assert ms_ssim(flat, flat, flat).item() == pytest.approx(1, abs=1e-6)


def test_constants_differ_by_luminance_only():
    a, b = (torch.full((16, 16), grey, dtype=torch.float64) for grey in (0.2, 0.6))
    assert ssim(a, b, b).item() == pytest.approx((0.24 + 0.0001) / (0.4 + 0.0001))


@pytest.mark.parametrize("function", ALL)
def test_batch_is_loop_and_float32_is_float64(function):
    size = (161, 163) if function is ms_ssim else (16, 18)
    stack = torch.stack([images(*size, seed=seed) for seed in range(2)]).transpose(0, 1)[:, :, None]
    batch = function(*stack)
    assert batch.shape == (2, 1)
    for i in range(2):
        torch.testing.assert_close(batch[i, 0], function(*stack[:, i, 0]))
    single = function(*stack.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), batch, rtol=1e-5, atol=1e-5)
