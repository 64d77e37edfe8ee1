"""What the fuse widget does with stacks in its jobs' threads: all frames, those that are shown, and their windows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from .fusion_request import Outcome, Request, SharedWindows
from .layer_stacks import frames_of, is_stacked
from .shown_frames import ShownFrames

if TYPE_CHECKING:
    from napari_irvisfuse.images.frames import Index
    from napari_irvisfuse.images.ranges import Window
    from napari_irvisfuse.result import FusionResult
    from napari_irvisfuse.stacks import FusionStack, LazyFusion
    from napari_irvisfuse.types import Cancel, Progress

__all__ = ["Wanted", "find_windows", "run_stack", "show", "show_first"]

_IN_MEMORY = 1 << 30  # bytes of a result; what is more than that lies on the disk
Wanted: TypeAlias = "tuple[ShownFrames, tuple[Index, ...]]"


def find_windows(request: Request, progress: Progress, cancelled: Cancel) -> SharedWindows | None:
    """Find out the windows that a frame shares with all others of its layer; None if it shares none."""
    if request.windows == "frame" or not is_stacked(request.ir, request.visible):
        return None
    from napari_irvisfuse.stacks import stack_window

    ir, visible = frames_of(request.ir), frames_of(request.visible)
    found = (
        stack_window(ir, request.ir_window, "ir", progress=progress, cancelled=cancelled),
        stack_window(visible, request.visible_window, "visible", progress=progress, cancelled=cancelled),
    )
    return _shared(request, found)


def _shared(request: Request, found: tuple[Window, Window]) -> SharedWindows:
    asked = request.ir_window, request.visible_window
    ir, visible = ((window.low, window.high) for window in found)
    return SharedWindows(request.ir, request.visible, asked, (ir, visible))


def run_stack(request: Request, progress: Progress, cancelled: Cancel) -> Outcome:
    """Fuse all frames, or the first of those that will be shown."""
    from napari_irvisfuse.stacks import FusionStack, LazyFusion

    start = time.perf_counter()
    progress(0, 0, "Reading the layers")
    frames = frames_of(request.ir), frames_of(request.visible)
    stack = FusionStack(*frames, request.options(), progress=progress, cancelled=cancelled)
    windows = None if stack.windows is None else _shared(request, stack.windows)
    if request.frames == "shown":
        outcome = show_first(request, LazyFusion(stack, maps=request.maps), start, progress, cancelled)
    else:
        result = _fuse_all(request, stack, progress, cancelled)
        outcome = Outcome(request, None, result, time.perf_counter() - start)
    return replace(outcome, windows=windows)


def _fuse_all(request: Request, stack: FusionStack, progress: Progress, cancelled: Cancel) -> FusionResult:
    """Fuse all frames, into memory or, if they are many, into a file that is gone when the layers are."""
    from napari_irvisfuse.images.ranges import Window, shared_window
    from napari_irvisfuse.images.scratch import Scratch
    from napari_irvisfuse.stacks import gather
    from napari_irvisfuse.weights.store import cache_dir

    scratch = Scratch(cache_dir() / "stacks", _IN_MEMORY)
    results = stack.run(maps=request.maps, progress=progress, cancelled=cancelled)
    result = gather(stack, results, empty=scratch)
    window, asked = result.visible_window, request.visible_window
    if window is None and not isinstance(asked, str):
        window = Window(*asked)
    elif window is None:  # as how the layer is shown; here, since it means to look at all frames
        fused = (result.fused[index] for index in stack.visible.indices())
        window = shared_window(fused, result.fused.dtype, "auto", "visible")
    return replace(result, visible_window=window, notes=(*result.notes, *scratch.notes))


def show_first(request: Request, fusion: LazyFusion, start: float, progress: Progress, cancelled: Cancel) -> Outcome:
    """Fuse the displayed frame; the others follow when they are."""
    from napari_irvisfuse.images.ranges import resolve_window

    stack = fusion.stack
    steps = request.ir_step if request.ir.ndim > request.visible.ndim else request.visible_step
    displayed = steps[-2 - len(stack.shape) : -2]
    first = tuple(min(max(place, 0), side - 1) for place, side in zip(displayed, stack.shape, strict=True))
    frame = fusion.fuse(first, progress, cancelled)
    fused = ShownFrames(fusion, first)
    planes = {name: item for name, item in frame.maps.items() if item.data.ndim == 2}
    maps = {name: replace(item, data=ShownFrames(fusion, first, name)) for name, item in planes.items()}
    if stack.windows is not None:
        window = stack.windows[1]
    else:
        window = resolve_window(frame.fused, request.visible_window, "visible")
    result = replace(frame, fused=fused, maps=maps, visible_window=window, axes=stack.shape)
    shown = (fused, *(item.data for item in maps.values()))
    return Outcome(request, None, result, time.perf_counter() - start, fusion, shown)


def show(wanted: Sequence[Wanted], progress: Progress, cancelled: Cancel) -> None:
    """Fuse frames that the viewer misses; they are kept, and the layers have only to be refreshed."""
    for shown, indices in wanted:
        for index in indices:
            shown.fusion.fuse(index, progress, cancelled)
