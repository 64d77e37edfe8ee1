"""Two stacks that belong together, and how one of their frames is fused."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Self, TypeAlias

import numpy as np

from napari_irvisfuse.errors import Cancelled, ImageError
from napari_irvisfuse.images.frames import Frames, Index, common_shape, open_frames
from napari_irvisfuse.images.pair import ImagePair
from napari_irvisfuse.images.pair_source import PairSource
from napari_irvisfuse.images.placement import place
from napari_irvisfuse.images.ranges import FloatArray, Window
from napari_irvisfuse.images.regions import Region, parse_region
from napari_irvisfuse.images.scale import Scale
from napari_irvisfuse.images.temporal import TemporalSmoother
from napari_irvisfuse.result import FusionResult
from napari_irvisfuse.session import FusionSession
from napari_irvisfuse.types import Cancel, Progress

from .options import StackOptions
from .windows import stack_window

__all__ = ["FusionStack", "MapChoice"]

MapChoice: TypeAlias = bool | Collection[str]
"""All maps, none, or those of these names or groups."""

_HOW = {"method", "parameters", "weights", "weights_sha256", "output", "region", "inside"}
_TICKS = 1000  # of progress per frame


class FusionStack:
    """Two stacks of one shape, their windows chosen, whose frames are fused in any order.

    Parameters
    ----------
    ir, visible, progress, cancelled
        As for :func:`fuse_stack`. Only for windows that depend on the data of all frames these are read now.
    options
        All the rest.
    """

    def __init__(
        self,
        ir: object,
        visible: object,
        options: StackOptions | None = None,
        *,
        progress: Progress | None = None,
        cancelled: Cancel | None = None,
    ) -> None:
        self.options = options = options or StackOptions()
        opened = open_frames(ir, "infrared"), open_frames(visible, "visible")
        shape = common_shape(opened[0].shape, opened[1].shape)
        both = [one.spread(shape) for one in opened]
        if options.frames is not None:
            both = [one.select(options.frames) for one in both]
        self.ir, self.visible = both
        self.placement = place(self.ir.size, self.visible.size, options.ir_to_visible, options.grid)
        self.windows: tuple[Window, Window] | None = None
        if options.windows == "shared":
            seen = [_own(one, shape, options.frames) for one in opened]
            ir_window, visible_window = options.asked
            self.windows = (
                stack_window(seen[0], ir_window, "ir", progress=progress, cancelled=cancelled),
                stack_window(seen[1], visible_window, "visible", progress=progress, cancelled=cancelled),
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the axes before those of the image."""
        return self.visible.shape

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """Of a fused frame: ``(H, W)`` or ``(H, W, 3 or 4)``."""
        _, _, *colour = self.visible.frame_shape
        size = (self.ir if self.placement.grid == "ir" else self.visible).size
        region = parse_region(self.options.region)
        shown = Region.whole(size) if region is None else region.clipped(size)
        return *shown.shape, *([] if self.options.output == "luma" else colour)

    @property
    def rate(self) -> float | None:
        """Frames per second, where one of the two knows."""
        return self.visible.rate or self.ir.rate

    @property
    def scale(self) -> Scale:
        """Size of the fused pixels, where the source of these knows it; a fused value is no measured one."""
        return replace((self.ir if self.placement.grid == "ir" else self.visible).scale, value_unit="")

    def __len__(self) -> int:
        return len(self.visible)

    def changed(self, **changes: Any) -> Self:
        """Return the same frames, with the same windows, fused in another way: nothing is read.

        Parameters
        ----------
        **changes
            Of the options ``method``, ``parameters``, ``weights``, ``output``, ``region`` and ``inside``.
        """
        assert set(changes) <= _HOW
        other = copy.copy(self)
        other.options = replace(self.options, **changes)
        return other

    def session(self, index: Index) -> FusionSession:
        """Read one frame of both, to be fused any number of times.

        Raises
        ------
        ImageError
            If it cannot be fused.
        """
        options, specs = self.options, self.options.asked
        if self.windows is not None:
            ir_window, visible_window = self.windows
            specs = (ir_window.low, ir_window.high), (visible_window.low, visible_window.high)
        with _naming(index):
            source = PairSource.from_images(
                self.ir[index],
                self.visible[index],
                ir_window=specs[0],
                visible_window=specs[1],
                ir_to_visible=self.placement.asked[0],
                grid=self.placement.asked[1],
                ir_unit=self.ir.unit,
                dtype=np.float64 if options.precision == "float64" else np.float32,
            )
        return FusionSession(source, device=options.device, precision=options.precision)

    def fuse(
        self,
        index: Index,
        *,
        session: FusionSession | None = None,
        smoother: TemporalSmoother | None = None,
        maps: MapChoice = False,
        progress: Progress | None = None,
        cancelled: Cancel | None = None,
    ) -> FusionResult:
        """Fuse one frame.

        Parameters
        ----------
        index
            Which.
        session
            Of this frame, if there is one: :meth:`session` makes them. Networks stay loaded without.
        smoother
            Has seen the frames before it.
        maps, progress, cancelled
            As for :func:`fuse_stack`.
        """
        session = session or self.session(index)

        def smooth(luma: FloatArray, pair: ImagePair) -> FloatArray:
            assert smoother is not None
            return smoother(luma, pair.ir, pair.visible)

        with _naming(index):
            result = session.fuse(
                maps=bool(maps),
                finish=None if smoother is None else smooth,
                progress=progress,
                cancelled=cancelled,
                **self.options.of_frame,
            )
        ir_window, visible_window = self.options.asked
        recipe = replace(
            result.recipe,
            ir_window=ir_window,
            visible_window=visible_window,
            windows=self.options.windows,
            smoothing=smoother.strength if smoother is not None else 0.0,
        )
        return replace(result, maps=_chosen(result.maps, maps), recipe=recipe)

    def run(
        self, *, maps: MapChoice = False, progress: Progress | None = None, cancelled: Cancel | None = None
    ) -> Iterator[tuple[Index, FusionResult]]:
        """Fuse all frames in order, one at a time; arguments as for :func:`iter_fused`."""
        # time is the first axis; every place on the others has a past of its own
        smoothers: dict[Index, TemporalSmoother] = {}
        strength = self.options.smoothing
        for number, index in enumerate(self.visible.indices()):
            if cancelled is not None and cancelled():
                raise Cancelled
            smoother = smoothers.setdefault(index[1:], TemporalSmoother(strength)) if strength else None
            step = _of_frame(progress, number, len(self))
            yield index, self.fuse(index, smoother=smoother, maps=maps, progress=step, cancelled=cancelled)
        if progress is not None:
            progress(len(self) * _TICKS, len(self) * _TICKS, "Done")


