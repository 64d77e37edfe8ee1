"""The fuse widget against a viewer model: no window, no GL, real jobs."""

from __future__ import annotations

import ast
import gc
import json
import time
import weakref
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from napari.components import ViewerModel
from qtpy.QtCore import Qt, QThreadPool, QTimer
from qtpy.QtWidgets import QApplication, QDockWidget, QMainWindow

from napari_irvisfuse import fuse
from napari_irvisfuse import methods as methods_package_list
from napari_irvisfuse._widgets import settings
from napari_irvisfuse._widgets.fuse import FuseWidget
from napari_irvisfuse.algorithms import base
from napari_irvisfuse.errors import ParameterError, WeightsError
from napari_irvisfuse.images.pair import OUTPUTS
from napari_irvisfuse.recipe import Recipe

TAG = "irvisfuse"
SIZE = (48, 64)


@dataclass(frozen=True)
class FakeParameters(base.Parameters):
    gain: float = base.option(1.0, "Live.", bounds=(0, 4), live=True)
    depth: int = base.option(1, "Not live.", bounds=(1, 9))
    trouble: str = base.option("none", "What goes wrong.", choices=("none", "weights", "bug"))
    seconds: float = base.option(0.0, "How long the first step takes.", bounds=(0, 60))
    live_seconds: float = base.option(0.0, "How long the second takes.", bounds=(0, 60), live=True)


class Fake(base.FusionMethod[FakeParameters, Any]):
    """Counts its analyses, waits and fails as told."""

    name = "fake"
    title = "Fake"
    summary = "For tests."
    doi = "10.1000/fake"
    parameters_type = FakeParameters
    analyses: ClassVar[int] = 0
    steps: ClassVar[int] = 0
    releases: ClassVar[int] = 0

    def release(self):
        type(self).releases += 1

    def analyse(self, ir, visible, parameters, runtime):
        type(self).analyses += 1
        self.wait(parameters.seconds, runtime)
        if parameters.trouble == "weights":
            raise WeightsError("The weights are on the moon: fetch them.")
        if parameters.trouble == "bug":
            raise RuntimeError("out of luck")
        return (ir + visible) / 2 / parameters.depth

    def combine(self, state, parameters, runtime):
        self.wait(parameters.live_seconds, runtime)
        maps = {
            "mean_base": base.Map(state, "intensity", "Mean", "base"),
            "difference": base.Map(state - 0.5, "signed", "Difference", "detail"),
            "share": base.Map(torch.full_like(state, 0.5), "weight", "Share", "weight"),
        }
        return base.Fusion(state * parameters.gain, maps)

    @classmethod
    def wait(cls, seconds, runtime):
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            runtime.step(1, 4, "Waiting")
            cls.steps += 1
            time.sleep(0.01)


@pytest.fixture(autouse=True)
def _fake_method(monkeypatch):
    import napari_irvisfuse.algorithms as registry

    real = registry._registry()
    monkeypatch.setattr(registry, "_registry", lambda: {**real, "fake": Fake()})
    Fake.analyses = Fake.steps = Fake.releases = 0


@pytest.fixture(autouse=True)
def preferences(monkeypatch):
    values = {"default_method": "fake", "device": "auto", "maps": "base and detail", "remember_settings": True}
    monkeypatch.setattr(settings, "preference", values.__getitem__)
    return values


def images() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    return (
        generator.integers(0, 256, SIZE, dtype=np.uint8),
        generator.integers(0, 256, (*SIZE, 3), dtype=np.uint8),
    )


@pytest.fixture
def viewer():
    model = ViewerModel()
    ir, visible = images()
    model.add_image(ir, name="infrared")
    model.add_image(visible, name="visible", rgb=True)
    return model


@pytest.fixture
def make(qtbot):
    made = []

    def make(viewer: ViewerModel, *, ready: bool = True) -> FuseWidget:
        widget = FuseWidget(viewer)
        qtbot.addWidget(widget.native)
        if ready:
            qtbot.waitUntil(lambda: widget.ready, timeout=20_000)
        made.append(weakref.ref(widget))
        return widget

    yield make
    for reference in made:
        if (widget := reference()) is not None:
            widget.cancel()
            widget._save_timer.stop()  # would write into the next test's settings
    qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0, timeout=10_000)


@pytest.fixture
def widget(make, viewer):
    return make(viewer)


def finish(widget: FuseWidget, qtbot: Any) -> None:
    """Wait until nothing runs or is about to."""
    idle = lambda: not widget.running and not widget._follow_timer.isActive()  # noqa: E731
    qtbot.waitUntil(idle, timeout=20_000)


