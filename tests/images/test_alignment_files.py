import json

import numpy as np
import pytest

from napari_irvisfuse.errors import AlignmentError, OutputError
from napari_irvisfuse.images.alignment_files import Alignment, read_alignment, write_alignment

MATRIX = np.array([[1.9, 0.1, 3.25], [-0.1, 2.1, 1 / 3], [1e-5, -2e-5, 1.0]])


def test_what_is_written_is_read_again_to_the_last_bit(tmp_path):
    path = write_alignment(tmp_path / "a.json", Alignment(MATRIX, "homography", (240, 320), (480, 640), 0.75))
    read = read_alignment(path)

    assert np.array_equal(read.ir_to_visible, MATRIX)
    assert (read.model, read.ir_shape, read.visible_shape) == ("homography", (240, 320), (480, 640))
    assert read.confidence == 0.75
    assert [item.name for item in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(("last_row", "model"), [((0, 0, 1), "affine"), ((1e-4, 0, 1), "homography")])
def test_a_file_written_by_hand_needs_the_matrix_only(tmp_path, last_row, model):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"ir_to_visible": [[2, 0, 0.5], [0, 2, 0.5], last_row], "remark": "by hand"}))
    read = read_alignment(path)

    assert (read.model, read.ir_shape, read.visible_shape, read.confidence) == (model, None, None, None)


def test_an_alignment_is_a_value_that_does_not_change():
    given = MATRIX.copy()
    alignment = Alignment(given, "affine", (240, 320), (480, 640))
    given[:] = 0

    assert np.array_equal(alignment.ir_to_visible, MATRIX)
    with pytest.raises(ValueError, match="read-only"):
        alignment.ir_to_visible[0, 0] = 5


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ([], "no ir_to_visible"),
        ({"matrix": 1}, "no ir_to_visible"),
        ({"ir_to_visible": [[1, 0], [0, 1]]}, "3×3"),
        ({"ir_to_visible": [[1, 0, 0], [0, 1], [0, 0, 1]]}, "3×3"),
        ({"ir_to_visible": [[1, 0, 0], [0, float("nan"), 0], [0, 0, 1]]}, "finite"),
        ({"ir_to_visible": [[1, 2, 0], [2, 4, 0], [0, 0, 1]]}, "no inverse"),
        ({"ir_to_visible": np.zeros((3, 3)).tolist()}, "no inverse"),
        ({"ir_to_visible": MATRIX.tolist(), "ir_shape": [240]}, "ir_shape"),
        ({"ir_to_visible": MATRIX.tolist(), "visible_shape": [240.5, 3]}, "visible_shape"),
        ({"ir_to_visible": MATRIX.tolist(), "visible_shape": "no"}, "visible_shape"),
        ({"ir_to_visible": MATRIX.tolist(), "confidence": 2}, "0 to 1"),
        ({"ir_to_visible": MATRIX.tolist(), "confidence": "high"}, "0 to 1"),
        ({"ir_to_visible": MATRIX.tolist(), "confidence": 10**400}, "0 to 1"),
        ({"ir_to_visible": [[10**400, 0, 0], [0, 1, 0], [0, 0, 1]]}, "finite numbers"),
        ({"ir_to_visible": MATRIX.tolist(), "model": 3}, "model"),
        ({"ir_to_visible": MATRIX.tolist(), "irvisfuse_alignment": 2}, "update"),
    ],
)
def test_a_damaged_file_is_refused_in_one_sentence(tmp_path, data, says):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(data))
    with pytest.raises(AlignmentError, match=says) as raised:
        read_alignment(path)
    assert "a.json" in str(raised.value)


def test_no_file_no_text_no_json(tmp_path):
    with pytest.raises(AlignmentError, match="cannot be read"):
        read_alignment(tmp_path / "none.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(AlignmentError, match="cannot be read"):
        read_alignment(tmp_path / "binary.json")
    (tmp_path / "text.json").write_text("ir_to_visible: 3")
    with pytest.raises(AlignmentError, match="no JSON"):
        read_alignment(tmp_path / "text.json")


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(OutputError):
        write_alignment(tmp_path / "none" / "a.json", Alignment(MATRIX, "affine", None, None))


def test_images_of_another_size_are_refused():
    alignment = Alignment(MATRIX, "affine", (240, 320), (480, 640))
    alignment.check_shapes((240, 320), (480, 640))
    with pytest.raises(AlignmentError, match="infrared image of 320×240 pixels, and this one has 640×480"):
        alignment.check_shapes((480, 640), (480, 640))
    with pytest.raises(AlignmentError, match="visible image of 640×480"):
        alignment.check_shapes((240, 320), (240, 320))
    Alignment(MATRIX, "affine", None, None).check_shapes((1, 2), (3, 4))
