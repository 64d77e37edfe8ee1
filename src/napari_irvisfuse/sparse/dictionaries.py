"""The dictionaries that come with the package, and those that users learnt themselves."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import as_file, files
from pathlib import Path

import torch

from napari_irvisfuse.errors import WeightsError
from napari_irvisfuse.weights import store

__all__ = ["load_dictionary", "read_dictionary", "shipped_dictionaries", "write_dictionary"]

_TENSOR = "dictionary"
_SUFFIX = ".safetensors"
_SHIPPED = files(__package__) / "shipped"


def shipped_dictionaries() -> tuple[str, ...]:
    """Return the names of the dictionaries in the package, each with a model card beside it."""
    return tuple(sorted(item.name.removesuffix(_SUFFIX) for item in _SHIPPED.iterdir() if item.name.endswith(_SUFFIX)))


@lru_cache
def load_dictionary(name: str) -> torch.Tensor:
    """Return a dictionary that comes with the package.

    Parameters
    ----------
    name
        ``"convsr"``: ``(32, 8, 8)``, filters of norm 1. Others as their model cards say.

    Returns
    -------
    float32, on the CPU; kept between calls, so not to be written to.

    Raises
    ------
    WeightsError
        If there is none of that name.
    """
    known = shipped_dictionaries()
    if name not in known:
        raise WeightsError(f"There is no dictionary {name!r}: choose one of {', '.join(known)}.")
    with as_file(_SHIPPED / f"{name}{_SUFFIX}") as path:
        return read_dictionary(path).clone()  # the file may be gone when the context ends


def read_dictionary(path: Path) -> torch.Tensor:
    """Read a dictionary that :func:`write_dictionary` wrote, or any weights file with one tensor in it.

    Raises
    ------
    WeightsError
        If the file cannot be read or holds anything else.
    """
    tensors = list(store.load_state_dict(path).values())
    if len(tensors) != 1 or not tensors[0].is_floating_point() or not bool(tensors[0].isfinite().all()):
        raise WeightsError(f"{path} holds no dictionary: a file with one tensor of numbers is needed.")
    return tensors[0].float()


def write_dictionary(path: Path, dictionary: torch.Tensor) -> None:
    """Write a dictionary as safetensors, for :func:`read_dictionary`."""
    from safetensors.torch import save_file

    save_file({_TENSOR: dictionary.detach().cpu().float().contiguous()}, path)
