"""What ``irvisfuse align`` was asked for: checked as a whole before anything is computed, then carried out."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import napari_irvisfuse as nif
from napari_irvisfuse.alignment.models import Model, as_model
from napari_irvisfuse.errors import AlignmentError, Cancelled, OutputError, ParameterError
from napari_irvisfuse.images.alignment_files import Alignment, read_alignment, write_alignment
from napari_irvisfuse.images.checks import as_image
from napari_irvisfuse.images.files import check_output
from napari_irvisfuse.images.grids import Matrix, fit
from napari_irvisfuse.types import Cancel, Progress

from .alignment_picture import draw_alignment, draw_check

__all__ = ["COLUMNS", "AlignRequest", "read_points"]

Array = npt.NDArray[Any]
COLUMNS = ("ir_row", "ir_column", "visible_row", "visible_column")


@dataclass(frozen=True, eq=False)
class AlignRequest:
    """An alignment of two files, or a check of one, that has been checked itself."""

    ir: Array
    visible: Array
    model: Model
    start: Matrix
    output: Path | None
    picture: Path | None
    check: bool
    points: tuple[Array, Array] | None
    robust: bool
    wide: bool
    overwrite: bool

    @classmethod
    def prepare(
        cls,
        ir: Path,
        visible: Path,
        *,
        output: Path | None,
        picture: Path | None,
        model: str,
        check: bool,
        points: Path | None,
        robust: bool,
        start: Path | None,
        wide: bool,
        overwrite: bool,
    ) -> AlignRequest:
        """Check the targets first, then the choices, then the images: the cheapest first.

        Raises
        ------
        FusionError
            With one sentence about the first thing that is wrong.
        """
        output, picture = (path and path.expanduser() for path in (output, picture))
        read = [path.expanduser() for path in (ir, visible, points, start) if path is not None]
        if output is None and not check:
            raise ParameterError("Say where to write the alignment with -o FILE, or only --check the images.")
        if output is not None and check:
            raise ParameterError("--check writes no alignment: leave -o out, or leave --check out.")
        if points is not None and (check or wide):
            raise ParameterError(f"With --points nothing is searched: leave {'--check' if check else '--wide'} out.")
        if robust and points is None:
            raise ParameterError("--robust is about points: name a table of them with --points FILE.")
        for path in (output, picture):
            _check_target(path, read, overwrite=overwrite)
        if picture is not None:
            if picture == output:
                raise OutputError(f"{picture} would be written twice: choose another name.")
            check_output(picture, overwrite=overwrite)
        if output is not None and output.suffix.lower() != ".json":
            raise OutputError(f"{output.name}: alignments are written as JSON; end the name in .json.")
        chosen = as_model(model)
        pairs = read_points(points) if points is not None else None
        begin = read_alignment(start) if start is not None else None
        images = as_image(ir, "infrared"), as_image(visible, "visible")
        shapes = images[0].shape[:2], images[1].shape[:2]
        if begin is not None:
            begin.check_shapes(*shapes)
        if pairs is not None:
            _check_points(pairs, shapes)
        matrix = fit(*shapes) if begin is None else begin.ir_to_visible
        return cls(*images, chosen, matrix, output, picture, check, pairs, robust, wide, overwrite)

    def run(self, progress: Progress, cancelled: Cancel) -> dict[str, Any]:
        """Check or align, write what was asked for, the alignment last, and return what to report.

        Raises
        ------
        FusionError
            If it cannot be computed or written.
        Cancelled
            Before anything was written.
        """
        if self.check:
            return self._check(progress, cancelled)
        alignment, report = self._by_points() if self.points is not None else self._search(progress, cancelled)
        if cancelled():
            raise Cancelled
        if self.picture is not None:
            drawn = draw_alignment(self.ir, self.visible, self.start, alignment.ir_to_visible)
            nif.write_image(self.picture, drawn, overwrite=self.overwrite)
        assert self.output is not None
        write_alignment(self.output, alignment)
        return {
            "output": str(self.output),
            "picture": str(self.picture) if self.picture else None,
            "ir_to_visible": alignment.ir_to_visible.tolist(),
            "model": alignment.model,
            "confidence": alignment.confidence,
            **report,
        }

    def _check(self, progress: Progress, cancelled: Cancel) -> dict[str, Any]:
        found = nif.check_alignment(self.ir, self.visible, self.start, progress=progress, cancelled=cancelled)
        if self.picture is not None:
            drawn = draw_check(self.ir, self.visible, self.start, found)
            nif.write_image(self.picture, drawn, overwrite=self.overwrite)
        return {
            "verdict": found.verdict,
            "offset": _number(found.offset),
            "bend": _number(found.bend),
            "confidence": round(found.confidence, 4),
            "agreement": round(found.agreement, 4),
            "picture": str(self.picture) if self.picture else None,
            "sentence": found.sentence,
        }

    def _search(self, progress: Progress, cancelled: Cancel) -> tuple[Alignment, dict[str, Any]]:
        found = nif.align(
            self.ir,
            self.visible,
            self.model,
            start=self.start,
            reach="wide" if self.wide else "near",
            progress=progress,
            cancelled=cancelled,
        )
        return found.alignment, {
            "improved": found.improved,
            "similarity": {"before": round(found.before, 4), "after": round(found.after, 4)},
            "verdict": found.check.verdict,
            "sentence": found.sentence,
        }

    def _by_points(self) -> tuple[Alignment, dict[str, Any]]:
        assert self.points is not None
        found = nif.align_points(*self.points, self.model, robust=self.robust)
        shapes = self.ir.shape[:2], self.visible.shape[:2]
        return Alignment(found.ir_to_visible, self.model, *shapes), {
            "residuals": [round(float(value), 3) for value in found.residuals],
            "used": found.used.tolist(),
            "sentence": found.sentence,
        }


def read_points(path: Path) -> tuple[Array, Array]:
    """Read pairs of points from a CSV table.

    Parameters
    ----------
    path
        With the columns ``ir_row``, ``ir_column``, ``visible_row``, ``visible_column``, in any order if it names them
        in its first line, else in this order; other named columns are passed over. Semicolons between columns allow
        for decimal commas.

    Returns
    -------
    infrared, visible
        ``(n, 2)`` each.

    Raises
    ------
    AlignmentError
        If there is no such table in the file.
    """
    path = path.expanduser()
    try:
        text = path.read_text(encoding="utf-8-sig").splitlines()
        # programs of countries with a decimal comma separate columns by semicolons
        mark, decimal = (";", ",") if text and ";" in text[0] else (",", ".")
        reader = csv.reader(text, delimiter=mark)
        lines = [(reader.line_num, line) for line in reader if any(line)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AlignmentError(f"The points in {path} cannot be read ({error}).") from error
    places = list(range(4))
    if lines and {name.strip() for name in lines[0][1]} >= set(COLUMNS):
        names = [name.strip() for name in lines.pop(0)[1]]
        places = [names.index(name) for name in COLUMNS]
    table = np.empty((len(lines), 4))
    for row, (number, line) in zip(table, lines, strict=True):
        try:
            row[:] = [float(line[place].replace(decimal, ".")) for place in places]
        except (ValueError, IndexError):
            row[:] = np.nan
        if not np.isfinite(row).all():
            raise AlignmentError(
                f"{path} is no table of points: it needs the columns {', '.join(COLUMNS)}, with a number in each, and"
                f" line {number} has not."
            )
    return table[:, :2], table[:, 2:]


def _check_points(points: tuple[Array, Array], shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    """Refuse points beside the images, where a column was taken for a row, or the pixels are of another size."""
    for name, places, shape in zip(("infrared", "visible"), points, shapes, strict=True):
        # a pixel more on each side: some programs count from 1, or edges in place of centres
        beside = np.flatnonzero(((places < -1) | (places > shape)).any(axis=1))
        if beside.size:
            row, column = places[beside[0]]
            raise AlignmentError(
                f"The {name} point number {beside[0] + 1}, row {row:g} and column {column:g}, is not in the image of"
                f" {shape[0]} rows and {shape[1]} columns: give pixels, counted from 0."
            )


def _check_target(path: Path | None, inputs: list[Path], *, overwrite: bool) -> None:
    if path is None:
        return
    if not path.parent.is_dir():
        raise OutputError(f"There is no folder {path.parent} to write {path.name} into.")
    if path.is_dir():
        raise OutputError(f"{path} is a folder: name a file.")
    if any(path.resolve() == item.resolve() for item in inputs):
        raise OutputError(f"{path} is one of the inputs: choose another name.")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already: choose another name or add --overwrite.")


def _number(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None
