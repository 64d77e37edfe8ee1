"""The fuse widget docked in a real viewer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QThreadPool

from napari_irvisfuse._widgets import launch
from napari_irvisfuse._widgets.fuse import FuseWidget

pytestmark = pytest.mark.viewer
TAG = "irvisfuse"


def images(size: tuple[int, int] = (48, 64)) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    return generator.integers(0, 256, size, dtype=np.uint8), generator.integers(0, 256, (*size, 3), dtype=np.uint8)


def no_thread() -> bool:
    return QThreadPool.globalInstance().activeThreadCount() == 0


def maps(viewer: Any) -> set[str]:
    return {layer.metadata[TAG]["map"] for layer in viewer.layers if TAG in layer.metadata}


def test_docked_from_the_plugin_menu(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    ir, visible = images((480, 640))
    viewer.add_image(ir, name="infrared")
    viewer.add_image(visible, name="visible", rgb=True)
    dock, widget = viewer.window.add_plugin_dock_widget("napari-irvisfuse", "Fuse")
    assert isinstance(widget, FuseWidget)
    widget.choose("wls")
    widget.run()
    qtbot.waitUntil(lambda: "fused" in maps(viewer) and not widget.running, timeout=30_000)
    assert widget.view.run_bar.message.level == "success"

    before = viewer.layers["fused · WLS"].data.copy()
    widget.view.form.control("detail_gain").value = 3.0
    qtbot.waitUntil(lambda: not np.array_equal(viewer.layers["fused · WLS"].data, before), timeout=10_000)

    widget.view.form.control("iterations").value = 10
    widget.run()
    dock.destroyOnClose()  # the "x"
    qtbot.waitUntil(no_thread, timeout=1000)
    viewer.layers.remove("infrared")  # nobody listens any more


def test_the_demo_shows_everything(make_napari_viewer, qtbot, monkeypatch):
    import napari

    made = []

    def viewer(**kwargs: Any) -> Any:
        made.append(make_napari_viewer())
        return made[0]

    def until_closed() -> None:
        qtbot.waitUntil(lambda: "base_weight" in maps(made[0]), timeout=30_000)

    monkeypatch.setattr(napari, "Viewer", viewer)
    monkeypatch.setattr(napari, "run", until_closed)
    launch.show_demo(*images(), "wls", {"detail_gain": 2.0})
    assert [layer.name for layer in made[0].layers][:2] == ["infrared", "visible"]
    assert made[0].layers["fused · WLS"].metadata[TAG]["recipe"]["parameters"]["detail_gain"] == 2.0
    qtbot.waitUntil(no_thread, timeout=5000)


def test_the_demo_leaves_room_for_the_whole_picture(make_napari_viewer, qtbot, monkeypatch):
    import napari

    viewer = make_napari_viewer()
    monkeypatch.setattr(napari, "Viewer", lambda **kwargs: viewer)
    fitted = []
    monkeypatch.setattr(
        type(viewer), "reset_view", lambda self, **kwargs: fitted.append(viewer.window._qt_window.size())
    )
    demo = launch.open_demo(*images(), "wls")
    fitted.clear()
    qtbot.waitUntil(lambda: len(fitted) > 0, timeout=5000)
    screen = viewer.window._qt_window.screen().availableSize()
    assert fitted[-1].width() <= max(screen.width(), viewer.window._qt_window.minimumSizeHint().width())
    assert fitted[-1].width() >= min(1400, screen.width())
    qtbot.waitUntil(lambda: "fused" in maps(viewer) and not demo.widget.running, timeout=30_000)
    qtbot.waitUntil(no_thread, timeout=5000)
