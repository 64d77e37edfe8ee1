"""``--align`` and ``--grid``: pairs of other sizes on the command line."""

import json

import numpy as np
import pytest

import napari_irvisfuse as nif

MATRIX = [[0.5, 0.0, 8.0], [0.0, 0.5, 12.0], [0.0, 0.0, 1.0]]


@pytest.fixture
def other(folder):
    """A pair whose visible image has half the pixels of the infrared one."""
    visible = np.random.default_rng(3).integers(0, 256, (30, 42, 3), dtype=np.uint8)
    nif.write_image(folder / "in/small.png", visible)
    return folder / "in/ir.png", folder / "in/small.png"


def written(folder, pair, **options):
    return np.array_equal(nif.read_image(folder / "out.png"), nif.fuse(*pair, "max", **options).fused)


def test_sizes_that_differ_are_refused_with_the_ways_out(refused, other):
    line = refused("fuse", *other, "-o", "out.png")
    assert "56×40" in line
    assert "42×30" in line
    assert line.endswith(
        "say --align fit if both show the same view, or --align FILE with what irvisfuse align finds.\n"
    )
    assert "say --align fit" in refused("metrics", other[1], *other)


@pytest.mark.parametrize("grid", ["visible", "ir", "finer"])
def test_the_same_view(run, other, folder, grid):
    result = run("fuse", *other, "-o", "out.png", "-m", "max", "--align", "fit", "--grid", grid)
    assert result.exit_code == 0
    assert "is resampled onto the" in result.stderr
    assert written(folder, other, ir_to_visible="fit", grid=grid)


@pytest.mark.parametrize("grid", ["visible", "ir"])
def test_an_alignment_file(run, other, folder, grid):
    nif.write_alignment(folder / "a.json", nif.Alignment(MATRIX, "affine", (40, 56), (30, 42)))
    result = run("fuse", *other, "-o", "out.png", "-m", "max", "--align", "a.json", "--grid", grid, "--json")
    report = json.loads(result.stdout)
    assert report["grid"] == grid
    assert report["ir_to_visible"] == MATRIX
    assert ("elsewhere the visible image stays as it is" in report["notes"][0]) == (grid == "visible")
    assert written(folder, other, ir_to_visible=MATRIX, grid=grid)


def test_a_recipe_keeps_them_and_options_win(run, other, folder):
    arguments = ("fuse", *other, "-o", "out.png", "--overwrite")
    run(*arguments, "-m", "max", "--align", "fit", "--grid", "ir", "--save-recipe", "r.yaml")
    (folder / "out.png").unlink()
    run(*arguments, "--recipe", "r.yaml")
    assert written(folder, other, ir_to_visible="fit", grid="ir")
    run(*arguments, "--recipe", "r.yaml", "--grid", "visible")
    assert written(folder, other, ir_to_visible="fit", grid="visible")


def test_a_recipes_matrix_is_for_images_of_its_sizes(run, refused, other, pair, folder):
    nif.write_alignment(folder / "a.json", nif.Alignment(MATRIX, "affine", None, None))
    run("fuse", *other, "-o", "out.png", "-m", "max", "--align", "a.json", "--save-recipe", "r.yaml")
    assert "visible image of 42×30" in refused("fuse", *pair, "-o", "o.png", "--recipe", "r.yaml")
    assert run("fuse", *pair, "-o", "o.png", "--recipe", "r.yaml", "--align", "none").exit_code == 0


def test_what_is_refused(refused, other, folder):
    arguments = ("fuse", *other, "-o", "out.png")
    assert "none.json" in refused(*arguments, "--align", "none.json")
    assert "visible, ir, finer" in refused(*arguments, "--align", "fit", "--grid", "moon")
    nif.write_alignment(folder / "a.json", nif.Alignment(MATRIX, "affine", (20, 28), None))
    assert "infrared image of 28×20" in refused(*arguments, "--align", "a.json")
    nif.write_alignment(folder / "a.json", nif.Alignment([[1, 0, 900], [0, 1, 0], [0, 0, 1]], "affine", None, None))
    assert "do not overlap" in refused(*arguments, "--align", "a.json")
    assert "one of the inputs" in refused(
        "fuse", *other, "-o", "out.png", "--align", "a.json", "--save-recipe", "a.json"
    )
    assert not (folder / "out.png").exists()


def test_metrics(run, other, folder):
    run("fuse", *other, "-o", "out.png", "-m", "max", "--align", "fit", "--grid", "ir")
    options = ("--which", "EN,MI", "--json", "--align", "fit", "--grid", "ir")
    values = json.loads(run("metrics", "out.png", *other, *options).stdout)["values"]
    expected = nif.evaluate(folder / "out.png", *other, which=["EN", "MI"], ir_to_visible="fit", grid="ir")
    assert values == pytest.approx(expected)
