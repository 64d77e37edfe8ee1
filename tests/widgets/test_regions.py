"""Only what somebody looks at: the current view and shapes, in the fuse widget and against napari's own transforms."""

import time

import numpy as np
import pytest

pytest.importorskip("napari")

from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path
from napari.components import ViewerModel
from napari.layers import Image, Shapes
from qtpy.QtCore import QThreadPool

import napari_irvisfuse as nif
from napari_irvisfuse._widgets import settings as preferences
from napari_irvisfuse._widgets.fuse import FuseWidget
from napari_irvisfuse._widgets.layer_geometry import plane_to_world, spatial
from napari_irvisfuse._widgets.layer_regions import camera_of, part_in_shape, part_in_view
from napari_irvisfuse._widgets.layers import add_result, update_result
from napari_irvisfuse.errors import ParameterError
from napari_irvisfuse.images.regions import Region

TAG = "irvisfuse"
RNG = np.random.default_rng(7)
IR = RNG.integers(0, 256, (60, 80), dtype=np.uint8)
VISIBLE = RNG.integers(0, 256, (60, 80, 3), dtype=np.uint8)
PIXELS = np.stack(np.mgrid[:60, :80], -1).reshape(-1, 2)

sizes = st.floats(0.2, 5)
shifts = st.floats(-50, 50)


@st.composite
def places(draw):
    """Everything that napari lets a two-dimensional layer do in its plane."""
    affine = np.eye(3)
    affine[:2, :2] = np.array([[draw(sizes), draw(st.floats(-1, 1))], [0, draw(sizes)]])
    affine[:2, 2] = draw(shifts), draw(shifts)
    return {
        "scale": (draw(sizes), draw(sizes)),
        "translate": (draw(shifts), draw(shifts)),
        "rotate": draw(st.floats(-180, 180)),
        "affine": affine,
    }


def look(viewer, center, zoom=1.0, size=(100, 200)):
    """Show a part of the world on a canvas of some size."""
    viewer.canvas.size = size
    camera = camera_of(viewer)
    camera.center, camera.zoom = (0, *center), zoom


def in_world(layer, points):
    to_world = plane_to_world(layer)
    return points @ to_world[:2, :2].T + to_world[:2, 2]


# -- where a view and a shape are in pixels ---------------------------------------------------------------------------


@given(places(), st.floats(0, 59), st.floats(0, 79), st.floats(0.1, 20))
@settings(max_examples=40)
def test_all_pixels_in_the_view_are_fused_and_no_more_than_its_box(place, row, column, zoom):
    viewer = ViewerModel()
    layer = viewer.add_image(IR, **place)
    center = np.asarray(layer.data_to_world((row, column)))
    look(viewer, center, zoom)
    region = part_in_view(viewer, layer).region
    half = np.array([100, 200]) / 2 / zoom
    seen = (np.abs(in_world(layer, PIXELS) - center) < half).all(axis=1)
    rows, columns = PIXELS[seen].T
    assert ((rows >= region.top) & (rows < region.bottom) & (columns >= region.left) & (columns < region.right)).all()
    corners = np.array([layer.world_to_data(center + half * sign) for sign in ((1, 1), (1, -1), (-1, 1), (-1, -1))])
    low, high = np.clip(corners.min(0), 0, (59, 79)), np.clip(corners.max(0), 0, (59, 79))
    assert (np.abs([region.top, region.left] - low) <= 1).all()
    assert (np.abs([region.bottom - 1, region.right - 1] - high) <= 1).all()


def test_the_view_of_a_plain_layer():
    viewer = ViewerModel()
    layer = viewer.add_image(IR)
    look(viewer, (20, 30), 10)
    assert part_in_view(viewer, layer).region == Region(15, 20, 26, 41)  # half of the outermost pixels is seen
    viewer.dims.order = (1, 0)
    look(viewer, (30, 20), 10, (200, 100))
    assert part_in_view(viewer, layer).region == Region(15, 20, 26, 41)


def test_the_view_of_a_plane_of_a_stack_and_of_a_pyramid():
    viewer = ViewerModel()
    stack = viewer.add_image(np.stack([IR] * 3), scale=(5, 2, 2), translate=(0, 10, 0))
    pyramid = viewer.add_image([IR, IR[::2, ::2]], multiscale=True, scale=(2, 2), translate=(10, 0))
    look(viewer, (50, 60), 5)
    expected = Region(15, 20, 26, 41)
    assert part_in_view(viewer, stack).region == part_in_view(viewer, pyramid).region == expected


