from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QThreadPool, QTimer
from qtpy.QtWidgets import QApplication, QProgressDialog, QPushButton

from napari_irvisfuse._widgets import sample_data
from napari_irvisfuse._widgets.layers import guess_pair, problem_with
from napari_irvisfuse.errors import Cancelled, DownloadError
from napari_irvisfuse.images.files import write_image
from napari_irvisfuse.samples import roadscene, scene

RNG = np.random.default_rng(3)
IR = RNG.integers(0, 256, (64, 80), dtype=np.uint8)
VISIBLE = RNG.integers(0, 256, (64, 80, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def _no_job_left(qtbot: Any) -> Any:
    yield
    assert QThreadPool.globalInstance().waitForDone(5000)
    qtbot.wait(10)


@pytest.fixture
def small_scene(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the scene be small, and so quick."""
    for name in ("grey_pair", "colour_pair", "radiometric_pair"):
        full = getattr(scene, name)
        monkeypatch.setattr(scene, name, lambda full=full: full(96, 128))
    full_sequence = scene.sequence
    monkeypatch.setattr(scene, "sequence", lambda: full_sequence(64, 64, frames=2))


def in_viewer(data: list[Any]) -> ViewerModel:
    viewer = ViewerModel()
    for item in data:
        viewer._add_layer_from_data(*item)
    return viewer


@pytest.mark.usefixtures("small_scene")
@pytest.mark.parametrize(
    ("open_sample", "dtype", "rgb"),
    [
        (sample_data.grey, np.uint8, False),
        (sample_data.colour, np.uint8, True),
        (sample_data.radiometric, np.uint16, True),
    ],
)
def test_the_street(open_sample: Any, dtype: Any, rgb: bool) -> None:
    viewer = in_viewer(open_sample())
    assert [layer.name for layer in viewer.layers] == ["infrared", "visible"]
    ir, visible = viewer.layers
    assert (ir.dtype, visible.dtype) == (dtype, dtype)
    assert (ir.rgb, visible.rgb) == (False, rgb)
    assert ir.colormap.name == "gray"
    assert guess_pair(viewer.layers) == (ir, visible)
    assert problem_with(ir, visible) is None
    low, high = ir.contrast_limits
    if dtype == np.uint16:
        assert 25000 < low < high < 35000  # what a night street's temperatures are
    else:
        assert (low, high) == (0, 255)


@pytest.mark.usefixtures("small_scene")
def test_the_film() -> None:
    viewer = in_viewer(sample_data.sequence())
    ir, visible = viewer.layers
    assert (ir.ndim, visible.ndim, visible.rgb) == (3, 3, True)
    assert visible.axis_labels == ("t", "y", "x")
    assert problem_with(ir, visible) is None


def fake_fetch(folder: Path, delay: float = 0.0, error: Exception | None = None) -> Any:
    def fetch_pair(name: str, *, progress: Any = None, cancelled: Any = None) -> tuple[Path, Path]:
        assert threading.current_thread() is not threading.main_thread()
        end = time.monotonic() + delay
        while time.monotonic() < end:
            progress(50, 100, "Downloading, 50 of 100 bytes")
            if cancelled():
                raise Cancelled
            time.sleep(0.005)
        if error is not None:
            raise error
        return write_image(folder / "ir.png", IR), write_image(folder / "visible.png", VISIBLE)

    return fetch_pair


def test_roadscene_from_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(roadscene, "fetch_pair", fake_fetch(tmp_path))
    viewer = in_viewer(sample_data.roadscene("FLIR_00233"))
    ir, visible = viewer.layers
    assert (ir.name, visible.name) == ("FLIR_00233 infrared", "FLIR_00233 visible")
    np.testing.assert_array_equal(visible.data, VISIBLE)
    assert guess_pair(viewer.layers) == (ir, visible)


def dialogs() -> list[QProgressDialog]:
    return [widget for widget in QApplication.topLevelWidgets() if isinstance(widget, QProgressDialog)]


def test_a_download_shows_its_progress_and_leaves_the_window_alive(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, qtbot: Any
) -> None:
    monkeypatch.setattr(roadscene, "fetch_pair", fake_fetch(tmp_path, delay=0.8))
    ticks: list[float] = []
    seen: list[tuple[str, int, int]] = []

    def look() -> None:
        ticks.append(time.monotonic())
        seen.extend((d.labelText(), d.value(), d.maximum()) for d in dialogs() if d.isVisible())

    timer = QTimer()
    timer.timeout.connect(look)
    timer.start(20)
    data = sample_data.roadscene_00233()
    timer.stop()
    assert len(data) == 2
    assert ("Downloading, 50 of 100 bytes", 500, 1000) in seen
    assert max(np.diff(ticks)) < 0.4  # the event loop never stood still
    qtbot.waitUntil(lambda: not dialogs())


def test_a_download_can_be_cancelled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, qtbot: Any) -> None:
    monkeypatch.setattr(roadscene, "fetch_pair", fake_fetch(tmp_path, delay=20))

    def press() -> None:
        for dialog in dialogs():
            dialog.findChild(QPushButton).click()

    QTimer.singleShot(600, press)
    start = time.monotonic()
    with pytest.raises(Cancelled, match="not opened"):
        sample_data.roadscene_00233()
    assert time.monotonic() - start < 3
    qtbot.waitUntil(lambda: not dialogs())


def test_a_failed_download_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(roadscene, "fetch_pair", fake_fetch(tmp_path, error=DownloadError("There is no network.")))
    with pytest.raises(DownloadError, match="There is no network"):
        sample_data.roadscene_00233()


@pytest.mark.usefixtures("small_scene")
def test_without_a_gui_thread_the_work_is_simply_done() -> None:
    made: list[Any] = []
    thread = threading.Thread(target=lambda: made.extend(sample_data.grey()))
    thread.start()
    thread.join(20)
    assert len(made) == 2
