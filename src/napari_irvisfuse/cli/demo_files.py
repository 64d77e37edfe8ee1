"""What the demo writes, and which files it may replace: its own, and no others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, PngImagePlugin

import napari_irvisfuse as nif
from napari_irvisfuse.errors import OutputError
from napari_irvisfuse.images.files import write_atomically
from napari_irvisfuse.result import FusionResult

from .contact_sheet import contact_sheet

__all__ = ["DemoFiles"]

# Written into the sheet: a picture that carries it was made by a demo and may be replaced by the next one.
_MARK = ("Software", "irvisfuse demo")
_PICTURES = ("fused", "infrared", "visible")


@dataclass(frozen=True)
class DemoFiles:
    """The contact sheet, and the folder for the single pictures if they are wanted too."""

    sheet: Path
    folder: Path | None

    @classmethod
    def at(cls, target: Path, *inputs: Path | None) -> DemoFiles:
        """Choose the files, and refuse those that the demo may not write.

        Parameters
        ----------
        target
            A name ending in ``.png`` for the sheet alone, else a folder that is made if it is not there.
        inputs
            Files that are read.

        Raises
        ------
        OutputError
            If something is in the way that no demo has made.
        """
        target = target.expanduser()
        alone = target.suffix.lower() == ".png" and not target.is_dir()
        files = cls(target, None) if alone else cls(target / "contact_sheet.png", target)
        if not target.parent.is_dir():
            raise OutputError(f"There is no folder {target.parent} to write {target.name} into.")
        if files.folder is not None and files.folder.exists() and not files.folder.is_dir():
            raise OutputError(f"{files.folder} is a file: name a folder, or a file ending in .png.")
        own = _is_ours(files.sheet)
        names = (
            [files.folder / f"{name}{end}" for name in _PICTURES for end in (".png", ".tif")] if files.folder else []
        )
        for path in (files.sheet, *names):
            read = any(item is not None and item.exists() and path.samefile(item) for item in inputs if path.exists())
            if path.exists() and (read or not own):
                raise OutputError(f"{path} exists already and is not the demo's own: choose another place.")
        return files

    def write(self, ir: npt.NDArray[Any], visible: npt.NDArray[Any], result: FusionResult) -> list[Path]:
        """Write everything and return the files, the sheet first."""
        if self.folder is not None:
            try:
                self.folder.mkdir(exist_ok=True)
            except OSError as error:
                raise OutputError(f"The folder {self.folder} cannot be made ({error.strerror or error}).") from error
        marks = PngImagePlugin.PngInfo()
        marks.add_text(*_MARK)
        picture = Image.fromarray(contact_sheet(ir, visible, result))
        # the sheet first: its mark says whose the other files are
        write_atomically(self.sheet, lambda target: picture.save(target, format="PNG", pnginfo=marks))
        written = [self.sheet]
        if self.folder is not None:
            for name, image in zip(_PICTURES, (result.fused, ir, visible), strict=True):
                end = ".tif" if np.issubdtype(image.dtype, np.floating) else ".png"
                written.append(nif.write_image(self.folder / f"{name}{end}", image, overwrite=True))
        return written


def _is_ours(path: Path) -> bool:
    try:
        with Image.open(path) as picture:
            return picture.info.get(_MARK[0]) == _MARK[1]
    except OSError:  # not there, or no picture at all
        return False
