"""``irvisfuse align`` says and writes what ``nif.align``, ``nif.check_alignment`` and ``nif.align_points`` say."""

from __future__ import annotations

import json
import signal

import numpy as np
import pytest

import napari_irvisfuse as nif
from napari_irvisfuse.images.alignment_files import read_alignment, write_alignment
from napari_irvisfuse.samples.scene import grey_pair

SHIFT = (6, 9)


@pytest.fixture
def street(folder):
    """Return two files of the sample scene, the infrared one cut so that it lies 6 px down and 9 px right."""
    ir, visible = grey_pair(120, 160)
    down, right = SHIFT
    cut = np.pad(ir[down:, right:], ((0, down), (0, right)), mode="edge")
    return nif.write_image(folder / "in/s_ir.png", cut), nif.write_image(folder / "in/s_vis.png", visible)


def points_file(folder, text):
    path = folder / "points.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_file_says_what_the_function_says(run, street, folder):
    result = run("align", *street, "-o", "a.json", "--model", "translation")
    assert (result.exit_code, result.stderr) == (0, "")
    found = nif.align(*street, "translation")
    assert result.stdout == f"a.json: {found.sentence}\n"
    written = read_alignment(folder / "a.json")
    np.testing.assert_array_equal(written.ir_to_visible, found.ir_to_visible)
    np.testing.assert_allclose(written.ir_to_visible[:2, 2], SHIFT, atol=1.5)
    assert (written.model, written.ir_shape, written.visible_shape) == ("translation", (120, 160), (120, 160))


def test_json_and_picture(run, street, folder):
    document = json.loads(run("align", *street, "-o", "a.json", "--picture", "p.png", "--json").stdout)
    assert set(document) == {
        "output", "picture", "ir_to_visible", "model", "confidence", "improved", "similarity", "verdict", "sentence",
    }  # fmt: skip
    assert document["improved"] is True
    assert document["similarity"]["after"] > document["similarity"]["before"]
    assert document["ir_to_visible"] == read_alignment(folder / "a.json").ir_to_visible.tolist()
    picture = nif.read_image(folder / "p.png")
    assert picture.shape == (120, 328, 3)
    before, after = picture[:, :160].astype(int), picture[:, 168:].astype(int)
    visible = nif.read_image(street[1])
    assert np.abs(before - after).max() > 20
    # squares of the visible image are the same on both sides, grey, and rise and fall with it
    grey = (np.ptp(before, axis=-1) == 0) & (np.ptp(after, axis=-1) == 0)
    assert 0.4 < grey.mean() < 0.7
    assert np.corrcoef(before[grey][:, 0], visible[grey])[0, 1] > 0.95


def test_check(run, street, folder):
    result = run("align", *street, "--check")
    found = nif.check_alignment(*street)
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{found.sentence}\n", "")
    document = json.loads(run("align", *street, "--check", "--json", "--picture", "p.png").stdout)
    assert document["verdict"] == "misaligned"
    assert document["offset"] == pytest.approx(found.offset, abs=1e-3)
    assert nif.read_image(folder / "p.png").shape == (120, 328, 3)
    assert sorted(path.name for path in folder.iterdir()) == ["in", "p.png"]


def test_start_is_checked_and_where_the_search_begins(run, street, refused, folder, make):
    run("align", *street, "-o", "a.json")
    document = json.loads(run("align", *street, "--check", "--start", "a.json", "--json").stdout)
    assert document["verdict"] == "aligned"
    assert "found on an infrared image of 160×120" in refused(
        "align", make("other.png"), street[1], "--check", "--start", "a.json"
    )
    far = read_alignment(folder / "a.json").ir_to_visible.copy()
    far[0, 2] += 3
    write_alignment(folder / "b.json", nif.align_points([[0, 0]], [far[:2, 2]], "translation").alignment)
    again = json.loads(run("align", *street, "-o", "c.json", "--start", "b.json", "--json", "-m", "translation").stdout)
    assert again["ir_to_visible"][0][2] == pytest.approx(SHIFT[0], abs=1.5)


