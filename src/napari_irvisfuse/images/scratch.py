"""Arrays that may be larger than memory should be: beyond a limit they are files that nobody has to delete."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from napari_irvisfuse.errors import OutputError

__all__ = ["Scratch"]

_GB = 1e9
_NOT_OFFERED = (errno.EINVAL, errno.EOPNOTSUPP)


class Scratch:
    """Makes new arrays as ``numpy.empty`` does, the first ones in memory, the others in temporary files.

    A file has no name (on Windows: is deleted when it is closed), so it is gone as soon as the last array that looks
    into it is, or the process ends, however that comes.

    Parameters
    ----------
    folder
        Where the files are; made when it is needed. Not the system's folder for temporary files, which on many systems
        is memory.
    in_memory
        Bytes of all arrays together that are kept in memory.
    """

    def __init__(self, folder: Path, in_memory: int) -> None:
        self._folder, self._left = folder, in_memory
        self._on_disk = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What to tell the user: nothing while everything is in memory."""
        if not self._on_disk:
            return ()
        size = self._on_disk / _GB
        return (f"{size:.3g} GB of it lie in temporary files, which are gone when the layers or napari are.",)

    def __call__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """Return an array of this shape and type, its values undefined.

        Raises
        ------
        OutputError
            If there is no room for it on the disk either.
        """
        size = prod(shape) * dtype.itemsize
        if size <= self._left:
            self._left -= size
            return np.empty(shape, dtype)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._folder) as file:
                _reserve(file, size, self._folder)
                array: npt.NDArray[Any] = np.memmap(file, dtype, "r+", shape=shape)  # holds the file by itself
        except OSError as error:
            raise OutputError(
                f"The fused frames take {size / _GB:.3g} GB, for which there is no room in {self._folder}"
                f" ({error.strerror or error}): make room, fuse a part of the image, or write them with irvisfuse fuse."
            ) from error
        self._on_disk += size
        return array


def _reserve(file: IO[bytes], size: int, folder: Path) -> None:
    """Take the room now: writing to a map whose disk is full ends the process."""
    if size > shutil.disk_usage(folder).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    file.truncate(size)
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            if error.errno not in _NOT_OFFERED:  # by this file system
                raise
