"""How the two images of a pair lie on each other, and on which of their grids they are fused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from napari_irvisfuse.errors import AlignmentError, ParameterError

from .alignment_files import Alignment, read_alignment
from .grids import Matrix, Shape, as_matrix, fit, overlap, pixel_size, same_place

__all__ = [
    "APART",
    "FIT",
    "GRIDS",
    "SAME",
    "GridChoice",
    "GridName",
    "Placement",
    "PlacementSpec",
    "check_grid",
    "parse_rows",
    "place",
    "read_placement",
]

GridName: TypeAlias = Literal["visible", "ir"]
GridChoice: TypeAlias = Literal["visible", "ir", "finer"]
GRIDS: tuple[GridChoice, ...] = get_args(GridChoice)
FIT: Literal["fit"] = "fit"
PlacementSpec: TypeAlias = Literal["fit"] | tuple[tuple[float, ...], ...] | None
"""``"fit"``: both show the same view, corner on corner; three rows of a matrix; None: the pixels are the same."""

APART = "The infrared and the visible image do not overlap: the transform between them puts one beside the other."
_FINER = 1e-6  # by how much pixels have to be smaller to be the finer ones
_STRETCHED = 0.02  # what rounding sizes to whole pixels may do to proportions


@dataclass(frozen=True, eq=False)
class Placement:
    """How two images lie on each other.

    Parameters
    ----------
    grid
        On which grid they are fused.
    ir_to_visible
        ``(3, 3)``, or None if both have the same grid and nothing is resampled.
    asked
        What was asked for, which a recipe repeats: the placement and the choice of a grid.
    shapes
        Height and width of the infrared and of the visible image.
    note
        What is resampled onto what, in a sentence; empty if nothing is.
    """

    grid: GridName = "visible"
    ir_to_visible: Matrix | None = None
    asked: tuple[PlacementSpec, GridChoice] = (None, "visible")
    shapes: tuple[Shape, Shape] | None = None
    note: str = ""

    def as_recipe(self) -> dict[str, Any]:
        """Return what a :class:`~napari_irvisfuse.Recipe` keeps of it: a matrix with the sizes that it belongs to."""
        spec, grid = self.asked
        shapes = self.shapes if isinstance(spec, tuple) and self.shapes is not None else (None, None)
        return {"ir_to_visible": spec, "grid": grid, "ir_shape": shapes[0], "visible_shape": shapes[1]}


SAME = Placement()
"""Both images have the same pixels."""


def check_grid(choice: object) -> GridChoice:
    """Check the choice of a grid.

    Raises
    ------
    ParameterError
        If there is no such choice.
    """
    if choice not in GRIDS:
        raise ParameterError(f"grid is one of {', '.join(GRIDS)}; got {choice!r}.")
    return choice


def parse_rows(value: object) -> PlacementSpec:
    """Check a placement as recipes have it: ``"fit"``, a 3×3 matrix in any form, or None.

    Raises
    ------
    AlignmentError
        If it is none of these.
    """
    if value is None or (isinstance(value, str) and value == FIT):
        return value
    return tuple(tuple(float(number) for number in row) for row in as_matrix(value))


def read_placement(text: str | Path) -> Literal["fit"] | Alignment:
    """Read a placement as it is named: the word fit, or an alignment file.

    Raises
    ------
    AlignmentError
        If there is no such file, or no alignment in it.
    """
    if text == FIT:
        return FIT
    if not Path(text).expanduser().exists():
        raise AlignmentError(
            f"There is no alignment file {text}: name one, or say fit if both images show the same view."
        )
    return read_alignment(text)


def place(ir: Shape, visible: Shape, ir_to_visible: object = None, grid: object = "visible") -> Placement:
    """Find out how two images lie on each other, and on which grid to fuse them.

    Parameters
    ----------
    ir, visible
        Height and width.
    ir_to_visible
        ``"fit"``, a 3×3 matrix, an :class:`~napari_irvisfuse.images.alignment_files.Alignment` or the path of its file,
        or None.
    grid
        ``"visible"``, ``"ir"``, or ``"finer"``: the one with the smaller pixels, the visible one if they are equal.

    Raises
    ------
    AlignmentError
        If the sizes differ and nothing tells how the images lie on each other, if what does is for other sizes, or if
        they do not overlap.
    ParameterError
        If there is no such choice of a grid.
    """
    choice = check_grid(grid)
    if isinstance(ir_to_visible, str | Path):
        ir_to_visible = read_placement(ir_to_visible)
    if isinstance(ir_to_visible, Alignment):
        ir_to_visible.check_shapes(ir, visible)
        ir_to_visible = ir_to_visible.ir_to_visible
    spec = parse_rows(ir_to_visible)
    if spec is None and ir != visible:
        raise AlignmentError(
            f"The infrared image is {ir[1]}×{ir[0]} and the visible image {visible[1]}×{visible[0]} pixels"
            ' (width × height), and nothing tells how they lie on each other: say ir_to_visible="fit" if both show the'
            " same view, or ir_to_visible=alignment with what nif.align finds."
        )
    matrix = np.eye(3) if spec is None else fit(ir, visible) if spec == FIT else as_matrix(spec)
    if same_place(matrix, ir, visible):
        return Placement(asked=(spec, choice), shapes=(ir, visible))
    if not overlap(matrix, ir, visible):
        raise AlignmentError(APART)
    finer: GridName = "ir" if pixel_size(matrix, ir) < 1 - _FINER else "visible"
    used = finer if choice == "finer" else choice
    names = [f"infrared {ir[1]}×{ir[0]}", f"visible {visible[1]}×{visible[0]}"]
    moved, still = names if used == "visible" else reversed(names)
    note = f"{moved[0].upper()}{moved[1:]} is resampled onto the {still}."
    stretched = abs(np.log(matrix[0, 0] / matrix[1, 1])) if spec == FIT else 0.0
    if stretched > _STRETCHED:
        note += f" Their proportions differ: it is stretched by {np.expm1(stretched):.0%}."
    return Placement(used, matrix, (spec, choice), (ir, visible), note)
