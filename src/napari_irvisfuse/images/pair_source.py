"""PairSource: two images as they were given, of which any part becomes an ImagePair without the rest being computed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from napari_irvisfuse.errors import AlignmentError
from napari_irvisfuse.types import Cancel

from .checks import as_image, has_value, window_of, without_colour
from .color import split_luma
from .grids import Matrix, Shape, apply, corners_of, inverse
from .pair import ImagePair
from .placement import APART, GridChoice, Placement, place
from .radiometric import infrared_unit
from .ranges import FloatArray, Window, WindowSpec, parse_window, to_dtype
from .regions import Region
from .resampling import fill_from_nearest, resample

__all__ = ["PairSource"]

Mask: TypeAlias = npt.NDArray[np.bool_]
Read: TypeAlias = Callable[[Region], tuple[npt.NDArray[Any], Mask]]

# How far a sample looks beyond the area of its pixel: two pixels for the cubic, and for what stands in where a pixel
# that it touches has no value.
_MARGIN = 8


@dataclass(frozen=True, eq=False)
class PairSource:
    """Two images of one scene, checked, with everything found out that only the whole images can tell.

    Build it with :meth:`from_images`; :meth:`cut` makes an :class:`~napari_irvisfuse.ImagePair` of a region, and
    resamples and normalises no more than that.

    Parameters
    ----------
    ir, visible
        As given, views that are never written to; infrared in false colour as a scale.
    ir_window, visible_window
        Which values become 0 and 1: of the whole images, so that a region is as bright as it is there.
    windows
        The two windows as they were asked for.
    placement
        How the images lie on each other, and whose grid they are fused on.
    dtype
        Of the luma.
    ir_note
        What had to be done with the infrared image's colours, in a sentence; empty if nothing.
    """

    ir: npt.NDArray[Any]
    visible: npt.NDArray[Any]
    ir_window: Window
    visible_window: Window
    windows: tuple[WindowSpec, WindowSpec]
    placement: Placement
    dtype: np.dtype[Any]
    ir_note: str = ""

    @classmethod
    def from_images(
        cls,
        ir: object,
        visible: object,
        *,
        ir_window: WindowSpec | str = "auto",
        visible_window: WindowSpec | str = "auto",
        ir_to_visible: object = None,
        grid: GridChoice = "visible",
        ir_unit: str | None = None,
        dtype: npt.DTypeLike = np.float32,
    ) -> PairSource:
        """Check two images; arguments and errors as for :meth:`ImagePair.from_images`."""
        asked = parse_window(ir_window), parse_window(visible_window)
        if ir_unit is None:
            ir_unit = infrared_unit(ir) if isinstance(ir, str | Path) else ""
        ir_array, visible_array = as_image(ir, "infrared"), as_image(visible, "visible")
        ir_array, ir_spec, ir_note = without_colour(ir_array, asked[0])
        return cls(
            ir=ir_array,
            visible=visible_array,
            placement=place(ir_array.shape[:2], visible_array.shape[:2], ir_to_visible, grid),
            ir_window=replace(window_of(ir_array, "infrared", ir_spec, "ir"), unit=ir_unit),
            visible_window=window_of(visible_array, "visible", asked[1], "visible"),
            windows=asked,
            dtype=np.dtype(dtype),
            ir_note=ir_note,
        )

    @property
    def shape(self) -> Shape:
        """Height and width of the grid on which the images are fused."""
        height, width = (self.ir if self.placement.grid == "ir" else self.visible).shape[:2]
        return height, width

    def cut(self, region: Region | None = None, *, halo: int = 0, cancelled: Cancel | None = None) -> ImagePair:
        """Return the pair on a region of the grid, or on all of it.

        Parameters
        ----------
        region
            Within the grid.
        halo
            How far around a pixel the pair will be looked at. Where an image has no value the nearest one stands in;
            for the pixels that have values, and see such a place from no farther away, it is that of the whole image.
        cancelled
            Asked while resampling.

        Raises
        ------
        AlignmentError
            If the images do not overlap anywhere.
        Cancelled
            If ``cancelled`` answered True.
        """
        whole = Region.whole(self.shape)
        region = whole if region is None else region.clipped(self.shape)

        def read_ir(part: Region) -> tuple[npt.NDArray[Any], Mask]:
            return self._ir_on(part, cancelled)

        def read_visible(part: Region) -> tuple[npt.NDArray[Any], Mask]:
            return self._visible_on(part, cancelled)

        # What stands in outside of the overlap reaches inwards, as far as a method looks. Of the nearest value, the
        # visible luma, both of them faded and the mean, the nearest changed what is inside least, for every method
        # tried: anything else is an edge (benchmarks/overlap.py).
        luma, ir_valid, _ = self._filled(read_ir, region, halo)
        values, visible_valid, source = self._filled(read_visible, region, halo)
        if region == whole and not (ir_valid.any() and visible_valid.any()):
            raise AlignmentError(APART)
        unit = self.visible_window.to_unit(values[..., :3] if values.ndim == 3 else values, self.dtype)
        visible, chroma = (unit, None) if unit.ndim == 2 else split_luma(unit)
        valid = ir_valid & visible_valid
        valid.flags.writeable = False  # every result of this pair shares it
        return ImagePair(
            ir=luma,
            visible=visible,
            chroma=chroma,
            valid=None if valid.all() else valid,
            source=source,
            ir_window=self.ir_window,
            visible_window=self.visible_window,
            windows=self.windows,
            placement=self.placement,
            ir_note=self.ir_note,
            region=None if region == whole else region,
        )

    def _filled(self, read: Read, region: Region, halo: int) -> tuple[npt.NDArray[Any], Mask, npt.NDArray[Any]]:
        """Return an image on a region, the nearest value where it has none, where it has one, and it as it was."""
        given, valid = read(region)
        if valid.all():
            return given, valid, given
        # A pixel sees the missing one q over at most halo·√2, and has a value itself. So the nearest one to q is no
        # farther from q.
        wide = region.grown(math.ceil(halo * math.sqrt(2)), self.shape)
        values, known = (given, valid) if wide == region else read(wide)
        if not known.any():
            return np.zeros_like(given), valid, given
        return fill_from_nearest(values, known)[region.within(wide).slices], valid, given

    def _ir_on(self, region: Region, cancelled: Cancel | None) -> tuple[FloatArray, Mask]:
        """Return the infrared luma on a region of the grid, and where it has a value."""
        matrix = self.placement.ir_to_visible
        if matrix is None or self.placement.grid == "ir":
            part = self.ir[region.slices]
            return self._ir_luma(part), has_value(part)
        box = _seen_from(region, inverse(matrix), self.ir.shape[:2])
        part = self.ir[box.slices]
        valid = has_value(part)
        if not valid.any():
            return np.zeros(region.shape, self.dtype), np.zeros(region.shape, np.bool_)
        luma = fill_from_nearest(self._ir_luma(part), valid) if not valid.all() else self._ir_luma(part)
        return resample(luma, _between(matrix, box, region), region.shape, valid=valid, cancelled=cancelled)

    def _ir_luma(self, part: npt.NDArray[Any]) -> FloatArray:
        unit = self.ir_window.to_unit(part[..., :3] if part.ndim == 3 else part, self.dtype)
        return unit if unit.ndim == 2 else split_luma(unit)[0]

    def _visible_on(self, region: Region, cancelled: Cancel | None) -> tuple[npt.NDArray[Any], Mask]:
        """Return the visible image on a region of the grid in its own data type, and where it has a value."""
        matrix = self.placement.ir_to_visible
        if matrix is None or self.placement.grid == "visible":
            part = self.visible[region.slices]
            return part, has_value(part)
        back = inverse(matrix)
        box = _seen_from(region, matrix, self.visible.shape[:2])
        part = self.visible[box.slices]
        values, covered = resample(part, _between(back, box, region), region.shape, cancelled=cancelled)
        if np.issubdtype(part.dtype, np.floating):
            values[~covered] = np.nan
        return to_dtype(values, part.dtype), covered


def _seen_from(region: Region, to_source: Matrix, shape: Shape) -> Region:
    """Return the part of an image that resampling onto a region needs."""
    whole = Region.whole(shape)
    if to_source[2, :2].any():  # a region may reach behind the horizon of a homography
        return whole
    corners = corners_of(region.shape) + np.array([[region.top], [region.left]])
    rows, columns = apply(to_source, corners)
    low = [math.floor(values.min()) - _MARGIN for values in (rows, columns)]
    high = [math.ceil(values.max()) + _MARGIN + 1 for values in (rows, columns)]
    start = [min(max(edge, 0), side - 1) for edge, side in zip(low, shape, strict=True)]
    stop = [min(max(edge, first + 1), side) for edge, first, side in zip(high, start, shape, strict=True)]
    return Region(*start, *stop)


def _between(matrix: Matrix, source: Region, target: Region) -> Matrix:
    """Return a transform between images as one between parts of them."""
    there, here = np.eye(3), np.eye(3)
    there[:2, 2] = source.top, source.left
    here[:2, 2] = -target.top, -target.left
    return here @ matrix @ there
