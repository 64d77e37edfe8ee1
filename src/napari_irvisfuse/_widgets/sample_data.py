"""The entries of File → Open Sample.

napari calls these functions on the GUI thread and takes what they return; a promise for later it does not take. So
that neither rendering a film nor a download freezes the window, the work runs in a thread while the function
waits in a dialog that shows the progress and can be cancelled.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from napari_irvisfuse.errors import Cancelled
from napari_irvisfuse.types import Cancel, Progress

__all__ = ["colour", "grey", "radiometric", "roadscene", "sequence"]

LayerData: TypeAlias = tuple[npt.NDArray[Any], dict[str, Any], str]
Pair: TypeAlias = tuple[npt.NDArray[Any], npt.NDArray[Any]]

_DIALOG_AFTER_S = 0.3  # what is quicker than this needs no dialog


def grey() -> list[LayerData]:
    """Return the night street, both images grey, 8 bit."""
    return _layers(*_in_background(lambda progress, cancelled: _scene().grey_pair(), "Rendering the street"))


def colour() -> list[LayerData]:
    """Return the night street, infrared grey and visible in colour, 8 bit."""
    return _layers(*_in_background(lambda progress, cancelled: _scene().colour_pair(), "Rendering the street"))


def radiometric() -> list[LayerData]:
    """Return the night street in 16 bit: infrared in hundredths of a kelvin, visible in colour."""
    return _layers(*_in_background(lambda progress, cancelled: _scene().radiometric_pair(), "Rendering the street"))


def sequence() -> list[LayerData]:
    """Return three seconds of the night street: ``(T, H, W)`` and ``(T, H, W, 3)``."""
    return _layers(*_in_background(lambda progress, cancelled: _scene().sequence(), "Rendering 24 frames"))


def roadscene(name: str) -> list[LayerData]:
    """Return a real pair of the RoadScene data set, downloaded once.

    Parameters
    ----------
    name
        Of one of ``napari_irvisfuse.samples.roadscene.PAIRS``.

    Raises
    ------
    DownloadError
        If it is neither here nor to be had.
    Cancelled
        If the user cancelled the download.
    """
    from napari_irvisfuse.images.files import read_image
    from napari_irvisfuse.samples.roadscene import fetch_pair

    def fetch(progress: Progress, cancelled: Cancel) -> Pair:
        ir, visible = fetch_pair(name, progress=progress, cancelled=cancelled)
        return read_image(ir), read_image(visible)

    return _layers(*_in_background(fetch, f"Downloading RoadScene {name}"), prefix=f"{name} ")


# A command of the manifest takes no arguments.
roadscene_00233 = partial(roadscene, "FLIR_00233")
roadscene_05027 = partial(roadscene, "FLIR_05027")
roadscene_06570 = partial(roadscene, "FLIR_06570")
roadscene_05697 = partial(roadscene, "FLIR_05697")
roadscene_06236 = partial(roadscene, "FLIR_06236")
roadscene_07620 = partial(roadscene, "FLIR_07620")


def _scene() -> Any:
    from napari_irvisfuse.samples import scene

    return scene


def _layers(ir: npt.NDArray[Any], visible: npt.NDArray[Any], prefix: str = "") -> list[LayerData]:
    """Return both images with everything that napari would otherwise have to guess, visible on top."""
    return [_layer(ir, f"{prefix}infrared"), _layer(visible, f"{prefix}visible")]


def _layer(array: npt.NDArray[Any], name: str) -> LayerData:
    rgb = array.shape[-1] in (3, 4)
    options: dict[str, Any] = {"name": name, "rgb": rgb}
    if array.ndim - rgb == 3:
        options["axis_labels"] = ("t", "y", "x")
    if not rgb:
        # Counts of a thermal camera fill a small part of 16 bit: without a window the image would be black.
        limits = (0, 255) if array.dtype == np.uint8 else np.percentile(array, (0.1, 99.9))
        options |= {"colormap": "gray", "contrast_limits": tuple(float(value) for value in limits)}
    return array, options, "image"


def _in_background(work: Callable[[Progress, Cancel], Pair], title: str) -> Pair:
    """Run ``work`` in a thread and wait for it without blocking the window; where there is no window, just run it."""
    from qtpy.QtCore import QThread
    from qtpy.QtWidgets import QApplication

    app = QApplication.instance()
    if app is None or QThread.currentThread() is not app.thread():
        return work(lambda done, total, message: None, lambda: False)
    return _with_dialog(work, title)


def _with_dialog(work: Callable[[Progress, Cancel], Pair], title: str) -> Pair:
    from qtpy.QtWidgets import QApplication, QProgressDialog

    from .jobs import JobRunner

    dialog = QProgressDialog(f"{title} …", "Cancel", 0, 0, QApplication.activeWindow())
    dialog.setWindowTitle("Infrared + visible")
    dialog.setModal(True)
    dialog.setAutoClose(False)
    dialog.setAutoReset(False)
    dialog.reset()  # or it would show itself after four seconds
    runner = JobRunner(dialog, title)
    outcome: list[Pair | BaseException] = []

    def show_progress(done: int, total: int, message: str) -> None:
        dialog.setLabelText(message)
        # in thousandths: Qt counts in 32 bit, a download in bytes
        dialog.setMaximum(1000 if total else 0)
        dialog.setValue(round(1000 * done / total) if total else 0)

    dialog.canceled.connect(runner.cancel)
    runner.start(
        work,
        on_progress=show_progress,
        on_success=outcome.append,
        on_failure=outcome.append,
        on_finish=dialog.accept,
    )
    if not runner.wait(_DIALOG_AFTER_S):
        dialog.exec()
    with suppress(RuntimeError):  # it is gone already if the window behind it was closed
        dialog.deleteLater()
    if not outcome:
        raise Cancelled("The sample was not opened: cancelled.")
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]
