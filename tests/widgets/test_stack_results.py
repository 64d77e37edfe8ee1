"""One film, three ways to fuse it in the widget: the same frames, in memory or on disk, whole or in part, live."""

from __future__ import annotations

import gc
import sys
import weakref
from typing import Any

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QThreadPool

import napari_irvisfuse as nif
from napari_irvisfuse._widgets import settings, stack_jobs
from napari_irvisfuse._widgets.fuse import FuseWidget
from napari_irvisfuse._widgets.layer_regions import camera_of
from napari_irvisfuse._widgets.shown_frames import ShownFrames
from napari_irvisfuse.images import scratch
from napari_irvisfuse.weights.store import cache_dir

TAG = "irvisfuse"
SIZE = (48, 60)
COUNT = 5
FRAME = 2
WAYS = ("this", "all", "shown")


def films(visible_dtype: str = "uint16") -> tuple[np.ndarray, np.ndarray]:
    """Brighter from frame to frame, so that the window of a frame is not that of the film."""
    generator, ramp = np.random.default_rng(3), np.linspace(0.3, 1, COUNT)[:, None, None]
    ir, visible = (generator.random((COUNT, *SIZE)) * ramp for _ in range(2))
    full = np.iinfo(visible_dtype).max
    return (5000 * ir).astype(np.uint16), np.round(visible * full).astype(visible_dtype)


@pytest.fixture
def open_film(qtbot, monkeypatch):
    values = {"default_method": "wls", "device": "cpu", "maps": "fused", "remember_settings": False}
    monkeypatch.setattr(settings, "preference", values.__getitem__)
    widgets = []

    def open_film(ir: Any, visible: Any) -> FuseWidget:
        viewer = ViewerModel()
        viewer.add_image(ir, name="infrared", contrast_limits=(0, 5000))
        viewer.add_image(visible, name="visible", rgb=False, contrast_limits=(0, 255))
        viewer.dims.set_point(0, FRAME)
        widget = FuseWidget(viewer)
        qtbot.addWidget(widget.native)
        qtbot.waitUntil(lambda: widget.ready, timeout=20_000)
        widgets.append(widget)
        return widget

    yield open_film
    for widget in widgets:
        widget.cancel()
    qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0, timeout=10_000)


def finish(widget: FuseWidget, qtbot: Any) -> None:
    timers = widget._follow_timer, widget._view_timer
    qtbot.waitUntil(lambda: not widget.running and not any(timer.isActive() for timer in timers), timeout=20_000)


def run(widget: FuseWidget, qtbot: Any, frames: str | None = None) -> None:
    if frames is not None:
        widget.view.stack.frames_box.value = frames
    finish(widget, qtbot)
    widget.run()
    finish(widget, qtbot)
    assert widget.view.run_bar.message.level != "error", widget.message


def layer_of(widget: FuseWidget, name: str = "fused") -> Any:
    (layer,) = (layer for layer in widget._viewer.layers if layer.metadata.get(TAG, {}).get("map") == name)
    return layer


def shown(widget: FuseWidget, name: str = "fused") -> np.ndarray:
    """Return what the viewer shows of a layer of ours."""
    return np.asarray(layer_of(widget, name)._slice.image.raw)


def go_to(widget: FuseWidget, frame: int, qtbot: Any) -> None:
    widget._viewer.dims.set_point(0, frame)
    finish(widget, qtbot)


# -- the same choice gives the same frame -----------------------------------------------------------------------------


@pytest.mark.parametrize("windows", ["shared", "frame"])
@pytest.mark.parametrize("spec", ["auto", "percentile"])
def test_a_frame_is_the_same_however_it_is_come_by(open_film, qtbot, windows, spec):
    ir, visible = films()
    widget = open_film(ir, visible)
    widget.view.stack.windows_box.value = windows
    widget.view.ir_window.value = widget.view.visible_window.value = spec
    options = {"ir_window": spec, "visible_window": spec, "windows": windows}
    expected = nif.fuse_stack(ir, visible, "wls", device="cpu", **options).fused[FRAME]
    for way in WAYS:
        run(widget, qtbot, way)
        np.testing.assert_array_equal(shown(widget), expected)
        recipe = widget.recipe()
        assert (recipe.ir_window, recipe.visible_window, recipe.windows) == (spec, spec, windows)
    other = "frame" if windows == "shared" else "shared"
    widget.view.stack.windows_box.value = other
    for way in WAYS:
        widget.view.stack.frames_box.value = way
        finish(widget, qtbot)
        assert "press Run" in widget.message
        run(widget, qtbot)
        assert not np.array_equal(shown(widget), expected)


