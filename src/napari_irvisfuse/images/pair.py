"""ImagePair: two images of one scene on one grid. After it exists nothing needs checking again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from napari_irvisfuse.errors import ParameterError
from napari_irvisfuse.types import Cancel

from .color import lift_chroma, merge_luma, split_luma
from .placement import SAME, GridChoice, Placement
from .ranges import FloatArray, Window, WindowSpec, to_dtype
from .regions import Region

__all__ = ["OUTPUTS", "ImagePair", "Output", "check_output_rule"]

Output: TypeAlias = Literal["visible", "natural", "luma"]
"""``visible``: the visible image's chroma; ``natural``: its chroma, lifted along with the luma; ``luma``: grey."""
OUTPUTS: tuple[Output, ...] = get_args(Output)


def check_output_rule(output: object) -> Output:
    """Refuse what is no rule for the colour of a result.

    Raises
    ------
    ParameterError
        If it is none of :data:`OUTPUTS`.
    """
    if output not in OUTPUTS:
        raise ParameterError(f"output is one of {', '.join(OUTPUTS)}; got {output!r}.")
    return output


@dataclass(frozen=True, eq=False)
class ImagePair:
    """Two images of one scene on one grid, checked and normalised.

    Build it with :meth:`from_images`.

    Parameters
    ----------
    ir, visible
        Luma, ``(H, W)`` float32 (float64 if asked for) in [0, 1]. Where an image had no value (NaN, infinity) the
        nearest value stands in.
    chroma
        Colour differences of the visible image, ``(H, W, 3)``, or None if it is grey.
    valid
        ``(H, W)`` bool, False where either image had no value, or None if everything is valid.
    source
        The visible image as given (a view, never written to), ``(H, W)`` or ``(H, W, 3 or 4)``; on the infrared
        grid, resampled, with 0 (NaN for floats) where it has no value.
    ir_window, visible_window
        Which values became 0 and 1.
    windows
        The two windows as they were asked for, for the recipe.
    placement
        How the images given lie on each other, and whose grid this is.
    ir_note
        What had to be done with the infrared image's colours, in a sentence; empty if nothing.
    region
        Which part of that grid this is; None: all of it.
    """

    ir: FloatArray
    visible: FloatArray
    chroma: FloatArray | None
    valid: npt.NDArray[np.bool_] | None
    source: npt.NDArray[Any]
    ir_window: Window
    visible_window: Window
    windows: tuple[WindowSpec, WindowSpec] = ("auto", "auto")
    placement: Placement = SAME
    ir_note: str = ""
    region: Region | None = None

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
        cancelled: Cancel | None = None,
    ) -> ImagePair:
        """Check and normalise two images.

        Parameters
        ----------
        ir, visible
            Array, torch tensor or path of an image file. ``(H, W)`` grey or ``(H, W, 3 or 4)`` RGB(A) (tensors also
            channels first); bool, uint8, uint16 or float; at least 16×16. An infrared image in
            false colour is turned back into a scale, in other colours reduced to its luma; alpha is ignored for
            fusion and passed on in the result.
        ir_window, visible_window
            Which values become 0 and 1, see :func:`~napari_irvisfuse.images.ranges.resolve_window`.
        ir_to_visible
            How the images lie on each other: a 3×3 matrix that takes infrared pixels ``(row, column, 1)`` to visible
            ones, an :class:`~napari_irvisfuse.images.alignment_files.Alignment` or its file, or ``"fit"`` for the
            same view in another resolution. Not needed if both have the same pixels.
        grid
            On which pixels to fuse: those of the ``"visible"`` image, of the infrared one (``"ir"``), or the
            ``"finer"`` ones. The other image is resampled once.
        ir_unit
            Of the infrared values, for example ``"°C"``, to be remembered; found out for files.
        dtype
            Of the luma: float32, or float64 to repeat a published result to the last bit.
        cancelled
            Asked while resampling.

        Raises
        ------
        ImageError
            With one sentence that says what is wrong and what to do.
        AlignmentError
            If the sizes differ and ``ir_to_visible`` is missing, if it is none, or if the images do not overlap.
        ParameterError
            If a window or a grid is none.
        Cancelled
            If ``cancelled`` answered True.
        """
        from .pair_source import PairSource  # which makes pairs

        source = PairSource.from_images(
            ir,
            visible,
            ir_window=ir_window,
            visible_window=visible_window,
            ir_to_visible=ir_to_visible,
            grid=grid,
            ir_unit=ir_unit,
            dtype=dtype,
        )
        return source.cut(cancelled=cancelled)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.visible.shape
        return height, width

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done with the images before fusing, in sentences: false colour, what was resampled, the overlap."""
        said = (self.ir_note,) if self.ir_note else ()
        if not self.placement.note:
            return said
        if self.valid is None:
            return (*said, self.placement.note)
        rest = "the visible image stays as it is" if self.placement.grid == "visible" else "it is not fused"
        it = "it" if self.region is None else "the region"
        return (*said, f"{self.placement.note} Both images see {self.valid.mean():.0%} of {it}; elsewhere {rest}.")

    def cut(self, region: Region | None = None, *, halo: int = 0, cancelled: Cancel | None = None) -> ImagePair:
        """Return the pair on a region, counted from its own first pixel, or itself; never copied.

        ``halo`` and ``cancelled`` are of no consequence: they are what a
        :class:`~napari_irvisfuse.images.pair_source.PairSource` needs, which does not compute the rest first.
        """
        part = Region.whole(self.shape) if region is None else region.clipped(self.shape)
        if part.shape == self.shape:
            return self
        top, left = (0, 0) if self.region is None else (self.region.top, self.region.left)
        valid = None if self.valid is None else self.valid[part.slices]
        return replace(
            self,
            ir=self.ir[part.slices],
            visible=self.visible[part.slices],
            chroma=None if self.chroma is None else self.chroma[part.slices],
            valid=None if valid is None or valid.all() else valid,
            source=self.source[part.slices],
            region=part.moved(top, left),
        )

    def restore(
        self, fused: FloatArray, output: Output = "visible", *, inside: npt.NDArray[np.bool_] | None = None
    ) -> npt.NDArray[Any]:
        """Bring a fused luma back to the visible image's data type, range and colour.

        Parameters
        ----------
        fused
            ``(H, W)``, clipped to [0, 1] here.
        output
            ``"visible"``: chroma and alpha of the visible image; ``"natural"``: the same, with the chroma lifted along
            with the luma; ``"luma"``: grey ``(H, W)`` even if it had colour.
        inside
            ``(H, W)``, False where the visible image should stay as it is; None: nowhere.

        Returns
        -------
        ndarray
            Of the visible image's dtype. Pixels that are not valid or not inside, and those whose luma the fusion
            left exactly as it was, are the visible image's own, bit for bit.
        """
        luma = np.clip(fused.astype(self.visible.dtype), 0.0, 1.0)
        changed = luma != self.visible
        if self.valid is not None:
            changed &= self.valid
        if inside is not None:
            changed &= inside
        if self.chroma is None or output == "luma":
            result = self.source.copy() if self.chroma is None else self._own_luma()
            np.copyto(result, self._encode(luma), where=changed)
        else:
            result = self.source.copy()
            chroma = lift_chroma(self.chroma, self.visible, luma) if output == "natural" else self.chroma
            np.copyto(result[..., :3], self._encode(merge_luma(luma, chroma)), where=changed[..., None])
        return result

    def _own_luma(self) -> npt.NDArray[Any]:
        """Luma of a colour source as given: not cut to the window, NaN where a channel has no value."""
        with np.errstate(invalid="ignore"):
            return to_dtype(split_luma(self.source[..., :3].astype(np.float64))[0], self.source.dtype)

    def _encode(self, unit: FloatArray) -> npt.NDArray[Any]:
        return to_dtype(self.visible_window.from_unit(unit), self.source.dtype)
