"""The fuse widget with stacks: all frames in one job, or each when it is shown; and where the stack lies."""

from __future__ import annotations

import threading
import time
import weakref
from typing import Any, ClassVar

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QThreadPool

import napari_irvisfuse as nif
from napari_irvisfuse._widgets import settings
from napari_irvisfuse._widgets.fuse import FuseWidget
from napari_irvisfuse._widgets.layer_stacks import problem_with_stacks
from napari_irvisfuse._widgets.shown_frames import ShownFrames
from napari_irvisfuse.algorithms import base
from napari_irvisfuse.stacks import FusionStack, LazyFusion, StackOptions

TAG = "irvisfuse"
SIZE = (24, 32)
COUNT = 5


class Slow(base.FusionMethod[base.Parameters, Any]):
    """Takes its time, and notes in which thread it is."""

    name, title, summary = "slow", "Slow", "For tests."
    seconds: ClassVar[float] = 0.0
    threads: ClassVar[list[threading.Thread]] = []

    def analyse(self, ir, visible, parameters, runtime):
        type(self).threads.append(threading.current_thread())
        end = time.perf_counter() + self.seconds
        while time.perf_counter() < end:
            runtime.step(0, 1, "Waiting")
            time.sleep(0.01)
        return ir, visible

    def combine(self, state, parameters, runtime):
        ir, visible = state
        return base.Fusion((ir + 2 * visible) / 3, {"ir": base.Map(ir, "intensity", "IR", "base")})


@pytest.fixture(autouse=True)
def _method(monkeypatch):
    import napari_irvisfuse.algorithms as registry

    real = registry._registry()
    monkeypatch.setattr(registry, "_registry", lambda: {**real, "slow": Slow()})
    values = {"default_method": "slow", "device": "cpu", "maps": "fused", "remember_settings": False}
    monkeypatch.setattr(settings, "preference", values.__getitem__)
    Slow.seconds, Slow.threads = 0.0, []


def films(count: int = COUNT) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    ir = generator.integers(0, 5000, (count, *SIZE)).astype(np.uint16)
    return ir + np.arange(count, dtype=np.uint16)[:, None, None] * 500, generator.integers(
        0, 256, (count, *SIZE, 3), dtype=np.uint8
    )


def expected(method: str = "slow", **options: Any) -> np.ndarray:
    return nif.fuse_stack(*films(), method, device="cpu", **options).fused


PLACE = {"scale": (4, 0.5, 0.5), "translate": (8, 3, 1), "units": ("s", "mm", "mm"), "axis_labels": ("t", "y", "x")}


@pytest.fixture
def viewer():
    model = ViewerModel()
    ir, visible = films()
    model.add_image(ir, name="infrared", **PLACE)
    model.add_image(visible, name="visible", rgb=True, **PLACE)
    model.dims.set_point(0, 8 + 4 * 2)  # frame 2
    return model


@pytest.fixture
def make(qtbot):
    made = []

    def make(viewer: ViewerModel) -> FuseWidget:
        widget = FuseWidget(viewer)
        qtbot.addWidget(widget.native)
        qtbot.waitUntil(lambda: widget.ready, timeout=20_000)
        made.append(weakref.ref(widget))
        return widget

    yield make
    for reference in made:
        if (widget := reference()) is not None:
            widget.cancel()
    qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0, timeout=10_000)


@pytest.fixture
def widget(make, viewer):
    return make(viewer)


def finish(widget: FuseWidget, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: not widget.running and not widget._follow_timer.isActive(), timeout=20_000)


def run(widget: FuseWidget, qtbot: Any, frames: str) -> None:
    widget.view.stack.frames_box.value = frames
    finish(widget, qtbot)
    widget.run()
    assert widget.running
    finish(widget, qtbot)
    assert widget.view.run_bar.message.level != "error", widget.message


def fused(viewer: ViewerModel) -> Any:
    return next(layer for layer in viewer.layers if layer.metadata.get(TAG, {}).get("map") == "fused")


def displayed(viewer: ViewerModel) -> np.ndarray:
    """Return what the viewer shows of the fused layer."""
    layer = fused(viewer)
    index = layer.world_to_data(viewer.dims.point)
    assert tuple(layer._slice_input.not_displayed) == (0,)
    assert layer._slice.slice_input.data_slice(layer._data_to_world.inverse).point[0] == index[0]
    return layer._slice.image.raw


def go_to(viewer: ViewerModel, widget: FuseWidget, frame: int, qtbot: Any) -> None:
    viewer.dims.set_point(0, 8 + 4 * frame)
    finish(widget, qtbot)