def run(widget: FuseWidget, qtbot: Any) -> None:
    qtbot.mouseClick(widget.view.run_bar.button, Qt.MouseButton.LeftButton)
    assert widget.running
    finish(widget, qtbot)


def results(viewer: ViewerModel) -> dict[str, Any]:
    return {layer.metadata[TAG]["map"]: layer for layer in viewer.layers if TAG in layer.metadata}


def box(widget: FuseWidget, which: int) -> Any:
    return widget.view.layers._boxes[which]


# -- layers -----------------------------------------------------------------------------------------------------------


def test_guesses_the_pair(widget, viewer):
    assert widget.view.layers.ir is viewer.layers["infrared"]
    assert widget.view.layers.visible is viewer.layers["visible"]
    assert box(widget, 0).current_choice == "infrared"


def test_boxes_follow_the_viewer_and_keep_the_choice(widget, viewer):
    extra = viewer.add_image(images()[0], name="another")
    viewer.add_points(np.zeros((3, 2)), name="points")
    for which in (0, 1):
        texts = [box(widget, which).native.itemText(i) for i in range(box(widget, which).native.count())]
        assert sorted(texts) == ["another", "choose a layer", "infrared", "visible"]
    viewer.layers["infrared"].name = "lwir"
    viewer.layers.move(0, 2)
    assert box(widget, 0).current_choice == "lwir"
    assert box(widget, 1).current_choice == "visible"
    viewer.layers.remove("lwir")
    assert widget.view.layers.ir is extra
    assert widget.view.layers.visible is viewer.layers["visible"]


def test_guesses_when_the_layers_come_later(make, qtbot):
    viewer = ViewerModel()
    widget = make(viewer)
    assert "Choose" in widget.message
    assert not widget.view.run_bar.button.isEnabled()
    ir, visible = images()
    viewer.add_image(visible, name="photo", rgb=True)
    viewer.add_image(ir, name="thermal")
    assert widget.view.layers.ir is viewer.layers["thermal"]
    assert widget.view.layers.visible is viewer.layers["photo"]
    assert widget.view.run_bar.button.isEnabled()


def test_swap(widget, viewer, qtbot):
    qtbot.mouseClick(widget.view.layers.swap_button, Qt.MouseButton.LeftButton)
    assert widget.view.layers.ir is viewer.layers["visible"]
    assert box(widget, 1).value is viewer.layers["infrared"]


def test_a_choice_by_hand_is_not_guessed_away(widget, viewer):
    box(widget, 0).value = viewer.layers["visible"]
    box(widget, 1).value = viewer.layers["infrared"]
    viewer.add_image(images()[0], name="infrared 2")
    assert widget.view.layers.ir is viewer.layers["visible"]
    assert widget.view.layers.visible is viewer.layers["infrared"]
    viewer.layers.remove("infrared")  # only what is missing is guessed, and nothing against its name
    assert widget.view.layers.ir is viewer.layers["visible"]
    assert widget.view.layers.visible is None
    assert widget.message == "Choose a visible layer."


@pytest.mark.parametrize(
    ("data", "words"),
    [(np.zeros((8, 8), np.uint8), "at least"), (np.zeros((40, 40), np.int64), "int64"), (None, "two different")],
)
def test_says_why_it_cannot_run(widget, viewer, data, words):
    if data is None:
        widget.view.layers.choose(viewer.layers["visible"], viewer.layers["visible"])
    else:
        widget.view.layers.choose(viewer.add_image(data, name="odd"), viewer.layers["visible"])
    assert words in widget.message
    assert not widget.view.run_bar.button.isEnabled()
    assert words in widget.view.run_bar.button.toolTip()
    widget.run()
    assert not widget.running
    widget.view.layers.choose(viewer.layers["infrared"], viewer.layers["visible"])
    assert widget.view.run_bar.button.isEnabled()
    assert widget.message == ""


def test_a_half_typed_window_is_no_window(widget, qtbot):
    window = widget.view.ir_window
    window.box.value = "custom"
    assert not widget.view.run_bar.button.isEnabled()
    assert "two numbers" in widget.message
    for edit, text in ((window.low, "10"), (window.high, "200")):
        edit.clear()
        qtbot.keyClicks(edit, text)
        qtbot.keyPress(edit, Qt.Key.Key_Return)
    assert window.value == (10.0, 200.0)
    assert widget.view.run_bar.button.isEnabled()


# -- running ----------------------------------------------------------------------------------------------------------


def test_nothing_is_loaded_on_the_gui_thread(make, viewer, qtbot):
    widget = make(viewer, ready=False)
    assert not widget.ready
    assert widget.message == "Loading methods…"
    assert not widget.view.run_bar.button.isEnabled()
    widget.run()  # is remembered
    qtbot.waitUntil(lambda: "fused" in results(viewer), timeout=20_000)


