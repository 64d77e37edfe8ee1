"""The contact sheet shows every map in the colours of its kind."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import napari_irvisfuse as nif
from napari_irvisfuse import Map
from napari_irvisfuse.cli.colormaps import NOTHING, colourise
from napari_irvisfuse.cli.contact_sheet import _layout, contact_sheet
from napari_irvisfuse.cli.sheet import WIDTH, _spell


def _map(data: object, kind: str, **options: object) -> Map:
    return Map(np.asarray(data), kind, "Title", "detail", **options)


def test_signed_values_diverge_around_zero():
    data = np.zeros((20, 30), np.float32)
    data[0, 0], data[0, 1] = -0.2, 0.1
    shown = colourise(_map(data, "signed"))
    assert (shown.low, shown.high) == ("-0.2", "0.2")
    blue, red, middle = (shown.rgb[0, 0], shown.rgb[0, 1], shown.rgb[5, 5])
    assert blue[2] > blue[0]
    assert red[0] > red[2]
    assert np.ptp(middle.astype(int)) < 16
    np.testing.assert_array_equal(middle, shown.bar[128])


def test_one_outlier_does_not_decide_the_limits():
    data = np.random.default_rng(0).random((100, 100))
    data[3, 3] = 1e6
    assert float(colourise(_map(data, "energy")).high) <= 1
    assert colourise(_map(data, "energy")).low == "0"


def test_weights_and_intensities_keep_0_to_1():
    half = np.full((16, 16), 0.5)
    for kind in ("weight", "intensity"):
        shown = colourise(_map(half, kind))
        assert (shown.low, shown.high) == ("0", "1")
        np.testing.assert_allclose(shown.rgb, np.broadcast_to(shown.bar[128], shown.rgb.shape), atol=2)
    assert np.ptp(colourise(_map(half, "intensity")).rgb) == 0


def test_brightness_grows_along_the_tables():
    ramp = np.linspace(0, 1, 256)[None]
    for kind in ("weight", "intensity", "energy"):
        luma = colourise(_map(ramp, kind)).bar.astype(float) @ (0.299, 0.587, 0.114)
        assert (np.diff(luma) > -1).all(), kind


def test_every_index_has_a_colour_and_a_name():
    data = np.array([[0, 1, 2, 3]], np.uint8)
    shown = colourise(_map(data, "index", labels=("one", "two")))
    assert [name for _, name in shown.legend] == ["none", "one", "two", "3"]
    assert [tuple(int(v) for v in pixel) for pixel in shown.rgb[0]] == [colour for colour, _ in shown.legend]
    assert len({colour for colour, _ in shown.legend}) == 4
    assert shown.legend[0][0] == NOTHING
    assert "none" not in [name for _, name in colourise(_map(data[:, 1:], "index")).legend]


@pytest.mark.parametrize("kind", ["signed", "energy", "weight", "intensity", "index"])
def test_a_map_of_zeros_is_no_problem(kind):
    assert colourise(_map(np.zeros((4, 4), np.uint8), kind)).rgb.shape == (4, 4, 3)


def test_nan_is_no_problem():
    data = np.full((4, 4), 0.5, np.float32)
    data[0, 0] = np.nan
    shown = colourise(_map(data, "signed"))
    assert shown.high == "0.5"
    np.testing.assert_array_equal(shown.rgb[0, 0], shown.bar[128])


def _names(*names: str, group: str = "detail") -> dict[str, Map]:
    return {name: dataclasses.replace(_map(np.zeros((2, 2)), "weight"), group=group) for name in names}


def test_levels_stand_below_each_other_and_the_sum_last():
    maps = _names("fused_x", *(f"{image}_x_{level}" for level in (1, 2, 3) for image in ("ir", "visible", "fused")))
    ((group, rows),) = _layout(maps, 4)[0]
    assert group == "detail"
    assert rows == [
        ["ir_x_1", "ir_x_2", "ir_x_3"],
        ["visible_x_1", "visible_x_2", "visible_x_3"],
        ["fused_x_1", "fused_x_2", "fused_x_3", "fused_x"],
    ]


def test_small_groups_share_a_band_and_no_map_is_lost():
    maps = {
        **_names("ir_base", "visible_base", group="base"),
        **_names(*(f"ir_w_{level}" for level in range(9)), group="weight"),
        **_names("a", "b", group="level"),
        **_names("c", group="saliency"),
    }
    bands = _layout(maps, 4)
    assert [[group for group, _ in band] for band in bands] == [["base", "level"], ["weight"], ["saliency"]]
    assert sorted(name for band in bands for _, rows in band for row in rows for name in row) == sorted(maps)
    assert max(sum(max(map(len, rows)) for _, rows in band) for band in bands) <= 4


def _result(fused: np.ndarray, maps: dict[str, Map]) -> nif.FusionResult:
    return nif.FusionResult(fused, maps, nif.Recipe("wls", device="cpu", precision="float32"))


def test_low_resolution_pixels_show_as_squares():
    image = np.zeros((60, 80), np.uint8)
    data = np.indices((3, 4)).sum(axis=0) % 2
    sheet = contact_sheet(image, image, _result(image, {"a": _map(data.astype(float), "weight", stride=20)}))
    yellow = (sheet == colourise(_map([[1.0]], "weight")).rgb[0, 0]).all(axis=-1)
    rows, columns = np.nonzero(yellow)
    cell = yellow[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    # six of twelve squares, whose borders alone are smoothed
    assert 0.44 < cell.mean() < 0.52


def test_all_of_the_pictures_are_there():
    ir = np.full((60, 80), 200, np.uint16)
    visible = np.zeros((60, 80, 3), np.uint8)
    visible[..., 0] = 250
    fused = visible.copy()
    fused[..., 2] = 250
    sheet = contact_sheet(ir, visible, nif.FusionResult(fused, {}, nif.Recipe("unheard-of", ir_window=(0.0, 400.0))))
    for colour in ((128, 128, 128), (250, 0, 0), (250, 0, 250)):
        share = (sheet == colour).all(axis=-1).mean()
        assert share > 0.15, colour


@pytest.mark.parametrize(("height", "width"), [(16, 16), (200, 17), (17, 900), (480, 640)])
def test_any_shape_fits(height, width):
    image = np.arange(height * width, dtype=np.uint64).reshape(height, width).astype(np.uint8)
    maps = {
        "level": _map(np.ones((height, width), np.uint8), "index", labels=("a very long label indeed " * 5, "b")),
        "energy": _map(np.ones((1, 1)), "energy", stride=32),
    }
    for columns in (None, 1, 3):
        sheet = contact_sheet(image, image, _result(image, maps), columns=columns)
        assert sheet.dtype == np.uint8
        assert sheet.shape[1:] == (WIDTH, 3)
        # the margins are empty
        assert (sheet[:, :40] == sheet[0, 0]).all()
        assert (sheet[:, -40:] == sheet[0, 0]).all()


def test_inputs_are_not_modified():
    ir, visible = np.full((30, 30), 9, np.uint8), np.full((30, 30, 4), 0.5, np.float32)
    result = nif.fuse(ir, visible)
    kept = [array.copy() for array in (ir, visible, result.fused, *(item.data for item in result.maps.values()))]
    contact_sheet(ir, visible, result)
    for before, after in zip(
        kept, (ir, visible, result.fused, *(item.data for item in result.maps.values())), strict=True
    ):
        np.testing.assert_array_equal(before, after)


def test_letters_that_the_font_lacks_are_spelt():
    assert _spell("λ₁ · 3×3 – é ±1 …") == "lambda1 · 3x3 - e ±1 …"
