from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import napari_irvisfuse as nif
from napari_irvisfuse.training.losses import ms_ssim, mutual_information, per_image, ssim


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


@settings(max_examples=10)
@given(st.sampled_from([176, 192, 208]), st.sampled_from([176, 224]), st.integers(0, 99))
def test_ms_ssim_is_the_metric(height, width, seed):
    """The metric is held against other libraries; it wants five scales, and halves odd sizes in another way."""
    a = images(2, (height, width), seed)
    b = (0.8 * a + 0.3 * images(2, (height, width), seed + 1)).clamp(0, 1)
    expected = [
        nif.evaluate(x.numpy(), y.numpy(), y.numpy(), "standard", ["MS_SSIM"])["MS_SSIM"]
        for x, y in zip(a[:, 0], b[:, 0], strict=True)
    ]
    np.testing.assert_allclose(ms_ssim(a, b).numpy(), expected, atol=2e-5)  # the metric computes in float32


@given(st.integers(11, 60), st.integers(11, 60), st.integers(0, 99))
@settings(max_examples=15)
def test_ms_ssim_of_any_size(height, width, seed):
    a, b = images(2, (height, width), seed), images(2, (height, width), seed + 1)
    torch.testing.assert_close(ms_ssim(a, a), torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(ms_ssim(a, b), ms_ssim(b, a))
    assert (ms_ssim(a, b) < 1).all()


def test_ms_ssim_of_one_scale_is_ssim():
    a, b = images(size=(20, 18)), images(size=(20, 18), seed=1)
    torch.testing.assert_close(ms_ssim(a, b), ssim(a, b).clamp_min(1e-4))


def test_ms_ssim_has_a_gradient_also_where_structures_are_opposite():
    a = images(1, (24, 24))
    b = (1 - a).requires_grad_()
    ms_ssim(a, b).sum().backward()
    assert torch.isfinite(b.grad).all()
    a = images(1, (24, 22)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: ms_ssim(x, images(1, (24, 22)) * 0.3 + 0.7 * a.detach()), (a,))


def samples(seed: int, *, channels: int = 3, count: int = 4000, levels: int | None = None) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    if levels is None:
        return torch.rand(2, channels, count, dtype=torch.float64, generator=generator)
    return torch.randint(levels, (2, channels, count), generator=generator).double()


@pytest.mark.parametrize("levels", [2, 4, 6])
def test_mutual_information_of_separated_values_with_themselves_is_their_entropy(levels):
    x = samples(0, levels=levels)
    shares = torch.stack([torch.bincount(image.flatten().long(), minlength=levels) for image in x]) / x[0].numel()
    entropy = -(shares * shares.log()).sum(1)
    torch.testing.assert_close(mutual_information(x, x), entropy.double(), atol=2e-3, rtol=0)


def test_mutual_information_of_smooth_values_with_themselves_is_near_their_entropy():
    x = samples(0)
    found = mutual_information(x, x)
    entropy = np.log(30)  # even over the bins that values fall into
    assert (found < entropy).all()
    assert (found > entropy - 1.3).all(), "what the spline spreads, and not more, is lost"


def test_mutual_information_with_something_else_is_nought():
    x = samples(0)
    shuffled = x[..., torch.randperm(x.shape[-1], generator=torch.Generator().manual_seed(1))]
    assert (mutual_information(x, shuffled) < 0.05).all()
    assert (mutual_information(x, samples(1)) >= 0).all()


def test_mutual_information_is_that_of_the_histogram_for_separated_values():
    """The same numbers, one seen through noise: the joint histogram counted, not splined."""
    x = samples(0, levels=5)
    y = torch.where(samples(3, levels=4) == 0, samples(2, levels=5), x)
    for a, b, found in zip(x, y, mutual_information(x, y), strict=True):
        joint = torch.bincount((5 * a + b).flatten().long(), minlength=25).reshape(5, 5).double() / a.numel()
        apart = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
        expected = (joint * (joint / apart).clamp_min(1e-30).log()).sum()
        torch.testing.assert_close(found, expected, atol=3e-3, rtol=0)


@settings(max_examples=10)
@given(st.integers(0, 99), st.floats(0.01, 100), st.floats(-50, 50))
def test_mutual_information_is_symmetric_and_knows_no_scale(seed, scale, shift):
    x = samples(seed, count=300)
    y = 0.5 * x + 0.5 * samples(seed + 1, count=300)
    torch.testing.assert_close(mutual_information(x, y), mutual_information(y, x))
    torch.testing.assert_close(mutual_information(scale * x + shift, y), mutual_information(x, y), rtol=1e-6, atol=1e-7)


def test_mutual_information_grows_with_what_two_have_in_common():
    x, noise = samples(0), samples(1)
    found = [float(mutual_information(x, (1 - share) * x + share * noise).mean()) for share in (0, 0.2, 0.5, 0.8, 1)]
    assert found == sorted(found, reverse=True)


def test_the_gradient_of_mutual_information_is_its_own():
    x = samples(0, channels=2, count=30)[:1]
    y = (0.5 * x + 0.5 * samples(1, channels=2, count=30)[:1]).requires_grad_()
    assert torch.autograd.gradcheck(lambda value: mutual_information(x, value, bins=8), (y,))
    assert torch.autograd.gradcheck(lambda value: mutual_information(value, x, bins=8), (y,))


def test_a_channel_that_says_nothing_does_not_drown_the_others():
    """Features are nought in many channels; the slope of those once was a billion times that of the others."""
    x = samples(0, channels=2, count=400)
    dead = torch.zeros(2, 1, 400, dtype=torch.float64)
    y = torch.cat([samples(1, channels=1, count=400), dead], 1).requires_grad_()
    mutual_information(x, y).sum().backward()
    lively, silent = y.grad.abs().amax((0, 2))
    assert silent <= 100 * lively


def test_following_the_gradient_makes_more_of_mutual_information():
    x = samples(0, count=500)
    y = (0.5 * x + 0.5 * samples(1, count=500)).requires_grad_()
    before = mutual_information(x, y).sum()
    before.backward()
    assert y.grad.abs().sum() > 0
    after = mutual_information(x, y.detach() + 1e-3 * y.grad / y.grad.abs().max()).sum()
    assert after > before


def test_mutual_information_of_a_constant_is_nought():
    x = samples(0, count=200)
    flat = torch.full_like(x, 2.0).requires_grad_()
    found = mutual_information(x, flat)
    torch.testing.assert_close(found, torch.zeros(2, dtype=torch.float64), atol=1e-9, rtol=0)
    found.sum().backward()
    assert torch.isfinite(flat.grad).all()


def test_one_value_per_image():
    values = torch.stack([torch.full((1, 3, 4), 2.0), torch.full((1, 3, 4), 5.0)])
    assert per_image(values).tolist() == pytest.approx([2, 5])
