"""Radiometric JPEGs: every count as the camera wrote it, and a sentence for files that are damaged."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from napari_irvisfuse.errors import ImageError
from napari_irvisfuse.images.files import read_image
from napari_irvisfuse.images.radiometric import is_radiometric, read_infrared, read_radiometric

same_folder = hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)


def scene(height: int = 24, width: int = 32) -> np.ndarray:
    """Return counts as smooth as those of a real scene."""
    rows, columns = np.mgrid[:height, :width]
    return (17000 + 40 * rows + 7 * columns + 900 * (rows > 12)).astype(np.uint16)


def photo(height: int = 48, width: int = 64) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 5, columns * 3, 90 + rows + columns], axis=-1).astype(np.uint8)


def refused(path) -> str:
    with pytest.raises(ImageError) as caught:
        read_radiometric(path)
    text = str(caught.value)
    assert text.endswith(".")
    assert "\n" not in text
    return text


# -- what is in the file ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", ["png", "straight", "bytes"])
def test_every_count_arrives_in_whatever_byte_order_it_was_stored(write_rjpeg, tmp_path, raw):
    path = write_rjpeg(tmp_path / "a.jpg", scene(), raw=raw)
    counts = read_radiometric(path).counts
    assert counts.dtype == np.uint16
    np.testing.assert_array_equal(counts, scene())


@given(npst.arrays(np.uint16, (5, 7)))
@same_folder
def test_any_counts_arrive_bit_by_bit(write_rjpeg, tmp_path, counts):
    np.testing.assert_array_equal(read_radiometric(write_rjpeg(tmp_path / "a.jpg", counts, raw="bytes")).counts, counts)


@pytest.mark.parametrize("part", [40, 1000, 65000])
def test_parts_are_put_together(write_rjpeg, tmp_path, part):
    counts = scene(12, 16)
    np.testing.assert_array_equal(read_radiometric(write_rjpeg(tmp_path / "a.jpg", counts, part=part)).counts, counts)


@pytest.mark.parametrize(("kind", "tolerance"), [("png", 3), ("jpeg", 12)])
def test_the_photograph_has_its_colours(write_rjpeg, tmp_path, kind, tolerance):
    visible = read_radiometric(write_rjpeg(tmp_path / "a.jpg", scene(), photo(), photo=kind)).visible
    assert visible.dtype == np.uint8
    np.testing.assert_allclose(visible.astype(int), photo(), atol=tolerance)


def test_what_was_set_in_the_camera(write_rjpeg, tmp_path):
    thermal = read_radiometric(write_rjpeg(tmp_path / "a.jpg", scene(), humidity=50, reflected=295.65))
    given = thermal.conditions
    assert (given.emissivity, given.distance, given.relative_humidity) == (0.95, 2.0, 0.5)
    assert (given.reflected_temperature, given.atmospheric_temperature) == (22.5, 10.0)
    assert thermal.planck.o == -5151
    assert thermal.camera == "Synthetic"


def test_other_conditions_give_other_temperatures(write_rjpeg, tmp_path):
    thermal = read_radiometric(write_rjpeg(tmp_path / "a.jpg", scene()))
    as_set = thermal.celsius()
    assert as_set.dtype == np.float32
    assert as_set.shape == scene().shape
    np.testing.assert_array_equal(thermal.celsius(emissivity=0.95, distance=None), as_set)
    assert (thermal.celsius(emissivity=0.5)[13:] > as_set[13:]).all()


@pytest.mark.parametrize(("setting", "value"), [("emissivity", 0.0), ("distance", 1e6), ("air", -5.0)])
def test_what_cannot_have_been_set_is_said_with_the_file_and_can_be_put_right(write_rjpeg, tmp_path, setting, value):
    path = write_rjpeg(tmp_path / "a.jpg", scene(), **{setting: value})
    with pytest.raises(ImageError, match=r"a\.jpg, as its camera was set: .* nif\.read_radiometric"):
        read_infrared(path)
    right = read_radiometric(path).celsius(emissivity=0.95, distance=2, atmospheric_temperature=10)
    np.testing.assert_array_equal(right, read_infrared(write_rjpeg(tmp_path / "b.jpg", scene())))


# -- where the two lie ------------------------------------------------------------------------------------------


@given(st.floats(0.5, 4, width=32), st.integers(-300, 300), st.integers(-300, 300))
@same_folder
def test_the_middle_of_the_infrared_image_lies_where_the_camera_says(write_rjpeg, tmp_path, ratio, right, down):
    path = write_rjpeg(tmp_path / "a.jpg", scene(), photo(), overlay=(ratio, right, down))
    matrix = read_radiometric(path).ir_to_visible
    middle = matrix @ [(24 - 1) / 2, (32 - 1) / 2, 1]
    np.testing.assert_allclose(middle, [(48 - 1) / 2 + down, (64 - 1) / 2 + right, 1])
    corner = matrix @ [-0.5, -0.5, 1]
    width = (matrix @ [-0.5, 31.5, 1] - corner)[1]
    np.testing.assert_allclose(width * ratio, 64)  # the photograph shows that much more


@pytest.mark.parametrize("overlay", [None, (0.0, 0, 0), (float("nan"), 3, 3), (1e9, 0, 0)])
def test_a_camera_that_was_never_aligned_says_nothing(write_rjpeg, tmp_path, overlay):
    assert read_radiometric(write_rjpeg(tmp_path / "a.jpg", scene(), photo(), overlay=overlay)).ir_to_visible is None


def test_without_a_photograph_there_is_nothing_to_lie_on(write_rjpeg, tmp_path):
    thermal = read_radiometric(write_rjpeg(tmp_path / "a.jpg", scene()))
    assert thermal.visible is None
    assert thermal.ir_to_visible is None


# -- what is no radiometric JPEG --------------------------------------------------------------------------------


def test_ordinary_files_are_told_apart(write_rjpeg, tmp_path):
    assert is_radiometric(write_rjpeg(tmp_path / "a.jpg", scene()))
    Image.fromarray(photo()).save(tmp_path / "b.jpg", exif=b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x00\x00")
    (tmp_path / "c.jpg").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "d.jpg").write_bytes(b"")
    for name in ("b.jpg", "c.jpg", "d.jpg", "missing.jpg", ""):
        assert not is_radiometric(tmp_path / name)
    assert "no radiometric JPEG" in refused(tmp_path / "b.jpg")
    assert "no image file" in refused(tmp_path / "missing.jpg")


def test_infrared_files_of_both_kinds(write_rjpeg, tmp_path):
    path = write_rjpeg(tmp_path / "a.jpg", scene())
    np.testing.assert_array_equal(read_infrared(path), read_radiometric(path).celsius())
    Image.fromarray(photo()).save(tmp_path / "b.png")
    np.testing.assert_array_equal(read_infrared(tmp_path / "b.png"), photo())


def test_a_missing_part_is_named(write_rjpeg, tmp_path):
    assert "part 2 of" in refused(write_rjpeg(tmp_path / "a.jpg", scene(), drop=1))


def size(width: int, height: int) -> bytes:
    return struct.pack("<HHH26x", 2, width, height)


@pytest.mark.parametrize(
    "records",
    [
        {0x01: b""},
        {0x01: b"\x02\x00"},
        {0x01: size(0, 0)},
        {0x01: size(65535, 65535)},
        {0x01: size(40, 40) + bytes(100)},
        {0x01: size(40, 40) + b"\x89PNG\r\n\x1a\n" + bytes(100)},
        {0x20: bytes(100)},
        {0x20: bytes(2476)},
        {0x0E: size(40, 40) + b"no picture"},
        {0x2A: b"\x00"},
    ],
    ids=lambda records: "-".join(f"{kind:x}" for kind in records),
)
def test_records_that_make_no_sense_are_refused(write_rjpeg, tmp_path, records):
    assert "damaged" in refused(write_rjpeg(tmp_path / "a.jpg", scene(), photo(), records=records))


@given(st.data())
@same_folder
def test_any_damage_is_a_sentence_or_harmless(write_rjpeg, tmp_path, data):
    """Never another exception, never a hang, never more memory than the file could fill."""
    path = write_rjpeg(tmp_path / "a.jpg", scene(), photo())
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    for _ in range(data.draw(st.integers(0, 8))):
        if content:
            content[data.draw(st.integers(0, min(len(content), 4000) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        thermal = read_radiometric(path)
    except ImageError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert thermal.counts.ndim == 2


# -- real cameras -----------------------------------------------------------------------------------------------


REAL = ("001", "003", "005", "007", "009", "011", "013", "015", "017")


@pytest.fixture(params=REAL)
def real(request, data_dir):
    folder = data_dir / "thermal16_flir"
    if not folder.is_dir():
        pytest.skip(f"the thermal images are not in {folder}")
    meta = json.loads((folder / "meta" / f"{request.param}.json").read_text())
    return read_radiometric(folder / "rjpeg" / f"{request.param}.jpg"), meta, folder, request.param


def test_real_counts_are_equal_bit_by_bit(real):
    thermal, _, folder, name = real
    np.testing.assert_array_equal(thermal.counts, read_image(folder / "ir" / f"{name}.png"))


def test_real_constants_and_temperatures(real):
    thermal, meta, _, _ = real
    camera = meta["camera"]
    assert thermal.conditions.emissivity == pytest.approx(camera["Emissivity"], abs=1e-6)
    assert thermal.conditions.relative_humidity == pytest.approx(camera["RelativeHumidity"], abs=1e-6)
    assert thermal.atmosphere.x == pytest.approx(camera["AtmosphericTransX"])
    signal = thermal.counts.astype(float) + camera["PlanckO"]
    ratio = camera["PlanckR1"] / (camera["PlanckR2"] * signal) + camera["PlanckF"]
    expected = camera["PlanckB"] / np.log(ratio) - 273.15
    np.testing.assert_allclose(thermal.celsius(emissivity=1, distance=0), expected, atol=2e-5)
    measured = thermal.celsius()
    assert -20 < measured.min() < measured.max() < 350


def test_real_alignment_is_the_expected_one(real):
    thermal, meta, folder, name = real
    if meta["pip"] is None:
        assert thermal.ir_to_visible is None
        return
    expected = np.array(meta["H_ir_to_vis_from_PiP_metadata"])
    # there in (x, y), from the outer edge of the corner pixel; here in (row, column), from its centre
    half = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])
    swap = np.eye(3)[[1, 0, 2]]
    expected = swap @ half @ expected @ np.linalg.inv(half) @ swap
    np.testing.assert_allclose(thermal.ir_to_visible, expected, atol=1e-9)
    photo = next((folder / "vi").glob(f"{name}.*"))
    if photo.suffix == ".jpg":  # the others were stored without their colours
        np.testing.assert_array_equal(thermal.visible, read_image(photo))
