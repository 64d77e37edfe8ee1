"""Pairs of points in two Points layers, clicked in turn: first in the infrared image, then in the visible one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Points
from psygnal import Signal

from .layer_geometry import spatial
from .layer_roles import TAG

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

__all__ = ["PointPairs"]

FloatArray = npt.NDArray[np.float64]

# Okabe and Ito's sky blue, vermilion, and a grey: told apart by everyone, and on images of any brightness
_FINE, _WORST, _UNUSED = "#56b4e9", "#d55e00", "#999999"
_TITLES = ("infrared", "visible")
_SIZE = 12


class PointPairs:
    """Two Points layers, one on each image, whose points belong together by their number.

    Their coordinates are pixels of the images, since each lies in the world where its image lies.

    Parameters
    ----------
    viewer
        Gets the layers.

    Attributes
    ----------
    changed
        A point was set, moved or removed, or a layer of ours was removed.
    """

    changed = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._images: tuple[Image, Image] | None = None
        self._layers: tuple[Points, Points] | None = None
        self._visible_before: dict[Layer, bool] = {}  # of the layers that are not ours, while points are set
        self._changing = False
        self.picking = False

    @property
    def images(self) -> tuple[Image, Image] | None:
        """The infrared and the visible layer that the points are on, None before the first."""
        return self._images

    @property
    def counts(self) -> tuple[int, int]:
        """Number of points in the infrared and in the visible image."""
        return (0, 0) if self._layers is None else (len(self._layers[0].data), len(self._layers[1].data))

    @property
    def pairs(self) -> tuple[FloatArray, FloatArray]:
        """Rows and columns, ``(n, 2)`` each, of the points that have a partner."""
        if self._layers is None:
            return np.zeros((0, 2)), np.zeros((0, 2))
        number = min(self.counts)
        first, second = (np.asarray(layer.data, np.float64)[:number] for layer in self._layers)
        return first, second

    @property
    def prompt(self) -> str:
        """What to do next; empty while nothing is picked."""
        if not self.picking:
            return ""
        ir, visible = self.counts
        whose = "infrared" if ir <= visible else "visible"
        return f"Click point {min(ir, visible) + 1} in the {whose} image; the views change by themselves."

    def start(self, ir: Image, visible: Image) -> None:
        """Let the user click, on new layers if there are none for these images."""
        if self._layers is None or self._images != (ir, visible):
            self.clear()
            self._images = ir, visible
            self._layers = self._new_layer(ir, "infrared"), self._new_layer(visible, "visible")
            self._viewer.layers.events.removed.connect(self._on_removed)
        self.picking = True
        self._show_next()
        self.changed.emit()

    def stop(self) -> None:
        """End clicking; the points stay and can be moved."""
        if not self.picking or self._images is None:
            return
        self.picking = False
        for other, was_visible in self._visible_before.items():
            _show(other, was_visible)
        self._visible_before = {}
        for layer in self._layers or ():
            layer.visible = True
            layer.mode = "select"
        self.changed.emit()

    def remove(self, number: int) -> None:
        """Remove one pair."""
        if self._layers is None:
            return
        with self._quietly():
            for layer in self._layers:
                if number < len(layer.data):
                    layer.data = np.delete(layer.data, number, axis=0)
        self._on_data()

    def clear(self) -> None:
        """Stop, and take our layers out of the viewer."""
        self.stop()
        layers, self._layers, self._images = self._layers, None, None
        if layers is None:
            return
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        for layer in layers:
            layer.events.data.disconnect(self._on_data)
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        self.changed.emit()

    def mark(self, worst: int | None, used: Sequence[bool]) -> None:
        """Colour the points: the worst pair, those left out, and the others."""
        for layer in self._layers or ():
            colours = [_FINE] * len(layer.data)
            for number, is_used in enumerate(used):
                colours[number] = _WORST if number == worst else _FINE if is_used else _UNUSED
            if colours:
                layer.border_color = colours

    def follow(self) -> None:
        """Put the points where their images lie now."""
        for layer, image in zip(self._layers or (), self._images or (), strict=True):
            place = spatial(image)
            for name in ("scale", "translate", "rotate", "shear", "affine"):
                setattr(layer, name, place[name])

    def _new_layer(self, image: Image, title: str) -> Points:
        layer = Points(
            np.zeros((0, 2)),
            name=f"points · {title}",
            size=_SIZE,
            face_color="transparent",
            border_color=_FINE,
            border_width=0.15,
            features={"number": np.zeros(0, int)},
            text={"string": "{number}", "color": "white", "size": 10, "translation": np.array([-_SIZE, 0])},
            metadata={TAG: {"points": title}},
            **spatial(image),
        )
        self._viewer.layers.append(layer)
        layer.events.data.connect(self._on_data)
        return layer

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        """Change the layers without taking that for the user's clicks."""
        self._changing = True
        try:
            yield
        finally:
            self._changing = False

    def _on_data(self, event: Any = None) -> None:
        # napari tells before and after; what is about to change is not there yet
        action = str(getattr(event, "action", "")).rpartition(".")[2].lower()
        if self._changing or action in ("adding", "removing", "changing"):
            return
        with self._quietly():
            for layer in self._layers or ():
                layer.set_view_slice()  # napari slices no hidden layer, but draws its new numbers by the old slice
                layer.features = {"number": np.arange(1, len(layer.data) + 1)}
        if self.picking:
            self._show_next()
        self.changed.emit()

    def _show_next(self) -> None:
        """Show the image that the next point belongs in, its points, and nothing that may cover them."""
        assert self._images is not None
        assert self._layers is not None
        ir, visible = self.counts
        wanted = 0 if ir <= visible else 1
        for layer in self._viewer.layers:
            if layer not in self._layers:
                self._visible_before.setdefault(layer, layer.visible)  # also of what came only now
            _show(layer, layer in (self._images[wanted], self._layers[wanted]))
        self._viewer.layers.selection.active = self._layers[wanted]
        self._layers[wanted].mode = "add"

    def _on_removed(self, event: Any) -> None:
        """Forget everything once a layer of ours, or an image that it is on, is gone."""
        if event.value in (*(self._layers or ()), *(self._images or ())):
            self.clear()


def _show(layer: Layer, visible: bool) -> None:
    if layer.visible != visible:  # napari does not ask, and draws anew
        layer.visible = visible
