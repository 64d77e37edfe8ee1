"""The align widget against a viewer model: no window, no GL; what is slow is done once."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Image, Points

import napari_irvisfuse as nif
from napari_irvisfuse._widgets import align_jobs, settings
from napari_irvisfuse._widgets.align import AlignWidget
from napari_irvisfuse._widgets.align_jobs import start_of
from napari_irvisfuse._widgets.layer_geometry import affine_for, matrix_between
from napari_irvisfuse.errors import AlignmentError, Cancelled
from napari_irvisfuse.images.grids import fit
from napari_irvisfuse.samples.scene import grey_pair

SIZE = (96, 128)
SHIFT = np.array([[1, 0, 5.0], [0, 1, -7], [0, 0, 1]])
PLACED = {"scale": (0.5, 0.25), "translate": (3.0, -7.0), "rotate": 15.0}


@pytest.fixture(autouse=True)
def _preferences(monkeypatch):
    values = {"remember_settings": True}
    monkeypatch.setattr(settings, "preference", values.__getitem__)


@pytest.fixture
def viewer():
    ir, visible = grey_pair(*SIZE)
    model = ViewerModel()
    model.add_image(ir, name="infrared", scale=(2, 2), translate=(1, 4))
    model.add_image(visible, name="visible", **PLACED)
    return model


@pytest.fixture
def widget(viewer, qtbot):
    made = AlignWidget(viewer, remember=False)
    qtbot.addWidget(made.native)
    return made


def finished(qtbot: Any, widget: AlignWidget) -> None:
    qtbot.waitUntil(lambda: not widget.running, timeout=60_000)


def result(start: np.ndarray, matrix: np.ndarray, agreement: float = 0.9, verdict: str = "aligned") -> Any:
    from napari_irvisfuse.alignment.automatic import AlignmentResult
    from napari_irvisfuse.alignment.detect import AlignmentCheck

    item = nif.Map(np.ones((3, 4), np.float32), "energy", "Offset", "quality", 32)
    check = AlignmentCheck(verdict, 1.0, 0.5, 0.9, agreement, "Checked.", {"offset_size": item})
    alignment = nif.Alignment(matrix, "similarity", SIZE, SIZE, agreement)
    return AlignmentResult(alignment, start, True, 0.1, 0.4, check, "Found.")


# -- where layers lie ------------------------------------------------------------------------------------------------


numbers = st.floats(-2, 2)
sizes = st.floats(0.1, 3)


@given(
    scales=st.tuples(sizes, sizes, sizes, sizes),
    angles=st.tuples(st.floats(-180, 180), st.floats(-180, 180)),
    shear=numbers,
    shift=st.tuples(numbers, numbers),
    affine=st.lists(numbers, min_size=6, max_size=6),
    stacked=st.booleans(),
)
def test_the_affine_puts_pixels_on_pixels_in_the_world(scales, angles, shear, shift, affine, stacked):
    """Whatever both layers' transforms are: data_to_world of a pixel is that of the visible pixel it belongs to."""
    data = np.zeros((3, 20, 30) if stacked else (20, 30))
    lead = (4.0,) if stacked else ()
    ir = Image(data, scale=(*lead, *scales[:2]), translate=(*lead, *shift), rotate=0 if stacked else angles[0])
    outer = np.eye(3)
    outer[:2] = np.reshape(affine, (2, 3)) / 5
    outer[:2, :2] += np.eye(2)
    if abs(np.linalg.det(outer)) < 0.1:
        outer = np.eye(3)
    visible = Image(np.zeros((40, 50)), scale=scales[2:], rotate=angles[1], shear=[shear], affine=outer)
    matrix = np.array([[1.1, 0.2, -3], [-0.1, 0.8, 7], [0, 0, 1]])
    ir.affine = affine_for(ir, visible, matrix)
    for row, column in ((0, 0), (19, 3), (7.5, 29)):
        there = matrix @ (row, column, 1)
        index = (1, row, column) if stacked else (row, column)
        np.testing.assert_allclose(ir.data_to_world(index)[-2:], visible.data_to_world(there[:2]), atol=1e-6)
    np.testing.assert_allclose(matrix_between(ir, visible), matrix, atol=1e-6)
    if stacked:
        assert ir.data_to_world((2, 0, 0))[0] == pytest.approx(2 * 4 + 4)


