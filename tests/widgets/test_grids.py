"""Layers of different grids in the fuse widget, against napari's own ``data_to_world``."""

import numpy as np
import pytest

pytest.importorskip("napari")

from hypothesis import given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Image
from qtpy.QtCore import QThreadPool

import napari_irvisfuse as nif
from napari_irvisfuse._widgets import settings as preferences
from napari_irvisfuse._widgets.fuse import FuseWidget
from napari_irvisfuse._widgets.layer_geometry import affine_that_fits, grid_of, matrix_between
from napari_irvisfuse._widgets.layer_pairs import pair_from_layers, place_layers, problem_with
from napari_irvisfuse.images.grids import apply, fit
from napari_irvisfuse.images.placement import parse_rows

RNG = np.random.default_rng(5)
IR = RNG.integers(0, 256, (24, 32), dtype=np.uint8)
VISIBLE = RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8)

sizes = st.floats(0.05, 20)
shifts = st.floats(-50, 50)
# napari takes a matrix that is diagonal up to 1e-8 for a diagonal one
shears, angles, degrees = (st.floats(-end, end).map(lambda value: round(value, 4)) for end in (1, 3, 180))


@st.composite
def places(draw):
    """Everything that napari lets a two-dimensional layer do in its plane."""
    affine = np.eye(3)
    angle = draw(angles)
    affine[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    affine[:2, :2] @= np.array([[draw(sizes), draw(shears)], [0, draw(sizes)]])
    affine[:2, 2] = draw(shifts), draw(shifts)
    return {
        "scale": (draw(sizes), draw(sizes)),
        "translate": (draw(shifts), draw(shifts)),
        "rotate": draw(degrees),
        "shear": [draw(shears)],
        "affine": affine,
    }


def layers(ir_place=None, visible_place=None, ir=IR, visible=VISIBLE):
    return (
        Image(ir, name="infrared", **(ir_place or {})),
        Image(visible, name="visible", rgb=True, **(visible_place or {})),
    )


# -- geometry ---------------------------------------------------------------------------------------------------------


@given(places(), places())
@settings(max_examples=60)
def test_pixels_go_where_napari_says(ir_place, visible_place):
    ir, visible = layers(ir_place, visible_place)
    points = np.array([[0, 0], [23, 31], [-0.5, 31.5], [10.25, 3.5]])
    napari_says = np.array([visible.world_to_data(ir.data_to_world(point)) for point in points])
    np.testing.assert_allclose(apply(matrix_between(ir, visible), points.T).T, napari_says, rtol=1e-6, atol=1e-6)


@given(places(), places(), st.booleans())
@settings(max_examples=25)
def test_stacks_and_pyramids_go_where_their_planes_go(ir_place, visible_place, pyramid):
    ir, visible = layers(ir_place, visible_place)
    if pyramid:
        other = Image([IR, IR[::2, ::2]], multiscale=True, **ir_place)
    else:
        other = Image(np.stack([IR] * 2))
        place = ir._transforms.expand_dims([0])
        other.scale, other.rotate = (3.0, *ir.scale), place["data2physical"].rotate
        other.shear, other.translate = place["data2physical"].shear, (4.0, *ir.translate)
        other.affine = place["physical2world"]
    np.testing.assert_allclose(matrix_between(other, visible), matrix_between(ir, visible), rtol=1e-6, atol=1e-6)


def test_units_are_converted():
    ir, visible = layers({"scale": (2, 2), "units": ("mm", "mm")}, {"scale": (500, 500), "units": ("um", "um")})
    np.testing.assert_allclose(matrix_between(ir, visible), np.diag([4, 4, 1]), atol=1e-12)
    assert grid_of(ir).to_world[0, 0] == 2
    assert grid_of(ir, visible).to_world[0, 0] == pytest.approx(2000)


@given(places(), places())
@settings(max_examples=25)
def test_fitted_layers_cover_each_other_corner_on_corner(ir_place, visible_place):
    ir, visible = layers(ir_place, visible_place)
    ir.affine = affine_that_fits(ir, visible)
    for here, there in [((-0.5, -0.5), (-0.5, -0.5)), ((23.5, 31.5), (47.5, 63.5)), ((-0.5, 31.5), (-0.5, 63.5))]:
        np.testing.assert_allclose(ir.data_to_world(here), visible.data_to_world(there), rtol=1e-5, atol=1e-4)
    placement = place_layers(ir, visible)
    np.testing.assert_allclose(placement.ir_to_visible, [[2, 0, 0.5], [0, 2, 0.5], [0, 0, 1]], atol=1e-4)


def test_a_stack_is_fitted_in_its_plane():
    ir = Image(np.stack([IR] * 3), scale=(5, 2, 2), translate=(1, 7, 7), affine=np.diag([3, 1, 1, 1]))
    visible = layers()[1]
    before = ir.data_to_world((2, 0, 0))[0]
    ir.affine = affine_that_fits(ir, visible)
    assert ir.data_to_world((2, 0, 0))[0] == before
    np.testing.assert_allclose(ir.data_to_world((2, 23.5, 31.5))[1:], visible.data_to_world((47.5, 63.5)), atol=1e-9)


# -- pairs ------------------------------------------------------------------------------------------------------------


def test_layers_give_what_the_matrix_gives():
    ir, visible = layers({"scale": (1.5, 1.5), "rotate": 10, "translate": (4, 9)})
    from_layers = pair_from_layers(ir, visible)
    from_arrays = nif.ImagePair.from_images(IR, VISIBLE, ir_to_visible=matrix_between(ir, visible))
    assert np.array_equal(from_layers.ir, from_arrays.ir)
    assert np.array_equal(from_layers.valid, from_arrays.valid)
    assert not from_arrays.valid.all()


def test_a_cropped_layer_lies_where_it_was_cut_out():
    grey = VISIBLE[..., 0]
    ir, visible = layers({"translate": (10, 20)}, ir=grey[10:40, 20:60])
    pair = pair_from_layers(ir, visible)
    assert np.array_equal(pair.ir[10:40, 20:60], (grey[10:40, 20:60] / 255).astype(np.float32))
    assert pair.valid.sum() == 30 * 40
    assert problem_with(ir, visible) is None


def test_a_pyramid_is_read_at_full_resolution():
    ir, visible = layers({"scale": (2, 2), "translate": (0.5, 0.5)})
    pyramid = Image([IR, IR[::2, ::2]], multiscale=True, scale=(2, 2), translate=(0.5, 0.5))
    assert np.array_equal(pair_from_layers(pyramid, visible).ir, pair_from_layers(ir, visible).ir)


# -- the widget -------------------------------------------------------------------------------------------------------


@pytest.fixture
def viewer():
    model = ViewerModel()
    model.add_image(IR, name="infrared", scale=(1.5, 1.5), translate=(4, 9), rotate=5)
    model.add_image(VISIBLE, name="visible", rgb=True, scale=(0.5, 0.5), translate=(3, 3))
    return model


@pytest.fixture
def make(qtbot, monkeypatch):
    values = {"default_method": "average", "device": "cpu", "maps": "everything", "remember_settings": False}
    monkeypatch.setattr(preferences, "preference", values.__getitem__)
    made = []

    def make(viewer: ViewerModel) -> FuseWidget:
        widget = FuseWidget(viewer)
        qtbot.addWidget(widget.native)
        qtbot.waitUntil(lambda: widget.ready, timeout=20_000)
        made.append(widget)
        return widget

    yield make
    for widget in made:
        widget.alignment.hold()
        widget.cancel()
    qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0, timeout=20_000)


