"""The metrics widget against a viewer model: no window, no GL, real jobs, fast metrics."""

from __future__ import annotations

import gc
import json
import math
import time
import weakref
from typing import Any

import dask.array as da
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from napari.components import ViewerModel
from napari.utils.theme import get_theme
from qtpy.QtCore import Qt, QThreadPool
from qtpy.QtWidgets import QApplication, QDockWidget, QMainWindow, QScrollArea

import napari_irvisfuse as nif
from napari_irvisfuse import metrics
from napari_irvisfuse._widgets import metrics_jobs, settings
from napari_irvisfuse._widgets.layer_geometry import matrix_between
from napari_irvisfuse._widgets.layers import TAG, add_maps, add_result, results_of
from napari_irvisfuse._widgets.metrics import MetricsWidget
from napari_irvisfuse._widgets.metrics_jobs import problem_with_subject
from napari_irvisfuse.maps import Map
from napari_irvisfuse.metrics.base import Metric, MetricInfo

SIZE = (48, 64)
REAL = metrics._registry()
PLACE = {"scale": (0.5, 0.25), "translate": (3.0, -7.0), "rotate": 15.0, "units": ("mm", "mm")}


class Fake:
    """What the fake metrics do besides measuring."""

    calls = 0
    seconds = 0.0
    trouble = ""


def info(name: str, higher: bool = True, bounds: tuple[float, float] = (0, 1)) -> MetricInfo:
    return MetricInfo(name, f"The {name}", f"Measures {name}.", higher, bounds, "Somebody, 2004", "10.1000/fake")


