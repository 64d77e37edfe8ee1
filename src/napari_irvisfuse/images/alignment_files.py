"""Alignment files: how the infrared image of a pair lies on the visible one, found once and used again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_irvisfuse.errors import AlignmentError

from .files import write_atomically
from .grids import Matrix, as_matrix

__all__ = ["Alignment", "as_shape", "read_alignment", "write_alignment"]

FORMAT = 1


@dataclass(frozen=True, eq=False)
class Alignment:
    """How the infrared image lies on the visible one.

    Parameters
    ----------
    ir_to_visible
        ``(3, 3)``: takes the infrared pixel ``(row, column, 1)`` to the visible one, up to a factor. Pixel centres
        are at whole numbers.
    model
        What it was looked for as: ``"translation"``, ``"similarity"``, ``"affine"``, ``"homography"``, or a word of
        your own.
    ir_shape, visible_shape
        Height and width of the images it was found on, None if unknown.
    confidence
        In [0, 1], None if unknown.

    Raises
    ------
    AlignmentError
        If a value is none of these.
    """

    ir_to_visible: Matrix
    model: str
    ir_shape: tuple[int, int] | None
    visible_shape: tuple[int, int] | None
    confidence: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "ir_to_visible", as_matrix(self.ir_to_visible))
        if not isinstance(self.model, str):
            raise AlignmentError(f"The model of an alignment is a word such as affine; got {self.model!r}.")
        for name in ("ir_shape", "visible_shape"):
            object.__setattr__(self, name, as_shape(getattr(self, name), name))
        if self.confidence is not None:
            object.__setattr__(self, "confidence", _as_share(self.confidence))

    def check_shapes(self, ir_shape: tuple[int, int], visible_shape: tuple[int, int]) -> None:
        """Refuse images of other sizes than those the alignment was found on: it is in their pixels.

        Raises
        ------
        AlignmentError
            If a size differs.
        """
        for name, found, given in (
            ("an infrared", self.ir_shape, ir_shape),
            ("a visible", self.visible_shape, visible_shape),
        ):
            if found is not None and found != given:
                raise AlignmentError(
                    f"The alignment was found on {name} image of {found[1]}×{found[0]} pixels, and this one has"
                    f" {given[1]}×{given[0]}: find it again for images of this size."
                )


def read_alignment(path: str | Path) -> Alignment:
    """Read an alignment file, written by :func:`write_alignment` or by hand.

    Parameters
    ----------
    path
        JSON. Only ``ir_to_visible`` has to be there; keys that are not known here are passed over.

    Raises
    ------
    AlignmentError
        If the file is not there or not an alignment.
    """
    path = Path(path).expanduser()
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise AlignmentError(f"The alignment {path} cannot be read ({error}).") from error
    except ValueError as error:
        raise AlignmentError(f"The alignment {path} is no JSON ({error}).") from error
    if not isinstance(data, Mapping) or "ir_to_visible" not in data:
        raise AlignmentError(f"{path} is no alignment: it has no ir_to_visible.")
    if data.get("irvisfuse_alignment", FORMAT) != FORMAT:
        raise AlignmentError(
            f"{path} has format {data['irvisfuse_alignment']!r}, this version reads {FORMAT}: update the package."
        )
    try:
        matrix = as_matrix(data["ir_to_visible"])
        affine = np.allclose(matrix[2] / matrix[2, 2], (0, 0, 1), atol=0) if matrix[2, 2] else False
        return Alignment(
            matrix,
            data.get("model", "affine" if affine else "homography"),
            data.get("ir_shape"),
            data.get("visible_shape"),
            data.get("confidence"),
        )
    except AlignmentError as error:
        raise AlignmentError(f"In {path}: {error}") from error


def write_alignment(path: str | Path, alignment: Alignment) -> Path:
    """Write an alignment as JSON, whole or not at all; a file of that name is replaced.

    Raises
    ------
    OutputError
        If the system refuses.
    """
    data = {
        "irvisfuse_alignment": FORMAT,
        "convention": "(row, column, 1) of an infrared pixel to the visible pixel, pixel centres at whole numbers",
        "ir_to_visible": alignment.ir_to_visible.tolist(),
        "model": alignment.model,
        "ir_shape": alignment.ir_shape,
        "visible_shape": alignment.visible_shape,
        "confidence": alignment.confidence,
    }
    text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    return write_atomically(Path(path).expanduser(), lambda target: target.write_text(text, encoding="utf-8"))


def as_shape(value: Any, name: str) -> tuple[int, int] | None:
    """Check height and width as a file has them.

    Raises
    ------
    AlignmentError
        If they are not two whole numbers above 0; ``name`` is what it calls them.
    """
    if value is None:
        return None
    try:
        height, width = (int(size) for size in value)
        if (height, width) == tuple(value) and min(height, width) > 0:
            return height, width
    except (TypeError, ValueError, OverflowError):
        pass
    raise AlignmentError(f"{name} is height and width in pixels; got {value!r}.")


def _as_share(value: Any) -> float:
    try:
        if 0 <= float(value) <= 1:
            return float(value)
    except (TypeError, ValueError, OverflowError):
        pass
    raise AlignmentError(f"The confidence of an alignment is a number from 0 to 1; got {value!r}.")
