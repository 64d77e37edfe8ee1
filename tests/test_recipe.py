"""Recipes: to a file, back again, and to the same pixels."""

from __future__ import annotations

import dataclasses
import json
from contextlib import suppress

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

import napari_irvisfuse as nif
from napari_irvisfuse.errors import AlignmentError, FusionError, OutputError, RecipeError
from napari_irvisfuse.recipe import Recipe
from napari_irvisfuse.sparse.dictionaries import write_dictionary
from napari_irvisfuse.weights.store import sha256_of

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
NAMES = st.text(st.characters(min_codepoint=97, max_codepoint=122), min_size=1, max_size=8)
SCALARS = st.one_of(st.booleans(), st.integers(-(2**53), 2**53), NUMBERS, st.text(max_size=8))
PARAMETERS = st.dictionaries(NAMES.map("its_{}".format), SCALARS | st.tuples(NUMBERS, NUMBERS), max_size=4)
ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=5), lambda c: st.lists(c) | st.dictionaries(NAMES, c)
)
WINDOWS = st.one_of(
    st.sampled_from(["auto", "full", "data", "percentile"]),
    st.tuples(st.floats(-1e6, 0), st.floats(1e-3, 1e6)),
)
SHAPES = st.none() | st.tuples(st.integers(1, 9999), st.integers(1, 9999))
RECIPES = st.builds(
    Recipe,
    method=NAMES,
    parameters=PARAMETERS,
    device=st.sampled_from(["cpu", "cuda:0"]),
    precision=st.sampled_from(["float32", "bfloat16"]),
    weights=st.none() | NAMES,
    weights_sha256=st.none() | st.text("0123456789abcdef", min_size=64, max_size=64),
    ir_window=WINDOWS,
    visible_window=WINDOWS,
    ir_to_visible=st.sampled_from([None, "fit", ((1.0, 0.0, 2.5), (0.0, 1.5, -3.0), (0.0, 0.0, 1.0))]),
    ir_shape=SHAPES,
    visible_shape=SHAPES,
    output=st.sampled_from(["visible", "natural", "luma"]),
    versions=st.dictionaries(NAMES, NAMES, max_size=2),
)


def images() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (24, 31), dtype=np.uint8), rng.integers(0, 256, (24, 31, 3), dtype=np.uint8)


def refused(text: str) -> str:
    with pytest.raises(RecipeError) as caught:
        Recipe.from_text(text)
    assert isinstance(caught.value, FusionError)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


# -- to text and back -------------------------------------------------------------------------------------------


@given(RECIPES)
def test_nothing_is_lost_on_the_way_to_text_and_back(recipe):
    for text in (recipe.to_json(), recipe.to_yaml()):
        back = Recipe.from_text(text)
        assert back.to_dict() == recipe.to_dict()
        assert (back.ir_window, back.visible_window) == (recipe.ir_window, recipe.visible_window)
        assert Recipe.from_text(back.to_yaml()) == back
    assert json.loads(recipe.to_json()) == yaml.safe_load(recipe.to_yaml()) == recipe.to_dict()


@pytest.mark.parametrize("number", [1e-05, 1e22, 5e-324, -2.5e-07])
def test_small_numbers_stay_numbers(number):
    recipe = Recipe("wls", {"regularisation": number})
    for text in (recipe.to_json(), recipe.to_yaml()):
        assert Recipe.from_text(text).parameters["regularisation"] == number


@pytest.mark.parametrize("name", ["recipe.json", "recipe.yaml", "recipe.yml", "recipe.txt", "RECIPE.JSON"])
def test_files(tmp_path, name):
    recipe = nif.fuse(*images(), "wls", iterations=2, ir_window=(10, 200)).recipe
    path = recipe.save(tmp_path / name)
    assert path == tmp_path / name
    assert path.read_text(encoding="utf-8").startswith("{") == name.lower().endswith(".json")
    assert Recipe.load(str(path)).to_dict() == recipe.to_dict()
    assert [item.name for item in tmp_path.iterdir()] == [name]


def test_a_short_recipe_written_by_hand():
    recipe = Recipe.from_text("irvisfuse_recipe: 1\nmethod: wls\nparameters:\n  iterations: 2\nir_window: [280, 320]\n")
    assert recipe == Recipe("wls", {"iterations": 2}, ir_window=(280.0, 320.0))
    assert nif.fuse(*images(), **recipe.arguments()).recipe.parameters["iterations"] == 2


