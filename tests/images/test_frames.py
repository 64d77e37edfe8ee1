"""Stacks are opened without being read, whatever they are, and every frame is what it was."""

from __future__ import annotations

import gc
import re
from pathlib import Path

import imagecodecs  # noqa: F401 – tifffile's compressions
import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import napari_irvisfuse as nif
from napari_irvisfuse.errors import ImageError, ParameterError
from napari_irvisfuse.evaluation.files import list_images
from napari_irvisfuse.images.frames import common_shape, is_stack, open_frames, parse_frames
from napari_irvisfuse.images.ranges import resolve_window, shared_window

HEIGHT, WIDTH = 18, 21


def images(shape=(), dtype="uint8", colour=()) -> np.ndarray:
    unit = np.random.default_rng(0).random((*shape, HEIGHT, WIDTH, *colour))
    kind = np.dtype(dtype)
    return unit.astype(kind) if kind.kind == "f" else (unit * np.iinfo(kind).max).astype(kind)


def everything(source) -> np.ndarray:
    frames = open_frames(source)
    whole = np.stack([frames[index] for index in frames.indices()])
    assert {frame.shape for frame in whole} == {frames.frame_shape}
    assert whole.dtype == frames.dtype.newbyteorder("=")
    assert len(whole) == len(frames)
    return whole.reshape(*frames.shape, *frames.frame_shape)


@settings(max_examples=40)
@given(
    st.lists(st.integers(1, 4), max_size=3).map(tuple),
    st.sampled_from([(), (3,), (4,)]),
    st.sampled_from(["uint8", ">u2", "float32"]),
)
def test_arrays_of_any_axes(shape, colour, dtype):
    data = images(shape, dtype, colour)
    frames = open_frames(data)
    assert (frames.shape, frames.frame_shape) == (shape, data.shape[len(shape) :])
    assert is_stack(data) == bool(shape)
    np.testing.assert_array_equal(everything(data), data)


def test_a_stack_of_three_grey_frames_is_no_colour():
    assert open_frames(images((3,))).shape == (3,)
    assert open_frames(images((3, 4))).shape == (3, 4)


def test_tensors_have_their_channels_first():
    data = images((5,), colour=(3,))
    np.testing.assert_array_equal(everything(torch.from_numpy(np.moveaxis(data, -1, 1).copy())), data)
    np.testing.assert_array_equal(everything(torch.from_numpy(images((5,))[:, None])), images((5,)))
    np.testing.assert_array_equal(everything(torch.from_numpy(images((5,)))), images((5,)))
    assert not is_stack(torch.from_numpy(np.moveaxis(data[0], -1, 0).copy()))


def test_lists_of_images_and_of_files(tmp_path):
    data = images((4,), "uint16")
    np.testing.assert_array_equal(everything(list(data)), data)
    files = [nif.write_image(tmp_path / f"{t}.png", frame) for t, frame in enumerate(data)]
    np.testing.assert_array_equal(everything(files), data)
    with pytest.raises(ImageError, match=r"Frame 1 .* all frames of a stack have to be alike"):
        everything([data[0], data[1, :-1]])


def test_folders_have_the_images_and_the_order_that_data_sets_have(tmp_path):
    names = ["1².png", "2.png", "A10.pgm", "a11.PNG", "b.gif"]  # ² is a digit, but no number
    for name in names:
        Image.fromarray(images()).save(tmp_path / name)
    assert open_frames(tmp_path).names == tuple(names)
    assert {path.name for path in list_images(tmp_path)} == set(names)


