import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import binary_erosion, map_coordinates

from napari_irvisfuse.errors import Cancelled
from napari_irvisfuse.images.grids import apply, fit
from napari_irvisfuse.images.resampling import resample

from .test_grids import affines

RNG = np.random.default_rng(7)
NOISE = RNG.random((40, 50))


def shift(rows: float, columns: float) -> np.ndarray:
    return np.array([[1, 0, rows], [0, 1, columns], [0, 0, 1.0]])


def smooth(row, column):
    return 0.5 + 0.3 * np.sin(row / 9) + 0.2 * np.cos(column / 7 + row / 20)


# -- nothing changes that need not ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["u1", "u2", ">u2", "f2", "f4", ">f8", "f8"])
@pytest.mark.parametrize("by", [(0, 0), (3, -5), (-7, 2)])
def test_a_shift_by_whole_pixels_changes_not_a_bit(dtype, by):
    image = (NOISE * 255).astype(dtype)
    values, covered = resample(image, shift(*by), (40, 50))
    expected = np.zeros((40, 50))
    there = [slice(max(n, 0), size + min(n, 0)) for n, size in zip(by, (40, 50), strict=True)]
    here = [slice(max(-n, 0), size + min(-n, 0)) for n, size in zip(by, (40, 50), strict=True)]
    expected[tuple(there)] = image[tuple(here)]
    assert np.array_equal(values, expected)
    assert covered[tuple(there)].all()
    assert covered.sum() == (40 - abs(by[0])) * (50 - abs(by[1]))


@given(affines())
@settings(max_examples=30)
def test_there_and_back_through_the_world_is_exact(world):
    """The relative transform of two layers is a whole shift up to rounding only."""
    matrix = np.linalg.inv(world) @ (world @ shift(2, -3))
    values, covered = resample(NOISE, matrix, (40, 50))
    assert np.array_equal(values[2:, :-3], NOISE[:-2, 3:])
    assert covered.sum() == 38 * 47


def test_growing_is_smoother_than_linear_and_never_overshoots():
    coarse = smooth(*np.mgrid[:40.0, :50.0] * 4)
    values, _ = resample(coarse, fit((40, 50), (160, 200)), (160, 200))
    rows, columns = (np.mgrid[:160.0, :200.0] + 0.5) - 2
    error = np.abs(values - smooth(rows, columns))[12:-12, 12:-12]
    linear = map_coordinates(coarse, np.array([rows, columns]) / 4, order=1)[12:-12, 12:-12]
    assert np.median(error) < 0.4 * np.median(np.abs(linear - smooth(rows, columns)[12:-12, 12:-12]))

    edge = np.zeros((40, 50))
    edge[:, 25:] = 100.0
    values, _ = resample(edge, fit((40, 50), (160, 200)), (160, 200))
    assert values.min() == 0
    assert values.max() == 100


def test_a_quarter_turn_is_exact():
    turn = np.array([[np.cos(np.pi / 2), -np.sin(np.pi / 2), 49], [np.sin(np.pi / 2), np.cos(np.pi / 2), 0], [0, 0, 1]])
    values, covered = resample(NOISE, turn, (50, 40))
    assert covered.all()
    assert np.array_equal(values, np.rot90(NOISE))


def test_sixteen_bit_counts_keep_their_precision():
    counts = np.arange(2000, dtype=np.uint16).reshape(40, 50) + 20_000
    values, covered = resample(counts, fit((40, 50), (80, 100)), (80, 100))
    rows, columns = np.mgrid[4:76, 4:96]
    exact = 20_000 + 50 * ((rows + 0.5) / 2 - 0.5) + (columns + 0.5) / 2 - 0.5
    assert covered.all()
    np.testing.assert_allclose(values[4:76, 4:96], exact, rtol=1e-7)


def test_the_input_is_not_touched():
    image = NOISE.copy()
    image[3, 3] = np.nan
    image.flags.writeable = False
    resample(image, fit((40, 50), (20, 20)), (20, 20))


# -- where things end up ----------------------------------------------------------------------------------------------


@given(affines())
@settings(max_examples=40)
def test_smooth_images_arrive_where_the_matrix_says(matrix):
    """Also what shrinks: the mean of a target pixel's area is near the value in its middle while that is small."""
    matrix[:2, 2] = 60 - matrix[:2, :2] @ [60, 75]
    scale = np.linalg.svd(matrix[:2, :2], compute_uv=False)
    source = smooth(*np.mgrid[:120.0, :150.0])
    values, covered = resample(source, matrix, (120, 150))
    at = apply(np.linalg.inv(matrix), np.mgrid[:120.0, :150.0])
    inner = covered & (at >= 1).all(axis=0) & (at[0] <= 118) & (at[1] <= 148)
    error = np.abs(values - smooth(*at))[inner]
    assert error.max(initial=0) < 2e-3 + 2e-3 / scale.min() ** 2


