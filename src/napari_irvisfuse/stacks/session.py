"""Two stacks that belong together, and how one of their frames is fused."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from napari_irvisfuse.errors import Cancelled, ImageError
from napari_irvisfuse.images.checks import without_colour
from napari_irvisfuse.images.frames import Frames, Index, common_shape, open_frames
from napari_irvisfuse.images.pair import ImagePair
from napari_irvisfuse.images.placement import GridChoice, place
from napari_irvisfuse.images.ranges import (
    FloatArray,
    Role,
    Window,
    Windows,
    WindowSpec,
    check_windows,
    parse_window,
    shared_window,
)
from napari_irvisfuse.images.temporal import TemporalSmoother, check_smoothing
from napari_irvisfuse.result import FusionResult
from napari_irvisfuse.session import DEFAULT_METHOD, FusionSession
from napari_irvisfuse.types import Cancel, Progress

__all__ = ["FusionStack", "MapChoice"]

MapChoice: TypeAlias = bool | Collection[str]
"""All maps, none, or those of these names or groups."""

_PERCENTILE_VALUES = 1 << 24  # looked at in a whole stack: exact up to here, and never more memory than this
_TICKS = 1000  # of progress per frame


class FusionStack:
    """Two stacks of one shape, their windows chosen, whose frames are fused in any order.

    Parameters
    ----------
    ir, visible
        As for :func:`fuse_stack`.
    frames, ir_window, visible_window, windows, ir_to_visible, grid, device, precision, progress, cancelled
        As for :func:`fuse_stack`. Only for windows that depend on the data of all frames these are read now.
    """

    def __init__(
        self,
        ir: object,
        visible: object,
        *,
        frames: slice | Sequence[int] | None = None,
        ir_window: WindowSpec | str = "auto",
        visible_window: WindowSpec | str = "auto",
        windows: Windows = "shared",
        ir_to_visible: object = None,
        grid: GridChoice = "visible",
        device: str = "auto",
        precision: str = "auto",
        progress: Progress | None = None,
        cancelled: Cancel | None = None,
    ) -> None:
        check_windows(windows)
        self.asked = parse_window(ir_window), parse_window(visible_window)
        opened = open_frames(ir, "infrared"), open_frames(visible, "visible")
        shape = common_shape(opened[0].shape, opened[1].shape)
        both = [one.spread(shape) for one in opened]
        if frames is not None:
            both = [one.select(frames) for one in both]
        self.ir, self.visible = both
        self.placement = place(self.ir.size, self.visible.size, ir_to_visible, grid)
        self.device, self.precision = device, precision
        self.window_rule: Windows = windows
        self.windows: tuple[Window, Window] | None = None
        if windows == "shared":
            seen = [whole if one.shape else one for one, whole in zip(opened, both, strict=True)]
            self.windows = (
                replace(_window_of(seen[0], self.asked[0], "ir", progress, cancelled), unit=self.ir.unit),
                _window_of(seen[1], self.asked[1], "visible", progress, cancelled),
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the axes before those of the image."""
        return self.visible.shape

    @property
    def rate(self) -> float | None:
        """Frames per second, where one of the two knows."""
        return self.visible.rate or self.ir.rate

    def __len__(self) -> int:
        return len(self.visible)

    def pair(self, index: Index, cancelled: Cancel | None = None) -> ImagePair:
        """Read one frame of both.

        Raises
        ------
        ImageError
            If it cannot be fused.
        """
        specs: Sequence[WindowSpec] = self.asked
        if self.windows is not None:
            specs = [(window.low, window.high) for window in self.windows]
        try:
            return ImagePair.from_images(
                self.ir[index],
                self.visible[index],
                ir_window=specs[0],
                visible_window=specs[1],
                ir_to_visible=self.placement.asked[0],
                grid=self.placement.asked[1],
                ir_unit=self.ir.unit,
                dtype=np.float64 if self.precision == "float64" else np.float32,
                cancelled=cancelled,
            )
        except ImageError as error:
            if not any(index):
                raise
            raise ImageError(f"Frame {', '.join(str(place) for place in index)}: {error}") from error

    def fuse(
        self,
        index: Index,
        method: str = DEFAULT_METHOD,
        *,
        smoother: TemporalSmoother | None = None,
        maps: MapChoice = False,
        progress: Progress | None = None,
        cancelled: Cancel | None = None,
        **options: Any,
    ) -> FusionResult:
        """Fuse one frame; ``options`` as for :meth:`FusionSession.fuse`, networks stay loaded from frame to frame."""
        pair = self.pair(index, cancelled)

        def smooth(luma: FloatArray) -> FloatArray:
            assert smoother is not None
            return smoother(luma, pair.ir, pair.visible)

        result = FusionSession(pair, device=self.device, precision=self.precision).fuse(
            method,
            maps=bool(maps),
            finish=None if smoother is None else smooth,
            progress=progress,
            cancelled=cancelled,
            **options,
        )
        recipe = replace(
            result.recipe,
            ir_window=self.asked[0],
            visible_window=self.asked[1],
            windows=self.window_rule,
            smoothing=smoother.strength if smoother is not None else 0.0,
        )
        return replace(result, maps=_chosen(result.maps, maps), recipe=recipe)

    def run(
        self,
        method: str = DEFAULT_METHOD,
        *,
        smoothing: float = 0.0,
        progress: Progress | None = None,
        cancelled: Cancel | None = None,
        **options: Any,
    ) -> Iterator[tuple[Index, FusionResult]]:
        """Fuse all frames in order, one at a time; arguments as for :func:`iter_fused`."""
        check_smoothing(smoothing)
        # time is the first axis; every place on the others has a past of its own
        smoothers: dict[Index, TemporalSmoother] = {}
        for number, index in enumerate(self.visible.indices()):
            if cancelled is not None and cancelled():
                raise Cancelled
            smoother = smoothers.setdefault(index[1:], TemporalSmoother(smoothing)) if smoothing else None
            step = _of_frame(progress, number, len(self))
            yield index, self.fuse(index, method, smoother=smoother, progress=step, cancelled=cancelled, **options)
        if progress is not None:
            progress(len(self) * _TICKS, len(self) * _TICKS, "Done")


