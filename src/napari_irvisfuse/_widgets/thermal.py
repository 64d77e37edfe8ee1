"""The thermal widget: emissivity, distance, reflections … of the selected layer, and its temperatures that follow."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_irvisfuse.errors import FusionError, ParameterError

from . import thermal_jobs
from .docked import DockedWidget
from .fusion_runs import in_words
from .jobs import JobRunner
from .page import fill
from .qt_parts import Message, hint, single_shot
from .thermal_form import ConditionsForm
from .thermal_jobs import Request, Temperatures
from .thermal_layers import conditions_of, image_of, renew

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Layer

    from napari_irvisfuse.images.thermography import Conditions

__all__ = ["ThermalView", "ThermalWidget"]

_log = logging.getLogger(__name__)
_NAME = "thermal"
_FOLLOW_MS = 50  # all edits in so long are one
_HINT = (
    "Select a layer in °C that this plugin opened from a radiometric JPEG: its emissivity, distance and so on are shown"
    " here, and its temperatures follow what you change."
)


class ThermalView:
    """What the widget shows: whose conditions these are, the controls, and the way back.

    Parameters
    ----------
    root
        The widget to fill.
    """

    def __init__(self, root: QWidget) -> None:
        self.subject = hint()
        self.form = ConditionsForm()
        self.message = Message()
        self.back_button = QPushButton("As the camera has it")
        self.back_button.setToolTip("Put back what was set in the camera")
        foot = QWidget()
        column = QVBoxLayout(foot)
        column.setContentsMargins(10, 6, 10, 10)
        column.addWidget(self.message)
        column.addWidget(self.back_button)
        fill(root, (self.subject, self.form.native), foot)

    def state(self) -> dict[str, Any]:
        """Return nothing: conditions belong to an image, and not to the next one."""
        return {}


class ThermalWidget(DockedWidget):
    """Change the conditions under which the selected layer was taken; its temperatures follow.

    Parameters
    ----------
    viewer
        A viewer, or a :class:`napari.components.ViewerModel` without a window.

    Notes
    -----
    Temperatures are computed from the counts in the layer's metadata, in a job. The layer gets new data: the old array
    is left as it was for whoever holds it.
    """

    # napari recognises the parameter by the text of its annotation
    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer, _NAME, remember=False)
        self._layer: Layer | None = None
        self._wanted: dict[Layer, Conditions] = {}  # not there yet; of several layers if the user is quick
        self._trouble = self._said = ""
        self.view = ThermalView(self.native)
        self._jobs = JobRunner(self.native, "Computing temperatures")
        self._timer = single_shot(self.native, _FOLLOW_MS, self._compute)
        self.view.form.edited.connect(self._on_edited)
        self.view.back_button.clicked.connect(self.put_back)
        self._link.layers_changed.connect(self._refresh)  # it may have another name
        self._link.data_changed.connect(self._on_data_changed)
        self._attach()
        self._take_up()

    # -- what others may ask for -----------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether temperatures are on their way."""
        return self._jobs.running or self._timer.isActive()

    @property
    def message(self) -> str:
        """The sentence shown above the button."""
        return self.view.message.text

    def put_back(self, _: bool = False) -> None:
        """Give the selected layer the temperatures under the conditions that were set in the camera."""
        image = image_of(self._layer)
        if image is not None:
            self.view.form.show(image.conditions)
            self._on_edited()

    # -- edits and what follows ------------------------------------------------------------------------------------

    def _on_edited(self) -> None:
        layer, image, conditions = self._layer, image_of(self._layer), self.view.form.conditions
        if layer is None or image is None:
            return
        self._trouble = ""  # what was said stays until there is something new: hidden and shown it would flicker
        self._wanted.pop(layer, None)
        try:
            thermal_jobs.check(image, conditions)
        except ParameterError as error:
            self._trouble = str(error)
        else:
            self._wanted[layer] = conditions
        if not self._timer.isActive():  # while a slider is dragged the image follows, and does not wait for its end
            self._timer.start()  # also if nothing is wanted now: what is under way is not either
        self._refresh()

    def _compute(self) -> None:
        """Compute all that is wanted; what is under way for older wishes ends."""
        images = {layer: image_of(layer) for layer in self._wanted}
        requests = [
            Request(layer, layer.data, image, self._wanted[layer])
            for layer, image in images.items()
            if image is not None
        ]
        self._wanted = {request.layer: request.conditions for request in requests}
        if not requests:
            self._jobs.cancel()
            return
        self._jobs.start(
            partial(thermal_jobs.compute, requests),
            on_progress=self._on_progress,
            on_success=self._on_computed,
            on_failure=self._on_failure,
            on_finish=self._refresh,
        )

    def _on_progress(self, done: int, total: int, message: str) -> None:
        self.view.message.say(f"{message}: {100 * done // total} %")

    def _on_computed(self, answers: list[Temperatures]) -> None:
        for answer in answers:
            request = answer.request
            layer = request.layer
            if self._wanted.get(layer) == request.conditions:
                del self._wanted[layer]
            if layer in self._viewer.layers and image_of(layer) is request.image and layer.data is request.shown:
                renew(layer, answer.celsius, request.conditions, answer.before, answer.limits)
                if layer is self._layer:
                    self._said = answer.sentence
        if not self._trouble:
            self._show_conditions()

    def _on_failure(self, error: BaseException) -> None:
        if not isinstance(error, FusionError):
            _log.error("Temperatures cannot be computed", exc_info=error)
        self._wanted.clear()
        self._trouble = in_words(error)

    # -- the selected layer, and the end ---------------------------------------------------------------------------

    def _on_selected(self, _: Any = None) -> None:
        """Follow the selected layer; what is wanted of the one before is still computed."""
        self._layer = self._viewer.layers.selection.active
        self._link.watch(() if self._layer is None else (self._layer,))
        self._trouble = self._said = ""
        self._show_conditions()
        self._refresh()

    def _on_data_changed(self) -> None:
        if not self._trouble:  # else the user is not done with them
            self._show_conditions()
        self._said = ""
        self._refresh()

    def _show_conditions(self) -> None:
        layer, image = self._layer, image_of(self._layer)
        if layer is not None and image is not None:
            self.view.form.show(self._wanted.get(layer) or conditions_of(layer, image))

    def _refresh(self) -> None:
        """Bring everything but the conditions up to date."""
        view, layer, image = self.view, self._layer, image_of(self._layer)
        radiometric = layer is not None and image is not None
        camera = f", {image.camera}" if image is not None and image.camera else ""
        view.subject.setText(f"{layer.name}{camera}" if radiometric else _HINT)
        view.subject.setVisible(True)
        view.form.native.setVisible(radiometric)
        view.back_button.setVisible(radiometric)
        view.back_button.setEnabled(image is not None and view.form.conditions != image.conditions)
        view.message.say(self._trouble or self._said, "error" if self._trouble else "note")

    def _take_up(self) -> None:
        self._viewer.layers.selection.events.active.connect(self._on_selected)
        self._on_selected()

    def _let_go(self) -> None:
        self._viewer.layers.selection.events.active.disconnect(self._on_selected)
        self._timer.stop()
        self._jobs.cancel()
        self._wanted.clear()
        self._layer = None

    def _on_destroyed(self, _: Any = None) -> None:
        self._viewer.layers.selection.events.active.disconnect(self._on_selected)
        super()._on_destroyed()
