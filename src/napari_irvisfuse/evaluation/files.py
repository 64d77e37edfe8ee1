"""Which files of several folders belong together, and which do not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from napari_irvisfuse.errors import ImageError
from napari_irvisfuse.images.listing import IMAGES, natural

__all__ = ["ImageFiles", "PairListing", "list_images", "pair_files"]

_NAMED = 6  # as many names as a sentence can carry


@dataclass(frozen=True)
class ImageFiles:
    """The files of one scene.

    Parameters
    ----------
    image
        What they have in common: the file name without its ending.
    ir, visible
        The sources.
    fused
        Method name to its fused image; a method that has none for this scene is left out.
    """

    image: str
    ir: Path
    visible: Path
    fused: Mapping[str, Path]


@dataclass(frozen=True)
class PairListing:
    """What was found in the folders.

    Parameters
    ----------
    pairs
        Scenes with both sources, in the order of their names (2 before 10).
    unmatched
        One sentence for each kind of file that has no partner, or too many.
    """

    pairs: tuple[ImageFiles, ...]
    unmatched: tuple[str, ...]


def pair_files(ir_dir: str | Path, visible_dir: str | Path, fused_dirs: Mapping[str, str | Path]) -> PairListing:
    """Match the images of several folders by their names without the ending.

    Parameters
    ----------
    ir_dir, visible_dir
        Folders of the sources; ``004.png`` and ``004.jpg`` belong together.
    fused_dirs
        Method name to the folder of its fused images.

    Raises
    ------
    ImageError
        If a folder is not there or has no image, or no infrared image has a visible one.
    """
    unmatched: list[str] = []
    infrared = _images_in(ir_dir, "infrared", unmatched)
    visible = _images_in(visible_dir, "visible", unmatched)
    fused = {name: _images_in(folder, f"{name} fused", unmatched) for name, folder in fused_dirs.items()}
    common = sorted(infrared.keys() & visible.keys(), key=natural)
    if not common:
        raise ImageError(
            f"No image in {ir_dir} has the name of one in {visible_dir} (there is {_first(infrared)}, and"
            f" {_first(visible)}): files that belong together are called the same but for the ending."
        )
    for found, kind, other in ((infrared, "infrared", "visible"), (visible, "visible", "infrared")):
        if alone := found.keys() - set(common):
            unmatched.append(f"Without {other} image: {_images(len(alone), kind)} ({_some(alone)}).")
    for name, found in fused.items():
        if alone := found.keys() - set(common):
            unmatched.append(f"Without its sources: {_images(len(alone), f'{name} fused')} ({_some(alone)}).")
        if missing := set(common) - found.keys():
            unmatched.append(f"Not in the folder of {name}: {_images(len(missing), 'fused')} ({_some(missing)}).")
    pairs = (
        ImageFiles(
            image, infrared[image], visible[image], {n: found[image] for n, found in fused.items() if image in found}
        )
        for image in common
    )
    return PairListing(tuple(pairs), tuple(unmatched))


def list_images(folder: Path, what: str = "images") -> list[Path]:
    """List the images in a folder, not in its subfolders, by name.

    Parameters
    ----------
    what
        What should be in it, for the error.

    Raises
    ------
    ImageError
        If it is not there or cannot be read.
    """
    if not folder.is_dir():
        raise ImageError(f"There is no folder {folder} with {what}.")
    try:
        return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGES and path.name[0] != ".")
    except OSError as error:
        raise ImageError(f"The folder {folder} cannot be read ({error.strerror or error}).") from error


def _images_in(folder: str | Path, kind: str, unmatched: list[str]) -> dict[str, Path]:
    folder = Path(folder).expanduser()
    paths = list_images(folder, f"the {kind} images")
    found: dict[str, list[Path]] = {}
    for path in paths:
        found.setdefault(path.stem, []).append(path)
    for files in found.values():
        if len(files) > 1:
            listed = " and ".join(path.name for path in files)
            unmatched.append(f"Which is the {kind} image: {listed}? They are left out.")
    if not found:
        raise ImageError(f"There is no image in {folder}, the folder of the {kind} images.")
    return {stem: files[0] for stem, files in found.items() if len(files) == 1}


def _first(found: Mapping[str, Path]) -> str:
    return min(found.values()).name if found else "none"


def _images(count: int, kind: str) -> str:
    return f"{count} {kind} image{'s' if count != 1 else ''}"


def _some(names: Iterable[str]) -> str:
    listed = sorted(names, key=natural)
    more = f" and {len(listed) - _NAMED} more" if len(listed) > _NAMED else ""
    return ", ".join(listed[:_NAMED]) + more
