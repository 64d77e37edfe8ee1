"""Patches cut out and put together, against loops over every patch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_irvisfuse.sparse import patches as module
from napari_irvisfuse.sparse.patches import Overlap, bands, extract, sample

CLOSE = {"rtol": 0, "atol": 1e-12}


def picture(height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def put_together(patches: torch.Tensor, shape: tuple[int, int], size: int, blend: str) -> torch.Tensor:
    """Put ``(M, s²)`` patches together, band by band."""
    overlap, width = Overlap(shape, size, blend, patches), shape[1] - size + 1
    for rows in bands(shape, size, patches.device):
        overlap.add(patches[rows.start * width : rows.stop * width].T.clone(), rows)
    return overlap.image()


def naive(patches: np.ndarray, shape: tuple[int, int], size: int, blend: str) -> np.ndarray:
    image, covered = np.zeros(shape), np.zeros(shape)
    numbers = iter(patches)
    for top in range(shape[0] - size + 1):
        for left in range(shape[1] - size + 1):
            here = np.s_[top : top + size, left : left + size]
            patch = next(numbers).reshape(size, size)
            if blend == "published":
                image[here] = (patch + image[here]) / 2
            else:
                image[here] += patch
                covered[here] += 1
    return image if blend == "published" else image / covered


@pytest.mark.parametrize("step", [1, 2, 3])
def test_extract_is_a_loop(step):
    image = picture(11, 14)
    expected = [
        image[top : top + 4, left : left + 4].flatten() for top in range(0, 8, step) for left in range(0, 11, step)
    ]
    assert torch.equal(extract(image, 4, step=step), torch.stack(expected))


def test_extract_gives_the_rows_asked_for():
    image = picture(11, 14)
    assert torch.equal(extract(image, 4, slice(2, 5)), extract(image, 4)[2 * 11 : 5 * 11])


@pytest.mark.parametrize("blend", ["average", "published"])
@given(st.integers(2, 7), st.integers(0, 9), st.integers(0, 9), st.integers(1, 60), st.integers(0, 99))
def test_overlap_is_a_loop_over_the_patches(blend, size, taller, wider, band, seed):
    shape = (size + taller, size + wider)
    patches = picture((taller + 1) * (wider + 1), size**2, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CPU_BAND", band)
        found = put_together(patches, shape, size, blend)
    np.testing.assert_allclose(found.numpy(), naive(patches.numpy(), shape, size, blend), **CLOSE)


def test_the_mean_of_an_images_own_patches_is_the_image():
    image = picture(20, 25)
    torch.testing.assert_close(put_together(extract(image, 7), (20, 25), 7, "average"), image, **CLOSE)


def test_published_pixels_fade_by_how_many_patches_cover_them():
    ones = torch.ones(14 * 19, 49, dtype=torch.float64)
    image = put_together(ones, (20, 25), 7, "published")
    assert image[0, 0] == 0.5
    assert image[0, 1] == 0.75
    assert image[0, 24] == 0.5
    assert image[10, 10] == 1 - 0.5**49


def test_bands_cover_every_row_once(monkeypatch):
    monkeypatch.setattr(module, "_CPU_BAND", 50)
    rows = [row for band in bands((40, 30), 7, torch.device("cpu")) for row in range(band.start, band.stop)]
    assert rows == list(range(34))
    assert len(list(bands((40, 3000), 7, torch.device("cpu")))) == 34


def test_samples_are_patches_of_the_image():
    image = picture(12, 15)
    found = sample(image, 5, 40, torch.Generator().manual_seed(1))
    there = {tuple(patch) for patch in extract(image, 5).tolist()}
    assert {tuple(patch) for patch in found.tolist()} <= there
    assert torch.equal(found, sample(image, 5, 40, torch.Generator().manual_seed(1)))
    assert len({tuple(patch) for patch in found.tolist()}) > 20
