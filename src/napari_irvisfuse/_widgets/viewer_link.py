"""What a widget wants to hear from the viewer, and the end of listening."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from .layer_regions import camera_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

__all__ = ["ViewerLink"]

_LIST_EVENTS = ("inserted", "removed", "reordered", "renamed")
_PLACE_EVENTS = ("scale", "translate", "rotate", "shear", "affine", "units")


class ViewerLink:
    """Connections to a viewer that can be cut and made again.

    A dock widget that is closed with its "x" is neither told nor destroyed at once, so its owner cuts them when the
    widget loses its window.

    Parameters
    ----------
    viewer
        The viewer.

    Attributes
    ----------
    layers_changed
        Layers came, went, moved or have another name.
    step_changed
        Another frame is shown.
    data_changed
        A watched layer has other data.
    theme_changed
        napari has other colours.
    moved
        A layer that is looked at lies elsewhere, or has another size.
    view_changed
        The viewer shows another part of the world, or the shapes that are watched are others.
    """

    layers_changed = Signal()
    step_changed = Signal()
    data_changed = Signal()
    theme_changed = Signal()
    moved = Signal()
    view_changed = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._watched: list[Layer] = []
        self._looked_at: list[Layer] = []
        self._shapes: Layer | None = None
        self._attached = False

    def attach(self) -> None:
        """Start listening."""
        if self._attached:
            return
        self._attached = True
        events = self._viewer.layers.events
        for name in _LIST_EVENTS:
            getattr(events, name).connect(self._on_layers)
        self._viewer.dims.events.current_step.connect(self._on_step)
        self._viewer.events.theme.connect(self._on_theme)
        for emitter in self._view_events():
            emitter.connect(self._on_view)

    def detach(self) -> None:
        """Stop listening, to the watched layers too."""
        self.watch(())
        self.look_at(())
        self.watch_shapes(None)
        if not self._attached:
            return
        self._attached = False
        events = self._viewer.layers.events
        for name in _LIST_EVENTS:
            getattr(events, name).disconnect(self._on_layers)
        self._viewer.dims.events.current_step.disconnect(self._on_step)
        self._viewer.events.theme.disconnect(self._on_theme)
        for emitter in self._view_events():
            emitter.disconnect(self._on_view)

    def watch(self, layers: Iterable[Layer]) -> None:
        """Listen to the data of these layers, and of no others."""
        for layer in self._watched:
            layer.events.data.disconnect(self._on_data)
        self._watched = list(layers)
        # ``events.set_data`` would also tell of a refresh after an in-place change, but it is emitted as well whenever
        # a layer is shown or sliced: it would throw results away that are still good. Run always reads afresh.
        for layer in self._watched:
            layer.events.data.connect(self._on_data)

    def look_at(self, layers: Iterable[Layer]) -> None:
        """Listen to where these layers lie, and no others."""
        layers = list(layers)
        if set(layers) == set(self._looked_at):
            return
        for layer in self._looked_at:
            for name in (*_PLACE_EVENTS, "data"):
                getattr(layer.events, name).disconnect(self._on_moved)
        self._looked_at = layers
        for layer in self._looked_at:
            for name in (*_PLACE_EVENTS, "data"):
                getattr(layer.events, name).connect(self._on_moved)

    def watch_shapes(self, layer: Layer | None) -> None:
        """Listen to the shapes of this layer, to which of them is selected and where they lie, and to no others."""
        if layer is self._shapes:
            return
        names = (*_PLACE_EVENTS, "data", "highlight")
        if self._shapes is not None:
            for name in names:
                getattr(self._shapes.events, name).disconnect(self._on_view)
        self._shapes = layer
        if layer is not None:
            for name in names:
                getattr(layer.events, name).connect(self._on_view)

    def _view_events(self) -> list[Any]:
        camera, dims = camera_of(self._viewer).events, self._viewer.dims.events
        canvas = getattr(self._viewer, "canvas", None)  # since napari 0.9
        sizes = [canvas.events.size] if canvas is not None else []
        return [camera.center, camera.zoom, dims.ndisplay, dims.order, *sizes]

    def _on_layers(self, _: Any = None) -> None:
        self.layers_changed.emit()

    def _on_step(self, _: Any = None) -> None:
        self.step_changed.emit()

    def _on_data(self, _: Any = None) -> None:
        self.data_changed.emit()

    def _on_theme(self, _: Any = None) -> None:
        self.theme_changed.emit()

    def _on_moved(self, _: Any = None) -> None:
        self.moved.emit()

    def _on_view(self, _: Any = None) -> None:
        self.view_changed.emit()