def light(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    Fake.calls += 1
    time.sleep(Fake.seconds)
    if Fake.trouble:
        raise RuntimeError(Fake.trouble)
    return fused.mean()


def gap(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    return (fused - ir).abs().mean() + (fused - visible).abs().mean()


def gap_maps(fused: torch.Tensor, ir: torch.Tensor, visible: torch.Tensor) -> dict[str, Map[torch.Tensor]]:
    return {
        "gap_ir": Map((fused - ir).abs(), "weight", "Far from IR", "quality"),
        "gap_visible": Map((fused - visible)[::4, ::4], "signed", "Off the visible", "quality", 4),
    }


FAKES = {
    "standard": {
        "light": Metric(info("light"), light),
        "gap": Metric(info("gap", False), gap, gap_maps),
        "contrast": Metric(info("contrast", True, (0, math.inf)), lambda f, a, b: f.std() * 255),
    },
    "other": {
        "light": Metric(info("light"), light),
        "none": Metric(info("none", False), lambda f, a, b: f.mean() * math.nan),
    },
}


@pytest.fixture(autouse=True)
def _fake_metrics(monkeypatch):
    monkeypatch.setattr(metrics, "_registry", lambda: FAKES)
    monkeypatch.setattr(Fake, "calls", 0)
    monkeypatch.setattr(Fake, "seconds", 0.0)
    monkeypatch.setattr(Fake, "trouble", "")


@pytest.fixture(autouse=True)
def preferences(monkeypatch):
    values = {"default_method": "max", "device": "cpu", "maps": "fused", "remember_settings": True}
    monkeypatch.setattr(settings, "preference", values.__getitem__)
    return values


def images(seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return (
        generator.integers(0, 256, SIZE, dtype=np.uint8),
        generator.integers(0, 256, (*SIZE, 3), dtype=np.uint8),
    )


def fused_of(viewer: ViewerModel, method: str) -> Any:
    ir, visible = viewer.layers["infrared"], viewer.layers["visible"]
    return add_result(viewer, nif.fuse(ir.data, visible.data, method), ir, visible, replace=False)[0]


@pytest.fixture
def viewer():
    model = ViewerModel()
    ir, visible = images()
    model.add_image(ir, name="infrared", **PLACE)
    model.add_image(visible, name="visible", rgb=True, **PLACE)
    fused_of(model, "average")
    return model


@pytest.fixture
def stacks():
    """A viewer with a fused stack of the user's own."""
    model = ViewerModel()
    frames = np.random.default_rng(4).integers(0, 256, (2, 6, *SIZE), dtype=np.uint8)
    model.add_image(frames[0], name="infrared")
    model.add_image(frames[1], name="visible", rgb=False)
    model.add_image(frames.max(axis=0), name="my fusion", rgb=False)
    model.dims.set_current_step(0, 2)
    return model


@pytest.fixture
def make(qtbot):
    made = []

    def make(viewer: ViewerModel, *, ready: bool = True) -> MetricsWidget:
        widget = MetricsWidget(viewer)
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
    qtbot.waitUntil(no_thread, timeout=10_000)


@pytest.fixture
def widget(make, viewer):
    return make(viewer)


def no_thread() -> bool:
    return QThreadPool.globalInstance().activeThreadCount() == 0


def run(widget: MetricsWidget, qtbot: Any) -> None:
    qtbot.mouseClick(widget.view.run_bar.button, Qt.MouseButton.LeftButton)
    assert widget.running
    qtbot.waitUntil(lambda: not widget.running, timeout=20_000)


def add_quality_maps(widget: MetricsWidget, qtbot: Any) -> list[Any]:
    before = list(widget._viewer.layers)
    qtbot.mouseClick(widget.view.maps_button, Qt.MouseButton.LeftButton)
    assert widget.running
    qtbot.waitUntil(lambda: not widget.running, timeout=20_000)
    return [layer for layer in widget._viewer.layers if layer not in before]


def corners(layer: Any) -> np.ndarray:
    height, width = layer.data.shape[:2]
    return np.array([layer.data_to_world((y, x)) for y in (-0.5, height - 0.5) for x in (-0.5, width - 0.5)])


def values(widget: MetricsWidget) -> dict[str, dict[str, float]]:
    """Return what the table holds, read through its model."""
    model, found = widget.view.table.values, {}
    for row in range(model.rowCount()):
        for column in range(model.columnCount()):
            result, metric = model.place(row, column)
            tip = model.data(model.index(row, column), Qt.ItemDataRole.ToolTipRole)
            name = model.report.results[result]
            found.setdefault(name, {})[model.report.metrics[metric].name] = float(tip.rpartition(" = ")[2])
    return found


def bold(widget: MetricsWidget) -> set[tuple[str, str]]:
    model = widget.view.table.values
    cells = [model.index(row, column) for row in range(model.rowCount()) for column in range(model.columnCount())]
    marked = [cell for cell in cells if model.data(cell, Qt.ItemDataRole.FontRole) is not None]
    places = [model.place(cell.row(), cell.column()) for cell in marked]
    return {(model.report.results[result], model.report.metrics[metric].name) for result, metric in places}


# -- layers -----------------------------------------------------------------------------------------------------------


def test_our_result_knows_its_pair(widget, viewer):
    assert widget.view.subjects.fused is viewer.layers["fused · Average"]
    assert widget.view.subjects.sources.ir is viewer.layers["infrared"]
    assert widget.view.subjects.sources.visible is viewer.layers["visible"]
    assert widget.view.run_bar.button.isEnabled()


def test_choosing_another_result_brings_its_sources(widget, viewer):
    ir, visible = (viewer.add_image(image, name=f"scene {i}", **PLACE) for i, image in enumerate(images(9)))
    (other,) = add_result(viewer, nif.fuse(ir.data, visible.data, "max"), ir, visible, replace=False)
    viewer.layers.move(viewer.layers.index(other), 0)
    widget.view.subjects.fused_box.value = viewer.layers["fused · Average"]
    assert widget.view.subjects.sources.ir is viewer.layers["infrared"]
    widget.view.subjects.fused_box.value = other
    assert widget.view.subjects.sources.ir is ir
    assert widget.view.subjects.sources.visible is visible


def test_follows_the_viewer(make):
    viewer = ViewerModel()
    widget = make(viewer)
    assert widget.message == "Choose a fused layer."
    assert not widget.view.run_bar.button.isEnabled()
    ir, visible = images()
    viewer.add_image(ir, name="infrared")
    viewer.add_image(visible, name="visible", rgb=True)
    assert widget.message == "Choose a fused layer."
    first = fused_of(viewer, "average")
    assert widget.view.subjects.fused is first
    assert widget.view.run_bar.button.isEnabled()
    second = fused_of(viewer, "max")
    assert widget.view.subjects.fused is second  # the latest, until the user has a say
    widget.view.subjects.fused_box.value = first
    fused_of(viewer, "wls")
    assert widget.view.subjects.fused is first
    first.name = "mine"
    assert widget.view.subjects.fused_box.current_choice == "mine"
    viewer.layers.remove(first)
    assert widget.view.subjects.fused is not first


def test_a_fused_layer_of_others_is_known_by_its_name(make, stacks):
    widget = make(stacks)
    assert widget.view.subjects.fused is stacks.layers["my fusion"]
    assert widget.view.subjects.sources.ir is stacks.layers["infrared"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (np.zeros(SIZE, np.uint8), "the same units"),
        (np.zeros(SIZE, np.int64), "int64"),
        (np.zeros((8, 8), np.uint8), "16×16"),
    ],
    ids=["units", "type", "size"],
)
def test_says_why_it_cannot_measure(widget, viewer, data, words):
    odd = viewer.add_image(data, name="odd")
    widget.view.subjects.choose(odd)
    assert words in widget.message
    assert not widget.view.run_bar.button.isEnabled()
    assert not widget.view.maps_button.isEnabled()
    widget.run()
    widget.add_quality_maps()
    assert not widget.running


def test_problems_of_three_layers(viewer):
    ir, visible, fused = viewer.layers
    assert problem_with_subject(fused, ir, visible) is None
    assert "Choose an infrared" in problem_with_subject(fused, None, visible)
    assert "one of its sources" in problem_with_subject(ir, ir, visible)
    assert "same layer" in problem_with_subject(fused, ir, ir)


# -- measuring --------------------------------------------------------------------------------------------------------


def test_values_equal_those_of_evaluate(widget, viewer, qtbot):
    run(widget, qtbot)
    expected = nif.evaluate(viewer.layers["fused · Average"].data, *images())
    assert values(widget) == {"Average": expected}
    assert not bold(widget)
    assert widget.view.plot.isHidden()  # nothing to compare with
    assert "3 metrics of 1 image" in widget.message
    assert widget.view.run_bar.button.text() == "Run"


@pytest.mark.parametrize("profile", ["standard", "zhang2022"])
def test_the_real_profiles(make, viewer, qtbot, monkeypatch, profile):
    if profile not in REAL:
        pytest.skip(f"{profile} is not there")
    monkeypatch.setattr(metrics, "_registry", lambda: REAL)
    widget = make(viewer)
    widget.view.profile_box.value = profile
    run(widget, qtbot)
    expected = nif.evaluate(viewer.layers["fused · Average"].data, *images(), profile)
    assert len(expected) > 5
    np.testing.assert_equal(values(widget)["Average"], expected)
    assert add_quality_maps(widget, qtbot)


def test_only_the_chosen_metrics_are_computed(widget, qtbot):
    widget.view.metrics.boxes["light"].setChecked(False)
    assert widget.view.metrics.action.text() == "2 of 3"
    run(widget, qtbot)
    assert Fake.calls == 0
    assert set(values(widget)["Average"]) == {"gap", "contrast"}
    for box in widget.view.metrics.boxes.values():
        box.setChecked(False)
    assert widget.message == "Choose at least one metric."
    assert not widget.view.run_bar.button.isEnabled()
    widget.view.metrics.action.click()
    assert widget.view.metrics.action.text() == "all 3"
    assert widget.view.metrics.chosen == ("light", "gap", "contrast")


def test_a_metric_explains_itself(widget):
    tip = widget.view.metrics.boxes["gap"].toolTip()
    for words in ("The gap", "Measures gap.", "Lower is better, from 0 to 1", "Somebody, 2004", "10.1000/fake"):
        assert words in tip
    assert widget.view.metrics.boxes["gap"].text() == "gap ↓"


def test_another_profile_has_other_metrics(widget, qtbot):
    widget.view.metrics.boxes["gap"].setChecked(False)
    widget.view.profile_box.value = "other"
    assert list(widget.view.metrics.boxes) == ["light", "none"]
    assert not widget.view.maps_button.isEnabled()
    run(widget, qtbot)
    assert math.isnan(values(widget)["Average"]["none"])
    widget.view.profile_box.value = "standard"
    assert widget.view.metrics.chosen == ("light", "contrast")  # as it was left


def test_all_our_results_are_compared(widget, viewer, qtbot):
    fused_of(viewer, "max")
    fused_of(viewer, "wls")
    viewer.add_image(images()[0], name="fused by others", **PLACE)
    widget.view.subjects.mode_box.value = "all"
    assert widget.view.subjects.found.text() == "Average · Maximum · WLS"
    run(widget, qtbot)
    found = values(widget)
    assert list(found) == ["Average", "Maximum", "WLS"]
    for name in found:
        assert found[name] == nif.evaluate(viewer.layers[f"fused · {name}"].data, *images())
    best = {(max(found, key=lambda name: found[name][metric]), metric) for metric in ("light", "contrast")}
    best.add((min(found, key=lambda name: found[name]["gap"]), "gap"))
    assert bold(widget) == best
    assert widget.view.plot.kind == "radar"
    assert not widget.view.plot.isHidden()


def test_results_without_their_sources_are_not_compared(widget, viewer, qtbot):
    widget.view.subjects.mode_box.value = "all"
    viewer.layers.remove("infrared")
    assert "fuse them first" in widget.message
    assert not widget.view.run_bar.button.isEnabled()


def test_a_result_that_does_not_fit_is_left_out(widget, viewer, qtbot):
    fused_of(viewer, "max").scale = (9, 9)
    assert "64×48 pixels, does not lie on the pixels" in problem_with_subject(
        viewer.layers["fused · Maximum"], viewer.layers["infrared"], viewer.layers["visible"]
    )
    widget.view.subjects.mode_box.value = "all"
    assert "Maximum: left out" in widget.view.subjects.found.text()
    run(widget, qtbot)
    assert list(values(widget)) == ["Average"]


@pytest.mark.parametrize("grid", ["visible", "ir"])
def test_sources_on_other_grids_are_measured_on_that_of_the_fused(make, qtbot, grid):
    viewer = ViewerModel()
    ir, visible = images()
    ir_layer = viewer.add_image(ir[:24, :32], name="infrared", scale=(2, 2), translate=(10.5, 0.5))
    visible_layer = viewer.add_image(visible, name="visible", rgb=True)
    matrix = [[2, 0, 10.5], [0, 2, 0.5], [0, 0, 1]]
    made = nif.fuse(ir[:24, :32], visible, "average", ir_to_visible=matrix, grid=grid)
    add_result(viewer, made, ir_layer, visible_layer)
    widget = make(viewer)
    run(widget, qtbot)
    expected = nif.evaluate(made.fused, ir[:24, :32], visible, ir_to_visible=matrix, grid=grid)
    assert values(widget)["Average"] == expected
    add_quality_maps(widget, qtbot)
    fused = viewer.layers["fused · Average"]
    np.testing.assert_allclose(corners(viewer.layers["Average · Far from IR"]), corners(fused))


def test_copies_are_those_of_the_table(widget, viewer, qtbot):
    run(widget, qtbot)
    actions = {action.text(): action for action in widget.view.run_bar.menu.actions()}
    actions["Copy as CSV"].trigger()
    header, line = (row.split(",") for row in QApplication.clipboard().text().splitlines())
    assert dict(zip(header[1:], map(float, line[1:]), strict=True)) == values(widget)["Average"]
    actions["Copy as Markdown"].trigger()
    assert QApplication.clipboard().text().startswith("| metric | Average |")
    actions["Exchange rows and columns"].trigger()
    assert widget.view.table.values.rowCount() == 1


def test_an_error_is_said_inline_and_run_comes_back(widget, viewer, qtbot):
    Fake.trouble = "out of luck"
    run(widget, qtbot)
    assert "out of luck" in widget.message
    assert widget.view.run_bar.message.level == "error"
    assert widget.measurement is None
    assert widget.view.run_bar.button.isEnabled()
    Fake.trouble = ""
    run(widget, qtbot)
    assert "out of luck" not in widget.message
    assert values(widget)


def test_nothing_is_loaded_on_the_gui_thread(make, viewer, qtbot, monkeypatch):
    import threading

    threads = []
    monkeypatch.setattr(metrics, "_registry", lambda: threads.append(threading.current_thread()) or FAKES)
    widget = make(viewer, ready=False)
    assert not widget.ready
    assert widget.message == "Loading metrics…"
    widget.run()  # is remembered
    qtbot.waitUntil(lambda: widget.measurement is not None and not widget.running, timeout=20_000)
    assert threading.main_thread() not in threads


def test_metrics_that_cannot_be_loaded_are_said_for_good(make, viewer, qtbot, monkeypatch):
    def broken(progress, cancelled):
        raise ImportError("torch is broken")

    monkeypatch.setattr(metrics_jobs, "load_catalogue", broken)
    widget = make(viewer, ready=False)
    qtbot.waitUntil(lambda: "torch is broken" in widget.message, timeout=5000)
    widget.view.frames_box.value = "all"
    assert "torch is broken" in widget.message
    assert widget.view.run_bar.message.level == "error"
    assert not widget.view.run_bar.button.isEnabled()


# -- out of date ------------------------------------------------------------------------------------------------------


def test_other_settings_or_images_make_the_table_stale(widget, viewer, qtbot):
    run(widget, qtbot)
    assert "press Run" not in widget.message
    widget.view.metrics.boxes["light"].setChecked(False)
    assert "other settings" in widget.message
    widget.view.metrics.boxes["light"].setChecked(True)
    assert "press Run" not in widget.message
    viewer.layers["visible"].visible = False
    assert "press Run" not in widget.message
    viewer.layers["fused · Average"].data = 255 - viewer.layers["fused · Average"].data
    assert "images have changed" in widget.message
    assert widget.view.run_bar.message.level == "warning"
    run(widget, qtbot)
    assert "press Run" not in widget.message


def test_what_makes_the_table_stale_is_said(widget, viewer, make, stacks, qtbot):
    fused_of(viewer, "max")
    widget.view.subjects.choose(viewer.layers["fused · Maximum"])
    run(widget, qtbot)
    widget.view.subjects.choose(viewer.layers["fused · Average"])
    assert "The table is about other layers" in widget.message
    widget.view.subjects.mode_box.value = "all"
    run(widget, qtbot)
    viewer.layers.remove("fused · Maximum")
    assert "A layer that was measured has been removed" in widget.message
    assert widget.view.values.isVisibleTo(widget.native)
    run(widget, qtbot)
    assert "press Run" not in widget.message
    frames = make(stacks)
    frames.view.subjects.choose(stacks.layers["my fusion"])
    run(frames, qtbot)
    stacks.dims.set_current_step(0, 3)
    assert "The table is about another frame" in frames.message


def test_removed_layers_are_given_back(widget, viewer, qtbot):
    run(widget, qtbot)
    widget.view.subjects.mode_box.value = "all"
    run(widget, qtbot)
    alive = [weakref.ref(layer) for layer in viewer.layers]
    viewer.layers.clear()
    viewer.add_image(np.zeros(SIZE))  # else napari keeps the layer that was selected last

    def gone() -> bool:
        gc.collect()
        return not any(layer() for layer in alive)

    qtbot.waitUntil(gone)
    assert widget.measurement is None


def test_run_says_why_it_cannot(widget, viewer):
    fused = viewer.layers["fused · Average"]
    fused.translate = (50, 0)
    assert not widget.view.run_bar.button.isEnabled()
    fused.translate = PLACE["translate"]
    for start in (widget.run, widget.add_quality_maps):
        widget._refresh()
        assert widget.message == ""
        with fused.events.translate.blocker():  # a change that nobody tells of
            fused.translate = (50, 0)
        start()
        assert not widget.running
        assert "do not overlap" in widget.message
        with fused.events.translate.blocker():
            fused.translate = PLACE["translate"]


def test_a_moved_layer_makes_the_table_stale(widget, viewer, qtbot):
    run(widget, qtbot)
    ir, visible, fused = (viewer.layers[name] for name in ("infrared", "visible", "fused · Average"))
    before, affine = ir.translate, np.array([[0.8, 0.6, 3], [-0.6, 0.8, 1], [0, 0, 1]])
    ir.translate = before + 1
    assert "Layers have been moved" in widget.message
    assert widget.view.run_bar.message.level == "warning"
    ir.translate = before
    assert "press Run" not in widget.message
    for layer in (ir, visible, fused):  # together
        layer.affine = affine
    assert "press Run" not in widget.message
    fused.affine = np.eye(3)
    assert "does not lie on the pixels of one of its sources" in widget.message
    fused.affine = affine
    ir.affine = affine @ np.diag([1, 1.2, 1])
    run(widget, qtbot)
    assert "press Run" not in widget.message
    moved = nif.evaluate(fused.data, ir.data, visible.data, ir_to_visible=matrix_between(ir, visible), device="cpu")
    assert widget.measurement.report.values[0].tolist() == pytest.approx(list(moved.values()), rel=1e-6)
    widget.view.subjects.mode_box.value = "all"
    assert "press Run" not in widget.message
    ir.affine = affine
    assert "Layers have been moved" in widget.message


# -- stacks -----------------------------------------------------------------------------------------------------------


def expected_frames(viewer: ViewerModel) -> list[dict[str, float]]:
    data = [viewer.layers[name].data for name in ("my fusion", "infrared", "visible")]
    return [nif.evaluate(*planes) for planes in zip(*data, strict=True)]


def test_the_displayed_frame(make, stacks, qtbot):
    widget = make(stacks)
    assert not widget.view.frames_row.isHidden()
    run(widget, qtbot)
    assert values(widget)["my fusion"] == expected_frames(stacks)[2]
    stacks.dims.set_current_step(0, 4)
    assert "another frame" in widget.message
    run(widget, qtbot)
    assert values(widget)["my fusion"] == expected_frames(stacks)[4]


def test_all_frames_give_the_mean_and_the_curve(make, stacks, qtbot):
    widget = make(stacks)
    widget.view.frames_box.value = "all"
    run(widget, qtbot)
    assert "3 metrics of 6 images" in widget.message
    frames = expected_frames(stacks)
    for name, value in values(widget)["my fusion"].items():
        assert value == pytest.approx(np.mean([frame[name] for frame in frames]), rel=1e-12)
    plot = widget.view.plot
    assert plot.kind == "curves"
    (axes,) = plot.figure.axes
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [frame["light"] for frame in frames])
    assert list(plot._marker.get_xdata()) == [2, 2]

    stacks.dims.set_current_step(0, 5)
    assert list(plot._marker.get_xdata()) == [5, 5]
    assert "press Run" not in widget.message  # all frames are all frames
    widget.view.table.clicked.emit(widget.view.table.values.index(1, 0))
    (axes,) = plot.figure.axes
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [frame["gap"] for frame in frames])
    plot.frame_chosen.emit(1)
    assert stacks.dims.current_step[0] == 1


