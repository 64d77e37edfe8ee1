"""Where results go: what could not be written at the end, or would destroy something, is refused at the beginning."""

from __future__ import annotations

import os.path
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_irvisfuse.errors import OutputError
from napari_irvisfuse.images.files import check_output
from napari_irvisfuse.images.stack_files import check_stack_output

__all__ = ["StackTargets", "Targets"]


@dataclass(frozen=True)
class Targets:
    """Where results go."""

    output: Path
    maps: Path | None = None
    recipe: Path | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        # --output=~/x reaches us as it is: shells expand the ~ at the start of a word only
        for name in ("output", "maps", "recipe"):
            path = getattr(self, name)
            object.__setattr__(self, name, path and path.expanduser())

    def check(self, inputs: Sequence[Path]) -> None:
        """Refuse early what could not be written at the end, and what would destroy something.

        Raises
        ------
        OutputError
            With one sentence.
        """
        self._check_files(self._files(("maps.json",)), inputs)
        self.check_output()
        if self.recipe and not self.recipe.parent.is_dir():
            raise OutputError(f"There is no folder {self.recipe.parent} to write {self.recipe.name} into.")
        if self.maps and self.maps.exists() and not self.maps.is_dir():
            raise OutputError(f"{self.maps} is a file: name a folder for the maps.")
        for path in self._files(()):
            if self.maps and any(_same(path, folder) for folder in (self.maps, *self.maps.absolute().parents)):
                raise OutputError(f"{path} cannot be both a file and a folder for the maps: choose another name.")

    def check_output(self) -> None:
        """Check the fused image's file; of a stack there are other kinds."""
        check_output(self.output, overwrite=self.overwrite)

    def check_maps(self, files: Iterable[str], inputs: Sequence[Path]) -> None:
        """Check again with the maps' files, whose names the method tells only after fusing.

        Raises
        ------
        OutputError
            With one sentence.
        """
        self._check_files(self._files(("maps.json", *files)), inputs)

    def _files(self, maps: Iterable[str]) -> list[Path]:
        files = [path for path in (self.output, self.recipe) if path]
        return files + [self.maps / name for name in maps] if self.maps else files

    def _check_files(self, files: Sequence[Path], inputs: Sequence[Path]) -> None:
        inputs = [item.expanduser() for item in inputs]
        folders = [item for item in inputs if item.is_dir()]
        # frames lie in the folder, but the pixels of one that is a link lie elsewhere
        linked = {_real(frame) for folder in folders for frame in folder.iterdir() if frame.is_symlink()}
        for number, path in enumerate(files):
            if path.is_dir():
                raise OutputError(f"{path} is a folder: name a file.")
            if any(_same(path, item) for item in inputs) or _real(path) in linked:
                raise OutputError(f"{path} is one of the inputs: choose another name.")
            for folder in folders:  # even a new file would be a frame of the next fusion
                if _same(path.parent, folder):
                    raise OutputError(f"{path} is in the input folder {folder}: choose another place.")
            if any(_same(path, other) for other in files[:number]):
                raise OutputError(f"{path} would be written twice: choose another name.")
            if path.exists() and not self.overwrite:
                raise OutputError(f"{path} exists already: choose another name or add --overwrite.")


@dataclass(frozen=True)
class StackTargets(Targets):
    """Where the results of a stack go."""

    def check_output(self) -> None:
        """Check the fused stack's file or folder."""
        check_stack_output(self.output, overwrite=self.overwrite)


def _same(one: Path, other: Path) -> bool:
    """Tell whether two paths lead to one file, be it there or not."""
    if one.exists() and other.exists():
        return one.samefile(other)
    return _real(one) == _real(other)


def _real(path: Path) -> str:
    return os.path.normcase(path.resolve())