def _own(opened: Frames, shape: tuple[int, ...], frames: slice | Sequence[int] | None) -> Frames:
    """Return the frames that count for a window: those chosen, and none twice because it is repeated."""
    has_first_axis = bool(shape) and len(opened.shape) == len(shape) and opened.shape[0] == shape[0]
    return opened.select(frames) if frames is not None and has_first_axis else opened


@contextmanager
def _naming(index: Index) -> Iterator[None]:
    """Say which frame it was; what is wrong with the first one is mostly wrong with all."""
    try:
        yield
    except ImageError as error:
        if not any(index):
            raise
        raise ImageError(f"Frame {', '.join(str(place) for place in index)}: {error}") from error


def _of_frame(progress: Progress | None, number: int, count: int) -> Progress | None:
    """Report the steps within a frame as a part of the whole."""
    if progress is None:
        return None

    def step(done: int, total: int, message: str) -> None:
        share = int(_TICKS * min(done / total, 1.0)) if total else 0
        progress(number * _TICKS + share, count * _TICKS, f"Frame {number + 1} of {count}: {message}")

    return step


def _chosen(maps: Any, choice: MapChoice) -> Any:
    if isinstance(choice, bool):
        return maps
    return MappingProxyType({name: item for name, item in maps.items() if name in choice or item.group in choice})