def test_stacks_on_other_scales_are_measured_where_they_meet(make, stacks, qtbot):
    frames = stacks.layers["infrared"].data
    for name in ("visible", "my fusion"):  # frames 1 to 5, at 20, 40, … in the world
        layer = stacks.layers[name]
        layer.data, layer.scale, layer.translate = layer.data[1:], (20, 1, 1), (20, 0, 0)
    stacks.layers["infrared"].scale = (20, 1, 1)
    widget = make(stacks)
    data = [stacks.layers[name].data for name in ("my fusion", "visible")]
    expected = [nif.evaluate(fused, ir, vis) for ir, fused, vis in zip(frames[1:], *data, strict=True)]
    stacks.dims.set_point(0, 60)
    run(widget, qtbot)
    assert values(widget)["my fusion"] == expected[2]
    widget.view.frames_box.value = "all"
    run(widget, qtbot)
    (axes,) = widget.view.plot.figure.axes
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [frame["light"] for frame in expected])
    assert list(widget.view.plot._marker.get_xdata()) == [2, 2]
    widget.view.plot.frame_chosen.emit(4)
    assert stacks.dims.point[0] == 100


def test_one_source_may_stand_still(make, stacks, qtbot):
    still = stacks.layers["visible"].data[3]
    stacks.layers.remove("visible")
    stacks.add_image(still, name="visible", rgb=False)
    widget = make(stacks)
    widget.view.frames_box.value = "all"
    run(widget, qtbot)
    fused, ir = stacks.layers["my fusion"].data, stacks.layers["infrared"].data
    expected = np.mean([nif.evaluate(f, a, still)["gap"] for f, a in zip(fused, ir, strict=True)])
    assert values(widget)["my fusion"]["gap"] == pytest.approx(expected, rel=1e-12)


