"""Aligned pairs are called aligned, moved and bent ones not, and strangers are not judged."""

from __future__ import annotations

import numpy as np
import pytest

import napari_irvisfuse as nif
from napari_irvisfuse.images.grids import fit

from .conftest import HEIGHT, WIDTH, bent, known, moved, scene


def test_an_aligned_pair():
    found = nif.check_alignment(*scene())
    assert found.verdict == "aligned"
    assert found.ok
    assert found.offset < 1
    assert found.confidence > 0.8
    assert found.agreement > 0.8
    assert f"{found.offset:.1f} px" in found.sentence


@pytest.mark.parametrize("matrix", [known(), known(0, 8, 0, 1), known(0, 0, 5, 1), known(0, 0, 0, 1.1)])
def test_a_moved_pair_and_its_way_back(matrix):
    ir, visible = scene()
    ir = moved(ir, matrix)
    found = nif.check_alignment(ir, visible)
    assert found.verdict == "misaligned"
    assert not found.ok
    assert "not aligned" in found.sentence
    assert nif.check_alignment(ir, visible, matrix).verdict == "aligned"


def test_the_number_is_the_shift():
    ir, visible = scene()
    found = nif.check_alignment(moved(ir, known(5, 0, 0, 1)), visible)
    assert found.offset == pytest.approx(5, abs=0.5)
    down = found.maps["offset_down"].data
    right = found.maps["offset_right"].data
    # the picture is 5 px too high: where it has to go is the matrix, where it is is the map
    assert np.nanmedian(down) == pytest.approx(-5, abs=0.5)
    assert np.nanmedian(right) == pytest.approx(0, abs=0.5)


def test_maps_lie_on_the_visible_grid():
    ir, visible = scene()
    found = nif.check_alignment(ir, visible)
    assert set(found.maps) == {"offset_size", "offset_down", "offset_right", "findable"}
    for item in found.maps.values():
        height, width = item.data.shape
        assert abs(height * item.stride - HEIGHT) <= item.stride / 2
        assert abs(width * item.stride - WIDTH) <= item.stride / 2
    findable = found.maps["findable"].data
    assert findable.min() >= 0
    assert findable.max() <= 1
    np.testing.assert_array_equal(np.isnan(found.maps["offset_size"].data), findable == 0)


def test_a_bent_pair_is_called_deformed():
    ir, visible = scene()
    found = nif.check_alignment(bent(ir, 7), visible)
    assert found.verdict == "deformed"
    assert found.bend > 1.5
    assert "deformed" in found.sentence
    assert nif.check_alignment(bent(ir, 0.5), visible).verdict == "aligned"


def test_strangers_are_not_judged():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (HEIGHT, WIDTH), np.uint8)
    for other in (noise, np.full((HEIGHT, WIDTH), 7, np.uint8)):
        found = nif.check_alignment(scene()[0], other)
        assert found.verdict == "unclear"
        assert found.ok
        assert np.isnan(found.offset)
        assert found.confidence < 0.35


def test_other_sizes_show_the_same_view_unless_told_otherwise():
    ir, visible = scene()
    half = ir.reshape(HEIGHT // 2, 2, WIDTH // 2, 2).mean((1, 3)).astype(np.uint8)
    assert nif.check_alignment(half, visible).verdict == "aligned"
    part = visible[20:150, 30:210]
    cut = np.array([[1, 0, -20.0], [0, 1, -30.0], [0, 0, 1]])
    assert nif.check_alignment(ir, part, cut).verdict == "aligned"
    assert nif.check_alignment(half, part, cut @ fit(half.shape, ir.shape)).verdict == "aligned"


def test_bit_depth_colour_and_holes_do_not_matter():
    ir, visible = scene()
    deep = ir.astype(np.uint16) * 12 + 7000
    deep[0, 0] = 65535  # one hot pixel
    colour = np.stack([visible] * 3, axis=-1)
    assert nif.check_alignment(deep, colour).verdict == "aligned"
    holes = ir.astype(np.float32)
    holes[40:80, 100:160] = np.nan
    before = holes.copy()
    found = nif.check_alignment(holes, visible)
    assert found.verdict == "aligned"
    np.testing.assert_array_equal(holes, before)


def test_the_tolerance_is_a_choice():
    ir, visible = scene()
    ir = moved(ir, known(2, 0, 0, 1))
    assert nif.check_alignment(ir, visible).verdict == "aligned"
    assert nif.check_alignment(ir, visible, tolerance=0.004).verdict == "misaligned"


def test_cancelling_and_progress(stop_after):
    seen = []
    nif.check_alignment(*scene(), progress=lambda *news: seen.append(news))
    assert len(seen) > 10
    assert all(0 <= done <= total for done, total, _ in seen)
    for times in (0, 5):
        with pytest.raises(nif.Cancelled):
            nif.check_alignment(*scene(), cancelled=stop_after(times))


def test_refusals():
    ir, visible = scene()
    with pytest.raises(nif.FusionError, match="infrared image has shape"):
        nif.check_alignment(ir[None, None], visible)
    with pytest.raises(nif.FusionError, match="ir_to_visible is a 3×3 matrix"):
        nif.check_alignment(ir, visible, np.eye(2))


@pytest.mark.parametrize(("folder", "name"), [("warped_msrs", "001.png"), ("warped_roadscene", "007.png")])
def test_warped_pairs_of_public_data(data_dir, folder, name):
    folder = data_dir / folder
    visible = folder / "vi" / name
    assert nif.check_alignment(folder / "ir" / name, visible).verdict == "aligned"
    assert nif.check_alignment(folder / "ir_warp" / name, visible).verdict in ("misaligned", "deformed")