def test_methods_that_cannot_be_loaded_are_said_for_good(make, viewer, qtbot, monkeypatch):
    from napari_irvisfuse._widgets import fusion_jobs

    def broken(progress, cancelled):
        raise ImportError("torch is broken")

    monkeypatch.setattr(fusion_jobs, "load_catalogue", broken)
    widget = make(viewer, ready=False)
    qtbot.waitUntil(lambda: "torch is broken" in widget.message, timeout=5000)
    widget.view.show_box.value = "fused"
    assert "torch is broken" in widget.message
    assert widget.view.run_bar.message.level == "error"
    assert not widget.view.run_bar.button.isEnabled()


def test_run_adds_the_layers_asked_for(widget, viewer, qtbot):
    run(widget, qtbot)
    assert set(results(viewer)) == {"fused", "mean_base", "difference"}
    ir, visible = images()
    expected = fuse(ir, visible, "fake")
    np.testing.assert_array_equal(results(viewer)["fused"].data, expected.fused)
    assert results(viewer)["fused"].visible
    assert not results(viewer)["mean_base"].visible
    assert "64 × 48 pixels" in widget.message
    assert widget.view.run_bar.button.text() == "Run"


def test_inputs_are_untouched(widget, viewer, qtbot):
    before = [(layer.name, layer.visible, layer.data.copy(), layer.metadata.copy()) for layer in viewer.layers]
    run(widget, qtbot)
    for (name, shown, data, metadata), layer in zip(before, viewer.layers, strict=False):
        assert (layer.name, layer.visible, layer.metadata) == (name, shown, metadata)
        np.testing.assert_array_equal(layer.data, data)


@pytest.mark.parametrize(
    ("show", "expected"),
    [("fused", {"fused"}), ("everything", {"fused", "mean_base", "difference", "share"})],
)
def test_what_to_add_can_change_without_a_run(widget, viewer, qtbot, show, expected):
    run(widget, qtbot)
    widget.view.show_box.value = show
    finish(widget, qtbot)
    assert set(results(viewer)) == expected
    assert Fake.analyses == 1


def test_replace_or_add(widget, viewer, qtbot):
    run(widget, qtbot)
    run(widget, qtbot)
    assert len(viewer.layers) == 2 + 3
    widget.view.replace_box.value = "add"
    run(widget, qtbot)
    assert len(viewer.layers) == 2 + 3 + 3


@pytest.mark.parametrize(
    ("trouble", "words"), [("weights", "The weights are on the moon: fetch them."), ("bug", "out of luck")]
)
def test_an_error_is_said_inline_and_run_comes_back(widget, viewer, qtbot, trouble, words):
    widget.view.form.set_values({"trouble": trouble})
    run(widget, qtbot)
    assert words in widget.message
    assert widget.view.run_bar.message.level == "error"
    assert widget.view.run_bar.button.text() == "Run"
    assert widget.view.run_bar.button.isEnabled()
    assert not results(viewer)
    widget.view.form.set_values({"trouble": "none"})
    assert words not in widget.message
    run(widget, qtbot)
    assert "fused" in results(viewer)


def test_cancel_within_a_second(widget, viewer, qtbot):
    widget.view.form.set_values({"seconds": 30.0})
    widget.run()
    qtbot.waitUntil(lambda: Fake.steps > 0, timeout=5000)
    assert widget.view.run_bar.button.text() == "Cancel"
    qtbot.waitUntil(lambda: "Waiting" in widget.view.run_bar.doing.text(), timeout=5000)
    assert widget.view.run_bar.bar.maximum() == 4
    start = time.perf_counter()
    qtbot.mouseClick(widget.view.run_bar.button, Qt.MouseButton.LeftButton)
    finish(widget, qtbot)
    assert time.perf_counter() - start < 1
    assert "Cancelled" in widget.message
    assert widget.view.run_bar.button.text() == "Run"
    assert not results(viewer)


