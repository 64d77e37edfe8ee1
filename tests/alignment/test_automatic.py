"""What is found is where the images lie; what cannot be found is left as it was."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

import napari_irvisfuse as nif
from napari_irvisfuse.images.grids import fit

from .conftest import HEIGHT, WIDTH, bent, corner_error, known, moved, scene


@pytest.mark.parametrize(
    ("model", "matrix"),
    [
        ("translation", known(7, -12, 0, 1)),
        ("similarity", known()),
        ("affine", np.array([[1.05, 0.03, -5], [-0.02, 0.96, 8], [0, 0, 1]])),
        ("homography", np.array([[1.02, 0.02, 4], [-0.01, 0.98, -6], [1e-4, -1.5e-4, 1]])),
    ],
)
def test_known_transforms_are_found(model, matrix):
    ir, visible = scene()
    found = nif.align(moved(ir, matrix), visible, model)
    assert found.improved
    assert found.after > found.before + 0.1
    assert corner_error(found.ir_to_visible, matrix) < 2.5
    assert found.confidence > 0.6
    assert found.check.verdict == "aligned"
    assert found.alignment.model == model
    assert found.alignment.ir_shape == found.alignment.visible_shape == (HEIGHT, WIDTH)
    assert found.alignment.confidence == pytest.approx(found.confidence, abs=1e-4)
    assert "agrees" in found.sentence


def test_models_keep_what_they_promise():
    ir, visible = scene()
    ir = moved(ir, np.array([[1.04, 0.03, -5], [0.01, 0.97, 3], [0, 0, 1]]))
    shift = nif.align(ir, visible, "translation").ir_to_visible
    np.testing.assert_allclose(shift[:2, :2], np.eye(2), atol=1e-6)
    turn = nif.align(ir, visible, "similarity").ir_to_visible
    np.testing.assert_allclose([turn[0, 0], turn[0, 1]], [turn[1, 1], -turn[1, 0]], atol=1e-6)
    np.testing.assert_allclose(nif.align(ir, visible, "affine").ir_to_visible[2], (0, 0, 1), atol=1e-9)


def test_an_aligned_pair_stays_where_it_is():
    found = nif.align(*scene())
    assert corner_error(found.ir_to_visible, np.eye(3)) < 1.5
    assert found.after >= found.before


def test_what_has_nothing_in_common_is_left_alone():
    """Never worse than the start: the start, and the sentence says so."""
    ir, _ = scene()
    flat = np.full((HEIGHT, WIDTH), 90, np.uint8)
    start = known(3, 3, 0, 1)
    found = nif.align(ir, flat, start=start)
    np.testing.assert_array_equal(found.ir_to_visible, start)
    assert not found.improved
    assert found.confidence == 0
    assert "No better alignment than the start was found" in found.sentence
    noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH), np.uint8)
    found = nif.align(ir, noise)
    assert found.confidence < 0.35
    assert "look closely" in found.sentence or not found.improved


def test_a_start_is_where_the_search_begins():
    ir, visible = scene()
    far = known(12, -45, 0, 1)  # further than the search reaches
    matrix = far @ known(4, 5, 2, 1)
    ir = moved(ir, matrix)
    found = nif.align(ir, visible, start=far)
    assert corner_error(found.ir_to_visible, matrix) < 3
    np.testing.assert_array_equal(found.start, far)


def test_a_start_beside_the_image_or_behind_the_horizon_is_no_crash():
    ir, visible = scene()
    for start in (known(1000, 1000, 0, 1), known(0, 0, 0, 300), np.array([[1, 0, 0], [0, 1, 0], [-0.01, 0, 1.0]])):
        found = nif.align(ir, visible, start=start)
        assert np.isfinite(found.ir_to_visible).all()
        assert not found.improved or found.after > found.before


def test_far_off_pairs_take_a_wide_search():
    ir, visible = scene()
    matrix = known(12, -20, 9, 0.8)
    ir = moved(ir, matrix)
    assert corner_error(nif.align(ir, visible, reach="wide").ir_to_visible, matrix) < 3


def test_other_sizes_begin_with_the_same_view():
    ir, visible = scene()
    half = ir.reshape(HEIGHT // 2, 2, WIDTH // 2, 2).mean((1, 3)).astype(np.uint8)
    found = nif.align(half, visible)
    truth = fit((HEIGHT // 2, WIDTH // 2), (HEIGHT, WIDTH))
    np.testing.assert_array_equal(found.start, truth)
    assert corner_error(found.ir_to_visible, truth, half.shape) < 2.5
    assert found.alignment.ir_shape == half.shape


def test_what_is_left_is_said():
    ir, visible = scene()
    bend = nif.align(bent(ir, 7), visible, "affine")
    assert bend.check.verdict == "deformed"
    assert "deformed" in bend.sentence
    turn = nif.align(moved(ir, known(0, 14, 6, 1)), visible, "translation")
    assert turn.check.verdict == "misaligned"
    assert "Another model may do better" in turn.sentence


def test_files_and_repeats(tmp_path):
    from napari_irvisfuse.images.alignment_files import read_alignment, write_alignment

    ir, visible = scene()
    ir = moved(ir, known())
    paths = [nif.write_image(tmp_path / f"{i}.png", image) for i, image in enumerate((ir, visible))]
    first, second = nif.align(*paths), nif.align(ir, visible)
    np.testing.assert_array_equal(first.ir_to_visible, second.ir_to_visible)
    path = write_alignment(tmp_path / "a.json", first.alignment)
    np.testing.assert_array_equal(read_alignment(path).ir_to_visible, first.ir_to_visible)
    np.testing.assert_array_equal(nif.align(ir, visible, start=path).start, first.ir_to_visible)
    assert nif.check_alignment(ir, visible, first.alignment).verdict == "aligned"
    with pytest.raises(nif.FusionError, match="240×180"):
        nif.check_alignment(ir[:100], visible, path)
    assert json.loads(path.read_text())["confidence"] == pytest.approx(first.confidence, abs=1e-4)


def test_cancelling_and_progress(stop_after):
    seen = []
    nif.align(*scene(), progress=lambda *news: seen.append(news))
    assert {message for _, _, message in seen} >= {"Searching", "Refining", "Checking"}
    assert all(0 <= done <= total for done, total, _ in seen)
    for asked in (0, 40, 100):
        with pytest.raises(nif.Cancelled):
            nif.align(*scene(), cancelled=stop_after(asked))


def test_the_user_is_asked_often():
    """Between two questions whether to stop is less than a second's work, for images of the largest working size."""
    rng = np.random.default_rng(0)
    ir, visible = rng.random((2, 480, 640), np.float32)
    last, longest = [time.thread_time()], [0.0]

    def ask() -> bool:
        now = time.thread_time()
        longest[0], last[0] = max(longest[0], now - last[0]), now
        return False

    nif.align(ir, visible, "translation", cancelled=ask)
    assert longest[0] < 1


