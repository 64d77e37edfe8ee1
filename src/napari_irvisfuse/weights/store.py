"""The one place that finds weights files: in the package, in our cache, in torch's, as a local file, or by a download."""

from __future__ import annotations

import hashlib
import os
import pickle
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from napari_irvisfuse.errors import WeightsError
from napari_irvisfuse.types import Cancel, Progress

from .download import download
from .shipped import SHIPPED, SHIPPED_FOLDER

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "WeightsEntry",
    "cache_dir",
    "entries",
    "fetch",
    "find",
    "load_metadata",
    "load_state_dict",
    "resolve",
    "sha256_of",
]

# torchvision's own table, so that looking a file up does not import it; a test compares the two.
_ADDRESS = "https://download.pytorch.org/models/"
_BACKBONES = (
    # name, network, title, file, size in bytes, torchvision's name
    ("resnet152", "resnet152", "ResNet-152 (ImageNet, V1)", "resnet152-394f9c45.pth", 241_627_562, "ResNet152_Weights.IMAGENET1K_V1"),
    ("resnet152-v2", "resnet152", "ResNet-152 (ImageNet, V2)", "resnet152-f82ba261.pth", 241_669_505, "ResNet152_Weights.IMAGENET1K_V2"),
    ("resnet101", "resnet101", "ResNet-101 (ImageNet)", "resnet101-63fe2227.pth", 178_793_742, "ResNet101_Weights.IMAGENET1K_V1"),
    ("resnet50", "resnet50", "ResNet-50 (ImageNet)", "resnet50-0676ba61.pth", 102_530_810, "ResNet50_Weights.IMAGENET1K_V1"),
    ("vgg19", "vgg19", "VGG-19 (ImageNet)", "vgg19-dcbb9e9d.pth", 574_673_125, "VGG19_Weights.IMAGENET1K_V1"),
)  # fmt: skip
_NOBODYS = {
    "transfusion": "Nobody has published weights for the full TransFusion network: choose a weights file of your own or"
    " the authors', or train it with irvisfuse train transfusion --preset full.",
}
"""Weights that a method asks for and that only its user can have; what to tell who has none."""
_LICENCE = "BSD-3-Clause (torchvision); trained on ImageNet, whose terms ask for non-commercial research use"


@dataclass(frozen=True)
class WeightsEntry:
    """A published weights file.

    Attributes
    ----------
    name, network, title
        Our name for it, the network it belongs to, and what a person is shown.
    filename, url
        Its name in the cache, and where it is fetched; no address if it is a part of this package.
    sha256
        The first digits of its SHA-256 (torchvision writes eight of them into the file's name).
    size_bytes
        Its size for people to see, rounded to a kilobyte as torchvision states it.
    licence, source
        Its terms, and who published it.
    shipped
        Whether it is a part of this package, so that nothing has to be fetched.
    """

    name: str
    network: str
    title: str
    filename: str
    url: str
    sha256: str
    size_bytes: int
    licence: str
    source: str
    shipped: bool = False


