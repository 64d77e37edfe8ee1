"""Pairs of different grids from one end to the other: pair, fusion, recipe, metrics."""

import numpy as np
import pytest

import napari_irvisfuse as nif
from napari_irvisfuse.errors import AlignmentError, ImageError, RecipeError
from napari_irvisfuse.images.grids import fit

TURNED = np.array([[1.4, -0.2, 9.0], [0.2, 1.4, 6.0], [0, 0, 1]])
BENT = np.array([[1.5, -0.1, 7.0], [0.1, 1.4, 6.0], [1e-3, 5e-4, 1]])


def image(shape, dtype="u1", seed=0):
    unit = np.random.default_rng(seed).random(shape)
    if dtype == "f4":
        return unit.astype(dtype)
    return (unit * np.iinfo(dtype).max).astype(dtype)


def moved(matrix, rows=0, columns=0):
    return np.array([[1, 0, rows], [0, 1, columns], [0, 0, 1]]) @ matrix


IR, VISIBLE = image((24, 32), seed=1), image((48, 64, 3), seed=2)


# -- what a pair is ---------------------------------------------------------------------------------------------------


def test_on_one_grid_nothing_is_copied_and_nothing_changes():
    grey, visible = image((48, 64), seed=1), VISIBLE
    plain = nif.ImagePair.from_images(grey, visible)
    for options in [{"ir_to_visible": np.eye(3)}, {"ir_to_visible": "fit"}, {"grid": "finer"}, {"grid": "ir"}]:
        pair = nif.ImagePair.from_images(grey, visible, **options)
        assert np.shares_memory(pair.source, visible)
        assert np.array_equal(pair.ir, plain.ir)
        assert np.array_equal(pair.visible, plain.visible)
        assert pair.valid is None
        assert pair.notes == ()


@pytest.mark.parametrize("matrix", [TURNED, BENT])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("colour", [(), (3,), (4,)])
def test_outside_of_the_overlap_the_visible_image_stays_bit_for_bit(matrix, dtype, colour):
    visible = image((48, 64, *colour), dtype, seed=3)
    result = nif.fuse(IR, visible, "max", ir_to_visible=matrix)
    assert result.grid == "visible"
    assert 0.2 < result.valid.mean() < 0.95
    assert np.array_equal(result.fused[~result.valid], visible[~result.valid])
    assert (result.fused[result.valid] != visible[result.valid]).any()


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("colour", [(), (3,), (4,)])
def test_on_the_infrared_grid_the_visible_image_is_resampled_colour_and_all(dtype, colour):
    visible = image((48, 64, *colour), dtype, seed=3)
    matrix = moved(fit((24, 32), (48, 64)), 8)  # four rows of it see nothing
    result = nif.fuse(IR, visible, "average", ir_weight=0.0, ir_to_visible=matrix, grid="ir")
    assert result.grid == "ir"
    assert result.fused.dtype == visible.dtype
    assert result.fused.shape == (24, 32, *colour)
    assert np.array_equal(result.valid, np.arange(24)[:, None].repeat(32, 1) < 20)
    blocks = visible[8:].astype(float).reshape(20, 2, 32, 2, *colour).mean(axis=(1, 3))
    exact = blocks if dtype == "f4" else np.floor(blocks + 0.5)
    np.testing.assert_allclose(result.fused[:20], exact, atol=1e-6)
    nothing = result.fused[20:]
    assert np.isnan(nothing).all() if dtype == "f4" else not nothing.any()


def test_the_finer_grid():
    assert nif.fuse(IR, VISIBLE, "max", ir_to_visible="fit", grid="finer").fused.shape == VISIBLE.shape
    assert nif.fuse(VISIBLE, IR, "max", ir_to_visible="fit", grid="finer").fused.shape == (48, 64)


def test_brightness_does_not_hang_on_which_part_is_seen():
    """A window found on the whole image is that of the part too: 16-bit visible, bright where nobody looks."""
    visible = image((48, 64), "u2", seed=4) // 16
    visible[:, -1] = 60_000
    pair = nif.ImagePair.from_images(IR, visible, ir_to_visible=fit((24, 32), (48, 60)), grid="ir")
    assert pair.visible_window.high == 65535
    assert pair.source.max() < 5000
    counts = image((24, 32), "u2", seed=5)
    on_visible = nif.ImagePair.from_images(counts, visible, ir_to_visible=TURNED)
    assert (on_visible.ir_window.low, on_visible.ir_window.high) == (counts.min(), counts.max())