def run(widget, qtbot):
    widget.run()
    qtbot.waitUntil(lambda: not widget.running, timeout=20_000)


@pytest.mark.parametrize("grid", ["visible", "ir", "finer"])
def test_the_result_lies_on_the_grid_it_lives_on(make, viewer, qtbot, grid):
    widget = make(viewer)
    widget.choose("wls", show="everything")
    widget.view.grid.value = grid
    run(widget, qtbot)

    ir, visible = viewer.layers["infrared"], viewer.layers["visible"]
    home = ir if grid == "ir" else visible
    fused = viewer.layers["fused · WLS"]
    assert fused.data.shape[:2] == home.data.shape[:2]
    assert len(viewer.layers) > 4
    for layer in set(viewer.layers) - {ir, visible}:
        stride = layer.metadata["irvisfuse"]["stride"]
        for pixel in [(0, 0), (5, 7)]:
            in_image = [i * stride + (stride - 1) / 2 for i in pixel]
            np.testing.assert_allclose(layer.data_to_world(pixel), home.data_to_world(in_image), atol=1e-9)
    expected = nif.fuse(IR, VISIBLE, "wls", ir_to_visible=matrix_between(ir, visible), grid=grid)
    assert np.array_equal(fused.data, expected.fused)
    assert "is resampled onto the" in widget.message
    assert "Both images see" in widget.message


