"""The work on one scene of a data set: what runs in the threads of an evaluation."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy.typing as npt

from napari_irvisfuse.devices import is_out_of_memory
from napari_irvisfuse.errors import Cancelled, FusionError, OutputError
from napari_irvisfuse.images.alignment_files import Alignment
from napari_irvisfuse.images.files import read_image
from napari_irvisfuse.images.pair import ImagePair
from napari_irvisfuse.images.placement import GridChoice, PlacementSpec, check_grid, parse_rows, read_placement
from napari_irvisfuse.images.radiometric import read_infrared
from napari_irvisfuse.metrics import evaluate
from napari_irvisfuse.pipeline import fuse

from .files import ImageFiles
from .finished import Finished, Key, digest
from .results import Failure

__all__ = ["Found", "Placed", "Work"]

Image = npt.NDArray[Any]


@dataclass
class Found:
    """What was found about one scene.

    Parameters
    ----------
    image
        Its name.
    values
        ``[method][metric]``.
    failures
        What could not be measured.
    reused
        How many of the values come from an earlier run.
    """

    image: str
    values: dict[str, dict[str, float]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    reused: int = 0


@dataclass(frozen=True, eq=False)
class Placed:
    """How the images of every pair lie on each other: of a rig whose cameras do not move, in one way.

    Parameters
    ----------
    ir_to_visible
        ``"fit"``, rows, an alignment, or None if the pixels are the same.
    grid
        Whose pixels the fused images have.
    """

    ir_to_visible: Alignment | PlacementSpec
    grid: GridChoice

    @classmethod
    def given(cls, ir_to_visible: object, grid: object) -> Placed:
        """Check what a user has given, reading it if it is a file: once, and before the first image.

        Raises
        ------
        AlignmentError, ParameterError
            If it is none.
        """
        if isinstance(ir_to_visible, str | Path):
            ir_to_visible = read_placement(ir_to_visible)
        known = ir_to_visible if isinstance(ir_to_visible, Alignment) else parse_rows(ir_to_visible)
        return cls(known, check_grid(grid))

    @property
    def arguments(self) -> dict[str, Any]:
        """For :func:`~napari_irvisfuse.fuse` and :func:`~napari_irvisfuse.evaluate`."""
        return {"ir_to_visible": self.ir_to_visible, "grid": self.grid}

    @property
    def words(self) -> tuple[str, ...]:
        """A text that changes when values would; none if the pixels are the same, whatever the grid."""
        spec = self.ir_to_visible
        if spec is None:
            return ()
        if isinstance(spec, Alignment):
            spec = parse_rows(spec.ir_to_visible)
        return (json.dumps([spec, self.grid]),)


@dataclass(frozen=True, eq=False)
class Work:
    """What is the same for every scene. Safe for use from several threads.

    Parameters
    ----------
    profile, metrics
        What to measure.
    methods
        Methods that fuse the sources here and now, each with a text that changes when its results would.
    placed
        How the infrared images lie on the visible ones, and whose pixels the fused images have.
    device
        Where to fuse and measure.
    finished
        Values of an earlier run.
    stop
        Set from outside to end it.
    done
        How many methods of each scene are done; every scene has its entry from the start.
    """

    profile: str
    metrics: tuple[str, ...]
    methods: Mapping[str, str]
    placed: Placed
    device: str
    finished: Finished
    stop: threading.Event
    done: dict[str, int]
    _first: threading.Lock = field(default_factory=threading.Lock)
    _loaded: set[str] = field(default_factory=set)

    def methods_of(self, files: ImageFiles) -> list[str]:
        """List what is to be measured of a scene."""
        return [*files.fused, *self.methods]

    def measure(self, files: ImageFiles) -> Found:
        """Measure one scene; what is wrong with its files becomes a failure.

        Raises
        ------
        Cancelled
            If it was stopped.
        OutputError
            If finished values cannot be kept.
        """
        found = Found(files.image)
        with _reported(found, None):
            missing = self._look_up(files, found)
            self.done[files.image] = len(self.methods_of(files)) - len(missing)
            sources = self._read_sources(files) if missing else None
            for method, (key, known) in missing.items():
                assert sources is not None
                with _reported(found, method):
                    new = self._values(files, method, sources, [name for name in self.metrics if name not in known])
                    self.finished.add(key, new)
                    found.values[method] = {name: {**known, **new}[name] for name in self.metrics}
                    found.reused += len(known)
                self.done[files.image] += 1
        self.done[files.image] = len(self.methods_of(files))
        return found

    def _look_up(self, files: ImageFiles, found: Found) -> dict[str, tuple[Key, dict[str, float]]]:
        """Take what is known; return the other methods, each with its key and the values it has."""
        missing: dict[str, tuple[Key, dict[str, float]]] = {}
        sources = digest([files.ir, files.visible], *self.placed.words)
        for method in self.methods_of(files):
            made_by = self.methods.get(method)
            inputs = digest([files.fused[method]], sources) if made_by is None else digest([], sources, made_by)
            key = Key(files.image, method, self.profile, inputs)
            kept = self.finished.find(key)
            known = {name: kept[name] for name in self.metrics if name in kept}
            if len(known) < len(self.metrics):
                missing[method] = key, known
            else:
                found.values[method] = known
                found.reused += len(known)
        return missing

    def _read_sources(self, files: ImageFiles) -> tuple[Image, Image]:
        sources = read_infrared(files.ir), read_image(files.visible)
        # a pair that does not fit is one failure, not one for each method
        ImagePair.from_images(*sources, **self.placed.arguments)
        return sources

    def _values(
        self, files: ImageFiles, method: str, sources: tuple[Image, Image], metrics: list[str]
    ) -> dict[str, float]:
        fused = self._fuse(method, *sources) if method in self.methods else files.fused[method]
        options = {"device": self.device, "cancelled": self.stop.is_set, **self.placed.arguments}
        return evaluate(fused, *sources, self.profile, metrics, **options)

    def _fuse(self, method: str, ir: Image, visible: Image) -> Image:
        def run() -> Image:
            options = {"device": self.device, "cancelled": self.stop.is_set, **self.placed.arguments}
            return fuse(ir, visible, method, maps=False, **options).fused

        if method in self._loaded:
            return run()
        with self._first:  # or every thread would load the network for itself
            fused = run()
            self._loaded.add(method)
        return fused


@contextmanager
def _reported(found: Found, method: str | None) -> Iterator[None]:
    try:
        yield
    except OutputError:  # not this image's fault
        raise
    except (FusionError, OSError) as error:
        found.failures.append(Failure(found.image, method, " ".join(str(error).split())))
    except Exception as error:
        if isinstance(error, Cancelled) or not is_out_of_memory(error):
            raise
        found.failures.append(Failure(found.image, method, "There is not enough memory to measure it."))
