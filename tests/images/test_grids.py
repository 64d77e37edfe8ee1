import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_irvisfuse.errors import AlignmentError, ParameterError
from napari_irvisfuse.images.alignment_files import Alignment, write_alignment
from napari_irvisfuse.images.grids import Grid, apply, as_matrix, corners_of, fit, overlap, pixel_size, same_place
from napari_irvisfuse.images.placement import place

IR, VISIBLE = (240, 320), (480, 640)


@st.composite
def affines(draw):
    """Scales from a tenth to ten, rotation, shear, shift."""
    down, right = (draw(st.floats(0.1, 10)) for _ in range(2))
    angle, shear = draw(st.floats(-3.2, 3.2)), draw(st.floats(-1, 1))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.eye(3)
    matrix[:2, :2] = turn @ [[1, shear], [0, 1]] @ np.diag([down, right])
    matrix[:2, 2] = draw(st.floats(-500, 500)), draw(st.floats(-500, 500))
    return matrix


@given(affines(), affines(), affines())
def test_ways_through_a_third_grid_lead_to_the_same_place(a, b, c):
    one, two, three = Grid(IR, a), Grid(VISIBLE, b), Grid(IR, c)
    points = np.array([[0.0, 3.5, 239.5], [-0.5, 100.0, 319.5]])
    direct = apply(one.onto(three), points)
    around = apply(two.onto(three), apply(one.onto(two), points))
    np.testing.assert_allclose(around, direct, atol=1e-6, rtol=1e-7)
    np.testing.assert_allclose(apply(three.onto(one), direct), points, atol=1e-6, rtol=1e-7)


@given(affines())
def test_a_grid_is_itself(matrix):
    grid = Grid(IR, matrix)
    assert same_place(grid.onto(Grid(IR, matrix)), IR, IR)
    assert not same_place(grid.onto(Grid(VISIBLE, matrix)), IR, VISIBLE)


@pytest.mark.parametrize("factor", [1.0, -3.0, 1e-6])
def test_a_homography_means_the_same_whatever_its_factor(factor):
    matrix = factor * np.array([[2, 0.1, 3], [0, 2, 4], [1e-3, 0, 1]])
    assert pixel_size(matrix, IR) == pytest.approx(pixel_size(matrix / factor, IR))
    assert overlap(matrix, IR, VISIBLE)


def test_a_hundredth_of_a_pixel_is_the_same_place():
    matrix = np.eye(3)
    matrix[0, 2] = 0.009
    assert same_place(matrix, IR, IR)
    matrix[0, 2] = 0.011
    assert not same_place(matrix, IR, IR)


@pytest.mark.parametrize("target", [(480, 640), (120, 160), (100, 300), (240, 320)])
def test_fit_puts_corner_on_corner(target):
    np.testing.assert_allclose(apply(fit(IR, target), corners_of(IR)), corners_of(target), atol=1e-9)


@given(affines())
def test_pixel_size_is_the_root_of_the_area(matrix):
    assert pixel_size(matrix, IR) == pytest.approx(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))), rel=1e-6)


@pytest.mark.parametrize(
    ("shift", "meets"),
    [((0, 0), True), ((479, 639), True), ((-239, 0), True), ((480, 0), False), ((0, -320), False), ((0, 5000), False)],
)
def test_overlap_by_a_pixel_or_not_at_all(shift, meets):
    matrix = np.eye(3)
    matrix[:2, 2] = shift
    assert overlap(matrix, IR, VISIBLE) == meets


def test_a_turned_image_may_lie_past_a_corner():
    turned = np.array([[0.7, -0.7, 0], [0.7, 0.7, 0], [0, 0, 1]])
    beside, meets = turned.copy(), turned.copy()
    beside[:2, 2] = -200, 620  # their bounding boxes meet, they do not
    meets[:2, 2] = -100, 400
    assert not overlap(beside, IR, VISIBLE)
    assert overlap(meets, IR, VISIBLE)


@given(affines())
def test_overlap_is_mutual(matrix):
    assert overlap(matrix, IR, VISIBLE) == overlap(np.linalg.inv(matrix), VISIBLE, IR)


@pytest.mark.parametrize("value", ["x", None, np.eye(2), np.full((3, 3), np.nan), np.zeros((3, 3)), [[1, 0], [2]]])
def test_what_is_no_transform_is_refused(value):
    with pytest.raises(AlignmentError):
        as_matrix(value)


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1e6])
def test_the_unit_of_the_world_does_not_matter(scale):
    as_matrix(np.diag([scale, scale, 1.0]))
    Grid(IR, [[scale, 0, 0.25], [0, scale, -0.25], [0, 0, 1]])


# -- placements -----------------------------------------------------------------------------------------------------


def test_the_same_pixels_need_no_transform():
    placement = place(IR, IR)
    assert placement.ir_to_visible is None
    assert placement.grid == "visible"
    assert placement.note == ""
    assert place(IR, IR, np.eye(3), "ir").ir_to_visible is None
    assert place(IR, IR, "fit").ir_to_visible is None


def test_sizes_that_differ_need_a_word_about_how():
    with pytest.raises(AlignmentError) as raised:
        place(IR, VISIBLE)
    for way in ("320×240", "640×480", 'ir_to_visible="fit"', "ir_to_visible=alignment", "nif.align"):
        assert way in str(raised.value)


@pytest.mark.parametrize(
    ("scale", "finer"), [(2.0, "visible"), (0.5, "ir"), (1.0, "visible"), (0.999, "ir"), (1 - 1e-9, "visible")]
)
def test_the_finer_grid_has_the_smaller_pixels(scale, finer):
    matrix = np.diag([scale, scale, 1.0])
    assert place(IR, VISIBLE, matrix, "finer").grid == finer
    assert place(IR, VISIBLE, matrix, "ir").grid == "ir"
    assert place(IR, VISIBLE, matrix).grid == "visible"


def test_a_note_says_what_moves_where():
    assert place(IR, VISIBLE, "fit").note == "Infrared 320×240 is resampled onto the visible 640×480."
    assert place(IR, VISIBLE, "fit", "ir").note == "Visible 640×480 is resampled onto the infrared 320×240."
    assert "stretched by 33%" in place((300, 300), (300, 400), "fit").note


def test_images_beside_each_other_are_refused():
    matrix = np.eye(3)
    matrix[0, 2] = 1000
    with pytest.raises(AlignmentError, match="do not overlap"):
        place(IR, VISIBLE, matrix)


def test_alignments_know_their_sizes(tmp_path):
    alignment = Alignment(fit(IR, VISIBLE), "affine", IR, VISIBLE)
    path = write_alignment(tmp_path / "a.json", alignment)
    for given_as in (alignment, path, str(path)):
        np.testing.assert_array_equal(place(IR, VISIBLE, given_as).ir_to_visible, fit(IR, VISIBLE))
        with pytest.raises(AlignmentError, match="infrared image of 320×240"):
            place((120, 160), VISIBLE, given_as)


def test_no_such_grid():
    with pytest.raises(ParameterError, match="visible, ir, finer"):
        place(IR, IR, grid="both")
