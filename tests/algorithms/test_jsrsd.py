"""JSRSD: its saliency against loops over the neighbours, and its results against the published images."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import napari_irvisfuse as nif
from napari_irvisfuse.algorithms import _joint_sparse as module
from napari_irvisfuse.algorithms.jsr import JSR
from napari_irvisfuse.algorithms.jsrsd import JSRSD
from napari_irvisfuse.devices import choose
from napari_irvisfuse.images.files import read_image
from napari_irvisfuse.runtime import Runtime

METHOD = JSRSD()
MARGIN = 8  # from the border of a crop: six pixels of a patch, and two patches where another rule holds


def runtime(precision: str = "float64", **kwargs) -> Runtime:
    return Runtime(choose("cpu", precision), **kwargs)


def random_pair(n: int = 1, height: int = 17, width: int = 21) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    ir, visible = (torch.rand(n, 1, height, width, dtype=torch.float64, generator=generator) for _ in range(2))
    return (0.5 * ir + 0.5 * visible.roll(1, -1)).clamp(0, 1), visible


@pytest.fixture
def own_atoms(monkeypatch):
    """Use few small atoms in place of the shipped ones."""
    values = torch.rand(50, 3, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    atoms = values / values.flatten(1).norm(dim=1)[:, None, None]
    monkeypatch.setattr(module, "load_dictionary", lambda name: atoms)
    return atoms


def naive_saliency(codes: np.ndarray, share: float, window: int, weight: float) -> np.ndarray:
    """Return S of codes ``(h, w, K)``, patch by patch."""
    radius = window // 2
    height, width, _ = codes.shape
    saliency = np.abs(codes).sum(-1)
    for i in range(radius, height - radius):
        for j in range(radius, width - radius):
            total = 0.0
            for p in range(i - radius, i + radius + 1):
                for q in range(j - radius, j + radius + 1):
                    if (p, q) != (i, j):
                        total += np.linalg.norm(codes[i, j] - codes[p, q]) / (1 + weight * math.hypot(p - i, q - j))
            local = 1 - math.exp(-total / (window**2 - 1))
            saliency[i, j] = share * local + (1 - share) * np.abs(codes[i, j]).sum()
    return saliency


@pytest.mark.parametrize(
    "parameters", [{}, {"local_share": 0.9, "window": 3, "distance_weight": 0.5}, {"window": 9}], ids=str
)
def test_saliency_and_fusion_are_the_naive_ones(own_atoms, parameters, monkeypatch):
    monkeypatch.setattr("napari_irvisfuse.sparse.patches._CPU_BAND", 40)  # neighbours in the next band
    ir, visible = random_pair()
    checked = METHOD.parameters(sparsity=5, **parameters)
    state = METHOD.analyse(ir, visible, checked, runtime())
    fusion = METHOD.combine(state, checked, runtime())
    parts = state.codes[0].dense(150).view(15, 19, 3, 50).numpy()
    first, second = (
        naive_saliency(parts[:, :, k], checked.local_share, checked.window, checked.distance_weight) for k in (1, 2)
    )
    for name, expected in (("ir", first), ("visible", second)):
        found = fusion.maps[f"{name}_saliency"].data[0, 0, 1:-1, 1:-1]
        np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-6)
    largest = np.maximum(first, second)[..., None]
    mixed = parts[:, :, 0] / math.sqrt(2) + first[..., None] / largest * parts[:, :, 1]
    mixed = mixed + second[..., None] / largest * parts[:, :, 2]
    total, covered = np.zeros((17, 21)), np.zeros((17, 21))
    for i in range(15):
        for j in range(19):
            here = np.s_[i : i + 3, j : j + 3]
            total[here] += np.tensordot(mixed[i, j], own_atoms.numpy(), 1)
            covered[here] += 1
    np.testing.assert_allclose(fusion.fused[0, 0].numpy(), total / covered, rtol=0, atol=1e-6)


# -- the published images ---------------------------------------------------------------------------------------


@pytest.fixture(params=[1, 2, 3], ids=lambda number: f"pair {number}")
def published(request, data_dir, monkeypatch):
    """Return a crop of a pair and of its result; the dictionary that it was made with is in place."""
    from scipy.io import loadmat

    name = f"{request.param:03d}"
    paths = [data_dir / part / f"{name}.png" for part in ("tno/ir", "tno/vi", "tno_reference/jsrsd")]
    stored = data_dir / "dictionaries" / f"jsr_tno_{name}.mat"
    for path in (*paths, stored):
        if not path.is_file():
            pytest.skip(f"there is no {path}")
    # MATLAB's patches are stored column by column
    atoms = torch.from_numpy(loadmat(stored)["D"].T.copy()).view(-1, 7, 7).transpose(1, 2)
    monkeypatch.setattr(module, "load_dictionary", lambda asked: atoms)
    ir, visible, reference = (read_image(path) for path in paths)
    return ir, visible, reference.astype(int)


def _fused(ir: np.ndarray, visible: np.ndarray, precision: str) -> np.ndarray:
    return nif.fuse(ir, visible, method="jsrsd", device="cpu", precision=precision, overlap="published").fused.astype(
        int
    )


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_the_inside_is_that_of_the_published_images(published, precision):
    crop, inside = np.s_[100:170, 150:230], np.s_[MARGIN:-MARGIN, MARGIN:-MARGIN]
    ir, visible, reference = (np.ascontiguousarray(image[crop]) for image in published)
    difference = (_fused(ir, visible, precision) - reference)[inside]
    if precision == "float64":
        assert not difference.any()
    else:
        assert (difference != 0).mean() < 0.01
        assert 10 * np.log10(255**2 / max(np.square(difference).mean(), 1e-9)) > 50


def test_so_is_the_corner_where_neighbours_are_missing(published):
    ir, visible, reference = (np.ascontiguousarray(image[:40, :50]) for image in published)
    difference = (_fused(ir, visible, "float64") - reference)[:-MARGIN, :-MARGIN]
    assert not difference.any()


# -- what must hold for every image -----------------------------------------------------------------------------


def test_without_local_saliency_it_is_jsr(own_atoms):
    ir, visible = random_pair()
    alone = METHOD.fuse(ir, visible, METHOD.parameters(sparsity=4, local_share=0), runtime()).fused
    jsr = JSR().fuse(ir, visible, JSR.parameters(sparsity=4, common_gain=1), runtime()).fused
    torch.testing.assert_close(alone, jsr, rtol=0, atol=1e-12)


def test_a_batch_is_its_pairs_one_by_one(own_atoms):
    ir, visible = random_pair(2)
    parameters = METHOD.parameters(sparsity=4)
    together = METHOD.fuse(ir, visible, parameters, runtime())
    for n in range(2):
        alone = METHOD.fuse(ir[n : n + 1], visible[n : n + 1], parameters, runtime())
        torch.testing.assert_close(together.fused[n : n + 1], alone.fused, rtol=0, atol=1e-10)
        for name, item in alone.maps.items():
            torch.testing.assert_close(together.maps[name].data[n : n + 1], item.data, rtol=0, atol=1e-10)


@pytest.mark.parametrize("window", [3, 9])
def test_the_smallest_image_works(window):
    small = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)
    result = nif.fuse(small, small[::-1], method="jsrsd", window=window)
    assert result.fused.shape == (16, 16)
    weight = result.maps["ir_local_saliency"]
    assert weight.data.shape == (16, 16)
    assert 0 <= weight.data.min() <= weight.data.max() <= 1


def test_saliency_is_live_and_the_neighbourhood_is_not(own_atoms):
    images = [np.random.default_rng(seed).integers(0, 256, (20, 24), dtype=np.uint8) for seed in (0, 1)]
    session = nif.FusionSession(nif.ImagePair.from_images(*images), device="cpu")
    session.fuse("jsrsd")
    assert session.is_live("jsrsd", {"local_share": 0.7})
    fresh = nif.fuse(*images, method="jsrsd", device="cpu", local_share=0.7)
    np.testing.assert_array_equal(session.fuse("jsrsd", local_share=0.7).fused, fresh.fused)
    assert not session.is_live("jsrsd", {"window": 3})