def test_a_single_plane_of_a_stack_says_what_it_was_compared_with(make, stacks, qtbot):
    ir, visible = stacks.layers["infrared"], stacks.layers["visible"]
    stacks.layers.remove("my fusion")
    add_result(stacks, nif.fuse(ir.data[2], visible.data[2], "max"), ir, visible)
    widget = make(stacks)
    assert widget.view.frames_row.isHidden()
    run(widget, qtbot)
    assert "displayed frame of its sources" in widget.message
    assert values(widget)["Maximum"] == nif.evaluate(stacks.layers["fused · Maximum"].data, ir.data[2], visible.data[2])


def test_a_lazy_stack_is_read_in_the_job(make, stacks, qtbot):
    import threading

    read = []

    def load(block, block_info=None):
        read.append((block_info[0]["chunk-location"][0], threading.current_thread() is threading.main_thread()))
        return block

    frames = stacks.layers["my fusion"].data
    lazy = da.from_array(frames, chunks=(1, *SIZE)).map_blocks(load, dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8))
    stacks.layers.remove("my fusion")
    stacks.add_image(lazy, name="my fusion", contrast_limits=(0, 255), rgb=False)
    widget = make(stacks)
    read.clear()
    run(widget, qtbot)
    assert {index for index, _ in read} == {2}
    assert not any(main for _, main in read)