def test_shortcuts(widget, viewer, qtbot):
    widget.view.form.set_values({"seconds": 30.0})
    widget.native.show()
    qtbot.waitExposed(widget.native)
    widget.native.activateWindow()
    qtbot.waitUntil(widget.native.isActiveWindow, timeout=3000)
    widget.view.run_bar.button.setFocus()
    qtbot.keyClick(widget.view.run_bar.button, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert widget.running
    assert "Esc" in widget.view.run_bar.button.toolTip()
    qtbot.keyClick(widget.view.run_bar.button, Qt.Key.Key_Escape)
    finish(widget, qtbot)
    assert "Cancelled" in widget.message
    assert "Ctrl+" in widget.view.run_bar.button.toolTip()


def test_the_gui_lives_while_a_job_runs(widget, qtbot):
    ticks: list[float] = []
    timer = QTimer()
    timer.setInterval(10)
    timer.timeout.connect(lambda: ticks.append(time.perf_counter()))
    widget.view.form.set_values({"seconds": 1.0})
    timer.start()
    run(widget, qtbot)
    timer.stop()
    assert ticks[-1] - ticks[0] > 0.9
    assert max(np.diff(ticks)) < 0.5


def test_a_lazy_stack_is_read_in_the_job_and_only_its_plane(make, qtbot):
    import threading

    import dask
    import dask.array as da

    read: list[tuple[int, bool]] = []
    frames = np.stack([images()[0]] * 5)

    def load(block, block_info=None):
        # the viewer itself reads the frame it shows, on the GUI thread
        read.append((block_info[0]["chunk-location"][0], threading.current_thread() is threading.main_thread()))
        return block

    viewer = ViewerModel()
    lazy = da.from_array(frames, chunks=(1, *SIZE)).map_blocks(load, dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8))
    viewer.add_image(lazy, name="infrared", contrast_limits=(0, 255))
    viewer.add_image(frames, name="visible", rgb=False)
    viewer.dims.set_current_step(0, 3)
    widget = make(viewer)
    read.clear()
    with dask.config.set(scheduler="synchronous"):
        run(widget, qtbot)
    assert {index for index, _ in read} == {3}
    assert not any(main for _, main in read)
    assert "fused" in results(viewer)


# -- live -------------------------------------------------------------------------------------------------------------


def test_a_live_parameter_updates_in_place(widget, viewer, qtbot):
    run(widget, qtbot)
    fused = results(viewer)["fused"]
    before, names = fused.data.copy(), [layer.name for layer in viewer.layers]
    widget.view.form.control("gain").value = 0.5
    finish(widget, qtbot)
    assert Fake.analyses == 1
    assert results(viewer)["fused"] is fused
    assert [layer.name for layer in viewer.layers] == names
    assert not np.array_equal(fused.data, before)
    np.testing.assert_array_equal(fused.data, fuse(*images(), "fake", gain=0.5).fused)
    assert widget.recipe().parameters["gain"] == 0.5


def test_the_latest_of_many_changes_wins(widget, viewer, qtbot):
    run(widget, qtbot)
    for gain in np.linspace(0.1, 3.9, 30):
        widget.view.form.control("gain").value = float(gain)
        qtbot.wait(5)
    finish(widget, qtbot)
    assert Fake.analyses == 1
    gain = widget.view.form.values()["gain"]
    np.testing.assert_array_equal(results(viewer)["fused"].data, fuse(*images(), "fake", gain=gain).fused)


def test_a_slow_live_update_can_be_watched_and_cancelled(widget, viewer, qtbot):
    run(widget, qtbot)
    widget.view.form.set_values({"live_seconds": 30.0})
    qtbot.waitUntil(lambda: widget.view.run_bar.running, timeout=5000)
    qtbot.mouseClick(widget.view.run_bar.button, Qt.MouseButton.LeftButton)
    finish(widget, qtbot)
    assert "other settings" in widget.message


def test_other_parameters_make_the_result_stale(widget, viewer, qtbot):
    run(widget, qtbot)
    before = results(viewer)["fused"].data.copy()
    widget.view.form.control("depth").value = 3
    finish(widget, qtbot)
    assert "press Run" in widget.message
    assert widget.view.run_bar.message.level == "warning"
    np.testing.assert_array_equal(results(viewer)["fused"].data, before)
    widget.view.form.control("depth").value = 1  # back again: the result is good
    finish(widget, qtbot)
    assert "press Run" not in widget.message
    assert Fake.analyses == 1


def test_a_change_during_the_run_is_not_lost(widget, viewer, qtbot):
    widget.view.form.set_values({"seconds": 0.5})
    widget.run()
    qtbot.waitUntil(lambda: Fake.steps > 0, timeout=5000)
    widget.view.form.control("gain").value = 0.25
    finish(widget, qtbot)
    np.testing.assert_array_equal(results(viewer)["fused"].data, fuse(*images(), "fake", gain=0.25).fused)
    assert Fake.analyses == 2  # one run, and the comparison above


