"""``irvisfuse thermal`` writes what ``nif.read_radiometric`` reads."""

from __future__ import annotations

import json

import numpy as np
import pytest

import napari_irvisfuse as nif
from napari_irvisfuse.images.alignment_files import read_alignment
from napari_irvisfuse.images.scale import Scale, read_scale

COUNTS = (17000 + np.arange(24 * 32).reshape(24, 32)).astype(np.uint16)
PHOTO = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


@pytest.fixture
def flir(folder, write_rjpeg):
    return write_rjpeg(folder / "in/FLIR0001.jpg", COUNTS, PHOTO, overlay=(1.25, 3, -2))


def test_temperatures_photograph_and_alignment(run, folder, flir):
    result = run("thermal", flir, "-o", "out/new")
    assert (result.exit_code, result.stderr) == (0, "")
    thermal = nif.read_radiometric(flir)
    celsius = nif.read_image(folder / "out/new/FLIR0001_infrared.tif")
    assert celsius.dtype == np.float32
    np.testing.assert_array_equal(celsius, thermal.celsius())
    assert read_scale(folder / "out/new/FLIR0001_infrared.tif").value_unit == "°C"
    np.testing.assert_array_equal(nif.read_image(folder / "out/new/FLIR0001_visible.png"), thermal.visible)
    alignment = read_alignment(folder / "out/new/FLIR0001_alignment.json")
    np.testing.assert_allclose(alignment.ir_to_visible, thermal.ir_to_visible)
    assert (alignment.ir_shape, alignment.visible_shape, alignment.model) == ((24, 32), (48, 64), "camera")
    low, high = celsius.min(), celsius.max()
    assert f"32×24, {low:.5g} to {high:.5g} °C, Synthetic" in result.stdout


def test_counts_bit_by_bit(run, folder, flir):
    assert "17000 to 17767 counts" in run("thermal", flir, "-o", "out", "--counts").stdout
    np.testing.assert_array_equal(nif.read_image(folder / "out/FLIR0001_infrared.tif"), COUNTS)


def test_other_conditions(run, folder, flir):
    report = json.loads(run("thermal", flir, "-o", "out", "--emissivity", 0.5, "--distance", 0, "--json").stdout)
    expected = nif.read_radiometric(flir).celsius(emissivity=0.5, distance=0)
    np.testing.assert_array_equal(nif.read_image(folder / "out/FLIR0001_infrared.tif"), expected)
    assert report["conditions"]["emissivity"] == 0.5
    assert report["conditions"]["relative_humidity"] == 0.5
    assert report["values"] == {
        "min": pytest.approx(expected.min()),
        "max": pytest.approx(expected.max()),
        "unit": "°C",
    }
    assert set(report["files"]) == {"infrared", "visible", "alignment"}


def test_without_a_photograph(run, folder, write_rjpeg):
    path = write_rjpeg(folder / "in/a.jpg", COUNTS, overlay=None)
    run("thermal", path, "-o", "out")
    assert [file.name for file in (folder / "out").iterdir()] == ["a_infrared.tif"]


def test_what_no_temperature_explains_is_said(run, folder, write_rjpeg):
    path = write_rjpeg(folder / "in/dead.jpg", np.zeros((24, 32), np.uint16))
    assert "no temperatures" in run("thermal", path, "-o", "out").stdout
    assert json.loads(run("thermal", path, "-o", "out2", "--json").stdout)["values"]["min"] is None


def test_counts_need_no_sensible_conditions(run, refused, folder, write_rjpeg):
    path = write_rjpeg(folder / "in/odd.jpg", COUNTS, emissivity=0.0)
    assert "emissivity is above 0" in refused("thermal", path, "-o", "out")
    assert run("thermal", path, "-o", "out", "--emissivity", 1).exit_code == 0
    assert run("thermal", path, "-o", "out2", "--counts").exit_code == 0


def test_nothing_is_replaced_unasked(run, refused, folder, flir):
    (folder / "out").mkdir()
    (folder / "out/FLIR0001_alignment.json").write_text("mine")
    assert "exists already" in refused("thermal", flir, "-o", "out")
    assert [file.name for file in (folder / "out").iterdir()] == ["FLIR0001_alignment.json"]
    assert run("thermal", flir, "-o", "out", "--overwrite").exit_code == 0


def test_what_is_refused(refused, pair, flir):
    assert "no radiometric JPEG" in refused("thermal", pair[0], "-o", "out")
    assert "no image file" in refused("thermal", "missing.jpg", "-o", "out")
    assert "emissivity" in refused("thermal", flir, "-o", "out", "--emissivity", 0)
    assert "--counts" in refused("thermal", flir, "-o", "out", "--emissivity", 0.9, "--counts")
    assert "cannot be made" in refused("thermal", flir, "-o", flir)


# -- straight into a fusion -------------------------------------------------------------------------------------


def test_one_radiometric_jpeg_is_a_pair(run, folder, flir):
    report = json.loads(run("fuse", flir, "-o", "fused.png", "-m", "average", "--maps", "maps", "--json").stdout)
    thermal = nif.read_radiometric(flir)
    expected = nif.fuse(
        thermal.celsius(), thermal.visible, "average", ir_to_visible=thermal.ir_to_visible, device="cpu"
    )
    np.testing.assert_array_equal(nif.read_image(folder / "fused.png"), expected.fused)
    window = report["windows"]["ir"]
    assert window["unit"] == "°C"
    assert window["low"] == pytest.approx(thermal.celsius().min())
    assert json.loads((folder / "maps/maps.json").read_text(encoding="utf-8"))["windows"]["ir"] == window


