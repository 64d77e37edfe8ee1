"""The thermal widget against a viewer model: no window, no GL."""

from __future__ import annotations

import gc
import threading
import weakref
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from napari.components import ViewerModel
from npe2 import PluginManager, PluginManifest
from qtpy.QtWidgets import QDockWidget, QMainWindow

import napari_irvisfuse
from napari_irvisfuse._widgets import thermal_jobs
from napari_irvisfuse._widgets.fuse import FuseWidget
from napari_irvisfuse._widgets.readers import layers_of, radiometric_reader
from napari_irvisfuse._widgets.thermal import ThermalWidget
from napari_irvisfuse._widgets.thermal_form import ConditionsForm
from napari_irvisfuse._widgets.thermal_jobs import Request, compute
from napari_irvisfuse._widgets.thermal_layers import conditions_of, image_of, limits_of
from napari_irvisfuse.errors import Cancelled, ImageError, ParameterError
from napari_irvisfuse.images.radiometric import RadiometricImage
from napari_irvisfuse.images.thermography import Atmosphere, Conditions, Planck

COUNTS = (17000 + np.arange(48 * 64).reshape(48, 64)).astype(np.uint16)
PHOTO = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
AS_SET = Conditions(0.953, 2.0, 21.5, 10.0, 0.4)
IMAGE = RadiometricImage(
    COUNTS,
    PHOTO,
    np.diag([2.0, 2.0, 1.0]),
    Planck(16850.5, 1433.3, 1.0, -5151.0, 0.0116),
    Atmosphere(0.0066, 0.0126, -0.0023, -0.0067, 1.9),
    AS_SET,
    "Synthetic",
)
STEAM = {"distance": 10_000, "atmospheric_temperature": 60, "relative_humidity": 1}


@pytest.fixture
def viewer():
    model = ViewerModel()
    for item in layers_of(IMAGE, "a"):
        model._add_layer_from_data(*item)
    return model


@pytest.fixture
def widget(viewer, qtbot):
    made = ThermalWidget(viewer)
    qtbot.addWidget(made.native)
    return made


def edit(widget: ThermalWidget, **values: float) -> None:
    for name, value in values.items():
        widget.view.form.control(name).value = value


def finished(qtbot: Any, widget: ThermalWidget) -> None:
    qtbot.waitUntil(lambda: not widget.running, timeout=20_000)


def check_truth(layer: Any, **conditions: float) -> None:
    """Its temperatures are those of the conditions that it says."""
    np.testing.assert_array_equal(layer.data, IMAGE.celsius(**conditions))
    assert layer.metadata["conditions"] == asdict(AS_SET.changed(**conditions))


# -- the layer -------------------------------------------------------------------------------------------------------


def test_the_counts_go_with_the_layer_and_the_photograph_does_not(viewer):
    infrared = viewer.layers["a infrared"]
    image = image_of(infrared)
    assert image.counts is COUNTS
    assert image.visible is None
    assert conditions_of(infrared, image) == AS_SET
    assert image_of(viewer.layers["a visible"]) is None
    assert image_of(None) is None


def test_a_layer_that_shows_something_else_by_now_is_not_ours(viewer):
    infrared = viewer.layers["a infrared"]
    infrared.data = infrared.data[:20]
    assert image_of(infrared) is None


@pytest.mark.parametrize("said", [None, "warm", {"emissivity": 7}, {"colour": 1}, {1: 2}])
def test_damaged_conditions_are_the_cameras(viewer, said):
    infrared = viewer.layers["a infrared"]
    infrared.metadata = {**infrared.metadata, "conditions": said}
    assert conditions_of(infrared, IMAGE) == AS_SET


def test_limits_leave_out_what_is_missing():
    low, high = limits_of(np.append(np.linspace(0, 1000, 1001), np.nan))
    assert (low, high) == pytest.approx((1, 999))
    assert limits_of(np.full(4, 20.0)) == pytest.approx((20, 20.1))
    assert limits_of(np.full(4, np.nan)) == (0, 0.1)


def test_what_cannot_be_read_is_named_with_its_file(write_rjpeg, tmp_path):
    path = write_rjpeg(tmp_path / "cold.jpg", COUNTS, emissivity=0.0)
    with pytest.raises(ImageError, match=r"cold\.jpg, as its camera was set: emissivity is above 0"):
        radiometric_reader(str(path))(str(path))


# -- the job ---------------------------------------------------------------------------------------------------------


