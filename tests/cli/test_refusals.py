"""What a user can get wrong: one line on stderr, status 2, and nothing written."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest

import napari_irvisfuse as nif
from napari_irvisfuse.errors import OutputError


def _no_fusion(*args: object, **kwargs: object) -> None:
    raise AssertionError("computed before it was checked")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["-m", "magic"], "There is no method 'magic': choose one of"),
        (["-m", "wls", "-p", "magic=1"], "Method 'wls' has no parameter 'magic': it has detail_gain, iterations,"),
        (["-m", "wls", "-p", "iterations=99"], "iterations takes a whole number from 1 to 10; got 99."),
        (["-m", "wls", "-p", "iterations=many"], "iterations takes a whole number from 1 to 10; got 'many'."),
        (["-p", "iterations"], "--param takes name=value; got 'iterations'."),
        (["-p", "device=cuda"], "Method 'rdn' has no parameter 'device'"),
        (["-p", "preset=authors"], "A preset is chosen with --preset authors."),
        (["--preset", "magic"], "Method 'rdn' has no preset 'magic'"),
        (["--recipe", "none.yaml"], "The recipe none.yaml cannot be read"),
    ],
)
def test_choices_are_checked_before_anything_is_computed(refused, pair, monkeypatch, options, sentence):
    monkeypatch.setattr(nif, "fuse", _no_fusion)
    assert sentence in refused("fuse", *pair, "-o", "o.png", *options)
    assert not Path("o.png").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--ir-window", "5,1"], "needs low < high"),
        (["--visible-window", "wide"], "An intensity window is one of"),
        (["--device", "abacus"], "There is no device 'abacus'"),
        (["--precision", "float7"], "There is no precision 'float7'"),
        (["-m", "wls", "--weights", "w.pth"], "uses no weights"),
    ],
)
def test_other_choices(refused, pair, options, sentence):
    assert sentence in refused("fuse", *pair, "-o", "o.png", *options)
    assert not Path("o.png").exists()


def test_missing_and_broken_files(refused, pair, folder):
    ir, visible = pair
    assert "There is no image file" in refused("fuse", folder / "no.png", visible, "-o", "o.png")
    (folder / "text.png").write_text("not a picture")
    assert "cannot be read as an image" in refused("fuse", ir, folder / "text.png", "-o", "o.png")
    assert not Path("o.png").exists()


def test_different_sizes(refused, pair, folder):
    nif.write_image(folder / "large.png", np.zeros((50, 60), np.uint8))
    line = refused("fuse", folder / "large.png", pair[1], "-o", "o.png")
    assert "60×50" in line
    assert "56×40" in line


def test_format_that_cannot_be_written(refused, pair):
    assert "PNG or TIFF" in refused("fuse", *pair, "-o", "o.jpg")


def test_float_needs_tiff_and_says_so_before_computing(refused, make, monkeypatch):
    monkeypatch.setattr(nif, "fuse", _no_fusion)
    line = refused("fuse", make("i.png"), make("v.tif", "float32"), "-o", "o.png")
    assert "float32" in line
    assert "write o.tif instead" in line


def test_existing_output_is_refused_before_computing_and_left_alone(refused, pair, monkeypatch):
    monkeypatch.setattr(nif, "fuse", _no_fusion)
    Path("o.png").write_bytes(b"precious")
    assert "exists already" in refused("fuse", *pair, "-o", "o.png")
    assert Path("o.png").read_bytes() == b"precious"


@pytest.mark.parametrize(("option", "existing"), [("--save-recipe", "r.yaml"), ("--maps", "m/maps.json")])
def test_existing_extras_are_refused_too(refused, pair, option, existing):
    Path(existing).parent.mkdir(exist_ok=True)
    Path(existing).write_text("precious")
    assert "exists already" in refused("fuse", *pair, "-o", "o.png", option, existing.removesuffix("/maps.json"))
    assert Path(existing).read_text() == "precious"
    assert not Path("o.png").exists()


def test_an_input_is_never_overwritten(refused, pair):
    before = pair[1].read_bytes()
    assert "is one of the inputs" in refused("fuse", *pair, "-o", pair[1], "--overwrite")
    assert pair[1].read_bytes() == before


def test_a_map_never_replaces_an_input(refused, pair, folder):
    (folder / "m").mkdir()
    ir = nif.write_image(folder / "m/ir_gradient.tif", nif.read_image(pair[0]))
    before = ir.read_bytes()
    line = refused("fuse", ir, pair[1], "-o", "o.png", "--maps", "m", "--save-recipe", "r.yaml", "--overwrite")
    assert "ir_gradient.tif is one of the inputs" in line
    assert ir.read_bytes() == before
    assert sorted(path.name for path in folder.rglob("*.*")) == ["ir.png", "ir_gradient.tif", "vis.png"]


def test_a_map_replaces_a_file_only_if_told_to(run, refused, pair, folder):
    (folder / "m").mkdir()
    mine = folder / "m/visible_gradient.tif"
    mine.write_text("precious")
    assert "visible_gradient.tif exists already" in refused("fuse", *pair, "-o", "o.png", "--maps", "m")
    assert mine.read_text() == "precious"
    assert [path.name for path in (folder / "m").iterdir()] == ["visible_gradient.tif"]
    assert not Path("o.png").exists()
    with pytest.raises(OutputError, match="exists already"):
        nif.fuse(*pair).save_maps("m", overwrite=False)
    assert [path.name for path in (folder / "m").iterdir()] == ["visible_gradient.tif"]
    assert run("fuse", *pair, "-o", "o.png", "--maps", "m", "--overwrite").exit_code == 0
    assert nif.read_image(mine).shape == (40, 56)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["-o", "x.png", "--save-recipe", "m/../x.png"], "would be written twice"),
        (["-o", "x.png", "--save-recipe", "m/maps.json", "--maps", "m"], "would be written twice"),
        (["-o", "m/ir_gradient.tif", "--maps", "m"], "would be written twice"),
        (["-o", "x.png", "--maps", "x.png"], "both a file and a folder"),
        (["-o", "x.png", "--maps", "m", "--save-recipe", "m"], "is a folder"),
        (["-o", "x.png", "--save-recipe", "r", "--maps", "r/maps"], "both a file and a folder"),
    ],
)
def test_two_results_of_one_name_are_refused(refused, pair, folder, options, sentence):
    (folder / "m").mkdir()
    assert sentence in refused("fuse", *pair, *options)
    assert sorted(path.name for path in folder.rglob("*")) == ["in", "ir.png", "m", "vis.png"]


def test_a_folder_is_a_stack(refused, pair, folder):
    assert "o.png cannot hold a stack" in refused("fuse", folder / "in", pair[1], "-o", "o.png")
    (folder / "empty").mkdir()
    assert "empty holds no images" in refused("fuse", folder / "empty", pair[1], "-o", "o.tif")


def test_folders_and_files_in_each_others_place(refused, pair, folder):
    (folder / "d.png").mkdir()
    assert "is a folder" in refused("fuse", *pair, "-o", "d.png", "--overwrite")
    (folder / "f").write_text("")
    assert "is a file" in refused("fuse", *pair, "-o", "o.png", "--maps", "f")
    assert "There is no folder" in refused("fuse", *pair, "-o", "no/o.png")
    assert "There is no folder" in refused("fuse", *pair, "-o", "o.png", "--save-recipe", "no/r.yaml")
    assert not Path("o.png").exists()


def test_maps_that_cannot_be_made(refused, pair, folder):
    (folder / "f").write_text("")
    assert "f/m" in refused("fuse", *pair, "-o", "o.png", "--maps", "f/m").replace("\\", "/")
    assert not Path("o.png").exists()


def test_maps_that_cannot_be_written_leave_no_output(refused, pair, monkeypatch):
    def full(self: object, folder: Path, *, overwrite: bool) -> Path:
        raise OutputError("There is no room for the maps.")

    monkeypatch.setattr(nif.FusionResult, "save_maps", full)
    assert "There is no room" in refused("fuse", *pair, "-o", "o.png", "--maps", "m")
    assert not Path("o.png").exists()


def test_ctrl_c_stops_cleanly(run, pair, monkeypatch):
    real = nif.fuse

    def interrupted(*args, **kwargs):
        signal.raise_signal(signal.SIGINT)
        return real(*args, **kwargs)

    monkeypatch.setattr(nif, "fuse", interrupted)
    before = signal.getsignal(signal.SIGINT)
    result = run("fuse", *pair, "-o", "o.png", "--maps", "m", "--save-recipe", "r.yaml")
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "irvisfuse: cancelled.\n")
    assert not any(Path(name).exists() for name in ("o.png", "m", "r.yaml"))
    assert signal.getsignal(signal.SIGINT) is before


def test_second_ctrl_c_does_not_wait_for_the_job_to_ask(run, pair, monkeypatch):
    reached = []

    def deaf(*args, **kwargs):
        for _ in range(3):
            signal.raise_signal(signal.SIGINT)
            reached.append("on it goes")

    monkeypatch.setattr(nif, "fuse", deaf)
    result = run("fuse", *pair, "-o", "o.png")
    assert (result.exit_code, result.stderr) == (130, "irvisfuse: cancelled.\n")
    assert len(reached) == 1


def test_ctrl_c_after_the_last_step_still_writes_nothing(run, pair, monkeypatch):
    real = nif.fuse

    def late(*args, **kwargs):
        result = real(*args, **kwargs)
        signal.raise_signal(signal.SIGINT)
        return result

    monkeypatch.setattr(nif, "fuse", late)
    assert run("fuse", *pair, "-o", "o.png").exit_code == 130
    assert not Path("o.png").exists()


def test_unexpected_errors_keep_their_traceback(run, pair, monkeypatch):
    def broken(*args, **kwargs):
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr(nif, "fuse", broken)
    with pytest.raises(ZeroDivisionError):
        run("fuse", *pair, "-o", "o.png")


@pytest.mark.parametrize("args", [["fuse"], ["fuse", "a", "b"], ["nonsense"], ["fuse", "a", "b", "-o", "c", "--magic"]])
def test_usage_errors_are_one_line(refused, args):
    assert f"See irvisfuse {args[0]}" in refused(*args) or "See irvisfuse --help." in refused(*args)


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["--magic"], "No such option"),
        (["fus"], "Did you mean 'fuse'?"),
        (["weights", "nonsense"], "No such command"),
        (["fuse", "a", "b"], "Missing option"),
        (["fuse", "a", "b", "-o"], "requires an argument"),
    ],
)
def test_usage_errors_say_what_is_wrong(refused, args, sentence):
    assert sentence in refused(*args)


def test_nothing_typed_shows_the_help(run):
    assert "Usage:" in run().output