def test_files_that_are_not_there_or_no_text(tmp_path):
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x80")
    for path in (tmp_path / "missing.yaml", tmp_path, tmp_path / "binary.yaml"):
        with pytest.raises(RecipeError, match="cannot be read") as caught:
            Recipe.load(path)
        assert "\n" not in str(caught.value)
    (tmp_path / "other.yaml").write_text("hello")
    with pytest.raises(RecipeError, match=r"In .*other\.yaml: This is not a recipe"):
        Recipe.load(tmp_path / "other.yaml")
    with pytest.raises(OutputError, match="cannot be written"):
        Recipe("wls").save(tmp_path / "nowhere" / "recipe.yaml")


def test_a_matrix_keeps_the_sizes_that_it_belongs_to():
    ir, visible = images()
    matrix = ((1.0, 0.0, 2.5), (0.0, 1.0, -3.0), (0.0, 0.0, 1.0))
    first = nif.fuse(ir, visible, "average", ir_to_visible=matrix)
    recipe = Recipe.from_yaml(first.recipe.to_yaml())
    assert (recipe.ir_to_visible, recipe.ir_shape, recipe.visible_shape) == (matrix, (24, 31), (24, 31))
    np.testing.assert_array_equal(nif.fuse(ir, visible, **recipe.arguments()).fused, first.fused)
    with pytest.raises(AlignmentError, match="was found on an infrared image of 31×24 pixels, and this one has 20×24"):
        nif.fuse(ir[:, :20], visible, **recipe.arguments())
    with pytest.raises(AlignmentError, match="was found on a visible image of 31×24 pixels, and this one has 31×20"):
        nif.fuse(ir, visible[:20], **recipe.arguments())


def test_what_belongs_to_all_sizes_keeps_none():
    ir, visible = images()
    for placed in (None, "fit"):
        recipe = nif.fuse(ir, visible, "average", ir_to_visible=placed).recipe
        assert (recipe.ir_shape, recipe.visible_shape, recipe.alignment) == (None, None, None)


def test_a_recipe_of_before_whose_sizes_are_unknown_fits_all():
    ir, visible = images()
    rows = [[1, 0, 0.5], [0, 1, 0], [0, 0, 1]]
    old = Recipe.from_text(json.dumps({"irvisfuse_recipe": 1, "method": "average", "ir_to_visible": rows}))
    assert old.ir_shape is None
    assert nif.fuse(ir[:20], visible, **old.arguments()).fused.shape == visible.shape


@pytest.mark.parametrize(
    ("text", "line"),
    [("irvisfuse_recipe: 1\nmethod: wls: 2\n", 2), ("a:\n  - 1\n b: 2\n", 3), ('{"method": "wls",\n"a": }}\n', 2)],
)
def test_the_line_that_is_no_yaml_is_named(text, line):
    assert f"neither JSON nor YAML (line {line}: " in refused(text)


# -- to the same pixels -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("wls", {"iterations": 3, "regularisation": 1e-05, "output": "luma"}),
        ("wls", {"precision": "float64", "visible_window": "data"}),
        ("average", {"ir_weight": 0.3, "ir_window": (20, 180)}),
        ("max", {"visible_window": "percentile"}),
    ],
)
def test_a_recipe_repeats_its_result(method, options):
    result = nif.fuse(*images(), method=method, device="cpu", **options)
    for text in (result.recipe.to_json(), result.recipe.to_yaml()):
        again = nif.fuse(*images(), device="cpu", **Recipe.from_text(text).arguments())
        np.testing.assert_array_equal(again.fused, result.fused)
        assert again.maps.keys() == result.maps.keys()
        for name, item in result.maps.items():
            np.testing.assert_array_equal(again.maps[name].data, item.data)
        assert again.recipe.to_dict() == result.recipe.to_dict()


def test_weights_of_ones_own_have_to_be_given_again_and_others_are_noted(tmp_path):
    own, other = tmp_path / "own.safetensors", tmp_path / "other.safetensors"
    for number, path in enumerate((own, other)):
        write_dictionary(path, torch.rand(9, 5, 5, generator=torch.Generator().manual_seed(number)))
    result = nif.fuse(*images(), "jsr", sparsity=1, weights=own)
    recipe = Recipe.from_text(result.recipe.to_json())
    again = nif.fuse(*images(), weights=own, **recipe.arguments())
    np.testing.assert_array_equal(again.fused, result.fused)
    assert again.notes == result.notes
    assert 'weights="…"' in recipe.as_python()
    for weights, these in ((None, "the method's own"), (other, sha256_of(other)[:12])):
        wrong = nif.fuse(*images(), weights=weights, **recipe.arguments())
        assert wrong.notes[0].startswith(f"The recipe was made with other weights ({sha256_of(own)[:12]}…, these are ")
        assert these in wrong.notes[0]
        assert not np.array_equal(wrong.fused, result.fused)
    ir, visible = images()
    for fuse in (nif.fuse, nif.fuse_stack):
        stacked = fuse(np.stack([ir, ir]), visible, **recipe.arguments())
        assert "other weights" in stacked.notes[0]