# -- the choice -------------------------------------------------------------------------------------------------------


def test_the_choice_is_there_for_stacks_only(make):
    viewer = ViewerModel()
    ir, visible = films()
    viewer.add_image(ir[0], name="infrared")
    viewer.add_image(visible[0], name="visible", rgb=True)
    widget = make(viewer)
    assert widget.view.stack.native.isHidden()
    widget.view.stack.frames_box.value = "all"
    assert widget.request().frames == "this"
    viewer.add_image(ir, name="infrared film")
    widget.view.layers.choose(viewer.layers["infrared film"], viewer.layers["visible"])
    assert not widget.view.stack.native.isHidden()
    assert widget.request().frames == "all"


def test_the_choice_is_remembered_and_reset(widget):
    stack = widget.view.stack
    stack.frames_box.value, stack.smoothing_box.value, stack.windows_box.value = "all", 0.7, "frame"
    state = widget.view.state()
    stack.reset()
    assert (stack.frames, stack.choices()) == ("this", {"smoothing": 0.0, "windows": "shared"})
    widget.view.restore(state)
    assert (stack.frames, stack.choices()) == ("all", {"smoothing": 0.7, "windows": "frame"})
    widget.view.restore({"stack": {"frames": "some", "smoothing": "much", "windows": 3}})
    assert (stack.frames, stack.choices()) == ("all", {"smoothing": 0.7, "windows": "frame"})


def test_recipes_carry_smoothing_and_windows(widget, tmp_path):
    stack = widget.view.stack
    stack.frames_box.value, stack.smoothing_box.value, stack.windows_box.value = "all", 0.7, "frame"
    widget.recipes.save(tmp_path / "r.yaml")
    stack.smoothing_box.value, stack.windows_box.value = 0.0, "shared"
    widget.recipes.load(tmp_path / "r.yaml")
    assert stack.choices() == {"smoothing": 0.7, "windows": "frame"}


# -- all frames -------------------------------------------------------------------------------------------------------


def test_all_frames_are_fused_where_the_stack_lies(widget, viewer, qtbot):
    run(widget, qtbot, "all")
    layer = fused(viewer)
    np.testing.assert_array_equal(layer.data, expected())
    assert layer.rgb
    assert layer.scale.tolist() == [4, 0.5, 0.5]
    assert layer.translate.tolist() == [8, 3, 1]
    assert layer.axis_labels == ("t", "y", "x")
    assert layer.units == viewer.layers["visible"].units
    assert viewer.dims.point[0] == 8 + 4 * 2
    assert f"{COUNT} frames of 32 × 24 pixels" in widget.message
    assert all(thread is not threading.main_thread() for thread in Slow.threads[:COUNT])


def test_smoothing_and_windows_are_obeyed(widget, viewer, qtbot):
    widget.choose("wls")
    widget.view.stack.state = {"frames": "all", "smoothing": 0.5, "windows": "frame"}
    run(widget, qtbot, "all")
    np.testing.assert_array_equal(fused(viewer).data, expected("wls", smoothing=0.5, windows="frame"))
    assert fused(viewer).metadata[TAG]["recipe"]["smoothing"] == 0.5


def test_maps_are_stacks_too(widget, viewer, qtbot):
    widget.view.show_box.value = "base and detail"
    run(widget, qtbot, "all")
    layer = next(layer for layer in viewer.layers if layer.metadata.get(TAG, {}).get("map") == "ir")
    assert layer.data.shape == (COUNT, *SIZE)
    assert layer.scale.tolist() == [4, 0.5, 0.5]
    assert not layer.rgb
    widget.view.show_box.value = "fused"
    finish(widget, qtbot)
    assert layer not in viewer.layers
    widget.view.show_box.value = "everything"  # of a stack not all maps are kept
    finish(widget, qtbot)
    assert "only the maps asked for were kept" in widget.message


def test_one_visible_image_serves_an_infrared_film_of_two_axes(make, qtbot):
    ir, visible = films()
    viewer = ViewerModel()
    film = viewer.add_image(
        np.stack([ir, ir[::-1]]), name="infrared", scale=(7, 4, 2, 2), translate=(1, 2, 3, 4), rotate=[0, 0, 0]
    )
    viewer.add_image(visible[0], name="visible", rgb=True, scale=(2, 2), translate=(3, 4))
    widget = make(viewer)
    run(widget, qtbot, "all")
    layer = fused(viewer)
    assert layer.data.shape == (2, COUNT, *SIZE, 3)
    for point in ((0, 0, 0, 0), (1, 3, 5, 7)):
        np.testing.assert_allclose(layer.data_to_world(point), film.data_to_world(point))


