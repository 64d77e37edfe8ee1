"""Training images: pairs or single images from folders, and crops that depend on seed and step alone."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from napari_irvisfuse.errors import Cancelled, FusionError, ImageError, ParameterError
from napari_irvisfuse.evaluation.files import pair_files
from napari_irvisfuse.images.pair import ImagePair
from napari_irvisfuse.types import Cancel, Progress

__all__ = ["Crops", "PairScan", "scan_pairs"]

Picture = npt.NDArray[np.float32]
_CACHE_BYTES = 2**30
_TRAINING, _VALIDATION = 0, 1  # which of a seed's two streams of random numbers


@dataclass(frozen=True)
class PairScan:
    """What the folders hold.

    Parameters
    ----------
    pairs
        Infrared and visible file of every pair that can be used.
    report
        Sentences about what did not match, could not be read or has two sizes.
    """

    pairs: tuple[tuple[Path, Path], ...]
    report: tuple[str, ...]


def scan_pairs(
    ir: Sequence[Path],
    visible: Sequence[Path],
    progress: Progress | None = None,
    cancelled: Cancel | None = None,
) -> PairScan:
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
    usable: list[tuple[Path, Path]] = []
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
    return PairScan(tuple(usable), tuple(report))


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