def test_bands_change_nothing_and_say_how_far_they_are(monkeypatch):
    monkeypatch.setattr(thermal_jobs, "_BAND", 7 * 64)
    told = []
    conditions = AS_SET.changed(emissivity=0.5)
    (answer,) = compute([Request(None, IMAGE.celsius(), IMAGE, conditions)], lambda *news: told.append(news), bool)
    np.testing.assert_array_equal(answer.celsius, IMAGE.celsius(emissivity=0.5))
    assert [done for done, *_ in told] == [7, 14, 21, 28, 35, 42]
    assert answer.before == limits_of(IMAGE.celsius())
    assert answer.limits == limits_of(answer.celsius)


def test_it_stops_between_bands(monkeypatch):
    monkeypatch.setattr(thermal_jobs, "_BAND", 64)
    answers = iter([False, False, True])
    with pytest.raises(Cancelled):
        compute([Request(None, IMAGE.celsius(), IMAGE, AS_SET)], lambda *_: None, lambda: next(answers))
    assert next(answers, None) is None


def test_pixels_without_a_temperature_are_counted():
    hot = AS_SET.changed(emissivity=0.3, reflected_temperature=50)
    (answer,) = compute([Request(None, IMAGE.celsius(), IMAGE, hot)], lambda *_: None, bool)
    missing = int(np.isnan(answer.celsius).sum())
    assert 0 < missing < COUNTS.size
    assert f"{missing} of {COUNTS.size} pixels have no temperature." in answer.sentence
    (answer,) = compute(
        [Request(None, IMAGE.celsius(), IMAGE, hot.changed(reflected_temperature=900))], lambda *_: None, bool
    )
    assert answer.sentence == "No pixel has a temperature under these conditions."


@given(distance=st.floats(0, 1e4), humidity=st.floats(0, 1), air=st.floats(-100, 100))
def test_the_check_knows_beforehand_what_fails(distance, humidity, air):
    conditions = AS_SET.changed(distance=distance, relative_humidity=humidity, atmospheric_temperature=air)

    def sentence(function: Any) -> str:
        try:
            function()
        except ParameterError as error:
            return str(error)
        return ""

    expected = sentence(lambda: compute([Request(None, IMAGE.celsius(), IMAGE, conditions)], lambda *_: None, bool))
    assert sentence(lambda: thermal_jobs.check(IMAGE, conditions)) == expected


# -- the form --------------------------------------------------------------------------------------------------------


def test_the_form_has_every_condition_and_keeps_what_it_cannot_show(qtbot):
    form = ConditionsForm()
    qtbot.addWidget(form.native)
    for name in asdict(AS_SET):
        assert name in form.control(name).native.toolTip()
    given_values = Conditions(0.95312, 1e6, -40.123456, 20.0, 0.333333, 5000.0, 0.005)
    form.show(given_values)
    assert form.conditions == given_values
    form.control("atmospheric_temperature").value = -3.5
    assert form.conditions == replace(given_values, atmospheric_temperature=-3.5)


def test_what_is_half_typed_is_left_alone(qtbot):
    form = ConditionsForm()
    qtbot.addWidget(form.native)
    line = form.control("distance").native.lineEdit()
    line.setText("12")
    form.show(form.conditions.changed(emissivity=0.5))
    assert line.text() in ("12", "12 m")


# -- the widget ------------------------------------------------------------------------------------------------------


def test_it_shows_what_was_set_in_the_camera(widget):
    assert widget.view.form.conditions == AS_SET
    assert widget.view.subject.text() == "a infrared, Synthetic"
    assert not widget.view.back_button.isEnabled()
    assert widget.view.form.control("distance").value == 2
    assert not widget.running


def test_temperatures_follow_and_go_back(widget, viewer, qtbot):
    infrared = viewer.layers["a infrared"]
    first = infrared.data
    kept = first.copy()
    edit(widget, emissivity=0.6, distance=30)
    finished(qtbot, widget)
    check_truth(infrared, emissivity=0.6, distance=30)
    assert infrared.data.dtype == np.float32
    np.testing.assert_array_equal(first, kept)
    assert widget.message.startswith("Temperatures from ")
    widget.view.back_button.click()
    finished(qtbot, widget)
    check_truth(infrared)
    assert widget.view.form.control("distance").value == 2
    assert not widget.view.back_button.isEnabled()


def test_only_the_last_of_several_edits_is_computed(widget, viewer, qtbot, monkeypatch):
    asked = []
    real = thermal_jobs.compute
    monkeypatch.setattr(thermal_jobs, "compute", lambda *given: asked.append(given) or real(*given))
    for value in (0.5, 0.6, 0.7):
        edit(widget, emissivity=value)
    finished(qtbot, widget)
    assert len(asked) == 1
    check_truth(viewer.layers["a infrared"], emissivity=0.7)