def test_cancel_within_a_second(make, stacks, qtbot):
    widget = make(stacks)
    widget.view.frames_box.value = "all"
    Fake.seconds = 0.3
    widget.run()
    qtbot.waitUntil(lambda: Fake.calls > 1, timeout=5000)
    assert widget.view.run_bar.button.text() == "Cancel"
    qtbot.waitUntil(lambda: "frame 2 of 6" in widget.view.run_bar.doing.text(), timeout=5000)
    assert widget.view.run_bar.bar.maximum() == 6 * 3
    start = time.perf_counter()
    qtbot.mouseClick(widget.view.run_bar.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not widget.running, timeout=5000)
    assert time.perf_counter() - start < 1
    assert "Cancelled" in widget.message
    assert widget.measurement is None
    assert Fake.calls < 6


# -- quality maps -----------------------------------------------------------------------------------------------------


def test_quality_maps_lie_where_the_fused_image_lies(widget, viewer, qtbot):
    added = {layer.metadata[TAG]["map"]: layer for layer in add_quality_maps(widget, qtbot)}
    assert set(added) == {"gap_ir", "gap_visible"}
    fused = viewer.layers["fused · Average"]
    expected = nif.quality_maps(fused.data, *images())
    for key, layer in added.items():
        np.testing.assert_array_equal(layer.data, expected[key].data)
        np.testing.assert_allclose(corners(layer), corners(fused), atol=1e-6)
        np.testing.assert_allclose(layer.rotate, fused.rotate)
        assert layer.units == fused.units
        assert layer.name == f"Average · {expected[key].title}"
        assert viewer.layers.index(layer) > viewer.layers.index(fused)
    np.testing.assert_allclose(added["gap_visible"].scale, np.multiply(fused.scale, 4))
    assert [layer.visible for layer in added.values()].count(True) == 1
    assert added["gap_ir"].visible
    assert viewer.layers.selection.active is added["gap_ir"]
    assert added["gap_ir"].colormap.name == "viridis"
    low, high = added["gap_visible"].contrast_limits
    assert low == -high
    assert "2 quality maps" in widget.message


