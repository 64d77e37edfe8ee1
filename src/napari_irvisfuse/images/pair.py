"""ImagePair: two images of one scene on one grid. After it exists nothing needs checking again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from napari_irvisfuse.errors import AlignmentError, ParameterError
from napari_irvisfuse.types import Cancel

from .checks import as_image, normalise, window_of, without_colour
from .color import lift_chroma, merge_luma, split_luma
from .grids import Matrix, inverse
from .placement import APART, SAME, GridChoice, Placement, place
from .radiometric import infrared_unit
from .ranges import FloatArray, Window, WindowSpec, parse_window, to_dtype
from .resampling import fill_from_nearest, resample

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
        ir_window, visible_window = parse_window(ir_window), parse_window(visible_window)
        if ir_unit is None:
            ir_unit = infrared_unit(ir) if isinstance(ir, str | Path) else ""
        ir_array, visible_array = as_image(ir, "infrared"), as_image(visible, "visible")
        ir_array, ir_spec, ir_note = without_colour(ir_array, ir_window)
        placement = place(ir_array.shape[:2], visible_array.shape[:2], ir_to_visible, grid)
        matrix, window, covered = placement.ir_to_visible, visible_window, None
        if matrix is not None and placement.grid == "ir":
            # as of the whole picture: which part of it the infrared one sees should not change its brightness
            whole = window_of(visible_array, "visible", visible_window, "visible")
            window = whole.low, whole.high
            visible_array, covered = _moved(visible_array, inverse(matrix), ir_array.shape[:2], cancelled)
        ir_luma, _, ir_valid, ir_used = normalise(ir_array, "infrared", ir_spec, "ir", dtype)
        if matrix is not None and placement.grid == "visible":
            ir_luma, ir_valid = _overlap(
                *resample(ir_luma, matrix, visible_array.shape[:2], valid=ir_valid, cancelled=cancelled)
            )
            # What stands in outside of the overlap reaches inwards, as far as a method looks. Of the nearest value, the
            # visible luma, both of them faded and the mean, the nearest changed what is inside least, for every method
            # tried: anything else is an edge (benchmarks/overlap.py).
            ir_luma = ir_luma if ir_valid.all() else fill_from_nearest(ir_luma, ir_valid)
        luma, chroma, visible_valid, visible_used = normalise(
            visible_array, "visible", window, "visible", dtype, covered
        )
        valid = ir_valid & visible_valid
        valid.flags.writeable = False  # every result of this pair shares it
        return cls(
            ir=ir_luma,
            visible=luma,
            chroma=chroma,
            valid=None if valid.all() else valid,
            source=visible_array,
            ir_window=replace(ir_used, unit=ir_unit),
            visible_window=visible_used,
            windows=(ir_window, visible_window),
            placement=placement,
            ir_note=ir_note,
        )

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
        return (*said, f"{self.placement.note} Both images see {self.valid.mean():.0%} of it; elsewhere {rest}.")

    def restore(self, fused: FloatArray, output: Output = "visible") -> npt.NDArray[Any]:
        """Bring a fused luma back to the visible image's data type, range and colour.

        Parameters
        ----------
        fused
            ``(H, W)``, clipped to [0, 1] here.
        output
            ``"visible"``: chroma and alpha of the visible image; ``"natural"``: the same, with the chroma lifted along
            with the luma; ``"luma"``: grey ``(H, W)`` even if it had colour.

        Returns
        -------
        ndarray
            Of the visible image's dtype. Pixels that are not valid, and those whose luma the fusion
            left exactly as it was, are the visible image's own, bit for bit.
        """
        luma = np.clip(fused.astype(self.visible.dtype), 0.0, 1.0)
        changed = luma != self.visible
        if self.valid is not None:
            changed &= self.valid
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


def _moved(
    array: npt.NDArray[Any], matrix: Matrix, shape: tuple[int, int], cancelled: Cancel | None
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Bring an image to another grid in its own data type, 0 or NaN where it has no value."""
    values, covered = _overlap(*resample(array, matrix, shape, cancelled=cancelled))
    if np.issubdtype(array.dtype, np.floating):
        values[~covered] = np.nan
    return to_dtype(values, array.dtype), covered


def _overlap(values: FloatArray, covered: npt.NDArray[np.bool_]) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    if not covered.any():
        raise AlignmentError(APART)
    return values, covered
