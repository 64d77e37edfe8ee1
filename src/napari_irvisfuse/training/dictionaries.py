"""Learning the dictionaries of the sparse methods from folders of images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import torch

from napari_irvisfuse.errors import ImageError, OutputError, ParameterError
from napari_irvisfuse.images.files import check_file, write_atomically
from napari_irvisfuse.sparse.convolutional_learning import learn_convolutional
from napari_irvisfuse.sparse.dictionaries import write_dictionary
from napari_irvisfuse.sparse.ksvd import learn_patches
from napari_irvisfuse.sparse.omp import omp
from napari_irvisfuse.sparse.patches import sample
from napari_irvisfuse.types import Cancel, Progress

from .data import images_in, read_image_files

__all__ = ["DictionaryKind", "DictionaryReport", "learn_dictionary"]

DictionaryKind: TypeAlias = Literal["patches", "convolutional"]
"""``patches`` for JSR and JSRSD, ``convolutional`` for ConvSR."""

_PATCH = 7
_SAMPLED = 50_000  # patches to learn from, evenly from all images
_MEASURED = 5_000  # of them, to tell how well they are coded
# kind to the defaults of atoms, steps and sparsity: those that the shipped dictionaries were learnt with
_DEFAULTS: dict[str, tuple[int, int, float]] = {"patches": (256, 50, 16), "convolutional": (32, 160, 0.01)}
_MOST_ATOMS, _MOST_STEPS = 4096, 100_000


@dataclass(frozen=True)
class DictionaryReport:
    """What was learnt, and from what.

    Parameters
    ----------
    output
        The file.
    shape
        Of the dictionary, ``(atoms, side, side)``.
    images
        How many images were used.
    left_out
        One sentence for each file that was not.
    error
        For patches: the mean relative error of the coded patches, ‖y − Dx‖/‖y‖; None for a convolutional dictionary.
    """

    output: Path
    shape: tuple[int, ...]
    images: int
    left_out: tuple[str, ...]
    error: float | None


def learn_dictionary(
    kind: DictionaryKind,
    folders: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    atoms: int | None = None,
    steps: int | None = None,
    sparsity: float | None = None,
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress | None = None,
    cancelled: Cancel | None = None,
) -> DictionaryReport:
    """Learn a dictionary from all images of some folders and write it.

    Parameters
    ----------
    kind
        ``"patches"`` or ``"convolutional"``.
    folders
        One or several, of images of either kind, infrared and visible, in any size, depth and colour; not their
        subfolders. A convolutional dictionary is learnt from all of them in memory, 8 bytes a pixel.
    output
        A ``.safetensors`` file; what ``weights=`` of the methods takes.
    atoms, steps
        How many atoms, and steps of learning; 256 and 50, or 32 and 160 for a convolutional dictionary.
    sparsity
        What it is learnt for: the number of atoms that code a patch, 16, or λ of convolutional coding, 0.01.
    seed
        Of everything random.
    overwrite
        Replace an existing file.
    progress, cancelled
        As everywhere.

    Raises
    ------
    ParameterError
        If a number is out of its bounds.
    OutputError
        If the file cannot be written there.
    ImageError
        If a folder is not there, or no image in them can be used.
    Cancelled
        If ``cancelled`` answered True; nothing is written then.
    """
    output = _checked_output(output, overwrite)
    atoms, steps, sparsity = _checked_numbers(kind, atoms, steps, sparsity)
    folders = [folders] if isinstance(folders, str | Path) else folders
    paths = images_in([Path(folder).expanduser() for folder in folders])
    if not paths:
        raise ImageError("Say where the images are that the dictionary is to be learnt from.")
    left_out: list[str] = []
    read = read_image_files(paths, left_out, progress, cancelled)
    images = (torch.from_numpy(luma) for _, luma in read)
    error = None
    if kind == "patches":
        patches = _sampled(images, len(paths), seed)
        learnt = learn_patches(
            patches,
            atoms=atoms,
            sparsity=int(sparsity),
            steps=steps,
            seed=seed,
            progress=progress,
            cancelled=cancelled,
        )
        error = _relative_error(patches[:: max(1, len(patches) // _MEASURED)], learnt.flatten(1), int(sparsity))
    else:
        learnt = learn_convolutional(
            _checked(list(images)),
            filters=atoms,
            sparsity=sparsity,
            steps=steps,
            seed=seed,
            progress=progress,
            cancelled=cancelled,
        )
    write_atomically(output, lambda target: write_dictionary(target, learnt))
    return DictionaryReport(output, tuple(learnt.shape), len(paths) - len(left_out), tuple(left_out), error)


def _checked_output(output: str | Path, overwrite: bool) -> Path:
    output = Path(output)
    if output.suffix.lower() != ".safetensors":
        raise OutputError(f"{output.name}: dictionaries are written as safetensors; end the name in .safetensors.")
    return check_file(output, overwrite=overwrite)


def _checked_numbers(kind: str, atoms: int | None, steps: int | None, sparsity: float | None) -> tuple[int, int, float]:
    if kind not in get_args(DictionaryKind):
        raise ParameterError(f"A dictionary is of kind {' or '.join(get_args(DictionaryKind))}; got {kind!r}.")
    defaults = _DEFAULTS[kind]
    atoms, steps = defaults[0] if atoms is None else atoms, defaults[1] if steps is None else steps
    sparsity = defaults[2] if sparsity is None else sparsity
    for name, value, most in (("atoms", atoms, _MOST_ATOMS), ("steps", steps, _MOST_STEPS)):
        if not (isinstance(value, int) and 1 <= value <= most):
            raise ParameterError(f"{name} takes a whole number from 1 to {most}; got {value}.")
    if kind == "patches" and not (1 <= sparsity <= _PATCH**2 and sparsity == int(sparsity)):
        raise ParameterError(f"sparsity of patches takes a whole number from 1 to {_PATCH**2}; got {sparsity:g}.")
    if kind == "convolutional" and not 0 < sparsity <= 10:
        raise ParameterError(f"sparsity of convolutional coding takes a number above 0, to 10; got {sparsity:g}.")
    return atoms, steps, float(sparsity)


def _sampled(images: Iterator[torch.Tensor], count: int, seed: int) -> torch.Tensor:
    """Take patches at random, as many from each image."""
    generator = torch.Generator().manual_seed(seed)
    each = -(-_SAMPLED // count)
    patches = _checked([sample(image, _PATCH, each, generator) for image in images])
    return torch.cat(patches)


def _checked(images: list[torch.Tensor]) -> list[torch.Tensor]:
    if not images:
        raise ImageError("No image in the folders can be used to learn a dictionary from.")
    return images


def _relative_error(patches: torch.Tensor, atoms: torch.Tensor, sparsity: int) -> float:
    coded = omp(patches, atoms, sparsity).dense(len(atoms)) @ atoms
    norms = patches.norm(dim=1)
    lit = norms > 0
    return float(((patches - coded).norm(dim=1)[lit] / norms[lit]).mean())
