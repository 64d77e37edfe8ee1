"""Moving the infrared layer by its ``affine``, back again, and in and out of alignment files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np
from psygnal import Signal

from napari_irvisfuse.errors import AlignmentError
from napari_irvisfuse.images.alignment_files import Alignment, read_alignment, write_alignment

from .layer_geometry import affine_for, matrix_between, plane_shape

if TYPE_CHECKING:
    from weakref import ReferenceType

    import numpy.typing as npt
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_irvisfuse.images.grids import Matrix

__all__ = ["Moves"]


class Moves:
    """What was done to the infrared layers of one viewer, to be undone in turn.

    Parameters
    ----------
    viewer
        Layers that are no longer in it are passed over, and not kept alive.

    Attributes
    ----------
    moved
        A layer lies elsewhere now.
    """

    moved = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._before: list[tuple[ReferenceType[Image], npt.NDArray[Any]]] = []
        self._confidence: float | None = None
        self._placed: tuple[ReferenceType[Image], npt.NDArray[Any]] | None = None

    def confidence_of(self, ir: Image) -> float | None:
        """Return how sure the last alignment of a layer was, None if unknown or if it has been moved since."""
        here = self._placed is not None and self._placed[0]() is ir
        return self._confidence if here and np.array_equal(self._placed[1], ir.affine.affine_matrix) else None

    def move(self, ir: Image, visible: Image, ir_to_visible: Matrix, confidence: float | None = None) -> None:
        """Put the infrared layer where the matrix says.

        Raises
        ------
        AlignmentError
            If the units of the two cannot be compared, or the matrix is a homography, which no layer can show.
        """
        matrix = ir_to_visible / ir_to_visible[2, 2]
        if not np.allclose(matrix[2], (0, 0, 1), rtol=0, atol=1e-9):
            raise AlignmentError(
                "This is a homography, and a layer cannot be in perspective:"
                " use it with nif.fuse or irvisfuse fuse --align."
            )
        affine = affine_for(ir, visible, matrix)
        if not np.allclose(affine, ir.affine.affine_matrix, rtol=0, atol=1e-9):
            self._before.append((ref(ir), np.array(ir.affine.affine_matrix)))
            ir.affine = affine
        self._placed, self._confidence = (ref(ir), np.array(ir.affine.affine_matrix)), confidence
        self.moved.emit()

    @property
    def last(self) -> Image | None:
        """The layer that :meth:`undo` would move, None if there is nothing to undo."""
        while self._before:
            layer = self._before[-1][0]()
            if layer is not None and layer in self._viewer.layers:
                return layer
            self._before.pop()
        return None

    def undo(self) -> str:
        """Give a layer the affine back that it had before the last change of ours, and say so."""
        layer = self.last
        if layer is None:
            return "There is nothing to undo."
        _, layer.affine = self._before.pop()
        self.moved.emit()
        return f"{layer.name!r} lies where it did before."

    def save(self, path: str | Path, ir: Image, visible: Image, model: str) -> str:
        """Write how two layers lie on each other now, and say so."""
        shapes = plane_shape(ir), plane_shape(visible)
        write_alignment(path, Alignment(matrix_between(ir, visible), model, *shapes, self.confidence_of(ir)))
        return f"The alignment is in {path}."

    def load(self, path: str | Path, ir: Image, visible: Image) -> str:
        """Put the infrared layer where an alignment file says, and say so.

        Raises
        ------
        AlignmentError
            If it is none, was found on images of other sizes, or is a homography.
        """
        alignment = read_alignment(path)
        alignment.check_shapes(plane_shape(ir), plane_shape(visible))
        self.move(ir, visible, alignment.ir_to_visible, alignment.confidence)
        return f"{ir.name!r} lies where {Path(path).name} says."
