"""The fuse widget's results: running, following live changes, and knowing when what is shown is out of date."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import prod
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_irvisfuse.errors import FusionError

from . import fusion_jobs
from .fuse_view import REPLACE, FuseView
from .jobs import JobRunner
from .layers import add_result, lies_on, run_of, update_result
from .qt_parts import single_shot

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer
    from qtpy.QtWidgets import QWidget

    from napari_irvisfuse.session import FusionSession
    from napari_irvisfuse.stacks import LazyFusion

    from .fusion_jobs import Outcome, Request, SharedWindows, Wanted
    from .jobs import JobFunction
    from .shown_frames import ShownFrames

__all__ = ["FusionRuns", "in_words"]

_log = logging.getLogger(__name__)
_SLOW_MS = 300
_OTHER_SETTINGS = "The result shown was made with other settings: press Run to bring it up to date."
_MORE_MAPS = "Of a stack only the maps asked for were kept: press Run to have these too."
_OTHER_RUN = "The layers now show another run: press Run to see this result again."
_OTHER_IMAGES = "The images have changed since the last run: press Run to bring the result up to date."


class FusionRuns:
    """Runs fusions of one widget, and keeps the last result and the session behind it.

    Parameters
    ----------
    viewer
        Gets the layers.
    view
        Says which layers to add, and shows the progress.
    owner
        When it is destroyed, the running job is cancelled.

    Attributes
    ----------
    started
        A run or a live update begins.
    finished
        Nothing runs any more; :attr:`outcome`, :attr:`trouble` and :attr:`said` tell how it ended.
    missed
        The viewer has asked for a frame that is not there yet.
    added
        A run, not a live update, has added its layers.
    outcome
        The last result, None before the first and after :meth:`let_go`; without its session, which is dropped earlier.
    trouble, said, stale
        Sentences for the user, or empty: what went wrong, what was done, why the result shown is out of date.
    """

    started = Signal()
    finished = Signal()
    added = Signal()
    missed = Signal()

    def __init__(self, viewer: ViewerModel, view: FuseView, owner: QWidget) -> None:
        self._viewer, self._view = viewer, view
        self._jobs = JobRunner(owner)
        self._slow = single_shot(owner, _SLOW_MS, self._show_slow)
        self._session: FusionSession | None = None
        self._windows: SharedWindows | None = None
        self._images_changed = False
        self._versions = 0  # of the images, as far as we were told
        self._layers: list[Layer] = []
        self._run: int | None = None  # of these layers
        self._shown: list[ShownFrames] = []  # whose frames are fused when they are shown
        self._not_again: list[Wanted] = []  # what did not come or did not stay
        self._following: Request | None = None
        self._given_up: Request | None = None  # a live update that the user cancelled is not tried again
        self.outcome: Outcome | None = None
        self.trouble = self.said = self.stale = ""

    @property
    def running(self) -> bool:
        """Whether a run or a live update is under way."""
        return self._jobs.running

    def run(self, request: Request) -> None:
        """Fuse from the start, whatever is kept: the images may have been changed in place."""
        self.trouble = self.said = ""
        self._given_up = self._following = None
        self._session = None  # two analyses at once may be more than fits the device; a network stays loaded
        if self.outcome is not None and self.outcome.fusion is not None:
            self.outcome.fusion.forget()
        self._view.run_bar.started()
        self._view.run_bar.message.say("")
        known = None if self._windows is None or self._windows.read_quickly else self._windows
        self._start(
            partial(fusion_jobs.run, request, known),
            on_progress=self._view.run_bar.progress,
            on_success=self._on_run,
            on_cancel=self._on_cancel,
        )

    def follow(self, request: Request | None, *, live: bool = False) -> None:
        """Answer a change of settings from what the session has kept, or note that the result is out of date.

        ``live``: of a part of the image, fuse it anew if there is no other way. The latest request wins.
        """
        updating = self._jobs.running and self._following is not None
        if self.outcome is None or (self._view.run_bar.running and not (live and updating)):
            return
        self.stale = ""
        self._show_frames()
        before = self.outcome.request
        kept = self._session if request is None or request.frames == "this" else self.outcome.fusion
        given_up = request is not None and self._given_up is not None and request.key == self._given_up.key
        if self._taken_over():
            self.stale = _OTHER_RUN
        elif live and request is not None and request.looks_like(before) and not given_up:
            usable = request.scene == before.scene and not self._images_changed
            under_way = updating and self._following is not None and self._following.key == request.key
            if not under_way and (self._images_changed or request.key != before.key):
                self._start_following(request, kept if usable else None)
        elif self._images_changed:
            self.stale = _OTHER_IMAGES
        elif request is None or request.scene != before.scene:
            self.stale = _OTHER_SETTINGS
        elif request.frames != "this" and not set(request.maps) <= set(before.maps):
            self.stale = _MORE_MAPS
        elif request.key != before.key:
            if kept is not None and _is_live(kept, request) and not given_up:
                self._start_following(request, kept)
            else:
                self.stale = _OTHER_SETTINGS

    def show_other_maps(self) -> None:
        """Add or remove maps of the result that is there: nothing has to be computed for it."""
        if self.outcome is not None and not self.running and not self._taken_over():
            self._add(self.outcome, replace_old=True)

    def cancel(self) -> None:
        """Stop what is running."""
        if self._jobs.running:
            self._view.run_bar.stopping()
            self._jobs.cancel()

    def attend(self, attending: bool = True) -> None:
        """Tell frames that are fused when they are shown whether anybody does that in a job."""
        for shown in self._shown:
            shown.attended = attending

    def forget(self) -> None:
        """Drop what is kept for live changes, since the images are others now.

        The session's own ``forget`` would unload the network too, which the next run and other widgets use.
        """
        session, self._session, self._windows = self._session, None, None
        self._images_changed = self.outcome is not None
        self._versions += 1
        # a running job may be using it; then its memory goes with the job
        if session is not None and not self._jobs.running:
            from napari_irvisfuse.devices import release_memory

            device = session.compute.device
            del session
            release_memory(device)

    @property
    def inputs_removed(self) -> bool:
        """Whether a layer that the last result was made of is no longer in the viewer."""
        made_of = (self.outcome.request.ir, self.outcome.request.visible) if self.outcome is not None else ()
        return any(layer not in self._viewer.layers for layer in made_of)

    def let_go(self) -> None:
        """Drop the last result, whose inputs have been removed, and all that was kept for live changes."""
        self.forget()
        self._layers = [layer for layer in self._layers if layer in self._viewer.layers]
        self.outcome = self._following = self._given_up = None
        self._images_changed, self.stale = False, ""

    def _start_following(self, request: Request, kept: FusionSession | LazyFusion | None) -> None:
        self.trouble = ""
        self._following = request
        self._slow.start()
        self._start(
            partial(fusion_jobs.follow, request, kept, self._windows),
            on_progress=self._on_follow_progress,
            on_success=partial(self._on_followed, self._versions),
            on_cancel=self._on_follow_cancel,
        )

    def _show_frames(self) -> None:
        """Fuse the frames that the viewer has asked for and not got."""
        there = [layer.data for layer in self._viewer.layers]
        self._shown = [shown for shown in self._shown if any(data is shown for data in there)]
        wanted = [(shown, shown.wanted) for shown in self._shown if shown.wanted]
        if not wanted or wanted == self._not_again:
            return
        self._not_again = wanted
        self._following = None
        self.trouble = ""
        self._slow.start()
        self._start(partial(fusion_jobs.show, wanted), on_progress=self._on_follow_progress, on_success=self._on_frames)

    def _start(self, function: JobFunction, **handlers: Callable[..., object]) -> None:
        self.started.emit()
        self._jobs.start(function, on_failure=self._on_failure, on_finish=self._on_finish, **handlers)

    def _on_frames(self, _: None) -> None:
        for layer in self._viewer.layers:
            if any(layer.data is shown for shown in self._shown):
                layer.refresh()  # looks at the data again

    def _add(self, outcome: Outcome, *, replace_old: bool) -> None:
        request = outcome.request
        self._layers = add_result(
            self._viewer,
            outcome.result,
            request.ir,
            request.visible,
            show=self._view.show_box.value,
            replace=replace_old,
            part=request.part.kind if request.part is not None else "",
            under=self._view.region.shapes if request.part is not None else None,
        )
        self._run = run_of(self._layers[0])

    def _taken_over(self) -> bool:
        """Tell whether another widget's run has put its result into our layers."""
        return any(layer in self._viewer.layers and run_of(layer) != self._run for layer in self._layers)

    def _on_run(self, outcome: Outcome) -> None:
        self._session, self.outcome, self.stale = outcome.session, replace(outcome, session=None), ""
        self._windows = outcome.windows
        self._images_changed = False
        self._not_again = []  # this run may have come between
        self._attend(outcome.shown)
        self._add(outcome, replace_old=self._view.replace_box.value == REPLACE)
        self.said = _in_short(outcome)
        self.added.emit()

    def _on_followed(self, versions: int, outcome: Outcome) -> None:
        if versions == self._versions:  # otherwise what it has read is out of date already
            self._session, self._windows, self._images_changed = outcome.session, outcome.windows, False
        if self._taken_over():
            self.stale = _OTHER_RUN
            return
        before = self.outcome.request if self.outcome is not None else outcome.request
        self.outcome, self.said = replace(outcome, session=None), ""
        there = [layer for layer in self._layers if layer in self._viewer.layers]
        self._attend(outcome.shown)
        request = outcome.request
        if request.part is not None:
            self.said = _in_short(outcome)
        kinds = [(item.method, item.output, item.with_maps) for item in (request, before)]
        if there and kinds[0] != kinds[1]:
            self._add(outcome, replace_old=True)  # layers of other kinds
            return
        place = () if request.part is None else lies_on(outcome.result, request.ir, request.visible)
        update_result(there, outcome.result, *place)

    def _attend(self, shown: tuple[ShownFrames, ...]) -> None:
        for frames in shown:
            frames.missed.connect(self.missed.emit)
        self._shown.extend(shown)

    def _on_failure(self, error: BaseException) -> None:
        if not isinstance(error, FusionError):
            _log.error("Fusion failed", exc_info=error)
        self.trouble = in_words(error)

    def _on_cancel(self) -> None:
        if not self.running:  # otherwise a newer job has taken its place
            self.said = "Cancelled; nothing was changed."

    def _on_follow_cancel(self) -> None:
        if not self.running:
            self._given_up = self._following

    def _on_finish(self) -> None:
        if self.running:
            return
        self._slow.stop()
        self._view.run_bar.finished()
        self.finished.emit()

    def _on_follow_progress(self, done: int, total: int, message: str) -> None:
        if self._view.run_bar.running:
            self._view.run_bar.progress(done, total, message)

    def _show_slow(self) -> None:
        """Most live updates are over before a progress bar could be read; the others get one."""
        if self._jobs.running and not self._view.run_bar.running:
            self._view.run_bar.started()


def _is_live(kept: FusionSession | LazyFusion, request: Request) -> bool:
    region = request.part and request.part.region
    maps = {"maps": request.with_maps} if request.frames == "this" else {}
    return kept.is_live(request.method, request.parameters, request.weights, region=region, **maps)


def _in_short(outcome: Outcome) -> str:
    axes = outcome.result.axes
    height, width = outcome.result.fused.shape[len(axes) : len(axes) + 2]
    if outcome.fusion is not None:
        return "Frames are fused when they are shown: move the slider."
    frames = f"{prod(axes)} frames of " if axes else ""
    return f"{frames}{width} × {height} pixels fused in {outcome.seconds:.2g} s."


def in_words(error: BaseException) -> str:
    """Return one sentence for the user."""
    if isinstance(error, FusionError):
        return str(error)
    first = (str(error).strip().splitlines() or [""])[0]
    return f"Something unexpected went wrong ({type(error).__name__}: {first})."
