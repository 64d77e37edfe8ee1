"""The container that FLIR's cameras hide in their JPEGs: APP1 segments that, put together, hold numbered records.

Structure as documented by ExifTool (https://exiftool.org/TagNames/FLIR.html). Files come from anywhere, so every
length and offset is checked before it is followed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from napari_irvisfuse.errors import ImageError

__all__ = ["is_radiometric", "read_records"]

_SIGNATURE = b"FLIR\x00"
_HEADER = 8  # signature, 1, number of this part, number of the last part
_APP1, _END, _SCAN = 0xE1, 0xD9, 0xDA
_SEGMENTS = 4096  # of a JPEG, before its pixels: no camera writes more than a few hundred
_DIRECTORY, _ENTRY = 0x40, 0x20
_RECORDS = 1024


def is_radiometric(path: str | Path) -> bool:
    """Tell whether a file is a JPEG with FLIR's thermal data; reads a few bytes of each segment before the pixels.

    False too for what is no file, or cannot be read.
    """
    try:
        with Path(path).expanduser().open("rb") as stream:
            return next(_parts(stream), None) is not None
    except (OSError, ValueError):  # no such file, or no such name
        return False


def read_records(path: Path) -> dict[int, bytes]:
    """Read the records of a radiometric JPEG.

    Parameters
    ----------
    path
        Of a file that exists.

    Returns
    -------
    dict
        Contents by the record's type. Records that do not lie in the file are left out; of several of one type the
        first counts.

    Raises
    ------
    ImageError
        If there are none, or parts are missing.
    """
    parts: dict[int, bytes] = {}
    last = 0
    with path.open("rb") as stream:
        for number, final, length in _parts(stream):
            last = max(last, final)
            if number not in parts:
                parts[number] = stream.read(length)
    if not parts:
        raise ImageError(f"{path} holds no thermal data of a FLIR camera: it is no radiometric JPEG.")
    missing = [number for number in range(last + 1) if number not in parts]
    if missing:
        raise ImageError(
            f"{path} is damaged: part {missing[0] + 1} of {last + 1} of its thermal data is missing."
            " Copy it from the camera again."
        )
    return _split(b"".join(parts[number] for number in sorted(parts)), path)


def _parts(stream: BinaryIO) -> Iterator[tuple[int, int, int]]:
    """Yield number, last number and length of each FLIR segment, the stream at its contents."""
    for marker, start, length in _segments(stream):
        if marker != _APP1 or length <= _HEADER:
            continue
        head = stream.read(_HEADER)
        if head.startswith(_SIGNATURE) and len(head) == _HEADER:
            yield head[6], head[7], length - _HEADER
        stream.seek(start)


def _segments(stream: BinaryIO) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and length of the segments before the pixels, the stream at the start of their contents."""
    if stream.read(2) != b"\xff\xd8":
        return
    for _ in range(_SEGMENTS):
        head = stream.read(4)
        while head.startswith(b"\xff\xff"):  # padding
            head = head[1:] + stream.read(1)
        if len(head) < 4 or head[0] != 0xFF or head[1] in (_END, _SCAN):
            return
        length = int.from_bytes(head[2:], "big") - 2
        if length < 0:
            return
        start = stream.tell()
        yield head[1], start, length
        stream.seek(start + length)


def _split(data: bytes, path: Path) -> dict[int, bytes]:
    if data[:4] not in (b"FFF\x00", b"AFF\x00") or len(data) < _DIRECTORY:
        raise ImageError(f"{path} has thermal data in a form that is not known: save it as FLIR radiometric JPEG.")
    order = ">" if 100 <= struct.unpack_from(">I", data, 0x14)[0] < 200 else "<"
    offset, count = struct.unpack_from(f"{order}II", data, 0x18)
    records: dict[int, bytes] = {}
    for number in range(min(count, _RECORDS)):
        entry = offset + number * _ENTRY
        if entry + _ENTRY > len(data):
            break
        kind, _, _, _, start, length = struct.unpack_from(f"{order}HHIIII", data, entry)
        if kind and kind not in records and length and start + length <= len(data):
            records[kind] = data[start : start + length]
    return records
