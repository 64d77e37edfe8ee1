"""A stack fused from its first frame to its last, into memory or one frame after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from napari_irvisfuse.errors import ParameterError
from napari_irvisfuse.images.frames import Index
from napari_irvisfuse.maps import Map
from napari_irvisfuse.result import FusionResult
from napari_irvisfuse.session import DEFAULT_METHOD
from napari_irvisfuse.types import Cancel, Progress

from .options import StackOptions, takes_options
from .session import FusionStack, MapChoice

__all__ = ["Empty", "fuse_stack", "gather", "iter_fused"]

Empty: TypeAlias = Callable[[tuple[int, ...], np.dtype[Any]], npt.NDArray[Any]]
"""Makes a new array of a shape and a data type, as ``numpy.empty`` does."""


@takes_options
def iter_fused(
    ir: object,
    visible: object,
    method: str = DEFAULT_METHOD,
    *,
    maps: MapChoice = False,
    progress: Progress | None = None,
    cancelled: Cancel | None = None,
    **options: Any,
) -> Iterator[tuple[Index, FusionResult]]:
    """Fuse two stacks frame by frame, holding one frame in memory.

    Parameters
    ----------
    ir, visible, method, maps, progress, cancelled, **options
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
    stack = FusionStack(ir, visible, StackOptions.of(method, **options), progress=progress, cancelled=cancelled)
    return stack.run(maps=maps, progress=progress, cancelled=cancelled)


@takes_options
def fuse_stack(
    ir: object,
    visible: object,
    method: str = DEFAULT_METHOD,
    *,
    maps: MapChoice = False,
    into: Any = None,
    progress: Progress | None = None,
    cancelled: Cancel | None = None,
    **options: Any,
) -> FusionResult:
    """Fuse two stacks frame by frame.

    Parameters
    ----------
    ir, visible
        ``(…, H, W)`` or ``(…, H, W, 3 or 4)``: arrays (NumPy, dask, Zarr), torch tensors, lists of images, or files,
        see :func:`~napari_irvisfuse.images.frames.open_frames`. Of one shape; axes of length 1, and a single image, are
        repeated. Read one frame at a time and never modified.
    method, device, precision, weights, output, region, ir_to_visible, grid, **parameters
        As for :func:`~napari_irvisfuse.fuse`; all frames lie on each other in the same way.
    frames
        Which frames along the first axis; None for all.
    smoothing
        Share of the past where nothing moves, 0 (none) to 0.98. It calms flicker along the
        first axis, see :class:`~napari_irvisfuse.images.temporal.TemporalSmoother`. Maps are not smoothed.
    ir_window, visible_window
        As for :func:`~napari_irvisfuse.fuse`.
    windows
        ``"shared"``: one intensity window for all frames that are fused, so that they do not pump; ``"frame"``: each
        frame its own, as if it were fused alone.
    inside
        Bool ``(H, W)``, of the region's shape: False where the visible image should stay as it is.
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
    stack = FusionStack(ir, visible, StackOptions.of(method, **options), progress=progress, cancelled=cancelled)
    return gather(stack, stack.run(maps=maps, progress=progress, cancelled=cancelled), into)


def gather(
    stack: FusionStack, results: Iterator[tuple[Index, FusionResult]], into: Any = None, *, empty: Empty = np.empty
) -> FusionResult:
    """Put the frames of a stack together.

    Parameters
    ----------
    stack, results
        What was fused, and what :meth:`FusionStack.run` makes of it.
    into
        Where to put the fused frames, as for :func:`fuse_stack`.
    empty
        Makes the arrays for everything else; when the first frame has told how large they are.
    """
    fused, recipe = into, None
    maps: dict[str, Map[npt.NDArray[Any]]] = {}
    notes: dict[str, None] = {}
    valid: npt.NDArray[np.bool_] | None = None
    for index, result in results:
        if recipe is None:
            recipe, region = result.recipe, result.region
            shape = (*stack.shape, *result.fused.shape)
            if fused is None:
                fused = empty(shape, result.fused.dtype)
            elif tuple(fused.shape) != shape:
                raise ParameterError(f"into has shape {tuple(fused.shape)}, the fused stack {shape}.")
            for name, item in result.maps.items():
                maps[name] = replace(item, data=empty((*stack.shape, *item.data.shape), item.data.dtype))
        fused[index] = result.fused
        for name, item in result.maps.items():
            maps[name].data[index] = item.data
        if result.valid is not None and valid is None:
            valid = empty((*stack.shape, *result.valid.shape), np.dtype(np.bool_))
            valid[...] = True
        if valid is not None and result.valid is not None:
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
        region=region,
    )
