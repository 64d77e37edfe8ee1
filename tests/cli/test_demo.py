"""``irvisfuse demo`` works at once, with and without a screen, and replaces nothing but its own files."""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import napari_irvisfuse as nif
from napari_irvisfuse.cli import demo
from napari_irvisfuse.samples import scene

PICTURES = {"contact_sheet.png", "fused.png", "infrared.png", "visible.png"}


@pytest.fixture
def no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")


@pytest.fixture
def sample(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> tuple[np.ndarray, np.ndarray]:
    """Let the small pair stand in for the sample scene, which takes seconds."""
    images = nif.read_image(pair[0]), nif.read_image(pair[1])
    monkeypatch.setattr(scene, "colour_pair", lambda: images)
    return images


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """Let a viewer be possible, and record what would be shown in it."""
    calls: list[tuple] = []
    launch = types.ModuleType("napari_irvisfuse._widgets.launch")
    launch.show_demo = lambda *args: calls.append(args)
    monkeypatch.setitem(sys.modules, launch.__name__, launch)
    monkeypatch.setattr(demo, "find_spec", lambda name: True)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("QT_QPA_PLATFORM", raising=False)
    monkeypatch.setenv("DISPLAY", ":7")
    return calls


@pytest.mark.usefixtures("no_screen")
def test_first_command_on_a_fresh_machine(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    result = run("demo")
    assert result.exit_code == 0, result.output
    folder = tmp_path / "irvisfuse-demo"
    assert {path.name for path in folder.iterdir()} == PICTURES
    assert str(Path("irvisfuse-demo/contact_sheet.png")) in result.stdout
    assert 'pip install "napari-irvisfuse[all]"' in result.stdout
    ir, visible = scene.colour_pair()
    np.testing.assert_array_equal(nif.read_image(folder / "infrared.png"), ir)
    np.testing.assert_array_equal(nif.read_image(folder / "visible.png"), visible)
    np.testing.assert_array_equal(nif.read_image(folder / "fused.png"), nif.fuse(ir, visible).fused)
    sheet = nif.read_image(folder / "contact_sheet.png")
    assert sheet.dtype == np.uint8
    assert sheet.shape[1:] == (1920, 3)


@pytest.mark.usefixtures("no_screen", "sample")
def test_second_run_replaces_the_first(run, folder):
    run("demo", "-m", "max")
    before = (folder / "irvisfuse-demo/fused.png").read_bytes()
    result = run("demo", "-m", "average")
    assert (result.exit_code, result.stderr) == (0, "")
    why = "There is no screen here" if importlib.util.find_spec("napari") else "napari is not installed"
    assert why in result.stdout
    assert (folder / "irvisfuse-demo/fused.png").read_bytes() != before


@pytest.mark.usefixtures("no_screen")
def test_own_pair_into_one_picture(run, pair, folder):
    result = run("demo", "--ir", pair[0], "--vis", pair[1], "-o", "sheet.png")
    assert result.exit_code == 0, result.output
    assert {path.name for path in folder.iterdir()} == {"in", "sheet.png"}
    assert "sheet.png" in result.stdout
    assert run("demo", "--ir", pair[0], "--vis", pair[1], "-o", "sheet.png").exit_code == 0


@pytest.mark.usefixtures("no_screen")
def test_float_pictures_become_tiff(run, make, folder):
    result = run("demo", "--ir", make("i.png", "uint16", seed=1), "--vis", make("v.tif", "float32"))
    assert result.exit_code == 0, result.output
    names = {path.name for path in (folder / "irvisfuse-demo").iterdir()}
    assert names == {"contact_sheet.png", "fused.tif", "infrared.png", "visible.tif"}


@pytest.mark.usefixtures("no_screen", "sample")
def test_files_of_others_are_left_alone(refused, folder):
    picture = np.zeros((20, 20, 3), np.uint8)
    Image.fromarray(picture).save(folder / "mine.png")
    assert "not the demo's own" in refused("demo", "-o", "mine.png")
    (folder / "album").mkdir()
    Image.fromarray(picture).save(folder / "album/visible.png")
    assert "not the demo's own" in refused("demo", "-o", "album")
    assert {path.name for path in (folder / "album").iterdir()} == {"visible.png"}
    np.testing.assert_array_equal(nif.read_image("mine.png"), picture)


@pytest.mark.usefixtures("no_screen", "sample")
def test_pictures_of_an_earlier_demo_as_input_are_left_alone(run, refused, folder):
    run("demo")
    made = folder / "irvisfuse-demo"
    line = refused("demo", "--ir", made / "infrared.png", "--vis", made / "visible.png")
    assert "infrared.png exists already" in line


@pytest.mark.usefixtures("no_screen", "sample")
def test_refusals(refused, pair, folder):
    assert "both --ir and --vis" in refused("demo", "--ir", pair[0])
    assert "There is no screen" in refused("demo", "--viewer") or not demo.find_spec("napari")
    assert "There is no folder" in refused("demo", "-o", "no/such")
    nif.write_image(folder / "in/large.png", np.zeros((50, 60), np.uint8))
    line = refused("demo", "--ir", folder / "in/large.png", "--vis", pair[1])
    assert "60×50 and 56×40" in line
    assert "irvisfuse fuse fuses them, with --align" in line
    assert "There is no method 'magic'" in refused("demo", "-m", "magic")
    (folder / "irvisfuse-demo").write_text("in the way")
    assert "is a file" in refused("demo")


def test_viewer_opens_where_there_is_a_screen(run, sample, opened, folder):
    result = run("demo", "-m", "max")
    assert result.exit_code == 0, result.output
    assert len(opened) == 1
    ir, visible, method, parameters = opened[0]
    assert ir is sample[0]
    assert visible is sample[1]
    assert (method, parameters) == ("max", {})
    assert {path.name for path in folder.iterdir()} == {"in"}


@pytest.mark.usefixtures("sample")
def test_pictures_in_place_of_the_viewer_or_both(run, opened, folder):
    run("demo", "--no-viewer")
    run("demo", "-o", "a.png")
    assert opened == []
    run("demo", "-o", "b.png", "--viewer")
    assert len(opened) == 1
    assert {path.name for path in folder.iterdir()} == {"in", "irvisfuse-demo", "a.png", "b.png"}


def test_what_keeps_the_viewer_away(opened, monkeypatch):
    assert demo.why_no_viewer() is None
    monkeypatch.delenv("DISPLAY")
    assert "no screen" in demo.why_no_viewer()
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert demo.why_no_viewer() is None
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    assert "no screen" in demo.why_no_viewer()
    monkeypatch.delenv("QT_QPA_PLATFORM")
    monkeypatch.setattr(demo, "find_spec", lambda name: None if "Py" in name else True)
    assert "no Qt" in demo.why_no_viewer()
    monkeypatch.setattr(demo, "find_spec", lambda name: None if name == "napari" else True)
    assert "napari is not installed" in demo.why_no_viewer()
