"""The warning in the fuse widget: when it is checked, what is said, and that nothing is in the way of a fusion."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from typing import Any

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Image
from qtpy.QtCore import QThreadPool

from napari_irvisfuse._widgets import align_jobs, alignment_watch, settings
from napari_irvisfuse._widgets.align import AlignWidget
from napari_irvisfuse._widgets.fuse import FuseWidget
from napari_irvisfuse._widgets.layer_geometry import matrix_between
from napari_irvisfuse._widgets.small_planes import small_plane
from napari_irvisfuse.alignment.detect import AlignmentCheck
from napari_irvisfuse.errors import Cancelled, ImageError
from napari_irvisfuse.samples.scene import grey_pair

SIZE = (96, 128)
WRONG = "The images are not aligned: parts of them are typically 7 px from each other."


def verdict(word: str, sentence: str = "Said.") -> AlignmentCheck:
    return AlignmentCheck(word, 7.0, 0.5, 0.9, 0.1, sentence, {})  # type: ignore[arg-type]


class Checks:
    """Stands in for the check: notes what it is asked, and answers as told."""

    def __init__(self) -> None:
        self.asked: list[align_jobs.Request] = []
        self.answer: AlignmentCheck | Exception = verdict("misaligned", WRONG)
        self.go_on = threading.Event()
        self.go_on.set()
        self.cancelled = 0

    def __call__(self, request: align_jobs.Request, progress: Any, cancelled: Any) -> AlignmentCheck:
        self.asked.append(request)
        while not self.go_on.wait(0.005):
            if cancelled():
                self.cancelled += 1
                raise Cancelled
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    values = {"default_method": "average", "device": "cpu", "maps": "fused", "remember_settings": False}
    monkeypatch.setattr(settings, "preference", values.__getitem__)
    monkeypatch.setattr(alignment_watch, "_WAIT_MS", 30)


@pytest.fixture
def checks(monkeypatch):
    made = Checks()
    monkeypatch.setattr(align_jobs, "check", made)
    return made


@pytest.fixture
def viewer():
    ir, visible = grey_pair(*SIZE)
    model = ViewerModel()
    model.add_image(ir, name="infrared", units=("mm", "mm"))
    model.add_image(visible, name="visible", units=("mm", "mm"))
    return model


@pytest.fixture
def make(qtbot):
    made = []

    def make(viewer: ViewerModel) -> FuseWidget:
        widget = FuseWidget(viewer, remember=False)
        qtbot.addWidget(widget.native)
        qtbot.waitUntil(lambda: widget.ready, timeout=20_000)
        made.append(weakref.ref(widget))
        return widget

    yield make
    for reference in made:
        if (widget := reference()) is not None:
            widget.cancel()
            widget.alignment.hold()
    qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0, timeout=10_000)


def settled(qtbot: Any, widget: FuseWidget) -> None:
    qtbot.waitUntil(lambda: not widget.alignment.waiting and not widget.running, timeout=20_000)


def test_a_pair_that_is_not_aligned_is_said_so_before_anybody_runs(make, viewer, checks, qtbot):
    widget = make(viewer)
    settled(qtbot, widget)
    notice = widget.view.alignment
    assert notice.message.text == WRONG
    assert notice.message.level == "warning"
    assert not notice.native.isHidden()
    assert not notice.align_button.isHidden()
    assert widget.view.run_bar.button.isEnabled()  # it is a warning, no obstacle
    (request,) = checks.asked
    assert (request.ir, request.visible) == tuple(viewer.layers)
    np.testing.assert_array_equal(request.start, np.eye(3))


def test_an_aligned_pair_is_passed_over_in_silence(make, viewer, checks, qtbot):
    checks.answer = verdict("aligned")
    widget = make(viewer)
    settled(qtbot, widget)
    assert checks.asked
    assert widget.view.alignment.native.isHidden()


def test_where_nothing_can_be_told_one_quiet_line_says_so(make, viewer, checks, qtbot):
    checks.answer = verdict("unclear", "Compare them by eye.")
    widget = make(viewer)
    settled(qtbot, widget)
    notice = widget.view.alignment
    assert notice.text == notice.unclear.text() == "Compare them by eye."
    assert notice.message.isHidden()
    assert notice.align_button.isHidden()


def test_a_moved_layer_is_checked_once_it_lies_still_and_a_place_seen_before_is_not(make, viewer, checks, qtbot):
    widget = make(viewer)
    settled(qtbot, widget)
    ir = viewer.layers["infrared"]
    for shift in range(1, 9):
        ir.translate = (0, shift)
    assert widget.view.alignment.text == ""  # it was said of another place
    checks.answer = verdict("aligned")
    settled(qtbot, widget)
    assert [request.start[1, 2] for request in checks.asked] == [0, 8]
    assert widget.view.alignment.text == ""
    ir.translate = (0, 0)
    assert widget.view.alignment.text == WRONG
    ir.affine = np.diag([1.1, 1.1, 1])
    ir.affine = np.eye(3)
    assert not widget.alignment.waiting
    assert len(checks.asked) == 2


def test_only_what_matters_is_a_reason_to_check_again(make, viewer, checks, qtbot):
    widget = make(viewer)
    settled(qtbot, widget)
    ir = viewer.layers["infrared"]
    ir.name, ir.opacity, ir.colormap = "thermal", 0.5, "inferno"
    viewer.add_image(np.zeros((50, 60)), name="another")
    viewer.layers.move(0, 2)
    viewer.layers["another"].translate = (3, 3)
    viewer.dims.set_current_step(0, 2)
    assert not widget.alignment.waiting
    assert (widget.view.layers.ir, widget.view.layers.visible) == (ir, viewer.layers["visible"])
    assert widget.view.alignment.text == WRONG
    ir.data = ir.data.copy()
    assert widget.view.alignment.text == ""
    settled(qtbot, widget)
    assert len(checks.asked) == 2


def test_another_choice_takes_the_place_of_a_running_check(make, viewer, checks, qtbot):
    checks.go_on.clear()
    widget = make(viewer)
    qtbot.waitUntil(lambda: len(checks.asked) == 1, timeout=5000)
    other = viewer.add_image(viewer.layers["infrared"].data[::-1].copy(), name="another", units=("mm", "mm"))
    widget.view.layers.choose(other, viewer.layers["visible"])
    qtbot.waitUntil(lambda: len(checks.asked) == 2, timeout=5000)
    assert checks.cancelled == 1
    checks.go_on.set()
    settled(qtbot, widget)
    assert [request.ir.name for request in checks.asked] == ["infrared", "another"]
    widget.view.layers.choose(None, viewer.layers["visible"])
    assert widget.view.alignment.text == ""


def test_a_fusion_comes_first(make, viewer, checks, qtbot):
    checks.go_on.clear()
    widget = make(viewer)
    qtbot.waitUntil(lambda: len(checks.asked) == 1, timeout=5000)
    widget.run()
    start = time.perf_counter()
    qtbot.waitUntil(lambda: checks.cancelled == 1, timeout=1000)
    assert time.perf_counter() - start < 1
    qtbot.waitUntil(lambda: not widget.running, timeout=20_000)
    assert "fused" in widget.message
    checks.go_on.set()
    settled(qtbot, widget)
    assert len(checks.asked) == 2  # what was left to check
    assert widget.view.alignment.text == WRONG


def test_of_a_stack_the_displayed_frame_is_checked_and_a_warning_stays_meanwhile(make, checks, qtbot):
    ir, visible = grey_pair(*SIZE)
    viewer = ViewerModel()
    viewer.add_image(np.stack([ir] * 4), name="infrared")
    viewer.add_image(np.stack([visible] * 4), name="visible")
    viewer.dims.set_current_step(0, 0)
    widget = make(viewer)
    settled(qtbot, widget)
    for frame in (1, 2, 3):
        viewer.dims.set_current_step(0, frame)
        assert widget.view.alignment.text == WRONG
    settled(qtbot, widget)
    assert [request.ir_step[0] for request in checks.asked] == [0, 3]


def test_layers_that_have_to_be_placed_first_are_not_checked(make, checks, qtbot):
    viewer = ViewerModel()
    viewer.add_image(np.zeros((48, 64), np.uint8), name="infrared")
    viewer.add_image(np.zeros((96, 128), np.uint8), name="visible")
    widget = make(viewer)
    assert not widget.alignment.waiting
    widget.view.grid.fit_button.click()
    settled(qtbot, widget)
    assert len(checks.asked) == 1
    viewer.layers["infrared"].translate = (1e4, 0)  # apart: Run says it
    assert not widget.alignment.waiting
    assert widget.view.alignment.text == ""


def test_a_check_that_fails_says_nothing(make, viewer, checks, qtbot, caplog):
    checks.answer = ImageError("Every pixel is NaN.")
    widget = make(viewer)
    settled(qtbot, widget)
    assert (widget.view.alignment.text, widget.message) == ("", "")
    assert not caplog.records
    checks.answer = RuntimeError("out of luck")
    viewer.layers["infrared"].translate = (1, 1)
    settled(qtbot, widget)
    assert widget.view.alignment.text == ""
    assert "cannot be checked" in caplog.text


def test_nothing_is_kept_alive(make, viewer, checks, qtbot):
    widget = make(viewer)
    settled(qtbot, widget)
    layer = weakref.ref(viewer.layers["infrared"])
    data = weakref.ref(viewer.layers["infrared"].data)
    checks.asked.clear()
    viewer.layers.remove("infrared")
    settled(qtbot, widget)
    gc.collect()
    assert (layer(), data()) == (None, None)


def test_the_real_check(make, viewer, qtbot):
    """The real thing, small: the scene's images, one of them moved."""
    viewer.layers["infrared"].translate = (0, 8)
    widget = make(viewer)
    settled(qtbot, widget)
    assert widget.view.alignment.message.text.startswith("The images are not aligned: parts of them are typically")
    viewer.layers["infrared"].translate = (0, 0)
    settled(qtbot, widget)
    assert widget.view.alignment.text == ""