@pytest.mark.parametrize(
    "change",
    [
        lambda widget, viewer: widget.view.methods.box.__setattr__("value", "max"),
        lambda widget, viewer: widget.view.layers.swap(),
        lambda widget, viewer: setattr(widget.view.ir_window, "value", "data"),
        lambda widget, viewer: widget.view.device.choose("auto", "float64"),
    ],
    ids=["method", "layers", "window", "precision"],
)
def test_other_settings_make_the_result_stale(widget, viewer, qtbot, change):
    run(widget, qtbot)
    change(widget, viewer)
    finish(widget, qtbot)
    assert "press Run" in widget.message
    run(widget, qtbot)
    assert "press Run" not in widget.message


def test_new_data_drops_the_session(widget, viewer, qtbot):
    run(widget, qtbot)
    viewer.layers["infrared"].data = 255 - viewer.layers["infrared"].data
    finish(widget, qtbot)
    assert "images have changed" in widget.message
    before = results(viewer)["fused"].data.copy()
    widget.view.form.control("gain").value = 2.0
    finish(widget, qtbot)
    np.testing.assert_array_equal(results(viewer)["fused"].data, before)
    run(widget, qtbot)
    assert Fake.analyses == 2
    assert "images have changed" not in widget.message


@pytest.mark.parametrize("when", ["shown", "running"])
def test_removed_inputs_are_given_back(widget, viewer, qtbot, when):
    if when == "running":
        widget.choose("fake", {"seconds": 0.3})
        widget.run()
        qtbot.waitUntil(lambda: widget.view.run_bar.running)
    else:
        run(widget, qtbot)
    alive = [weakref.ref(layer) for layer in viewer.layers]
    viewer.layers.clear()
    qtbot.waitUntil(lambda: not widget.running)
    viewer.add_image(np.zeros(SIZE))  # else napari keeps the layer that was selected last

    def gone() -> bool:
        gc.collect()
        return not any(layer() for layer in alive)

    qtbot.waitUntil(gone)
    assert widget.runs.outcome is None
    assert widget.runs._session is None


def test_hiding_an_input_does_not_drop_the_session(widget, viewer, qtbot):
    run(widget, qtbot)
    viewer.layers["infrared"].visible = False
    viewer.layers["infrared"].visible = True
    viewer.layers["infrared"].contrast_limits = (0, 10)
    finish(widget, qtbot)
    assert "press Run" not in widget.message


def test_another_frame_makes_the_result_stale(make, qtbot):
    viewer = ViewerModel()
    frames = np.random.default_rng(0).integers(0, 256, (4, *SIZE), dtype=np.uint8)
    viewer.add_image(frames, name="infrared")
    viewer.add_image(frames[::-1].copy(), name="visible", rgb=False)
    viewer.dims.set_current_step(0, 1)
    widget = make(viewer)
    run(widget, qtbot)
    np.testing.assert_array_equal(results(viewer)["fused"].data, fuse(frames[1], frames[2], "fake").fused)
    viewer.dims.set_current_step(0, 2)
    finish(widget, qtbot)
    assert "press Run" in widget.message
    viewer.dims.set_current_step(0, 1)
    finish(widget, qtbot)
    assert "press Run" not in widget.message


def test_the_displayed_plane_is_fused_whatever_the_slider_counts_in(make, qtbot):
    viewer = ViewerModel()
    frames = np.random.default_rng(0).integers(0, 256, (10, 32, 32), dtype=np.uint8)
    viewer.add_image(frames, name="infrared")
    viewer.add_image(frames[::-1].copy(), name="visible", rgb=False, translate=(-1, 0, 0))
    viewer.add_image(
        np.zeros((44, 32, 32), np.uint8), name="finer", rgb=False, scale=(0.25, 1, 1), translate=(-1, 0, 0)
    )
    viewer.dims.set_point(0, 2)
    assert viewer.dims.current_step[0] != 2
    widget = make(viewer)
    widget.view.layers.choose(viewer.layers["infrared"], viewer.layers["visible"])
    run(widget, qtbot)
    np.testing.assert_array_equal(results(viewer)["fused"].data, fuse(frames[2], frames[::-1][3], "fake").fused)
    code = widget.recipes.copy_as_python()
    assert '["infrared"].data[2],' in code
    assert '["visible"].data[3],' in code


def test_layers_that_another_widget_took_over_are_left_to_it(make, viewer, qtbot):
    first, second = make(viewer), make(viewer)
    run(first, qtbot)
    second.choose("wls")
    run(second, qtbot)
    before = [(layer.name, layer.data) for layer in viewer.layers]
    first.view.form.control("gain").value = 0.5
    first.view.show_box.value = "everything"
    finish(first, qtbot)
    assert "another run" in first.message
    assert [(layer.name, layer.data) for layer in viewer.layers] == before
    assert Fake.analyses == 1
    run(first, qtbot)
    assert "another run" not in first.message
    assert results(viewer)["fused"].name == "fused · Fake"


