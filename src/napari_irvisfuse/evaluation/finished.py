"""Values that were measured already, in a file that grows by a line whenever one is done."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from napari_irvisfuse.errors import OutputError

__all__ = ["Finished", "Key", "digest"]

_FORMAT = 1
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Key:
    """What a value hangs on, beside the metric.

    Parameters
    ----------
    image, method, profile
        Names.
    inputs
        Digest of everything that went in, see :func:`digest`.
    """

    image: str
    method: str
    profile: str
    inputs: str


def digest(files: Iterable[Path], *words: str) -> str:
    """Return a hash of the contents of files, of words, and of this package's version.

    Contents, not times of change: a data set that was copied or unpacked anew is the same, an edited file never is.

    Raises
    ------
    OSError
        If a file cannot be read.
    """
    whole = hashlib.blake2b(digest_size=16)
    for path in files:
        single = hashlib.blake2b(digest_size=16)
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                single.update(block)
        whole.update(single.digest())
    whole.update("\0".join((version("napari-irvisfuse"), *words)).encode())
    return whole.hexdigest()


class Finished:
    """The file of finished values, safe for use from several threads; use it in a ``with`` block.

    Parameters
    ----------
    path
        A file of JSON lines, made when the first value is added; None keeps nothing.

    Raises
    ------
    OutputError
        If it cannot be read, or is another kind of file.
    """

    def __init__(self, path: str | Path | None) -> None:
        self._path = None if path is None else Path(path).expanduser()
        self._lock = threading.Lock()
        self._file: TextIO | None = None
        self._known: dict[Key, dict[str, float]] = {}
        self._torn = False
        if self._path is not None:
            self._load(self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def find(self, key: Key) -> Mapping[str, float]:
        """Return what is known, metric name to value."""
        return self._known.get(key, {})

    def add(self, key: Key, values: Mapping[str, float]) -> None:
        """Keep values; they are on their way to the disk when this returns.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        if self._path is None:
            return
        entry = {"image": key.image, "method": key.method, "profile": key.profile, "inputs": key.inputs}
        line = json.dumps({**entry, "values": dict(values)}, ensure_ascii=False)
        with self._lock:
            try:
                if self._file is None:
                    self._file = self._open(self._path)
                self._file.write(line + "\n")
                self._file.flush()
            except OSError as error:
                raise OutputError(f"{self._path} cannot be written ({error.strerror or error}).") from error

    def _open(self, path: Path) -> TextIO:
        started = path.exists() and path.stat().st_size > 0
        file = path.open("a", encoding="utf-8", newline="\n")
        if not started:
            file.write(json.dumps({"irvisfuse_finished": _FORMAT}) + "\n")
        elif self._torn:
            file.write("\n")
        return file

    def _load(self, path: Path) -> None:
        if not path.parent.is_dir():
            raise OutputError(f"There is no folder {path.parent} to write {path.name} into.")
        if not path.exists():
            return
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise OutputError(f"{path} cannot be read ({error.strerror or error}).") from error
        first, *lines = text.split("\n")
        if text and _parse(first).get("irvisfuse_finished") != _FORMAT:
            raise OutputError(f"{path} holds something else than the values of an earlier run: move it away.")
        self._torn = bool(text) and not text.endswith("\n")
        for line in lines:
            entry = _parse(line)
            try:
                key = Key(*(str(entry[name]) for name in ("image", "method", "profile", "inputs")))
                values = {str(name): float(value) for name, value in entry["values"].items()}
            except (KeyError, TypeError, ValueError, AttributeError):
                continue  # the run ended in the middle of this line: it is measured again
            self._known.setdefault(key, {}).update(values)


def _parse(line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}
