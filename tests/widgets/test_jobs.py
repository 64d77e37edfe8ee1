from __future__ import annotations

import gc
import threading
import time
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from napari.qt.threading import WorkerBase
from qtpy.QtCore import QThreadPool
from qtpy.QtWidgets import QDockWidget, QMainWindow, QVBoxLayout, QWidget

from napari_irvisfuse._widgets.jobs import Job, JobRunner
from napari_irvisfuse.errors import Cancelled, ImageError


class Log:
    """Callbacks that remember what they were called with, and in which thread."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.threads: set[int] = set()

    def _add(self, *call: Any) -> None:
        self.calls.append(call)
        self.threads.add(threading.get_ident())

    def callbacks(self, name: str = "") -> dict[str, Callable[..., None]]:
        prefix = (name,) if name else ()
        return {
            f"on_{kind}": lambda *args, kind=kind: self._add(*prefix, kind, *args)
            for kind in ("progress", "success", "failure", "cancel", "finish")
        }

    def without_progress(self) -> list[tuple[Any, ...]]:
        return [call for call in self.calls if "progress" not in call]


def until_cancelled(progress: Any, cancelled: Any) -> None:
    while not cancelled():
        time.sleep(0.002)
    raise Cancelled


@pytest.fixture
def owner(qtbot: Any) -> Any:
    widget = QWidget()
    qtbot.addWidget(widget)
    yield widget
    # the job's thread changes the warning filters while it runs: never let it outlive its test
    assert QThreadPool.globalInstance().waitForDone(5000)
    qtbot.waitUntil(lambda: not WorkerBase._worker_set)
    assert not JobRunner._busy


def test_success_in_another_thread_with_callbacks_in_this_one(owner: QWidget) -> None:
    log, runner = Log(), JobRunner(owner)
    thread: list[int] = []

    def work(progress: Any, cancelled: Any) -> str:
        thread.append(threading.get_ident())
        progress(1, 2, "half")
        progress(2, 2, "all")
        return "result"

    assert not runner.running
    job = runner.start(work, **log.callbacks())
    assert isinstance(job, Job)
    assert runner.running
    assert runner.wait(5)
    assert not runner.running
    assert log.calls[-3:] == [("progress", 2, 2, "all"), ("success", "result"), ("finish",)]
    assert thread != [threading.get_ident()]
    assert log.threads == {threading.get_ident()}


@pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory"), ImageError("no image"), SystemExit(1)])
def test_every_exception_arrives(owner: QWidget, error: BaseException) -> None:
    log, runner = Log(), JobRunner(owner)

    def work(progress: Any, cancelled: Any) -> None:
        raise error

    runner.start(work, **log.callbacks())
    assert runner.wait(5)
    assert log.calls == [("failure", error), ("finish",)]


def test_signals_of_a_job(owner: QWidget, qtbot: Any) -> None:
    runner = JobRunner(owner)
    connected = threading.Event()

    def work(progress: Any, cancelled: Any) -> str:
        connected.wait(5)
        progress(3, 2**33, "bytes")
        return "result"

    job = runner.start(work)
    signals = [job.progressed, job.succeeded, job.finished]
    with qtbot.waitSignals(signals, timeout=5000) as seen:
        connected.set()
    arguments = [tuple(signal.args) for signal in seen.all_signals_and_args]
    assert (3, 2**33, "bytes") in arguments
    assert ("result",) in arguments
    assert runner.wait(5)


def test_cancel_is_quick_and_never_succeeds(owner: QWidget, qtbot: Any) -> None:
    log, runner = Log(), JobRunner(owner)
    started = threading.Event()

    def deaf(progress: Any, cancelled: Any) -> str:
        started.set()
        time.sleep(0.1)
        return "too late"

    runner.start(deaf, **log.callbacks())
    qtbot.waitUntil(started.is_set)
    runner.cancel()
    assert runner.wait(1)
    assert log.calls == [("cancel",), ("finish",)]

    log.calls.clear()
    job = runner.start(until_cancelled, **log.callbacks())
    with qtbot.waitSignals([job.cancelled, job.finished], timeout=1000):
        job.cancel()
    assert runner.wait(1)
    assert log.calls == [("cancel",), ("finish",)]


def test_a_function_that_only_reports_can_be_cancelled(owner: QWidget, qtbot: Any) -> None:
    log, runner = Log(), JobRunner(owner)

    def work(progress: Any, cancelled: Any) -> None:
        while True:
            progress(0, 0, "working")
            time.sleep(0.001)

    runner.start(work, **log.callbacks())
    qtbot.waitUntil(lambda: ("progress", 0, 0, "working") in log.calls)
    runner.cancel()
    assert runner.wait(1)
    assert log.without_progress() == [("cancel",), ("finish",)]


def test_progress_is_throttled_but_the_last_word_before_a_silence_is_heard(owner: QWidget, qtbot: Any) -> None:
    log, runner = Log(), JobRunner(owner)
    go_on = threading.Event()

    def chatty(progress: Any, cancelled: Any) -> None:
        end = time.monotonic() + 0.3
        i = 0
        while time.monotonic() < end:
            i += 1
            progress(i, 10**9, "chatting")
        progress(0, 0, "thinking")
        go_on.wait(5)

    runner.start(chatty, **log.callbacks())
    qtbot.waitUntil(lambda: log.calls[-1:] == [("progress", 0, 0, "thinking")])
    assert 2 <= len(log.calls) <= 12
    go_on.set()
    assert runner.wait(5)


def test_the_latest_wins(owner: QWidget) -> None:
    log, runner = Log(), JobRunner(owner)
    ran: list[str] = []

    def named(name: str) -> Callable[..., str]:
        def work(progress: Any, cancelled: Any) -> str:
            ran.append(name)
            if name == "first":
                until_cancelled(progress, cancelled)
            return name

        return work

    for name in ("first", "second", "third"):
        runner.start(named(name), **log.callbacks(name))
    assert log.calls == [("second", "cancel"), ("second", "finish")]  # it never began
    assert runner.wait(5)
    assert log.calls[2:] == [
        ("first", "cancel"),
        ("first", "finish"),
        ("third", "success", "third"),
        ("third", "finish"),
    ]
    assert "second" not in ran


def test_cancel_also_drops_the_waiting_one(owner: QWidget) -> None:
    log, runner = Log(), JobRunner(owner)
    runner.start(until_cancelled, **log.callbacks("a"))
    runner.start(until_cancelled, **log.callbacks("b"))
    runner.cancel()
    assert runner.wait(1)
    assert sorted(log.calls) == [("a", "cancel"), ("a", "finish"), ("b", "cancel"), ("b", "finish")]


def test_a_job_started_from_a_callback(owner: QWidget) -> None:
    log, runner = Log(), JobRunner(owner)
    runner.start(
        lambda progress, cancelled: 1,
        on_success=lambda _: runner.start(lambda progress, cancelled: 2, **log.callbacks()),
    )
    assert runner.wait(5)
    assert log.calls == [("success", 2), ("finish",)]


def test_an_error_in_a_callback_does_not_stop_the_rest(owner: QWidget, qtbot: Any) -> None:
    log, runner = Log(), JobRunner(owner)
    calls = log.callbacks() | {"on_success": lambda _: 1 / 0}
    with qtbot.captureExceptions() as caught:
        runner.start(lambda progress, cancelled: None, **calls)
        assert runner.wait(5)
    assert [kind for kind, *_ in caught] == [ZeroDivisionError]
    assert log.calls == [("finish",)]


def test_a_finished_job_keeps_no_images(owner: QWidget) -> None:
    class Large:
        pass

    image, result = Large(), Large()
    alive = [weakref.ref(image), weakref.ref(result)]
    runner = JobRunner(owner)
    job = runner.start(lambda progress, cancelled, made=[image, result]: made.pop())
    del image, result
    assert runner.wait(5)
    gc.collect()
    assert [ref() for ref in alive] == [None, None]
    assert job.outcome[1] is None


def test_warnings_of_a_job_are_logged(owner: QWidget, caplog: pytest.LogCaptureFixture) -> None:
    runner = JobRunner(owner)
    runner.start(lambda progress, cancelled: warnings.warn("mind the gap", UserWarning, stacklevel=1))
    assert runner.wait(5)
    assert "UserWarning: mind the gap" in caplog.text


def test_without_a_failure_callback_napari_shows_the_error(owner: QWidget, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr("napari.utils.notifications.show_error", shown.append)

    def work(progress: Any, cancelled: Any) -> None:
        raise ImageError("The image is empty.")

    runner = JobRunner(owner)
    runner.start(work)
    assert runner.wait(5)
    assert shown == ["The image is empty."]


def test_nothing_is_called_after_the_owner_is_destroyed(qtbot: Any) -> None:
    log = Log()
    widget = QWidget()
    runner = JobRunner(widget)
    started, stopped = threading.Event(), threading.Event()

    def work(progress: Any, cancelled: Any) -> None:
        started.set()
        try:
            until_cancelled(progress, cancelled)
        finally:
            stopped.set()

    runner.start(work, **log.callbacks())
    qtbot.waitUntil(started.is_set)
    waiting = runner.start(until_cancelled, **log.callbacks())
    log.calls.clear()
    ended: list[bool] = []
    waiting.finished.connect(lambda: ended.append(True))
    widget.deleteLater()
    qtbot.waitUntil(stopped.is_set, timeout=1000)
    assert QThreadPool.globalInstance().waitForDone(1000)
    qtbot.waitUntil(lambda: not WorkerBase._worker_set)
    assert ended == [True]  # napari, too, stops counting on it
    assert log.calls == []
    assert not JobRunner._busy


def test_a_runner_that_was_collected_before_its_owner_says_nothing(qtbot: Any) -> None:
    """What the garbage collector leaves of it for a moment: Qt's half, which still hears of the owner's end."""
    widget = QWidget()
    runner = JobRunner(widget)
    vars(runner).clear()
    with qtbot.captureExceptions() as exceptions, qtbot.waitSignal(widget.destroyed, timeout=1000):
        widget.deleteLater()
    assert exceptions == []


def test_closing_the_dock_cancels_even_if_the_widget_lives_on(qtbot: Any) -> None:
    window, dock, inner, widget = QMainWindow(), QDockWidget(), QWidget(), QWidget()
    qtbot.addWidget(window)
    inner.setLayout(QVBoxLayout())
    inner.layout().addWidget(widget)
    dock.setWidget(inner)
    window.addDockWidget(_right(), dock)
    log, runner = Log(), JobRunner(widget)

    runner.start(until_cancelled, **log.callbacks())
    dock.setFloating(True)
    qtbot.wait(120)
    assert runner.running  # a floating dock is still a dock
    inner.setParent(None)  # what napari does
    qtbot.waitUntil(lambda: not runner.running, timeout=1000)
    assert log.calls == [("cancel",), ("finish",)]
    inner.deleteLater()
    dock.deleteLater()


def _right() -> Any:
    from qtpy.QtCore import Qt

    return Qt.DockWidgetArea.RightDockWidgetArea
