"""A stack fused from its first frame to its last, into memory or one frame after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_irvisfuse.algorithms import get_method
from napari_irvisfuse.errors import ParameterError
from napari_irvisfuse.images.frames import Index
from napari_irvisfuse.images.pair import Output, check_output_rule
from napari_irvisfuse.images.placement import GridChoice
from napari_irvisfuse.images.ranges import Windows, WindowSpec
from napari_irvisfuse.images.temporal import check_smoothing
from napari_irvisfuse.maps import Map
from napari_irvisfuse.result import FusionResult
from napari_irvisfuse.session import DEFAULT_METHOD
from napari_irvisfuse.types import Cancel, Progress

from .session import FusionStack, MapChoice

__all__ = ["fuse_stack", "gather", "iter_fused"]


def iter_fused(
    ir: object,
    visible: object,
    method: str = DEFAULT_METHOD,
    *,
    frames: slice | Sequence[int] | None = None,
    smoothing: float = 0.0,
    ir_window: WindowSpec | str = "auto",
    visible_window: WindowSpec | str = "auto",
    windows: Windows = "shared",
    ir_to_visible: object = None,
    grid: GridChoice = "visible",
    device: str = "auto",
    precision: str = "auto",
    weights: str | Path | None = None,
    output: Output = "visible",
    maps: MapChoice = False,
    progress: Progress | None = None,
    cancelled: Cancel | None = None,
    **parameters: Any,
) -> Iterator[tuple[Index, FusionResult]]:
    """Fuse two stacks frame by frame, holding one frame in memory.

    Parameters
    ----------
    ir, visible, method, frames, smoothing, ir_window, visible_window, windows, ir_to_visible, grid, device, precision
        As for :func:`fuse_stack`.
    weights, output, maps, progress, cancelled, **parameters
        As for :func:`fuse_stack`.

    Yields
    ------
    index, result
        Where the frame is in the stack, and its :class:`~napari_irvisfuse.FusionResult`; the last axis fastest.

    Raises
    ------
    FusionError
        One of its children, with one sentence that says what to do.
    Cancelled
        If ``cancelled`` answered True; frames that were yielded before are whole.
    """
    check_smoothing(smoothing)
    check_output_rule(output)
    get_method(method).parameters(**parameters)  # a typing mistake should not wait for the stacks to be read
    stack = FusionStack(
        ir,
        visible,
        frames=frames,
        ir_window=ir_window,
        visible_window=visible_window,
        windows=windows,
        ir_to_visible=ir_to_visible,
        grid=grid,
        device=device,
        precision=precision,
        progress=progress,
        cancelled=cancelled,
    )
    yield from stack.run(
        method,
        smoothing=smoothing,
        weights=weights,
        output=output,
        maps=maps,
        progress=progress,
        cancelled=cancelled,
        **parameters,
    )


def fuse_stack(
    ir: object,
    visible: object,
    method: str = DEFAULT_METHOD,
    *,
    frames: slice | Sequence[int] | None = None,
    smoothing: float = 0.0,
    ir_window: WindowSpec | str = "auto",
    visible_window: WindowSpec | str = "auto",
    windows: Windows = "shared",
    ir_to_visible: object = None,
    grid: GridChoice = "visible",
    device: str = "auto",
    precision: str = "auto",
    weights: str | Path | None = None,
    output: Output = "visible",
    maps: MapChoice = False,
    into: Any = None,
    progress: Progress | None = None,
    cancelled: Cancel | None = None,
    **parameters: Any,
) -> FusionResult:
    """Fuse two stacks frame by frame.

    Parameters
    ----------
    ir, visible
        ``(…, H, W)`` or ``(…, H, W, 3 or 4)``: arrays (NumPy, dask, Zarr), torch tensors, lists of images, or files,
        see :func:`~napari_irvisfuse.images.frames.open_frames`. Of one shape; axes of length 1, and a single image, are
        repeated. Read one frame at a time and never modified.
    method, device, precision, weights, output, ir_to_visible, grid, **parameters
        As for :func:`~napari_irvisfuse.fuse`; all frames lie on each other in the same way.
    frames
        Which frames along the first axis; None for all.
    smoothing
        Share of the past where nothing moves, 0 (none) to 0.98. It calms flicker along the
        first axis, see :class:`~napari_irvisfuse.images.temporal.TemporalSmoother`. Maps are not smoothed.
    ir_window, visible_window
        As for :func:`~napari_irvisfuse.fuse`.
    windows
        ``"shared"``: one intensity window for all frames, so that they do not pump; ``"frame"``: each frame its own, as
        if it were fused alone.
    maps
        True, or names or groups of maps (``"weight"``): they take memory for every frame.
    into
        Where to put the fused frames, for stacks larger than memory: anything of the right shape that takes
        ``into[index] = frame``, a ``numpy.memmap`` or Zarr array for example.
    progress
        Called as ``progress(done, total, message)``.
    cancelled
        Asked often; answer True to stop.

    Returns
    -------
    FusionResult
        With the axes of the stack in front of every array; its windows are those that all frames share, or None. Each
        frame is what :func:`~napari_irvisfuse.fuse` makes of it alone with the same windows, to the last bit,
        unless it is smoothed.

    Raises
    ------
    FusionError
        One of its children, with one sentence that says what to do; for stacks of different length with both numbers.
    Cancelled
        If ``cancelled`` answered True.

    Examples
    --------
    >>> import numpy as np, napari_irvisfuse as nif
    >>> ir = np.zeros((5, 32, 32), np.uint16); ir[:, 8:16, 8:16] = 3000
    >>> visible = np.full((32, 32, 3), 90, np.uint8)
    >>> nif.fuse_stack(ir, visible, "average").fused.shape
    (5, 32, 32, 3)
    """
    check_smoothing(smoothing)
    check_output_rule(output)
    get_method(method).parameters(**parameters)
    stack = FusionStack(
        ir,
        visible,
        frames=frames,
        ir_window=ir_window,
        visible_window=visible_window,
        windows=windows,
        ir_to_visible=ir_to_visible,
        grid=grid,
        device=device,
        precision=precision,
        progress=progress,
        cancelled=cancelled,
    )
    results = stack.run(
        method,
        smoothing=smoothing,
        weights=weights,
        output=output,
        maps=maps,
        progress=progress,
        cancelled=cancelled,
        **parameters,
    )
    return gather(stack, results, into)


def gather(stack: FusionStack, results: Iterator[tuple[Index, FusionResult]], into: Any) -> FusionResult:
    """Put the frames together, in ``into`` if there is one; the first one tells how much memory is needed."""
    fused, recipe = into, None
    maps: dict[str, Map[npt.NDArray[Any]]] = {}
    notes: dict[str, None] = {}
    valid: npt.NDArray[np.bool_] | None = None
    for index, result in results:
        if recipe is None:
            recipe = result.recipe
            shape = (*stack.shape, *result.fused.shape)
            if fused is None:
                fused = np.empty(shape, result.fused.dtype)
            elif tuple(fused.shape) != shape:
                raise ParameterError(f"into has shape {tuple(fused.shape)}, the fused stack {shape}.")
            for name, item in result.maps.items():
                maps[name] = replace(item, data=np.empty((*stack.shape, *item.data.shape), item.data.dtype))
        fused[index] = result.fused
        for name, item in result.maps.items():
            maps[name].data[index] = item.data
        if result.valid is not None:
            valid = np.ones((*stack.shape, *result.valid.shape), np.bool_) if valid is None else valid
            valid[index] = result.valid
        notes.update(dict.fromkeys(result.notes))
    assert recipe is not None
    ir_window, visible_window = stack.windows or (None, None)
    return FusionResult(
        fused,
        MappingProxyType(maps),
        recipe,
        tuple(notes),
        grid=stack.placement.grid,
        valid=valid,
        ir_window=ir_window,
        visible_window=visible_window,
        axes=stack.shape,
    )
