"""Entropy and mutual information: against NumPy's histograms, known distributions and published values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_irvisfuse.metrics.information import entropy, mutual_information, normalised_mutual_information


def levels(*shape: int, seed: int = 0, number: int = 256) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, number, shape) / 255)


def numpy_entropy(*images: torch.Tensor) -> float:
    values = [np.rint(image.numpy() * 255).ravel() for image in images]
    counts, _ = np.histogramdd(np.stack(values, 1), bins=[np.arange(257) - 0.5] * len(images))
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log2(share)).sum())


def numpy_shared(a: torch.Tensor, b: torch.Tensor) -> float:
    return numpy_entropy(a) + numpy_entropy(b) - numpy_entropy(a, b)


@pytest.mark.parametrize("number", [1, 2, 16, 256])
def test_entropy_of_equally_frequent_levels(number):
    image = (torch.arange(256, dtype=torch.float64) % number).reshape(16, 16) / 255
    assert entropy(image).item() == pytest.approx(np.log2(number), abs=1e-12)


@given(st.integers(0, 100), st.integers(1, 256))
def test_entropy_is_numpys_and_within_its_range(seed, number):
    image = levels(17, 23, seed=seed, number=number)
    value = entropy(image).item()
    assert value == pytest.approx(numpy_entropy(image), abs=1e-12)
    assert 0 <= value <= np.log2(number) + 1e-12


@given(st.permutations(range(6)))
def test_entropy_does_not_care_where_or_which(order):
    image = levels(6, 20, number=40)
    assert entropy(image[list(order)]).item() == pytest.approx(entropy(image).item(), abs=1e-12)
    assert entropy(1 - image).item() == pytest.approx(entropy(image).item(), abs=1e-12)


def test_bins_and_data_range():
    image = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    assert entropy(image, bins=4, data_range=3).item() == pytest.approx(2)
    assert entropy(image, bins=2, data_range=3).item() == pytest.approx(1)


def test_mutual_information_is_numpys():
    fused, ir, visible = levels(3, 24, 30, number=12)
    expected = numpy_shared(ir, fused) + numpy_shared(visible, fused)
    assert mutual_information(fused, ir, visible).item() == pytest.approx(expected, abs=1e-12)
    shares = [2 * numpy_shared(x, fused) / (numpy_entropy(x) + numpy_entropy(fused)) for x in (ir, visible)]
    assert normalised_mutual_information(fused, ir, visible).item() == pytest.approx(sum(shares), abs=1e-12)


@settings(max_examples=10)
@given(st.integers(0, 50))
def test_laws(seed):
    fused, ir, visible = levels(3, 16, 16, seed=seed, number=8)
    value, share = mutual_information(fused, ir, visible), normalised_mutual_information(fused, ir, visible)
    assert 0 <= value.item() <= 2 * entropy(fused).item() + 1e-12
    assert 0 <= share.item() <= 2
    torch.testing.assert_close(mutual_information(fused, visible, ir), value)
    torch.testing.assert_close(normalised_mutual_information(fused, visible, ir), share)
    torch.testing.assert_close(mutual_information(fused, fused, fused), 2 * entropy(fused))
    torch.testing.assert_close(normalised_mutual_information(fused, fused, fused).item(), 2.0)
    # any relabelling of grey levels keeps the information
    torch.testing.assert_close(mutual_information(fused, 1 - ir, visible), value)


def test_independent_images_share_nothing():
    rows = (torch.arange(16.0) / 255)[:, None].expand(16, 16)
    assert mutual_information(rows, rows.T, rows.T).item() == pytest.approx(0, abs=1e-12)
    assert mutual_information(rows, rows.T, rows.T).item() >= 0


def test_constant_images():
    flat, image = torch.full((16, 16), 0.3), levels(16, 16).float()
    for images in ((flat, flat, flat), (flat, image, image), (image, flat, flat)):
        assert mutual_information(*images).item() == pytest.approx(0, abs=1e-12)
        assert normalised_mutual_information(*images).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("function", [mutual_information, normalised_mutual_information])
def test_batch_is_loop_and_float32_is_float64(function):
    images = levels(3, 2, 4, 16, 18, number=30)
    batch = function(*images)
    assert batch.shape == (2, 4)
    for i, j in np.ndindex(2, 4):
        torch.testing.assert_close(batch[i, j], function(*images[:, i, j]))
    torch.testing.assert_close(function(*images.float()), batch, rtol=0, atol=0)
    torch.testing.assert_close(entropy(images.float()), entropy(images), rtol=0, atol=0)
    torch.testing.assert_close(entropy(images)[0, 1, 2], entropy(images[0, 1, 2]), rtol=0, atol=0)