def cache_dir() -> Path:
    """Return our cache folder, which may not exist yet: ``$IRVISFUSE_CACHE``, or where the system keeps caches."""
    chosen = os.environ.get("IRVISFUSE_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("napari-irvisfuse")


def _table() -> tuple[WeightsEntry, ...]:
    return tuple(
        WeightsEntry(
            name=name,
            network=network,
            title=title,
            filename=filename,
            url=_ADDRESS + filename,
            sha256=PurePosixPath(filename).stem.rpartition("-")[2],
            size_bytes=size,
            licence=_LICENCE,
            source=f"torchvision {source}",
        )
        for name, network, title, filename, size, source in _BACKBONES
    ) + tuple(
        WeightsEntry(
            name=item.name,
            network=item.network,
            title=item.title,
            filename=item.filename,
            url="",
            sha256=item.sha256,
            size_bytes=item.size_bytes,
            licence=item.licence,
            source=f"trained for this package; model card {item.card}",
            shipped=True,
        )
        for item in SHIPPED
    )


def entries() -> dict[str, WeightsEntry]:
    """Return all published weights by name."""
    return {entry.name: entry for entry in _table()}


def find(name: str) -> Path | None:
    """Look for published weights on this computer, in our cache and in that of ``torch.hub``.

    Returns
    -------
    Path or None
        A file with the published hash, or None if it has to be downloaded.

    Raises
    ------
    WeightsError
        If there are no weights of this name, or the file in our cache is damaged.
    """
    entry = _entry(name)
    if entry.shipped:
        return _shipped(entry)
    ours = cache_dir() / entry.filename
    if ours.is_file():
        if sha256_of(ours).startswith(entry.sha256):
            return ours
        raise WeightsError(
            f"The weights file {ours} is damaged or not the published one: "
            "delete it to have it downloaded again, or choose it as a weights file of your own."
        )
    import torch

    theirs = Path(torch.hub.get_dir()) / "checkpoints" / entry.filename
    # torch.hub checks only what it downloads itself; a file put there by hand may be anything
    return theirs if theirs.is_file() and sha256_of(theirs).startswith(entry.sha256) else None


def _shipped(entry: WeightsEntry) -> Path:
    path = SHIPPED_FOLDER / entry.filename
    if not path.is_file() or sha256_of(path) != entry.sha256:
        raise WeightsError(f"The weights {entry.name} of this package are missing or damaged: install it again.")
    return path


def fetch(name: str, progress: Progress | None = None, cancelled: Cancel | None = None) -> Path:
    """Find published weights or download them into our cache.

    Raises
    ------
    WeightsError
        As :func:`find`.
    DownloadError
        If they cannot be downloaded; says where to get them and where to put them.
    Cancelled
        If the user stopped the download, which goes on from there the next time.
    """
    found = find(name)
    if found is not None:
        return found
    entry = _entry(name)
    target = cache_dir() / entry.filename
    return download(entry.url, target, sha256=entry.sha256, progress=progress, cancelled=cancelled)


def resolve(
    name: str,
    weights: str | Path | None,
    *,
    progress: Progress | None = None,
    cancelled: Cancel | None = None,
) -> Path:
    """Return the weights file to use: the user's own if given, else the published one, downloaded if need be.

    Raises
    ------
    WeightsError
        If the user's file is not there, or as :func:`find`.
    DownloadError, Cancelled
        As :func:`fetch`.
    """
    if weights is None:
        return fetch(name, progress, cancelled)
    path = Path(weights).expanduser().absolute()
    if path.is_dir():
        raise WeightsError(f"{path} is a folder: choose a weights file in it.")
    if not path.is_file():
        raise WeightsError(f"There is no weights file {path}.")
    return path


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file.

    Hashing 242 MB at every start would take up to a second, so the result is kept in a small file in our cache and is
    good for as long as the file's place, size and time of change stay the same. A disk that forgets bits without
    anybody writing goes unnoticed; an interrupted, replaced or edited file does not.
    """
    try:
        path = path.resolve()
        stat = path.stat()
        return _sha256_of(path, stat.st_mtime_ns, stat.st_size)
    except OSError as error:
        raise WeightsError(f"The weights file {path} cannot be read: {error.strerror or error}.") from error


@lru_cache(maxsize=64)
def _sha256_of(path: Path, mtime_ns: int, size: int) -> str:
    stamp = cache_dir() / f"{path.name}.verified"
    state = f"{size} {mtime_ns} {path}"
    with suppress(OSError, UnicodeDecodeError):
        digest, _, known = stamp.read_text(encoding="utf-8").partition(" ")
        if known == state and len(digest) == 64:
            return digest
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    with suppress(OSError, UnicodeEncodeError):  # a cache that cannot be written only costs time
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.write_text(f"{digest} {state}", encoding="utf-8")
    return digest


def load_state_dict(path: Path) -> dict[str, Tensor]:
    """Read a weights file into CPU memory; code in it is never run.

    Parameters
    ----------
    path
        ``.safetensors``, or anything that ``torch.save`` wrote of a ``state_dict``, also one inside a checkpoint's
        ``"state_dict"`` entry.

    Returns
    -------
    dict of str to Tensor
        Memory-mapped where the format allows it: leave the file in place while the tensors are in use.

    Raises
    ------
    WeightsError
        If the file is missing, damaged, holds code, or holds no weights.
    """
    try:
        path.open("rb").close()  # both readers also raise OSError where the content is at fault
    except OSError as error:
        raise WeightsError(f"The weights file {path} cannot be read: {error.strerror or error}.") from error
    content = _read_safetensors(path) if path.suffix.lower() == ".safetensors" else _read_torch(path)
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    import torch

    if (
        not isinstance(content, Mapping)
        or not content
        or not all(isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in content.items())
    ):
        raise WeightsError(f"{path} holds no network weights: a state_dict, tensors by name, is needed.")
    return dict(content)


def load_metadata(path: Path) -> dict[str, str]:
    """Read what is stored beside the weights in a ``.safetensors`` file; empty if there is nothing, or another format.

    Raises
    ------
    WeightsError
        If the file is missing or damaged.
    """
    if path.suffix.lower() != ".safetensors":
        return {}
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"The weights file {path} is missing, damaged or not a safetensors file.") from error


def _read_safetensors(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path, device="cpu")
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"The weights file {path} is damaged or not a safetensors file.") from error


def _read_torch(path: Path) -> Any:
    import torch

    try:
        # only the zip format, torch's own since 1.6, can be mapped
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        if any(word in str(error) for word in ("GLOBAL", "reduce", "Unsupported class")):
            raise WeightsError(
                f"The weights file {path} contains code and is refused: save only the network's state_dict."
            ) from error
        raise WeightsError(f"{path} is not a weights file.") from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        raise WeightsError(f"The weights file {path} is damaged or not a weights file.") from error


def _entry(name: str) -> WeightsEntry:
    known = entries()
    if name in _NOBODYS:
        raise WeightsError(_NOBODYS[name])
    if name not in known:
        raise WeightsError(
            f"There are no published weights named {name!r}: choose one of {', '.join(known)},"
            " or a weights file of your own."
        )
    return known[name]
