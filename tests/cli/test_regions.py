"""``--region``: only a part of the images on the command line."""

import json

import numpy as np

import napari_irvisfuse as nif


def test_only_the_region_is_written(run, pair, folder):
    result = run("fuse", *pair, "-o", "o.png", "--region", "8,10,30,50")
    assert result.stdout.startswith("o.png: 40×22 (rows 8 to 29, columns 10 to 49) uint8, rdn on ")
    np.testing.assert_array_equal(nif.read_image(folder / "o.png"), nif.fuse(*pair, region=(8, 10, 30, 50)).fused)


def test_json_and_maps_say_where_it_lies(run, pair, folder):
    arguments = ("fuse", *pair, "-o", "o.tif", "-m", "cbf", "--json", "--maps", "maps")
    report = json.loads(run(*arguments, "--region", "30,40,400,500").stdout)
    assert report["region"] == [30, 40, 40, 56]
    assert report["shape"] == [10, 16, 3]
    assert json.loads((folder / "maps/maps.json").read_text())["region"] == [30, 40, 40, 56]
    assert nif.read_image(folder / "maps/ir_weight.tif").shape == (10, 16)
    assert json.loads(run(*arguments, "--overwrite").stdout)["region"] is None


def test_a_recipe_keeps_it_and_options_win(run, pair, folder):
    arguments = ("fuse", *pair, "-o", "o.png", "--overwrite")
    run(*arguments, "-m", "max", "--region", "0,0,16,20", "--save-recipe", "r.yaml")
    for options, shape in [((), (16, 20)), (("--region", "0,0,9,9"), (9, 9)), (("--region", "whole"), (40, 56))]:
        run(*arguments, "--recipe", "r.yaml", *options)
        assert nif.read_image(folder / "o.png").shape[:2] == shape


def test_what_is_no_region_is_refused(refused, pair, folder):
    for text, said in [("1,2,3", "top,left,bottom,right"), ("90,0,99,9", "40 rows and 56 columns")]:
        assert said in refused("fuse", *pair, "-o", "o.png", "--region", text)
    assert not (folder / "o.png").exists()