def test_the_image_follows_while_a_slider_is_dragged(widget, viewer, qtbot):
    infrared, updates, values = viewer.layers["a infrared"], [], count()
    infrared.events.data.connect(lambda event: updates.append(event))

    def dragged_on() -> bool:
        edit(widget, emissivity=next(values) % 50 / 100 + 0.4)
        return len(updates) > 2

    qtbot.waitUntil(dragged_on, timeout=20_000)
    finished(qtbot, widget)
    check_truth(infrared, emissivity=widget.view.form.conditions.emissivity)


@pytest.fixture
def held(monkeypatch):
    """Hold jobs at their start; return when one has begun, and what lets it go on."""
    begun, go = threading.Event(), threading.Event()
    real = thermal_jobs.compute

    def compute_later(*arguments: Any) -> Any:
        begun.set()
        assert go.wait(10)
        return real(*arguments)

    monkeypatch.setattr(thermal_jobs, "compute", compute_later)
    return begun, go


def test_an_edit_overtakes_the_job_before(widget, viewer, qtbot, held):
    infrared, updates = viewer.layers["a infrared"], []
    begun, go = held
    infrared.events.data.connect(lambda event: updates.append(event))
    edit(widget, emissivity=0.5)
    qtbot.waitUntil(begun.is_set)
    edit(widget, emissivity=0.8)
    qtbot.waitUntil(lambda: not widget._timer.isActive())
    go.set()
    finished(qtbot, widget)
    assert len(updates) == 1
    check_truth(infrared, emissivity=0.8)


def test_an_edit_is_not_lost_if_the_job_before_ends_first(widget, viewer, qtbot, held):
    infrared, updates = viewer.layers["a infrared"], []
    begun, go = held
    infrared.events.data.connect(lambda event: updates.append(event))
    edit(widget, emissivity=0.5)
    qtbot.waitUntil(begun.is_set)
    widget._timer.setInterval(500)
    edit(widget, emissivity=0.8)
    go.set()
    qtbot.waitUntil(lambda: len(updates) == 1)
    assert widget.view.form.conditions == AS_SET.changed(emissivity=0.8)
    finished(qtbot, widget)
    check_truth(infrared, emissivity=0.8)


def test_an_impossible_edit_ends_the_job_before(widget, viewer, qtbot, held):
    begun, go = held
    edit(widget, emissivity=0.5)
    qtbot.waitUntil(begun.is_set)
    edit(widget, **STEAM)
    qtbot.waitUntil(lambda: not widget._timer.isActive())
    go.set()
    finished(qtbot, widget)
    check_truth(viewer.layers["a infrared"])


def test_limits_follow_unless_the_user_has_moved_them(widget, viewer, qtbot):
    infrared = viewer.layers["a infrared"]
    edit(widget, emissivity=0.6)
    finished(qtbot, widget)
    assert tuple(infrared.contrast_limits) == limits_of(infrared.data)
    assert tuple(infrared.contrast_limits_range) == limits_of(infrared.data)
    infrared.contrast_limits = moved = (40.0, 50.0)
    edit(widget, emissivity=0.3)
    finished(qtbot, widget)
    assert tuple(infrared.contrast_limits) == moved
    low, high = limits_of(infrared.data)
    assert infrared.contrast_limits_range[0] <= low
    assert infrared.contrast_limits_range[1] >= high


def test_what_cannot_be_is_one_sentence_and_changes_nothing(widget, viewer, qtbot):
    edit(widget, **STEAM)
    finished(qtbot, widget)
    assert widget.message.startswith("From 10000 m through this air nothing of the object arrives")
    assert widget.view.message.level == "error"
    check_truth(viewer.layers["a infrared"])
    edit(widget, distance=10)
    finished(qtbot, widget)
    assert widget.view.message.level == "note"
    check_truth(viewer.layers["a infrared"], **{**STEAM, "distance": 10})


def test_other_layers_get_a_hint(widget, viewer):
    for active in (viewer.layers["a visible"], None):
        viewer.layers.selection.active = active
        assert widget.view.subject.text().startswith("Select a layer in °C")
        assert widget.view.form.native.isHidden()
        assert widget.view.back_button.isHidden()
    viewer.layers.selection.active = viewer.layers["a infrared"]
    assert not widget.view.form.native.isHidden()


def test_each_layer_has_its_own_conditions(widget, viewer, qtbot):
    first = viewer.layers["a infrared"]
    second = viewer._add_layer_from_data(*layers_of(replace(IMAGE, visible=None), "b")[0])[0]
    assert widget.view.subject.text().startswith("b infrared")
    edit(widget, emissivity=0.5)
    viewer.layers.selection.active = first  # at once: what was wanted of the other still comes
    assert widget.view.form.conditions == AS_SET
    edit(widget, emissivity=0.7)
    finished(qtbot, widget)
    check_truth(first, emissivity=0.7)
    check_truth(second, emissivity=0.5)
    viewer.layers.selection.active = second
    assert widget.view.form.conditions == AS_SET.changed(emissivity=0.5)


