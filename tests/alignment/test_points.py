"""Points decide transforms exactly, noise is shared fairly, and wrong pairs are found."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import napari_irvisfuse as nif
from napari_irvisfuse.alignment.models import transform
from napari_irvisfuse.alignment.points import NEEDED

SQUARE = np.array([[10.0, 20], [15, 300], [200, 310], [190, 30], [100, 150], [60, 220]])


def matrix(model: str, numbers: list[float]) -> np.ndarray:
    a, b, c, d, e, f, g, h = numbers
    result = np.eye(3)
    result[:2, 2] = 50 * e, 50 * f
    if model == "similarity":
        result[:2, :2] = [[1 + a / 4, -b], [b, 1 + a / 4]]
    elif model != "translation":
        result[:2, :2] += np.array([[a, b], [c, d]]) / 4
    if model == "homography":
        result[2, :2] = g / 2000, h / 2000
    return result


@pytest.mark.parametrize("model", NEEDED)
@given(numbers=st.lists(st.floats(-1, 1), min_size=8, max_size=8), extra=st.integers(0, 2), robust=st.booleans())
def test_exact_points_give_the_exact_transform(model, numbers, extra, robust):
    truth = matrix(model, numbers)
    ir = SQUARE[: min(NEEDED[model] + extra + robust, 6)]
    found = nif.align_points(ir, transform(truth, ir), model, robust=robust)
    np.testing.assert_allclose(transform(found.ir_to_visible, SQUARE), transform(truth, SQUARE), atol=1e-4)
    assert found.residuals.max() < 1e-5
    assert found.used.all()
    assert found.alignment.model == model


@pytest.mark.parametrize("model", NEEDED)
def test_least_squares_is_a_minimum(model):
    """Any small change of the transform makes the sum of squares larger."""
    rng = np.random.default_rng(2)
    truth = matrix(model, [0.1, -0.2, 0.3, 0.2, 0.5, 0.4, 0.1, -0.2])
    visible = transform(truth, SQUARE) + rng.normal(size=SQUARE.shape)
    found = nif.align_points(SQUARE, visible, model)
    least = float(np.sum(found.residuals**2))
    assert least > 0.1
    for _ in range(20):
        change = matrix(model, (1e-3 * rng.normal(size=8)).tolist())
        other = transform(change @ found.ir_to_visible, SQUARE) - visible
        assert float(np.sum(other**2)) > least


@pytest.mark.parametrize("model", ["translation", "similarity", "affine"])
def test_robust_leaves_wrong_pairs_out(model):
    rng = np.random.default_rng(0)
    ir = rng.uniform(0, 300, (12, 2))
    truth = matrix(model, [0.2, 0.1, -0.1, 0.1, 0.3, -0.5, 0, 0])
    visible = transform(truth, ir) + rng.normal(scale=0.3, size=ir.shape)
    visible[[2, 7]] += (40, -25), (-60, 10)
    found = nif.align_points(ir, visible, model, robust=True)
    assert list(np.flatnonzero(~found.used)) == [2, 7]
    assert np.linalg.norm(transform(found.ir_to_visible, ir) - transform(truth, ir), axis=1).max() < 1
    assert found.residuals[[2, 7]].min() > 40
    assert found.worst in (2, 7)
    assert "2 left out" in found.sentence
    fooled = nif.align_points(ir, visible, model)
    assert np.linalg.norm(transform(fooled.ir_to_visible, ir) - transform(truth, ir), axis=1).max() > 1.5


def test_robust_draws_from_many_points_and_repeats_itself():
    rng = np.random.default_rng(1)
    ir = rng.uniform(0, 300, (60, 2))
    truth = matrix("affine", [0.2, 0.1, -0.1, 0.1, 0.3, -0.5, 0, 0])
    visible = transform(truth, ir)
    visible[:20] = rng.uniform(0, 300, (20, 2))
    first, second = (nif.align_points(ir, visible, "affine", robust=True) for _ in range(2))
    np.testing.assert_array_equal(first.ir_to_visible, second.ir_to_visible)
    assert first.used[20:].all()
    np.testing.assert_allclose(first.ir_to_visible, truth, atol=1e-6)


def test_as_few_as_needed_say_that_they_prove_nothing():
    found = nif.align_points([[1, 2], [30, 50]], [[4, 4], [31, 52]], "similarity")
    assert found.residuals.max() < 1e-9
    assert "exactly" in found.sentence


@pytest.mark.parametrize(
    ("ir", "visible", "model", "sentence"),
    [
        ([], [], "similarity", "similarity needs at least 2 pairs of points; there are 0"),
        ([[1, 2]], [[1, 2]], "similarity", "needs at least 2 pairs"),
        ([[1, 2], [3, 4]], [[1, 2]], "translation", "There are 2 infrared points and 1 visible ones"),
        ([[1, 2], [1, 2]], [[1, 2], [3, 4]], "similarity", "do not decide the similarity"),
        ([[0, 0], [1, 1], [2, 2]], [[0, 0], [1, 1], [2, 2]], "affine", "on one line"),
        ([[0, 0], [1, 1], [2, 2], [0, 5]], [[0, 0], [1, 1], [2, 2], [0, 5]], "homography", "on one line"),
        ([[0, 0], [1, 5], [2, 2]], [[0, 0], [1, 1], [2, 2]], "affine", "on one line"),
        ([[1, 2, 3]], [[1, 2, 3]], "translation", "The infrared points are"),
        ([[1, float("nan")]], [[1, 2]], "translation", "The infrared points are"),
        ([[1, 2]], "ab", "translation", "The visible points are"),
    ],
)
def test_points_that_decide_nothing(ir, visible, model, sentence):
    with pytest.raises(nif.FusionError, match=sentence):
        nif.align_points(ir, visible, model)


def test_robust_needs_one_more_and_a_distance():
    with pytest.raises(nif.FusionError, match="at least 3 pairs of points"):
        nif.align_points([[1, 2], [3, 9]], [[1, 2], [3, 9]], robust=True)
    with pytest.raises(nif.FusionError, match="threshold"):
        nif.align_points(SQUARE, SQUARE, robust=True, threshold=0)
    with pytest.raises(nif.FusionError, match="There is no model 'rigid': choose one of translation"):
        nif.align_points(SQUARE, SQUARE, "rigid")