def test_what_a_search_begins_with():
    visible = Image(np.zeros((40, 60)))
    np.testing.assert_array_equal(start_of(Image(np.zeros((20, 30))), visible), fit((20, 30), (40, 60)))
    np.testing.assert_array_equal(start_of(Image(np.zeros((40, 60))), visible), np.eye(3))
    # what affinder, or anybody, has set is a start
    placed = Image(np.zeros((20, 30)), affine=[[2, 0, 3], [0, 2, 4], [0, 0, 1]])
    np.testing.assert_allclose(start_of(placed, visible), [[2, 0, 3], [0, 2, 4], [0, 0, 1]])
    apart = Image(np.zeros((20, 30)), translate=(1e4, 1e4))
    np.testing.assert_array_equal(start_of(apart, visible), fit((20, 30), (40, 60)))


# -- the widget ------------------------------------------------------------------------------------------------------


def test_run_moves_the_infrared_layer_and_undo_brings_it_back(widget, viewer, qtbot, monkeypatch):
    ir, visible = viewer.layers
    before, data = np.array(ir.affine.affine_matrix), ir.data
    seen = []
    monkeypatch.setattr(align_jobs, "align", lambda r, p, c: seen.append(r) or result(r.start, SHIFT))
    widget.run()
    finished(qtbot, widget)
    (request,) = seen
    np.testing.assert_allclose(request.start, matrix_between(Image(data, scale=(2, 2), translate=(1, 4)), visible))
    assert (request.model, request.wide) == ("similarity", False)
    np.testing.assert_allclose(ir.data_to_world((10, 20)), visible.data_to_world((15, 13)))
    assert ir.data is data
    assert widget.message == "Found."
    assert widget.view.run_bar.message.level == "success"
    assert len(viewer.layers) == 2
    assert widget.moves.confidence_of(ir) == 0.9
    widget.undo()
    assert widget.moves.confidence_of(ir) is None
    np.testing.assert_allclose(ir.affine.affine_matrix, before)
    widget.undo()
    assert widget.message == "There is nothing to undo."


def test_undo_says_what_it_moves_and_is_offered_only_then(widget, viewer, qtbot, monkeypatch):
    ir, visible = viewer.layers
    other = viewer.add_image(ir.data, name="this & that")
    (undo,) = (action for action in widget.view.run_bar.menu.actions() if action.text().startswith("Undo"))
    assert (undo.text(), undo.isEnabled()) == ("Undo", False)
    monkeypatch.setattr(align_jobs, "align", lambda r, p, c: result(r.start, SHIFT))
    for layer in (ir, other):
        widget.view.layers.choose(layer, visible)
        widget.run()
        finished(qtbot, widget)
    assert (undo.text(), undo.isEnabled()) == ("Undo move of 'this && that'", True)
    viewer.layers.remove(other)
    assert undo.text() == "Undo move of 'infrared'"
    ir.name = "thermal"
    assert undo.text() == "Undo move of 'thermal'"
    undo.trigger()
    assert widget.message == "'thermal' lies where it did before."
    assert not undo.isEnabled()
    widget.undo()
    assert widget.message == "There is nothing to undo."


def test_removed_layers_are_given_back(widget, viewer, qtbot, monkeypatch):
    answer = result(np.eye(3), SHIFT)
    monkeypatch.setattr(align_jobs, "align", lambda request, progress, cancelled: answer)
    widget.run()
    finished(qtbot, widget)
    widget.points.start(*viewer.layers)
    alive = [weakref.ref(layer) for layer in viewer.layers]
    viewer.layers.clear()
    viewer.add_image(np.zeros(SIZE))  # else napari keeps the layer that was selected last

    def gone() -> bool:
        gc.collect()
        return not any(layer() for layer in alive)

    qtbot.waitUntil(gone)


def test_an_unsure_result_is_a_warning(widget, qtbot, monkeypatch):
    for answer in ((0.3, "aligned"), (0.9, "misaligned")):
        monkeypatch.setattr(align_jobs, "align", lambda r, p, c, a=answer: result(r.start, SHIFT, *a))
        widget.run()
        finished(qtbot, widget)
        assert widget.view.run_bar.message.level == "warning"