def test_another_grid_moves_the_layers_of_the_last_run(make, viewer, qtbot):
    widget = make(viewer)
    run(widget, qtbot)
    fused = viewer.layers["fused · Average"]
    widget.view.grid.value = "ir"
    qtbot.waitUntil(lambda: "other settings" in widget.message, timeout=5000)
    run(widget, qtbot)
    assert viewer.layers["fused · Average"] is fused
    assert fused.data.shape[:2] == IR.shape
    np.testing.assert_allclose(fused.data_to_world((3, 4)), viewer.layers["infrared"].data_to_world((3, 4)))


def test_the_choice_is_hidden_while_there_is_nothing_to_choose(make, viewer):
    widget = make(viewer)
    assert not widget.view.grid.native.isHidden()
    assert widget.view.grid.message.text == "Infrared 32×24 is resampled onto the visible 64×48."
    widget.view.grid.value = "ir"
    assert widget.view.grid.message.text == "Visible 64×48 is resampled onto the infrared 32×24."
    assert widget.view.grid.fit_button.isHidden()
    viewer.add_image(VISIBLE[..., 0], name="infrared of this size", scale=(0.5, 0.5), translate=(3, 3))
    widget.view.layers.choose(viewer.layers[-1], viewer.layers["visible"])
    assert widget.view.grid.native.isHidden()


def test_moving_a_layer_is_noticed(make, viewer, qtbot):
    widget = make(viewer)
    run(widget, qtbot)
    ir = viewer.layers["infrared"]
    ir.translate = (1000, 0)
    assert "'infrared' and 'visible' do not overlap" in widget.message
    assert not widget.view.run_bar.button.isEnabled()
    assert widget.view.grid.native.isHidden()
    ir.translate = (5, 9)
    assert widget.view.run_bar.button.isEnabled()
    qtbot.waitUntil(lambda: "other settings" in widget.message, timeout=5000)
    ir.translate = (4, 9)
    qtbot.waitUntil(lambda: "other settings" not in widget.message, timeout=5000)


def test_layers_that_nobody_has_placed_are_fitted_with_a_button(make, qtbot):
    viewer = ViewerModel()
    viewer.add_image(IR, name="infrared")
    viewer.add_image(VISIBLE, name="visible", rgb=True)
    widget = make(viewer)
    grid = widget.view.grid
    assert "in a corner" in grid.message.text
    assert grid.message.level == "warning"
    assert not grid.fit_button.isHidden()
    grid.fit_button.click()
    assert grid.fit_button.isHidden()
    assert grid.message.text == "Infrared 32×24 is resampled onto the visible 64×48."
    run(widget, qtbot)
    expected = nif.fuse(IR, VISIBLE, "average", ir_to_visible="fit")
    assert np.array_equal(viewer.layers["fused · Average"].data, expected.fused)


def test_recipe_and_code_know_how_the_layers_lie(make, viewer, qtbot, tmp_path):
    widget = make(viewer)
    widget.view.grid.value = "finer"
    before = widget.recipe()
    run(widget, qtbot)
    recipe = widget.recipe()
    assert recipe.ir_to_visible == before.ir_to_visible is not None
    assert recipe.grid == before.grid == "finer"
    fused = viewer.layers["fused · Average"].data
    assert np.array_equal(nif.fuse(IR, VISIBLE, **recipe.arguments()).fused, fused)
    space = {"viewer": viewer}
    exec(widget.recipes.copy_as_python(), space)
    assert np.array_equal(space["result"].fused, fused)

    widget.recipes.save(tmp_path / "r.yaml")
    widget.view.grid.value = "visible"
    widget.recipes.load(tmp_path / "r.yaml")
    assert widget.view.grid.value == "finer"
    assert "Settings taken from r.yaml." in widget.message
    assert "lies where" not in widget.message  # it did before


