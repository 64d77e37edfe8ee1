"""A few tests of a real viewer, for what a ViewerModel cannot show."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
from napari.qt.threading import WorkerBase
from qtpy.QtCore import QThreadPool
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_irvisfuse import FusionSession
from napari_irvisfuse._widgets.jobs import JobRunner
from napari_irvisfuse._widgets.layers import TAG, add_result, guess_pair, pair_from_layers, update_result
from napari_irvisfuse.errors import Cancelled, DownloadError
from napari_irvisfuse.samples import roadscene, scene

pytestmark = pytest.mark.viewer
PLUGIN = "napari-irvisfuse"


@pytest.fixture
def docked(make_napari_viewer: Any, qtbot: Any) -> Any:
    """Return a viewer, a docked widget with a runner, and the log of a job that runs until it is stopped."""
    viewer = make_napari_viewer()
    widget = QWidget()
    widget.setLayout(QVBoxLayout())
    widget.layout().addWidget(QLabel("working"))
    dock = viewer.window.add_dock_widget(widget, name="test")
    runner = JobRunner(widget, "A long fusion")
    log: list[str] = []
    started, stopped = threading.Event(), threading.Event()

    def work(progress: Any, cancelled: Any) -> None:
        started.set()
        while not cancelled():
            progress(0, 0, "working")
            time.sleep(0.002)
        stopped.set()
        raise Cancelled

    runner.start(work, on_cancel=lambda: log.append("cancel"), on_finish=lambda: log.append("finish"))
    qtbot.waitUntil(started.is_set)
    yield viewer, dock, runner, log, stopped
    assert QThreadPool.globalInstance().waitForDone(2000)
    qtbot.waitUntil(lambda: not WorkerBase._worker_set)
    assert not JobRunner._busy


def test_the_x_of_the_dock_stops_the_job(docked: Any, qtbot: Any) -> None:
    _viewer, dock, runner, log, stopped = docked
    dock.destroyOnClose()
    qtbot.waitUntil(stopped.is_set, timeout=1000)
    qtbot.waitUntil(lambda: not runner.running, timeout=1000)
    assert log == ["cancel", "finish"]


def test_hiding_the_dock_does_not(docked: Any, qtbot: Any) -> None:
    _viewer, dock, runner, log, _stopped = docked
    dock.hide()
    qtbot.wait(150)
    assert runner.running
    assert log == []
    runner.cancel()
    assert runner.wait(1)


def test_closing_the_viewer_stops_the_job(docked: Any, qtbot: Any) -> None:
    viewer, _dock, _runner, log, stopped = docked
    assert any("A long fusion" in line for line in viewer.window._task_status_manager.get_status())
    viewer.close()
    qtbot.waitUntil(stopped.is_set, timeout=1000)
    assert log in ([], ["cancel", "finish"])


def test_a_finished_job_is_not_asked_about(docked: Any) -> None:
    viewer, _dock, runner, _log, _stopped = docked
    runner.start(lambda progress, cancelled: None)
    runner.start(lambda progress, cancelled: None)
    assert runner.wait(2)
    assert viewer.window._task_status_manager.get_status() == []


def test_closing_stops_a_job_that_nobody_asked_for_without_a_question(make_napari_viewer: Any, qtbot: Any) -> None:
    viewer = make_napari_viewer()
    widget = QWidget()
    viewer.window.add_dock_widget(widget, name="test")
    runner = JobRunner(widget, "Something small", unasked=True)
    started, stopped = threading.Event(), threading.Event()

    def work(progress: Any, cancelled: Any) -> None:
        started.set()
        while not cancelled():
            time.sleep(0.002)
        stopped.set()
        raise Cancelled

    runner.start(work)
    qtbot.waitUntil(started.is_set)
    assert viewer.window._task_status_manager.get_status() == []
    viewer.close()
    qtbot.waitUntil(stopped.is_set, timeout=1000)
    assert QThreadPool.globalInstance().waitForDone(2000)


def test_sample_fusion_and_live_update(make_napari_viewer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    full = scene.radiometric_pair
    monkeypatch.setattr(scene, "radiometric_pair", lambda: full(96, 128))
    viewer = make_napari_viewer()
    viewer.open_sample(PLUGIN, "street_16bit")
    ir, visible = guess_pair(viewer.layers)
    assert (ir, visible) == tuple(viewer.layers)
    for layer in (ir, visible):
        layer.scale, layer.rotate, layer.units = (0.5, 0.5), 20, ("mm", "mm")
    session = FusionSession(pair_from_layers(ir, visible, step=viewer.dims.current_step), device="cpu")
    layers = add_result(viewer, session.fuse("average"), ir, visible, show="everything", replace=False)
    assert layers[0].rgb
    np.testing.assert_allclose(layers[0].extent.world, visible.extent.world)
    layers[-1].visible = True
    update_result(viewer, session.fuse("average", ir_weight=0.25))
    assert layers[0].metadata[TAG]["recipe"]["parameters"]["ir_weight"] == 0.25
    again = add_result(viewer, session.fuse("max"), ir, visible, show="fused", replace=True)
    assert again == [layers[0]]
    assert len(viewer.layers) == 3


def test_the_menu_has_the_widget(make_napari_viewer: Any) -> None:
    from napari._app_model import get_app_model

    make_napari_viewer()
    menus = get_app_model().menus
    submenus = [item.submenu for item in menus.get_menu("napari/layers/filter") if hasattr(item, "submenu")]
    assert "napari-irvisfuse.filter" in submenus
    titles = [item.command.title for item in menus.get_menu("napari-irvisfuse.filter")]
    assert len(titles) == 1
    assert "Fuse" in titles[0]


def test_a_failed_download_is_an_ordinary_exception(make_napari_viewer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str, **kwargs: Any) -> None:
        raise DownloadError("There is no network.")

    monkeypatch.setattr(roadscene, "fetch_pair", fail)
    viewer = make_napari_viewer()
    with pytest.raises(DownloadError, match="no network"):
        viewer.open_sample(PLUGIN, "roadscene_00233")
    assert len(viewer.layers) == 0