def test_quality_maps_are_replaced_and_stay_as_the_user_left_them(widget, viewer, qtbot):
    first = {layer.metadata[TAG]["map"]: layer for layer in add_quality_maps(widget, qtbot)}
    first["gap_ir"].visible = False
    first["gap_visible"].name = "mine"
    fused = viewer.layers["fused · Average"]
    fused.data = 255 - fused.data
    count = len(viewer.layers)
    assert add_quality_maps(widget, qtbot) == []
    assert len(viewer.layers) == count
    np.testing.assert_array_equal(first["gap_ir"].data, nif.quality_maps(fused.data, *images())["gap_ir"].data)
    assert not first["gap_ir"].visible
    assert first["gap_visible"].name == "mine"


def test_quality_maps_are_neither_results_nor_sources(widget, viewer, qtbot):
    add_quality_maps(widget, qtbot)
    assert len(results_of(viewer.layers)) == 1
    ir, visible = viewer.layers["infrared"], viewer.layers["visible"]
    add_result(viewer, nif.fuse(ir.data, visible.data, "max"), ir, visible, replace=True)
    assert len(results_of(viewer.layers)) == 1
    assert len([layer for layer in viewer.layers if "of" in layer.metadata.get(TAG, {})]) == 2
    assert widget.view.subjects.sources.ir is ir


