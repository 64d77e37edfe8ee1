"""The metrics widget: measure one fusion or compare several, in numbers, in a plot and per pixel."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from . import metrics_jobs, settings
from .docked import DockedWidget
from .fusion_runs import in_words
from .jobs import JobRunner
from .metrics_runs import MetricsRuns
from .metrics_view import ALL_FRAMES, MetricsView

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Image

    from .metrics_jobs import Catalogue, Measurement, Request

__all__ = ["MetricsWidget"]

_log = logging.getLogger(__name__)
_NAME = "metrics"
_LOADING = "Loading metrics…"


class MetricsWidget(DockedWidget):
    """Measure how good fused layers are.

    Parameters
    ----------
    viewer
        A viewer, or a :class:`napari.components.ViewerModel` without a window.
    remember
        Start from the settings used last and save them on every change, if the user's preference says so too.

    Notes
    -----
    Nothing is computed on the GUI thread; even torch is imported in a job.
    """

    # napari recognises the parameter by the text of its annotation
    def __init__(self, viewer: napari.viewer.Viewer, *, remember: bool = True) -> None:
        super().__init__(viewer, _NAME, remember=remember)
        self._run_when_ready = False
        self._not_ready = _LOADING
        self.view = MetricsView(viewer, self.native)
        self.runs = MetricsRuns(viewer, self.view.run_bar, self.native)
        self._lookups = JobRunner(self.native, "Loading the metrics")
        self.view.restore(self._remembered())
        self._connect()
        self._look_at_layers()
        self._lookups.start(
            metrics_jobs.load_catalogue, on_success=self._on_catalogue, on_failure=self._on_no_catalogue
        )
        self._refresh()

    # -- what others may ask for -----------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether the metrics are loaded."""
        return self.view.ready

    @property
    def running(self) -> bool:
        """Whether something is being measured or mapped."""
        return self.runs.running

    @property
    def measurement(self) -> Measurement | None:
        """The numbers shown, None before the first and once a layer that was measured is gone."""
        return self.runs.measurement

    @property
    def message(self) -> str:
        """The sentence shown above the button."""
        return self.view.run_bar.message.text

    def run(self) -> None:
        """Measure what is chosen; while the metrics are still loading, as soon as they are."""
        if not self.ready:
            self._run_when_ready = True
            return
        request = self.request()
        if request is None:
            self._refresh()  # says why
            return
        self.view.subjects.keep()
        self.runs.measure(request)

    def add_quality_maps(self) -> None:
        """Add the values per pixel of the chosen metrics as layers, those of the displayed plane."""
        request, mapped = self.request(), self.view.mapped
        if request is not None and mapped:
            self.runs.map_quality(request, mapped)
        else:
            self._refresh()

    def cancel(self) -> None:
        """Stop what is running."""
        self.runs.cancel()

    def request(self) -> Request | None:
        """Return what Run would do, None if something is missing."""
        if self._problem():
            return None
        subjects = self.view.subjects.subjects()
        return metrics_jobs.Request(
            subjects,
            tuple(float(place) for place in self._viewer.dims.point),
            self.view.profile,
            self.view.metrics.chosen,
            all_frames=self.view.frames_box.value == ALL_FRAMES,
            device=settings.preference("device"),
            places=tuple(subject.place for subject in subjects),
        )

    # -- loading, running ------------------------------------------------------------------------------------------

    def _on_catalogue(self, catalogue: Catalogue) -> None:
        self.view.offer(catalogue)
        self._refresh()
        if self._run_when_ready:
            self._run_when_ready = False
            self.run()

    def _on_no_catalogue(self, error: BaseException) -> None:
        _log.error("The metrics cannot be loaded", exc_info=error)
        self._not_ready = f"The metrics cannot be loaded. {in_words(error)}"
        self._refresh()

    def _on_started(self) -> None:
        self.view.show_maps_button(allowed=False)

    def _on_measured(self) -> None:
        assert self.measurement is not None
        self._link.watch(self._measured_layers())
        self._look_at_layers()
        self.view.show_report(self.measurement.report)
        self._show_frame()
        self._drop_removed()  # of what was removed meanwhile

    # -- edits and messages ----------------------------------------------------------------------------------------

    def _on_edited(self) -> None:
        self.runs.trouble = self.runs.said = ""
        self._save_timer.start()
        self._look_at_layers()
        self._refresh()

    def _problem(self) -> str:
        """Why Run cannot be pressed; empty if it can."""
        if not self.ready:
            return self._not_ready
        if not self.view.metrics.chosen:
            return "Choose at least one metric."
        return self.view.subjects.problem()

    def _note(self) -> str:
        """Say what a reader of the numbers has to know."""
        if self.measurement is None:
            return ""
        flat = [
            subject.fused.name
            for subject in self.measurement.request.subjects
            if subject.fused.ndim < max(subject.ir.ndim, subject.visible.ndim)
        ]
        return f"{', '.join(flat)}: one plane, measured against the displayed frame of its sources." if flat else ""

    def _refresh(self) -> None:
        """Bring buttons and message up to date; of several sentences the most urgent one is shown."""
        bar, problem = self.view.run_bar, self._problem()
        bar.allow(problem)
        self.view.frames_row.setVisible(any(subject.frames > 1 for subject in self.view.subjects.subjects()))
        if bar.running:
            return
        self.view.show_maps_button(allowed=not problem)
        runs, stale = self.runs, self.runs.stale(self.request())
        if runs.trouble:
            bar.message.say(runs.trouble, "error")
        elif problem:
            bar.message.say(problem, "warning" if self.ready else "note" if problem == _LOADING else "error")
        elif stale:
            bar.message.say(f"{runs.said} {stale}".strip(), "warning")
        else:
            note = self._note()
            bar.message.say(f"{runs.said} {note}".strip(), "note" if note else "success")

    # -- the viewer, and the end -----------------------------------------------------------------------------------

    def _connect(self) -> None:
        self.view.edited.connect(self._on_edited)
        self.view.run_bar.run_asked.connect(self.run)
        self.view.run_bar.cancel_asked.connect(self.cancel)
        self.view.maps_button.clicked.connect(self._on_maps_button)
        self.view.plot.frame_chosen.connect(self._on_frame_chosen)
        self.runs.started.connect(self._on_started)
        self.runs.measured.connect(self._on_measured)
        self.runs.finished.connect(self._refresh)
        self._link.layers_changed.connect(self._on_layers_changed)
        self._link.step_changed.connect(self._on_step_changed)
        self._link.data_changed.connect(self._on_data_changed)
        self._link.moved.connect(self._on_moved)
        self._link.theme_changed.connect(self._on_theme)
        self._attach()

    def _on_maps_button(self, _: bool = False) -> None:
        self.add_quality_maps()

    def _on_layers_changed(self) -> None:
        self.view.subjects.refresh()
        self._drop_removed()
        self._look_at_layers()
        self._refresh()

    def _measured_layers(self) -> set[Image]:
        subjects = self.measurement.request.subjects if self.measurement is not None else ()
        return {layer for subject in subjects for layer in subject.layers}

    def _drop_removed(self) -> None:
        """Keep no layer alive that has been removed."""
        if not self._measured_layers() <= set(self._viewer.layers):
            self.runs.let_go()
            self._link.watch(())

    def _look_at_layers(self) -> None:
        """Follow where the chosen layers and those that were measured lie."""
        self._link.look_at(self.view.subjects.layers | self._measured_layers())

    def _on_moved(self) -> None:
        self.runs.said = ""
        self.view.subjects.refresh()
        self._refresh()

    def _on_step_changed(self) -> None:
        self.runs.said = ""
        self._show_frame()
        self._refresh()

    def _on_data_changed(self) -> None:
        self.runs.images_changed()
        self._refresh()

    def _on_theme(self, _: Any = None) -> None:
        self.view.plot.show_theme(self._viewer.theme)

    def _measured_stack(self) -> Image | None:
        """Return the fused layer whose frames the curve shows, the first if there are several."""
        subjects = self.measurement.request.subjects if self.measurement is not None else ()
        stacks = [subject.fused for subject in subjects if subject.frames > 1]
        return stacks[0] if stacks and stacks[0] in self._viewer.layers else None

    def _show_frame(self) -> None:
        stack = self._measured_stack()
        if stack is not None:
            self.view.plot.show_frame(metrics_jobs.index_at(stack, self._viewer.dims.point)[0])

    def _on_frame_chosen(self, frame: int) -> None:
        stack, dims = self._measured_stack(), self._viewer.dims
        if stack is not None:
            here = metrics_jobs.index_at(stack, dims.point)
            dims.set_point(dims.ndim - stack.ndim, stack.data_to_world((frame, *here[1:]))[0])

    def _take_up(self) -> None:
        self._on_theme()
        self._on_layers_changed()

    def _let_go(self) -> None:
        self.runs.cancel()
        self._lookups.cancel()
