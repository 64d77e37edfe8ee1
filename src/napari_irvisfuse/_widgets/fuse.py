"""The fuse widget: choose two layers and a method, press Run, look inside, turn knobs while the result follows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_irvisfuse.errors import AlignmentError, ParameterError
from napari_irvisfuse.recipe import Recipe

from . import fusion_jobs, settings
from .align_moves import Moves
from .alignment_watch import AlignmentWatch
from .docked import DockedWidget
from .fuse_view import FuseView
from .fusion_runs import FusionRuns, in_words
from .jobs import JobRunner
from .layer_stacks import problem_with_stacks
from .layers import displayed_step, maps_of, place_layers, problem_with
from .qt_parts import single_shot
from .recipe_menu import RecipeMenu
from .region_choice import WHOLE
from .stack_choice import ALL, THIS

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Image

    from .fusion_jobs import Catalogue, Facts, Request
    from .layer_regions import Part

__all__ = ["FuseWidget"]

_log = logging.getLogger(__name__)
_NAME = "fuse"
_FOLLOW_MS, _VIEW_MS = 50, 200
_LOADING = "Loading methods…"


class FuseWidget(DockedWidget):
    """Fuse an infrared and a visible layer.

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
        self.view = FuseView(viewer, self.native)
        self.runs = FusionRuns(viewer, self.view, self.native)
        self.alignment = AlignmentWatch(viewer, self.view.alignment, self.native)
        self.alignment.hold()  # the methods come first
        self.recipes = RecipeMenu(
            self.view, request=self.request, recipe=self.recipe, moves=Moves(viewer), tell=self._tell
        )
        self._lookups = JobRunner(self.native, "Loading the fusion methods")
        self._follow_timer = single_shot(self.native, _FOLLOW_MS, self._follow)
        self._view_timer = single_shot(self.native, _VIEW_MS, self._follow)
        self.view.restore(self._initial_state())
        self._connect()
        self._look_at_layers()
        self._lookups.start(fusion_jobs.load_catalogue, on_success=self._on_catalogue, on_failure=self._on_no_catalogue)
        self._refresh()

    # -- what others may ask for -----------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether the methods are loaded."""
        return self.view.ready

    @property
    def running(self) -> bool:
        """Whether a fusion is running."""
        return self.runs.running

    @property
    def message(self) -> str:
        """The sentence shown above the button."""
        return self.view.run_bar.message.text

    def choose(self, method: str, parameters: Mapping[str, Any] | None = None, *, show: str | None = None) -> None:
        """Choose a method, its parameters and which maps to add.

        Raises
        ------
        ParameterError
            For an unknown method or parameter. While the methods are loading, it is shown in the widget later.
        """
        self.view.methods.choose(method, parameters)
        if show is not None:
            self.view.show_box.value = show

    def run(self) -> None:
        """Fuse the two layers with what is chosen; while the methods are still loading, as soon as they are."""
        if not self.ready:
            self._run_when_ready = True
            return
        request = self.request()
        if request is None or self._problem():
            self._refresh()
            return
        self.view.layers.keep()
        self.runs.run(request)

    def cancel(self) -> None:
        """Stop what is running."""
        self.runs.cancel()

    def request(self) -> Request | None:
        """Return what Run would do, None if layers are missing, a setting is half typed or nothing is in the view."""
        return self._request(self._part)

    def _request(self, part_of: Callable[[Image], Part | None]) -> Request | None:
        ir, visible = self.view.layers.ir, self.view.layers.visible
        if ir is None or visible is None or not self.ready:
            return None
        steps = [displayed_step(layer, self._viewer.dims) for layer in (ir, visible)]
        try:
            choices = self.view.choices()
            placement = place_layers(ir, visible, choices["grid"])
            chosen = {
                "weights": self.view.weights.path,
                "weights_sha256": self.recipes.weights_sha256,
                "ir_to_visible": placement.asked[0],
                "frames": self.view.stack.frames,
                "maps": maps_of(self.view.show_box.value),
                "part": part_of(ir if placement.grid == "ir" else visible),
            }
            return fusion_jobs.Request(ir, visible, *steps, **chosen, **choices)
        except (ParameterError, AlignmentError):
            return None

    def recipe(self) -> Recipe:
        """Return the recipe of the result shown, or of the settings if they are others."""
        request, outcome = self.request(), self.runs.outcome
        if outcome is not None and request is not None and request.key == outcome.request.key:
            return outcome.result.recipe  # knows the versions and the weights' hash
        if request is None:
            return Recipe(**self.view.choices())
        placed = place_layers(request.ir, request.visible, request.grid).as_recipe()
        return Recipe(**{**self.view.choices(), **placed, "region": request.region})

    # -- loading and looking up ------------------------------------------------------------------------------------

    def _on_catalogue(self, catalogue: Catalogue) -> None:
        self.view.offer(catalogue)
        self._refresh()
        if self._run_when_ready:
            self._run_when_ready = False
            self.run()
        if not self.running:
            self.alignment.resume()

    def _on_no_catalogue(self, error: BaseException) -> None:
        _log.error("The fusion methods cannot be loaded", exc_info=error)
        self._not_ready = f"The fusion methods cannot be loaded. {in_words(error)}"
        self._refresh()

    def _look_up(self) -> None:
        choices = self.view.choices()
        self._lookups.start(
            partial(
                fusion_jobs.look_up,
                choices["method"],
                choices["parameters"],
                self.view.weights.path,
                choices["device"],
                choices["precision"],
            ),
            on_success=self._on_facts,
            on_failure=self._on_no_facts,
        )

    def _on_facts(self, facts: Facts) -> None:
        self.view.device.explain(facts.device)
        self.view.weights.tell(facts.weights)

    def _on_no_facts(self, error: BaseException) -> None:
        _log.error("Device and weights cannot be described", exc_info=error)
        self.view.device.explain(in_words(error))

    # -- edits and messages ----------------------------------------------------------------------------------------

    def _on_edited(self, what: str) -> None:
        self.runs.trouble = self.runs.said = ""
        self._save_timer.start()
        needs_weights = self.view.method is not None and self.view.method.needs_weights
        if self.ready and (what in ("method", "device", "weights") or (what == "parameters" and needs_weights)):
            self._look_up()
        if what in ("layers", "region"):
            self._look_at_layers()
        if what == "show":
            self.runs.show_other_maps()
        self._follow_soon()
        self._refresh()

    def _follow_soon(self) -> None:
        if self.runs.outcome is not None:
            self._follow_timer.start()

    def _follow(self) -> None:
        self._catch_up()
        self._refresh()

    def _catch_up(self) -> None:
        """Bring the result up to date, as far as it follows; a part that does not follow stays where it was fused."""
        live = self.view.region.live and self.view.stack.frames != ALL
        self.runs.follow(self._request(self._part if live else self._part_shown), live=live)

    def _part(self, layer: Image) -> Part | None:
        return self.view.region.part(layer)

    def _part_shown(self, layer: Image) -> Part | None:
        shown = self.runs.outcome.request.part if self.runs.outcome is not None else None
        return shown if shown is not None and shown.kind == self.view.region.kind else self._part(layer)

    def _problem(self) -> str:
        """Why Run cannot be pressed; empty if it can."""
        if not self.ready:
            return self._not_ready
        try:
            self.view.choices()
        except ParameterError:
            return "An intensity window needs two numbers, the first smaller than the second: see Advanced."
        ir, visible = self.view.layers.ir, self.view.layers.visible
        problem = problem_with(ir, visible)
        if problem is None and self.view.stack.frames != THIS:
            assert ir is not None
            assert visible is not None
            problem = problem_with_stacks(ir, visible)
        return problem or self._problem_with_part()

    def _problem_with_part(self) -> str:
        if self.view.region.kind == WHOLE:
            return ""
        ir, visible = self.view.layers.ir, self.view.layers.visible
        assert ir is not None
        assert visible is not None
        try:
            self._part(ir if place_layers(ir, visible, self.view.grid.value).grid == "ir" else visible)
        except ParameterError as error:
            return str(error)
        return ""

    def _refresh(self) -> None:
        """Bring button and message up to date; of several sentences the most urgent one is shown."""
        bar, runs, problem = self.view.run_bar, self.runs, self._problem()
        bar.allow(problem)
        if bar.running:
            return
        notes = runs.outcome.result.notes if runs.outcome is not None and not runs.stale else ()
        if runs.trouble:
            bar.message.say(runs.trouble, "error")
        elif problem:
            level = "warning" if self.ready else "note" if problem == _LOADING else "error"
            bar.message.say(problem, level)
        elif runs.stale:
            bar.message.say(f"{runs.said} {runs.stale}".strip(), "warning")
        else:
            bar.message.say(" ".join((runs.said, *notes)).strip(), "note" if notes else "success")

    def _tell(self, text: str, *, trouble: bool = False) -> None:
        self.runs.trouble, self.runs.said = (text, "") if trouble else ("", text)
        self._refresh()

    # -- the viewer, and the end -----------------------------------------------------------------------------------

    def _connect(self) -> None:
        self.view.edited.connect(self._on_edited)
        self.view.run_bar.run_asked.connect(self.run)
        self.view.run_bar.cancel_asked.connect(self.cancel)
        self.runs.started.connect(self.alignment.hold)
        self.runs.added.connect(self._on_added)
        self.runs.missed.connect(self._follow_soon)
        self.runs.finished.connect(self._on_finished)
        self._link.layers_changed.connect(self._on_layers_changed)
        self._link.step_changed.connect(self._on_step_changed)
        self._link.data_changed.connect(self._on_data_changed)
        self._link.theme_changed.connect(self._on_theme)
        self._link.moved.connect(self._on_moved)
        self._link.view_changed.connect(self._on_view_changed)
        self._attach()

    def _on_added(self) -> None:
        if self.runs.outcome is not None:  # else an input was removed meanwhile
            request = self.runs.outcome.request
            self._link.watch((request.ir, request.visible))

    def _drop_removed(self) -> None:
        """Keep no input alive that has been removed."""
        if self.runs.inputs_removed:
            self.runs.let_go()
            self._link.watch(())

    def _on_finished(self) -> None:
        self._drop_removed()
        if self.runs.outcome is not None:
            self.view.show_channels(self.runs.outcome.result.maps)
        if not self.runs.trouble:
            self._catch_up()  # settings may have changed meanwhile
        if not self.running:
            self.alignment.resume()
        self._refresh()

    def _on_layers_changed(self) -> None:
        self.view.layers.refresh()
        self.view.region.refresh()
        self._drop_removed()
        self._look_at_layers()
        self._refresh()

    def _look_at_layers(self) -> None:
        """Follow where the chosen layers lie, and say what that means."""
        ir, visible = self.view.layers.ir, self.view.layers.visible
        self._link.look_at({layer for layer in (ir, visible) if layer is not None})
        self._link.watch_shapes(self.view.region.shapes)
        self.view.grid.show(ir, visible)
        self.alignment.look(ir, visible)

    def _on_moved(self) -> None:
        self.runs.said = ""
        self.view.grid.show(self.view.layers.ir, self.view.layers.visible)
        self.alignment.look(self.view.layers.ir, self.view.layers.visible)
        self._follow_soon()
        self._refresh()

    def _on_view_changed(self) -> None:
        if self.view.region.kind != WHOLE:
            self._view_timer.start()

    def _on_step_changed(self) -> None:
        self.runs.said = ""
        self.alignment.look(self.view.layers.ir, self.view.layers.visible)
        self._follow_soon()

    def _on_data_changed(self) -> None:
        self.runs.forget()
        self.runs.said = ""
        self._follow_soon()
        self._refresh()

    def _on_theme(self) -> None:
        self.view.show_theme(self._viewer.theme)

    def _take_up(self) -> None:
        self._on_theme()
        self.runs.attend()
        self._on_layers_changed()

    def _let_go(self) -> None:
        self.runs.cancel()
        self.runs.forget()
        self.runs.attend(False)
        self.alignment.look(None, None)
        self._lookups.cancel()

    def _on_destroyed(self, _: Any = None) -> None:
        self.runs.attend(False)
        super()._on_destroyed()

    def _initial_state(self) -> dict[str, Any]:
        """Return what was chosen last time, on top of the preferences."""
        preferred = {
            "method": settings.preference("default_method"),
            "device": settings.preference("device"),
            "show": settings.preference("maps"),
        }
        return {**preferred, **self._remembered()}