@given(affines())
@settings(max_examples=40)
def test_a_target_pixel_has_a_value_where_all_of_it_was_seen_and_none_where_nothing_was(matrix):
    matrix[:2, 2] = 20 - matrix[:2, :2] @ [20, 25]
    _, covered = resample(NOISE, matrix, (40, 50))
    corners = np.array([(y, x) for y in (-0.5, 0.5) for x in (-0.5, 0.5)])
    seen = []
    for corner in corners:
        at = apply(np.linalg.inv(matrix), np.mgrid[:40.0, :50.0] + corner[:, None, None])
        inside = (at > -0.5) & (at < np.array([39.5, 49.5])[:, None, None])
        seen.append(inside.all(axis=0))
    middle = apply(np.linalg.inv(matrix), np.mgrid[:40.0, :50.0])
    outside = ((middle < -0.51) | (middle > np.array([39.51, 49.51])[:, None, None])).any(axis=0)
    assert covered[np.all(seen, axis=0)].all()
    assert not covered[outside].any()


def test_the_same_view_in_another_resolution_is_covered_to_the_last_pixel():
    for size in [(80, 100), (20, 25), (33, 71), (40, 51), (16, 16)]:
        assert resample(NOISE, fit((40, 50), size), size)[1].all()


@given(affines(), affines())
@settings(max_examples=25)
def test_the_way_through_a_third_grid_is_the_same_picture(first, second):
    """Composition: once along a product, or step by step, up to what interpolating twice costs."""
    for matrix in (first, second):  # neither growing nor shrinking by much, so that nothing is lost in between
        u, s, v = np.linalg.svd(matrix[:2, :2])
        matrix[:2, :2] = u @ np.diag(np.clip(s, 0.9, 1.1)) @ v
        matrix[:2, 2] = 60 - matrix[:2, :2] @ [60, 60]
    source = smooth(*np.mgrid[:120.0, :120.0])
    once, covered = resample(source, second @ first, (120, 120))
    between, seen = resample(source, first, (120, 120))
    twice, both = resample(between, second, (120, 120), valid=seen)
    there = binary_erosion(covered & both, iterations=3)  # in the outer half of its last pixels an image is constant
    assert there.any()
    assert np.abs(once - twice)[there].max() < 0.005


def test_a_homography_sends_points_where_it_should():
    matrix = np.array([[1.1, 0.05, 4], [-0.03, 0.95, 6], [4e-4, -3e-4, 1]])
    source = smooth(*np.mgrid[:120.0, :150.0])
    for factor in (1, -2):
        values, covered = resample(source, factor * matrix, (120, 150))
        at = apply(np.linalg.inv(matrix), np.mgrid[:120.0, :150.0])
        assert covered.mean() > 0.5
        assert np.abs(values - smooth(*at))[binary_erosion(covered, iterations=2)].max() < 2e-3


def test_behind_the_horizon_there_is_nothing():
    matrix = np.linalg.inv(np.array([[1, 0, 0], [0, 1, 0], [-0.02, 0, 1.0]]))  # the target's row 50 is infinitely far
    values, covered = resample(np.ones((400, 50)), matrix, (120, 50))
    assert covered[:30, 1:5].all()
    assert not covered[50:].any()
    assert not values[50:].any()