def test_a_live_update_under_way_does_not_write_into_another_run(make, viewer, qtbot):
    first, second = make(viewer), make(viewer)
    run(first, qtbot)
    first.view.form.set_values({"live_seconds": 2.0})
    qtbot.waitUntil(lambda: first.running, timeout=5000)
    second.choose("wls")
    run(second, qtbot)
    assert first.running
    before = results(viewer)["fused"].data
    finish(first, qtbot)
    assert results(viewer)["fused"].data is before
    assert "another run" in first.message


def test_runs_keep_the_network_but_not_the_last_analysis(make, viewer, qtbot):
    widget, other = make(viewer), make(viewer)
    run(widget, qtbot)
    session = weakref.ref(widget.runs._session)
    widget.view.form.set_values({"seconds": 30.0})
    widget.run()
    qtbot.waitUntil(lambda: Fake.steps > 0, timeout=5000)
    gc.collect()
    assert session() is None  # two analyses at once may be more than fits the device
    widget.cancel()
    finish(widget, qtbot)
    assert "images have changed" not in widget.message
    run(other, qtbot)
    other.runs.forget()
    assert Fake.releases == 0


# -- recipes and settings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", OUTPUTS)
def test_every_colour_rule_can_be_chosen(widget, viewer, qtbot, rule):
    assert widget.view.output_box.choices == OUTPUTS
    widget.view.output_box.value = rule
    run(widget, qtbot)
    np.testing.assert_array_equal(fuse(*images(), **widget.recipe().arguments()).fused, results(viewer)["fused"].data)
    assert widget.recipe().output == rule


@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_a_recipe_goes_out_and_comes_back(widget, viewer, qtbot, tmp_path, suffix):
    widget.view.form.set_values({"gain": 0.7, "depth": 2})
    widget.view.visible_window.value = (10.0, 240.0)
    widget.view.output_box.value = "luma"
    run(widget, qtbot)
    path = tmp_path / f"mine.{suffix}"
    widget.recipes.save(path)
    assert path.name in widget.message
    recipe = Recipe.load(path)
    assert recipe.versions  # of the result, not only of the settings
    np.testing.assert_array_equal(fuse(*images(), **recipe.arguments()).fused, results(viewer)["fused"].data)

    widget.recipes.reset()
    widget.choose("max")
    widget.recipes.load(path)
    assert widget.view.method.name == "fake"
    assert widget.view.form.values() == dict(recipe.parameters)
    assert widget.view.visible_window.value == (10.0, 240.0)
    assert widget.view.output_box.value == "luma"


def test_a_recipe_of_other_weights_is_replayed_with_a_note(widget, viewer, qtbot, tmp_path):
    run(widget, qtbot)
    saved = replace(widget.recipe(), weights_sha256="ab" * 32).save(tmp_path / "theirs.yaml")
    widget.recipes.load(saved)
    run(widget, qtbot)
    assert "made with other weights (abababababab…" in widget.message
    widget.recipes.reset()
    run(widget, qtbot)
    assert "other weights" not in widget.message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("nonsense: [", "neither JSON nor YAML"),
        ("irvisfuse_recipe: 1\nmethod: magic\n", "no method 'magic'"),
        ("irvisfuse_recipe: 1\nmethod: fake\nparameters: {gain: 99}\n", "gain takes"),
    ],
)
def test_a_wrong_recipe_changes_nothing(widget, tmp_path, content, words):
    path = tmp_path / "wrong.yaml"
    path.write_text(content)
    before = widget.view.state()
    widget.recipes.load(path)
    assert words in widget.message
    assert widget.view.run_bar.message.level == "error"
    assert widget.view.state() == before


def test_a_recipe_that_cannot_be_written_is_said(widget, tmp_path):
    widget.recipes.save(tmp_path / "nowhere" / "recipe.yaml")
    assert widget.view.run_bar.message.level == "error"


def test_the_dialogs_are_asked(widget, tmp_path, monkeypatch):
    from napari_irvisfuse._widgets import recipe_menu

    path = tmp_path / "typed"
    monkeypatch.setattr(recipe_menu.QFileDialog, "getSaveFileName", lambda *args: (str(path), ""))
    monkeypatch.setattr(recipe_menu.QFileDialog, "getOpenFileName", lambda *args: (f"{path}.yaml", ""))
    entries = {action.text(): action for action in widget.view.run_bar.menu.actions()}
    widget.view.form.set_values({"gain": 0.3})
    entries["Save recipe…"].trigger()
    entries["Reset all settings"].trigger()
    assert widget.view.form.values()["gain"] == 1.0
    entries["Load recipe…"].trigger()
    assert widget.view.form.values()["gain"] == 0.3