def test_temperatures_keep_their_precision():
    """Degrees on another grid are degrees still: no 8 bit in between, no value that was not measured."""
    ramp = np.linspace(19.5, 20.5, 24 * 32, dtype=np.float32).reshape(24, 32)
    ramp[3, 4] = np.nan
    pair = nif.ImagePair.from_images(ramp, VISIBLE, ir_to_visible="fit", ir_window=(0, 100))
    celsius = pair.ir_window.from_unit(pair.ir)
    assert len(np.unique(pair.ir)) > 1500
    assert np.nanmin(ramp) - 1e-4 <= celsius.min() <= celsius.max() <= np.nanmax(ramp) + 1e-4
    assert (~pair.valid).sum() == 4


def test_infrared_holes_are_holes_on_the_other_grid():
    ir = image((24, 32), "f4", seed=1)
    ir[5:9, 10:14] = np.nan
    result = nif.fuse(ir, VISIBLE, "max", ir_to_visible="fit")
    assert (~result.valid).sum() == 64
    assert np.array_equal(result.fused[~result.valid], VISIBLE[~result.valid])


def test_two_grids_in_one_world():
    world = np.array([[0.3, 0.1, 5], [-0.1, 0.3, 2], [0, 0, 1]])
    matrix = nif.Grid((24, 32), world @ TURNED).onto(nif.Grid((48, 64), world))
    given = nif.fuse(IR, VISIBLE, "max", ir_to_visible=TURNED)
    np.testing.assert_array_equal(nif.fuse(IR, VISIBLE, "max", ir_to_visible=matrix).fused, given.fused)


def test_sizes_that_differ_and_images_apart():
    with pytest.raises(AlignmentError, match="nothing tells how they lie"):
        nif.fuse(IR, VISIBLE, "max")
    with pytest.raises(AlignmentError, match="do not overlap"):
        nif.fuse(IR, VISIBLE, "max", ir_to_visible=moved(TURNED, 500))


def test_notes_say_what_was_done():
    (note,) = nif.fuse(IR, VISIBLE, "max", ir_to_visible=TURNED).notes
    assert note.startswith("Infrared 32×24 is resampled onto the visible 64×48. Both images see ")
    assert note.endswith("elsewhere the visible image stays as it is.")
    assert nif.fuse(IR, VISIBLE, "max", ir_to_visible="fit").notes == (
        "Infrared 32×24 is resampled onto the visible 64×48.",
    )


# -- again ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", ["visible", "ir", "finer"])
@pytest.mark.parametrize("matrix", ["fit", TURNED / 3, BENT])
@pytest.mark.parametrize("form", ["yaml", "json"])
def test_a_recipe_gives_the_same_again(tmp_path, grid, matrix, form):
    result = nif.fuse(IR, VISIBLE, "wls", ir_to_visible=matrix, grid=grid)
    recipe = nif.Recipe.load(result.recipe.save(tmp_path / f"r.{form}"))
    assert recipe == result.recipe
    again = nif.fuse(IR, VISIBLE, **recipe.arguments())
    assert np.array_equal(again.fused, result.fused)
    assert again.recipe == result.recipe
    space = {"ir": IR, "visible": VISIBLE}
    exec(recipe.as_python("ir", "visible"), space)
    assert np.array_equal(space["result"].fused, result.fused)


@pytest.mark.parametrize(("key", "value"), [("grid", "moon"), ("ir_to_visible", [[1, 2]]), ("ir_to_visible", "a.json")])
def test_a_damaged_recipe_is_refused(key, value):
    data = nif.Recipe("max").to_dict() | {key: value}
    with pytest.raises(RecipeError, match=key):
        nif.Recipe.from_dict(data)


def test_recipes_of_before_are_read():
    data = nif.Recipe("max").to_dict()
    del data["grid"], data["ir_to_visible"]
    assert nif.Recipe.from_dict(data) == nif.Recipe("max")


# -- measuring --------------------------------------------------------------------------------------------------------


def test_metrics_look_at_what_both_images_see():
    matrix = moved(np.eye(3), 10, 20)  # the infrared one is a part of it
    result = nif.fuse(IR, VISIBLE, "average", ir_to_visible=matrix)
    part = slice(10, 34), slice(20, 52)
    measured = nif.evaluate(result.fused, IR, VISIBLE, which=["EN", "MI", "SSIM"], ir_to_visible=matrix)
    expected = nif.evaluate(result.fused[part], IR, VISIBLE[part], which=["EN", "MI", "SSIM"])
    assert measured == pytest.approx(expected, rel=1e-6)
    maps = nif.quality_maps(result.fused, IR, VISIBLE, ir_to_visible=matrix)
    assert all(item.data.shape[0] * item.stride >= 40 for item in maps.values())


def test_too_little_in_common_to_measure():
    matrix = np.eye(3)
    matrix[:2, 2] = 40, 60
    with pytest.raises(ImageError, match="only 4×8 pixels"):
        nif.evaluate(VISIBLE, IR, VISIBLE, ir_to_visible=matrix)