def test_refusals():
    ir, visible = scene()
    for wrong, sentence in (
        ({"model": "rigid"}, "There is no model 'rigid'"),
        ({"reach": "far"}, "reach is near or wide; got 'far'"),
        ({"start": [[1, 2], [3, 4]]}, "ir_to_visible is a 3×3 matrix"),
    ):
        with pytest.raises(nif.FusionError, match=sentence):
            nif.align(ir, visible, **wrong)


def test_landmarks_of_public_data(data_dir):
    folder = data_dir / "landmarks"
    truth = json.loads((folder / "landmarks/001.json").read_text())
    found = nif.align(folder / "ir/001.png", folder / "vi/001.png", "affine")
    # (x, y) counted from 1 to (row, column) counted from 0
    ir, visible = (np.array(truth[f"landmarks_{name}"])[:, ::-1] - 1 for name in ("moving", "fixed"))
    moved_points = np.column_stack([ir, np.ones(len(ir))]) @ found.ir_to_visible.T
    assert np.linalg.norm(moved_points[:, :2] - visible, axis=1).mean() < 1.5


def test_refining_stays_near_and_is_never_worse(data_dir):
    """This pair is more alike in a corner of it than as a whole: without bounds the search ran off there."""
    from napari_irvisfuse.alignment.planes import plane_of
    from napari_irvisfuse.alignment.refine import Comparison

    planes = (plane_of(data_dir / f"tno/{kind}/003.png", kind) for kind in ("ir", "vi"))
    comparison = Comparison(*planes, 160)
    start = np.array([[1.02, 0.02, -9], [-0.02, 1.02, 6], [0, 0, 1]])
    for model in ("translation", "similarity", "affine", "homography"):
        found = comparison.refine(start, model, lambda: None)
        before, after = comparison.similarities(start, found)
        assert after > before
        assert corner_error(found, start, (510, 505)) < 40
