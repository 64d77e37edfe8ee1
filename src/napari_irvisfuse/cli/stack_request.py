"""``irvisfuse fuse`` of two stacks: frames go from file to file, one in memory at a time."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_irvisfuse.errors import Cancelled, ImageError, OutputError
from napari_irvisfuse.images.files import write_atomically
from napari_irvisfuse.images.frames import parse_frames
from napari_irvisfuse.images.regions import Region
from napari_irvisfuse.images.stack_files import StackWriter, open_writer
from napari_irvisfuse.recipe import Recipe
from napari_irvisfuse.result import FusionResult
from napari_irvisfuse.stacks import FusionStack, StackOptions
from napari_irvisfuse.types import Cancel, Progress

from .console import counted
from .request import Choices
from .targets import Targets

__all__ = ["StackReport", "StackRequest"]


@dataclass(frozen=True)
class StackReport:
    """What was done, for people in a line and for programs in full."""

    recipe: Recipe
    targets: Targets
    shape: tuple[int, ...]
    frame_shape: tuple[int, ...]
    dtype: str
    grid: str
    region: Region | None
    windows: dict[str, dict[str, Any]]
    maps: dict[str, dict[str, Any]]
    seconds: float
    notes: tuple[str, ...]

    def line(self) -> str:
        """Return one line."""
        height, width = self.frame_shape[:2]
        frames, recipe = counted(int(np.prod(self.shape)), "frame"), self.recipe
        where = f" ({self.region.in_words})" if self.region else ""
        made = f"{frames} of {width}×{height}{where} {self.dtype}, {recipe.method} on {recipe.device}"
        line = f"{self.targets.output}: {made} ({recipe.precision}) in {self.seconds:.2f} s"
        return f"{line}; {counted(len(self.maps), 'map')} in {self.targets.maps}" if self.targets.maps else line

    def to_dict(self) -> dict[str, Any]:
        """Return what goes into JSON."""
        recipe = self.recipe.to_dict()
        used = ("method", "parameters", "device", "precision", "weights", "weights_sha256", "smoothing", "versions")
        return {
            "output": str(self.targets.output),
            "shape": [*self.shape, *self.frame_shape],
            "frames": int(np.prod(self.shape)),
            "dtype": self.dtype,
            "grid": self.grid,
            "region": self.region and list(astuple(self.region)),
            "windows": self.windows,
            **{name: recipe[name] for name in used},
            "notes": list(self.notes),
            "seconds": round(self.seconds, 3),
            "maps": self.maps,
            "recipe": str(self.targets.recipe) if self.targets.recipe else None,
        }


@dataclass(frozen=True, eq=False)
class StackRequest:
    """A fusion of two stacks that has been checked as far as it can be without reading them."""

    inputs: tuple[Path, ...]
    targets: Targets
    options: StackOptions
    fps: float | None

    @classmethod
    def prepare(cls, inputs: tuple[Path, ...], targets: Targets, choices: Choices) -> StackRequest:
        """Check the targets first, then the choices.

        Raises
        ------
        FusionError
            With one sentence about the first thing that is wrong.
        """
        read = (*inputs, *(path for path in (choices.recipe, choices.weights, choices.align_file) if path is not None))
        targets.check(read)
        if len(inputs) < 2:
            raise ImageError(f"{inputs[0]} is a stack of infrared images: name the visible ones too.")
        saved = Recipe.load(choices.recipe) if choices.recipe else None
        frames = parse_frames(choices.frames) if choices.frames is not None else None
        arguments = choices.arguments(saved)
        return cls(read, targets, StackOptions.of(frames=frames, **arguments), choices.fps)

    def run(self, progress: Progress, cancelled: Cancel) -> StackReport:
        """Fuse and write frame by frame; all files appear at the end, the fused stack last.

        Raises
        ------
        FusionError
            If it cannot be computed or written; nothing is written then.
        Cancelled
            Before anything was written.
        """
        started = time.perf_counter()
        ir, visible, *_ = self.inputs
        stack = FusionStack(ir, visible, self.options, progress=progress, cancelled=cancelled)
        targets = self.targets
        notes: dict[str, None] = {}
        with ExitStack() as files:
            sink = _Sink(files, stack, targets, self.inputs, self.fps)
            results = stack.run(maps=targets.maps is not None, progress=progress, cancelled=cancelled)
            for _, result in results:
                sink.add(result)
                notes.update(dict.fromkeys(result.notes))
            if cancelled():
                raise Cancelled
            recipe = result.recipe
            maps = sink.list_maps(recipe)
            if targets.recipe:
                recipe.save(targets.recipe)
        return StackReport(
            recipe,
            targets,
            stack.shape,
            result.fused.shape,
            str(result.fused.dtype),
            result.grid,
            result.region,
            _windows_of(stack),
            maps,
            time.perf_counter() - started,
            tuple(notes),
        )


def _windows_of(stack: FusionStack) -> dict[str, dict[str, Any]]:
    """Return the windows that all frames share, as a result has them; nothing if each has its own."""
    windows = zip(("ir", "visible"), stack.windows or (), strict=False)
    return {name: asdict(window) for name, window in windows}


@dataclass
class _Sink:
    """The files of one run, opened when the first frame tells what will come.

    The fused stack is opened first, and so renamed last: where it is, the rest is too.
    """

    files: ExitStack
    stack: FusionStack
    targets: Targets
    inputs: Sequence[Path]
    fps: float | None
    fused: StackWriter | None = None
    first: FusionResult | None = None
    maps: dict[str, StackWriter] = field(default_factory=dict)
    tables: dict[str, list[npt.NDArray[Any]]] = field(default_factory=dict)

    def add(self, result: FusionResult) -> None:
        if self.fused is None:
            self._open(result)
        assert self.fused is not None
        self.fused.add(result.fused)
        for name, writer in self.maps.items():
            writer.add(result.maps[name].data)
        for name, rows in self.tables.items():
            rows.append(result.maps[name].data)

    def _open(self, result: FusionResult) -> None:
        self.first = result
        stack, targets = self.stack, self.targets
        names = stack.visible.names or stack.ir.names
        self.fused = self.files.enter_context(
            open_writer(
                targets.output,
                stack.shape,
                result.fused.shape,
                result.fused.dtype,
                rate=self.fps or stack.rate,
                window=stack.windows[1] if stack.windows else None,
                names=names,
                scale=stack.scale,
                overwrite=targets.overwrite,
            )
        )
        if targets.maps is None:
            return
        map_files = result.map_files()
        targets.check_maps(map_files.values(), self.inputs)
        try:
            targets.maps.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"The folder {targets.maps} cannot be made ({error.strerror or error}).") from error
        for name, item in result.maps.items():
            if item.data.ndim == 1:
                self.tables[name] = []
                continue
            path = targets.maps / map_files[name]
            writer = open_writer(path, stack.shape, item.data.shape, item.data.dtype, overwrite=targets.overwrite)
            self.maps[name] = self.files.enter_context(writer)

    def list_maps(self, recipe: Recipe) -> dict[str, dict[str, Any]]:
        """Write the tables, and what the maps are; return the latter with their paths."""
        folder, first = self.targets.maps, self.first
        if folder is None or first is None:
            return {}
        map_files = first.map_files()
        for name, rows in self.tables.items():

            def write(target: Path, rows: list[npt.NDArray[Any]] = rows) -> None:
                np.savetxt(target, rows, fmt="%.9g")

            write_atomically(folder / map_files[name], write)
        listing = {
            name: {
                "file": map_files[name],
                "title": item.title,
                "kind": item.kind,
                "group": item.group,
                "stride": item.stride,
                "labels": list(item.labels),
            }
            for name, item in first.maps.items()
        }
        region = {"region": astuple(first.region)} if first.region is not None else {}
        document = {"maps": listing, "windows": _windows_of(self.stack), **region, "recipe": recipe.to_dict()}
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        write_atomically(folder / "maps.json", lambda target: target.write_text(text, encoding="utf-8"))
        return {name: {**entry, "file": str(folder / str(entry["file"]))} for name, entry in listing.items()}