def test_a_real_search(viewer, qtbot):
    """The real thing, small: the scene's images, one of them moved."""
    ir, visible = grey_pair(*SIZE)
    cut = np.pad(ir[4:, 6:], ((0, 4), (0, 6)), mode="edge")
    model = ViewerModel()
    layers = model.add_image(cut, name="infrared"), model.add_image(visible, name="visible")
    widget = AlignWidget(model, remember=False)
    qtbot.addWidget(widget.native)
    widget.view.model_box.value = "translation"
    widget.run_check()
    finished(qtbot, widget)
    assert widget.check.verdict == "misaligned"
    assert widget.view.checked.level == "warning"
    widget.run()
    finished(qtbot, widget)
    np.testing.assert_allclose(matrix_between(*layers)[:2, 2], (4, 6), atol=1)
    assert widget.check.verdict == "aligned"
    widget.view.show_button.click()
    (shown,) = (layer for layer in model.layers if layer not in layers)
    assert "Offset" in shown.name
    stride = shown.scale[0]
    np.testing.assert_allclose(np.array(shown.data.shape) * stride, SIZE, atol=stride)


def checked(widget: AlignWidget, qtbot: Any) -> None:
    widget.run_check()
    finished(qtbot, widget)
    assert widget.check.verdict == "aligned"
    assert widget.view.checked.text == "Checked."
    assert widget.view.show_button.isEnabled()


def test_what_was_found_is_taken_back_once_the_layers_are_others(widget, viewer, qtbot, monkeypatch):
    ir, visible = viewer.layers
    answer = result(np.eye(3), SHIFT)
    monkeypatch.setattr(align_jobs, "align", lambda request, progress, cancelled: answer)
    monkeypatch.setattr(align_jobs, "check", lambda request, progress, cancelled: answer.check)
    changes = {
        "by hand": lambda: setattr(ir, "translate", (200, 0)),
        "visible": lambda: setattr(visible, "rotate", 20),
        "data": lambda: setattr(visible, "data", visible.data[::-1]),
        "other layers": widget.view.layers.swap,
        "undo": widget.undo,
    }
    for what, change in changes.items():
        if what == "undo":
            widget.run()
            finished(qtbot, widget)
            assert widget.message == "Found."
            assert widget.check is answer.check
        else:
            checked(widget, qtbot)
        change()
        assert widget.check is None, what
        assert widget.view.checked.text == "", what
        assert not widget.view.show_button.isEnabled(), what
        assert widget.message != "Found.", what
    checked(widget, qtbot)
    viewer.add_image(np.zeros(SIZE), name="another")
    ir.name, ir.opacity = "renamed", 0.5
    assert widget.check is answer.check


def test_a_check_of_layers_that_were_changed_meanwhile_says_so(widget, viewer, qtbot, monkeypatch):
    go = threading.Event()
    monkeypatch.setattr(align_jobs, "check", lambda r, p, c: go.wait(20) and result(r.start, SHIFT).check)
    widget.run_check()
    viewer.layers[0].translate = (200, 0)
    go.set()
    finished(qtbot, widget)
    assert widget.check is None
    assert "changed during the check" in widget.message
    assert widget.view.run_bar.message.level == "warning"


def test_nothing_covers_the_image_to_click_in(widget, viewer):
    ir, visible = viewer.layers
    fused = viewer.add_image(ir.data, name="fused")
    hidden = viewer.add_labels(np.ones(SIZE, int), name="regions", visible=False)
    widget.view.layers.choose(ir, visible)
    widget.view.pick_button.click()
    first, second = points_of(viewer)

    def shown() -> list[Any]:
        return [layer for layer in viewer.layers if layer.visible]

    assert shown() == [ir, first]
    late = viewer.add_image(ir.data, name="late")
    first.add((10, 20))
    assert shown() == [visible, second]
    widget.view.pick_button.click()
    assert shown() == [ir, visible, fused, first, second, late]
    assert not hidden.visible
    fused.visible = False
    widget.view.pick_button.click()
    viewer.layers.remove(late)
    widget.points.clear()
    assert shown() == [ir, visible]