def test_copied_python_gives_the_same_result(widget, viewer, qtbot):
    viewer.layers["infrared"].name = 'my "thermal" one'
    widget.view.form.set_values({"gain": 0.7, "depth": 2})
    widget.view.ir_window.value = "data"
    widget.view.device.choose("cpu", "float64")
    run(widget, qtbot)
    code = widget.recipes.copy_as_python()
    assert QApplication.clipboard().text() == code
    assert "device='cpu'" in code
    assert "clipboard" in widget.message
    ast.parse(code)
    names = {"viewer": viewer}
    exec(code, names)
    np.testing.assert_array_equal(names["result"].fused, results(viewer)["fused"].data)


def test_copied_python_names_the_frame(make, qtbot):
    viewer = ViewerModel()
    frames = np.random.default_rng(0).integers(0, 256, (4, *SIZE), dtype=np.uint8)
    viewer.add_image(frames, name="infrared")
    viewer.add_image(frames[0], name="visible", rgb=False)
    viewer.dims.set_current_step(0, 2)
    widget = make(viewer)
    assert 'ir=viewer.layers["infrared"].data[2],' in widget.recipes.copy_as_python()
    assert 'visible=viewer.layers["visible"].data,' in widget.recipes.copy_as_python()


def test_copying_without_layers_says_so(make):
    widget = make(ViewerModel())
    assert widget.recipes.copy_as_python() == ""
    assert "two layers" in widget.message


def test_settings_are_remembered(make, viewer, qtbot):
    first = make(viewer)
    first.view.form.set_values({"gain": 2.5})
    first.choose("wls", {"detail_gain": 3.0})
    first.view.show_box.value = "everything"
    first.view.ir_window.value = (1.0, 99.0)
    first.view.device.choose("cpu", "float32")
    first.view.sections["advanced"].expanded = True
    qtbot.waitUntil(lambda: settings.load("fuse").get("show") == "everything", timeout=3000)
    qtbot.waitUntil(lambda: not first._save_timer.isActive(), timeout=3000)

    second = make(ViewerModel())
    assert second.view.method.name == "wls"
    assert second.view.form.values()["detail_gain"] == 3.0
    assert second.view.show_box.value == "everything"
    assert second.view.ir_window.value == (1.0, 99.0)
    assert (second.view.device.device, second.view.device.precision) == ("cpu", "float32")
    assert second.view.sections["advanced"].expanded
    second.choose("fake")
    assert second.view.form.values()["gain"] == 2.5


def test_settings_are_not_remembered_against_the_users_will(make, viewer, preferences, qtbot):
    preferences["remember_settings"] = False
    settings.save("fuse", {"method": "wls"})
    preferences["maps"] = "everything"
    widget = make(viewer)
    assert widget.view.method.name == "fake"
    assert widget.view.show_box.value == "everything"
    widget.choose("max")
    qtbot.waitUntil(lambda: not widget._save_timer.isActive(), timeout=3000)
    assert settings.load("fuse") == {"method": "wls"}


def test_a_demonstration_leaves_the_settings_alone(viewer, qtbot):
    settings.save("fuse", {"method": "wls"})
    widget = FuseWidget(viewer, remember=False)
    qtbot.addWidget(widget.native)
    qtbot.waitUntil(lambda: widget.ready, timeout=20_000)
    assert widget.view.method.name == "fake"
    widget.choose("max")
    qtbot.waitUntil(lambda: not widget._save_timer.isActive(), timeout=3000)
    assert settings.load("fuse") == {"method": "wls"}


@pytest.mark.parametrize(
    "damaged",
    [
        {"method": "gone", "device": "tpu", "show": 3, "parameters": [], "open": None, "ir_window": "odd"},
        {"method": "fake", "parameters": {"fake": {"gain": "much", "old": 1}}, "weights": 7, "precision": None},
    ],
)
def test_damaged_settings_do_no_harm(make, viewer, damaged, qtbot):
    settings.save("fuse", damaged)
    widget = make(viewer)
    assert widget.view.form.values() is not None
    json.dumps(widget.view.state())
    run(widget, qtbot)
    assert "fused" in results(viewer)


def test_every_method_can_be_chosen(widget):
    for name in methods_package_list():
        widget.choose(name)
        assert widget.view.method.name == name
        assert widget.view.methods.summary.text()
        assert widget.view.sections["weights"].isHidden() is not widget.view.method.accepts_weights
    with pytest.raises(ParameterError, match="no method"):
        widget.choose("magic")


