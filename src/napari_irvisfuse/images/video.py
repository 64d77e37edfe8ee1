"""Films in and out, through PyAV: any frame by its number, and H.264 that plays everywhere."""

from __future__ import annotations

from bisect import bisect_right
from fractions import Fraction
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_irvisfuse.errors import FusionError, ImageError, OutputError

from .frames import Frames, Index

__all__ = ["DEFAULT_RATE", "VideoWriter", "open_video", "require_av"]

DEFAULT_RATE = 25.0
"""Frames per second of a film whose frames come without a clock."""
_QUALITY = "16"  # of x264, 0 … 51: hardly to be told from the original
_BT709 = 1


def require_av() -> Any:
    """Import PyAV.

    Raises
    ------
    FusionError
        If it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise FusionError("Films need the package PyAV: pip install 'napari-irvisfuse[video]'.") from error
    return av


def open_video(path: Path) -> Frames:
    """Open a film; every frame can be asked for by its number, and in order they are read fastest.

    Parameters
    ----------
    path
        Whatever FFmpeg reads. Grey films give ``(H, W)``, all others ``(H, W, 3)``; uint8, or uint16 where a film has
        more than 8 bits (10 bits then fill the 16).

    Raises
    ------
    ImageError
        If there is no such film, or no picture in it.
    """
    film = _Film(path)
    return Frames((film.count,), film.frame_shape, film.dtype, film.read, rate=film.rate)


class _Film:
    """One open film and where it stands.

    The times of all frames are listed without decoding anything, so that a number means the same frame however it is
    come by: containers only know times, and their own counts of frames are often wrong.
    """

    def __init__(self, path: Path) -> None:
        self._av, self.path = require_av(), path
        self._position: int | None = None  # number of the frame that comes next, None before the first
        self._lock = Lock()  # one decoder, one place in the film
        if not path.is_file():
            raise ImageError(f"There is no film {path}.")
        try:
            self._open()
            packets = [(packet.pts, packet.is_keyframe) for packet in self._container.demux(self._stream)]
        except (self._av.FFmpegError, IndexError) as error:
            raise ImageError(f"{path} cannot be read as a film ({_first_line(error)}).") from error
        timed = sorted((pts, key) for pts, key in packets if pts is not None)
        self._times = [pts for pts, _ in timed]
        self._keys = [number for number, (_, key) in enumerate(timed) if key]
        self.count = len(timed)
        rate = self._stream.average_rate
        self.rate = float(rate) if rate else None
        layout = self._stream.codec_context.format
        if layout is None or not self.count:
            raise ImageError(f"{path} holds no pictures.")
        deep = max(part.bits for part in layout.components) > 8
        grey = layout.name.startswith("gray")
        self._layout = ("gray16le" if deep else "gray") if grey else ("rgb48le" if deep else "rgb24")
        self.dtype = np.dtype(np.uint16 if deep else np.uint8)
        first = self.read((0,))
        self.frame_shape = first.shape

    def read(self, index: Index) -> npt.NDArray[Any]:
        """Decode one frame: the next one at once, another one from the key frame before it."""
        with self._lock:
            return self._read(*index)

    def _read(self, number: int) -> npt.NDArray[Any]:
        try:
            if self._position is None or not self._position <= number or self._key_of(number) > self._position:
                self._seek(number)
            for frame in self._decoding:
                if frame.pts is not None and frame.pts >= self._times[number]:
                    self._position = number + 1
                    return self._to_array(frame)
        except self._av.FFmpegError as error:
            raise ImageError(f"Frame {number} of {self.path} cannot be read ({_first_line(error)}).") from error
        self._position = None
        raise ImageError(f"Frame {number} of {self.path} cannot be read: the film ends before it.")

    def _open(self) -> None:
        self._container = self._av.open(str(self.path))
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"

    def _key_of(self, number: int) -> int:
        place = bisect_right(self._keys, number)
        return self._keys[place - 1] if place else 0

    def _seek(self, number: int) -> None:
        self._container.seek(self._times[self._key_of(number)], stream=self._stream)
        self._decoding = self._container.decode(self._stream)
        self._position = number

    def _to_array(self, frame: Any) -> npt.NDArray[Any]:
        array: npt.NDArray[Any] = frame.to_ndarray(format=self._layout)
        turns = round(getattr(frame, "rotation", 0) / 90) % 4  # as the camera was held
        return np.rot90(array, turns) if turns else array


class VideoWriter:
    """An H.264 film that is written frame by frame.

    Parameters
    ----------
    path
        Ends in ``.mp4``, ``.mov`` or ``.mkv``.
    frame_shape
        ``(H, W)`` or ``(H, W, 3 or 4)``. Players want even sides: an odd one gets its last line of pixels twice.
    rate
        Frames per second.
    """

    def __init__(self, path: Path, frame_shape: tuple[int, ...], rate: float) -> None:
        av = require_av()
        self._av = av
        height, width = frame_shape[:2]
        self._pad = ((0, height % 2), (0, width % 2))
        # whatever the temporary file is called, the container goes by the name's ending
        self._container = av.open(str(path), "w")
        self._stream = self._container.add_stream("libx264", rate=_fraction(rate))
        self._stream.height, self._stream.width = height + height % 2, width + width % 2
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {"crf": _QUALITY}
        self._stream.codec_context.colorspace = _BT709
        self._stream.codec_context.color_range = _BT709  # MPEG's limited range, also number 1

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if kind is None:
                self._container.mux(self._stream.encode())
        finally:
            self._container.close()

    def add(self, frame: npt.NDArray[np.uint8]) -> None:
        """Write the next frame, ``(H, W)`` or ``(H, W, 3 or 4)`` uint8; alpha is left out.

        Raises
        ------
        OutputError
            If the encoder refuses.
        """
        colour = frame if frame.ndim == 3 else np.repeat(frame[..., None], 3, axis=2)
        colour = np.pad(colour[..., :3], (*self._pad, (0, 0)), mode="edge")
        picture = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(colour), format="rgb24")
        picture = picture.reformat(format="yuv420p", dst_colorspace="ITU709")
        try:
            self._container.mux(self._stream.encode(picture))
        except self._av.FFmpegError as error:
            raise OutputError(f"The film cannot be written ({_first_line(error)}).") from error


def _fraction(rate: float) -> Fraction:
    """Return a rate as films have them, such as 30000/1001; of slow ones, the time between two frames is so."""
    return Fraction(rate).limit_denominator(1001) if rate >= 1 else 1 / Fraction(1 / rate).limit_denominator(1001)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
