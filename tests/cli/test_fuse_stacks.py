"""``irvisfuse fuse`` of stacks: what ``nif.fuse_stack`` returns, in a file, a film or a folder; whole or not at all."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

import napari_irvisfuse as nif
from napari_irvisfuse.images.frames import open_frames
from napari_irvisfuse.images.scale import Scale
from napari_irvisfuse.images.stack_files import open_writer

HEIGHT, WIDTH, COUNT = 32, 48, 5


def stack(dtype: str = "uint8", colour: bool = False, seed: int = 0, count: int = COUNT) -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH] / 20
    frames = [0.5 + 0.2 * np.sin(4 * x + seed + t / 3) * np.cos(3 * y) + 0.05 * t for t in range(count)]
    unit = np.clip(np.stack(frames), 0, 1)
    if colour:
        unit = np.stack([unit, 0.8 * unit, 1 - unit], axis=-1)
    return unit.astype(dtype) if dtype.startswith("f") else np.round(unit * np.iinfo(dtype).max).astype(dtype)


def write(path: Path, data: np.ndarray, rate: float | None = None) -> Path:
    shape = data.shape[: 1 if data.ndim - (data.shape[-1] in (3, 4)) == 3 else 2]
    with open_writer(path, shape, data.shape[len(shape) :], data.dtype, rate=rate) as writer:
        for index in np.ndindex(*shape):
            writer.add(data[index])
    return path


def read(path: str | Path) -> np.ndarray:
    frames = open_frames(path)
    return np.stack([frames[index] for index in frames.indices()]).reshape(*frames.shape, *frames.frame_shape)


@pytest.fixture
def films(tmp_path, monkeypatch) -> tuple[Path, Path]:
    monkeypatch.chdir(tmp_path)
    return write(tmp_path / "ir.tif", stack("uint16", seed=1)), write(tmp_path / "vis.tif", stack(colour=True))


@pytest.mark.parametrize("name", ["o.tif", "o.zarr", "o"])
@pytest.mark.parametrize(("dtype", "colour"), [("uint8", True), ("uint16", False), ("float32", True)])
def test_every_kind_of_file_holds_the_fused_stack(run, tmp_path, monkeypatch, name, dtype, colour):
    if name.endswith(".zarr"):
        pytest.importorskip("zarr")
    monkeypatch.chdir(tmp_path)
    ir, visible = write(tmp_path / "i.tif", stack("uint16", seed=1)), write(tmp_path / "v.tif", stack(dtype, colour))
    result = run("fuse", ir, visible, "-o", name, "-m", "wls")
    assert result.stdout.startswith(f"{name}: {COUNT} frames of {WIDTH}×{HEIGHT} {dtype}, wls on ")
    expected = nif.fuse_stack(ir, visible, "wls").fused
    assert expected.shape == (COUNT, HEIGHT, WIDTH, *([3] if colour else []))
    np.testing.assert_array_equal(read(name), expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["i.tif", "v.tif", name])


def test_films_in_and_out(run, tmp_path, monkeypatch):
    pytest.importorskip("av")
    monkeypatch.chdir(tmp_path)
    ir, visible = write(tmp_path / "i.mp4", stack(seed=1)), write(tmp_path / "v.mp4", stack(colour=True), rate=12.5)
    assert run("fuse", ir, visible, "-o", "o.mp4", "-m", "average").exit_code == 0
    film = open_frames("o.mp4")
    assert (film.shape, film.rate) == ((COUNT,), 12.5)
    expected = nif.fuse_stack(ir, visible, "average").fused
    assert np.abs(read("o.mp4").astype(int) - expected).mean() < 3
    run("fuse", ir, visible, "-o", "p.mp4", "-m", "average", "--fps", "30")
    assert open_frames("p.mp4").rate == 30


def test_folders_keep_their_names(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder, colour in (("ir", False), ("vis", True)):
        Path(folder).mkdir()
        for t, frame in enumerate(stack(colour=colour)):
            nif.write_image(f"{folder}/frame{t + 8}.png", frame)
    assert run("fuse", "ir", "vis", "-o", "fused", "-m", "max").exit_code == 0
    assert {path.name for path in Path("fused").iterdir()} == {f"frame{t}.png" for t in range(8, 8 + COUNT)}
    for t in range(8, 8 + COUNT):  # 10 comes after 9
        alone = nif.fuse(f"ir/frame{t}.png", f"vis/frame{t}.png", "max")
        np.testing.assert_array_equal(nif.read_image(f"fused/frame{t}.png"), alone.fused)


def test_options_mean_what_they_mean_in_python(run, films):
    options = ["--frames", "1:4", "--smoothing", "0.6", "--windows", "frame", "--ir-window", "percentile", "--grey"]
    run("fuse", *films, "-o", "o.tif", "-m", "wls", *options, "--save-recipe", "r.yaml", "--quiet")
    expected = nif.fuse_stack(
        *films,
        "wls",
        frames=slice(1, 4),
        smoothing=0.6,
        windows="frame",
        ir_window="percentile",
        output="luma",
    )
    np.testing.assert_array_equal(read("o.tif"), expected.fused)
    run("fuse", *films, "-o", "p.tif", "--recipe", "r.yaml", "--frames", "1,2,3", "--quiet")
    np.testing.assert_array_equal(read("p.tif"), expected.fused)
    nif.write_image("one.png", stack()[0])
    assert run("fuse", "one.png", "one.png", "-o", "o.png", "--recipe", "r.yaml").exit_code == 0


@pytest.mark.parametrize("name", ["o.tif", "o.zarr"])
def test_pixels_keep_their_size_and_frames_their_time(run, tmp_path, monkeypatch, name):
    if name.endswith(".zarr"):
        pytest.importorskip("zarr")
    monkeypatch.chdir(tmp_path)
    for file, scale in (("i.tif", Scale((7.0, 7.0), "m")), ("v.tif", Scale((0.25, 0.5), "mm"))):
        with open_writer(file, (COUNT,), (HEIGHT, WIDTH), np.dtype(np.uint8), rate=12.5, scale=scale) as writer:
            for frame in stack():
                writer.add(frame)
    run("fuse", "i.tif", "v.tif", "-o", name, "-m", "average")
    frames = open_frames(name)
    assert frames.rate == pytest.approx(12.5)
    assert frames.scale.pixel_size == pytest.approx((0.25, 0.5))
    assert frames.scale.pixel_unit == "mm"


def test_a_region_of_a_film(run, films):
    result = run("fuse", *films, "-o", "o.tif", "-m", "max", "--region", "2,3,20,21", "--maps", "maps", "--json")
    expected = nif.fuse_stack(*films, "max", region=(2, 3, 20, 21), maps=True)
    np.testing.assert_array_equal(read("o.tif"), expected.fused)
    assert json.loads(result.stdout)["region"] == [2, 3, 20, 21]
    assert json.loads(Path("maps/maps.json").read_text(encoding="utf-8"))["region"] == [2, 3, 20, 21]
    np.testing.assert_array_equal(tifffile.imread("maps/chosen.tif"), expected.maps["chosen"].data)


def test_one_frame_and_one_map_are_no_plurals(run, films):
    said = run("fuse", *films, "-o", "o.tif", "-m", "max", "--frames", "0", "--maps", "m").stdout
    assert said.startswith(f"o.tif: 1 frame of {WIDTH}×{HEIGHT}")
    assert said.endswith("; 1 map in m\n")


def test_a_single_image_serves_all_frames(run, films):
    nif.write_image("one.png", stack(colour=True)[0])
    assert run("fuse", films[0], "one.png", "-o", "o.tif", "-m", "average").exit_code == 0
    np.testing.assert_array_equal(read("o.tif"), nif.fuse_stack(films[0], "one.png", "average").fused)


def test_maps_are_stacks_too(run, films):
    result = run("fuse", *films, "-o", "o.tif", "-m", "wls", "--maps", "maps", "--json")
    report = json.loads(result.stdout)
    expected = nif.fuse_stack(*films, "wls", maps=True)
    assert report["shape"] == list(expected.fused.shape)
    assert report["windows"] == expected.windows()
    listing = json.loads(Path("maps/maps.json").read_text(encoding="utf-8"))["maps"]
    assert set(listing) == set(report["maps"]) == set(expected.maps)
    for name, entry in listing.items():
        np.testing.assert_array_equal(tifffile.imread(Path("maps") / entry["file"]), expected.maps[name].data)


def test_what_cannot_be_is_refused_before_anything_is_computed(refused, films, monkeypatch):
    monkeypatch.setattr(nif.FusionSession, "fuse", lambda *_, **__: pytest.fail("computed"))
    write(Path("short.tif"), stack(count=3))
    Path("there").mkdir()
    assert "infrared stack has 5 frames and the visible stack 3 frames" in refused(
        "fuse", films[0], "short.tif", "-o", "o.tif"
    )
    assert "cannot hold a stack" in refused("fuse", *films, "-o", "o.png")
    assert "is a folder" in refused("fuse", *films, "-o", "there")
    assert "exists already" in refused("fuse", *films, "-o", "short.tif")
    assert "one of the inputs" in refused("fuse", *films, "-o", films[0], "--overwrite")
    assert "0 to 0.98" in refused("fuse", *films, "-o", "o.tif", "--smoothing", "2")
    assert "shared" in refused("fuse", *films, "-o", "o.tif", "--windows", "none")
    assert "FROM:TO" in refused("fuse", *films, "-o", "o.tif", "--frames", "one")
    assert "no frame 9" in refused("fuse", *films, "-o", "o.tif", "--frames", "9")
    nif.write_image("one.png", stack()[0])
    for option, value in {"frames": "0", "smoothing": "0.9", "windows": "frame", "fps": "25"}.items():
        said = refused("fuse", "one.png", "one.png", "-o", "o.png", f"--{option}", value)
        assert f"--{option} is for stacks, and these are single images" in said
    assert not Path("o.tif").exists()


@pytest.fixture
def folders(tmp_path, monkeypatch) -> tuple[Path, Path]:
    monkeypatch.chdir(tmp_path)
    for name in ("ir", "vis"):
        Path(name).mkdir()
        for t, frame in enumerate(stack(colour=name == "vis")):
            nif.write_image(f"{name}/{t}.tif", frame)
    return Path("ir"), Path("vis")


@pytest.mark.parametrize(
    "options",
    [
        ["-o", "ir/3.tif"],
        ["-o", "vis/new.tif"],
        ["-o", "other/../ir/new"],
        ["-o", "linked/new.tif"],
        ["-o", "o.tif", "--save-recipe", "vis/3.tif"],
        ["-o", "o.tif", "--maps", "ir"],
        ["-o", "o.tif", "--maps", "linked"],
    ],
)
@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_nothing_is_written_among_the_frames_that_are_read(refused, folders, tmp_path, options, overwrite):
    Path("other").mkdir()
    try:
        Path("linked").symlink_to("ir", target_is_directory=True)
    except OSError:
        pytest.skip("no links here")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.tif")}
    said = refused("fuse", *folders, *options, "-m", "average", *overwrite)
    assert f"is in the input folder {folders['vis/' in ' '.join(options)]}: choose another place." in said
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.tif")} == before


def test_frames_that_are_links_are_inputs_too(refused, folders, tmp_path):
    store = Path("ir").rename("store")
    Path("ir").mkdir()
    for frame in store.iterdir():
        try:
            Path("ir", frame.name).symlink_to(tmp_path / frame)
        except OSError:
            pytest.skip("no links here")
    before = Path("store/3.tif").read_bytes()
    said = refused("fuse", *folders, "-o", "store/3.tif", "-m", "average", "--overwrite")
    assert "3.tif is one of the inputs" in said
    assert Path("store/3.tif").read_bytes() == before


def test_results_may_lie_in_a_folder_of_the_input_folder(run, folders):
    Path("ir/results").mkdir()
    assert run("fuse", *folders, "-o", "ir/results/o.tif", "-m", "average").exit_code == 0
    assert run("fuse", *folders, "-o", "ir/results/p.tif", "-m", "average").exit_code == 0


def test_an_error_on_the_way_leaves_nothing(refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ir = stack("float32", seed=1)
    ir[3] = np.nan
    write(tmp_path / "ir.tif", ir)
    write(tmp_path / "vis.tif", stack())
    for name in ("o.tif", "o"):
        said = refused("fuse", "ir.tif", "vis.tif", "-o", name, "-m", "wls", "--maps", f"maps-{name}")
        assert "Frame 3" in said
        assert not Path(name).exists()
        assert not list(Path(f"maps-{name}").iterdir())
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")
@pytest.mark.parametrize("name", ["o.mp4", "o"])
def test_an_interrupted_run_leaves_no_half_file(tmp_path, name, wait_for):
    if name.endswith(".mp4"):
        pytest.importorskip("av")
    write(tmp_path / "ir.tif", stack(count=3000))
    write(tmp_path / "vis.tif", stack(count=3000))
    command = [sys.executable, "-m", "napari_irvisfuse.cli", "fuse", "ir.tif", "vis.tif", "-o", name, "-m", "wls"]
    job = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: len(list(tmp_path.iterdir())) > 2)  # the temporary file is there
    job.send_signal(signal.SIGINT)
    _, said = job.communicate(timeout=60)  # seconds: the process has torch to unload
    assert (job.returncode, said) == (130, "irvisfuse: cancelled.\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ir.tif", "vis.tif"]


@pytest.fixture
def wait_for() -> Callable[[Callable[[], bool]], None]:
    def wait(done: Callable[[], bool]) -> None:
        end = time.perf_counter() + 60
        while not done():
            assert time.perf_counter() < end
            time.sleep(0.05)

    return wait
