"""ImagePair: whatever images people have, checked once, never modified, and given back as they came."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from matplotlib import colormaps

from napari_irvisfuse.errors import ImageError, ParameterError
from napari_irvisfuse.images.color import LUMA_WEIGHTS, split_luma
from napari_irvisfuse.images.files import read_image, write_image
from napari_irvisfuse.images.pair import OUTPUTS, ImagePair, check_output_rule
from napari_irvisfuse.images.radiometric import read_radiometric
from napari_irvisfuse.images.ranges import Window, to_dtype
from napari_irvisfuse.images.scale import Scale

SHAPES = {"grey": (17, 21), "rgb": (17, 21, 3), "rgba": (17, 21, 4)}
DTYPES = ("bool", "u1", "u2", ">u2", "f2", "f4", ">f4", "f8")


def image(dtype="u1", colour: str = "grey", seed: int = 0) -> np.ndarray:
    unit = np.random.default_rng(seed).random(SHAPES[colour])
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return unit > 0.5
    top = np.iinfo(dtype).max if dtype.kind == "u" else 1
    return (unit * top).astype(dtype)


def pair(ir: object, visible: object, **options) -> ImagePair:
    return ImagePair.from_images(ir, visible, **options)


def refused(ir: object, visible: object, **options) -> str:
    with pytest.raises(ImageError) as caught:
        pair(ir, visible, **options)
    text = str(caught.value)
    assert text.endswith(".")
    assert "\n" not in text
    return text


# -- what becomes of every kind of image ------------------------------------------------------------------------


@pytest.mark.parametrize("unit", [np.float32, np.float64])
@pytest.mark.parametrize("colour", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_an_unchanged_luma_gives_the_visible_image_back_bit_for_bit(dtype, colour, unit):
    visible = image(dtype, colour)
    made = pair(image("u1", seed=1), visible, dtype=unit)
    assert made.visible.dtype == made.ir.dtype == unit
    assert made.visible.shape == made.ir.shape == made.shape == (17, 21)
    assert made.valid is None
    assert (made.chroma is None) == (colour == "grey")
    back = made.restore(made.visible)
    assert back.dtype == visible.dtype
    assert back.flags.writeable
    np.testing.assert_array_equal(back, visible)
    assert not np.shares_memory(back, visible)


@pytest.mark.parametrize("colour", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_luma_output_is_grey_in_the_same_range(dtype, colour):
    visible = image(dtype, colour)
    made = pair(image("u1", seed=1), visible)
    back = made.restore(made.visible, "luma")
    assert back.shape == (17, 21)
    assert back.dtype == visible.dtype
    luma = visible.astype(float) if colour == "grey" else visible[..., :3].astype(float) @ np.array(LUMA_WEIGHTS)
    if visible.dtype.kind == "b":
        np.testing.assert_array_equal(back, luma >= 0.5)
    else:
        tolerance = 0.5 if visible.dtype.kind == "u" else 5e-4
        np.testing.assert_allclose(back.astype(float), luma, atol=tolerance + 1e-9)


@pytest.mark.parametrize("colour", ["rgb", "rgba"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_a_new_luma_arrives_and_colour_and_alpha_stay(dtype, colour):
    visible = image(dtype, colour)
    made = pair(image("u1", seed=1), visible)
    fused = np.random.default_rng(3).random(made.shape).astype(np.float32)
    back = made.restore(fused)
    assert back.shape == visible.shape
    np.testing.assert_array_equal(back[..., 3:], visible[..., 3:])
    top = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    luma = split_luma(back[..., :3].astype(np.float64) / top)[0]
    np.testing.assert_allclose(luma, fused, atol=0.51 / top if top > 1 else 1e-6)


def test_only_pixels_with_a_new_luma_change():
    visible = image("u1", "rgb")
    made = pair(image(), visible)
    fused = made.visible.copy()
    fused[4, 5] = 1.0 - fused[4, 5]
    changed = (made.restore(fused) != visible).any(axis=-1)
    assert np.argwhere(changed).tolist() == [[4, 5]]


def test_a_fused_luma_outside_the_range_is_cut():
    made = pair(image(), image("u2"), visible_window="full")
    fused = np.zeros(made.shape, np.float32)
    fused[:8], fused[8:] = -3, 7
    back = made.restore(fused)
    assert set(back[:8].ravel()) == {0}
    assert set(back[8:].ravel()) == {65535}


def test_values_outside_the_window_survive_where_nothing_changes():
    visible = np.linspace(-50, 150, 17 * 21).reshape(17, 21)
    made = pair(image(), visible, visible_window=(0, 100))
    np.testing.assert_array_equal(made.restore(made.visible), visible)
    colour = np.stack([visible] * 3, axis=-1)
    made = pair(image(), colour, visible_window=(0, 100))
    np.testing.assert_array_equal(made.restore(made.visible), colour)
    np.testing.assert_array_equal(made.restore(made.visible, "luma"), visible)


def test_infrared_in_colour_is_its_luma():
    ir = image("u1", "rgba")
    np.testing.assert_allclose(pair(ir, image()).ir, split_luma(ir[..., :3] / 255.0)[0], atol=1e-6)


@given(
    npst.arrays(np.uint8, (16, 16, 3)),
    npst.arrays(np.float32, (16, 16), elements=st.floats(-0.5, 1.5, width=32)),
)
def test_every_result_has_the_shape_and_type_of_the_visible_image(visible, fused):
    made = pair(visible[..., 0], visible)
    back = made.restore(fused)
    assert back.shape == visible.shape
    assert back.dtype == np.uint8
    luma = back @ np.array(LUMA_WEIGHTS) / 255
    np.testing.assert_allclose(luma, np.clip(fused, 0, 1), atol=0.51 / 255)


# -- colour rules -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", OUTPUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=8)
@given(data=st.data())
def test_under_every_rule_colour_survives_exactly_where_the_luma_does(rule, dtype, data):
    visible = image(dtype, data.draw(st.sampled_from(["rgb", "rgba"])), seed=data.draw(st.integers(0, 99)))
    made = pair(image(seed=1), visible)
    same = data.draw(npst.arrays(np.bool_, made.shape))
    fused = np.where(same, made.visible, 1 - made.visible)
    back, own = made.restore(fused, rule), made.restore(made.visible, rule)
    np.testing.assert_array_equal(back[same], own[same])
    if rule != "luma":
        np.testing.assert_array_equal(back[same], visible[same])
        np.testing.assert_array_equal(back[..., 3:], visible[..., 3:])


@pytest.mark.parametrize("rule", OUTPUTS)
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_under_every_rule_the_new_luma_arrives(dtype, rule):
    made = pair(image("u1", seed=1), image(dtype, "rgb"), visible_window="full")
    fused = np.random.default_rng(3).random(made.shape).astype(np.float32)
    back = made.restore(fused, rule)
    top = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    luma = back / top if rule == "luma" else split_luma(back.astype(np.float64) / top)[0]
    np.testing.assert_allclose(luma, fused, atol=0.51 / top if top > 1 else 1e-6)


def test_natural_is_more_colourful_than_visible_where_it_is_lifted():
    visible = np.full((16, 16, 3), (60, 30, 20), np.uint8)
    made = pair(image()[:16, :16], visible)
    lifted = np.full(made.shape, 0.5, np.float32)
    kept, natural = (np.ptp(made.restore(lifted, rule)[0, 0].astype(int)) for rule in ("visible", "natural"))
    assert kept == pytest.approx(40, abs=1)
    assert natural > 2 * kept


@pytest.mark.parametrize("rule", OUTPUTS)
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_grey_stored_as_rgb_is_grey(dtype, rule):
    grey = image(dtype)
    stored = np.stack([grey] * 3, axis=-1)
    made, plain = pair(image(seed=1), stored), pair(image(seed=1), grey)
    np.testing.assert_array_equal(made.visible, plain.visible)
    fused = np.random.default_rng(3).random(made.shape).astype(np.float32)
    back, expected = made.restore(fused, rule), plain.restore(fused)
    assert back.shape == (expected.shape if rule == "luma" else stored.shape)
    np.testing.assert_array_equal(back, expected if rule == "luma" else expected[..., None].repeat(3, -1))


def test_no_such_rule():
    with pytest.raises(ParameterError, match="visible, natural, luma"):
        check_output_rule("grey")


# -- infrared in colour -----------------------------------------------------------------------------------------


def painted(palette: str, dtype="u1") -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.mgrid[:64, :80] / 80
    heat = 0.5 + 0.5 * np.sin(7 * rows + 2) * np.cos(5 * columns)
    rgb = colormaps[palette](heat)[..., :3]
    return (np.round(rgb * 255) if dtype == "u1" else rgb).astype(dtype), heat


@pytest.mark.parametrize("dtype", ["u1", "f4"])
@pytest.mark.parametrize("palette", ["inferno", "jet", "turbo"])
def test_false_colour_is_turned_back_and_said(palette, dtype):
    colours, heat = painted(palette, dtype)
    made = pair(colours, np.zeros((64, 80), np.uint8))
    np.testing.assert_allclose(made.ir, heat, atol=0.02)
    assert f"palette: {palette}" in made.notes[0]


def test_windows_of_false_colour_are_in_the_levels_of_the_file():
    colours, heat = painted("inferno")
    made = pair(colours, np.zeros((64, 80), np.uint8), ir_window=(51, 204))
    np.testing.assert_allclose(made.ir, np.clip((heat - 0.2) / 0.6, 0, 1), atol=0.03)
    assert made.windows[0] == (51, 204)


def test_a_hole_in_false_colour_is_a_hole():
    colours, _ = painted("inferno", "f4")
    colours[3, 4, 1] = np.nan
    made = pair(colours, np.zeros((64, 80), np.uint8))
    assert np.argwhere(~made.valid).tolist() == [[3, 4]]


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "bool"])
def test_infrared_grey_stored_as_rgb_is_grey(dtype):
    grey = image(dtype)
    made, plain = pair(np.stack([grey] * 3, -1), image()), pair(grey, image())
    np.testing.assert_array_equal(made.ir, plain.ir)
    assert made.notes == ()


def test_other_colours_are_said_to_be_reduced_to_luma():
    assert "its luma is fused" in pair(image("u1", "rgb"), image()).notes[0]


# -- units ------------------------------------------------------------------------------------------------------


def test_the_infrared_window_knows_its_unit(tmp_path, write_rjpeg):
    counts = (17000 + np.arange(16 * 16).reshape(16, 16)).astype(np.uint16)
    celsius = read_radiometric(write_rjpeg(tmp_path / "a.jpg", counts)).celsius()
    made = pair(tmp_path / "a.jpg", image()[:16, :16])
    assert made.ir_window.unit == "°C"
    np.testing.assert_allclose(made.ir_window.from_unit(made.ir), celsius, atol=1e-5)
    write_image(tmp_path / "a.tif", celsius, scale=Scale(value_unit="°C"))
    assert pair(str(tmp_path / "a.tif"), image()[:16, :16]).ir_window == made.ir_window
    assert pair(celsius, image()[:16, :16], ir_unit="°C").ir_window == made.ir_window
    assert pair(celsius, image()[:16, :16]).ir_window.unit == ""


@given(st.floats(-40, 100), st.floats(0.5, 400), st.integers(0, 9))
def test_degrees_keep_their_precision(low, span, seed):
    """To the last float32 digit of the unit range, which is finer than any sensor: no 8-bit step on the way."""
    celsius = (low + span * np.random.default_rng(seed).random((16, 16))).astype(np.float32)
    made = pair(celsius, image()[:16, :16])
    np.testing.assert_allclose(made.ir_window.from_unit(made.ir), celsius, atol=1e-7 * span + 1e-9, rtol=0)


@pytest.mark.parametrize("bits", [12, 14, 16])
@settings(max_examples=20)
@given(seed=st.integers(0, 99))
def test_counts_of_every_depth_stay_apart(bits, seed):
    counts = np.random.default_rng(seed).integers(0, 2**bits, (64, 64)).astype(np.uint16)
    made = pair(counts, image("u2", seed=seed)[:16, :16].repeat(4, 0).repeat(4, 1))
    np.testing.assert_array_equal(to_dtype(made.ir_window.from_unit(made.ir), counts.dtype), counts)
    levels = np.unique(counts)
    assert len(np.unique(made.ir)) == len(levels)


@pytest.mark.parametrize("name", ["001", "002"])
def test_real_counts_of_a_drone_come_back(data_dir, name):
    folder = data_dir / "thermal16_uav"
    if not folder.is_dir():
        pytest.skip(f"the thermal images are not in {folder}")
    counts = read_image(folder / f"ir/{name}.tiff")
    made = pair(folder / f"ir/{name}.tiff", folder / f"vi/{name}.jpg", ir_to_visible="fit", grid="ir")
    np.testing.assert_array_equal(to_dtype(made.ir_window.from_unit(made.ir), counts.dtype), counts)


# -- no value here or there -------------------------------------------------------------------------------------


@pytest.mark.parametrize("hole", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("colour", SHAPES)
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_a_hole_in_the_visible_image_stays_as_it_was(dtype, colour, hole):
    visible = image(dtype, colour)
    visible[3, 4] = hole
    made = pair(image(seed=1), visible)
    assert np.argwhere(~made.valid).tolist() == [[3, 4]]
    assert np.isfinite(made.visible).all()
    fused = np.clip(made.visible + 0.25, 0, 1)
    back = made.restore(fused)
    np.testing.assert_array_equal(back[3, 4], visible[3, 4])
    assert np.isfinite(np.delete(back.reshape(-1, *back.shape[2:]), 3 * 21 + 4, axis=0)).all()
    assert not np.isfinite(made.restore(fused, "luma")[3, 4])


def test_one_bad_channel_makes_the_pixel_a_hole():
    visible = image("f4", "rgb")
    visible[3, 4, 1] = np.nan
    made = pair(image(), visible)
    np.testing.assert_array_equal(made.restore(1 - made.visible)[3, 4], visible[3, 4])
    assert np.isnan(made.restore(1 - made.visible, "luma")[3, 4])


def test_a_bad_alpha_is_passed_on_and_bothers_nobody():
    visible = image("f4", "rgba")
    visible[3, 4, 3] = np.nan
    made = pair(image(), visible)
    assert made.valid is None
    assert np.isnan(made.restore(1 - made.visible)[3, 4, 3])


def test_where_infrared_has_a_hole_the_visible_image_shows():
    ir, visible = image("f4", seed=1), image("u1", "rgb")
    ir[5:8, 6:9] = np.nan
    made = pair(ir, visible)
    back = made.restore(1 - made.visible)
    np.testing.assert_array_equal(back[5:8, 6:9], visible[5:8, 6:9])
    changed = (back != visible).any(axis=-1)
    assert changed.sum() > 0.9 * (17 * 21 - 9)


def test_a_hole_is_filled_from_its_nearest_neighbour():
    ir = np.zeros((16, 16), np.float32)
    ir[:, 8:] = 0.75
    ir[4, 1], ir[4, 14] = np.nan, np.inf
    made = pair(ir, image("u1")[:16, :16])
    assert made.ir[4, 1] == 0
    assert made.ir[4, 14] == 0.75


def test_infinities_do_not_widen_the_window():
    ir = image("f4") * 40 + 280
    ir[0, 0] = np.inf
    assert pair(ir, image()).ir_window.high < 321


def test_nothing_but_holes_is_refused():
    nothing = np.full((16, 16), np.nan)
    assert "infrared" in refused(nothing, np.zeros((16, 16), np.uint8))
    assert "no finite value" in refused(np.zeros((16, 16), np.uint8), nothing)


@pytest.mark.parametrize("value", [0, 37, 255])
def test_constant_images_are_images(value):
    constant = np.full((16, 16), value, np.uint8)
    made = pair(constant, constant)
    np.testing.assert_array_equal(made.restore(made.visible), constant)
    kelvin = np.full((16, 16), 300.0)
    made = pair(kelvin, kelvin)
    assert not made.ir.any()
    np.testing.assert_array_equal(made.restore(made.visible), kelvin)


# -- windows ----------------------------------------------------------------------------------------------------


def test_windows_are_resolved_and_remembered():
    made = pair(image("u2"), image(), ir_window="100, 200", visible_window="full")
    assert made.windows == ((100.0, 200.0), "full")
    assert made.ir_window == Window(100, 200)
    assert made.visible_window == Window(0, 255)


@pytest.mark.parametrize("key", ["ir_window", "visible_window"])
def test_a_window_that_is_none_is_refused_before_the_images_are_read(key):
    with pytest.raises(ParameterError, match="intensity window"):
        pair("missing.png", "missing.png", **{key: "percentil"})


# -- what is refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["infrared", "visible"])
@pytest.mark.parametrize(
    ("bad", "word"),
    [
        *[(np.zeros(shape, np.uint8), "shape") for shape in [(), (20,), (20, 20, 1), (20, 20, 2), (20, 20, 5)]],
        *[(np.zeros(shape, np.uint8), "shape") for shape in [(3, 20, 20), (2, 20, 20, 3)]],
        *[(np.zeros(shape, np.uint8), "16×16") for shape in [(0, 0), (0, 20), (15, 20), (20, 15), (15, 15, 3)]],
        *[
            (np.zeros((20, 20), dtype), "data type")
            for dtype in ["i1", "i4", "i8", "u4", "u8", "c16", "O", "U3", "M8[s]"]
        ],
        *[(thing, "data type") for thing in [None, object(), {}]],
        ([[1.0, 2.0], [3.0]], "not an array"),
        (torch.zeros(20, 20, dtype=torch.int64), "data type"),
        (torch.zeros(20, 20, dtype=torch.float32).to_sparse(), "not an array"),
        ("no-such-file.png", "no image file"),
        (Path("no-such-file.tif"), "no image file"),
    ],
    ids=lambda value: (
        None if isinstance(value, str) else f"{getattr(value, 'dtype', value)}{getattr(value, 'shape', '')}"
    ),
)
def test_what_is_no_image_is_refused_in_one_sentence(bad, word, side):
    good = np.zeros((20, 20), np.uint8)
    text = refused(bad, good) if side == "infrared" else refused(good, bad)
    assert word in text
    assert side in text or "no-such-file" in text


@pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="long double is float64 here")
def test_floats_that_no_method_can_keep_are_refused():
    assert "float32" in refused(np.zeros((20, 20), np.longdouble), np.zeros((20, 20)))


def test_sixteen_pixels_are_enough():
    small = image()[:16, :16]
    assert pair(small, small).shape == (16, 16)


def test_sizes_that_differ_are_told_as_width_by_height():
    text = refused(np.zeros((20, 30), np.uint8), np.zeros((40, 50, 3), np.uint8))
    assert "30×20" in text
    assert "50×40" in text


# -- where images come from -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [str, Path])
def test_files(tmp_path, kind):
    ir, visible = image("u2"), image("u1", "rgb")
    write_image(tmp_path / "ir.tif", ir)
    write_image(tmp_path / "visible.png", visible)
    made = pair(kind(tmp_path / "ir.tif"), kind(tmp_path / "visible.png"))
    np.testing.assert_array_equal(made.source, visible)
    np.testing.assert_array_equal(made.ir, pair(ir, visible).ir)


@pytest.mark.parametrize("colour", SHAPES)
def test_tensors_channels_first_or_last(colour):
    visible = image("f4", colour)
    last = torch.from_numpy(visible)
    first = last.permute(2, 0, 1) if visible.ndim == 3 else last[None]
    for tensor in (last, first, first.clone().requires_grad_()):
        np.testing.assert_array_equal(pair(image(), tensor).source, visible)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.uint16, torch.float16, torch.bfloat16, torch.float64])
def test_tensors_of_every_type(dtype):
    tensor = (torch.rand(20, 20, generator=torch.Generator().manual_seed(0)) * 200).to(dtype)
    made = pair(tensor, tensor)
    np.testing.assert_array_equal(made.restore(made.visible).astype(float), tensor.double().numpy())


def test_lists_of_numbers():
    rows = [[0.5] * 16] * 16
    assert pair(rows, rows).shape == (16, 16)


# -- inputs are never modified ----------------------------------------------------------------------------------


def _read_only(array):
    array.flags.writeable = False
    return array


def _memmap(array, folder):
    mapped = np.memmap(folder / "pixels", dtype=array.dtype, mode="w+", shape=array.shape)
    mapped[:] = array
    mapped.flush()
    return np.memmap(folder / "pixels", dtype=array.dtype, mode="r", shape=array.shape)


LAYOUTS = {
    "read-only": lambda a, _: _read_only(a.copy()),
    "every second": lambda a, _: np.repeat(np.repeat(a, 2, 0), 2, 1)[::2, ::2],
    "upside down": lambda a, _: a[::-1, ::-1].copy()[::-1, ::-1],
    "columns first": lambda a, _: np.asfortranarray(a),
    "big-endian": lambda a, _: a.astype(a.dtype.newbyteorder(">")),
    "memory-mapped": _memmap,
}


@pytest.mark.parametrize("colour", ["grey", "rgba"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f2", "f4"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_memory_layout_gives_the_same_and_is_left_alone(layout, dtype, colour, tmp_path):
    plain = image(dtype, colour)
    if np.dtype(dtype).kind == "f":
        plain[2, 3] = np.nan
    expected = pair(plain, plain)
    given_array = LAYOUTS[layout](plain, tmp_path)
    before = given_array.tobytes()
    made = pair(given_array, given_array)
    np.testing.assert_array_equal(made.ir, expected.ir)
    np.testing.assert_array_equal(made.visible, expected.visible)
    fused = 1 - made.visible
    result = made.restore(fused)
    assert type(result) is np.ndarray
    assert result.flags.writeable
    assert result.dtype == given_array.dtype
    np.testing.assert_array_equal(result, expected.restore(fused))
    result[:] = 0
    assert given_array.tobytes() == before


def test_what_is_masked_has_no_value():
    hot = np.ma.masked_array(np.linspace(20, 30, 400).reshape(20, 20).astype(np.float32))
    hot[3:6, 4:9] = np.ma.masked
    pair = ImagePair.from_images(hot, np.zeros((20, 20), np.uint8))
    expected = ImagePair.from_images(hot.filled(np.nan), np.zeros((20, 20), np.uint8))
    np.testing.assert_array_equal(pair.valid, ~hot.mask)
    np.testing.assert_array_equal(pair.ir, expected.ir)
    counts = np.ma.masked_array(np.ones((20, 20), np.uint16))
    ImagePair.from_images(counts, counts)  # of which nothing is masked
    counts[3, 4] = np.ma.masked
    with pytest.raises(ImageError, match=r"masked array of uint16.*filled\(nan\)"):
        ImagePair.from_images(counts, hot)
