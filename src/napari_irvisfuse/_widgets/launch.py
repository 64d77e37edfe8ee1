"""Open napari with a pair of images and the fuse widget, as ``irvisfuse demo`` does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .fuse import FuseWidget
from .qt_parts import single_shot

if TYPE_CHECKING:
    import napari
    import numpy.typing as npt

__all__ = ["FuseDemo", "open_demo", "show_demo"]

_DOCK_NAME = "Fuse infrared and visible"
_WINDOW = 1400, 900
_LAID_OUT_MS = 100


class FuseDemo(NamedTuple):
    """A viewer with the two images, and the widget that is docked in it."""

    viewer: napari.Viewer
    widget: FuseWidget


def open_demo(
    ir: npt.NDArray[Any], visible: npt.NDArray[Any], method: str, parameters: Mapping[str, Any] | None = None
) -> FuseDemo:
    """Open a viewer with two images, dock the fuse widget, and run as soon as the methods are loaded.

    Parameters
    ----------
    ir, visible
        ``(H, W)`` or ``(H, W, 3 or 4)``.
    method, parameters
        As for :func:`napari_irvisfuse.fuse`. A demonstration neither uses nor overwrites the settings that the user
        has for other sessions.

    Returns
    -------
    FuseDemo
        At once; the result appears a little later.
    """
    import napari

    viewer = napari.Viewer(title="napari-irvisfuse")
    layers = [
        viewer.add_image(image, name=name, rgb=np.ndim(image) == 3)
        for name, image in (("infrared", ir), ("visible", visible))
    ]
    widget = FuseWidget(viewer, remember=False)
    viewer.window.add_dock_widget(widget, name=_DOCK_NAME, area="right")
    screen = viewer.window._qt_window.screen().availableSize()
    viewer.window.resize(min(_WINDOW[0], screen.width()), min(_WINDOW[1], screen.height()))
    # napari has fitted the view to the canvas as it was before the dock took its share; the timer ends with the widget
    single_shot(widget.native, _LAID_OUT_MS, viewer.reset_view).start()
    widget.view.layers.choose(*layers)
    widget.choose(method, dict(parameters or {}), show="everything")
    widget.run()
    return FuseDemo(viewer, widget)


def show_demo(
    ir: npt.NDArray[Any], visible: npt.NDArray[Any], method: str, parameters: Mapping[str, Any] | None = None
) -> None:
    """Open napari on two images, fuse them and show every map; returns when the window is closed.

    Parameters
    ----------
    ir, visible, method, parameters
        As for :func:`open_demo`.
    """
    import napari

    open_demo(ir, visible, method, parameters)
    napari.run()