def test_a_folder_that_cannot_be_read_is_said(tmp_path, monkeypatch):
    def refused(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(ImageError, match=r"The folder .* cannot be read \(Permission denied\)"):
        open_frames(tmp_path)


def test_files_that_are_unlike_the_others_are_named(tmp_path):
    a, b = (nif.write_image(tmp_path / f"{letter}.png", images()) for letter in "ab")
    nif.write_image(b, images(dtype="uint16"), overwrite=True)
    words = re.escape(f"{b} of the infrared stack has shape (18, 21) and type uint16, {a} (18, 21) and uint8")
    for source in (tmp_path, [str(a), str(b)]):
        with pytest.raises(ImageError, match=words):
            everything(source)
    tifffile.imwrite(tmp_path / "b.tif", images(dtype="uint16").astype("int32"))
    with pytest.raises(
        ImageError, match=rf"^{re.escape(str(tmp_path / 'b.tif'))}: The infrared image has data type int32"
    ):
        open_frames([tmp_path / "b.tif", a])
    b.write_bytes(b"no image")
    with pytest.raises(ImageError, match=rf"^{re.escape(str(b))} cannot be read as an image"):
        everything([a, b])
    with pytest.raises(ImageError, match=r"^Frame 0: .* 3×3 pixels"):
        open_frames([np.zeros((3, 3))])


def test_folders_count_like_people(tmp_path):
    data = images((12,))
    for t, frame in enumerate(data):
        nif.write_image(tmp_path / f"frame {t}.png", frame)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / ".hidden.png").write_text("no image")
    frames = open_frames(tmp_path)
    assert frames.names[:3] == ("frame 0.png", "frame 1.png", "frame 2.png")
    np.testing.assert_array_equal(everything(tmp_path), data)
    with pytest.raises(ImageError, match="holds no images"):
        open_frames(tmp_path.parent / tmp_path.name / "..")


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize(("shape", "axes"), [((5,), "T"), ((2, 3), "TZ")])
@pytest.mark.parametrize("colour", [(), (3,)])
@pytest.mark.parametrize("kind", ["shaped", "ome", "imagej", "plain"])
def test_tiffs_of_many_pages(tmp_path, compression, shape, axes, colour, kind):
    if kind == "imagej" and compression:
        pytest.skip("ImageJ stacks are not compressed")
    data = images(shape, "uint8", colour)
    options = {"photometric": "rgb" if colour else "minisblack", "compression": compression}
    metadata = {"axes": f"{axes}YX{'S' if colour else ''}"}
    if kind == "plain":
        options["metadata"] = None
        shape = (int(np.prod(shape)),)
    elif kind == "shaped":
        options["metadata"] = metadata
    else:
        options |= {"metadata": metadata, kind: True}
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, data, **options)
    assert is_stack(path)
    assert open_frames(path).shape == shape
    np.testing.assert_array_equal(everything(path).reshape(data.shape), data)


def test_pages_are_read_when_asked_for_and_the_file_is_let_go(tmp_path):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, images((3,)), photometric="minisblack", compression="zlib")
    frames = open_frames(path)
    spread = frames.spread((2, 3))
    del frames
    np.testing.assert_array_equal(spread[1, 2], images((3,))[2])
    del spread
    gc.collect()  # a file left open would be a warning, and so an error
    (tmp_path / "broken.tif").write_bytes(path.read_bytes()[:100])
    with pytest.raises(ImageError, match="cannot be read"):
        open_frames(tmp_path / "broken.tif")


