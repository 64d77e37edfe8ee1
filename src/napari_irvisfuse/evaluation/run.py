"""Measure a whole data set: in parallel over its scenes, to be stopped at any time and continued later."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

import torch

from napari_irvisfuse.algorithms import get_method
from napari_irvisfuse.devices import choose
from napari_irvisfuse.errors import Cancelled, ImageError, ParameterError
from napari_irvisfuse.images.placement import GridChoice
from napari_irvisfuse.metrics import DEFAULT_PROFILE, metrics_of
from napari_irvisfuse.types import Cancel, Progress

from .files import ImageFiles, pair_files
from .finished import Finished
from .results import Evaluation
from .work import Found, Placed, Work

__all__ = ["evaluate_folder"]

_POLL = 0.1  # seconds between two questions whether to stop
_MOST_WORKERS = 8  # each holds the windows of one image: a workstation has more cores than memory for that
_GPU_WORKERS = 2  # one computes while the other reads and decodes


def evaluate_folder(
    ir_dir: str | Path,
    visible_dir: str | Path,
    *,
    fused: Mapping[str, str | Path] | None = None,
    methods: Sequence[str] = (),
    profile: str = DEFAULT_PROFILE,
    which: Iterable[str] | None = None,
    ir_to_visible: object = None,
    grid: GridChoice = "visible",
    device: str = "auto",
    progress: Progress | None = None,
    cancelled: Cancel | None = None,
    workers: int | None = None,
    resume: str | Path | None = None,
) -> Evaluation:
    """Measure fused images of a data set, or what our methods make of it.

    Parameters
    ----------
    ir_dir, visible_dir
        Folders of the sources; images belong together if they are called the same but for the ending.
    fused
        Name for the table to the folder of fused images.
    methods
        Names of our methods: each fuses every pair with its default parameters, and what would be written is measured.
    profile, which
        Metrics, as for :func:`napari_irvisfuse.evaluate`.
    ir_to_visible, grid
        As for :func:`napari_irvisfuse.fuse`, the same for every pair: two cameras that do not move against each other
        have one matrix. An alignment found on images of other sizes makes a pair a failure.
    device
        Where to fuse and measure.
    progress, cancelled
        Called from the calling thread, about ten times a second.
    workers
        Scenes measured at the same time; by default one per core, at most 8.
    resume
        A file to which every finished value is added, and from which values of an earlier run are taken as long as
        the images, how they lie on each other, the method with its weights, the kind of device, the precision and the
        version of this package are the same.

    Returns
    -------
    Evaluation
        What could not be read or measured is listed in its ``failures`` and does not stop the rest.

    Raises
    ------
    ImageError
        If a folder is missing, or nothing in it fits together.
    ParameterError
        For an unknown profile, metric, method or grid, or if nothing is asked for.
    AlignmentError
        If ``ir_to_visible`` is none, or a file that cannot be read.
    WeightsError, DownloadError
        If a method needs weights that cannot be had.
    DeviceError
        If the device is not there.
    OutputError
        If the ``resume`` file cannot be used.
    Cancelled
        If ``cancelled`` answered True; what was finished is in the ``resume`` file.

    Notes
    -----
    Scenes are measured in threads of this process, since PyTorch works without the interpreter's lock: nothing has
    to be imported anew, and it is the same on every system. The cores are shared out between them.
    """
    metrics = metrics_of(profile, which)
    folders = {name: Path(folder) for name, folder in (fused or {}).items()}
    _check_methods(folders, methods, workers)
    placed = Placed.given(ir_to_visible, grid)
    on_cpu = choose(device, "float64").device.type == "cpu"
    listing = pair_files(ir_dir, visible_dir, folders)
    scenes = [files for files in listing.pairs if methods or files.fused]
    if not scenes:
        raise ImageError("No fused image has the name of an infrared and a visible image.")
    with Finished(resume) as finished:
        made = _identify(methods, device, progress, cancelled)
        done = {files.image: 0 for files in scenes}
        work = Work(profile, tuple(metrics), made, placed, device, finished, threading.Event(), done)
        most = min(torch.get_num_threads(), _MOST_WORKERS) if on_cpu else _GPU_WORKERS
        results = _run(work, scenes, min(workers or most, len(scenes)), progress, cancelled)
    names = [*folders, *made]
    return Evaluation(
        profile=profile,
        metrics={name: metric.info for name, metric in metrics.items()},
        methods=tuple(names),
        images=tuple(files.image for files in scenes),
        values={name: {item.image: item.values[name] for item in results if name in item.values} for name in names},
        failures=tuple(failure for item in results for failure in item.failures),
        unmatched=listing.unmatched,
        reused=sum(item.reused for item in results),
    )


def _check_methods(fused: Mapping[str, Path], methods: Sequence[str], workers: int | None) -> None:
    if workers is not None and workers < 1:
        raise ParameterError(f"workers is a whole number from 1; got {workers}.")
    if not fused and not methods:
        raise ParameterError("There is nothing to measure: give folders of fused images, or methods.")
    for name in methods:
        get_method(name)
        if name in fused:
            raise ParameterError(f"{name!r} names both a folder and a method: give the folder another name.")


def _identify(
    methods: Sequence[str], device: str, progress: Progress | None, cancelled: Cancel | None
) -> dict[str, str]:
    """Return each method with a text that changes when its results would: parameters, weights, device, precision.

    Weights are fetched before the first image: without them, every one would fail for the same reason.
    """
    compute = choose(device, "auto")
    made: dict[str, str] = {}
    for method in methods:
        chosen = get_method(method)
        parameters = chosen.parameters()
        name = chosen.weights_name(parameters)
        digest = None
        if name is not None:
            from napari_irvisfuse.weights import store

            digest = store.sha256_of(store.resolve(name, None, progress=progress, cancelled=cancelled))
        precision = compute.arithmetic if name is None else compute.network
        made[method] = json.dumps([method, parameters.to_dict(), digest, compute.device.type, str(precision)])
    return made


def _run(
    work: Work, scenes: Sequence[ImageFiles], workers: int, progress: Progress | None, cancelled: Cancel | None
) -> list[Found]:
    """Measure in threads while this one reports and asks whether to stop."""
    total = sum(len(work.methods_of(files)) for files in scenes)
    with _pool(workers, work.stop) as pool:
        futures = [pool.submit(work.measure, files) for files in scenes]
        waiting = set(futures)
        message = "Measuring"
        while waiting:
            if cancelled is not None and cancelled():
                raise Cancelled
            ended, waiting = wait(waiting, timeout=_POLL, return_when=FIRST_COMPLETED)
            for future in ended:
                message = f"Measured {future.result().image}"
            if progress is not None:
                progress(sum(work.done.values()), total, message)
        return [future.result() for future in futures]


@contextmanager
def _pool(workers: int, stop: threading.Event) -> Iterator[ThreadPoolExecutor]:
    """Share out the cores between threads; at the end, however it comes, stop them and give the cores back."""
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(workers, "irvisfuse", torch.set_num_threads, (max(1, threads // workers),))
    try:
        yield pool
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(threads)
