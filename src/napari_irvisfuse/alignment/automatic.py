"""Aligning without help: a coarse search, a fine one, and the question whether it was worth it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from napari_irvisfuse.errors import Cancelled, ParameterError
from napari_irvisfuse.images.alignment_files import Alignment
from napari_irvisfuse.images.grids import Matrix
from napari_irvisfuse.types import Cancel, Progress

from .detect import AlignmentCheck, check_planes
from .models import Model, as_matrix_between, as_model, describe
from .planes import WORKING_SIZE, Plane, plane_of
from .refine import Comparison
from .search import REACHES, Reach, coarse

__all__ = ["AlignmentResult", "align"]

_SIZES = (160, 320, WORKING_SIZE)
_GAIN = 0.005  # of the similarity; less is what noise gives
_UNSURE = 0.5
_SEARCHING, _REFINING, _CHECKING = "Searching", "Refining", "Checking"


@dataclass(frozen=True, eq=False)
class AlignmentResult:
    """How the images lie on each other, and what speaks for it.

    Parameters
    ----------
    alignment
        What was found, or the start if nothing better was; :func:`~napari_irvisfuse.write_alignment` writes it.
    start
        ``(3, 3)``, where the search began.
    improved
        Whether ``alignment`` is another than the start.
    before, after
        Similarity of the edges, in [−1, 1], at the start and at what was found, over what both show.
    check
        What :func:`~napari_irvisfuse.check_alignment` says with this alignment.
    sentence
        For people.
    """

    alignment: Alignment
    start: Matrix
    improved: bool
    before: float
    after: float
    check: AlignmentCheck
    sentence: str

    @property
    def ir_to_visible(self) -> Matrix:
        """``(3, 3)``: infrared ``(row, column, 1)`` to visible, as :func:`~napari_irvisfuse.fuse` takes it."""
        return self.alignment.ir_to_visible

    @property
    def confidence(self) -> float:
        """Share of the parts of the images, weighted, that lie on each other with this alignment; in [0, 1]."""
        return self.check.agreement


def align(
    ir: object,
    visible: object,
    model: str = "similarity",
    *,
    start: object = None,
    reach: Reach = "near",
    progress: Progress | None = None,
    cancelled: Cancel | None = None,
) -> AlignmentResult:
    """Find how the infrared image lies on the visible one; nothing is resampled.

    Parameters
    ----------
    ir, visible
        Arrays, torch tensors or image files, as for :func:`~napari_irvisfuse.fuse`; of any two sizes.
    model
        What may be changed about the start: ``"translation"``; ``"similarity"``, with rotation and one scale;
        ``"affine"``, with two scales and shear; ``"homography"``, with perspective.
    start
        How they are thought to lie, as for :func:`~napari_irvisfuse.fuse`: a ``(3, 3)`` matrix, infrared
        ``(row, column, 1)`` to visible, an alignment or its file. If not given, both show the same view, corner on
        corner.
    reach
        ``"near"``: up to 13 % of the longer side, 6° and a factor of 1.16 from the start; ``"wide"``: 30 %, 18° and
        1.9, which takes some ten times as long.
    progress
        Called as ``progress(done, total, message)``.
    cancelled
        Asked often; answer True to stop.

    Returns
    -------
    AlignmentResult
        Never worse than the start: if nothing better is found, it is the start, and says so.

    Raises
    ------
    ParameterError
        For an unknown model or reach.
    ImageError, AlignmentError
        If an image or the start is none.
    Cancelled
        If ``cancelled`` answered True.
    """
    chosen = as_model(model)
    if reach not in REACHES:
        raise ParameterError(f"reach is {' or '.join(REACHES)}; got {reach!r}.")
    planes = plane_of(ir, "infrared"), plane_of(visible, "visible")
    shapes = planes[0].source_shape, planes[1].source_shape
    begin = as_matrix_between(start, *shapes)
    say = _Saying(progress, cancelled)

    found, (before, after) = _search(*planes, begin, chosen, reach, say)
    improved = after > before + _GAIN
    if not improved:
        found, after = begin, before
    check = check_planes(*planes, found, say.about(_CHECKING))
    if improved and check.agreement < _UNSURE:
        # so little agrees that the search may have been misled: keep it only if the start is no better off
        first = check_planes(*planes, begin, say.about(_CHECKING))
        if first.agreement >= check.agreement:
            found, after, check, improved = begin, before, first, False
    say("Done", 1, 1)
    alignment = Alignment(found, model, *shapes, round(check.agreement, 4))
    return AlignmentResult(
        alignment, begin, improved, before, after, check, _sentence(found, begin, shapes[0], improved, check)
    )


def _search(
    ir: Plane, visible: Plane, start: Matrix, model: Model, reach: Reach, say: _Saying
) -> tuple[Matrix, tuple[float, float]]:
    """Return the best transform, and the similarities at the start and there."""
    steps = {"translation": model, "similarity": model}.get(model, "similarity")  # many numbers mislead at first
    candidates = [start, *coarse(ir, visible, start, model, reach, say.about(_SEARCHING))]
    for number, size in enumerate(_SIZES):
        say(_REFINING, number, len(_SIZES))
        comparison = Comparison(ir, visible, size)
        this: Model = model if number else steps
        candidates = [comparison.refine(item, this, say.check) for item in candidates]
        candidates = [max(candidates, key=comparison.plainness)]
    return candidates[0], comparison.similarities(start, candidates[0])


def _sentence(found: Matrix, start: Matrix, ir_shape: tuple[int, int], improved: bool, check: AlignmentCheck) -> str:
    if not improved:
        return "No better alignment than the start was found; it was left as it is. " + check.sentence
    sentence = f"The infrared image was {describe(found, start, ir_shape)}."
    agreeing = f"{check.agreement:.0%} of what can be compared agrees with that"
    if check.verdict == "misaligned":
        return f"{sentence} {check.sentence} Another model may do better."
    if check.verdict == "deformed":
        return f"{sentence} {check.sentence}"
    if check.agreement < _UNSURE:
        return f"{sentence} Only {agreeing}: look closely, or set points by hand."
    return f"{sentence} {agreeing}."


class _Saying:
    """The caller's two callables, asked and told at once."""

    def __init__(self, progress: Progress | None, cancelled: Cancel | None) -> None:
        self._progress, self._cancelled = progress, cancelled

    def __call__(self, message: str, done: int, total: int) -> None:
        self.check()
        if self._progress is not None:
            self._progress(done, total, message)

    def check(self) -> None:
        if self._cancelled is not None and self._cancelled():
            raise Cancelled

    def about(self, message: str) -> Callable[[int, int], None]:
        return lambda done, total: self(message, done, total)
