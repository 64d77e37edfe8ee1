"""The only thread code: one cancellable job at a time, whose callbacks all run on the GUI thread.

A job's function gets two plain callables, ``progress(done, total, message)`` and ``cancelled()``, and knows no Qt.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

import superqt.utils
from napari.qt.threading import FunctionWorker, GeneratorWorkerSignals, create_worker
from qtpy.QtCore import QEventLoop, QObject, QTimer, Signal, Slot
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

from napari_irvisfuse.errors import Cancelled, FusionError
from napari_irvisfuse.types import Cancel, Progress

__all__ = ["Job", "JobFunction", "JobRunner"]

JobFunction: TypeAlias = Callable[[Progress, Cancel], object]
_log = logging.getLogger(__name__)

# Fast enough to look smooth and to notice a closed dock, slow enough to cost nothing.
_TICK_MS = 50


class _JobSignals(GeneratorWorkerSignals):
    """What a job tells. ``aborted``, which napari's own list of tasks listens to, comes with the base."""

    progressed = Signal(object, object, str)  # objects: a download's bytes do not fit a C int
    succeeded = Signal(object)
    failed = Signal(object)
    cancelled = Signal()


@dataclass(frozen=True)
class _Task:
    """The function under a name, which napari shows when it asks whether to close with this still running."""

    function: JobFunction
    title: str

    def __call__(self, progress: Progress, cancelled: Cancel) -> object:
        return self.function(progress, cancelled)

    def __repr__(self) -> str:
        return self.title


class Job(FunctionWorker):
    """One run of a function in a thread; made by :meth:`JobRunner.start`.

    Signals: ``progressed(done, total, message)``, at most 20 times a second; then exactly one of
    ``succeeded(result)``, ``failed(exception)`` and ``cancelled()``; then always ``finished()``.
    """

    def __init__(self, function: JobFunction) -> None:
        super().__init__(function)
        # superqt offers no way to choose the signals of a FunctionWorker. Errors and warnings are reported by
        # the runner, so that nothing is lost with napari's own connections to the signals replaced here.
        self.signals = _JobSignals()
        self.warned.connect(_log_warning)
        self.outcome: tuple[Literal["succeeded", "failed", "cancelled"], Any] = ("cancelled", None)
        self._news: tuple[int, int, str] | None = None

    def cancel(self) -> None:
        """Ask the function to stop; it does so at its next question or report."""
        self.quit()

    def take_news(self) -> tuple[int, int, str] | None:
        """Return the latest progress if there has been any since the last call."""
        news, self._news = self._news, None
        return news

    def work(self) -> None:
        """Run the function in the thread, letting no exception out.

        superqt swallows a RuntimeError without a signal, torch's out-of-memory error among them, and the
        widget would wait for ever.
        """
        try:
            if self.abort_requested:
                raise Cancelled
            self.outcome = ("succeeded", self._func(self._report, lambda: self.abort_requested))
        except Cancelled:
            self.outcome = ("cancelled", None)
        except BaseException as error:  # a SystemExit would end the whole program from here
            self.outcome = ("failed", error)
        # Images live in the function's closure, and a finished job may be referred to for long.
        self._func = None
        self._announce()

    def end_unstarted(self) -> None:
        """End as cancelled without ever having been started, so that napari does not wait for it."""
        self.cancel()
        self._announce()
        self.finished.emit()

    def _announce(self) -> None:
        kind, value = self.outcome
        if kind == "cancelled":
            self.cancelled.emit()
            self.aborted.emit()
        else:
            getattr(self, kind).emit(value)

    def _report(self, done: int, total: int, message: str) -> None:
        # Only remembered: the runner looks 20 times a second, so however often the core reports, the GUI thread
        # gets no events from it, and the last message before a long silence is still shown.
        if self.abort_requested:
            raise Cancelled
        self._news = (done, total, message)