@pytest.mark.parametrize("options", [{}, {"method": "wls", "iterations": 3, "output": "luma", "ir_window": (20, 180)}])
def test_its_python_runs_and_gives_the_same(options, tmp_path):
    ir, visible = images()
    result = nif.fuse(ir, visible, device="cpu", **options)
    scope = {"my_ir": ir, "my_visible": visible}
    code = result.recipe.as_python("my_ir", "my_visible")
    exec(compile(code, "recipe", "exec"), scope)
    np.testing.assert_array_equal(scope["result"].fused, result.fused)
    assert "auto" not in code
    assert ("output" in code) == ("output" in options)


@given(RECIPES)
def test_its_python_always_compiles_and_says_everything_that_is_not_usual(recipe):
    called = {}
    code = compile(recipe.as_python().replace("import napari_irvisfuse as nif\n", ""), "recipe", "exec")

    class Recorder:
        @staticmethod
        def fuse(*images, **arguments):
            called.update(arguments, images=images)

    exec(code, {"nif": Recorder})
    assert called.pop("images") == ("ir.png", "visible.png")
    wanted = {**recipe.arguments(), "ir_to_visible": recipe.ir_to_visible}  # as numbers that can be read
    assert {**Recipe(recipe.method).arguments(), **called} == wanted


# -- what is no recipe ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["", "hello", "[1, 2]", "3", "null", "{}", "method: wls", '{"method": "wls"}', "- a\n- b"]
)
def test_what_is_no_recipe_at_all(text):
    assert "irvisfuse_recipe" in refused(text)


@pytest.mark.parametrize(
    "text", ["{", "a: b: c", "'open", "\t- x: [", "key: !!python/object:os.system x", "a\0b", "{1: 2"]
)
def test_what_is_neither_json_nor_yaml(text):
    assert "neither JSON nor YAML" in refused(text)


@pytest.mark.parametrize("version", [0, 2, "1", None, 1.5])
def test_recipes_of_another_format(version):
    assert f"format {version!r}," in refused(json.dumps({"irvisfuse_recipe": version, "method": "wls"}))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"method": None}, "no method"),
        ({"method": 3}, "no method"),
        ({"methods": "wls"}, "'methods'"),
        ({"parameters": [1]}, "parameters"),
        ({"parameters": None}, "parameters"),
        ({"parameters": "iterations"}, "parameters"),
        ({"versions": 3}, "versions"),
        ({"output": "colour"}, "output"),
        ({"output": ["luma"]}, "output"),
        ({"ir_window": "bright"}, "ir_window"),
        ({"visible_window": [2, 1]}, "visible_window"),
        ({"visible_window": None}, "visible_window"),
        ({"device": 3}, "device"),
        ({"precision": [1]}, "precision"),
        ({"weights": {"a": 1}}, "weights"),
        ({"weights_sha256": 5}, "weights_sha256"),
        ({"ir_shape": [24]}, "ir_shape"),
        ({"visible_shape": [24, 0]}, "visible_shape"),
    ],
    ids=str,
)
def test_a_key_that_is_wrong_is_named(change, word):
    data = {**Recipe("wls").to_dict(), **change}
    for text in (json.dumps(data), yaml.safe_dump(data)):
        assert word in refused(text)


@pytest.mark.parametrize("text", ["3: 4", "true: x", "parameters: {1: 2}", "versions: {1: 2}"])
def test_keys_that_are_no_names(text):
    refused(f"irvisfuse_recipe: 1\nmethod: wls\n{text}\n")


@pytest.mark.parametrize("name", ["ir", "visible", "method", "device", "weights", "progress", "cancelled", "output"])
def test_parameters_cannot_pass_for_arguments(name):
    """Else a recipe could replace what the caller says, or fail with a sentence of Python's."""
    assert name in refused(json.dumps({"irvisfuse_recipe": 1, "method": "wls", "parameters": {name: "x"}}))


@given(ANYTHING)
def test_anything_at_all_is_a_recipe_or_refused(data):
    for thing in (data, {"irvisfuse_recipe": 1, "method": "wls", "parameters": data, "ir_window": data}):
        with suppress(RecipeError):
            assert Recipe.from_dict(thing).method == "wls"


def test_a_recipe_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Recipe("wls").method = "max"
