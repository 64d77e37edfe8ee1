"""Training images: pairs or single images from folders, and crops that depend on seed and step alone."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from napari_irvisfuse.errors import Cancelled, FusionError, ImageError, ParameterError
from napari_irvisfuse.evaluation.files import list_images, pair_files
from napari_irvisfuse.images.checks import as_image, normalise, without_colour
from napari_irvisfuse.images.files import read_image
from napari_irvisfuse.images.pair import ImagePair
from napari_irvisfuse.images.radiometric import read_infrared
from napari_irvisfuse.images.ranges import WindowSpec
from napari_irvisfuse.types import Cancel, Progress

__all__ = ["Crops", "Scan", "images_in", "read_image_files", "read_luma", "scan_images", "scan_pairs"]

Picture = npt.NDArray[np.float32]
_CACHE_BYTES = 2**30
_TRAINING, _VALIDATION = 0, 1  # which of a seed's two streams of random numbers


@dataclass(frozen=True)
class Scan:
    """What the folders hold.

    Parameters
    ----------
    pictures
        The files of every picture that can be used: infrared and visible one of a pair, or a single one.
    report
        Sentences about what did not match, could not be read or has two sizes.
    visible
        Folders of which it is known that their single pictures are visible ones.
    """

    pictures: tuple[tuple[Path, ...], ...]
    report: tuple[str, ...]
    visible: tuple[Path, ...] = ()

    @property
    def names(self) -> list[str]:
        """What the pictures are called in checkpoints and reports."""
        return [", ".join(str(Path(*file.parts[-3:])) for file in files) for files in self.pictures]

    def load(self, number: int) -> Picture:
        """Read a picture, ``(C, H, W)`` in [0, 1]: infrared and visible, or a single one."""
        files = self.pictures[number]
        if len(files) == 1:
            return read_luma(files[0], visible=files[0].parent in self.visible)[None]
        pair = ImagePair.from_images(*files)
        return np.stack([pair.ir, pair.visible]).astype(np.float32, copy=False)


def scan_pairs(
    ir: Sequence[Path],
    visible: Sequence[Path],
    progress: Progress | None = None,
    cancelled: Cancel | None = None,
) -> Scan:
    """Match the images of folders by name and try each pair once.

    Parameters
    ----------
    ir, visible
        Folders; the first of one belongs to the first of the other, and so on.

    Raises
    ------
    ParameterError
        If there is not one folder of visible images for each of infrared ones.
    ImageError
        If a folder is missing or empty, nothing matches, or no pair can be used.
    Cancelled
        If the user wants to stop.
    """
    if len(ir) != len(visible) or not ir:
        raise ParameterError(
            f"Give one folder of visible images for each folder of infrared ones; got {len(ir)} and {len(visible)}."
        )
    usable: list[tuple[Path, ...]] = []
    report: list[str] = []
    for ir_folder, visible_folder in zip(ir, visible, strict=True):
        listing = pair_files(ir_folder, visible_folder, {})
        report += listing.unmatched
        for number, files in enumerate(listing.pairs):
            if cancelled is not None and cancelled():
                raise Cancelled
            if progress is not None:
                progress(number, len(listing.pairs), f"Reading {ir_folder}")
            try:
                ImagePair.from_images(files.ir, files.visible)
            except FusionError as error:
                report.append(f"Left out {files.image}: {error}")
            else:
                usable.append((files.ir, files.visible))
    if not usable:
        why = next((sentence for sentence in report if sentence.startswith("Left out")), "")
        raise ImageError(f"No pair can be used for training. {why}".strip())
    return Scan(tuple(usable), tuple(report))


def scan_images(
    folders: Sequence[Path],
    progress: Progress | None = None,
    cancelled: Cancel | None = None,
    *,
    visible: Sequence[Path] = (),
) -> Scan:
    """Find the images of folders and try each once.

    Parameters
    ----------
    folders
        Of images of either kind.
    visible
        More of them, which hold visible images only.

    Raises
    ------
    ImageError
        If a folder is missing or empty, or no image can be used.
    Cancelled
        If the user wants to stop.
    """
    report: list[str] = []
    paths = images_in([*folders, *visible])
    usable = [(path,) for path, _ in read_image_files(paths, report, progress, cancelled, visible=visible)]
    if not usable:
        raise ImageError(f"No image can be used for training. {report[0]}")
    return Scan(tuple(usable), tuple(report), tuple(visible))


def images_in(folders: Sequence[Path]) -> list[Path]:
    """List the images of folders, not of their subfolders.

    Raises
    ------
    ImageError
        If a folder is not there or has no image.
    """
    paths: list[Path] = []
    for folder in folders:
        found = list_images(folder, "images")
        if not found:
            raise ImageError(f"There is no image in {folder}.")
        paths += found
    return paths


def read_image_files(
    paths: Sequence[Path],
    report: list[str],
    progress: Progress | None,
    cancelled: Cancel | None,
    *,
    visible: Sequence[Path] = (),
) -> Iterator[tuple[Path, Picture]]:
    """Give the luma ``(H, W)`` of every image that can be used, and say why of the others."""
    for number, path in enumerate(paths):
        if cancelled is not None and cancelled():
            raise Cancelled
        if progress is not None:
            progress(number, len(paths), f"Reading {path.parent}")
        try:
            luma = read_luma(path, visible=path.parent in visible)
        except FusionError as error:
            report.append(f"Left out {path}: {error}")
        else:
            yield path, luma


def read_luma(path: Path, *, visible: bool = False) -> Picture:
    """Read an image as a fusion sees it, ``(H, W)`` in [0, 1].

    If it is not known to be a visible one, it is infrared if its file is radiometric, has one plane, or was painted
    with a palette.
    """
    array = as_image(read_image(path) if visible else read_infrared(path), path.name)
    spec: WindowSpec = "auto"
    if not visible:
        array, spec, _ = without_colour(array, spec)
    luma, *_ = normalise(array, path.name, spec, "visible" if visible or array.ndim == 3 else "ir", np.float32)
    return luma.astype(np.float32, copy=False)


class Crops:
    """Random crops of pictures, turned and mirrored; the same for the same seed and step, whatever came before.

    Parameters
    ----------
    load
        Gives the picture of a number, ``(C, H, W)`` float32 in [0, 1].
    training, validation
        The numbers to draw from.
    size
        Side of the square crops in pixels; smaller pictures are extended by reflection.
    batch
        Crops at a time.
    seed
        Of everything random.
    """

    def __init__(
        self,
        load: Callable[[int], Picture],
        training: Sequence[int],
        validation: Sequence[int],
        *,
        size: int,
        batch: int,
        seed: int,
    ) -> None:
        self._load = load
        self._training, self._validation = tuple(training), tuple(validation)
        self._size, self._batch, self._seed = size, batch, seed
        self._kept: OrderedDict[int, Picture] = OrderedDict()
        self._kept_bytes = 0

    def batch(self, step: int, count: int | None = None) -> torch.Tensor:
        """Return the crops of a step, ``(count or batch, C, size, size)``."""
        random = np.random.default_rng([self._seed, _TRAINING, step])
        numbers = random.choice(self._training, size=self._batch)
        crops = [self._crop(int(number), random, turned=True) for number in numbers[:count]]
        return torch.from_numpy(np.stack(crops))

    def validation(self) -> list[torch.Tensor]:
        """Return batches of crops of the held-out pictures, always the same; empty if none are held out."""
        random = np.random.default_rng([self._seed, _VALIDATION])
        crops = [self._crop(number, random, turned=False) for number in self._validation]
        return [
            torch.from_numpy(np.stack(crops[start : start + self._batch]))
            for start in range(0, len(crops), self._batch)
        ]

    def _crop(self, number: int, random: np.random.Generator, *, turned: bool) -> Picture:
        picture = self._picture(number)
        size = self._size
        top, left = (int(random.integers(max(1, side - size + 1))) for side in picture.shape[1:])
        crop = picture[:, top : top + size, left : left + size]
        missing = [(0, 0), *((0, size - side) for side in crop.shape[1:])]
        if any(after for _, after in missing):
            crop = np.pad(crop, missing, mode="symmetric")
        if turned:
            crop = np.rot90(crop, int(random.integers(4)), axes=(1, 2))
            if random.integers(2):
                crop = crop[:, :, ::-1]
        return np.ascontiguousarray(crop)

    def _picture(self, number: int) -> Picture:
        """Read a picture, or take it from the last gigabyte of them."""
        if number in self._kept:
            self._kept.move_to_end(number)
            return self._kept[number]
        picture = self._load(number)
        self._kept[number] = picture
        self._kept_bytes += picture.nbytes
        while self._kept_bytes > _CACHE_BYTES and len(self._kept) > 1:
            self._kept_bytes -= self._kept.popitem(last=False)[1].nbytes
        return picture