def test_a_duplicate_is_another_layer(widget, viewer, qtbot):
    from napari.layers._layer_actions import _duplicate_layer

    infrared = viewer.layers["a infrared"]
    _duplicate_layer(viewer.layers)
    viewer.layers.selection.active = infrared
    edit(widget, emissivity=0.5)
    finished(qtbot, widget)
    check_truth(infrared, emissivity=0.5)
    check_truth(viewer.layers["a infrared copy"])
    viewer.layers.selection.active = viewer.layers["a infrared copy"]
    assert widget.view.form.conditions == AS_SET


def test_data_of_the_users_own_are_not_overwritten_by_what_comes_late(widget, viewer, qtbot, held):
    infrared = viewer.layers["a infrared"]
    begun, go = held
    edit(widget, emissivity=0.5)
    qtbot.waitUntil(begun.is_set)
    infrared.data = own = np.zeros_like(infrared.data)
    go.set()
    finished(qtbot, widget)
    assert infrared.data is own
    assert widget.view.form.conditions == AS_SET


def test_a_removed_layer_is_let_go(widget, viewer, qtbot):
    edit(widget, emissivity=0.5)
    finished(qtbot, widget)
    edit(widget, emissivity=0.6)
    there = weakref.ref(viewer.layers["a infrared"])
    viewer.layers.clear()
    viewer.add_image(np.zeros((8, 8)))  # else napari keeps the layer that was selected last
    finished(qtbot, widget)

    def gone() -> bool:
        gc.collect()
        return there() is None

    qtbot.waitUntil(gone)
    assert widget.view.form.native.isHidden()


def test_something_unexpected_is_said(widget, viewer, qtbot, monkeypatch, caplog):
    def broken(*_: Any) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(thermal_jobs, "compute", broken)
    edit(widget, emissivity=0.5)
    finished(qtbot, widget)
    assert widget.message == "Something unexpected went wrong (MemoryError: no room)."
    check_truth(viewer.layers["a infrared"])


def test_a_closed_dock_no_longer_listens(widget, viewer, qtbot):
    window = QMainWindow()
    qtbot.addWidget(window)
    dock = QDockWidget(window)
    dock.setWidget(widget.native)
    edit(widget, emissivity=0.5)
    widget.native.setParent(None)  # all that napari does on the "x"
    assert not widget.running
    shown = widget.view.subject.text()
    viewer.layers.selection.active = viewer.layers["a visible"]
    assert widget.view.subject.text() == shown
    dock.setWidget(widget.native)  # docked again
    assert widget.view.subject.text().startswith("Select a layer")
    widget.native.setParent(None)
    check_truth(viewer.layers["a infrared"])


def test_a_destroyed_widget_lets_the_viewer_go(viewer, qtbot):
    widget = ThermalWidget(viewer)
    alive = weakref.ref(widget)
    widget.native.deleteLater()
    del widget

    def gone() -> bool:
        gc.collect()
        return alive() is None

    qtbot.waitUntil(gone)
    viewer.layers.selection.active = viewer.layers["a visible"]


def test_a_result_fused_before_is_out_of_date(widget, viewer, qtbot):
    fuse = FuseWidget(viewer, remember=False)
    qtbot.addWidget(fuse.native)
    qtbot.waitUntil(lambda: fuse.ready, timeout=60_000)
    fuse.choose("average")
    fuse.run()
    qtbot.waitUntil(lambda: fuse.runs.outcome is not None and not fuse.running, timeout=60_000)
    assert not fuse.runs.stale
    viewer.layers.selection.active = viewer.layers["a infrared"]
    edit(widget, emissivity=0.5)
    finished(qtbot, widget)
    qtbot.waitUntil(lambda: fuse.runs.stale.startswith("The images have changed"), timeout=5000)
    fuse.run()
    qtbot.waitUntil(lambda: not fuse.running and not fuse.runs.stale, timeout=60_000)
    assert fuse.runs.outcome.result.ir_window.high == pytest.approx(IMAGE.celsius(emissivity=0.5).max())


def test_the_manifest_makes_it(viewer, qtbot):
    manager = PluginManager()
    manager.register(PluginManifest.from_file(Path(napari_irvisfuse.__path__[0]) / "napari.yaml"))
    manager.activate("napari-irvisfuse")
    (contribution,) = [item for item in manager.iter_widgets() if item.display_name == "Thermal"]
    made = manager.commands.get(contribution.command)(viewer)
    qtbot.addWidget(made.native)
    assert made.view.form.conditions == AS_SET
