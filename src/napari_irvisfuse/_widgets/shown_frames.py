"""The data of layers whose frames are fused when they are shown: the fused image's, and its maps'."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from psygnal import Signal

if TYPE_CHECKING:
    from napari_irvisfuse.images.frames import Index
    from napari_irvisfuse.result import FusionResult
    from napari_irvisfuse.stacks import LazyFusion

__all__ = ["ShownFrames"]


class ShownFrames:
    """An array, as far as a viewer needs one, over :class:`~napari_irvisfuse.stacks.LazyFusion`.

    Parameters
    ----------
    fusion
        Computes and keeps the frames.
    first
        A frame to show until the first one that is asked for is there.
    name
        Of the map that is shown; empty for the fused image.

    Attributes
    ----------
    attended
        While True, somebody computes what is in :attr:`wanted` and refreshes the layer: then a frame that is not there
        is asked for on the main thread without waiting, and the frame seen last is shown meanwhile, as napari itself
        does while it loads. Everywhere else, and as soon as nobody attends, the frame is computed before it is
        returned: whoever reads the layer in a job, or turns all of it into an array, gets the true numbers.
    wanted
        The frames that the latest look at the data missed.
    missed
        There are such now.
    seen
        The frame seen last.
    """

    missed = Signal()

    def __init__(self, fusion: LazyFusion, first: Index, name: str = "") -> None:
        self.fusion = fusion
        self._name = name
        self.seen = self._of(fusion.fuse(first))
        self.shape, self.dtype = (*fusion.stack.shape, *self.seen.shape), self.seen.dtype
        self.ndim, self.size = len(self.shape), int(np.prod(self.shape))
        self.attended = True
        self.wanted: tuple[Index, ...] = ()

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> npt.NDArray[Any]:
        axes = len(self.fusion.stack.shape)
        key = key if isinstance(key, tuple) else (key,)
        place = next((number for number, part in enumerate(key) if part is Ellipsis), None)
        if place is not None:
            key = (*key[:place], *(slice(None),) * (self.ndim - len(key) + 1), *key[place + 1 :])
        key = (*key, *(slice(None),) * (self.ndim - len(key)))
        places = [np.arange(side)[part] for side, part in zip(self.shape, key[:axes], strict=False)]
        shape = tuple(len(part) for part in places if part.ndim)
        ranges = [np.atleast_1d(part) for part in places]
        wait = not self.attended or threading.current_thread() is not threading.main_thread()
        frames, missed = [], []
        for counts in np.ndindex(*(len(part) for part in ranges)):
            index = tuple(int(part[count]) for part, count in zip(ranges, counts, strict=True))
            kept = self.fusion.fuse(index) if wait else self.fusion.kept(index)
            if kept is None:
                missed.append(index)
            else:
                self.seen = self._of(kept)
            frames.append(self.seen[key[axes:]])
        if not wait:
            self.wanted = tuple(missed)
            if missed:
                self.missed.emit()
        stacked = np.stack(frames) if frames else np.empty((0, *self.seen[key[axes:]].shape), self.dtype)
        return stacked.reshape((*shape, *stacked.shape[1:]))

    def __array__(self, dtype: npt.DTypeLike = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Fuse all frames."""
        whole = np.empty(self.shape, self.dtype)
        for index in np.ndindex(*self.fusion.stack.shape):
            whole[index] = self._of(self.fusion.fuse(index))
        return whole.astype(dtype) if dtype is not None else whole

    def _of(self, result: FusionResult) -> npt.NDArray[Any]:
        return result.maps[self._name].data if self._name else result.fused