def test_points_follow_layers_that_are_moved_by_hand(widget, viewer):
    ir, visible = viewer.layers
    widget.points.start(ir, visible)
    (first, _second) = points_of(viewer)
    first.add((10, 20))
    ir.translate = (50, 60)
    np.testing.assert_allclose(first.data_to_world((10, 20)), ir.data_to_world((10, 20)))


def test_run_and_check_say_why_they_cannot(widget, viewer):
    ir = viewer.layers[0]
    assert widget.message == ""
    ir.units = ("s", "s")
    assert "unit" in widget.message
    assert not widget.view.run_bar.button.isEnabled()
    assert not widget.view.check_button.isEnabled()
    for start in (widget.run, widget.run_check):
        with ir.events.units.blocker():  # a change that nobody tells of
            ir.units = ("pixel", "pixel")
        widget._refresh()
        assert widget.message == ""
        with ir.events.units.blocker():
            ir.units = ("s", "s")
        start()
        assert not widget.running
        assert "unit" in widget.message


def test_cancelling_changes_nothing(widget, viewer, qtbot, monkeypatch):
    before = np.array(viewer.layers[0].affine.affine_matrix)

    def endless(request, progress, cancelled):
        while True:
            progress(0, 0, "Searching")
            if cancelled():
                raise Cancelled

    monkeypatch.setattr(align_jobs, "align", endless)
    widget.run()
    qtbot.waitUntil(lambda: widget.view.run_bar.running)
    assert not widget.view.check_button.isEnabled()
    widget.cancel()
    finished(qtbot, widget)
    assert widget.message == "Cancelled; nothing was changed."
    np.testing.assert_array_equal(viewer.layers[0].affine.affine_matrix, before)


def test_failures_are_said(widget, viewer, qtbot, monkeypatch):
    def fail(request, progress, cancelled):
        raise AlignmentError("It cannot be done.")

    monkeypatch.setattr(align_jobs, "check", fail)
    widget.view.check_button.click()
    finished(qtbot, widget)
    assert widget.message == "It cannot be done."
    assert widget.view.run_bar.message.level == "error"
    viewer.layers.remove(viewer.layers["visible"])
    assert "Choose a visible layer" in widget.message
    assert not widget.view.run_bar.button.isEnabled()
    assert not widget.view.check_button.isEnabled()


def test_layers_that_lie_apart_can_be_aligned(widget, viewer):
    """Fusing them makes no sense, which is why they are brought here."""
    viewer.layers[0].translate = (1e4, 1e4)
    assert widget.message == ""
    np.testing.assert_array_equal(widget.request().start, np.eye(3))


# -- points ----------------------------------------------------------------------------------------------------------


def points_of(viewer: ViewerModel) -> list[Points]:
    return [layer for layer in viewer.layers if isinstance(layer, Points)]


def test_points_are_clicked_in_turn_and_fit_while_one_clicks(widget, viewer):
    ir, visible = viewer.layers
    widget.view.pick_button.click()
    first, second = points_of(viewer)
    assert "Click point 1 in the infrared image" in widget.view.prompt.text()
    assert viewer.layers.selection.active is first
    assert first.mode == "add"
    assert (ir.visible, visible.visible) == (True, False)
    places = np.array([[10, 20], [80, 100], [60, 30], [20, 90.0]])
    for number, place in enumerate(places):
        first.add(place)
        assert viewer.layers.selection.active is second
        assert (ir.visible, visible.visible) == (False, True)
        assert f"point {number + 1} in the visible" in widget.view.prompt.text()
        second.add(place + (5, -7) + (3.0 if number == 3 else 0.0))
        assert viewer.layers.selection.active is first
        assert list(second.features["number"]) == list(range(1, number + 2))
    table = widget.view.table
    assert table.rowCount() == 4
    off = [float(table.item(row, 2).text()) for row in range(4)]
    residuals = nif.align_points(places, second.data).residuals
    np.testing.assert_allclose(off, residuals, atol=0.051)
    worst = int(np.argmax(residuals))
    colours = {row: table.item(row, 2).foreground().color().name() for row in range(4)}
    assert [row for row in colours if colours[row] == "#d55e00"] == [worst]
    assert len({tuple(colour) for colour in second.border_color}) == 2
    widget.view.pick_button.click()
    assert (ir.visible, visible.visible) == (True, True)
    assert widget.view.pick_button.text() == "Set points"