def test_rotated_and_sheared_planes_keep_their_place(make, qtbot):
    ir, visible = films()
    affine = np.eye(4)
    affine[1:3, 1:3] = [[0.9, 0.2], [-0.1, 1.1]]
    affine[:3, 3] = 5, 6, 7
    affine[0, 0] = 2
    turned = [[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]]
    place = {"rotate": turned, "shear": (0, 0, 0.3), "scale": (3, 2, 1), "affine": affine}
    viewer = ViewerModel()
    viewer.add_image(ir, name="infrared", **place)
    layer = viewer.add_image(visible, name="visible", rgb=True, **place)
    assert problem_with_stacks(viewer.layers["infrared"], layer) is None
    widget = make(viewer)
    run(widget, qtbot, "all")
    for point in ((0, 0, 0), (3, 5, 7)):
        np.testing.assert_allclose(fused(viewer).data_to_world(point), layer.data_to_world(point))


def test_a_run_on_one_frame_gives_way_to_one_on_all(widget, viewer, qtbot):
    run(widget, qtbot, "this")
    assert fused(viewer).ndim == 2
    run(widget, qtbot, "all")
    assert fused(viewer).ndim == 3
    run(widget, qtbot, "this")
    assert fused(viewer).ndim == 2
    assert len(viewer.layers) == 3


def test_the_slider_makes_no_stack_stale_but_a_setting_does(widget, viewer, qtbot):
    run(widget, qtbot, "all")
    go_to(viewer, widget, 4, qtbot)
    assert "press Run" not in widget.message
    widget.view.stack.smoothing_box.value = 0.5
    finish(widget, qtbot)
    assert "press Run" in widget.message


def test_cancel_takes_effect_within_a_second_and_changes_nothing(widget, viewer, qtbot):
    Slow.seconds = 0.4
    widget.view.stack.frames_box.value = "all"
    widget.run()
    qtbot.waitUntil(lambda: len(Slow.threads) >= 2, timeout=10_000)
    start = time.perf_counter()
    widget.cancel()
    finish(widget, qtbot)
    assert time.perf_counter() - start < 1
    assert "Cancelled" in widget.message
    assert len(viewer.layers) == 2


def test_frames_that_do_not_belong_together_are_said(make, qtbot):
    ir, visible = films()
    viewer = ViewerModel()
    viewer.add_image(ir, name="infrared")
    viewer.add_image(visible[:3], name="visible", rgb=True)
    widget = make(viewer)
    assert widget.message == ""
    widget.view.stack.frames_box.value = "all"
    assert "infrared stack has 5 frames and the visible stack 3 frames" in widget.message
    assert not widget.view.run_bar.button.isEnabled()
    viewer.layers.remove("visible")
    viewer.add_image(visible, name="visible", rgb=True, translate=(2, 0, 0))
    widget.view.layers.choose(viewer.layers["infrared"], viewer.layers["visible"])
    assert "different places along axis" in widget.message


def test_the_code_for_the_console_fuses_the_whole_stack(widget, viewer, qtbot):
    widget.view.stack.state = {"frames": "all", "smoothing": 0.5}
    code = widget.recipes.copy_as_python()
    scope: dict[str, Any] = {"viewer": viewer}
    exec(code, scope)
    np.testing.assert_array_equal(scope["result"].fused, expected(smoothing=0.5))


# -- as shown ---------------------------------------------------------------------------------------------------------


def test_frames_are_fused_when_the_slider_gets_there(widget, viewer, qtbot):
    run(widget, qtbot, "shown")
    whole = expected()
    Slow.threads.clear()
    layer = fused(viewer)
    assert isinstance(layer.data, ShownFrames)
    assert layer.scale.tolist() == [4, 0.5, 0.5]
    np.testing.assert_array_equal(displayed(viewer), whole[2])
    assert not Slow.threads  # the first frame was there
    for frame in (3, 0, 3, 2):
        go_to(viewer, widget, frame, qtbot)
        np.testing.assert_array_equal(displayed(viewer), whole[frame])
    assert len(Slow.threads) == 2  # 3 and 0; the others were kept
    assert all(thread is not threading.main_thread() for thread in Slow.threads)
    assert "press Run" not in widget.message