def _window_of(
    frames: Frames, spec: WindowSpec, role: Role, progress: Progress | None, cancelled: Cancel | None
) -> Window:
    plain = frames.dtype == np.uint8 and spec == "auto"
    painted = role == "ir" and len(frames.frame_shape) == 3 and isinstance(spec, str) and spec != "full" and not plain
    scale = _scale_of(frames) if painted else None

    def values() -> Iterator[npt.NDArray[Any]]:
        for number, index in enumerate(frames.indices()):
            if cancelled is not None and cancelled():
                raise Cancelled
            if progress is not None:
                progress(number, len(frames), "Choosing the intensity window")
            frame = frames[index]
            if painted:
                frame, _, _ = without_colour(frame, spec)
            # shares of a palette, for which the window is asked in the values of the colours
            yield frame if scale is None or frame.ndim == 3 else frame * scale

    size = len(frames) * int(np.prod(frames.frame_shape))
    kind = frames.dtype if scale is None else np.dtype(np.float64)
    return shared_window(values(), kind, spec, role, every=-(-size // _PERCENTILE_VALUES))


def _scale_of(frames: Frames) -> float | None:
    """Return what one share of the palette is worth in false colour, None for other colours."""
    first = frames[next(frames.indices())]
    plane, _, _ = without_colour(first, "auto")
    if plane.ndim == 3 or plane.dtype == first.dtype:
        return None
    return float(np.iinfo(first.dtype).max) if np.issubdtype(first.dtype, np.integer) else 1.0


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