def test_applied_points_move_the_layer_and_the_points_with_it(widget, viewer):
    ir, visible = viewer.layers
    widget.points.start(ir, visible)
    first, second = points_of(viewer)
    places = np.array([[10, 20], [80, 100], [60, 30.0]])
    # where the points lie in the world is where their images' pixels lie
    np.testing.assert_allclose(first.data_to_world(places[0]), ir.data_to_world(places[0]))
    np.testing.assert_allclose(second.data_to_world(places[0]), visible.data_to_world(places[0]))
    before = np.array(ir.affine.affine_matrix)
    first.data, second.data = places, places + np.array([5, -7])
    widget.view.fit_button.click()
    np.testing.assert_allclose(matrix_between(ir, visible), SHIFT, atol=1e-6)
    np.testing.assert_allclose(first.data_to_world(places[1]), second.data_to_world(second.data[1]))
    assert "3 pairs fit to 0.0 px" in widget.message
    widget.undo()
    np.testing.assert_allclose(ir.affine.affine_matrix, before)
    np.testing.assert_allclose(first.data_to_world(places[0]), ir.data_to_world(places[0]))


def test_pairs_are_removed_together_and_wrong_ones_left_out(widget, viewer):
    widget.points.start(*viewer.layers)
    first, second = points_of(viewer)
    places = np.array([[10, 20], [80, 100], [60, 30], [20, 90], [50, 60.0]])
    first.data, second.data = places, places + np.array([5, -7])
    second.data = np.vstack([second.data[:4], [[90, 10]]])
    widget.view.robust_box.value = True
    assert widget.view.table.item(4, 2).text().startswith("(")
    assert "1 left out" in widget.view.prompt.text()
    widget.view.table.selectRow(4)
    widget.view.remove_button.click()
    assert len(first.data) == len(second.data) == widget.view.table.rowCount() == 4
    assert list(first.features["number"]) == [1, 2, 3, 4]
    widget.view.model_box.value = "affine"
    widget.view.remove_button.click()
    assert "affine needs at least 4 pairs" in widget.view.prompt.text()
    assert not widget.view.fit_button.isEnabled()


def test_points_move_no_other_layers_than_those_in_the_boxes(widget, viewer):
    ir, visible = viewer.layers
    other = [viewer.add_image(layer.data, name=f"other {layer.name}") for layer in (ir, visible)]
    widget.view.pick_button.click()
    first, second = points_of(viewer)
    for place in np.array([[10, 20], [80, 100], [60, 30.0]]):
        first.add(place)
        second.add(place + np.array([5, -7]))
    affines = [np.array(layer.affine.affine_matrix) for layer in (ir, other[0])]
    widget.view.layers.choose(*other)
    assert not widget.points.picking
    assert (ir.visible, visible.visible) == (True, True)
    assert widget.view.prompt.text().startswith("The points are on 'infrared' and 'visible'")
    assert widget.view.table.rowCount() == 0
    assert not widget.view.fit_button.isEnabled()
    assert not widget.view.remove_button.isEnabled()
    widget.apply_points()
    for layer, affine in zip((ir, other[0]), affines, strict=True):
        np.testing.assert_array_equal(layer.affine.affine_matrix, affine)
    widget.view.layers.choose(ir, visible)
    assert widget.view.table.rowCount() == 3
    widget.view.fit_button.click()
    assert widget.message.startswith("'infrared' was moved. ")
    np.testing.assert_allclose(matrix_between(ir, visible), SHIFT, atol=1e-6)
    widget.view.layers.choose(*other)
    widget.view.pick_button.click()
    assert widget.points.images == tuple(other)
    assert widget.points.counts == (0, 0)
    assert "Click point 1" in widget.view.prompt.text()


