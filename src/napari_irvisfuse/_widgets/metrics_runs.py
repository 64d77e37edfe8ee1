"""The metrics widget's jobs: measuring, mapping, and knowing when what is shown is out of date."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_irvisfuse.errors import FusionError

from . import metrics_jobs
from .fusion_runs import in_words
from .jobs import JobRunner
from .layers import add_maps

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from qtpy.QtWidgets import QWidget

    from .jobs import JobFunction
    from .metrics_jobs import Measurement, Request, Subject
    from .run_bar import RunBar

__all__ = ["MetricsRuns"]

_log = logging.getLogger(__name__)
_OTHER_SETTINGS = "The table was measured with other settings: press Run to bring it up to date."
_OTHER_LAYERS = "The table is about other layers: press Run to measure those that are chosen."
_OTHER_FRAME = "The table is about another frame: press Run to measure the displayed one."
_REMOVED = "A layer that was measured has been removed: press Run to bring the table up to date."
_MOVED = "Layers have been moved since they were measured: press Run to bring the table up to date."
_OTHER_IMAGES = "The images have changed since they were measured: press Run to bring the table up to date."


class MetricsRuns:
    """Runs the jobs of one widget, and keeps the last measurement.

    Parameters
    ----------
    viewer
        Gets the quality maps.
    run_bar
        Shows the progress.
    owner
        When it is destroyed, the running job is cancelled.

    Attributes
    ----------
    started, finished
        A job begins; nothing runs any more, and :attr:`trouble` and :attr:`said` tell how it ended.
    measured
        There is a new :attr:`measurement`.
    measurement
        The last one, None before the first and after :meth:`let_go`.
    trouble, said
        Sentences for the user, or empty: what went wrong, what was done.
    """

    started = Signal()
    measured = Signal()
    finished = Signal()

    def __init__(self, viewer: ViewerModel, run_bar: RunBar, owner: QWidget) -> None:
        self._viewer, self._bar = viewer, run_bar
        self._jobs = JobRunner(owner, "Measuring fused images")
        self._since = 0.0
        self._other_images = self._removed = False
        self.measurement: Measurement | None = None
        self.trouble = self.said = ""

    @property
    def running(self) -> bool:
        """Whether something is being measured or mapped."""
        return self._jobs.running

    def measure(self, request: Request) -> None:
        """Compute the numbers."""
        self._start(partial(metrics_jobs.measure, request), self._on_measured)

    def map_quality(self, request: Request, which: tuple[str, ...]) -> None:
        """Compute these metrics per pixel, of the displayed plane, and add them as layers."""
        request = replace(request, which=which, all_frames=False)
        self._start(partial(metrics_jobs.map_quality, request), self._on_mapped)

    def cancel(self) -> None:
        """Stop what is running."""
        if self._jobs.running:
            self._bar.stopping()
            self._jobs.cancel()

    def images_changed(self) -> None:
        """Note that what was measured has other pixels now."""
        self._other_images, self.said = True, ""

    def let_go(self) -> None:
        """Drop the measurement, since a layer that it holds has been removed; the table still shows its numbers."""
        self.measurement, self._removed, self.said = None, True, ""

    def stale(self, request: Request | None) -> str:
        """Say why the numbers shown are not those that Run would give; empty if they are."""
        if self.measurement is None:
            return _REMOVED if self._removed else ""
        if self._other_images:
            return _OTHER_IMAGES
        measured = self.measurement.request
        if request is not None and request.layers != measured.layers:
            return _OTHER_LAYERS
        if request is not None and request.planes != measured.planes:
            return _OTHER_FRAME
        if request is None or request.key != measured.key:
            return _OTHER_SETTINGS
        return "" if request.places == measured.places else _MOVED

    def _start(self, function: JobFunction, on_success: Callable[[Any], None]) -> None:
        self.trouble = self.said = ""
        self._since = time.perf_counter()
        self._bar.started()
        self._bar.message.say("")
        self.started.emit()
        self._jobs.start(
            function,
            on_progress=self._bar.progress,
            on_success=on_success,
            on_failure=self._on_failure,
            on_cancel=self._on_cancel,
            on_finish=self._on_finish,
        )

    def _on_measured(self, measurement: Measurement) -> None:
        self.measurement, self._other_images, self._removed = measurement, False, False
        report = measurement.report
        frames = sum(len(values) for values in report.frames)
        seconds = time.perf_counter() - self._since
        self.said = f"{_counted(len(report.metrics), 'metric')} of {_counted(frames, 'image')} in {seconds:.2g} s."
        self.measured.emit()

    def _on_mapped(self, found: list[tuple[Subject, dict[str, Any]]]) -> None:
        layers = self._viewer.layers
        # what is added last ends as the active layer: the map that is seen, on the uppermost result
        there = sorted(
            (item for item in found if item[0].fused in layers), key=lambda item: layers.index(item[0].fused)
        )
        added = sum(
            len(add_maps(self._viewer, maps, subject.fused, show_first=subject is there[-1][0]))
            for subject, maps in there
        )
        self.said = f"{_counted(added, 'quality map')} added, on top of what was measured."

    def _on_failure(self, error: BaseException) -> None:
        if not isinstance(error, FusionError):
            _log.error("Measuring failed", exc_info=error)
        self.trouble = in_words(error)

    def _on_cancel(self) -> None:
        if not self.running:  # otherwise a newer job has taken its place
            self.said = "Cancelled; nothing was changed."

    def _on_finish(self) -> None:
        if not self.running:
            self._bar.finished()
            self.finished.emit()


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
