from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_irvisfuse.training.losses import per_image, ssim


def images(count: int = 2, size: tuple[int, int] = (24, 31), seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 1, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=15)
@given(st.integers(12, 40), st.integers(12, 40), st.integers(0, 99))
def test_ssim_is_scikit_images(height, width, seed):
    metrics = pytest.importorskip("skimage.metrics")
    a, b = images(2, (height, width), seed), images(2, (height, width), seed + 1)
    expected = []
    for x, y in zip(a[:, 0].numpy(), b[:, 0].numpy(), strict=True):
        options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "truncate": 3.5}
        _, full = metrics.structural_similarity(x, y, data_range=1.0, full=True, **options)
        expected.append(full[5:-5, 5:-5].mean())
    np.testing.assert_allclose(ssim(a, b).numpy(), expected, atol=1e-10)


def test_ssim_of_an_image_with_itself_is_one():
    torch.testing.assert_close(ssim(images(), images()), torch.ones(2, dtype=torch.float64))


def test_ssim_has_a_gradient():
    a, b = images(size=(13, 12)).requires_grad_(), images(size=(13, 12), seed=1)
    assert torch.autograd.gradcheck(lambda x: ssim(x, b), (a,))


def test_one_value_per_image():
    values = torch.stack([torch.full((1, 3, 4), 2.0), torch.full((1, 3, 4), 5.0)])
    assert per_image(values).tolist() == pytest.approx([2, 5])