def test_points_end_with_their_layers(widget, viewer):
    ir, visible = viewer.layers
    widget.points.start(ir, visible)
    viewer.layers.remove(points_of(viewer)[0])
    assert points_of(viewer) == []
    assert widget.points.counts == (0, 0)
    assert (ir.visible, visible.visible) == (True, True)
    widget.points.start(ir, visible)
    viewer.layers.remove(visible)
    assert points_of(viewer) == []


# -- files, settings, the end ----------------------------------------------------------------------------------------


def test_files_lead_out_and_back(widget, viewer, tmp_path):
    ir, visible = viewer.layers
    ir.affine = affine_for(ir, visible, SHIFT)
    widget.save(tmp_path / "a.json")
    written = nif.read_alignment(tmp_path / "a.json")
    np.testing.assert_allclose(written.ir_to_visible, SHIFT, atol=1e-9)
    assert written.ir_shape == SIZE
    ir.affine = np.eye(3)
    widget.load(tmp_path / "a.json")
    np.testing.assert_allclose(matrix_between(ir, visible), SHIFT, atol=1e-9)
    tilted = SHIFT.copy()
    tilted[2, 0] = 1e-4
    nif.write_alignment(tmp_path / "h.json", nif.Alignment(tilted, "homography", None, None))
    widget.load(tmp_path / "h.json")
    assert "a layer cannot be in perspective" in widget.message
    nif.write_alignment(tmp_path / "o.json", nif.Alignment(SHIFT, "affine", (3, 4), None))
    widget.load(tmp_path / "o.json")
    assert "4×3" in widget.message
    assert widget.view.run_bar.message.level == "error"
    np.testing.assert_allclose(matrix_between(ir, visible), SHIFT, atol=1e-9)


def test_settings_are_remembered(viewer, qtbot):
    first = AlignWidget(viewer)
    qtbot.addWidget(first.native)
    first.view.model_box.value = "affine"
    first.view.robust_box.value = True
    first.view.sections["points"].expanded = True
    first._save()
    second = AlignWidget(viewer)
    qtbot.addWidget(second.native)
    assert second.view.state() == first.view.state()
    assert second.view.model == "affine"
    settings.save("align", {"model": "homography", "open": 3, "reach": None})
    third = AlignWidget(viewer)
    qtbot.addWidget(third.native)
    assert third.view.model == "similarity"


def test_only_what_a_layer_can_show_is_offered(widget):
    assert widget.view.model_box.choices == ("translation", "similarity", "affine")
    assert "command line" in widget.view.model_box.tooltip


def test_a_destroyed_widget_lets_the_viewer_go(viewer, qtbot):
    widget = AlignWidget(viewer, remember=False)
    alive = weakref.ref(widget)
    widget.native.deleteLater()
    del widget

    def gone() -> bool:
        gc.collect()
        return alive() is None

    qtbot.waitUntil(gone)
    viewer.add_image(np.zeros(SIZE, np.uint8), name="another")


# -- a real viewer ---------------------------------------------------------------------------------------------------


@pytest.fixture
def real(make_napari_viewer, qtbot):
    """Return a real viewer with a pair, and the widget while points are being set."""
    viewer = make_napari_viewer()
    ir, visible = grey_pair(*SIZE)
    viewer.add_image(ir, name="infrared")
    viewer.add_image(visible, name="visible")
    widget = AlignWidget(viewer, remember=False)
    viewer.window.add_dock_widget(widget, name="Align")
    widget.view.pick_button.click()
    return viewer, widget


@pytest.mark.viewer
def test_pairs_are_removed_while_points_are_being_set(real):
    """The layer whose turn it is not is hidden, and napari draws hidden layers by their last slice."""
    viewer, widget = real
    first, second = points_of(viewer)
    for place in ((10, 20), (80, 100), (60, 30)):
        first.add(place)
        second.add(place)
    widget.view.remove_button.click()
    assert widget.points.counts == (2, 2)
    assert widget.view.table.rowCount() == 2
    first.selected_data = {0}
    first.remove_selected()  # as the user does it, with the Delete key
    assert widget.points.counts == (1, 2)
    assert "Click point 2 in the infrared image" in widget.view.prompt.text()
    first.add((5, 5))
    second.selected_data = {0, 1}
    second.remove_selected()
    assert [list(layer.features["number"]) for layer in (first, second)] == [[1, 2], []]
    assert first.visible is False