def test_quality_maps_of_all_results(widget, viewer, qtbot):
    fused_of(viewer, "max")
    widget.view.subjects.mode_box.value = "all"
    added = add_quality_maps(widget, qtbot)
    assert {layer.name for layer in added} == {
        f"{result} · {title}" for result in ("Average", "Maximum") for title in ("Far from IR", "Off the visible")
    }
    assert [layer.name for layer in added if layer.visible] == ["Maximum · Far from IR"]


def test_maps_belong_to_any_layer(viewer):
    ir = viewer.layers["infrared"]
    made = {"odd": Map(np.ones(SIZE, np.float32), "weight", "Odd", "quality")}
    (layer,) = add_maps(viewer, made, ir, show_first=False)
    assert not layer.visible
    assert layer.name == "infrared · Odd"
    assert viewer.layers.index(layer) == viewer.layers.index(ir) + 1
    assert TAG not in ir.metadata
    assert add_maps(viewer, {}, ir) == []
    copy = viewer.add_image(layer.data, name="copy", metadata=layer.metadata)
    (again,) = add_maps(viewer, made, ir)
    assert again is layer
    assert copy in viewer.layers


# -- settings, shape, theme, the end ----------------------------------------------------------------------------------


def test_settings_are_remembered(make, viewer, qtbot):
    first = make(viewer)
    first.view.metrics.boxes["gap"].setChecked(False)
    first.view.subjects.mode_box.value = "all"
    first.view.frames_box.value = "all"
    first.view.table.turn()
    first.view.plot.wanted = "parallel"
    first.view.metrics.expanded = True
    first.view.metrics.boxes["light"].toggle()
    first.view.metrics.boxes["light"].toggle()
    qtbot.waitUntil(lambda: settings.load("metrics").get("plot") == "parallel", timeout=3000)
    second = make(viewer)
    assert second.view.state() == first.view.state()
    assert second.view.metrics.chosen == ("light", "contrast")
    assert second.view.subjects.mode == "all"
    second.view.reset()
    assert second.view.metrics.chosen == ("light", "gap", "contrast")


@pytest.mark.parametrize(
    "damaged",
    [
        {"mode": 3, "profile": None, "left_out": [], "frames": "some", "plot": 1, "open": None},
        {"profile": "gone", "left_out": {"standard": 7, "other": ["old", 3]}, "results_as_rows": "yes"},
    ],
)
def test_damaged_settings_do_no_harm(make, viewer, damaged, qtbot):
    settings.save("metrics", damaged)
    widget = make(viewer)
    assert widget.view.profile == "standard"
    json.dumps(widget.view.state())
    run(widget, qtbot)
    assert values(widget)


