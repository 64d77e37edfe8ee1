"""Stacks in files: what is written is what is read, whole or not at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_irvisfuse.errors import Cancelled, DownloadError, FusionError, ImageError, OutputError
from napari_irvisfuse.images import stack_files, video, zarr_files
from napari_irvisfuse.images.frames import open_frames
from napari_irvisfuse.images.ranges import Window
from napari_irvisfuse.images.scale import Scale
from napari_irvisfuse.images.stack_files import check_stack_output, open_writer

HEIGHT, WIDTH = 19, 23


def images(shape=(4,), dtype="uint8", colour=()) -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH] / 12
    unit = np.stack([0.5 + 0.4 * np.sin(3 * x + t) * np.cos(2 * y) for t in range(int(np.prod(shape)))])
    unit = unit.reshape(*shape, HEIGHT, WIDTH)
    unit = np.stack([unit ** (1 + n) for n in range(*colour)], axis=-1) if colour else unit
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return unit > 0.5
    return unit.astype(kind) if kind.kind == "f" else np.round(unit * np.iinfo(kind).max).astype(kind)


def write(path: Path, data: np.ndarray, axes: int = 1, **options) -> Path:
    with open_writer(path, data.shape[:axes], data.shape[axes:], data.dtype, **options) as writer:
        for index in np.ndindex(*data.shape[:axes]):
            writer.add(data[index])
    return path


def read(path: Path) -> np.ndarray:
    frames = open_frames(path)
    whole = np.stack([frames[index] for index in frames.indices()])
    return whole.reshape(*frames.shape, *frames.frame_shape)


@pytest.mark.parametrize("name", ["a.tif", "a.zarr", "a"])
@pytest.mark.parametrize("shape", [(4,), (2, 3), (2, 1, 2)])
@pytest.mark.parametrize("colour", [(), (3,), (4,)])
@pytest.mark.parametrize("dtype", ["bool", "uint8", ">u2", "float32"])
def test_round_trip(tmp_path, name, shape, colour, dtype):
    if name.endswith(".zarr"):
        pytest.importorskip("zarr")
    data = images(shape, dtype, colour)
    found = read(write(tmp_path / name, data, len(shape)))
    expected = data.astype(np.uint8) * 255 if dtype == "bool" and not name.endswith(".zarr") else data
    if name == "a":  # a folder has one axis
        expected = expected.reshape(-1, *data.shape[len(shape) :])
    assert found.dtype == expected.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", ["a.tif", "a.zarr", "a.mp4", "a"])
@pytest.mark.parametrize("error", [Cancelled(), ImageError("broken")])
def test_what_is_not_finished_is_not_there(tmp_path, name, error):
    pytest.importorskip({".zarr": "zarr", ".mp4": "av"}.get(Path(name).suffix, "numpy"))
    data = images()

    def stop() -> None:
        with open_writer(tmp_path / name, (4,), data.shape[1:], data.dtype) as writer:
            writer.add(data[0])
            assert [path.name for path in tmp_path.iterdir()] != [name]
            raise error

    with pytest.raises(type(error)):
        stop()
    assert not list(tmp_path.iterdir())


def test_nothing_is_replaced_unasked(tmp_path):
    old = write(tmp_path / "a.tif", images())
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="exists already"):
        write(old, images())
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="a folder that exists"):
            check_stack_output(tmp_path / "folder", overwrite=overwrite)
    write(old, images((2,)), overwrite=True)
    assert open_frames(old).shape == (2,)


@pytest.mark.parametrize(("name", "words"), [("a.png", "cannot hold a stack"), ("no/a.tif", "There is no folder")])
def test_what_cannot_be_written_is_said_first(tmp_path, name, words):
    with pytest.raises(OutputError, match=words):
        check_stack_output(tmp_path / name)


@pytest.mark.parametrize(("name", "package"), [("a.mp4", "PyAV"), ("a.zarr", "zarr")])
def test_a_missing_package_is_named(tmp_path, monkeypatch, name, package):
    monkeypatch.setitem(__import__("sys").modules, "av" if name.endswith("mp4") else "zarr", None)
    with pytest.raises(FusionError, match=rf"{package}.*pip install 'napari-irvisfuse\["):
        check_stack_output(tmp_path / name)


def test_a_full_disk_is_a_sentence(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stack_files, "write_image", full)
    with pytest.raises(OutputError, match=r"cannot be written \(No space left"):
        write(tmp_path / "a", images())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.tif", "a.zarr", "a.mp4", "a"])
@pytest.mark.parametrize("error", [FileNotFoundError(2, "No such file", "visible.png"), DownloadError("no network")])
def test_errors_of_others_are_not_the_outputs(tmp_path, name, error):
    pytest.importorskip({".zarr": "zarr", ".mp4": "av"}.get(Path(name).suffix, "numpy"))
    writer = open_writer(tmp_path / name, (4,), (HEIGHT, WIDTH), np.dtype("uint8"))
    with pytest.raises(type(error)) as caught, writer:
        raise error
    assert caught.value is error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.tif", "a.zarr", "a.mp4", "a"])
@pytest.mark.parametrize(("count", "came"), [(0, "only 0"), (3, "only 3"), (5, "more")])
def test_a_stack_has_the_frames_that_were_announced(tmp_path, name, count, came):
    pytest.importorskip({".zarr": "zarr", ".mp4": "av"}.get(Path(name).suffix, "numpy"))

    def fill() -> None:
        with open_writer(tmp_path / name, (2, 2), (HEIGHT, WIDTH), np.dtype("uint8")) as writer:
            for frame in images((5,))[:count]:
                writer.add(frame)

    with pytest.raises(OutputError, match=f"4 frames were announced, and {came} came"):
        fill()
    assert not list(tmp_path.iterdir())


def test_ome_zarr_says_what_its_axes_are(tmp_path):
    pytest.importorskip("zarr")
    path = write(tmp_path / "film.zarr", images(colour=(3,)), rate=12.5)
    ome = json.loads((path / "zarr.json").read_text(encoding="utf-8"))["attributes"]["ome"]
    (image,) = ome["multiscales"]
    assert ome["version"] == "0.5"
    assert [(axis["name"], axis["type"]) for axis in image["axes"]] == [
        ("t", "time"), ("c", "channel"), ("y", "space"), ("x", "space"),
    ]  # fmt: skip
    assert image["axes"][0]["unit"] == "second"
    assert image["datasets"][0]["coordinateTransformations"] == [{"type": "scale", "scale": [0.08, 1, 1, 1]}]
    assert [channel["color"] for channel in ome["omero"]["channels"]] == ["FF0000", "00FF00", "0000FF"]
    shutil.rmtree(path / "0")
    with pytest.raises(ImageError, match="cannot be read as an OME-Zarr"):
        zarr_files.open_zarr(path)


@pytest.mark.parametrize("shape", [(4,), (2, 3)])
@pytest.mark.parametrize("colour", [(), (3,), (4,)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float64"])
def test_a_tiff_is_an_ome_tiff(tmp_path, shape, colour, dtype):
    data = images(shape, dtype, colour)
    path = write(tmp_path / "a.tif", data, len(shape), rate=12.5, scale=Scale((0.25, 0.5), "mm"))
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_ome
        (series,) = tiff.series
        assert series.axes == ("TYX" if len(shape) == 1 else "TZYX") + ("S" if colour else "")
        np.testing.assert_array_equal(series.asarray(), data)
        pixels = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]
        across, per = tiff.pages[0].tags["XResolution"].value
    assert (pixels["PhysicalSizeX"], pixels["PhysicalSizeXUnit"]) == (0.5, "mm")
    assert (pixels["TimeIncrement"], pixels["TimeIncrementUnit"]) == (0.08, "s")
    assert pixels["SizeC"] == (colour[0] if colour else 1)
    assert across / per == pytest.approx(20)  # pixels in a centimetre, for programs that do not know OME


SCALES = [Scale(), Scale((0.25, 0.5), "mm"), Scale((3.0, 2.0)), Scale((1.0, 1.0), "µm"), Scale((2.0, 2.0), "inch")]


@pytest.mark.parametrize("name", ["a.tif", "a.zarr"])
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("rate", [None, 12.5])
def test_size_and_time_come_back(tmp_path, name, scale, rate):
    if name.endswith(".zarr"):
        pytest.importorskip("zarr")
    frames = open_frames(write(tmp_path / name, images((4,)), rate=rate, scale=scale))
    assert frames.rate == (None if rate is None else pytest.approx(rate))
    assert frames.scale.pixel_size == (None if scale.pixel_size is None else pytest.approx(scale.pixel_size))
    assert frames.scale.pixel_unit == scale.pixel_unit.replace("inch", frames.scale.pixel_unit)
    again = open_frames(write(tmp_path / f"b{name}", images((4,)), rate=frames.rate, scale=frames.scale))
    assert again.scale == frames.scale
    assert again.spread((2, 4)).select([1]).scale == frames.scale


def test_a_unit_that_no_format_knows_is_left_out(tmp_path):
    pytest.importorskip("zarr")
    for name in ("a.tif", "a.zarr"):
        path = write(tmp_path / name, images(), scale=Scale((2.0, 3.0), "furlong"))
        assert open_frames(path).scale == Scale()


def test_stacks_of_other_programs_have_a_scale_too(tmp_path):
    zarr = pytest.importorskip("zarr")
    pages, data = images((4,), "uint16"), images((2, 5), "uint16")
    options = {"imagej": True, "resolution": (2.0, 4.0), "metadata": {"unit": "mm", "axes": "TYX", "finterval": 0.5}}
    tifffile.imwrite(tmp_path / "a.tif", pages, **options)
    frames = open_frames(tmp_path / "a.tif")
    assert (frames.shape, frames.rate) == ((4,), 2)
    assert frames.scale.pixel_size == pytest.approx((0.25, 0.5))
    assert frames.scale.pixel_unit == "mm"
    group = zarr.open_group(str(tmp_path / "b.zarr"), mode="w", zarr_format=2)  # OME-Zarr 0.4
    group.create_array("s0", shape=data.shape, chunks=(1, 1, HEIGHT, WIDTH), dtype=data.dtype)[:] = data
    axes = [{"name": "z", "type": "space", "unit": "meter"}, {"name": "c", "type": "channel"}]
    axes += [{"name": name, "type": "space", "unit": "millimeter"} for name in "yx"]
    steps = [{"type": "scale", "scale": [7, 1, 0.3, 0.2]}, {"type": "translation", "translation": [0, 0, 1, 1]}]
    dataset = {"path": "s0", "coordinateTransformations": steps}
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [dataset]}]
    frames = open_frames(tmp_path / "b.zarr")
    assert (frames.shape, frames.scale) == ((2, 5), Scale((0.3, 0.2), "mm"))
    np.testing.assert_array_equal(read(tmp_path / "b.zarr"), data)


@pytest.mark.parametrize("shape", [(4,), (2, 1, 2, 1)])  # of an OME-Zarr, of a plain array
def test_a_damaged_chunk_is_said_with_its_file(tmp_path, shape):
    pytest.importorskip("zarr")
    path = write(tmp_path / "a.zarr", images(shape), len(shape))
    for chunk in path.rglob("c/*/**/0"):
        if chunk.is_file():
            chunk.write_bytes(b"no chunk")
    frames = open_frames(path)
    first = (0,) * len(shape)
    with pytest.raises(ImageError, match=rf"Frame {', '.join('0' * len(shape))} of .*a\.zarr cannot be read"):
        frames[first]


ORDER = {"time": 0, "channel": 1, None: 1, "space": 2}


@pytest.mark.parametrize("shape", [(4,), (2, 3), (2, 3, 2), (1, 2, 1, 2)])
@pytest.mark.parametrize("colour", [(), (3,), (4,)])
@pytest.mark.parametrize("dtype", ["bool", "uint16", "float32"])
def test_ome_zarr_keeps_the_rules_of_its_specification(tmp_path, shape, colour, dtype):
    zarr = pytest.importorskip("zarr")
    data = images(shape, dtype, colour)
    path = write(tmp_path / "film.zarr", data, len(shape), rate=4, scale=Scale((0.25, 0.5), "µm"))
    np.testing.assert_array_equal(read(path), data)
    node = zarr.open(str(path), mode="r")
    if len(shape) + bool(colour) > 3:  # more than five axes: a plain array
        assert (node.shape, dict(node.attrs)) == (data.shape, {})
        return
    (image,) = node.attrs["ome"]["multiscales"]
    axes, (dataset,) = image["axes"], image["datasets"]
    array = node[dataset["path"]]
    assert image["name"] == "film"  # not what the file was called while it was written
    assert [axis["name"] for axis in axes] == list(array.metadata.dimension_names)
    assert len({axis["name"] for axis in axes}) == array.ndim <= 5
    kinds = [axis.get("type") for axis in axes]
    assert [ORDER[kind] for kind in kinds] == sorted(ORDER[kind] for kind in kinds)
    assert kinds.count("space") in (2, 3)
    assert kinds.count("time") == 1
    assert kinds.count("channel") + kinds.count(None) <= 1
    assert {axis["unit"] for axis in axes[-2:]} == {"micrometer"}
    (step,) = dataset["coordinateTransformations"]
    assert step == {"type": "scale", "scale": [0.25, *[1] * (array.ndim - 3), 0.25, 0.5]}
    channels = node.attrs["ome"].get("omero", {}).get("channels", [])
    assert len(channels) == (colour[0] if colour else 0)
    assert all(set(channel["window"]) == {"min", "start", "end", "max"} for channel in channels)


# -- films ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def film(tmp_path) -> tuple[Path, np.ndarray]:
    pytest.importorskip("av")
    data = images((70,), colour=(3,))
    for t in range(70):
        data[t, :8, :8], data[t, :8, 8:16] = 28 * (t // 10), 28 * (t % 10)  # its number
    data[:, 10:, 12:] = (220, 30, 40)
    return write(tmp_path / "film.mp4", data, rate=24000 / 1001), data


def number(frame: np.ndarray) -> int:
    tens, ones = (round(float(frame[2:6, left : left + 4].mean()) / 28) for left in (2, 10))
    return 10 * tens + ones


def test_any_frame_of_a_film_by_its_number(film):
    path, data = film
    frames = open_frames(path)
    assert (frames.shape, frames.frame_shape, frames.dtype) == ((70,), (HEIGHT + 1, WIDTH + 1, 3), np.uint8)
    assert frames.rate == pytest.approx(24000 / 1001)
    order = [*range(70), *np.random.default_rng(0).permutation(70), 69, 69, 0, 0]
    assert [number(frames[(t,)]) for t in order] == order
    frame = frames[(5,)][:HEIGHT, :WIDTH]
    assert np.abs(frame.astype(int) - data[5]).mean() < 5
    np.testing.assert_allclose(frame[14:17, 16:20].mean((0, 1)), (220, 30, 40), atol=4)  # colours are not shifted


@pytest.mark.parametrize(
    ("dtype", "window"), [("uint16", Window(0, 65535)), ("float32", Window(0, 1)), ("uint8", None)]
)
def test_a_film_has_eight_bits_through_one_window(tmp_path, dtype, window):
    pytest.importorskip("av")
    data = images(dtype=dtype)
    found = read(write(tmp_path / "f.mp4", data, window=window))[:, :HEIGHT, :WIDTH].mean(-1)
    unit = data / (window.high if window else 255.0)
    assert np.abs(found - 255 * unit).mean() < 3


def test_films_in_every_container(tmp_path):
    pytest.importorskip("av")
    for suffix in (".mp4", ".mov", ".mkv"):
        assert open_frames(write(tmp_path / f"f{suffix}", images((7,)))).shape == (7,)


@pytest.mark.parametrize("rate", [1 / 3600, 0.0004, 1 / 3, 0.7, 12.5, 30000 / 1001, 240.0])
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_films_keep_their_rate(tmp_path, suffix, rate):
    pytest.importorskip("av")
    frames = open_frames(write(tmp_path / f"f{suffix}", images((5,)), rate=rate))
    assert frames.rate == pytest.approx(rate, rel=2e-3)
    assert len(frames) == 5


def test_a_grey_film_of_many_bits_keeps_them(tmp_path):
    av = pytest.importorskip("av")
    data = images((3,), "uint16")
    with av.open(str(tmp_path / "f.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "gray16le"
        for frame in data:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray16le")))
        container.mux(stream.encode())
    np.testing.assert_array_equal(read(tmp_path / "f.mkv"), data)


def test_what_is_no_film_is_said(tmp_path):
    pytest.importorskip("av")
    (tmp_path / "f.mp4").write_bytes(b"no film at all" * 100)
    with pytest.raises(ImageError, match="cannot be read as a film"):
        video.open_video(tmp_path / "f.mp4")
    with pytest.raises(ImageError, match="There is no film"):
        open_frames(tmp_path / "g.mp4")


def test_a_truncated_film_is_said(film):
    path, _ = film
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ImageError, match="cannot be read"):
        read(path)