@pytest.mark.viewer
def test_the_button_opens_the_align_widget_with_the_same_layers(make_napari_viewer, checks, qtbot):
    viewer = make_napari_viewer()
    ir, visible = grey_pair(*SIZE)
    layers = [viewer.add_image(visible, name="b"), viewer.add_image(ir, name="a")]
    viewer.add_image(ir, name="thermal, another")
    _dock, widget = viewer.window.add_plugin_dock_widget("napari-irvisfuse", "Fuse")
    widget.view.layers.choose(layers[1], layers[0])
    qtbot.waitUntil(lambda: widget.view.alignment.text == WRONG, timeout=20_000)
    widget.view.alignment.align_button.click()
    dock, align = viewer.window.add_plugin_dock_widget("napari-irvisfuse", "Align")
    assert isinstance(align, AlignWidget)
    assert (align.view.layers.ir, align.view.layers.visible) == (layers[1], layers[0])
    dock.hide()
    widget.view.layers.swap()
    qtbot.waitUntil(lambda: widget.view.alignment.text == WRONG and not widget.alignment.waiting, timeout=20_000)
    widget.view.alignment.align_button.click()
    assert not dock.isHidden()
    assert align.view.layers.ir is layers[0]


# -- planes at a small size ------------------------------------------------------------------------------------------


