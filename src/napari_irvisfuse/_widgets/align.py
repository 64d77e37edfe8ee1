"""The align widget: tell whether two layers lie on each other, find how they do, or set points by hand."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QFileDialog

from napari_irvisfuse.alignment.points import PointsResult, align_points
from napari_irvisfuse.errors import AlignmentError, FusionError

from . import align_jobs
from .align_moves import Moves
from .align_view import AlignView
from .docked import DockedWidget
from .fusion_runs import in_words
from .jobs import JobRunner
from .layer_pairs import displayed_step, problem_with_planes
from .layers import add_maps
from .point_pairs import PointPairs

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Image

    from napari_irvisfuse.alignment.automatic import AlignmentResult
    from napari_irvisfuse.alignment.detect import AlignmentCheck

__all__ = ["AlignWidget"]

_log = logging.getLogger(__name__)
_NAME = "align"
_FILES = "Alignments (*.json)"
_UNSURE = 0.5
_CHANGED = "The layers were changed during the check: press Check again."


class AlignWidget(DockedWidget):
    """Align an infrared layer with a visible one, by its ``affine`` alone: nothing is resampled.

    Parameters
    ----------
    viewer
        A viewer, or a :class:`napari.components.ViewerModel` without a window.
    remember
        Start from the settings used last and save them on every change, if the user's preference says so too.

    Notes
    -----
    Nothing is computed on the GUI thread but the fit of a few points; even torch is imported in a job.
    """

    # napari recognises the parameter by the text of its annotation
    def __init__(self, viewer: napari.viewer.Viewer, *, remember: bool = True) -> None:
        super().__init__(viewer, _NAME, remember=remember)
        self._trouble = self._said = ""
        self._sure = True
        self._check: AlignmentCheck | None = None
        self._version = 0  # of what a check is about: which layers, where they lie, what they show
        self._fit: PointsResult | None = None
        self._fit_trouble = ""
        self.view = AlignView(viewer, self.native)
        self.points = PointPairs(viewer)
        self.moves = Moves(viewer)
        self._jobs = JobRunner(self.native, "Aligning infrared and visible")
        self.view.restore(self._remembered())
        self._connect()
        self._look_at_layers()
        self._refresh()

    # -- what others may ask for -----------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether something is being looked for."""
        return self._jobs.running

    @property
    def message(self) -> str:
        """The sentence shown above the button."""
        return self.view.run_bar.message.text

    @property
    def check(self) -> AlignmentCheck | None:
        """What was found about the two layers as they lie, None if nothing yet."""
        return self._check

    def run(self) -> None:
        """Find how the layers lie on each other, from how they lie now, and set the infrared layer's affine."""
        self._start(align_jobs.align, self._on_aligned)

    def run_check(self, _: bool = False) -> None:
        """Say whether the layers are aligned as they lie."""
        self._start(align_jobs.check, self._on_checked)

    def apply_points(self, _: bool = False) -> None:
        """Move the infrared layer to where the points say."""
        images, fit = self.points.images, self._fit
        if images is not None and fit is not None:
            self.points.stop()
            self._do(partial(self._move, *images, fit))

    def undo(self, _: bool = False) -> None:
        """Give the infrared layer the affine back that it had before the last change of ours."""
        self._do(self.moves.undo)

    def save(self, path: str | Path) -> None:
        """Write how the layers lie on each other now as an alignment file."""
        if not self._problem():
            layers = self.view.layers
            self._do(partial(self.moves.save, path, layers.ir, layers.visible, self.view.model))

    def load(self, path: str | Path) -> None:
        """Move the infrared layer to where an alignment file says."""
        if not self._problem():
            self._do(partial(self.moves.load, path, self.view.layers.ir, self.view.layers.visible))

    def cancel(self) -> None:
        """Stop what is running."""
        if self._jobs.running:
            self.view.run_bar.stopping()
            self._jobs.cancel()

    def request(self) -> align_jobs.Request | None:
        """Return what Run would do, None if something is missing."""
        ir, visible = self.view.layers.ir, self.view.layers.visible
        if ir is None or visible is None or self._problem():
            return None
        steps = [displayed_step(layer, self._viewer.dims) for layer in (ir, visible)]
        start = align_jobs.start_of(ir, visible)
        return align_jobs.Request(ir, visible, *steps, start, self.view.model, self.view.wide)

    # -- running ---------------------------------------------------------------------------------------------------

    def _start(self, function: Callable[..., Any], on_success: Callable[..., None]) -> None:
        request = self.request()
        if request is None:
            self._refresh()  # says why
            return
        self._trouble = self._said = ""
        self.points.stop()
        self.view.layers.keep()
        self.view.run_bar.started()
        self.view.run_bar.message.say("")
        self._jobs.start(
            partial(function, request),
            on_progress=self.view.run_bar.progress,
            on_success=partial(on_success, request, self._version),
            on_failure=self._on_failure,
            on_cancel=self._on_cancel,
            on_finish=self._on_finish,
        )
        self._refresh()

    def _on_aligned(self, request: align_jobs.Request, version: int, result: AlignmentResult) -> None:
        ir, visible = request.ir, request.visible
        as_asked = version == self._version
        # layers that nobody had placed are placed now, even if nothing better than the same view was found
        if ir in self._viewer.layers and visible in self._viewer.layers:
            try:
                self.moves.move(ir, visible, result.ir_to_visible, result.confidence)
            except FusionError as error:  # their units are others by now
                self._trouble = str(error)
        self._sure = result.confidence >= _UNSURE and result.check.verdict == "aligned"
        self._said = result.sentence if as_asked else f"{ir.name!r}: {result.sentence}"
        if as_asked:
            self._show_check(result.check)

    def _on_checked(self, request: align_jobs.Request, version: int, check: AlignmentCheck) -> None:
        if version == self._version:
            self._show_check(check)
        else:
            self._said, self._sure = _CHANGED, False

    def _show_check(self, check: AlignmentCheck | None) -> None:
        self._check = check
        verdict = check.verdict if check is not None else ""
        level = {"aligned": "success", "unclear": "note"}.get(verdict, "warning")
        self.view.checked.say(check.sentence if check is not None else "", level)  # type: ignore[arg-type]

    def _on_failure(self, error: BaseException) -> None:
        if not isinstance(error, FusionError):
            _log.error("Alignment failed", exc_info=error)
        self._trouble = in_words(error)

    def _on_cancel(self) -> None:
        self._said, self._sure = "Cancelled; nothing was changed.", True

    def _on_finish(self) -> None:
        if not self._jobs.running:
            self.view.run_bar.finished()
            self._refresh()

    def _move(self, ir: Image, visible: Image, fit: PointsResult) -> str:
        self.moves.move(ir, visible, fit.ir_to_visible)
        return f"{ir.name!r} was moved. {fit.sentence}"

    def _do(self, action: Callable[[], str]) -> None:
        """Do what takes no time, and say what was done or why it could not be."""
        try:
            self._said, self._trouble, self._sure = action(), "", True
        except FusionError as error:
            self._said, self._trouble = "", str(error)
        self._refresh()

    def _on_show_button(self, _: bool = False) -> None:
        visible = self.view.layers.visible
        if self._check is not None and visible is not None:
            (layer,) = add_maps(self._viewer, {"offset_size": self._check.maps["offset_size"]}, visible)
            layer.opacity = min(layer.opacity, 0.6)

    # -- points ----------------------------------------------------------------------------------------------------

    def _on_pick(self, checked: bool) -> None:
        ir, visible = self.view.layers.ir, self.view.layers.visible
        if not checked:
            self.points.stop()
        elif ir is not None and visible is not None and not self._problem():
            self.view.layers.keep()
            self.points.start(ir, visible)
        self._refresh()

    def _on_remove(self, _: bool = False) -> None:
        chosen = self.view.chosen_pair
        self.points.remove(max(self.points.counts) - 1 if chosen is None else chosen)

    def _points_are_on_chosen(self) -> bool:
        """Tell whether there is no point on other layers than those in the boxes."""
        return not any(self.points.counts) or self.points.images == (self.view.layers.ir, self.view.layers.visible)

    def _on_points(self) -> None:
        self._fit_points()
        self._refresh()

    def _fit_points(self) -> None:
        """Fit what pairs there are, or say why they cannot be."""
        pairs = self.points.pairs
        self._fit, self._fit_trouble = None, ""
        if not self._points_are_on_chosen():
            names = " and ".join(repr(image.name) for image in self.points.images or ())
            self._fit_trouble = f"The points are on {names}: choose these layers, or set new points on the others."
            pairs = pairs[0][:0], pairs[1][:0]
        elif len(pairs[0]):
            try:
                self._fit = align_points(*pairs, self.view.model, robust=bool(self.view.robust_box.value))
            except AlignmentError as error:
                self._fit_trouble = str(error)
        self.view.show_pairs(*pairs, self._fit)
        if self._fit is not None:
            self.points.mark(self._fit.worst if len(pairs[0]) > 1 else None, self._fit.used.tolist())

    # -- edits and messages ----------------------------------------------------------------------------------------

    def _on_edited(self) -> None:
        self._trouble = self._said = ""
        self._save_timer.start()
        self._fit_points()
        self._refresh()

    def _on_other_layers(self) -> None:
        """End what was about the layers that were chosen before."""
        self.points.stop()
        self._look_at_layers()
        self._withdraw()
        self._refresh()

    def _look_at_layers(self) -> None:
        """Follow where the chosen layers lie, and what they show."""
        self._link.look_at(layer for layer in (self.view.layers.ir, self.view.layers.visible) if layer is not None)

    def _on_moved(self) -> None:
        self._said = ""
        self._withdraw()
        self.points.follow()
        self._refresh()

    def _withdraw(self) -> None:
        """Take back what was found: it is not about these layers as they lie now."""
        self._version += 1
        self._show_check(None)

    def _problem(self) -> str:
        return problem_with_planes(self.view.layers.ir, self.view.layers.visible) or ""

    def _refresh(self) -> None:
        """Bring buttons and messages up to date; of several sentences the most urgent one is shown."""
        view, problem, running = self.view, self._problem(), self._jobs.running
        view.run_bar.allow(problem)
        for button in (view.check_button, view.pick_button):
            button.setEnabled(not problem and not running)
        view.show_button.setEnabled(self._check is not None and not running)
        on_chosen = any(self.points.counts) and self._points_are_on_chosen()
        view.remove_button.setEnabled(on_chosen and not running)
        view.fit_button.setEnabled(self._fit is not None and not running)
        last = self.moves.last
        self._undo_action.setText("Undo" if last is None else f"Undo move of {last.name!r}".replace("&", "&&"))
        self._undo_action.setEnabled(last is not None and not running)
        blocked = view.pick_button.blockSignals(True)
        view.pick_button.setChecked(self.points.picking)
        view.pick_button.blockSignals(blocked)
        view.pick_button.setText("Done" if self.points.picking else "Set points")
        hint = " ".join(filter(None, (self.points.prompt, self._fit.sentence if self._fit else self._fit_trouble)))
        view.prompt.setText(hint)
        view.prompt.setVisible(bool(hint))
        if running:
            return
        if self._trouble:
            view.run_bar.message.say(self._trouble, "error")
        elif problem:
            view.run_bar.message.say(problem, "warning")
        else:
            view.run_bar.message.say(self._said, "success" if self._sure else "warning")

    # -- the viewer, and the end -----------------------------------------------------------------------------------

    def _connect(self) -> None:
        view = self.view
        view.edited.connect(self._on_edited)
        view.layers.changed.connect(self._on_other_layers)
        view.run_bar.run_asked.connect(self.run)
        view.run_bar.cancel_asked.connect(self.cancel)
        view.check_button.clicked.connect(self.run_check)
        view.show_button.clicked.connect(self._on_show_button)
        view.pick_button.clicked.connect(self._on_pick)
        view.remove_button.clicked.connect(self._on_remove)
        view.fit_button.clicked.connect(self.apply_points)
        self._undo_action = view.run_bar.add_action("Undo", self.undo, "Put the layer back where it was")
        view.run_bar.add_separator()
        view.run_bar.add_action("Save alignment…", self._on_save, "How the layers lie now, for irvisfuse fuse --align")
        view.run_bar.add_action("Load alignment…", self._on_load, "Put the infrared layer where a file says")
        view.run_bar.add_separator()
        view.run_bar.add_action("Remove all points", self._on_clear, "And their two layers")
        self.points.changed.connect(self._on_points)
        self.moves.moved.connect(self.points.follow)
        self._link.layers_changed.connect(self._on_layers_changed)
        self._link.moved.connect(self._on_moved)
        self._attach()

    def _on_clear(self, _: bool = False) -> None:
        self.points.clear()

    def _on_save(self, _: bool = False) -> None:
        path, _filter = QFileDialog.getSaveFileName(self.native, "Save alignment", "alignment.json", _FILES)
        if path:
            self.save(path)

    def _on_load(self, _: bool = False) -> None:
        path, _filter = QFileDialog.getOpenFileName(self.native, "Load alignment", "", _FILES)
        if path:
            self.load(path)

    def _on_layers_changed(self) -> None:
        self.view.layers.refresh()
        self._refresh()

    def _take_up(self) -> None:
        self._look_at_layers()
        self._on_layers_changed()

    def _let_go(self) -> None:
        self._jobs.cancel()
        self.points.stop()
        self._withdraw()  # nobody listens any more
