"""A fused stack that is computed where it is looked at."""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_irvisfuse.algorithms import get_method
from napari_irvisfuse.errors import FusionError
from napari_irvisfuse.images.frames import Index
from napari_irvisfuse.images.pair import Output, check_output_rule
from napari_irvisfuse.images.placement import GridChoice
from napari_irvisfuse.images.ranges import Windows, WindowSpec
from napari_irvisfuse.result import FusionResult
from napari_irvisfuse.session import DEFAULT_METHOD
from napari_irvisfuse.types import Cancel, Progress

from .session import FusionStack

if TYPE_CHECKING:
    import dask.array

__all__ = ["LazyFusion", "lazy_stack"]

_MIB = 1 << 20


def lazy_stack(
    ir: object,
    visible: object,
    method: str = DEFAULT_METHOD,
    *,
    frames: slice | Sequence[int] | None = None,
    ir_window: WindowSpec | str = "auto",
    visible_window: WindowSpec | str = "auto",
    windows: Windows = "shared",
    ir_to_visible: object = None,
    grid: GridChoice = "visible",
    device: str = "auto",
    precision: str = "auto",
    weights: str | Path | None = None,
    output: Output = "visible",
    cache_mib: float = 256,
    progress: Progress | None = None,
    cancelled: Cancel | None = None,
    **parameters: Any,
) -> dask.array.Array:
    """Return a fused stack as a dask array that computes a frame when it is asked for.

    Parameters
    ----------
    ir, visible, method, frames, ir_window, visible_window, windows, ir_to_visible, grid, device, precision
        As for :func:`fuse_stack`.
    weights, output, **parameters
        As for :func:`fuse_stack`. There is no ``smoothing``: a frame would need all before it.
    cache_mib
        The frames seen last are kept in as much memory.
    progress, cancelled
        For the reading of the stacks now, which shared windows need unless the data type or two numbers decide them.

    Returns
    -------
    dask.array.Array
        One chunk a frame; equal to what :func:`fuse_stack` returns.

    Raises
    ------
    FusionError
        One of its children, with one sentence that says what to do.
    """
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
    return LazyFusion(stack, method, cache_mib=cache_mib, weights=weights, output=output, **parameters).as_dask()


class LazyFusion:
    """Fuses the frames that are asked for and keeps those seen last. May be used from several threads.

    Parameters
    ----------
    stack
        What to fuse.
    method, weights, output, **parameters
        As for :func:`fuse_stack`.
    cache_mib
        Memory for frames, in MiB; the frame asked for last is kept in any case.
    """

    def __init__(
        self,
        stack: FusionStack,
        method: str = DEFAULT_METHOD,
        *,
        cache_mib: float = 256,
        weights: str | Path | None = None,
        output: Output = "visible",
        **parameters: Any,
    ) -> None:
        check_output_rule(output)
        get_method(method).parameters(**parameters)
        self.stack = stack
        self._method, self._options = method, {"weights": weights, "output": output, **parameters}
        _, _, *colour = stack.visible.frame_shape
        height, width = (stack.ir if stack.placement.grid == "ir" else stack.visible).size
        self.frame_shape = (height, width, *([] if output == "luma" else colour))
        self.shape = (*stack.shape, *self.frame_shape)
        self.dtype = stack.visible.dtype
        self._limit = int(cache_mib * _MIB)
        self._kept: OrderedDict[Index, FusionResult] = OrderedDict()
        self._bytes = 0
        self._cache, self._work = RLock(), RLock()

    def __getitem__(self, index: Index) -> npt.NDArray[Any]:
        return self.fuse(index).fused

    def fuse(self, index: Index, progress: Progress | None = None, cancelled: Cancel | None = None) -> FusionResult:
        """Return one frame, computed if it is not kept; two frames are never computed at once."""
        result = self.kept(index)
        if result is not None:
            return result
        with self._work:
            result = self.kept(index)  # another thread may have been faster
            if result is None:
                result = self.stack.fuse(index, self._method, progress=progress, cancelled=cancelled, **self._options)
                self._keep(index, result)
        return result

    def kept(self, index: Index) -> FusionResult | None:
        """Return one frame if it is kept; nothing is computed, and nobody waits."""
        with self._cache:
            if index in self._kept:
                self._kept.move_to_end(index)
            return self._kept.get(index)

    @property
    def kept_bytes(self) -> int:
        """Memory that the kept frames take."""
        return self._bytes

    def as_dask(self) -> dask.array.Array:
        """Return all frames as a dask array, one chunk a frame.

        Raises
        ------
        FusionError
            If dask is not installed.
        """
        try:
            import dask.array as da
        except ImportError as error:
            raise FusionError("Lazy stacks need the package dask: pip install 'dask[array]'.") from error
        axes = len(self.stack.shape)

        def block(block_id: Index) -> npt.NDArray[Any]:
            return self[tuple(int(place) for place in block_id[:axes])][(None,) * axes].copy()

        chunks = (*((1,) * side for side in self.stack.shape), *((side,) for side in self.frame_shape))
        meta = np.empty((0,) * len(self.shape), self.dtype)
        name = f"fused-{uuid.uuid4().hex}"  # other than a hash of the function, which would have to be pickled
        map_blocks: Any = da.map_blocks
        array: dask.array.Array = map_blocks(block, chunks=chunks, dtype=self.dtype, meta=meta, name=name)
        return array

    def _keep(self, index: Index, result: FusionResult) -> None:
        with self._cache:
            result.fused.flags.writeable = False  # it will be handed out again
            self._kept[index] = result
            self._bytes += result.fused.nbytes
            while self._bytes > self._limit and len(self._kept) > 1:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= oldest.fused.nbytes
