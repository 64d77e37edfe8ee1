"""What the align widget does in its jobs' threads: plain functions on plain values, without Qt.

torch is imported here and nowhere earlier, inside the functions: it takes seconds that the GUI thread has not got.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_irvisfuse.images.grids import Matrix, fit, overlap

from .layer_geometry import matrix_between, plane_shape, unplaced
from .layer_pairs import plane_of
from .small_planes import small_plane

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_irvisfuse.alignment.automatic import AlignmentResult
    from napari_irvisfuse.alignment.detect import AlignmentCheck
    from napari_irvisfuse.types import Cancel, Progress

__all__ = ["Request", "align", "check", "start_of"]


@dataclass(frozen=True)
class Request:
    """Two layers, the planes of them that are shown, how they lie now, and how to align them."""

    ir: Image
    visible: Image
    ir_step: tuple[int, ...]
    visible_step: tuple[int, ...]
    start: Matrix
    model: str = "similarity"
    wide: bool = False


def start_of(ir: Image, visible: Image) -> Matrix:
    """Return how two layers are thought to lie on each other, infrared pixels to visible ones.

    As they lie in the world; but layers of two sizes that begin at the same pixel, which nobody has placed yet, and
    layers that lie apart are taken to show the same view.

    Raises
    ------
    AlignmentError
        If their units cannot be compared.
    """
    matrix = matrix_between(ir, visible)
    shapes = plane_shape(ir), plane_shape(visible)
    return fit(*shapes) if unplaced(ir, visible) or not overlap(matrix, *shapes) else matrix


def check(request: Request, progress: Progress, cancelled: Cancel) -> AlignmentCheck:
    """Tell whether the layers are aligned as they lie."""
    from napari_irvisfuse.alignment.detect import check_alignment
    from napari_irvisfuse.alignment.planes import WORKING_SIZE, Plane
    from napari_irvisfuse.alignment.planes import plane_of as as_plane

    progress(0, 0, "Reading the layers")

    def read(layer: Image, step: tuple[int, ...], name: str) -> Plane:
        small, covers = small_plane(layer, step, WORKING_SIZE, cancelled)
        return replace(as_plane(small, name), source_shape=covers)  # so that offsets are in the layer's own pixels

    planes = read(request.ir, request.ir_step, "infrared"), read(request.visible, request.visible_step, "visible")
    return check_alignment(*planes, request.start, progress=progress, cancelled=cancelled)


def align(request: Request, progress: Progress, cancelled: Cancel) -> AlignmentResult:
    """Find out how the layers lie on each other, from how they lie now."""
    from napari_irvisfuse.alignment.automatic import align as find

    progress(0, 0, "Reading the layers")
    planes = plane_of(request.ir, request.ir_step), plane_of(request.visible, request.visible_step)
    return find(
        *planes,
        request.model,
        start=request.start,
        reach="wide" if request.wide else "near",
        progress=progress,
        cancelled=cancelled,
    )