# -- shrinking --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [2, 4, 5])
def test_shrinking_by_a_whole_factor_is_the_mean_of_blocks(factor):
    image = RNG.random((40, 60))
    small = (40 // factor, 60 // factor)
    values, covered = resample(image, fit((40, 60), small), small)
    assert covered.all()
    blocks = image.reshape(small[0], factor, small[1], factor).mean(axis=(1, 3))
    np.testing.assert_allclose(values, blocks, atol=1e-12)


@pytest.mark.parametrize("factor", [1.5, 2, 2.5, 3, 4.3, 10])
@pytest.mark.parametrize("turned", [False, True])
def test_a_chequerboard_does_not_alias(factor, turned):
    board = np.indices((200, 200)).sum(axis=0) % 2.0
    size = int(200 / factor)
    matrix = fit((200, 200), (size, size))
    if turned:
        middle = shift(size / 2, size / 2)
        c, s = np.cos(0.5), np.sin(0.5)
        matrix = middle @ [[c, -s, 0], [s, c, 0], [0, 0, 1]] @ np.linalg.inv(middle) @ matrix
    values, covered = resample(board, matrix, (size, size))
    assert values[covered].std() < 0.08  # 0.5 for the board, and for every n-th pixel of it
    assert abs(values[covered].mean() - 0.5) < 0.01


@given(arrays(np.float32, (24, 30), elements=st.floats(-50, 400, width=32)), affines())
@settings(max_examples=40)
def test_no_value_is_larger_or_smaller_than_what_was_measured(image, matrix):
    matrix[:2, 2] = 12 - matrix[:2, :2] @ [12, 15]
    values, covered = resample(image, matrix, (24, 30))
    slack = 1e-6 * np.abs(image).max()
    assert (values[covered] >= image.min() - slack).all()
    assert (values[covered] <= image.max() + slack).all()


# -- holes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_hole_is_a_hole_and_its_neighbours_know_nothing_of_it(bad):
    image = np.full((40, 50), 20.5, np.float32)
    image[10:14, 20:26] = bad
    values, covered = resample(image, fit((40, 50), (80, 100)), (80, 100))
    hole = np.zeros((80, 100), bool)
    hole[20:28, 40:52] = True
    assert np.array_equal(covered, ~hole)
    assert (values[covered] == 20.5).all()


def test_when_shrinking_one_bad_pixel_spoils_its_block():
    image = np.ones((40, 50))
    image[10, 20] = np.nan
    values, covered = resample(image, fit((40, 50), (20, 25)), (20, 25))
    assert np.argwhere(~covered).tolist() == [[5, 10]]
    assert (values[covered] == 1).all()


@given(affines())
@example(np.array([[0.37842637, -0.97896726, 0.0], [1.81585997, 0.2040174, 0.0], [0.0, 0.0, 1.0]]))
@settings(max_examples=25)
def test_cut_off_or_without_value_is_the_same(matrix):
    """A border is where values end, whether the file ends there or not."""
    matrix[:2, 2] = 20 - matrix[:2, :2] @ [20, 25]
    holes = np.full((40, 50), np.nan)
    holes[8:30, 5:41] = NOISE[8:30, 5:41]
    with_holes = resample(holes, matrix, (40, 50))
    cropped = resample(NOISE[8:30, 5:41], matrix @ shift(8, 5), (40, 50))
    assert np.array_equal(with_holes[1], cropped[1])
    np.testing.assert_allclose(with_holes[0], cropped[0], atol=1e-9)


def test_a_mask_speaks_for_integers():
    valid = np.ones((40, 50), bool)
    valid[:, :25] = False
    image = (NOISE * 255).astype(np.uint8)
    values, covered = resample(image, np.eye(3), (40, 50), valid=valid)
    assert np.array_equal(covered, valid)
    assert np.array_equal(values[:, 25:], image[:, 25:])


def test_nothing_but_holes_and_nothing_in_common():
    assert not resample(np.full((20, 20), np.nan), np.eye(3), (20, 20))[1].any()
    values, covered = resample(NOISE, shift(100, 0), (40, 50))
    assert not covered.any()
    assert not values.any()


# -- colour, strips, stopping -----------------------------------------------------------------------------------------


def test_channels_are_resampled_alike():
    image = RNG.random((40, 50, 3)).astype(np.float32)
    matrix = np.array([[1.3, 0.2, -4], [-0.1, 0.8, 3], [0, 0, 1]])
    values, covered = resample(image, matrix, (40, 50))
    for channel in range(3):
        alone = resample(image[..., channel], matrix, (40, 50))
        assert np.array_equal(values[..., channel], alone[0])
        assert np.array_equal(covered, alone[1])


@pytest.mark.parametrize("bend", [0, 0.02])
def test_strips_leave_no_seam(monkeypatch, bend):
    matrix = np.array([[0.6, 0.2, 4], [-0.1, 0.7, 3], [bend, 0, 1]])
    whole = resample(NOISE, matrix, (40, 50))
    monkeypatch.setattr("napari_irvisfuse.images.resampling._STRIP", 130)
    strips = resample(NOISE, matrix, (40, 50))
    assert np.array_equal(whole[0], strips[0])
    assert np.array_equal(whole[1], strips[1])


def test_it_can_be_stopped():
    with pytest.raises(Cancelled):
        resample(NOISE, np.eye(3), (40, 50), cancelled=lambda: True)