class JobRunner(QObject):
    """Runs the jobs of one widget, one at a time, the latest wins.

    Parameters
    ----------
    owner
        The widget. When it is destroyed, or the dock around it is closed, the running job is cancelled; once it
        is destroyed no callback is called any more.
    title
        What the jobs are called in napari's question whether to close while one is running.
    unasked
        The user did not ask for these jobs, and is not asked about them: they end with the viewer.
    """

    # Keeps runner, callbacks and widget alive until their job has ended: were they garbage earlier, the collector
    # could run in the job's thread and destroy Qt widgets there.
    _busy: ClassVar[set[JobRunner]] = set()

    def __init__(self, owner: QWidget, title: str = "Infrared and visible fusion", *, unasked: bool = False) -> None:
        super().__init__(owner)
        self._owner = owner
        self._title = title
        self._create = superqt.utils.create_worker if unasked else create_worker  # napari's own list has the latter
        self._job: Job | None = None
        self._next: Job | None = None
        self._last: Job | None = None
        self._callbacks: dict[Job, _Callbacks] = {}
        self._docked = False
        self._timer = QTimer(self)
        self._timer.setInterval(_TICK_MS)
        self._timer.timeout.connect(self._tick)
        owner.destroyed.connect(self._on_owner_destroyed)

    @property
    def running(self) -> bool:
        """True from :meth:`start` until the last callback is about to be called and no other job waits."""
        return self._job is not None or self._next is not None

    def start(
        self,
        function: JobFunction,
        *,
        on_progress: Callable[[int, int, str], object] | None = None,
        on_success: Callable[[Any], object] | None = None,
        on_failure: Callable[[BaseException], object] | None = None,
        on_cancel: Callable[[], object] | None = None,
        on_finish: Callable[[], object] | None = None,
    ) -> Job:
        """Run a function in a thread; if a job is running, cancel it and run this one as soon as it has ended.

        Parameters
        ----------
        function
            Called in the thread as ``function(progress, cancelled)``; raises ``Cancelled`` to stop.
        on_progress
            Called at most 20 times a second with the latest ``(done, total, message)``.
        on_success, on_failure, on_cancel
            Exactly one of them is called, with the result, the exception or nothing. A job that was cancelled
            never succeeds, even if it was done before it noticed. Without ``on_failure`` napari shows the error.
        on_finish
            Called last. ``running`` is False by then unless a newer job waits.

        Returns
        -------
        Job
            The new job.
        """
        job: Job = self._create(_Task(function, self._title), _worker_class=Job, _start_thread=False)
        self._callbacks[job] = _Callbacks(on_progress, on_success, on_failure, on_cancel, on_finish)
        self._busy.add(self)
        waiting, self._next = self._next, job
        if waiting is not None:
            self._drop(waiting)
        if self._job is not None:
            self._job.cancel()
        elif self._next is job:  # a callback of the dropped job may have started yet another one
            self._start_next()
        return job

    def cancel(self) -> None:
        """Cancel the running job and the one that waits, if any. Their ``on_cancel`` follows; no ``on_success``."""
        waiting, self._next = self._next, None
        if self._job is not None:
            self._job.cancel()
        if waiting is not None:
            self._drop(waiting)

    def wait(self, timeout_s: float) -> bool:
        """Let the GUI live until nothing runs and all callbacks have been called.

        Returns
        -------
        bool
            False if ``timeout_s`` passed first.
        """
        loop = QEventLoop()
        limit, check = QTimer(), QTimer()
        limit.setSingleShot(True)
        limit.timeout.connect(loop.quit)
        check.timeout.connect(lambda: loop.quit() if not self.running else None)
        limit.start(int(timeout_s * 1000))
        check.start(5)
        if self.running:
            loop.exec()
        return not self.running

    def _start_next(self) -> None:
        job, self._next = self._next, None
        if job is None:
            return
        self._job = job
        self._docked = self._in_dock()
        job.finished.connect(self._on_finished)
        self._timer.start()
        job.start()

    def _in_dock(self) -> bool:
        return isinstance(self._owner.window(), QMainWindow | QDockWidget)

    @Slot()
    def _tick(self) -> None:
        # The "x" of a dock sends no closeEvent and does not destroy the widget either: it only loses its window.
        if self._docked and not self._in_dock():
            self.cancel()
        self._pass_on_progress()

    def _pass_on_progress(self) -> None:
        job = self._job
        news = job.take_news() if job is not None else None
        if job is None or news is None:
            return
        job.progressed.emit(*news)
        on_progress = self._callbacks[job].progress
        if on_progress is not None and not job.abort_requested:
            on_progress(*news)

    @Slot()
    def _on_finished(self) -> None:
        job = self._job
        assert job is not None
        try:
            self._pass_on_progress()
        finally:
            self._timer.stop()
            self._job = None
            # Kept until the next one: its thread may be in its last line, and must not be the one to delete it.
            self._last = job
            try:
                self._call_back(job)
            finally:
                if self._job is None:
                    self._start_next()
                if not self.running:
                    self._busy.discard(self)

    def _drop(self, job: Job) -> None:
        """Let a job that never began end as cancelled."""
        job.end_unstarted()
        self._call_back(job)
        if not self.running:
            self._busy.discard(self)

    def _call_back(self, job: Job) -> None:
        calls = self._callbacks.pop(job)
        kind, value = job.outcome
        job.outcome = ("cancelled", None)  # the result now belongs to whoever asked for it
        try:
            if kind == "cancelled" or job.abort_requested:
                if calls.cancel is not None:
                    calls.cancel()
            elif kind == "succeeded":
                if calls.success is not None:
                    calls.success(value)
            else:
                (calls.failure or _show_error)(value)
        finally:
            if calls.finish is not None:
                calls.finish()

    @Slot()
    def _on_owner_destroyed(self) -> None:
        if not vars(self):  # the garbage collector has been here first; it leaves those that run alone, see _busy
            return
        # Qt is about to delete this object too, and with it every connection: only the thread has to be told.
        self._callbacks.clear()
        if self._next is not None:
            self._next.end_unstarted()
            self._next = None
        if self._job is not None:
            self._job.cancel()
            self._job = None
        self._busy.discard(self)


@dataclass(frozen=True)
class _Callbacks:
    progress: Callable[[int, int, str], object] | None
    success: Callable[[Any], object] | None
    failure: Callable[[BaseException], object] | None
    cancel: Callable[[], object] | None
    finish: Callable[[], object] | None


def _show_error(error: BaseException) -> None:
    from napari.utils.notifications import notification_manager, show_error

    if isinstance(error, FusionError):
        show_error(str(error))
    else:
        notification_manager.receive_error(type(error), error, error.__traceback__)


def _log_warning(warning: tuple[Any, ...]) -> None:
    message, category, filename, line = warning[:4]
    _log.warning("%s:%s: %s: %s", filename, line, category.__name__, message)