def saved(path, matrix, **changes):
    recipe = nif.Recipe("average", ir_to_visible=matrix, **changes)
    return recipe.save(path / "r.yaml")


def test_a_recipe_puts_the_infrared_layer_where_it_says(make, viewer, tmp_path):
    widget = make(viewer)
    ir, visible = viewer.layers["infrared"], viewer.layers["visible"]
    before, own = ir.affine.affine_matrix.copy(), ir.scale.copy()
    matrix = np.array([[1.9, 0.1, 3], [-0.1, 2.1, 5], [0, 0, 1]])
    shapes = {"ir_shape": IR.shape, "visible_shape": VISIBLE.shape[:2]}
    widget.recipes.load(saved(tmp_path, parse_rows(matrix), **shapes))
    np.testing.assert_allclose(matrix_between(ir, visible), matrix, atol=1e-9)
    np.testing.assert_array_equal(ir.scale, own)
    assert "'infrared' lies where it says" in widget.message
    np.testing.assert_allclose(widget.recipe().alignment.ir_to_visible, matrix, atol=1e-9)
    assert (widget.recipe().ir_shape, widget.recipe().visible_shape) == (IR.shape, VISIBLE.shape[:2])
    widget.recipes.undo()
    np.testing.assert_array_equal(ir.affine.affine_matrix, before)
    assert "lies where it did before" in widget.message

    widget.recipes.load(saved(tmp_path, "fit"))
    np.testing.assert_allclose(matrix_between(ir, visible), fit(IR.shape, VISIBLE.shape[:2]), atol=1e-9)


@pytest.mark.parametrize(
    ("matrix", "shapes", "words"),
    [
        (np.eye(3), {"ir_shape": (48, 64)}, "was found on an infrared image of 64×48 pixels, and this one has 32×24"),
        ([[1, 0, 0], [0, 1, 0], [1e-3, 0, 1]], {}, "homography"),
    ],
)
def test_an_alignment_that_cannot_be_taken_over_is_said_and_the_settings_are_taken(
    make, viewer, tmp_path, matrix, shapes, words
):
    widget = make(viewer)
    before = viewer.layers["infrared"].affine.affine_matrix.copy()
    widget.recipes.load(saved(tmp_path, parse_rows(matrix), output="luma", **shapes))
    assert "Its alignment is left out." in widget.message
    assert words in widget.message
    assert widget.view.run_bar.message.level == "error"
    assert widget.view.output_box.value == "luma"
    np.testing.assert_array_equal(viewer.layers["infrared"].affine.affine_matrix, before)


def test_a_recipe_with_an_alignment_waits_for_layers(make, tmp_path):
    widget = make(ViewerModel())
    widget.recipes.undo()
    assert widget.message == "Choose an infrared layer."
    widget.recipes.load(saved(tmp_path, "fit"))
    assert widget.message.endswith("Its alignment is left out. Choose two layers, and load it again.")


def test_the_choice_is_remembered_and_reset(make, viewer):
    widget = make(viewer)
    widget.view.grid.value = "finer"
    state = widget.view.state()
    widget.recipes.reset()
    assert widget.view.grid.value == "visible"
    widget.view.restore(state)
    assert widget.view.grid.value == "finer"
    widget.view.restore({"grid": "moon"})
    assert widget.view.grid.value == "finer"


def test_nobody_listens_to_layers_that_are_not_chosen(make, viewer):
    widget = make(viewer)
    ir = viewer.layers["infrared"]
    other = viewer.add_image(IR, name="another", scale=(2, 2))
    listening = len(ir.events.scale.callbacks)
    widget.view.layers.choose(other, viewer.layers["visible"])
    assert len(ir.events.scale.callbacks) == listening - 1
    widget._link.detach()
    assert len(ir.events.scale.callbacks) == listening - 1
