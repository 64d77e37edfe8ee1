"""The scale of a TIFF survives whatever program wrote it."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from napari_irvisfuse.images.files import read_image, write_image
from napari_irvisfuse.images.scale import Scale, read_scale

IMAGE = np.arange(400, dtype=np.uint16).reshape(20, 20)
CENTIMETRES = {"nm": 1e-7, "µm": 1e-4, "mm": 0.1, "cm": 1, "m": 100, "inch": 2.54}
same_folder = hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)


@given(st.floats(0.01, 1000), st.floats(0.01, 1000), st.sampled_from(list(CENTIMETRES)), st.sampled_from(["", "°C"]))
@same_folder
def test_a_scale_comes_back_in_centimetres(tmp_path, height, width, unit, value_unit):
    path = write_image(tmp_path / "a.tif", IMAGE, overwrite=True, scale=Scale((height, width), unit, value_unit))
    back = read_scale(path)
    assert (back.pixel_unit, back.value_unit) == ("cm", value_unit)
    expected = np.array([height, width]) * CENTIMETRES[unit]
    np.testing.assert_allclose(back.pixel_size, expected, rtol=1e-4)
    np.testing.assert_array_equal(read_image(path), IMAGE)


@pytest.mark.parametrize("array", [IMAGE, IMAGE.astype(np.float32), np.stack([IMAGE] * 3, -1).astype(np.uint8)])
def test_no_scale_is_no_scale(tmp_path, array):
    assert read_scale(write_image(tmp_path / "a.tif", array)) == Scale()
    assert read_scale(write_image(tmp_path / "b.tif", array, scale=Scale((2, 3), "furlong"))) == Scale()


def test_a_bare_ratio_stays_one(tmp_path):
    back = read_scale(write_image(tmp_path / "a.tif", IMAGE, scale=Scale((2.0, 1.0))))
    assert back.pixel_unit == ""
    assert back.pixel_size == pytest.approx((2, 1))


def test_of_imagej(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, imagej=True, resolution=(1 / 0.65, 1 / 0.7), metadata={"unit": "um"})
    back = read_scale(tmp_path / "a.tif")
    assert back.pixel_size == pytest.approx((0.7, 0.65), rel=1e-5)
    assert back.pixel_unit == "um"
    kept = read_scale(write_image(tmp_path / "b.tif", IMAGE, scale=back))
    assert kept.pixel_size == pytest.approx((0.7e-4, 0.65e-4), rel=1e-4)


def test_of_ome(tmp_path):
    sizes = {"PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "mm", "PhysicalSizeY": 0.25, "PhysicalSizeYUnit": "mm"}
    tifffile.imwrite(tmp_path / "a.ome.tif", IMAGE, metadata={"axes": "YX", **sizes})
    assert read_scale(tmp_path / "a.ome.tif") == Scale((0.25, 0.5), "mm")


def test_of_plain_tags(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, resolution=(300, 150), resolutionunit="INCH")
    back = read_scale(tmp_path / "a.tif")
    assert back.pixel_unit == "inch"
    assert back.pixel_size == pytest.approx((1 / 150, 1 / 300))


def test_what_is_no_tiff_has_none(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"II*\x00 and then nothing of use")
    for name in ("a.tif", "missing.tif", "b.png"):
        assert read_scale(tmp_path / name) == Scale()
    write_image(tmp_path / "b.png", IMAGE, scale=Scale((1, 2), "mm"))  # PNG has no room for it
