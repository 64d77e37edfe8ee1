"""Are two images aligned? Every part of one is looked for in the other, around where it should be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from napari_irvisfuse.errors import Cancelled
from napari_irvisfuse.images.grids import Matrix
from napari_irvisfuse.maps import Map
from napari_irvisfuse.types import Cancel, Progress

from .features import edges
from .models import as_matrix_between, corner_distance
from .planes import Plane, plane_of, sample
from .search import coarse

__all__ = ["TOLERANCE", "AlignmentCheck", "Verdict", "check_alignment", "check_planes"]

Verdict: TypeAlias = Literal["aligned", "misaligned", "deformed", "unclear"]
FloatArray: TypeAlias = npt.NDArray[np.float64]

TOLERANCE = 0.016
"""Share of the visible image's longer side, 10 pixels of 640, up to which images count as aligned: in the public data
sets of aligned pairs, parts of the images are off by up to 8 of 640."""
_BENT = 0.0055  # the same for what the best affine transform leaves, where parallax alone reaches 3 of 640
_BENT_LEAST = 1.5  # but in no image fewer pixels than that
_SURE = 0.35  # share of the parts that have to agree, or nothing can be said: two different scenes have reached 0.26
_SIZE = 320  # working size
_PARTS = 9  # along the longer side
_WINDOW, _REACH = 0.3, 0.15  # width of a part, and how far around it to look, as shares of the longer side
_CLEAR = 0.3  # by how many standard deviations a match has to stand out against the next best one
_NEXT = 6  # pixels: matches nearer than this to the best are the best itself
_AGREE = 0.02  # parts within this share of the longer side of the affine transform agree with it
_STRAY = 3.0  # times as far off as what agrees, a part was found in the wrong place
_FLOOR = 1e-3


@dataclass(frozen=True, eq=False)
class AlignmentCheck:
    """Whether a pair is aligned, in a word, in numbers, in a sentence and as maps.

    Parameters
    ----------
    verdict
        ``"aligned"``; ``"misaligned"``: moved, turned, scaled or sheared as a whole; ``"deformed"``: part of it in a
        way that no affine transform mends; ``"unclear"``: too few parts of the images show the same thing.
    offset
        How far the infrared image is from where it should be, in visible pixels: the median over the parts, or the
        mean over the corners if the parts are too far off to be found one by one. NaN if unclear.
    bend
        The same for what the best affine transform leaves, NaN if the parts cannot be found one by one.
    confidence
        Share of the parts, weighted by how plainly each can be found, that agree on one affine transform.
    agreement
        The same share, of the parts that are where they should be: within 2 % of the longer side.
    sentence
        For people.
    maps
        ``offset_size`` (energy), ``offset_down`` and ``offset_right`` (signed), all in visible pixels and NaN where a
        part cannot be found; ``findable`` (weight). One value per part, on the visible image's grid.
    """

    verdict: Verdict
    offset: float
    bend: float
    confidence: float
    agreement: float
    sentence: str
    maps: Mapping[str, Map[npt.NDArray[Any]]]

    @property
    def ok(self) -> bool:
        """Whether the pair can be fused as it is: aligned, or nothing speaks against it."""
        return self.verdict in ("aligned", "unclear")


def check_alignment(
    ir: object,
    visible: object,
    ir_to_visible: object = None,
    *,
    tolerance: float = TOLERANCE,
    progress: Progress | None = None,
    cancelled: Cancel | None = None,
) -> AlignmentCheck:
    """Tell whether an infrared and a visible image lie on each other.

    Parameters
    ----------
    ir, visible
        Arrays, torch tensors or image files, as for :func:`~napari_irvisfuse.fuse`; of any two sizes.
    ir_to_visible
        How they are thought to lie, as for :func:`~napari_irvisfuse.fuse`: a ``(3, 3)`` matrix, infrared
        ``(row, column, 1)`` to visible, an alignment or its file. If not given, both show the same view, corner on
        corner.
    tolerance
        Up to which median offset the pair counts as aligned, as a share of the visible image's longer side.
    progress
        Called as ``progress(done, total, message)``.
    cancelled
        Asked often; answer True to stop.

    Returns
    -------
    AlignmentCheck
        With ``verdict``, ``offset``, ``sentence`` and ``maps``.

    Raises
    ------
    ImageError, AlignmentError
        If an image or the matrix is none.
    Cancelled
        If ``cancelled`` answered True.
    """
    planes = plane_of(ir, "infrared"), plane_of(visible, "visible")
    shapes = planes[0].source_shape, planes[1].source_shape
    lies = as_matrix_between(ir_to_visible, *shapes)

    def check(done: int, total: int) -> None:
        if cancelled is not None and cancelled():
            raise Cancelled
        if progress is not None:
            progress(done, total, "Looking for parts of one image in the other")

    found = check_planes(*planes, lies, check, tolerance=tolerance)
    if found.verdict != "unclear":
        return found
    # parts that are turned, or further off than they are looked for, may still fit as a whole
    whole = coarse(*planes, lies, "similarity", "near", check)[0]
    moved = check_planes(*planes, whole, check, tolerance=tolerance)
    offset = corner_distance(whole, lies, shapes[0])
    if moved.verdict == "unclear" or offset <= tolerance * max(shapes[1]):
        return found
    return replace(found, verdict="misaligned", offset=offset, sentence=_sentence("misaligned", offset, 0.0))


def check_planes(
    ir: Plane, visible: Plane, ir_to_visible: Matrix, check: Callable[[int, int], None], *, tolerance: float = TOLERANCE
) -> AlignmentCheck:
    """Do the work of :func:`check_alignment`; ``check(done, total)`` is called between any two parts."""
    field = _Field(ir, visible, ir_to_visible)
    for number in range(len(field.centres)):
        check(number, len(field.centres))
        field.look_for(number)
    offsets, weights = field.offsets, field.weights
    longer = float(max(visible.source_shape))
    near = _AGREE * longer
    left, confidence = _affine_rest(field.centres, offsets, weights, near)
    trusted = weights * (np.hypot(*left.T) < _STRAY * near)
    offset, bend = _median(np.hypot(*offsets.T), trusted), _median(np.hypot(*left.T), trusted)
    verdict: Verdict
    if confidence < _SURE:
        verdict, offset, bend = "unclear", np.nan, np.nan
    elif bend > max(_BENT * longer, _BENT_LEAST):
        verdict = "deformed"
    else:
        verdict = "misaligned" if offset > tolerance * longer else "aligned"
    agreement = _share(weights, np.hypot(*offsets.T) < near)
    sentence = _sentence(verdict, offset, bend)
    return AlignmentCheck(verdict, offset, bend, confidence, agreement, sentence, field.maps())


def _sentence(verdict: Verdict, offset: float, bend: float) -> str:
    if verdict == "unclear":
        return "The images have too little in common to tell whether they are aligned: compare them by eye."
    if verdict == "aligned":
        return f"The images are aligned: parts of them are typically {offset:.1f} px from each other."
    if verdict == "misaligned":
        return f"The images are not aligned: parts of them are typically {offset:.0f} px from each other."
    return (
        f"The images are deformed against each other: parts are typically {offset:.0f} px from each other, and"
        f" {bend:.0f} px after the best affine transform. Aligning cannot mend all of that."
    )


class _Field:
    """Where each part of the visible image is found in the infrared one."""

    def __init__(self, ir: Plane, visible: Plane, ir_to_visible: Matrix) -> None:
        self.shape = visible.source_shape
        self.stride = -(-max(self.shape) // _PARTS)
        ir, visible = ir.shrunk(_SIZE), visible.shrunk(_SIZE)
        self._scale = max(self.shape) / max(visible.shape)
        longer = max(visible.shape)
        self._half, self._reach = round(_WINDOW * longer / 2), round(_REACH * longer)
        to_ir = np.linalg.inv(ir_to_visible @ ir.to_source) @ visible.to_source
        moving, seen = sample(ir.luma[None], ir.valid, torch.from_numpy(to_ir).float(), visible.shape)
        around = (self._half + self._reach,) * 4
        self._moving, self._seen = F.pad(edges(moving[0], seen) * seen, around), F.pad(seen, around)
        around = (self._half,) * 4
        self._fixed = F.pad(edges(visible.luma, visible.valid) * visible.valid, around)
        self._known = F.pad(visible.valid, around)
        side = torch.hann_window(2 * self._half + 3, periodic=False)[1:-1]
        self._window = side[:, None] * side
        self.rows, self.columns = (max(1, round(length / self.stride)) for length in self.shape)
        places = [(row, column) for row in range(self.rows) for column in range(self.columns)]
        self.centres: FloatArray = (np.array(places, float) + 0.5) * self.stride - 0.5
        self.offsets = np.zeros((len(places), 2))
        self.weights = np.zeros(len(places))

    def look_for(self, number: int) -> None:
        """Find one part, and note by how far it is off and how plainly it can be found."""
        surface = self._surface(number)
        known = surface > -1
        if int(known.sum()) < known.numel() // 4:
            return
        place = int(surface.argmax())
        row, column = divmod(place, surface.shape[1])
        last = surface.shape[0] - 1
        if not (0 < row < last and 0 < column < last):
            return  # better still outside, perhaps
        best, spread = float(surface[row, column]), float(surface[known].std())
        around = surface[row - 1 : row + 2, column - 1 : column + 2].double().numpy()
        peak = np.array([row + _vertex(around[:, 1]), column + _vertex(around[1])])
        surface[max(0, row - _NEXT) : row + _NEXT + 1, max(0, column - _NEXT) : column + _NEXT + 1] = -1
        plain = (best - float(surface.max())) / max(spread, 1e-6)
        # found at +d in the infrared image: that is d from where it should be
        self.offsets[number] = (peak - self._reach) * self._scale
        self.weights[number] = min(plain, 2.0) if plain > _CLEAR else 0.0

    def maps(self) -> dict[str, Map[npt.NDArray[Any]]]:
        """Return the maps of an :class:`AlignmentCheck`."""
        found = self.weights > 0
        down, right = (np.where(found, part, np.nan) for part in self.offsets.T)
        items: list[tuple[str, FloatArray, Any, str]] = [
            ("offset_size", np.hypot(down, right), "energy", "Offset"),
            ("offset_down", down, "signed", "Offset down"),
            ("offset_right", right, "signed", "Offset right"),
            ("findable", self.weights / 2, "weight", "Findable"),
        ]
        return MappingProxyType(
            {
                name: Map(data.reshape(self.rows, self.columns).astype(np.float32), kind, title, "quality", self.stride)
                for name, data, kind, title in items
            }
        )  # type: ignore[return-value]

    def _surface(self, number: int) -> torch.Tensor:
        """Compare one part with the infrared image at all shifts; −1 where that shows too little of it."""
        centre = np.clip((self.centres[number] + 0.5) / self._scale - 0.5, 0, np.array(self._limits()) - 1)
        row, column = (round(float(place)) for place in centre)
        width, shifts = 2 * self._half + 1, 2 * self._reach + 1
        size = (width + shifts - 1,) * 2
        part = self._fixed[:, row : row + width, column : column + width]
        window = self._window * self._known[row : row + width, column : column + width]
        there = self._moving[:, row : row + size[0], column : column + size[1]]
        seen = self._seen[row : row + size[0], column : column + size[1]]
        weight = torch.fft.rfft2(window, s=size).conj()

        def correlate(spectrum: torch.Tensor) -> torch.Tensor:
            surface: torch.Tensor = torch.fft.irfft2(spectrum, s=size)
            return surface[:shifts, :shifts]

        product = correlate((torch.fft.rfft2(there) * torch.fft.rfft2(part * window, s=size).conj()).sum(0))
        energy = correlate(torch.fft.rfft2(there.square().sum(0)) * weight)
        own = (part.square().sum(0) * window).sum()
        surface = product / (energy.clamp(min=_FLOOR) * own.clamp(min=_FLOOR)).sqrt()
        shown = correlate(torch.fft.rfft2(seen) * weight) / window.sum().clamp(min=1.0)
        return torch.where(shown > 0.5, surface, torch.full_like(surface, -1.0))

    def _limits(self) -> tuple[int, int]:
        return self._fixed.shape[1] - 2 * self._half, self._fixed.shape[2] - 2 * self._half


def _vertex(three: npt.NDArray[np.float64]) -> float:
    """Return where the parabola through three values, the middle one the largest, has its top, in −0.5 … 0.5."""
    left, middle, right = three
    curvature = left - 2 * middle + right
    return float(0.5 * (left - right) / curvature) if curvature < 0 else 0.0


def _affine_rest(
    centres: FloatArray, offsets: FloatArray, weights: FloatArray, near: float
) -> tuple[FloatArray, float]:
    """Fit an affine field to the offsets, robustly; return what it leaves, and the weight of what agrees with it."""
    if np.count_nonzero(weights) < 4:
        return np.full_like(offsets, np.nan), 0.0
    design = np.column_stack([np.ones(len(centres)), centres - centres.mean(0)])
    trust = weights.copy()
    rest = offsets - np.median(offsets[weights > 0], axis=0)
    for _ in range(30):
        distance = np.hypot(*rest.T)
        trust = weights / (1 + (distance / (near / 2)) ** 2)
        root = np.sqrt(trust)[:, None]
        field = np.linalg.lstsq(design * root, offsets * root, rcond=None)[0]
        rest = offsets - design @ field
    return rest, _share(weights, np.hypot(*rest.T) < near)


def _share(weights: FloatArray, chosen: npt.NDArray[np.bool_]) -> float:
    # parts that cannot be found speak against nothing, but where they are most, nothing speaks at all
    return float(weights[chosen].sum() / max(weights.sum(), 0.25 * len(weights)))


def _median(values: FloatArray, weights: FloatArray) -> float:
    if not weights.any():
        return float("nan")
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])