@pytest.mark.parametrize("windows", ["shared", "frame"])
@pytest.mark.parametrize("way", ["this", "all"])
def test_the_code_for_the_console_gives_that_frame_too(open_film, qtbot, windows, way):
    widget = open_film(*films())
    widget.view.stack.windows_box.value = windows
    run(widget, qtbot, way)
    scope: dict[str, Any] = {"viewer": widget._viewer}
    exec(widget.recipes.copy_as_python(), scope)
    found = scope["result"].fused if way == "this" else scope["result"].fused[FRAME]
    np.testing.assert_array_equal(found, shown(widget))


def test_code_says_nothing_about_windows_that_are_clear(open_film, qtbot):
    widget = open_film(*films("uint8"))
    code = widget.request().as_python()
    assert "ir_window=nif.stack_window(" in code
    assert "visible_window" not in code
    widget.view.ir_window.value = (0.0, 4000.0)
    assert "stack_window" not in widget.request().as_python()


def test_all_frames_are_read_for_the_window_once(open_film, qtbot):
    ir, visible = films()
    read: list[int] = []

    def load(block, block_info=None):
        read.append(block_info[0]["chunk-location"][0])
        return block

    lazy = da.from_array(ir, chunks=(1, *SIZE)).map_blocks(load, dtype=ir.dtype, meta=ir[:0])
    widget = open_film(lazy, visible)
    read.clear()
    run(widget, qtbot, "this")
    assert set(read) == set(range(COUNT))
    read.clear()
    go_to(widget, 4, qtbot)
    read.clear()  # napari itself shows the layer
    run(widget, qtbot)
    assert set(read) == {4}
    np.testing.assert_array_equal(shown(widget), nif.fuse_stack(ir, visible, "wls", device="cpu").fused[4])
    widget._viewer.layers["infrared"].data = lazy + 1000
    read.clear()
    run(widget, qtbot)
    assert set(read) == set(range(COUNT))


def test_an_array_that_was_changed_in_place_is_read_afresh(open_film, qtbot):
    ir, visible = films()
    widget = open_film(ir, visible)
    run(widget, qtbot, "this")
    ir[0, 0, 0] = 20_000
    run(widget, qtbot)
    np.testing.assert_array_equal(shown(widget), nif.fuse_stack(ir, visible, "wls", device="cpu").fused[FRAME])


# -- larger than memory -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("windows", ["shared", "frame"])
def test_what_is_large_lies_on_the_disk_and_leaves_nothing_there(open_film, qtbot, monkeypatch, windows):
    ir, visible = films()
    monkeypatch.setattr(stack_jobs, "_IN_MEMORY", visible.nbytes - 1)
    widget = open_film(ir, visible)
    widget.view.stack.windows_box.value = windows
    widget.view.show_box.value = "base and detail"
    run(widget, qtbot, "all")
    layer = layer_of(widget)
    expected = nif.fuse_stack(ir, visible, "wls", device="cpu", windows=windows, maps=["base"])
    assert isinstance(layer.data, np.memmap)
    np.testing.assert_array_equal(layer.data, expected.fused)
    for name, item in expected.maps.items():
        np.testing.assert_array_equal(layer_of(widget, name).data, item.data)
    assert "in temporary files, which are gone when" in widget.message
    if sys.platform != "win32":
        assert not list((cache_dir() / "stacks").iterdir())  # the file has no name


