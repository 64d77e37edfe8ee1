"""CBF: against a naive NumPy version written from its description, and against the published images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import napari_irvisfuse as nif
from napari_irvisfuse.algorithms import cbf as module
from napari_irvisfuse.algorithms.cbf import CBF
from napari_irvisfuse.devices import choose
from napari_irvisfuse.errors import Cancelled
from napari_irvisfuse.images.files import read_image
from napari_irvisfuse.runtime import Runtime

METHOD = CBF()
PAIRS = (1, 2, 3, 4, 5, 6, 7, 9, 10, 11)  # the published results have no eighth


def runtime(precision: str = "float64", **kwargs) -> Runtime:
    return Runtime(choose("cpu", precision), **kwargs)


def random_pair(n: int = 1, height: int = 29, width: int = 34, seed: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    ir, visible = (torch.rand(n, 1, height, width, dtype=torch.float64, generator=generator) for _ in range(2))
    return (ir * 0.2 + (visible > 0.7) * 0.6).clamp(0, 1), visible * 0.3 + 0.4


# -- the naive version: NumPy, float64, grey levels, one pixel at a time ----------------------------------------


def _filtered(image: np.ndarray, other: np.ndarray, window: int, sigma_s: float, sigma_r: float) -> np.ndarray:
    r = window // 2
    image, other = (np.pad(x, r, mode="reflect") for x in (image, other))
    t = np.arange(-r, r + 1)
    close = np.exp(-(t[:, None] ** 2 + t**2) / (2 * sigma_s**2))
    result = np.empty((image.shape[0] - 2 * r, image.shape[1] - 2 * r))
    for y, x in np.ndindex(result.shape):
        part = slice(y, y + window), slice(x, x + window)
        weight = close * np.exp(-((other[part] - other[y + r, x + r]) ** 2) / (2 * sigma_r**2))
        result[y, x] = (weight * image[part]).sum() / weight.sum()
    return result


def _significance(detail: np.ndarray, window: int) -> np.ndarray:
    padded = np.pad(detail, window // 2, mode="reflect")
    result = np.empty_like(detail)
    for y, x in np.ndindex(detail.shape):
        part = padded[y : y + window, x : x + window]
        eigenvalues = np.linalg.eigvalsh(np.cov(part)), np.linalg.eigvalsh(np.cov(part.T))
        result[y, x] = np.sum(eigenvalues)
    return np.where(result == 0, np.finfo(float).eps, result)


def naive_cbf(ir, visible, window=11, spatial_sigma=1.8, range_sigma=25.0, covariance_window=5) -> np.ndarray:
    a, b = ir * 255, visible * 255
    details = [x - _filtered(x, other, window, spatial_sigma, range_sigma) for x, other in ((a, b), (b, a))]
    wa, wb = (_significance(detail, covariance_window) for detail in details)
    return (a * wa + b * wb) / (wa + wb) / 255


@pytest.mark.parametrize(
    "parameters",
    [{}, {"window": 5, "spatial_sigma": 3.0, "range_sigma": 60.0, "covariance_window": 9}, {"covariance_window": 3}],
    ids=str,
)
def test_is_the_naive_version(parameters):
    ir, visible = random_pair()
    result = METHOD.fuse(ir, visible, METHOD.parameters(**parameters), runtime())
    naive = naive_cbf(ir[0, 0].numpy(), visible[0, 0].numpy(), **parameters)
    np.testing.assert_allclose(result.fused[0, 0].numpy(), naive, rtol=0, atol=1e-10)


# -- the published images ---------------------------------------------------------------------------------------


@pytest.fixture(params=PAIRS, ids=lambda number: f"pair {number}")
def published(request, data_dir):
    name = f"{request.param:03d}.png"
    ir, visible, reference = (data_dir / part / name for part in ("tno/ir", "tno/vi", "tno_reference/cbf"))
    for path in (ir, visible, reference):
        if not path.is_file():
            pytest.skip(f"there is no {path}")
    return ir, visible, read_image(reference).astype(int)


def test_equals_the_published_images_in_float64(published):
    ir, visible, reference = published
    fused = nif.fuse(ir, visible, method="cbf", device="cpu", precision="float64").fused
    assert np.array_equal(fused, reference), f"{np.count_nonzero(fused != reference)} pixels differ"


def test_is_near_the_published_images_in_float32(published):
    ir, visible, reference = published
    fused = nif.fuse(ir, visible, method="cbf", device="cpu", precision="float32").fused
    difference = np.abs(fused.astype(int) - reference)
    assert (difference > 0).mean() <= 1e-3
    assert difference.max() <= 1


# -- what must hold for every image -----------------------------------------------------------------------------


@given(
    height=st.integers(16, 40),
    width=st.integers(16, 40),
    window=st.sampled_from((3, 7, 11)),
    covariance_window=st.sampled_from((3, 5, 9)),
    seed=st.integers(0, 99),
)
@settings(max_examples=25)
def test_it_lies_between_the_images_and_does_not_care_which_is_which(height, width, window, covariance_window, seed):
    ir, visible = random_pair(1, height, width, seed)
    parameters = METHOD.parameters(window=window, covariance_window=covariance_window)
    fused = METHOD.fuse(ir, visible, parameters, runtime()).fused
    assert fused.shape == ir.shape
    assert (fused >= torch.minimum(ir, visible) - 1e-12).all()
    assert (fused <= torch.maximum(ir, visible) + 1e-12).all()
    torch.testing.assert_close(METHOD.fuse(visible, ir, parameters, runtime()).fused, fused, rtol=0, atol=1e-12)


@given(st.integers(1, 5), st.integers(16, 30))
@settings(max_examples=10)
def test_strips_make_no_difference(rows, height):
    ir, visible = random_pair(1, height, 20)
    whole = METHOD.fuse(ir, visible, METHOD.parameters(window=3), runtime()).fused
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_STRIP", rows * 20)
        strips = METHOD.fuse(ir, visible, METHOD.parameters(window=3), runtime()).fused
    torch.testing.assert_close(strips, whole, rtol=0, atol=1e-13)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_two_equal_images_give_that_image(precision):
    image = random_pair()[1].to(getattr(torch, precision))
    fused = METHOD.fuse(image, image, METHOD.parameters(), runtime(precision)).fused
    torch.testing.assert_close(fused, image, rtol=0, atol=1e-6)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_where_nothing_happens_both_count_the_same(precision):
    """Flat regions have no detail at all, whatever their grey level: not even rounding errors, which would decide."""
    ir, visible = (torch.full((1, 1, 20, 24), value, dtype=getattr(torch, precision)) for value in (0.1, 0.7))
    fusion = METHOD.fuse(ir, visible, METHOD.parameters(), runtime(precision))
    torch.testing.assert_close(fusion.fused, torch.full_like(ir, 0.4), rtol=0, atol=1e-6)
    assert not fusion.maps["ir_detail"].data.any()
    visible = visible.clone()
    visible[..., 10, 12] = 0.9
    share = METHOD.fuse(ir, visible, METHOD.parameters(), runtime(precision)).maps["visible_weight"].data
    assert share[0, 0, 10, 12] > 0.999
    assert share[0, 0, 0, 0] == 0.5


def test_the_smallest_image_works_with_the_largest_windows():
    small = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)
    result = nif.fuse(small, small[::-1], method="cbf", window=31, covariance_window=31)
    assert result.fused.shape == (16, 16)


def test_a_batch_is_its_pairs_one_by_one():
    ir, visible = random_pair(3)
    parameters = METHOD.parameters()
    together = METHOD.fuse(ir, visible, parameters, runtime())
    for n in range(3):
        alone = METHOD.fuse(ir[n : n + 1], visible[n : n + 1], parameters, runtime())
        torch.testing.assert_close(together.fused[n : n + 1], alone.fused, rtol=0, atol=1e-12)
        for name, item in alone.maps.items():
            torch.testing.assert_close(together.maps[name].data[n : n + 1], item.data, rtol=0, atol=1e-12)


@pytest.mark.parametrize("window", [11, 5])
def test_the_receptive_field_is_exact_for_the_widest_live_window(window):
    parameters = METHOD.parameters(window=window, covariance_window=31)
    reach = METHOD.receptive_field(parameters)
    assert reach == METHOD.receptive_field(METHOD.parameters(window=window)) == window // 2 + 15
    ir, visible = random_pair(1, 61, 61)
    before = METHOD.fuse(ir, visible, parameters, runtime()).fused
    changed = ir.clone()
    changed[..., 30, 30] += 0.2
    touched = (METHOD.fuse(changed, visible, parameters, runtime()).fused != before)[0, 0].nonzero()
    distance = (touched - 30).abs().amax(1)
    assert distance.max() == reach


def test_inputs_and_what_is_kept_stay_as_they_are():
    ir, visible = random_pair()
    before = ir.clone(), visible.clone()
    state = METHOD.analyse(ir, visible, METHOD.parameters(), runtime())
    first = METHOD.combine(state, METHOD.parameters(), runtime()).fused
    other = METHOD.combine(state, METHOD.parameters(covariance_window=9), runtime()).fused
    assert not torch.equal(other, first)
    torch.testing.assert_close(METHOD.combine(state, METHOD.parameters(), runtime()).fused, first, rtol=0, atol=0)
    torch.testing.assert_close((ir, visible), before, rtol=0, atol=0)


def test_the_covariance_window_does_not_filter_again(monkeypatch):
    calls = []
    analyse = CBF.analyse
    monkeypatch.setattr(CBF, "analyse", lambda self, *args: calls.append(1) or analyse(self, *args))
    images = [(x[0, 0] * 255).byte().numpy() for x in random_pair()]
    session = nif.FusionSession(nif.ImagePair.from_images(*images), device="cpu")
    session.fuse("cbf")
    again = session.fuse("cbf", covariance_window=9)
    fresh = nif.fuse(*images, method="cbf", device="cpu", covariance_window=9)
    np.testing.assert_array_equal(again.fused, fresh.fused)
    assert calls == [1, 1]
    assert not session.is_live("cbf", {"range_sigma": 30.0})


def test_the_maps_are_the_steps():
    ir, visible = random_pair()
    fusion = METHOD.fuse(ir, visible, METHOD.parameters(), runtime())
    maps = {name: item.data for name, item in fusion.maps.items()}
    close = {"rtol": 0, "atol": 1e-12}
    for name, image in (("ir", ir), ("visible", visible)):
        torch.testing.assert_close(maps[f"{name}_base"] + maps[f"{name}_detail"], image, **close)
    torch.testing.assert_close(maps["ir_weight"] + maps["visible_weight"], torch.ones_like(ir), **close)
    torch.testing.assert_close(maps["ir_weight"] * ir + maps["visible_weight"] * visible, fusion.fused, **close)
    assert ((maps["ir_strength"] > maps["visible_strength"]) == (maps["ir_weight"] > maps["visible_weight"])).all()


def test_it_reports_and_can_be_stopped(monkeypatch):
    monkeypatch.setattr(module, "_STRIP", 1)
    seen = []
    METHOD.fuse(*random_pair(), METHOD.parameters(), runtime(progress=lambda *args: seen.append(args)))
    assert [item[0] for item in seen] == [0, 11, 22]
    assert {item[1] for item in seen} == {29}
    with pytest.raises(Cancelled):
        METHOD.fuse(*random_pair(), METHOD.parameters(), runtime(cancelled=lambda: True))
