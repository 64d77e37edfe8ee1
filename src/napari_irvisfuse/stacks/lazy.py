"""A fused stack that is computed where it is looked at."""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_irvisfuse.errors import FusionError, ParameterError
from napari_irvisfuse.images.frames import Index
from napari_irvisfuse.result import FusionResult
from napari_irvisfuse.session import DEFAULT_METHOD, FusionSession
from napari_irvisfuse.types import Cancel, Progress

from .options import StackOptions, takes_options
from .session import FusionStack, MapChoice

if TYPE_CHECKING:
    import dask.array

__all__ = ["LazyFusion", "lazy_stack"]

_MIB = 1 << 20


@takes_options
def lazy_stack(
    ir: object,
    visible: object,
    method: str = DEFAULT_METHOD,
    *,
    cache_mib: float = 256,
    progress: Progress | None = None,
    cancelled: Cancel | None = None,
    **options: Any,
) -> dask.array.Array:
    """Return a fused stack as a dask array that computes a frame when it is asked for.

    Parameters
    ----------
    ir, visible, method, **options
        As for :func:`fuse_stack`. There is no ``smoothing``, and there are no maps: :class:`LazyFusion` has them.
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
    if "maps" in options:
        raise ParameterError("A lazy stack holds the fused frames only: for maps use fuse_stack or iter_fused.")
    checked = StackOptions.of(method, **options)
    _check_not_smoothed(checked)
    stack = FusionStack(ir, visible, checked, progress=progress, cancelled=cancelled)
    return LazyFusion(stack, cache_mib=cache_mib).as_dask()


class LazyFusion:
    """Fuses the frames that are asked for and keeps those seen last. May be used from several threads.

    Parameters
    ----------
    stack
        What to fuse.
    maps
        Which maps are kept with the frames, as for :func:`fuse_stack`.
    cache_mib
        Memory for frames and maps, in MiB; the frame asked for last is kept in any case.

    Raises
    ------
    ParameterError
        If the stack is to be smoothed.
    """

    def __init__(self, stack: FusionStack, *, maps: MapChoice = False, cache_mib: float = 256) -> None:
        _check_not_smoothed(stack.options)
        self.stack, self.maps = stack, maps
        self.frame_shape = stack.frame_shape
        self.shape = (*stack.shape, *self.frame_shape)
        self.dtype = stack.visible.dtype
        self._cache_mib = cache_mib
        self._kept: OrderedDict[Index, FusionResult] = OrderedDict()
        self._bytes = 0
        self._cache, self._work = RLock(), RLock()
        # of the frame fused last: it knows what a change of a live parameter leaves as it is
        self._session: tuple[Index, FusionSession] | None = None

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
                session = self._session_of(index)
                result = self.stack.fuse(index, session=session, maps=self.maps, progress=progress, cancelled=cancelled)
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

    def changed(self, *, maps: MapChoice | None = None, **changes: Any) -> LazyFusion:
        """Return the same frames, fused in another way when they are asked for.

        A change of live parameters takes milliseconds for the frame fused last.

        Parameters
        ----------
        maps
            Which; None: as before.
        **changes
            As for :meth:`FusionStack.changed`.
        """
        maps = self.maps if maps is None else maps
        other = LazyFusion(self.stack.changed(**changes), maps=maps, cache_mib=self._cache_mib)
        other._session, other._work = self._session, self._work  # a session serves one thread at a time
        return other

    def is_live(
        self,
        method: str,
        parameters: Mapping[str, Any],
        weights: str | Path | None = None,
        *,
        region: object = None,
    ) -> bool:
        """Tell whether the frame fused last would be there in milliseconds after such a change."""
        session, maps = self._session and self._session[1], bool(self.maps)
        return session is not None and session.is_live(method, parameters, weights, region=region, maps=maps)

    def forget(self) -> None:
        """Drop what is kept for a change of live parameters, and may take much of the device's memory."""
        self._session = None

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

    def _session_of(self, index: Index) -> FusionSession:
        if self._session is None or self._session[0] != index:
            self._session = None  # what two of them keep may be more than fits the device
            self._session = index, self.stack.session(index)
        return self._session[1]

    def _keep(self, index: Index, result: FusionResult) -> None:
        with self._cache:
            result.fused.flags.writeable = False  # it will be handed out again
            self._kept[index] = result
            self._bytes += _size(result)
            while self._bytes > self._cache_mib * _MIB and len(self._kept) > 1:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= _size(oldest)


def _size(result: FusionResult) -> int:
    return int(result.fused.nbytes + sum(item.data.nbytes for item in result.maps.values()))


def _check_not_smoothed(options: StackOptions) -> None:
    if options.smoothing:
        raise ParameterError("Frames that are fused when they are shown cannot be smoothed: each needs all before it.")
