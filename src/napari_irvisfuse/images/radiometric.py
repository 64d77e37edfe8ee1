"""Radiometric JPEGs: what a FLIR camera measured, its photograph of the scene, and where the two lie."""

from __future__ import annotations

import io
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_irvisfuse.errors import ImageError, ParameterError

from .files import read_image
from .flir import is_radiometric, read_records
from .scale import read_scale
from .thermography import ZERO_CELSIUS, Atmosphere, Conditions, Planck, temperatures_of

__all__ = ["RadiometricImage", "infrared_unit", "is_radiometric", "read_infrared", "read_radiometric"]

_RAW, _PHOTO, _CAMERA, _OVERLAY = 0x01, 0x0E, 0x20, 0x2A  # records
_IMAGE = 32  # bytes before an image in its record
_LARGEST = 1 << 26  # pixels: four times those of any camera's photograph, and no more than memory holds
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"


@dataclass(frozen=True, eq=False)
class RadiometricImage:
    """What one file of a thermal camera holds.

    Parameters
    ----------
    counts
        ``(H, W)`` uint16, as the sensor gave them.
    visible
        The camera's photograph, ``(h, w, 3)`` uint8, or None.
    ir_to_visible
        Where the camera says that the infrared image lies on the photograph: 3×3, from (row, column, 1) of the one to
        that of the other, pixel centres at whole numbers; None if it does not say. Right for one distance and no
        more than a start for others.
    planck, atmosphere
        The camera's calibration.
    conditions
        Emissivity, distance and so on, as set in the camera.
    camera
        Its name, or empty.
    """

    counts: npt.NDArray[np.uint16]
    visible: npt.NDArray[np.uint8] | None
    ir_to_visible: npt.NDArray[np.float64] | None
    planck: Planck
    atmosphere: Atmosphere
    conditions: Conditions
    camera: str = ""

    def celsius(self, **conditions: float | None) -> npt.NDArray[np.float32]:
        """Return the temperatures, ``(H, W)`` float32 in °C, NaN where there can be none.

        Parameters
        ----------
        **conditions
            Instead of what was set in the camera: ``emissivity``, ``distance`` (m), ``reflected_temperature``,
            ``atmospheric_temperature`` (°C), ``relative_humidity`` (0 to 1), ``window_temperature`` (°C),
            ``window_transmission``.

        Raises
        ------
        ParameterError
            For an unknown name, or a value that cannot be.
        """
        return temperatures_of(self.counts, self.planck, self.atmosphere, self.conditions.changed(**conditions))


