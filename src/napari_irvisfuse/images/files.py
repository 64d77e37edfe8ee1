"""Image files in and out, in every bit depth; what is written appears whole or not at all."""

from __future__ import annotations

import secrets
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_irvisfuse.errors import ImageError, OutputError

from .scale import Scale

__all__ = ["WRITABLE", "check_file", "check_output", "read_image", "write_atomically", "write_image"]

WRITABLE = (".png", ".tif", ".tiff")
_TIFF = (".tif", ".tiff")
# Photometric interpretations that tifffile hands out as stored, but that are no brightness: white is 0, palette,
# CMYK, CIELAB. Pillow makes grey or RGB of them.
NO_BRIGHTNESS = (0, 3, 5, 8)
_ORIENTATION = 274  # Exif's number of the tag, and TIFF's


def read_image(path: str | Path) -> npt.NDArray[Any]:
    """Read one image file.

    Parameters
    ----------
    path
        PNG and TIFF in any bit depth; JPEG, BMP, WebP, PGM and whatever else Pillow reads. The orientation that a
        camera stored is applied.

    Returns
    -------
    ndarray
        ``(H, W)`` or ``(H, W, 3 or 4)`` as stored: no scaling, no conversion to 8 bit.

    Raises
    ------
    ImageError
        If there is no such file or it is not an image.
    """
    path = Path(path).expanduser()
    reader = {".png": _read_png, ".tif": _read_tiff, ".tiff": _read_tiff}.get(path.suffix.lower(), _read_other)
    try:
        if path.is_dir():
            raise ImageError(f"{path} is a folder and no image file: name a file in it.")
        if not path.is_file():
            raise ImageError(f"There is no image file {path}.")
        array = reader(path)
    except ImageError:
        raise
    except Exception as error:  # three libraries, each with its own exceptions
        raise ImageError(f"{path} cannot be read as an image ({_first_line(error)}).") from error
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim == 3 and array.shape[2] == 2:  # grey with alpha
        array = array[..., 0]
    return array


def _read_png(path: Path) -> npt.NDArray[Any]:
    import imagecodecs

    data = path.read_bytes()
    return _turned(imagecodecs.png_decode(data), _png_orientation(data))


def _png_orientation(data: bytes) -> int:
    from PIL import Image

    exif, place = Image.Exif(), 8
    while place + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        if kind == b"eXIf":
            with suppress(Exception):  # a note that is damaged makes no picture unreadable
                exif.load(data[place + 8 : place + 8 + length])
            break
        place += 12 + length
    return int(exif.get(_ORIENTATION, 1))


def _read_tiff(path: Path) -> npt.NDArray[Any]:
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        if not tiff.pages:
            raise ImageError(f"{path} holds no image.")
        series = tiff.series[0]
        page = series.keyframe
        inverted = page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and page.bitspersample > 8
        if inverted and page.sampleformat != tifffile.SAMPLEFORMAT.UINT:
            raise ImageError(
                f"{path} says that white is 0 and holds {page.dtype} numbers, of which none is black:"
                " save it with black as 0 (BlackIsZero)."
            )
        if inverted or page.photometric not in NO_BRIGHTNESS:
            array = np.asarray(series.asarray())
            if inverted:  # Pillow knows this up to 8 bit only
                array = array.dtype.type(2**page.bitspersample - 1) - array
            # planar colour (3, H, W) is one picture, not a stack
            if array.ndim == 3 and series.axes.startswith("S"):
                array = np.moveaxis(array, 0, -1)
            tag = page.tags.get(_ORIENTATION)
            single = array.ndim == 2 or (array.ndim == 3 and "S" in series.axes)
            return _turned(array, int(tag.value)) if tag is not None and single else array
    return _read_other(path)


def _turned(array: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Return an image as the camera was held, by Exif's eight orientations."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return array


def _read_other(path: Path) -> npt.NDArray[Any]:
    from PIL import Image, ImageOps

    with Image.open(path) as opened:
        picture = ImageOps.exif_transpose(opened)
        if picture.mode in ("P", "CMYK", "YCbCr", "LAB", "HSV"):
            picture = picture.convert("RGBA" if "transparency" in picture.info else "RGB")
        array = np.asarray(picture)
        # 16 bit of formats such as PGM
        return array.astype(np.uint16) if picture.mode == "I" and 0 <= array.min() <= array.max() <= 0xFFFF else array


def check_output(path: str | Path, *, overwrite: bool) -> Path:
    """Refuse early what could not be written at the end of a long job.

    Raises
    ------
    OutputError
        If the file exists and may not be overwritten, the folder does not exist, or the format is not supported.
    """
    path = Path(path).expanduser()
    if path.suffix.lower() not in WRITABLE:
        raise OutputError(f"{path.name}: results are written as PNG or TIFF; end the name in {', '.join(WRITABLE)}.")
    return check_file(path, overwrite=overwrite)


def check_file(path: str | Path, *, overwrite: bool) -> Path:
    """Refuse a file of any kind that could not be written.

    Raises
    ------
    OutputError
        If it exists and may not be overwritten, or its folder does not exist.
    """
    path = Path(path).expanduser()
    if not path.parent.is_dir():
        raise OutputError(f"There is no folder {path.parent} to write {path.name} into.")
    if path.is_dir():
        raise OutputError(f"{path} is a folder: choose another name.")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already: choose another name or say overwrite.")
    return path


def write_image(
    path: str | Path, array: npt.NDArray[Any], *, overwrite: bool = False, scale: Scale | None = None
) -> Path:
    """Write one image as PNG or TIFF in its own bit depth.

    Parameters
    ----------
    path
        Ends in ``.png``, ``.tif`` or ``.tiff``. PNG holds bool (as 0/255), uint8 and uint16; TIFF floats too.
    array
        ``(H, W)`` or ``(H, W, 3 or 4)``.
    overwrite
        Replace an existing file.
    scale
        Size of the pixels and unit of the values, see :func:`~napari_irvisfuse.images.scale.read_scale`; TIFF keeps it.

    Raises
    ------
    OutputError
        If the file exists, the folder does not, or the format cannot hold the data.
    """
    path = check_output(path, overwrite=overwrite)
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (3, 4)):
        raise OutputError(f"An image has shape (height, width) or (height, width, 3 or 4); got {array.shape}.")
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    if path.suffix.lower() in _TIFF:
        import tifffile

        colour = array.ndim == 3

        def write(target: Path) -> None:
            options: dict[str, Any] = {"photometric": "rgb" if colour else "minisblack", "compression": "zlib"}
            if colour and array.shape[-1] == 4:
                options["extrasamples"] = ["unassalpha"]
            tifffile.imwrite(target, array, **options, **(scale or Scale()).tiff_options())

    else:
        if array.dtype not in (np.uint8, np.uint16):
            raise OutputError(f"PNG cannot hold {array.dtype}: write {path.stem}.tif instead.")

        def write(target: Path) -> None:
            import imagecodecs

            target.write_bytes(imagecodecs.png_encode(array))

    return write_atomically(path, write)


def write_atomically(path: Path, write: Callable[[Path], object]) -> Path:
    """Let ``write`` fill a temporary file beside ``path``, then rename it: readers never see half a file.

    Raises
    ------
    OutputError
        If the system refuses (no permission, disk full); no temporary file is left behind.
    """
    # not tempfile: its files are private, and a result is as readable as any other file of the user
    temporary = path.with_name(f".{path.stem}-{secrets.token_hex(8)}{path.suffix}")
    try:
        write(temporary)
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror or error}).") from error
    finally:
        with suppress(OSError):
            temporary.unlink()
    return path


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