def test_cancelling_gives_the_disk_back(open_film, qtbot, monkeypatch):
    monkeypatch.setattr(stack_jobs, "_IN_MEMORY", 0)
    files: list[weakref.ref[Any]] = []
    real = scratch.Scratch.__call__

    def noted(self: Any, shape: Any, dtype: Any) -> Any:
        array = real(self, shape, dtype)
        files.append(weakref.ref(array))
        return array

    monkeypatch.setattr(scratch.Scratch, "__call__", noted)
    ir, visible = films()
    widget = open_film(np.repeat(ir, 200, 0), np.repeat(visible, 200, 0))
    widget.view.stack.frames_box.value = "all"
    widget.run()
    qtbot.waitUntil(lambda: bool(files), timeout=20_000)
    assert isinstance(files[0](), np.memmap)
    widget.cancel()
    finish(widget, qtbot)
    assert "Cancelled" in widget.message
    assert len(widget._viewer.layers) == 2
    gc.collect()
    assert files[0]() is None


# -- as shown: live, with maps, in part -------------------------------------------------------------------------------


def test_a_live_parameter_changes_the_frames_that_are_shown(open_film, qtbot):
    ir, visible = films()
    widget = open_film(ir, visible)
    run(widget, qtbot, "shown")
    go_to(widget, 3, qtbot)
    before, layer = shown(widget).copy(), layer_of(widget)
    widget.view.form.control("detail_gain").value = 3.0
    finish(widget, qtbot)
    expected = nif.fuse_stack(ir, visible, "wls", device="cpu", detail_gain=3.0).fused
    assert layer_of(widget) is layer
    np.testing.assert_array_equal(shown(widget), expected[3])
    assert not np.array_equal(before, expected[3])
    assert "press Run" not in widget.message
    go_to(widget, FRAME, qtbot)  # which was kept of before
    np.testing.assert_array_equal(shown(widget), expected[FRAME])
    assert layer.metadata[TAG]["recipe"]["parameters"]["detail_gain"] == 3.0
    widget.view.form.control("iterations").value = 2  # is not answered in milliseconds
    finish(widget, qtbot)
    assert "press Run" in widget.message
    np.testing.assert_array_equal(shown(widget), expected[FRAME])
    widget.view.form.control("iterations").value = 4
    finish(widget, qtbot)
    assert "press Run" not in widget.message


def test_maps_are_fused_when_they_are_shown(open_film, qtbot):
    ir, visible = films()
    widget = open_film(ir, visible)
    widget.view.show_box.value = "base and detail"
    run(widget, qtbot, "shown")
    expected = nif.fuse_stack(ir, visible, "wls", device="cpu", maps=["base", "detail"])
    assert len(expected.maps) >= 2
    for name, item in expected.maps.items():
        layer = layer_of(widget, name)
        assert isinstance(layer.data, ShownFrames)
        assert (layer.data.shape, layer.data.dtype) == (item.data.shape, item.data.dtype)
    name = next(iter(expected.maps))
    go_to(widget, 4, qtbot)
    layer_of(widget, name).visible = True  # nobody has moved the slider since
    finish(widget, qtbot)
    np.testing.assert_array_equal(shown(widget, name), expected.maps[name].data[4])
    go_to(widget, 0, qtbot)
    np.testing.assert_array_equal(shown(widget, name), expected.maps[name].data[0])
    np.testing.assert_array_equal(shown(widget), expected.fused[0])
    widget.view.show_box.value = "everything"
    finish(widget, qtbot)
    assert "only the maps asked for were kept" in widget.message


def test_a_choice_per_pixel_is_a_layer_of_labels(open_film, qtbot):
    widget = open_film(*films())
    widget.choose("max", show="everything")
    run(widget, qtbot, "shown")
    expected = nif.fuse_stack(*films(), "max", device="cpu", maps=True).maps["chosen"].data
    layer_of(widget, "chosen").visible = True
    go_to(widget, 4, qtbot)
    np.testing.assert_array_equal(shown(widget, "chosen"), expected[4])


def test_a_second_run_does_not_keep_two_analyses(open_film, qtbot):
    widget = open_film(*films())
    run(widget, qtbot, "shown")
    first = widget.runs.outcome.fusion
    assert first.is_live("wls", {})
    widget.run()
    assert not first.is_live("wls", {})
    finish(widget, qtbot)


