"""What the fuse widget does in its jobs' threads: plain functions on plain values, without Qt.

torch is imported here and nowhere earlier, inside the functions: it takes seconds that the GUI thread has not got.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .fusion_request import Outcome, Request, SharedWindows
from .layers import source_from_layers
from .stack_jobs import Wanted, find_windows, run_stack, show, show_first

if TYPE_CHECKING:
    from napari_irvisfuse.algorithms.base import MethodInfo
    from napari_irvisfuse.result import FusionResult
    from napari_irvisfuse.session import FusionSession
    from napari_irvisfuse.stacks import LazyFusion
    from napari_irvisfuse.types import Cancel, Progress

__all__ = [
    "Catalogue",
    "Facts",
    "Outcome",
    "Request",
    "SharedWindows",
    "Wanted",
    "follow",
    "load_catalogue",
    "look_up",
    "run",
    "show",
]


@dataclass(frozen=True)
class Catalogue:
    """What can be chosen: the methods by name, and the devices of this machine."""

    methods: Mapping[str, MethodInfo]
    default_method: str
    devices: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """What a choice means here: the device in words, and where the method's weights are (empty: it needs none)."""

    device: str
    weights: str


def load_catalogue(progress: Progress, cancelled: Cancel) -> Catalogue:
    """Import what takes long, and list methods and devices."""
    progress(0, 0, "Loading methods")
    from napari_irvisfuse.algorithms import methods
    from napari_irvisfuse.devices import available_devices
    from napari_irvisfuse.session import DEFAULT_METHOD

    return Catalogue(methods(), DEFAULT_METHOD, tuple(available_devices()))


def look_up(
    method: str,
    parameters: Mapping[str, Any],
    weights: str | None,
    device: str,
    precision: str,
    progress: Progress,
    cancelled: Cancel,
) -> Facts:
    """Say what device, precision and weights mean on this machine."""
    from napari_irvisfuse.algorithms import get_method
    from napari_irvisfuse.devices import choose
    from napari_irvisfuse.errors import DeviceError

    try:
        explanation = choose(device, precision).explanation
    except DeviceError as error:
        explanation = str(error)
    chosen = get_method(method)
    name = chosen.weights_name(chosen.parameters(**parameters))
    given = chosen.needs_weights or chosen.accepts_dictionary
    return Facts(explanation, _describe_weights(name, weights) if given else "")


def run(request: Request, known: SharedWindows | None, progress: Progress, cancelled: Cancel) -> Outcome:
    """Read the layers and fuse them: the displayed frame, all, or those that will be shown.

    ``known``: windows of whole stacks that need not be found out again.
    """
    if request.frames != "this":
        return run_stack(request, progress, cancelled)
    from napari_irvisfuse.session import FusionSession

    start = time.perf_counter()
    progress(0, 0, "Reading the layers")
    windows = known if known is not None and known.answers(request) else find_windows(request, progress, cancelled)
    ir_window, visible_window = windows.found if windows is not None else (request.ir_window, request.visible_window)
    source = source_from_layers(
        request.ir,
        request.visible,
        ir_window=ir_window,
        visible_window=visible_window,
        step=request.ir_step,
        visible_step=request.visible_step,
        grid=request.grid,
        dtype="float64" if request.precision == "float64" else "float32",  # as nif.fuse does
    )
    session = FusionSession(source, device=request.device, precision=request.precision)
    result = _fuse(session, request, progress, cancelled)
    return Outcome(request, session, result, time.perf_counter() - start, windows=windows)


def follow(
    request: Request,
    kept: FusionSession | LazyFusion | None,
    known: SharedWindows | None,
    progress: Progress,
    cancelled: Cancel,
) -> Outcome:
    """Answer a change of live parameters, or of the part that is looked at, with what is kept.

    Without anything the layers are read again.
    """
    if kept is None:
        return run(request, known, progress, cancelled)
    start = time.perf_counter()
    if request.frames == "shown":
        fusion = kept.changed(maps=request.maps, **request.how)
        return replace(show_first(request, fusion, start, progress, cancelled), windows=known)
    result = _fuse(kept, request, progress, cancelled)
    return Outcome(request, kept, result, time.perf_counter() - start, windows=known)


def _describe_weights(name: str | None, own_file: str | None) -> str:
    from napari_irvisfuse.errors import WeightsError
    from napari_irvisfuse.weights import store

    try:
        if own_file is not None:
            store.resolve(name or "", own_file)
            return "Your own file is used."
        if name is None:
            return "Its dictionary is part of this package."
        here = store.find(name)
    except WeightsError as error:
        return str(error)
    entry = store.entries()[name]
    if entry.shipped:
        return f"{entry.title}: part of this package."
    if here is not None:
        return f"{entry.title}: on this computer."
    return f"{entry.title}: {entry.size_bytes / 1e6:.0f} MB will be downloaded in the first run."


def _fuse(session: FusionSession, request: Request, progress: Progress, cancelled: Cancel) -> FusionResult:
    result = session.fuse(
        request.method,
        weights=request.weights,
        weights_sha256=request.weights_sha256,
        region=request.part and request.part.region,
        inside=request.part and request.part.mask(),
        maps=request.with_maps,
        output=request.output,
        progress=progress,
        cancelled=cancelled,
        **request.parameters,
    )
    # what was asked for: the window of a stack is no number yet where the recipe meets another one
    asked = {name: getattr(request, name) for name in ("ir_window", "visible_window", "windows")}
    return replace(result, recipe=replace(result.recipe, **asked))