def test_damaged_pages_are_said_with_their_file(tmp_path):
    path, data = tmp_path / "stack.tif", images((3,))
    tifffile.imwrite(path, data, photometric="minisblack", compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        place = tiff.pages[1].dataoffsets[0]
    stored = bytearray(path.read_bytes())
    stored[place : place + 100] = bytes(100)
    path.write_bytes(stored)
    frames = open_frames(path)
    np.testing.assert_array_equal(frames[2,], data[2])
    with pytest.raises(ImageError, match=rf"Frame 1 of {re.escape(str(path))} cannot be read"):
        frames[1,]


def test_missing_pages_are_said_with_their_file(tmp_path):
    path, announced = tmp_path / "stack.tif", f'{{"shape": [4, {HEIGHT}, {WIDTH}], "axes": "QYX"}}'
    with tifffile.TiffWriter(path) as tiff:
        for description in (announced, None):
            tiff.write(images(), description=description, metadata=None, compression="zlib")
    frames = open_frames(path)
    with pytest.raises(ImageError, match=rf"Frame 2 of {re.escape(str(path))} cannot be read"):
        frames[2,]


@pytest.mark.parametrize("source", ["single.tif", "single.png"])
def test_a_single_image_is_no_stack(tmp_path, source):
    path = nif.write_image(tmp_path / source, images(colour=(3,)))
    assert not is_stack(path)
    assert open_frames(path).shape == ()


def test_grey_with_alpha_is_one_image(tmp_path):
    data = images(colour=(2,))
    path = tmp_path / "grey.tif"
    tifffile.imwrite(path, data, photometric="minisblack", planarconfig="contig", extrasamples=["unassalpha"])
    assert not is_stack(path)
    np.testing.assert_array_equal(everything(path)[()], data[..., 0])


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("options", [{"tile": (16, 16, 16)}, {}])
@pytest.mark.parametrize("shape", [(17,), (2, 17)])
def test_volumes_in_a_page(tmp_path, compression, options, shape):
    data, path = images(shape), tmp_path / "volume.tif"
    options |= {"volumetric": True, "photometric": "minisblack", "compression": compression}
    tifffile.imwrite(path, data, **options)
    np.testing.assert_array_equal(everything(path), data)
    with tifffile.TiffFile(path) as tiff:
        assert len(tiff.pages) == np.prod(shape) // 17


def test_stacks_in_one_piece_are_only_looked_at(tmp_path, monkeypatch):
    data, path = images((5,)), tmp_path / "large.tif"
    tifffile.imwrite(path, data, photometric="minisblack", truncate=True)
    modes, mapped = [], tifffile.memmap
    monkeypatch.setattr(tifffile, "memmap", lambda *_, **how: modes.append(how.get("mode")) or mapped(*_, **how))
    frames = open_frames(path)
    frames[0,][:] = 0
    np.testing.assert_array_equal(everything(path), data)
    assert set(modes) == {"r"}  # files that may not be written are read too


@pytest.mark.parametrize("shape", [(5,), (1,), (2, 3)])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("samples", [3, 4])
def test_colours_in_planes_are_no_frames(tmp_path, shape, compression, samples):
    data = images(shape, "uint16", (samples,))
    path = tmp_path / "planes.tif"
    options = {"photometric": "rgb", "planarconfig": "separate", "compression": compression}
    tifffile.imwrite(path, np.moveaxis(data, -1, -3), **options)
    np.testing.assert_array_equal(everything(path), data)


def test_grey_frames_with_alpha_are_grey(tmp_path):
    data = images((3,), colour=(2,))
    path = tmp_path / "grey.tif"
    tifffile.imwrite(path, data, photometric="minisblack", planarconfig="contig", extrasamples=["unassalpha"])
    np.testing.assert_array_equal(everything(path), data[..., 0])


@pytest.mark.parametrize(
    ("data", "top", "options"),
    [
        (images((3,)) > 99, True, {}),
        (images((3,)), 255, {}),
        (images((3,), "uint16") >> 4, 4095, {"bitspersample": 12}),
        (images((3,), ">u2"), 65535, {"byteorder": ">", "compression": "zlib"}),
    ],
)
def test_negatives_are_turned_round(tmp_path, data, top, options):
    path = tmp_path / "negative.tif"
    tifffile.imwrite(path, data, photometric="miniswhite", **options)
    assert is_stack(path)
    np.testing.assert_array_equal(everything(path), top ^ data)


def test_each_frame_of_a_palette_has_its_own_colours(tmp_path):
    pages, path = [], tmp_path / "palette.tif"
    for t, frame in enumerate(images((3,))):
        page = Image.fromarray(frame)
        page.putpalette(np.random.default_rng(t).integers(0, 256, 768).tolist())
        pages.append(page)
    pages[0].save(path, save_all=True, append_images=pages[1:])
    np.testing.assert_array_equal(everything(path), [np.asarray(page.convert("RGB")) for page in pages])


@pytest.mark.parametrize(
    ("data", "photometric", "words"),
    [
        (images((3,), colour=(4,)), "separated", "CMYK or CIELAB: save it as grey or RGB"),
        (images((3,), "float32"), "miniswhite", r"stack.tif says that white is 0 and holds float32"),
    ],
)
def test_stacks_in_colours_that_cannot_be_read_are_said(tmp_path, data, photometric, words):
    tifffile.imwrite(tmp_path / "stack.tif", data, photometric=photometric)
    with pytest.raises(ImageError, match=words):
        open_frames(tmp_path / "stack.tif")


def test_what_a_tiff_is_its_header_tells(tmp_path, monkeypatch):
    single, stack = tmp_path / "single.tif", tmp_path / "stack.tif"
    tifffile.imwrite(single, images(), photometric="minisblack")
    tifffile.imwrite(stack, images((3,)), photometric="minisblack")
    read = []
    for part in (tifffile.TiffFile, tifffile.TiffPage, tifffile.TiffPageSeries):
        monkeypatch.setattr(part, "asarray", lambda *_, **__: read.append(1))
    assert not is_stack(single)
    assert is_stack(stack)
    assert not read


@pytest.mark.parametrize("what", [np.zeros((3, 8, 8)), np.zeros((3, 20, 20), complex), np.zeros((0, 20, 20)), "no.tif"])
def test_what_cannot_be_fused_is_said_at_once(what):
    with pytest.raises(ImageError):
        open_frames(what)


def test_a_repeated_image_is_read_once():
    reads = []

    class Source:
        shape, dtype = (HEIGHT, WIDTH), np.dtype("uint8")

        def __getitem__(self, index):
            reads.append(index)
            return images()[index]

    frames = open_frames(Source()).spread((4,))
    for index in frames.indices():
        np.testing.assert_array_equal(frames[index], images())
    assert len(reads) == 1


@settings(max_examples=60)
@given(st.lists(st.integers(1, 3), max_size=3).map(tuple), st.lists(st.integers(1, 3), max_size=3).map(tuple))
def test_axes_are_matched_as_numpy_does(first, second):
    try:
        expected = np.broadcast_shapes(first, second)
    except ValueError:
        with pytest.raises(ImageError, match="the same number of frames"):
            common_shape(first, second)
    else:
        assert common_shape(first, second) == expected


@pytest.mark.parametrize(
    ("text", "meant"),
    [("1:3", slice(1, 3)), ("::2", slice(None, None, 2)), (":4", slice(None, 4)), ("2", [2]), ("0, 4,-1", [0, 4, -1])],
)
def test_frames_in_words(text, meant):
    assert parse_frames(text) == meant


@pytest.mark.parametrize("text", ["", "a", "1:2:3:4", "1-3", "::0", "1,"])
def test_no_frames_in_words(text):
    with pytest.raises(ParameterError, match="FROM:TO"):
        parse_frames(text)


@pytest.mark.parametrize("frames", [3, 1.5, [1.7], ["1"], "ab", slice("a"), slice(None, None, 0)])
def test_frames_are_whole_numbers(frames):
    with pytest.raises(ParameterError, match="a slice or a list of whole numbers; got"):
        open_frames(images((4,))).select(frames)


def test_frames_are_chosen_by_numbers_of_any_kind():
    chosen = open_frames(images((4,))).select(np.array([3, 0], np.uint8))
    np.testing.assert_array_equal(chosen[0,], images((4,))[3])


@settings(max_examples=60)
@given(
    st.sampled_from(["bool", "uint8", "uint16", "float32"]),
    st.sampled_from(["auto", "full", "data", "percentile", (3.0, 7.0)]),
    st.sampled_from(["ir", "visible"]),
    st.sampled_from([(), (3,), (4,)]),
    st.floats(0.001, 50),
)
def test_a_shared_window_is_that_of_all_frames_together(dtype, spec, role, colour, scale):
    data = images((4,), "float64", colour) * np.array([1, 0.5, 2, 1]).reshape(4, *[1] * (2 + len(colour)))
    data = data > 0.5 if dtype == "bool" else (data * scale).astype(dtype)
    whole = data[..., :3] if colour else data
    assert shared_window(iter(data), data.dtype, spec, role) == resolve_window(whole, spec, role)


def test_a_shared_window_passes_over_what_has_no_value():
    data = images((3,), "float32") * 9
    data[1] = np.nan
    data[2, 3, 3] = np.inf
    expected = resolve_window(data[np.isfinite(data)], "auto", "ir")
    assert shared_window(iter(data), data.dtype, "auto", "ir") == expected
    with pytest.raises(ImageError, match="no finite value"):
        shared_window(iter(data[1:2]), data.dtype, "auto", "ir")