def test_settings_are_not_remembered_against_the_users_will(make, viewer, preferences, qtbot):
    preferences["remember_settings"] = False
    widget = make(viewer)
    widget.view.metrics.boxes["gap"].setChecked(False)
    qtbot.waitUntil(lambda: not widget._save_timer.isActive(), timeout=3000)
    assert settings.load("metrics") == {}


def test_fits_a_small_dock(widget, viewer, qtbot):
    for method in ("max", "wls"):
        fused_of(viewer, method)
    widget.view.subjects.mode_box.value = "all"
    widget.view.metrics.expanded = True
    run(widget, qtbot)
    widget.native.resize(320, 600)
    widget.native.show()
    qtbot.waitExposed(widget.native)
    assert widget.native.minimumSizeHint().height() <= 400
    assert widget.native.width() == 320
    scroll = widget.native.findChild(QScrollArea)
    assert scroll.widget().width() <= scroll.viewport().width()
    table = widget.view.table
    assert table.horizontalScrollBar().maximum() == 0  # three results fit
    assert all(table.columnWidth(i) >= table.sizeHintForColumn(i) for i in range(3))


def test_follows_the_theme(widget, viewer, qtbot):
    fused_of(viewer, "max")
    widget.view.subjects.mode_box.value = "all"
    run(widget, qtbot)
    for name in ("light", "dark"):
        viewer.theme = name
        assert to_hex(widget.view.plot.figure.get_facecolor()) == get_theme(name).background.as_hex("long")


def test_a_closed_dock_stops_the_job_and_lets_go_of_the_viewer(make, stacks, qtbot):
    widget = make(stacks)
    window = QMainWindow()
    qtbot.addWidget(window)
    dock = QDockWidget(window)
    dock.setWidget(widget.native)
    window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, dock)
    widget.view.frames_box.value = "all"
    Fake.seconds = 0.2
    widget.run()
    qtbot.waitUntil(lambda: Fake.calls > 0, timeout=5000)
    widget.native.setParent(None)  # all that napari does on the "x"
    qtbot.waitUntil(no_thread, timeout=1500)
    qtbot.waitUntil(lambda: not widget.running, timeout=1000)
    assert Fake.calls < 6
    chosen = widget.view.subjects.fused
    stacks.layers.remove("my fusion")
    stacks.theme = "light"
    assert widget.view.subjects.fused is chosen  # it does not listen any more
    dock.setWidget(widget.native)  # docked again
    assert widget.view.subjects.fused is not chosen
    assert to_hex(widget.view.plot.figure.get_facecolor()) == get_theme("light").background.as_hex("long")
    widget.native.setParent(None)


def test_destroying_it_leaves_no_thread_and_no_listener(make, stacks, qtbot):
    def destroyed_while_running() -> weakref.ref[MetricsWidget]:
        widget = make(stacks)
        widget.view.frames_box.value = "all"
        Fake.seconds = 0.2
        widget.run()
        qtbot.waitUntil(lambda: Fake.calls > 0, timeout=5000)
        with qtbot.waitSignal(widget.native.destroyed):
            widget.native.deleteLater()
        return weakref.ref(widget)

    gone = destroyed_while_running()
    qtbot.waitUntil(no_thread, timeout=1500)
    stacks.add_image(images()[0], name="later")  # must not reach a deleted widget
    stacks.theme = "light"
    gc.collect()
    assert gone() is None


@pytest.mark.viewer
def test_in_a_real_viewer(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    ir, visible = images()
    viewer.add_image(ir, name="infrared", **PLACE)
    viewer.add_image(visible, name="visible", rgb=True, **PLACE)
    for method in ("average", "max"):
        fused_of(viewer, method)
    _dock, widget = viewer.window.add_plugin_dock_widget("napari-irvisfuse", "Fusion metrics")
    qtbot.waitUntil(lambda: widget.ready, timeout=20_000)
    widget.view.subjects.mode_box.value = "all"
    run(widget, qtbot)
    assert list(values(widget)) == ["Average", "Maximum"]
    assert widget.view.plot.isVisible()
    dark = widget.view.plot.figure.get_facecolor()
    viewer.theme = "light"
    assert widget.view.plot.figure.get_facecolor() != dark
    maps = add_quality_maps(widget, qtbot)
    assert len(maps) == 4
    for layer in maps:
        np.testing.assert_allclose(corners(layer), corners(viewer.layers["visible"]), atol=1e-6)
    viewer.screenshot(canvas_only=False, flash=False)
    widget.view.metrics.tick(["light"])
    widget.run()
    viewer.window.remove_dock_widget(widget.native)
    qtbot.waitUntil(no_thread, timeout=5000)