@given(
    size=st.tuples(st.integers(16, 90), st.integers(16, 90)),
    longer=st.integers(16, 64),
    channels=st.sampled_from([(), (3,)]),
    kind=st.sampled_from(["uint8", "uint16", "float32", "bool"]),
)
def test_a_small_plane_is_the_mean_of_blocks(size, longer, channels, kind):
    data = (np.random.default_rng(0).random((*size, *channels)) * (1 if kind in ("float32", "bool") else 250)).round(2)
    layer = Image(data.astype(kind) if kind != "bool" else data > 0.5, rgb=bool(channels))
    small, covers = small_plane(layer, (0, 0), longer, lambda: False)
    factor = covers[0] // small.shape[0]
    assert max(small.shape[:2]) >= min(longer, max(size))
    assert max(small.shape[:2]) < 2 * longer or min(small.shape[:2]) < 32
    assert tuple(side * factor for side in small.shape[:2]) == covers
    assert all(0 <= side - part < factor for side, part in zip(size, covers, strict=True))
    block = np.asarray(layer.data)[:factor, :factor].reshape(factor * factor, *channels).mean(0, dtype=float)
    np.testing.assert_allclose(small[0, 0], block, atol=0.51 if kind.startswith("u") else 1e-5)


def test_of_a_pyramid_only_the_level_that_is_needed_is_read():
    read = []

    def level(size: int) -> da.Array:
        def block(block_info: Any = None) -> np.ndarray:
            read.append(size)
            return np.full((size, size), 7, np.uint8)

        return da.map_blocks(block, chunks=((size,), (size,)), dtype=np.uint8, meta=np.empty((0, 0), np.uint8))

    layer = Image([level(2048), level(1024), level(512)], multiscale=True, contrast_limits=(0, 255))
    read.clear()
    small, covers = small_plane(layer, (0, 0), 640, lambda: False)
    assert set(read) == {1024}
    assert (small.shape, covers) == ((1024, 1024), (2048, 2048))


def test_shrinking_can_be_stopped():
    with pytest.raises(Cancelled):
        small_plane(Image(np.zeros((3000, 3000), np.uint8)), (0, 0), 640, lambda: True)


def test_offsets_are_in_the_pixels_of_the_layer():
    ir, visible = (np.kron(image, np.ones((12, 12), np.uint8)) for image in grey_pair(120, 160))
    layers = Image(ir, translate=(0, 96)), Image([visible, visible[::2, ::2]], multiscale=True)
    request = align_jobs.Request(*layers, (0, 0), (0, 0), matrix_between(*layers))
    found = align_jobs.check(request, lambda *_: None, lambda: False)
    assert found.verdict == "misaligned"
    assert found.offset == pytest.approx(96, abs=16)