def test_the_window_lives_while_a_frame_is_fused(widget, viewer, qtbot):
    run(widget, qtbot, "shown")
    Slow.seconds = 0.8
    before = displayed(viewer).copy()
    start = time.perf_counter()
    viewer.dims.set_point(0, 8)
    assert time.perf_counter() - start < 0.4
    np.testing.assert_array_equal(displayed(viewer), before)  # the frame seen last, as napari does while it loads
    qtbot.waitUntil(lambda: widget.view.run_bar.running, timeout=5000)
    finish(widget, qtbot)
    np.testing.assert_array_equal(displayed(viewer), expected()[0])


def test_the_latest_frame_wins_and_cancel_ends_it(widget, viewer, qtbot):
    run(widget, qtbot, "shown")
    whole = expected()
    Slow.seconds, Slow.threads = 0.3, []
    for frame in (0, 1, 3, 4):
        viewer.dims.set_point(0, 8 + 4 * frame)
        qtbot.wait(80)
    finish(widget, qtbot)
    np.testing.assert_array_equal(displayed(viewer), whole[4])
    assert fused(viewer).data.fusion.kept((1,)) is None
    Slow.seconds = 5
    viewer.dims.set_point(0, 8)
    qtbot.waitUntil(lambda: widget.running, timeout=5000)
    qtbot.wait(100)
    widget.cancel()
    start = time.perf_counter()
    finish(widget, qtbot)
    assert time.perf_counter() - start < 1
    Slow.seconds = 0
    qtbot.wait(200)
    assert not widget.running  # it is not tried again by itself
    go_to(viewer, widget, 3, qtbot)
    go_to(viewer, widget, 0, qtbot)
    np.testing.assert_array_equal(displayed(viewer), whole[0])


def test_dask_layers_stay_dask(make, qtbot):
    ir, visible = films()
    read: list[int] = []

    def load(block, block_info=None):
        read.append(block_info[0]["chunk-location"][0])
        return block

    lazy = da.from_array(visible, chunks=(1, *SIZE, 3)).map_blocks(load, dtype=np.uint8, meta=visible[:0])
    viewer = ViewerModel()
    viewer.add_image(ir.astype(np.float32) / 8000, name="infrared", contrast_limits=(0, 1))
    viewer.add_image(lazy, name="visible", rgb=True)
    viewer.dims.set_point(0, 2)
    widget = make(viewer)
    read.clear()
    run(widget, qtbot, "shown")
    assert set(read) == {2}
    go_to(viewer, widget, 4, qtbot)
    assert set(read) == {2, 4}
    assert isinstance(viewer.layers["visible"].data, da.Array)


def test_two_lazy_results_live_side_by_side(widget, viewer, qtbot):
    run(widget, qtbot, "shown")
    widget.view.replace_box.value = "add"
    widget.choose("average")
    run(widget, qtbot, "shown")
    go_to(viewer, widget, 4, qtbot)
    shown = [layer for layer in viewer.layers if isinstance(layer.data, ShownFrames)]
    assert len(shown) == 2
    found = {layer.metadata[TAG]["recipe"]["method"]: layer._slice.image.raw for layer in shown}
    np.testing.assert_array_equal(found["slow"], expected()[4])
    np.testing.assert_array_equal(found["average"], expected("average")[4])


def test_without_the_widget_the_numbers_are_still_true(widget, viewer, qtbot):
    run(widget, qtbot, "shown")
    widget._on_destroyed()
    go_to(viewer, widget, 4, qtbot)
    np.testing.assert_array_equal(displayed(viewer), expected()[4])


def shown_frames() -> tuple[ShownFrames, np.ndarray]:
    fusion = LazyFusion(FusionStack(*films(), StackOptions("slow", device="cpu")))
    return ShownFrames(fusion, (1,)), expected()


def test_a_job_gets_every_frame_it_asks_for():
    shown, whole = shown_frames()
    found: list[np.ndarray] = []
    thread = threading.Thread(target=lambda: found.append(shown[3]))
    thread.start()
    thread.join()
    np.testing.assert_array_equal(found[0], whole[3])
    np.testing.assert_array_equal(np.asarray(shown), whole)


@pytest.mark.parametrize(
    "key",
    [2, -1, slice(None), (slice(1, 4, 2),), (3, slice(2, 9)), (slice(None), 4), (Ellipsis, 0), (0, Ellipsis),
     (1, 2, 3, 0), (slice(0, 0),)],
)  # fmt: skip
def test_it_is_indexed_like_the_whole(key):
    shown, whole = shown_frames()
    shown.attended = False
    np.testing.assert_array_equal(shown[key], whole[key])