def test_points(run, street, folder):
    table = points_file(folder, "name,visible_row,visible_column,ir_row,ir_column\na,16,29,10,20\nb,106,69,100,60\n")
    document = json.loads(run("align", *street, "-o", "a.json", "--points", table, "--json").stdout)
    np.testing.assert_allclose(document["ir_to_visible"], [[1, 0, 6], [0, 1, 9], [0, 0, 1]], atol=1e-9)
    assert document["residuals"] == [0.0, 0.0]
    assert document["confidence"] is None
    bare = points_file(folder, "10,20,16,29\n100,60,106,69\n50,90,56,99\n30,30,80,80\n")
    document = json.loads(run("align", *street, "-o", "b.json", "--points", bare, "--robust", "--json").stdout)
    assert document["used"] == [True, True, True, False]
    np.testing.assert_allclose(read_alignment(folder / "b.json").ir_to_visible[:2, 2], SHIFT, atol=1e-9)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "Say where to write the alignment with -o FILE"),
        (["-o", "a.json", "--check"], "--check writes no alignment"),
        (["-o", "a.json", "--model", "rigid"], "There is no model 'rigid'"),
        (["-o", "no/a.json"], "There is no folder no"),
        (["-o", "in"], "in is a folder"),
        (["-o", "in/s_ir.png"], "is one of the inputs"),
        (["-o", "a.json", "--picture", "p.jpg"], "written as PNG or TIFF"),
        (["-o", "a.png", "--picture", "a.png"], "would be written twice"),
        (["-o", "a.png"], "a.png: alignments are written as JSON; end the name in .json"),
        (["-o", "a.json", "--robust"], "--robust is about points"),
        (["--check", "--points", "in/s_ir.png"], "With --points nothing is searched: leave --check out"),
        (["-o", "a.json", "--points", "nothing.csv"], "cannot be read"),
        (["-o", "a.json", "--start", "nothing.json"], "cannot be read"),
    ],
)
def test_refusals(refused, street, folder, options, sentence):
    assert sentence in refused("align", *street, *options)
    assert [path.name for path in folder.iterdir()] == ["in"]


def test_existing_files_are_kept(refused, run, street, folder):
    (folder / "a.json").write_text("mine")
    assert "a.json exists already" in refused("align", *street, "-o", "a.json")
    assert (folder / "a.json").read_text() == "mine"
    assert run("align", *street, "-o", "a.json", "--overwrite", "-q", "-m", "translation").stdout == ""
    assert read_alignment(folder / "a.json").model == "translation"


def test_tables_that_are_none(refused, street, folder):
    for text in ("a,b\n1,2\n", "1,2,3\n", "1,2,3,x\n"):
        table = points_file(folder, text)
        assert "is no table of points" in refused("align", *street, "-o", "a.json", "--points", table)
    for number in ("nan", "inf", ""):
        table = points_file(folder, f"ir_row,ir_column,visible_row,visible_column\n1,2,3,4\n\n5,{number},7,8\n")
        said = refused("align", *street, "-o", "a.json", "--points", table)
        assert "points.csv is no table of points" in said
        assert "line 4 has not" in said
    assert "needs at least 2 pairs" in refused(
        "align", *street, "-o", "a.json", "--points", points_file(folder, "1,2,3,4\n")
    )


def test_semicolons_and_decimal_commas(run, street, folder):
    options = ("align", *street, "--json", "--points")
    plain = points_file(folder, "10.5,20,16.5,29\n100,60.25,106,69.25\n")
    document = json.loads(run(*options, plain, "-o", "a.json").stdout)
    for text in ("10,5;20;16,5;29\n100;60,25;106;69,25\n", "10.5;20;16.5;29\n100;60.25;106;69.25\n"):
        for heading in ("", "ir_row;ir_column;visible_row;visible_column\n"):
            other = json.loads(run(*options, points_file(folder, heading + text), "-o", "b.json", "--overwrite").stdout)
            assert other["ir_to_visible"] == document["ir_to_visible"]


def test_points_beside_the_images(run, refused, street, folder):
    options = ("align", *street, "-o", "a.json", "--model", "translation", "--points")
    said = refused(*options, points_file(folder, "10,20,16,29\n60,140,150,69\n"))
    assert "visible point number 2, row 150 and column 69, is not in the image of 120 rows" in said
    assert "infrared point number 1, row -9 and" in refused(*options, points_file(folder, "-9,20,16,29\n"))
    assert not (folder / "a.json").exists()
    assert run(*options, points_file(folder, "120,160,120,160\n")).exit_code == 0  # counted from 1


def test_ctrl_c(run, street, folder, monkeypatch):
    real = nif.align

    def interrupted(*args, **kwargs):
        signal.raise_signal(signal.SIGINT)
        return real(*args, **kwargs)

    monkeypatch.setattr(nif, "align", interrupted, raising=False)
    result = run("align", *street, "-o", "a.json")
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "irvisfuse: cancelled.\n")
    assert [path.name for path in folder.iterdir()] == ["in"]
