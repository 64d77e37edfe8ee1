"""What ``irvisfuse fuse`` was asked for: checked as a whole before the first pixel is computed, then carried out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import napari_irvisfuse as nif
from napari_irvisfuse.algorithms import get_method
from napari_irvisfuse.errors import AlignmentError, Cancelled, ImageError, OutputError, ParameterError
from napari_irvisfuse.images.pair import check_output_rule
from napari_irvisfuse.images.placement import FIT, check_grid, parse_rows, read_placement
from napari_irvisfuse.images.radiometric import infrared_unit, is_radiometric, read_infrared
from napari_irvisfuse.images.scale import Scale, read_scale
from napari_irvisfuse.recipe import Recipe
from napari_irvisfuse.result import FusionResult
from napari_irvisfuse.session import DEFAULT_METHOD
from napari_irvisfuse.types import Cancel, Progress

from .console import counted
from .targets import Targets

__all__ = ["Choices", "Report", "Request", "parse_parameters"]


_WHOLE = "whole"
_OWN, _RECIPES, _NONE = "own", "recipe", "none"  # besides "fit": alignments that have no file of their own


@dataclass(frozen=True)
class Choices:
    """What was chosen on the command line; None where nothing was."""

    method: str | None = None
    preset: str | None = None
    parameters: tuple[str, ...] = ()
    recipe: Path | None = None
    weights: Path | None = None
    device: str = "auto"
    precision: str | None = None
    ir_window: str | None = None
    visible_window: str | None = None
    align: str | None = None
    grid: str | None = None
    region: str | None = None
    output: str | None = None
    smoothing: float | None = None
    windows: str | None = None
    frames: str | None = None
    fps: float | None = None

    @property
    def align_file(self) -> Path | None:
        """The alignment file, None if there is none to read."""
        return None if self.align in (None, FIT, _OWN, _RECIPES, _NONE) else Path(self.align).expanduser()

    def arguments(self, saved: Recipe | None) -> dict[str, Any]:
        """Return arguments for :func:`~napari_irvisfuse.fuse`: the recipe's, then what was chosen beside it.

        Raises
        ------
        ParameterError
            For an unknown method, preset or parameter, and for values that are not allowed.
        AlignmentError
            If the alignment cannot be read.
        """
        base = saved or Recipe(DEFAULT_METHOD)
        method = self.method or base.method
        parameters: dict[str, Any] = {}
        if self.preset is not None:
            parameters["preset"] = self.preset
        elif method == base.method:
            # another method or a preset asks for a fresh start
            parameters.update(base.parameters)
        parameters.update(parse_parameters(method, self.parameters))
        chosen = {
            "precision": self.precision,
            "ir_window": self.ir_window,
            "visible_window": self.visible_window,
            "grid": None if self.grid is None else check_grid(self.grid),
            "output": None if self.output is None else check_output_rule(self.output),
            "smoothing": self.smoothing,
            "windows": self.windows,
        }
        return {
            **{name: getattr(base, name) if value is None else value for name, value in chosen.items()},
            "ir_to_visible": self._placement(saved),
            "region": base.region if self.region is None else None if self.region == _WHOLE else self.region,
            "method": method,
            "device": self.device,
            "weights": self.weights,
            "weights_sha256": base.weights_sha256 if method == base.method else None,
            **get_method(method).parameters(**parameters).to_dict(),
        }

    def _placement(self, saved: Recipe | None) -> object:
        if self.align == _RECIPES and saved is None:
            raise ParameterError("--align recipe is the alignment of a recipe: name one with --recipe FILE.")
        if self.align in (None, _RECIPES):
            return (saved.alignment or saved.ir_to_visible) if saved else None
        if self.align in (_OWN, _NONE):
            return _OWN if self.align == _OWN else None
        return read_placement(self.align)

    def place(
        self, saved: Recipe | None, asked: object, own: npt.NDArray[np.float64] | None, file: Path
    ) -> tuple[object, tuple[str, ...]]:
        """Let the alignment that a camera wrote beside its images count, unless another was chosen for them.

        Parameters
        ----------
        saved, asked
            The recipe, and what :meth:`arguments` made of it.
        own, file
            What the file of the images says, if it does, and its name.

        Returns
        -------
        The alignment, and what is to be noted: a recipe's may be of other images, and gives way.

        Raises
        ------
        AlignmentError
            If the file's own was asked for, and it has none.
        """
        if own is None and self.align == _OWN:
            raise AlignmentError(
                f"{file} does not say how its images lie on each other: name an alignment file, or say fit if both"
                " show the same view."
            )
        if own is None or self.align not in (None, _OWN):
            return asked, ()
        if self.align == _OWN or saved is None or saved.ir_to_visible in (None, parse_rows(own)):
            return own, ()
        return own, (f"The alignment in {file.name} is used, not the recipe's (that would be --align recipe).",)


@dataclass(frozen=True)
class Report:
    """What was done, for people in a line and for programs in full."""

    result: FusionResult
    targets: Targets
    seconds: float
    notes: tuple[str, ...]

    def line(self) -> str:
        """Return one line."""
        recipe = self.result.recipe
        height, width = self.result.fused.shape[:2]
        where = f" ({self.result.region.in_words})" if self.result.region else ""
        made = f"{width}×{height}{where} {self.result.fused.dtype}, {recipe.method}"
        line = f"{self.targets.output}: {made} on {recipe.device} ({recipe.precision}) in {self.seconds:.2f} s"
        return f"{line}; {counted(len(self.result.maps), 'map')} in {self.targets.maps}" if self.targets.maps else line

    def to_dict(self) -> dict[str, Any]:
        """Return what goes into JSON."""
        recipe = self.result.recipe.to_dict()
        used = ("method", "parameters", "device", "precision", "weights", "weights_sha256", "ir_to_visible", "versions")
        folder = self.targets.maps
        files = self.result.map_files()
        return {
            "output": str(self.targets.output),
            "shape": list(self.result.fused.shape),
            "dtype": str(self.result.fused.dtype),
            "grid": self.result.grid,
            "region": self.result.region and list(astuple(self.result.region)),
            "windows": self.result.windows(),
            **{name: recipe[name] for name in used},
            "notes": list(self.notes),
            "seconds": round(self.seconds, 3),
            "maps": {
                name: {
                    "title": item.title,
                    "kind": item.kind,
                    "group": item.group,
                    "stride": item.stride,
                    "file": str(folder / files[name]) if folder else None,
                }
                for name, item in self.result.maps.items()
            },
            "recipe": str(self.targets.recipe) if self.targets.recipe else None,
        }


@dataclass(frozen=True, eq=False)
class _Images:
    """What the input files hold."""

    ir: npt.NDArray[Any]
    ir_unit: str
    visible: npt.NDArray[Any]
    visible_scale: Scale
    ir_to_visible: npt.NDArray[np.float64] | None

    @classmethod
    def read(cls, ir: Path, visible: Path | None = None) -> _Images:
        """Read two files, or a radiometric JPEG that holds both images and says how they lie on each other.

        Raises
        ------
        ImageError
            If one of them cannot be read, or is not there.
        """
        if visible is not None:
            scale = replace(read_scale(visible), value_unit="")  # a fused value is no measured one
            return cls(read_infrared(ir), infrared_unit(ir), nif.read_image(visible), scale, None)
        if ir.expanduser().is_file() and not is_radiometric(ir):
            raise ImageError(f"{ir} is no radiometric JPEG that holds both images: name a visible image too.")
        thermal = nif.read_radiometric(ir)
        if thermal.visible is None:
            raise ImageError(f"{ir} holds no photograph beside the thermal image: name a visible image too.")
        return cls(read_infrared(ir), "°C", thermal.visible, Scale(), thermal.ir_to_visible)


@dataclass(frozen=True, eq=False)
class Request:
    """A fusion of two files, or of the two halves of one, that has been checked."""

    images: _Images
    inputs: tuple[Path, ...]
    targets: Targets
    arguments: dict[str, Any]
    notes: tuple[str, ...]

    @classmethod
    def prepare(cls, inputs: tuple[Path, ...], targets: Targets, choices: Choices) -> Request:
        """Check the targets first, then the choices, then the images: the cheapest first.

        Raises
        ------
        FusionError
            With one sentence about the first thing that is wrong.
        """
        read = (*inputs, *(path for path in (choices.recipe, choices.weights, choices.align_file) if path is not None))
        targets.check(read)
        of_stacks = [name for name in ("frames", "smoothing", "windows", "fps") if getattr(choices, name) is not None]
        if of_stacks:
            raise ParameterError(f"--{of_stacks[0]} is for stacks, and these are single images: leave it out.")
        saved = Recipe.load(choices.recipe) if choices.recipe else None
        arguments = choices.arguments(saved)
        images = _Images.read(*inputs)
        placement, notes = choices.place(saved, arguments["ir_to_visible"], images.ir_to_visible, inputs[0])
        arguments["ir_to_visible"] = placement
        kind = images.visible.dtype
        if targets.output.suffix.lower() == ".png" and np.issubdtype(kind, np.floating):
            raise OutputError(
                f"The visible image holds {kind} numbers, which PNG cannot store:"
                f" write {targets.output.with_suffix('.tif').name} instead."
            )
        return cls(images, read, targets, arguments, notes)

    def run(self, progress: Progress, cancelled: Cancel) -> Report:
        """Fuse, then write everything; the fused image last, so that where it is, the rest is too.

        Raises
        ------
        FusionError
            If it cannot be computed or written.
        Cancelled
            Before anything was written.
        """
        started = time.perf_counter()
        images = self.images
        result = nif.fuse(images.ir, images.visible, progress=progress, cancelled=cancelled, **self.arguments)
        if result.ir_window is not None:
            result = replace(result, ir_window=replace(result.ir_window, unit=images.ir_unit))
        seconds = time.perf_counter() - started
        if cancelled():
            raise Cancelled
        targets = self.targets
        if targets.maps:
            targets.check_maps(result.map_files().values(), self.inputs)
            result.save_maps(targets.maps, overwrite=targets.overwrite)
        if targets.recipe:
            result.recipe.save(targets.recipe)
        scale = images.visible_scale if result.grid == "visible" else None
        nif.write_image(targets.output, result.fused, overwrite=targets.overwrite, scale=scale)
        return Report(result, targets, seconds, (*self.notes, *result.notes))


def parse_parameters(method: str, texts: Sequence[str]) -> dict[str, Any]:
    """Read ``name=value`` texts as the method's parameters.

    Raises
    ------
    ParameterError
        If a text is not of that form, or its value not of the parameter's type.
    """
    known = {info.name: info for info in get_method(method).info().parameters}
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals:
            raise ParameterError(f"--param takes name=value; got {text!r}.")
        if name == "preset" and name not in known:  # TransFusion has a parameter of that name
            raise ParameterError(f"A preset is chosen with --preset {value}.")
        # an unknown name goes on as it is: the method has the sentence for it
        values[name] = known[name].parse(value.strip()) if name in known else value
    return values
