"""Image files: every bit depth as it is stored, and nothing half written."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image, ImageOps

from napari_irvisfuse.errors import ImageError, OutputError
from napari_irvisfuse.images.files import WRITABLE, check_output, read_image, write_atomically, write_image

SHAPES = {"grey": (18, 21), "rgb": (18, 21, 3), "rgba": (18, 21, 4)}


def image(dtype="u1", colour: str = "grey") -> np.ndarray:
    unit = np.random.default_rng(0).random(SHAPES[colour])
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return unit > 0.5
    return (unit * (np.iinfo(dtype).max if dtype.kind in "iu" else 1)).astype(dtype)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# -- what is written comes back ---------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", SHAPES)
@pytest.mark.parametrize(
    ("suffix", "dtype"),
    [
        *[(".png", dtype) for dtype in ("u1", "u2", ">u2")],
        *[(".tif", dtype) for dtype in ("u1", "u2", ">u2", "f2", "f4", ">f4", "f8")],
        *[(".TIFF", "u1"), (".PNG", "u2")],
    ],
)
def test_what_is_written_comes_back(tmp_path, suffix, dtype, colour):
    array = image(dtype, colour)
    path = write_image(tmp_path / f"image{suffix}", array)
    back = read_image(str(path))
    assert back.dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(back, array)
    assert names(tmp_path) == [f"image{suffix}"]


@given(npst.arrays(np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_sixteen_bit_colour_keeps_every_bit(tmp_path_factory, array):
    folder = tmp_path_factory.mktemp("bits")
    for suffix in WRITABLE:
        np.testing.assert_array_equal(read_image(write_image(folder / f"image{suffix}", array)), array)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_masks_become_black_and_white(tmp_path, suffix):
    back = read_image(write_image(tmp_path / f"mask{suffix}", image(bool)))
    np.testing.assert_array_equal(back, image(bool) * np.uint8(255))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_views_of_any_layout_can_be_written(tmp_path, suffix):
    view = np.asfortranarray(image("u2", "rgb"))[::-2, ::-1]
    view.flags.writeable = False
    np.testing.assert_array_equal(read_image(write_image(tmp_path / f"view{suffix}", view)), view)


def test_other_programs_read_the_colours(tmp_path):
    rgba = image("u1", "rgba")
    for suffix in (".png", ".tif"):
        with Image.open(write_image(tmp_path / f"image{suffix}", rgba)) as opened:
            assert opened.mode == "RGBA"
            np.testing.assert_array_equal(np.asarray(opened), rgba)


# -- what others have written -----------------------------------------------------------------------------------


def test_palettes_become_colours(tmp_path):
    indices = (np.arange(18 * 21) % 3).astype(np.uint8).reshape(18, 21)
    picture = Image.fromarray(indices).convert("P")
    picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    expected = np.eye(3, dtype=np.uint8)[indices] * 255
    for suffix in ("png", "tif", "bmp", "gif"):
        picture.save(tmp_path / f"palette.{suffix}")
        np.testing.assert_array_equal(read_image(tmp_path / f"palette.{suffix}"), expected, err_msg=suffix)


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
def test_one_bit_images_are_black_and_white(tmp_path, suffix):
    mask = image(bool)
    Image.fromarray(mask).save(tmp_path / f"bits.{suffix}")
    back = read_image(tmp_path / f"bits.{suffix}")
    np.testing.assert_array_equal(back, mask if back.dtype == np.bool_ else mask * np.uint8(255))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_the_alpha_of_a_grey_image_is_dropped(tmp_path, suffix):
    grey = Image.fromarray(image())
    Image.merge("LA", (grey, grey)).save(tmp_path / f"la.{suffix}")
    np.testing.assert_array_equal(read_image(tmp_path / f"la.{suffix}"), image())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "lzw"},
        {"compression": "lzw", "predictor": True},
        {"compression": "zlib", "tile": (16, 16)},
        {"bigtiff": True},
        {"byteorder": ">"},
        {"planarconfig": "separate"},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_tiff_in_its_many_forms(tmp_path, dtype, options):
    array = image(dtype, "rgb")
    stored = np.moveaxis(array, -1, 0) if "planarconfig" in options else array
    tifffile.imwrite(tmp_path / "image.tif", stored, photometric="rgb", **options)
    np.testing.assert_array_equal(read_image(tmp_path / "image.tif"), array)


def test_tiff_where_white_is_zero(tmp_path):
    tifffile.imwrite(tmp_path / "fax.tif", 255 - image(), photometric="miniswhite")
    np.testing.assert_array_equal(read_image(tmp_path / "fax.tif"), image())


@pytest.mark.parametrize("bits", [12, 16])
def test_sixteen_bit_where_white_is_zero(tmp_path, bits):
    top = 2**bits - 1
    stored = (image("u2") >> (16 - bits)).astype(np.uint16)
    options = {"bitspersample": bits} if bits < 16 else {}
    tifffile.imwrite(tmp_path / "negative.tif", top - stored, photometric="miniswhite", **options)
    back = read_image(tmp_path / "negative.tif")
    assert back.dtype == np.uint16
    np.testing.assert_array_equal(back, stored)


def test_floats_where_white_is_zero_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "negative.tif", image("f4"), photometric="miniswhite")
    with pytest.raises(ImageError, match="white is 0 and holds float32"):
        read_image(tmp_path / "negative.tif")


@pytest.mark.parametrize("colour", SHAPES)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_upright_however_the_camera_was_held(tmp_path, orientation, colour):
    array = image("u1", colour)
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(array).save(tmp_path / "held.png", exif=exif)
    tag = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(tmp_path / "held.tif", array, photometric="rgb" if array.ndim == 3 else 1, extratags=tag)
    across = array.swapaxes(0, 1)
    rows = (array, array[:, ::-1], array[::-1, ::-1], array[::-1])
    columns = (across, across[:, ::-1], across[::-1, ::-1], across[::-1])
    for name in ("held.png", "held.tif"):
        np.testing.assert_array_equal(read_image(tmp_path / name), (*rows, *columns)[orientation - 1])
    with Image.open(tmp_path / "held.png") as opened:
        np.testing.assert_array_equal(np.asarray(ImageOps.exif_transpose(opened)), read_image(tmp_path / "held.png"))


def test_a_damaged_note_makes_no_picture_unreadable(tmp_path):
    Image.fromarray(image()).save(tmp_path / "image.png", exif=b"no such thing")
    np.testing.assert_array_equal(read_image(tmp_path / "image.png"), image())


@pytest.mark.parametrize("top", [1023, 65535])
def test_sixteen_bit_netpbm(tmp_path, top):
    counts = image("u2") & top
    (tmp_path / "image.pgm").write_bytes(b"P5 21 18 %d\n" % top + counts.astype(">u2").tobytes())
    back = read_image(tmp_path / "image.pgm")
    assert back.dtype == np.uint16
    np.testing.assert_allclose(back / 65535, counts / top, atol=1e-5)


def test_ink_is_not_taken_for_red_green_blue_alpha(tmp_path):
    rgb = np.zeros((18, 21, 3), np.uint8)
    rgb[:9] = 255, 0, 128
    Image.fromarray(rgb).convert("CMYK").save(tmp_path / "ink.tif")
    assert tifffile.imread(tmp_path / "ink.tif").shape == (18, 21, 4)
    np.testing.assert_array_equal(read_image(tmp_path / "ink.tif"), rgb)


def test_stacks_keep_their_axes(tmp_path):
    stack = np.zeros((5, 18, 21), np.uint8)
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack")
    assert read_image(tmp_path / "stack.tif").shape == stack.shape


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_that_a_camera_stored_is_applied(tmp_path, orientation):
    upright = np.zeros((32, 48), np.uint8)
    upright[:16, :16] = 255  # bright corner at the top left
    undo = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: np.transpose,
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).T,
        8: lambda a: np.rot90(a, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(undo(upright))).save(tmp_path / "photo.jpg", exif=exif, quality=95)
    back = read_image(tmp_path / "photo.jpg")
    assert back.shape == upright.shape
    np.testing.assert_allclose(back.astype(float), upright, atol=12)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".xyz"])
@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n" + b"\0" * 50, b"II*\0" + b"\0" * 50])
def test_what_is_no_image_is_refused_by_name(tmp_path, suffix, content):
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(content)
    with pytest.raises(ImageError, match="broken") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_half_a_file_is_refused(tmp_path, suffix):
    path = write_image(tmp_path / f"half{suffix}", image("u2", "rgb"))
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(ImageError, match="half"):
        read_image(path)


def test_what_is_not_there_is_refused(tmp_path):
    for path in (tmp_path / "missing.png", tmp_path, "", "no\0such.png", "long" * 100 + ".png"):
        with pytest.raises(ImageError, match=r"no image file|name too long"):
            read_image(path)


def test_the_home_folder_can_be_short(tmp_path, monkeypatch):
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    assert write_image("~/image.png", image()) == tmp_path / "image.png"
    np.testing.assert_array_equal(read_image("~/image.png"), image())


# -- what is refused, and what is left behind -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "word"),
    [("image.jpg", "PNG or TIFF"), ("image", "PNG or TIFF"), ("nowhere/image.png", "no folder"), ("old.png", "exists")],
)
def test_a_place_that_cannot_be_written_is_refused_early(tmp_path, name, word):
    (tmp_path / "old.png").write_bytes(b"old")
    for refuse in (lambda path: check_output(path, overwrite=False), lambda path: write_image(path, image())):
        with pytest.raises(OutputError, match=word) as caught:
            refuse(tmp_path / name)
        assert "\n" not in str(caught.value)
    assert names(tmp_path) == ["old.png"]
    assert (tmp_path / "old.png").read_bytes() == b"old"


def test_overwriting_is_for_those_who_say_so(tmp_path):
    path = write_image(tmp_path / "image.png", image())
    inverted = 255 - image()
    assert check_output(path, overwrite=True) == path
    np.testing.assert_array_equal(read_image(write_image(path, inverted, overwrite=True)), inverted)
    assert names(tmp_path) == ["image.png"]


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "i8"])
def test_png_refuses_what_it_cannot_hold(tmp_path, dtype):
    with pytest.raises(OutputError, match=r"image\.tif"):
        write_image(tmp_path / "image.png", np.zeros((18, 21), dtype))
    assert names(tmp_path) == []


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("shape", [(), (5,), (18, 21, 2), (18, 21, 5), (2, 18, 21, 3)])
def test_what_is_no_picture_is_not_written(tmp_path, suffix, shape):
    with pytest.raises(OutputError, match="shape"):
        write_image(tmp_path / f"image{suffix}", np.zeros(shape, np.uint8))
    assert names(tmp_path) == []


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("a bug"), KeyboardInterrupt()])
def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, error):
    (tmp_path / "file.txt").write_text("old")

    def fail(target: Path) -> None:
        target.write_text("half")
        raise error

    with pytest.raises(OutputError if isinstance(error, OSError) else type(error)) as caught:
        write_atomically(tmp_path / "file.txt", fail)
    if isinstance(error, OSError):
        assert str(caught.value).endswith("cannot be written (No space left on device).")
    assert names(tmp_path) == ["file.txt"]
    assert (tmp_path / "file.txt").read_text() == "old"


def test_readers_see_the_old_file_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def write(target: Path) -> None:
        assert target.parent == path.parent  # on the same disk, or renaming would copy
        assert target.suffix == path.suffix  # writers choose the format by it
        target.write_text("new")
        assert path.read_text() == "old"

    assert write_atomically(path, write) == path
    assert path.read_text() == "new"


def test_a_folder_in_the_way_is_one_sentence(tmp_path):
    (tmp_path / "image.png").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        write_image(tmp_path / "image.png", image(), overwrite=True)
    with pytest.raises(OutputError, match="cannot be written"):
        write_atomically(tmp_path / "image.png", lambda target: target.write_text(""))
    assert names(tmp_path) == ["image.png"]
    with pytest.raises(OutputError, match="cannot be written"):
        write_atomically(tmp_path / "nowhere" / "file.txt", lambda target: target.write_text(""))


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_results_are_as_readable_as_other_files(tmp_path, mask):
    before = os.umask(mask)
    try:
        path = write_image(tmp_path / "image.png", image())
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


@pytest.mark.skipif(sys.platform == "win32" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may all")
def test_without_permission_it_is_one_sentence(tmp_path):
    path = write_image(tmp_path / "image.png", image())
    path.chmod(0)
    with pytest.raises(ImageError, match="cannot be read"):
        read_image(path)
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="Permission denied"):
            write_image(tmp_path / "other.png", image())
    finally:
        tmp_path.chmod(0o700)