def test_says_what_auto_means_and_where_the_weights_are(widget, qtbot, tmp_path):
    qtbot.waitUntil(lambda: "thread" in widget.view.device.explanation, timeout=10_000)
    assert "doi.org/10.1000/fake" in widget.view.methods.reference.text()
    widget.choose("resnet152")
    qtbot.waitUntil(lambda: "MB will be downloaded" in widget.view.weights.state, timeout=20_000)
    widget.view.weights.path = str(tmp_path / "none.pth")
    qtbot.waitUntil(lambda: "There is no weights file" in widget.view.weights.state, timeout=10_000)
    (tmp_path / "none.pth").write_bytes(b"")
    widget.view.weights.path = None
    widget.view.weights.path = str(tmp_path / "none.pth")
    qtbot.waitUntil(lambda: "own file" in widget.view.weights.state, timeout=10_000)


# -- shape ------------------------------------------------------------------------------------------------------------


def test_fits_a_small_screen(widget, qtbot):
    from qtpy.QtWidgets import QScrollArea

    widget.choose("resnet152")
    for section in widget.view.sections.values():
        section.expanded = True
    assert widget.native.minimumSizeHint().height() <= 400
    widget.native.resize(320, 500)
    widget.native.show()
    qtbot.waitExposed(widget.native)
    scroll = widget.native.findChild(QScrollArea)
    qtbot.waitUntil(lambda: scroll.viewport().width() > 0)
    assert widget.native.width() == 320
    assert scroll.widget().width() <= scroll.viewport().width()
    assert widget.view.run_bar.button.isVisible()


# -- the end ----------------------------------------------------------------------------------------------------------


def no_thread() -> bool:
    return QThreadPool.globalInstance().activeThreadCount() == 0


def test_a_closed_dock_stops_the_job_and_lets_go_of_the_viewer(widget, viewer, qtbot):
    window = QMainWindow()
    qtbot.addWidget(window)
    dock = QDockWidget(window)
    dock.setWidget(widget.native)
    window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, dock)
    widget.view.form.set_values({"seconds": 30.0})
    widget.run()
    qtbot.waitUntil(lambda: Fake.steps > 0, timeout=5000)
    widget.native.setParent(None)  # all that napari does on the "x"
    qtbot.waitUntil(no_thread, timeout=1000)
    qtbot.waitUntil(lambda: not widget.running, timeout=1000)
    chosen = widget.view.layers.ir
    viewer.layers.remove("infrared")
    assert widget.view.layers.ir is chosen  # it does not listen any more

    dock.setWidget(widget.native)  # docked again
    assert widget.view.layers.ir is not chosen
    assert settings.load("fuse")["parameters"]["fake"]["seconds"] == 30.0
    widget.native.setParent(None)


def test_destroying_it_leaves_no_thread_and_no_listener(make, viewer, qtbot):
    def destroyed_while_running() -> weakref.ref[FuseWidget]:
        widget = make(viewer)
        widget.view.form.set_values({"seconds": 30.0})
        widget.run()
        qtbot.waitUntil(lambda: Fake.steps > 0, timeout=5000)
        with qtbot.waitSignal(widget.native.destroyed):
            widget.native.deleteLater()
        return weakref.ref(widget)

    gone = destroyed_while_running()
    qtbot.waitUntil(no_thread, timeout=1000)
    viewer.add_image(images()[0], name="later")  # must not reach a deleted widget
    viewer.dims.ndisplay = 2
    gc.collect()
    assert gone() is None


def test_a_widget_nobody_holds_is_collected(make, viewer, qtbot):
    def used() -> weakref.ref[FuseWidget]:
        widget = make(viewer)
        run(widget, qtbot)
        widget.native.deleteLater()
        return weakref.ref(widget)

    gone = used()
    qtbot.wait(50)
    gc.collect()
    assert gone() is None


def test_what_belongs_to_no_place_is_plotted(widget, viewer, qtbot, monkeypatch):
    section = widget.view.sections["channels"]
    assert section.isHidden()
    gates = {
        f"{name}_gates_1": base.Map(torch.rand(1, 6), "weight", f"{name} gates", "feature")
        for name in ("ir", "visible")
    }
    monkeypatch.setattr(Fake, "combine", lambda self, state, parameters, runtime: base.Fusion(state, gates))
    run(widget, qtbot)
    assert not section.isHidden()
    assert widget.view._plot.shown.title == "Gates"
    assert len(widget.view._plot.shown.ir) == 6
    monkeypatch.undo()
    widget.choose("average")
    run(widget, qtbot)
    assert section.isHidden()
