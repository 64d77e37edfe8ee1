"""Filters: against SciPy, NumPy and plain loops, in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_irvisfuse.images.filters import (
    box_mean,
    box_sum,
    gaussian,
    guided_filter_by,
    histogram_saliency,
    pad,
    separable,
)

SCIPY_MODES = {"replicate": "nearest", "reflect": "mirror", "symmetric": "reflect", "zero": "constant"}
NUMPY_MODES = {"replicate": "edge", "reflect": "reflect", "symmetric": "symmetric", "zero": "constant"}
BORDERS = sorted(NUMPY_MODES)


def image(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape or (19, 23))


def on_tensor(function, array: np.ndarray, *args, **kwargs) -> np.ndarray:
    return function(torch.from_numpy(array), *args, **kwargs).numpy()


@given(st.sampled_from(BORDERS), st.integers(0, 11), st.integers(0, 11))
def test_pad_is_numpys(border, rows, columns):
    array = image(2, 1, 12, 13)
    expected = np.pad(array, [(0, 0), (0, 0), (rows, rows), (columns, columns)], mode=NUMPY_MODES[border])
    np.testing.assert_array_equal(on_tensor(pad, array, rows, columns, border), expected)


@pytest.mark.parametrize("shape", [(19, 23), (3, 19, 23), (2, 1, 19, 23), (2, 3, 1, 19, 23)])
@pytest.mark.parametrize("border", BORDERS)
def test_gaussian_is_scipys(border, shape):
    array = image(*shape)
    axes = (len(shape) - 2, len(shape) - 1)
    expected = ndimage.gaussian_filter(array, 2, mode=SCIPY_MODES[border], radius=6, axes=axes)
    result = on_tensor(gaussian, array, 2, radius=6, border=border)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("border", BORDERS)
def test_separable_correlates_with_both_kernels(border):
    array, kernel = image(), np.array([0.5, -1.0, 2.0, 0.25, 1.5])  # not symmetric: correlation, not convolution
    mode = SCIPY_MODES[border]
    expected = ndimage.correlate1d(ndimage.correlate1d(array, kernel, 0, mode=mode), kernel, 1, mode=mode)
    result = separable(torch.from_numpy(array), torch.from_numpy(kernel), border).numpy()
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("radius", range(13))
def test_box_sum_counts_what_is_inside(radius):
    array = image(2, 1, 12, 13)
    padded = np.pad(array, [(0, 0), (0, 0), (radius, radius), (radius, radius)])
    width = 2 * radius + 1
    expected = np.lib.stride_tricks.sliding_window_view(padded, (width, width), axis=(-2, -1)).sum((-2, -1))
    np.testing.assert_allclose(on_tensor(box_sum, array, radius), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("radius", [0, 1, 3, 7, 11])
@pytest.mark.parametrize("border", BORDERS)
def test_box_mean_is_scipys(border, radius):
    array = image()
    expected = ndimage.uniform_filter(array, 2 * radius + 1, mode=SCIPY_MODES[border])
    np.testing.assert_allclose(on_tensor(box_mean, array, radius, border), expected, rtol=0, atol=1e-14)


def _naive_guided(image: np.ndarray, guide: np.ndarray, radius: int, epsilon: float) -> np.ndarray:
    """He, Sun, Tang 2013, equations 5, 6 and 8, one window at a time."""
    height, width = image.shape

    def window(row: int, column: int) -> tuple[slice, slice]:
        return slice(max(row - radius, 0), row + radius + 1), slice(max(column - radius, 0), column + radius + 1)

    slope, offset = np.zeros_like(image), np.zeros_like(image)
    for pixel in np.ndindex(height, width):
        part, g = image[window(*pixel)], guide[window(*pixel)]
        slope[pixel] = ((g * part).mean() - g.mean() * part.mean()) / (g.var() + epsilon)
        offset[pixel] = part.mean() - slope[pixel] * g.mean()
    result = np.zeros_like(image)
    for pixel in np.ndindex(height, width):
        result[pixel] = slope[window(*pixel)].mean() * guide[pixel] + offset[window(*pixel)].mean()
    return result


@pytest.mark.parametrize("radius", [1, 2, 4, 9])
def test_guided_filter_is_the_papers(radius):
    array, guide = image(), image(seed=1)
    expected = _naive_guided(array, guide, radius, 0.05**2)
    result = guided_filter_by(torch.from_numpy(array), radius, 0.05**2)(torch.from_numpy(guide)).numpy()
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-12)


def test_guided_filter_takes_one_guide_after_the_other():
    array = torch.from_numpy(image(2, 1, 19, 23))
    apply = guided_filter_by(array, 2, 0.01)
    first, second = torch.from_numpy(image(2, 1, 19, 23, seed=1)), torch.from_numpy(image(2, 1, 19, 23, seed=2))
    kept = apply(first)
    apply(second)
    torch.testing.assert_close(apply(first), kept, rtol=0, atol=0)
    alone = guided_filter_by(array[1:], 2, 0.01)(first[1:])
    torch.testing.assert_close(kept[1:], alone, rtol=0, atol=1e-15)


def _naive_saliency(array: np.ndarray) -> np.ndarray:
    levels = np.floor(array * 255 + 0.5).astype(int)
    counts = np.bincount(levels.ravel(), minlength=256)
    contrast = np.array([(counts * np.abs(np.arange(256) - level)).sum() for level in range(256)], dtype=float)
    saliency = contrast[levels]
    spread = saliency.max() - saliency.min()
    return (saliency - saliency.min()) / spread if spread else np.zeros_like(saliency)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 2e-6)])
def test_saliency_is_the_contrast_to_all_other_levels(dtype, tolerance):
    array = image(2, 1, 30, 40)
    array[1] **= 3
    result = histogram_saliency(torch.from_numpy(array).to(dtype))
    assert result.dtype == dtype
    for n in range(2):
        np.testing.assert_allclose(result[n, 0], _naive_saliency(array[n, 0]), rtol=0, atol=tolerance)


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_nothing_is_salient_in_a_constant_image(value):
    assert not histogram_saliency(torch.full((2, 1, 16, 16), value)).any()


def test_saliency_of_two_levels_favours_the_rare_one():
    array = torch.zeros(1, 1, 16, 16)
    array[..., :2, :2] = 1
    torch.testing.assert_close(histogram_saliency(array), array)


@pytest.mark.parametrize("filtered", [lambda x: gaussian(x, 3, radius=9), lambda x: box_mean(x, 5)])
def test_smoothing_keeps_a_constant_and_the_input(filtered):
    flat = torch.full((1, 1, 20, 20), 0.3, dtype=torch.float64)
    torch.testing.assert_close(filtered(flat), flat, rtol=0, atol=1e-15)
    torch.testing.assert_close(flat, torch.full_like(flat, 0.3), rtol=0, atol=0)