def test_units_of_the_view():
    viewer = ViewerModel()
    coarse = viewer.add_image(IR, units=("mm", "mm"))
    fine = viewer.add_image(IR, units=("um", "um"), scale=(1000, 1000))
    factor = (1 * coarse.units[0]).to(viewer.dims.units[-1]).magnitude
    look(viewer, (20 * factor, 30 * factor), 10 / factor)
    assert part_in_view(viewer, coarse).region == part_in_view(viewer, fine).region == Region(15, 20, 26, 41)


def test_in_grid_mode_each_layer_has_a_cell_of_the_canvas():
    viewer = ViewerModel()
    layers = [viewer.add_image(IR) for _ in range(2)]
    viewer.canvas.grid.enabled = True
    viewer.canvas.grid.shape = (1, 2)
    viewer.canvas.grid.spacing = 0
    look(viewer, (20, 30), 10, (100, 400))
    assert part_in_view(viewer, layers[0]).region == Region(15, 20, 26, 41)


def test_what_is_no_view_of_the_image_is_said():
    viewer = ViewerModel()
    layer = viewer.add_image(np.stack([IR] * 3))
    look(viewer, (5000, 30))
    with pytest.raises(ParameterError, match="Nothing of the images is in the view"):
        part_in_view(viewer, layer)
    viewer.dims.order = (1, 0, 2)
    with pytest.raises(ParameterError, match="does not show the image plane"):
        part_in_view(viewer, layer)
    viewer.dims.order = (0, 1, 2)
    viewer.dims.ndisplay = 3
    with pytest.raises(ParameterError, match="2D"):
        part_in_view(viewer, layer)


@given(places(), places(), st.sampled_from(["rectangle", "ellipse", "polygon"]))
@settings(max_examples=40)
def test_the_pixels_inside_a_shape_are_those_whose_centres_are(place, shape_place, kind):
    layer = Image(IR, **place)
    corners = np.array([[10.3, 20.2], [10.3, 50.1], [40.4, 50.1], [40.4, 20.2]])
    if kind == "polygon":
        corners[1] = 20.2, 35.1
    shapes = Shapes(ndim=2, **shape_place)
    to_shape = np.linalg.inv(plane_to_world(shapes)) @ plane_to_world(layer)
    shapes.add(corners @ to_shape[:2, :2].T + to_shape[:2, 2], shape_type=kind)
    part = part_in_shape(shapes, layer)
    y, x = np.mgrid[:60, :80]
    if kind == "ellipse":
        value = ((y - 25.35) / 15.05) ** 2 + ((x - 35.15) / 14.95) ** 2
        expected, clear = value < 1, np.abs(value - 1) > 0.02  # napari's ellipses have corners too
    else:
        expected = Path(corners).contains_points(np.stack([y.ravel(), x.ravel()], 1)).reshape(y.shape)
        clear = np.ones_like(expected)
    found = np.zeros_like(expected)
    mask = part.mask()
    found[part.region.slices] = True if mask is None else mask
    assert np.array_equal(found[clear], expected[clear])


def test_the_selected_shape_counts_or_else_the_last_one():
    layer = Image(IR)
    shapes = Shapes(ndim=2)
    with pytest.raises(ParameterError, match="Draw a shape"):
        part_in_shape(shapes, layer)
    with pytest.raises(ParameterError, match="Draw a shape"):
        part_in_shape(None, layer)
    first, second = (np.array([[top, 5], [top, 20], [top + 10, 20], [top + 10, 5]], float) for top in (3, 30))
    shapes.add([first, second], shape_type="rectangle")
    shapes.selected_data = set()
    assert part_in_shape(shapes, layer).region == Region(30, 5, 41, 21)
    shapes.selected_data = {0}
    part = part_in_shape(shapes, layer)
    assert part.region == Region(3, 5, 14, 21)
    assert part.mask() is None
    shapes.add(first + 500, shape_type="rectangle")
    shapes.selected_data = {2}
    with pytest.raises(ParameterError, match="No pixel of the images is inside"):
        part_in_shape(shapes, layer)


def test_a_leaning_rectangle_is_not_its_box():
    shapes = Shapes([np.array([[10, 30], [30, 50], [50, 30], [30, 10]], float)], shape_type="rectangle")
    part = part_in_shape(shapes, Image(IR))
    assert part.region == Region(10, 10, 51, 51)
    assert 0.4 < part.mask().mean() < 0.6


