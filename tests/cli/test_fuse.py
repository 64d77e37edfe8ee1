"""``irvisfuse fuse`` does what ``nif.fuse`` does, and writes it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import napari_irvisfuse as nif


@pytest.mark.parametrize(
    ("name", "out", "dtype", "colour"),
    [
        ("v.png", "o.png", "uint8", False),
        ("v.png", "o.png", "uint8", True),
        ("v.png", "o.png", "uint16", False),
        ("v.png", "o.png", "uint16", True),
        ("v.png", "o.tif", "uint16", True),
        ("v.tif", "o.tiff", "float32", False),
        ("v.tif", "o.tif", "float64", True),
    ],
)
def test_output_has_the_visible_images_depth_and_colour(run, make, folder, name, out, dtype, colour):
    ir, visible = make("i.png", "uint16", seed=1), make(name, dtype, colour)
    result = run("fuse", ir, visible, "-o", out)
    assert result.exit_code == 0, result.output
    written, image = nif.read_image(folder / out), nif.read_image(visible)
    assert (written.dtype, written.shape) == (image.dtype, image.shape)
    expected = nif.fuse(ir, visible)
    np.testing.assert_array_equal(written, expected.fused)
    assert not np.array_equal(written, image)


def test_line_tells_what_was_made(run, pair):
    result = run("fuse", *pair, "-o", "o.png")
    assert result.stderr == ""
    assert result.stdout.startswith("o.png: 56×40 uint8, rdn on ")
    assert result.stdout.count("\n") == 1


def test_quiet_says_nothing(run, pair):
    result = run("fuse", *pair, "-o", "o.png", "--quiet")
    assert (result.exit_code, result.output) == (0, "")


@pytest.mark.parametrize("flag", ["--grey", "--luma"])
def test_grey_writes_the_luma(run, pair, flag):
    assert run("fuse", *pair, "-o", "o.png", flag).exit_code == 0
    np.testing.assert_array_equal(nif.read_image("o.png"), nif.fuse(*pair, output="luma").fused)


@pytest.mark.parametrize("rule", ["visible", "natural", "luma"])
def test_colour_rules_have_the_same_words(run, pair, rule):
    assert run("fuse", *pair, "-o", "o.png", "--colour", rule, "--save-recipe", "r.yaml").exit_code == 0
    np.testing.assert_array_equal(nif.read_image("o.png"), nif.fuse(*pair, output=rule).fused)
    assert nif.Recipe.load("r.yaml").output == rule


def test_parameters_windows_and_precision_are_passed_on(run, pair):
    options = ["--param", "iterations=2", "-p", "detail-gain = 2", "--ir-window", "20,200", "--visible-window", "data"]
    assert run("fuse", *pair, "-o", "o.png", "-m", "wls", *options, "--precision", "float64").exit_code == 0
    expected = nif.fuse(
        *pair, "wls", iterations=2, detail_gain=2, ir_window=(20, 200), visible_window="data", precision="float64"
    )
    np.testing.assert_array_equal(nif.read_image("o.png"), expected.fused)


def test_maps_are_written_with_their_listing(run, pair):
    result = run("fuse", *pair, "-o", "o.png", "--maps", "maps")
    assert "maps in maps" in result.stdout
    listing = json.loads(Path("maps/maps.json").read_text(encoding="utf-8"))
    expected = nif.fuse(*pair).maps
    assert set(listing["maps"]) == set(expected)
    assert {path.name for path in Path("maps").iterdir()} == {f"{name}.tif" for name in expected} | {"maps.json"}
    for name, entry in listing["maps"].items():
        assert (entry["kind"], entry["stride"]) == (expected[name].kind, expected[name].stride)
        np.testing.assert_array_equal(nif.read_image(Path("maps") / entry["file"]), expected[name].data)


def test_json_is_the_only_thing_on_stdout(run, pair):
    result = run("fuse", *pair, "-o", "o.png", "-m", "max", "--json", "--maps", "maps")
    report = json.loads(result.stdout)
    assert report["output"] == "o.png"
    assert (report["method"], report["parameters"], report["precision"]) == ("max", {}, "float32")
    assert report["device"]
    assert report["notes"] == []
    assert report["seconds"] >= 0
    assert report["maps"]["chosen"]["kind"] == "index"
    assert Path(report["maps"]["chosen"]["file"]).is_file()


def test_json_without_maps_names_them_but_no_files(run, pair):
    report = json.loads(run("fuse", *pair, "-o", "o.png", "--json", "-m", "wls", "-p", "iterations=3").stdout)
    assert report["parameters"]["iterations"] == 3
    assert {entry["file"] for entry in report["maps"].values()} == {None}


def test_notes_go_to_stderr_and_into_the_json(run, pair, monkeypatch):
    real = nif.fuse

    def noted(*args, **kwargs):
        result = real(*args, **kwargs)
        return nif.FusionResult(result.fused, result.maps, result.recipe, ("Memory was short.",))

    monkeypatch.setattr(nif, "fuse", noted)
    result = run("fuse", *pair, "-o", "o.png", "--json")
    assert result.stderr == "Note: Memory was short.\n"
    assert json.loads(result.stdout)["notes"] == ["Memory was short."]


def test_overwrite_replaces_everything(run, pair):
    everything = ["-o", "o.png", "--maps", "maps", "--save-recipe", "r.yaml"]
    run("fuse", *pair, *everything, "-m", "average")
    before = nif.read_image("o.png")
    assert run("fuse", *pair, *everything, "--overwrite").exit_code == 0
    assert not np.array_equal(nif.read_image("o.png"), before)
    assert nif.Recipe.load("r.yaml").method == "rdn"


def test_published_wls_results_are_reproduced_to_the_last_bit(run, data_dir, tmp_path):
    references = sorted((data_dir / "tno_reference/wls").glob("*.png"))
    assert len(references) == 10
    for reference in references:
        out = tmp_path / reference.name
        images = (data_dir / "tno" / kind / reference.name for kind in ("ir", "vi"))
        assert run("fuse", *images, "-o", out, "--method", "wls", "--precision", "float64").exit_code == 0
        np.testing.assert_array_equal(nif.read_image(out), nif.read_image(reference), err_msg=reference.name)
