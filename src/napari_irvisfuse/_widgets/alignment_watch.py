"""Whether the chosen layers are aligned: looked at in the background, so that it is said before anybody runs."""

from __future__ import annotations

import logging
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_irvisfuse.errors import FusionError

from . import align_jobs
from .jobs import JobRunner
from .layer_geometry import matrix_between, unplaced
from .layer_pairs import displayed_step, problem_with
from .qt_parts import single_shot
from .settings import PLUGIN

if TYPE_CHECKING:
    from napari.components import Dims, ViewerModel
    from napari.layers import Image
    from qtpy.QtWidgets import QWidget

    from napari_irvisfuse.alignment.detect import AlignmentCheck
    from napari_irvisfuse.images.grids import Matrix

    from .alignment_notice import AlignmentNotice

__all__ = ["AlignmentWatch"]

_log = logging.getLogger(__name__)
_WAIT_MS = 600  # after the last change: nothing is checked while a layer is dragged or a slider moves
_REMEMBERED = 32


class AlignmentWatch:
    """Checks the pair that is chosen whenever it is another one or lies elsewhere, and says what is wrong.

    A check runs only while nothing better is to be done: it waits until changes are over, ends when there is another
    one or :meth:`hold` is called, and is not repeated for what has been seen before.

    Parameters
    ----------
    viewer
        Whose layers they are.
    notice
        Shows what was found.
    owner
        When it is destroyed, the running check is cancelled.
    """

    def __init__(self, viewer: ViewerModel, notice: AlignmentNotice, owner: QWidget) -> None:
        self._viewer, self._notice = viewer, notice
        self._jobs = JobRunner(owner, "Checking the alignment", unasked=True)
        self._timer = single_shot(owner, _WAIT_MS, self._check)
        self._scene: _Scene | None = None
        self._seen: deque[tuple[_Scene, AlignmentCheck]] = deque(maxlen=_REMEMBERED)
        self._held = False
        notice.align_asked.connect(self._on_align_asked)

    @property
    def waiting(self) -> bool:
        """Whether a check runs or is about to."""
        return self._timer.isActive() or self._jobs.running

    def look(self, ir: Image | None, visible: Image | None) -> None:
        """Follow the choice of layers, where they lie, their data and the frame that is shown."""
        scene, before = _scene(ir, visible, self._viewer.dims), self._scene
        if scene is not None and before is not None and scene.is_same(before):
            return
        self._scene = scene
        self._stop()
        # of another frame the same is true until the opposite is known: a warning must not blink as a slider moves
        if scene is None or before is None or not scene.is_same(before, but_frame=True):
            self._notice.show(None)
        self._go_on()

    def hold(self) -> None:
        """Leave the machine to what is more important, until :meth:`resume`."""
        self._held = True
        self._stop()

    def resume(self) -> None:
        """Go on with what is left to check."""
        self._held = False
        self._go_on()

    def _stop(self) -> None:
        self._timer.stop()
        self._jobs.cancel()

    def _go_on(self) -> None:
        if self._scene is None:
            return
        known = next((check for scene, check in self._seen if scene.is_same(self._scene)), None)
        if known is not None:
            self._notice.show(known)
        elif not self._held:
            self._timer.start()

    def _check(self) -> None:
        request = self._scene.request() if self._scene is not None else None
        if request is not None:
            self._jobs.start(
                partial(align_jobs.check, request),
                on_success=partial(self._on_checked, self._scene),
                on_failure=self._on_failure,
            )

    def _on_checked(self, scene: _Scene, check: AlignmentCheck) -> None:
        self._seen.append((scene, check))
        self._notice.show(check)

    def _on_failure(self, error: BaseException) -> None:
        # nobody has asked for the check; what is wrong with the images is said when they are fused
        self._notice.show(None)
        if not isinstance(error, FusionError):
            _log.error("The alignment cannot be checked", exc_info=error)

    def _on_align_asked(self) -> None:
        """Open the align widget beside ours, or bring it to the front, with the same layers."""
        layers = self._scene.layers if self._scene is not None else None
        window = getattr(self._viewer, "window", None)  # a model has none
        if layers is not None and window is not None:
            dock, widget = window.add_plugin_dock_widget(PLUGIN, "Align", tabify=True)
            widget.view.layers.choose(*layers)
            dock.show()
            dock.raise_()


@dataclass(frozen=True, eq=False)
class _Scene:
    """All that decides what a check finds. Keeps no image alive."""

    things: tuple[Callable[[], Any], ...]  # references to both layers and their data
    steps: tuple[tuple[int, ...], tuple[int, ...]]
    matrix: Matrix

    def is_same(self, other: _Scene, *, but_frame: bool = False) -> bool:
        """Tell whether a check would find the same."""
        pairs = [(mine(), its()) for mine, its in zip(self.things, other.things, strict=True)]
        if not all(mine is its and mine is not None for mine, its in pairs):
            return False
        frames = [[step[:-2] for step in scene.steps] for scene in (self, other)]
        return (but_frame or frames[0] == frames[1]) and np.allclose(self.matrix, other.matrix, rtol=0, atol=1e-6)

    @property
    def layers(self) -> tuple[Image, Image] | None:
        """Infrared and visible, None if one of them is gone."""
        ir, visible = (thing() for thing in self.things[:2])
        return None if ir is None or visible is None else (ir, visible)

    def request(self) -> align_jobs.Request | None:
        """Return what to check, None if it is gone."""
        layers = self.layers
        return None if layers is None else align_jobs.Request(*layers, *self.steps, self.matrix)


def _scene(ir: Image | None, visible: Image | None, dims: Dims) -> _Scene | None:
    """Return what there is to check, None if the layers are no pair or their widget asks to place them first."""
    if ir is None or visible is None or problem_with(ir, visible) is not None:
        return None
    if unplaced(ir, visible):
        return None
    things = tuple(_reference(thing) for thing in (ir, visible, ir.data, visible.data))
    return _Scene(things, (displayed_step(ir, dims), displayed_step(visible, dims)), matrix_between(ir, visible))


def _reference(thing: Any) -> Callable[[], Any]:
    try:
        return weakref.ref(thing)
    except TypeError:  # an array of a kind that cannot be watched counts as another one each time
        return lambda: None