# -- where results lie ------------------------------------------------------------------------------------------------


@given(places(), st.sampled_from([1, 8]), st.integers(0, 50), st.integers(0, 60))
@settings(max_examples=40)
def test_a_map_of_a_region_lies_where_that_of_the_whole_image_does(place, stride, top, left):
    layer, region = Image(IR, **place), Region(top, left, top + 10, left + 20)
    data = np.zeros((60 // stride, 80 // stride))
    part = region.at_stride(stride)
    whole = Image(data, **spatial(layer, stride))
    cut = Image(data[part.slices], **spatial(layer, stride, region=region))
    for at in ((0, 0), (1.5, 2)):
        there = whole.data_to_world((at[0] + part.top, at[1] + part.left))
        np.testing.assert_allclose(cut.data_to_world(at), there, rtol=1e-9, atol=1e-6)


def test_results_of_parts_have_layers_of_their_own_and_move():
    viewer = ViewerModel()
    ir, visible = viewer.add_image(IR, scale=(2, 2)), viewer.add_image(VISIBLE, rgb=True, scale=(2, 2))
    session = nif.FusionSession(nif.PairSource.from_images(IR, VISIBLE))
    whole = add_result(viewer, session.fuse("cbf"), ir, visible, show="everything")
    part = add_result(viewer, session.fuse("cbf", region=(10, 20, 40, 60)), ir, visible, show="everything", part="view")
    assert not set(whole) & set(part)
    assert part[0].name == "fused · CBF (view)"
    assert part[1].name.startswith("CBF (view) · ")
    assert len({layer.name for layer in viewer.layers}) == len(viewer.layers)
    for layer in part:
        assert tuple(layer.translate) == (20, 40)
        assert layer.data.shape[:2] == (30, 40)
    before = [layer.data for layer in whole]
    update_result(part, session.fuse("cbf", region=(0, 0, 20, 30)), visible)
    for layer in part:
        assert tuple(layer.translate) == (0, 0)
        assert layer.data.shape[:2] == (20, 30)
    again = add_result(viewer, session.fuse("cbf", region=(30, 30, 50, 50)), ir, visible, show="fused", part="view")
    assert again == part[:1]
    assert [layer.data for layer in whole] == before


# -- the widget -------------------------------------------------------------------------------------------------------


@pytest.fixture
def viewer(monkeypatch):
    values = {"default_method": "cbf", "device": "cpu", "maps": "base and detail", "remember_settings": True}
    monkeypatch.setattr(preferences, "preference", values.__getitem__)
    model = ViewerModel()
    model.add_image(IR, name="infrared")
    model.add_image(VISIBLE, name="visible", rgb=True)
    look(model, (30, 40), 5)  # rows 20 to 40, columns 20 to 60
    return model


@pytest.fixture
def make(qtbot):
    made = []

    def make(viewer, *, remember=False):
        widget = FuseWidget(viewer, remember=remember)
        qtbot.addWidget(widget.native)
        qtbot.waitUntil(lambda: widget.ready, timeout=20_000)
        made.append(widget)
        return widget

    yield make
    for widget in made:
        widget.alignment.hold()
        widget.cancel()
    qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0, timeout=10_000)


def finish(widget, qtbot):
    timers = widget._follow_timer, widget._view_timer
    qtbot.waitUntil(lambda: not widget.running and not any(timer.isActive() for timer in timers), timeout=20_000)


def run(widget, qtbot):
    widget.run()
    assert widget.running
    finish(widget, qtbot)


def fused(viewer, part="view"):
    (layer,) = [
        layer
        for layer in viewer.layers
        if layer.metadata.get(TAG, {}).get("map") == "fused" and layer.metadata[TAG]["part"] == part
    ]
    return layer


def assert_fused(layer, region, ir=IR, visible=VISIBLE, method="cbf", **parameters):
    expected = nif.fuse(ir, visible, method, region=region, device="cpu", **parameters)
    assert tuple(layer.translate) == (region[0], region[1])
    np.testing.assert_array_equal(layer.data, expected.fused)


VIEW = (20, 20, 41, 61)


def test_the_current_view_is_fused_alone(make, viewer, qtbot):
    widget = make(viewer)
    run(widget, qtbot)
    whole = fused(viewer, "")
    before = whole.data
    widget.view.region.box.value = "view"
    finish(widget, qtbot)
    assert "press Run" in widget.message
    run(widget, qtbot)
    assert_fused(fused(viewer), VIEW)
    assert "41 × 21 pixels fused" in widget.message
    assert whole.data is before
    assert fused(viewer).name == "fused · CBF (view)"
    assert widget.recipe().region == VIEW
    assert "region=(20, 20, 41, 61)" in widget.request().as_python()


def test_the_result_follows_the_view_and_every_change(make, viewer, qtbot):
    widget = make(viewer)
    widget.view.region.box.value = "view"
    run(widget, qtbot)
    layers = list(viewer.layers)
    look(viewer, (15, 30), 10)
    finish(widget, qtbot)
    assert_fused(fused(viewer), (10, 20, 21, 41))
    widget.choose("cbf", {"window": 5})  # which no session can answer without looking at the images again
    finish(widget, qtbot)
    assert_fused(fused(viewer), (10, 20, 21, 41), window=5)
    widget.view.ir_window.value = (50.0, 200.0)
    finish(widget, qtbot)
    assert_fused(fused(viewer), (10, 20, 21, 41), window=5, ir_window=(50, 200))
    assert list(viewer.layers) == layers
    widget.choose("max")
    finish(widget, qtbot)
    assert_fused(fused(viewer), (10, 20, 21, 41), method="max", ir_window=(50, 200))
    assert fused(viewer).name == "fused · Maximum (view)"


def test_a_live_parameter_is_answered_from_what_is_kept(make, viewer, qtbot, monkeypatch):
    from napari_irvisfuse.algorithms.cbf import CBF

    widget = make(viewer)
    widget.view.region.box.value = "view"
    run(widget, qtbot)
    monkeypatch.setattr(CBF, "analyse", None)
    widget.choose("cbf", {"covariance_window": 9})
    finish(widget, qtbot)
    monkeypatch.undo()
    assert_fused(fused(viewer), VIEW, covariance_window=9)


def test_maps_of_a_part_are_computed_only_if_they_are_wanted(make, viewer, qtbot):
    widget = make(viewer)
    widget.view.region.box.value = "view"
    widget.choose("cbf", show="fused")
    run(widget, qtbot)
    assert not widget.runs.outcome.result.maps
    widget.choose("cbf", show="base and detail")
    finish(widget, qtbot)
    assert any(layer.name == "CBF (view) · IR detail" for layer in viewer.layers)
    assert_fused(fused(viewer), VIEW)


def test_a_part_that_does_not_follow_stays_and_its_parameters_live(make, viewer, qtbot):
    widget = make(viewer)
    widget.view.region.box.value = "view"
    widget.view.region.live_box.value = False
    run(widget, qtbot)
    look(viewer, (15, 30), 10)
    finish(widget, qtbot)
    assert_fused(fused(viewer), VIEW)
    widget.choose("cbf", {"covariance_window": 9})
    finish(widget, qtbot)
    assert_fused(fused(viewer), VIEW, covariance_window=9)
    widget.choose("cbf", {"window": 5})
    finish(widget, qtbot)
    assert "press Run" in widget.message
    run(widget, qtbot)
    assert_fused(fused(viewer), (10, 20, 21, 41), window=5)


def test_other_images_and_frames_are_followed(make, viewer, qtbot):
    widget = make(viewer)
    widget.view.region.box.value = "view"
    run(widget, qtbot)
    viewer.layers["infrared"].data = 255 - IR
    finish(widget, qtbot)
    assert_fused(fused(viewer), VIEW, ir=255 - IR)
    viewer.layers["infrared"].translate = (0, 3)  # resampled now
    finish(widget, qtbot)
    shifted = np.array([[1, 0, 0], [0, 1, 3], [0, 0, 1]])
    assert_fused(fused(viewer), VIEW, ir=255 - IR, ir_to_visible=shifted)


def test_the_displayed_frame_is_followed(make, viewer, qtbot):
    viewer.layers.clear()
    viewer.add_image(np.stack([IR, 255 - IR]), name="infrared")
    viewer.add_image(VISIBLE, name="visible", rgb=True)
    viewer.dims.set_current_step(0, 0)
    look(viewer, (30, 40), 5)
    widget = make(viewer)
    widget.view.region.box.value = "view"
    run(widget, qtbot)
    assert_fused(fused(viewer), VIEW)
    viewer.dims.set_current_step(0, 1)
    finish(widget, qtbot)
    assert_fused(fused(viewer), VIEW, ir=255 - IR)
    widget.view.stack.frames_box.value = "all"
    run(widget, qtbot)
    assert fused(viewer).data.shape == (2, 21, 41, 3)


def test_inside_a_shape(make, viewer, qtbot):
    widget = make(viewer)
    widget.view.region.box.value = "shape"
    assert "Draw a shape" in widget.message
    shapes = viewer.add_shapes(name="here")
    corners = np.array([[10, 20], [10, 50], [40, 50], [40, 20]], float)
    shapes.add(corners, shape_type="ellipse")
    finish(widget, qtbot)
    assert widget.view.run_bar.button.isEnabled()
    viewer.layers.selection.active = shapes
    run(widget, qtbot)
    layer = fused(viewer, "shape")
    assert viewer.layers.selection.active is shapes
    assert viewer.layers.index(layer) < viewer.layers.index(shapes)
    whole = nif.fuse(IR, VISIBLE, "cbf", device="cpu").fused[10:41, 20:51]
    inside = part_in_shape(shapes, viewer.layers["visible"]).mask()
    assert np.array_equal(layer.data[inside], whole[inside])
    assert np.array_equal(layer.data[~inside], VISIBLE[10:41, 20:51][~inside])
    shapes.data = [corners + np.array([5, 3])]
    finish(widget, qtbot)
    assert tuple(layer.translate) == (15, 23)
    shapes.add([[2, 2], [2, 30], [12, 30], [12, 2]], shape_type="rectangle")
    finish(widget, qtbot)
    assert_fused(layer, (2, 2, 13, 31))
    shapes.selected_data = {0}
    finish(widget, qtbot)
    assert tuple(layer.translate) == (15, 23)
    viewer.layers.remove(shapes)
    assert "Draw a shape" in widget.message


def test_a_view_of_nothing_is_said_and_left_alone(make, viewer, qtbot):
    widget = make(viewer)
    widget.view.region.box.value = "view"
    run(widget, qtbot)
    before = fused(viewer).data
    look(viewer, (5000, 40), 5)
    finish(widget, qtbot)
    assert "Nothing of the images is in the view" in widget.message
    assert not widget.view.run_bar.button.isEnabled()
    assert fused(viewer).data is before
    look(viewer, (30, 40), 5)
    finish(widget, qtbot)
    assert widget.view.run_bar.button.isEnabled()
    assert fused(viewer).data is before


def test_the_latest_view_wins_and_a_cancelled_one_is_not_tried_again(make, viewer, qtbot, monkeypatch):
    from napari_irvisfuse._widgets import fusion_jobs

    started, real = [], fusion_jobs.follow

    def slow(request, session, known, progress, cancelled):
        started.append(request.part.region)
        end = time.monotonic() + 30
        while request.part.region.top < 15 and time.monotonic() < end:
            if cancelled():
                raise nif.Cancelled
            time.sleep(0.005)
        return real(request, session, known, progress, cancelled)

    monkeypatch.setattr(fusion_jobs, "follow", slow)
    widget = make(viewer)
    widget.view.region.box.value = "view"
    run(widget, qtbot)
    look(viewer, (15, 30), 10)
    qtbot.waitUntil(lambda: len(started) == 1, timeout=20_000)
    look(viewer, (30, 30), 10)
    finish(widget, qtbot)
    assert started == [Region(10, 20, 21, 41), Region(25, 20, 36, 41)]
    assert_fused(fused(viewer), (25, 20, 36, 41))
    look(viewer, (15, 30), 10)
    qtbot.waitUntil(lambda: len(started) == 3, timeout=20_000)
    widget.cancel()
    finish(widget, qtbot)
    assert "press Run" in widget.message
    assert_fused(fused(viewer), (25, 20, 36, 41))
    assert len(started) == 3


def test_the_choice_is_remembered_and_reset(make, viewer, qtbot):
    widget = make(viewer, remember=True)
    widget.view.region.box.value, widget.view.region.live_box.value = "view", False
    widget._save()
    other = make(viewer, remember=True)
    assert (other.view.region.kind, other.view.region.live_box.value) == ("view", False)
    other.recipes.reset()
    assert (other.view.region.kind, other.view.region.live_box.value) == ("whole", True)