def test_colour_follows_too(open_film, qtbot):
    ir, visible = films("uint8")
    widget = open_film(ir, visible)
    widget._viewer.layers.remove("visible")
    colour = np.stack([visible, visible[::-1], visible], -1)
    layer = widget._viewer.add_image(colour, name="visible", rgb=True)
    widget.view.layers.choose(widget._viewer.layers["infrared"], layer)
    for way in ("this", "shown"):
        widget.view.output_box.value = "visible"
        run(widget, qtbot, way)
        widget.view.output_box.value = "luma"
        finish(widget, qtbot)
        assert not layer_of(widget).rgb
        expected = nif.fuse_stack(ir, colour, "wls", device="cpu", output="luma").fused
        np.testing.assert_array_equal(shown(widget), expected[FRAME])


def test_that_there_is_no_smoothing_is_said(open_film, qtbot):
    widget = open_film(*films())
    stack = widget.view.stack
    said = {way: [] for way in WAYS}
    for way in WAYS:
        stack.frames_box.value = way
        said[way] = [stack._not_smoothed.isHidden(), stack._smoothing.isHidden()]
    assert said == {"this": [True, True], "all": [True, False], "shown": [False, True]}
    stack.state = {"frames": "all", "smoothing": 0.8}
    stack.frames_box.value = "shown"
    run(widget, qtbot)
    assert widget.recipe().smoothing == 0


def look(widget: FuseWidget, row: float, column: float) -> None:
    widget._viewer.canvas.size = (100, 200)
    camera = camera_of(widget._viewer)
    camera.center, camera.zoom = (0, row, column), 5.0


def test_the_view_of_a_film_is_fused_frame_by_frame_and_followed(open_film, qtbot):
    ir, visible = films()
    widget = open_film(ir, visible)
    whole = nif.fuse_stack(ir, visible, "max", device="cpu").fused
    widget.choose("max")
    look(widget, 20, 30)
    widget.view.region.box.value = "view"
    run(widget, qtbot, "shown")
    layer = layer_of(widget)
    assert layer.data.shape == (COUNT, 21, 41)
    np.testing.assert_array_equal(shown(widget), whole[FRAME, 10:31, 10:51])
    look(widget, 30, 40)
    finish(widget, qtbot)
    np.testing.assert_array_equal(shown(widget), whole[FRAME, 20:41, 20:60])
    assert layer.translate.tolist() == [0, 20, 20]
    assert layer_of(widget) is layer
    go_to(widget, 4, qtbot)
    np.testing.assert_array_equal(shown(widget), whole[4, 20:41, 20:60])
    widget.choose("average")
    finish(widget, qtbot)
    average = nif.fuse_stack(ir, visible, "average", device="cpu").fused
    np.testing.assert_array_equal(shown(widget), average[4, 20:41, 20:60])


def test_the_inside_of_a_shape_is_fused_in_all_frames(open_film, qtbot):
    ir, visible = films()
    widget = open_film(ir, visible)
    widget.choose("max")
    whole = nif.fuse_stack(ir, visible, "max", device="cpu").fused
    corners = np.array([[10, 10], [10, 40], [40, 40]], float)
    shapes = widget._viewer.add_shapes([corners], shape_type="polygon")
    widget.view.region.box.value = "shape"
    for way in ("all", "shown"):
        run(widget, qtbot, way)
        part = widget.runs.outcome.request.part
        rows, columns = part.region.slices
        expected = np.where(part.mask(), whole[:, rows, columns], visible[:, rows, columns])
        assert not part.mask().all()
        np.testing.assert_array_equal(np.asarray(layer_of(widget).data), expected)
        assert layer_of(widget).translate.tolist() == [0, 10, 10]
    widget.view.stack.frames_box.value = "all"
    run(widget, qtbot)
    shapes.data = [corners + 5]
    finish(widget, qtbot)
    assert "press Run" not in widget.message  # a film stays where it was fused
    assert layer_of(widget).translate.tolist() == [0, 10, 10]
    run(widget, qtbot)
    assert layer_of(widget).translate.tolist() == [0, 15, 15]