def read_radiometric(path: str | Path) -> RadiometricImage:
    """Read a radiometric JPEG of a FLIR camera.

    Parameters
    ----------
    path
        The file as the camera wrote it; image editors and messengers throw the thermal data away.

    Raises
    ------
    ImageError
        If there is no such file, no thermal data in it, or they are damaged.

    Examples
    --------
    >>> thermal = nif.read_radiometric("FLIR0001.jpg")  # doctest: +SKIP
    >>> thermal.celsius(emissivity=0.98).max()  # doctest: +SKIP
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise ImageError(f"There is no image file {path}.")
    try:
        records = read_records(path)
        if _RAW not in records:
            raise ImageError(
                f"{path} has no thermal image in its camera's data: it is no radiometric JPEG, or damaged."
            )
        if _CAMERA not in records:
            raise ImageError(f"{path} says nothing about its camera, so that its counts cannot become temperatures.")
        counts = _counts(records[_RAW])
        photo = _photo(records[_PHOTO]) if _PHOTO in records else None
        planck, atmosphere, conditions, camera = _camera(records[_CAMERA])
        alignment = None
        if photo is not None and _OVERLAY in records:
            alignment = _alignment(records[_OVERLAY], counts.shape, photo.shape)
    except ImageError:
        raise
    except OSError as error:
        raise ImageError(f"{path} cannot be read ({error.strerror or error}).") from error
    except Exception as error:  # damaged bytes, by way of struct, imagecodecs or Pillow
        raise ImageError(f"{path} is damaged: its thermal data cannot be read ({error}).") from error
    return RadiometricImage(counts, photo, alignment, planck, atmosphere, conditions, camera)


def read_infrared(path: str | Path) -> npt.NDArray[Any]:
    """Read an infrared image: °C from a radiometric JPEG, anything else as it is stored.

    Raises
    ------
    ImageError
        As :func:`read_image` and :func:`read_radiometric`, and if what was set in the camera cannot be.
    """
    if not is_radiometric(path):
        return read_image(path)
    try:
        return read_radiometric(path).celsius()
    except ParameterError as error:
        raise ImageError(
            f"{path}, as its camera was set: {error} Put it right with irvisfuse thermal,"
            " or nif.read_radiometric(path).celsius(…)."
        ) from error


def infrared_unit(path: str | Path) -> str:
    """Return the unit of what :func:`read_infrared` reads, for example ``"°C"``; empty if the file does not say."""
    return "°C" if is_radiometric(path) else read_scale(path).value_unit


def _counts(record: bytes) -> npt.NDArray[np.uint16]:
    import imagecodecs

    order, width, height = _size(record)
    data = record[_IMAGE:]
    if not data.startswith(_PNG):
        needed = 2 * width * height
        if len(data) < needed:
            raise ValueError(f"the thermal image has {len(data)} of {needed} bytes")
        return np.frombuffer(data, f"{order}u2", width * height).reshape(height, width).astype(np.uint16)
    _check_png(data, width, height)
    stored = np.asarray(imagecodecs.png_decode(data))
    # Most cameras put their own byte order into a PNG, which has another; which it was, the picture tells: with the
    # bytes swapped, neighbours have nothing in common.
    swapped = stored.byteswap()
    return swapped if _roughness(swapped) <= _roughness(stored) else stored


def _roughness(image: npt.NDArray[np.uint16]) -> float:
    return float(np.abs(np.diff(image.astype(np.int32), axis=-1)).mean())


def _photo(record: bytes) -> npt.NDArray[np.uint8]:
    from PIL import Image

    _, width, height = _size(record)
    data = record[_IMAGE:]
    if not data.startswith((_PNG, _JPEG)):
        raise ValueError("the photograph is neither JPEG nor PNG")
    with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as stored:
        if stored.size != (width, height):  # before anything is decompressed
            raise ValueError(f"the photograph is {stored.size}, not {(width, height)}")
        picture: Image.Image = stored
        if stored.format == "PNG" and stored.mode == "RGB":
            # three bytes a pixel are Y, Cb and Cr by definition, and PNG has no way to say so
            picture = Image.frombytes("YCbCr", stored.size, stored.tobytes())
        return np.asarray(picture.convert("RGB"))


def _size(record: bytes) -> tuple[str, int, int]:
    """Return byte order, width and height of an image record, which begins with its bytes per pixel."""
    order = "<" if struct.unpack_from("<H", record)[0] < 0x100 else ">"
    width, height = struct.unpack_from(f"{order}HH", record, 2)
    if not 0 < width * height <= _LARGEST:
        raise ValueError(f"an image of {width}×{height} pixels cannot be")
    return order, width, height


def _check_png(data: bytes, width: int, height: int) -> None:
    """Compare the size before anything is decompressed."""
    *size, depth, colour = struct.unpack_from(">IIBB", data, 16)
    if (*size, depth, colour) != (width, height, 16, 0):
        raise ValueError(f"the thermal image is {size}, {depth} bit, not {(width, height)}, 16 bit and grey")


def _camera(record: bytes) -> tuple[Planck, Atmosphere, Conditions, str]:
    order = "<" if struct.unpack_from("<H", record)[0] < 0x100 else ">"

    def floats(offset: int, count: int) -> tuple[float, ...]:
        return struct.unpack_from(f"{order}{count}f", record, offset)

    emissivity, distance, *kelvins, transmission = floats(0x20, 6)
    (humidity,) = floats(0x3C, 1)
    o, r2 = struct.unpack_from(f"{order}if", record, 0x308)
    r1, b, f = floats(0x58, 3)
    planck = Planck(r1, b, f, o, r2)
    atmosphere = Atmosphere(*floats(0x70, 5))
    constants = (r1, b, f, r2, atmosphere.alpha1, atmosphere.alpha2, atmosphere.beta1, atmosphere.beta2, atmosphere.x)
    if not all(map(math.isfinite, constants)) or min(r1, b, r2) <= 0:
        raise ValueError(f"the camera's calibration makes no sense: R1 {r1:g}, R2 {r2:g}, B {b:g}")
    reflected, air, window = (_as_typed(kelvin) - ZERO_CELSIUS for kelvin in kelvins)
    humidity = _as_typed(humidity)
    conditions = Conditions(
        emissivity=_as_typed(emissivity),
        distance=_as_typed(distance),
        reflected_temperature=round(reflected, 4),
        atmospheric_temperature=round(air, 4),
        relative_humidity=humidity / 100 if humidity > 2 else humidity,  # some files have percent
        window_temperature=round(window, 4),
        window_transmission=_as_typed(transmission),
    )
    name = record[0xD4:0xF4].split(b"\x00")[0].decode("ascii", "ignore").strip()
    return planck, atmosphere, conditions, name if any(map(str.isalnum, name)) else ""


def _as_typed(value: float) -> float:
    """Return the number that was set: 0.95 is stored as 0.949999988."""
    return float(str(np.float32(value)))


def _alignment(
    record: bytes, ir_shape: tuple[int, ...], visible_shape: tuple[int, ...]
) -> npt.NDArray[np.float64] | None:
    """Return the matrix, in (row, column) order, of what the camera uses for its picture in picture.

    The infrared image lies with its middle on that of the photograph, shifted by OffsetX and OffsetY of the
    photograph's pixels; the photograph shows Real2IR times as much of the scene across.
    """
    # the record does not say its byte order, but in the wrong one the ratio is rubbish; so it is where there is none
    readings = (struct.unpack_from(f"{order}fhh", record) for order in "<>")
    ratio, right, down = next((reading for reading in readings if 0.05 < reading[0] < 20), (math.nan, 0, 0))
    if math.isnan(ratio):
        return None
    scale = visible_shape[1] / ir_shape[1] / ratio
    # the middle of n pixels is at (n − 1) / 2, since their centres are at whole numbers
    rows, columns = (
        (there - 1) / 2 + shift - scale * (here - 1) / 2
        for here, there, shift in zip(ir_shape, visible_shape, (down, right), strict=False)
    )
    return np.array([[scale, 0, rows], [0, scale, columns], [0, 0, 1]])