def test_what_the_parts_give_is_what_the_whole_gives(run, folder, flir):
    run("thermal", flir, "-o", "out")
    parts = ["out/FLIR0001_infrared.tif", "out/FLIR0001_visible.png", "--align", "out/FLIR0001_alignment.json"]
    assert json.loads(run("fuse", *parts, "-o", "a.png", "--json").stdout)["windows"]["ir"]["unit"] == "°C"
    run("fuse", flir, "-o", "b.png")
    np.testing.assert_array_equal(nif.read_image(folder / "a.png"), nif.read_image(folder / "b.png"))


def test_a_radiometric_jpeg_is_infrared_in_degrees(run, folder, write_rjpeg):
    path = write_rjpeg(folder / "in/a.jpg", COUNTS)
    nif.write_image(folder / "in/photo.png", PHOTO[:24, :32])
    run("fuse", path, "in/photo.png", "-o", "a.png", "--ir-window", "20,60")
    expected = nif.fuse(path, folder / "in/photo.png", ir_window=(20, 60))
    np.testing.assert_array_equal(nif.read_image(folder / "a.png"), expected.fused)
    assert expected.ir_window.unit == "°C"


def test_a_recipe_does_not_lay_one_cameras_images_as_anothers(run, folder, flir, write_rjpeg):
    other = write_rjpeg(folder / "in/FLIR0002.jpg", COUNTS, PHOTO, overlay=(1.5, -4, 1))
    run("fuse", other, "-o", "other.png", "-m", "average", "--grey", "--save-recipe", "other.yaml")
    recipe = nif.Recipe.load("other.yaml")
    thermal = nif.read_radiometric(flir)

    def fused(*options):
        result = run("fuse", flir, "-o", "o.png", "--overwrite", "--recipe", "other.yaml", *options)
        assert result.exit_code == 0, result.stderr
        return nif.read_image("o.png"), "not the recipe's" in result.stderr

    def expected(alignment):
        return nif.fuse(
            thermal.celsius(), thermal.visible, "average", output="luma", ir_to_visible=alignment, device="cpu"
        ).fused

    own, others, fit = map(expected, (thermal.ir_to_visible, recipe.ir_to_visible, "fit"))
    assert not np.array_equal(own, others)
    for options, pixels, noted in (
        ([], own, True),
        (["--align", "own"], own, False),
        (["--align", "recipe"], others, False),
        (["--align", "fit"], fit, False),
    ):
        found, said = fused(*options)
        np.testing.assert_array_equal(found, pixels)
        assert said == noted
    again = run("fuse", other, "-o", "o.png", "--overwrite", "--recipe", "other.yaml")
    assert "not the recipe's" not in again.stderr
    np.testing.assert_array_equal(nif.read_image("o.png"), nif.read_image("other.png"))


def test_words_for_alignments(run, refused, folder, pair, flir, write_rjpeg):
    unaligned = write_rjpeg(folder / "in/b.jpg", COUNTS, PHOTO, overlay=None)
    assert "b.jpg does not say how its images lie" in refused("fuse", unaligned, "-o", "o.png", "--align", "own")
    assert "name one with --recipe" in refused("fuse", flir, "-o", "o.png", "--align", "recipe")
    assert "nothing tells how they lie" in refused("fuse", flir, "-o", "o.png", "--align", "none")
    assert "There is no alignment file fitt: name one, or say fit" in refused(
        "fuse", flir, "-o", "o.png", "--align", "fitt"
    )
    nif.Recipe("average", ir_to_visible=((1, 0, 5), (0, 1, 5), (0, 0, 1))).save("r.yaml")
    run("fuse", *pair, "-o", "moved.png", "--recipe", "r.yaml")
    run("fuse", *pair, "-o", "o.png", "--recipe", "r.yaml", "--align", "none")
    np.testing.assert_array_equal(nif.read_image("o.png"), nif.fuse(*pair, "average").fused)
    assert not np.array_equal(nif.read_image("o.png"), nif.read_image("moved.png"))


def test_half_a_pair_is_refused(refused, folder, pair, write_rjpeg):
    assert "name a visible image" in refused("fuse", pair[0], "-o", "o.png")
    alone = write_rjpeg(folder / "in/a.jpg", COUNTS)
    assert "no photograph" in refused("fuse", alone, "-o", "o.png")
    assert "no image file" in refused("fuse", "missing.jpg", "-o", "o.png")
    unaligned = write_rjpeg(folder / "in/b.jpg", COUNTS, PHOTO, overlay=None)
    assert "--align" in refused("fuse", unaligned, "-o", "o.png")


def test_what_is_said_of_the_colour_is_said_once(refused, pair):
    assert "leave one out" in refused("fuse", *pair, "-o", "o.png", "--grey", "--colour", "natural")
    assert "visible, natural, luma" in refused("fuse", *pair, "-o", "o.png", "--colour", "sepia")


def test_the_result_has_the_scale_of_the_visible_tiff(run, folder, pair):
    scale = Scale((0.5, 0.25), "mm", "V")
    nif.write_image(folder / "in/vis.tif", nif.read_image(pair[1]), scale=scale)
    run("fuse", pair[0], "in/vis.tif", "-o", "o.tif")
    kept = read_scale(folder / "o.tif")
    assert kept.pixel_size == pytest.approx((0.05, 0.025), rel=1e-5)
    assert (kept.pixel_unit, kept.value_unit) == ("cm", "")  # a fused value is no voltage
