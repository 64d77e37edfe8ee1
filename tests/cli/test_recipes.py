"""A saved recipe repeats a result; what is said beside it wins."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import napari_irvisfuse as nif
from napari_irvisfuse.cli.request import Choices
from napari_irvisfuse.sparse.dictionaries import write_dictionary


@pytest.mark.parametrize("name", ["r.yaml", "r.json"])
def test_replay_is_identical(run, pair, folder, name):
    options = ["-m", "wls", "-p", "iterations=2", "-p", "saliency_weight=0.3", "--ir-window", "10,180", "--grey"]
    saving = run("fuse", *pair, "-o", "a.png", *options, "--save-recipe", name)
    assert saving.exit_code == 0, saving.output
    result = run("fuse", *pair, "-o", "b.png", "--recipe", name)
    assert (result.exit_code, result.stderr) == (0, "")
    assert (folder / "a.png").read_bytes() == (folder / "b.png").read_bytes()
    run("fuse", *pair, "-o", "c.png")
    assert (folder / "a.png").read_bytes() != (folder / "c.png").read_bytes()


def test_options_win_over_the_recipe():
    saved = nif.Recipe(
        "wls", {"iterations": 2, "detail_gain": 3.0}, precision="float64", ir_window=(1.0, 2.0), output="luma"
    )
    kept = Choices().arguments(saved)
    assert (kept["iterations"], kept["detail_gain"], kept["precision"]) == (2, 3.0, "float64")
    assert (kept["ir_window"], kept["output"], kept["device"]) == ((1.0, 2.0), "luma", "auto")
    changed = Choices(parameters=("iterations=5",), precision="float32", ir_window="full", output="visible")
    won = changed.arguments(saved)
    assert (won["iterations"], won["detail_gain"], won["precision"]) == (5, 3.0, "float32")
    assert (won["ir_window"], won["output"]) == ("full", "visible")


def test_another_method_starts_with_its_own_parameters():
    saved = nif.Recipe("wls", {"iterations": 2})
    arguments = Choices(method="average").arguments(saved)
    assert arguments["method"] == "average"
    assert arguments["ir_weight"] == 0.5
    assert "iterations" not in arguments


def test_preset_starts_afresh_and_parameters_change_single_values():
    saved = nif.Recipe("resnet152", {"base_weight_ir": 0.9, "window": 7})
    arguments = Choices(preset="authors", parameters=("power=1",)).arguments(saved)
    assert (arguments["base_weight_ir"], arguments["window"], arguments["power"]) == (0.5, 31, 1)
    assert arguments["decomposition"] == "tikhonov"


def test_other_weights_than_the_recipes_are_noted(run, pair, folder):
    write_dictionary(folder / "own.safetensors", torch.rand(9, 5, 5))
    options = ["-m", "jsr", "-p", "sparsity=1", "--weights", "own.safetensors", "--save-recipe", "r.yaml"]
    assert run("fuse", *pair, "-o", "a.png", *options).exit_code == 0
    digest = nif.Recipe.load("r.yaml").weights_sha256
    again = run("fuse", *pair, "-o", "o.png", "--recipe", "r.yaml")
    assert again.exit_code == 0
    assert again.stderr == (
        f"Note: The recipe was made with other weights ({digest[:12]}…, these are the method's own): results differ.\n"
    )
    assert "other weights" not in run("fuse", *pair, "-o", "p.png", "--recipe", "r.yaml", "-q").output
    same = run("fuse", *pair, "-o", "b.png", "--recipe", "r.yaml", "--weights", "own.safetensors")
    assert same.stderr == ""
    assert (folder / "a.png").read_bytes() == (folder / "b.png").read_bytes() != (folder / "o.png").read_bytes()
    assert run("fuse", *pair, "-o", "q.png", "--recipe", "r.yaml", "-m", "max").stderr == ""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("hello", "This is not a recipe"),
        ("irvisfuse_recipe: 1\nmethod: nope\n", "There is no method 'nope'"),
        ("irvisfuse_recipe: 1\nmethod: wls\nparameters: {device: cpu}\n", "has no parameter 'device'"),
        ("irvisfuse_recipe: 1\nmethod: wls\nparameters: {1: 2}\n", "parameters must be a table of names"),
        ("irvisfuse_recipe: 1\nmethod: wls\nparameters: {iterations: many}\n", "iterations takes a whole number"),
    ],
)
def test_bad_recipes_are_refused(refused, pair, folder, text, sentence):
    (folder / "r.yaml").write_text(text)
    assert sentence in refused("fuse", *pair, "-o", "o.png", "--recipe", "r.yaml")
    assert not (folder / "o.png").exists()


def test_recipe_may_not_overwrite_the_one_it_came_from(refused, pair, folder):
    nif.Recipe("wls").save("r.yaml")
    before = (folder / "r.yaml").read_bytes()
    line = refused("fuse", *pair, "-o", "o.png", "--recipe", "r.yaml", "--save-recipe", "r.yaml", "--overwrite")
    assert "is one of the inputs" in line
    assert (folder / "r.yaml").read_bytes() == before


def test_saved_recipe_says_what_was_used(run, pair):
    run("fuse", *pair, "-o", "o.png", "-m", "wls", "-p", "detail_gain=1.5", "--save-recipe", "r.yaml")
    recipe = nif.Recipe.load("r.yaml")
    assert (recipe.method, recipe.parameters["detail_gain"]) == ("wls", 1.5)
    np.testing.assert_array_equal(nif.fuse(*pair, **recipe.arguments()).fused, nif.read_image("o.png"))
