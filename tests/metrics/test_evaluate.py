"""The frame around all metrics: evaluate, quality_maps, describe_metrics."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import napari_irvisfuse as nif
from napari_irvisfuse.errors import ImageError, ParameterError
from napari_irvisfuse.metrics import metrics_of, profiles

QUICK = ["EN", "SD", "CC", "PSNR", "SSIM"]


@pytest.fixture
def triple() -> list[np.ndarray]:
    ir, visible = np.random.default_rng(0).integers(0, 256, (2, 24, 31), dtype=np.uint8)
    fused = ((ir.astype(int) + visible) // 2).astype(np.uint8)
    return [fused, ir, visible]


def evaluate(*images: object, which=QUICK, **options) -> dict[str, float]:
    return nif.evaluate(*images, which=which, device="cpu", **options)


# -- what is computed ----------------------------------------------------------------------------------------------


def test_everything_in_the_order_of_the_table(triple):
    values = nif.evaluate(*triple, device="cpu")
    assert list(values) == list(nif.describe_metrics()) == list(metrics_of("standard"))
    assert all(type(value) is float for value in values.values())


def test_which_chooses_and_orders(triple):
    assert list(evaluate(*triple, which=["SSIM", "EN"])) == ["SSIM", "EN"]
    assert list(evaluate(*triple, which="EN")) == ["EN"]
    assert list(evaluate(*triple, which=(name for name in QUICK))) == QUICK
    assert evaluate(*triple, which=[]) == {}


def test_values_are_those_of_the_functions_in_float64(triple):
    tensors = [torch.from_numpy(image / 255) for image in triple]
    for name, value in evaluate(*triple).items():
        assert value == metrics_of("standard")[name].function(*tensors).item()


def test_standard_comes_first_and_is_the_default(triple):
    assert profiles()[0] == "standard"
    assert evaluate(*triple, profile="standard") == evaluate(*triple)
    for profile in profiles():
        assert nif.describe_metrics(profile)


# -- what is refused -----------------------------------------------------------------------------------------------


def test_unknown_names_say_what_there_is(triple):
    with pytest.raises(ParameterError, match=r"no metric profile 'standart': choose one of standard"):
        evaluate(*triple, profile="standart")
    with pytest.raises(ParameterError, match=r"'standard' has no metric 'SSIN': it has EN, .*SSIM"):
        evaluate(*triple, which=["EN", "SSIN"])
    with pytest.raises(ParameterError, match="no metric profile"):
        nif.describe_metrics("none")
    with pytest.raises(ParameterError, match=r"has no value per pixel: choose among .*SSIM"):
        nif.quality_maps(*triple, which=["SSIM", "EN"])


def test_names_are_checked_before_files_are_read():
    with pytest.raises(ParameterError):
        evaluate("no.png", "such.png", "file.png", which=["SSIN"])


def test_sizes_have_to_fit(triple):
    fused, ir, visible = triple
    with pytest.raises(ImageError, match=r"fused image is 30×24 and its sources 31×24 pixels"):
        evaluate(fused[:, 1:], ir, visible)
    with pytest.raises(ImageError, match=r"infrared image is 31×23 and the visible image 31×24"):
        evaluate(fused, ir[1:], visible)
    with pytest.raises(ImageError, match="fused image has shape"):
        evaluate(fused[None, None], ir, visible)
    with pytest.raises(ImageError, match="at least 16×16"):
        evaluate(*(image[:15] for image in triple))
    with pytest.raises(ImageError, match="fused image has no finite value"):
        evaluate(np.full((24, 31), np.nan), ir / 255, visible / 255)
    with pytest.raises(ImageError, match="fused image has no finite value"):
        evaluate(np.full((24, 31), np.nan), ir, visible)
    with pytest.raises(nif.FusionError):
        evaluate("no_such_file.png", ir, visible)


# -- how images may come -------------------------------------------------------------------------------------------


def test_data_types(triple):
    expected = evaluate(*triple)
    as_floats = [image / 255 for image in triple]
    assert evaluate(*as_floats) == pytest.approx(expected)
    assert evaluate(*(image.astype(np.float32) for image in as_floats)) == pytest.approx(expected, rel=1e-5)
    assert evaluate(*(torch.from_numpy(image) for image in triple)) == expected


def test_sixteen_bit():
    ir, visible = np.random.default_rng(1).integers(0, 4096, (2, 24, 31), dtype=np.uint16)
    visible[0, 0], ir[0, :2] = 4095, (0, 4095)  # a 12-bit camera
    fused = (ir // 2 + visible // 2).astype(np.uint16)
    expected = evaluate(*(image / 4095 for image in (fused, ir, visible)))
    assert evaluate(fused, ir, visible) == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["float", "uint16"])
def test_a_fused_image_of_another_data_type_has_its_own_range(triple, kind):
    """As networks and other programs hand it over, beside 8-bit sources."""
    fused, ir, visible = triple
    other = fused / 255 if kind == "float" else fused.astype(np.uint16) * 257
    other[0, 0] = fused[0, 0] = 0
    if kind == "uint16":
        other[0, 1], fused[0, 1] = 65535, 255
    assert evaluate(other, ir, visible) == pytest.approx(evaluate(fused, ir, visible))
    assert evaluate(fused.astype(float), ir, visible) == pytest.approx(evaluate(fused, ir, visible))
    assert evaluate(fused, ir / 255, visible / 255) == pytest.approx(evaluate(fused, ir, visible))


def test_colour_is_reduced_to_luma(triple):
    expected = evaluate(*triple)
    assert evaluate(*(np.stack([image] * 3, -1) for image in triple)) == pytest.approx(expected)
    fused, ir, visible = triple
    coloured = np.stack([fused, fused // 2, fused // 4], -1)
    luma = coloured.astype(float) @ [0.299, 0.587, 0.114] / 255
    assert evaluate(coloured, ir, visible) == pytest.approx(evaluate(luma, ir / 255, visible / 255), abs=1e-3)


def test_paths(triple, tmp_path: Path):
    paths = [tmp_path / f"{name}.png" for name in ("fused", "ir", "visible")]
    for path, image in zip(paths, triple, strict=True):
        nif.write_image(path, image)
    assert evaluate(*paths) == evaluate(*triple)
    assert evaluate(*map(str, paths)) == evaluate(*triple)


def test_pixels_without_a_value_do_not_spread(triple):
    images = [image / 255 for image in triple]
    for image in images:
        image[3, 4] = np.nan
    assert all(math.isfinite(value) for value in evaluate(*images).values())


def test_inputs_are_never_modified(triple):
    copies = [image.copy() for image in triple]
    nif.evaluate(*triple, device="cpu")
    nif.quality_maps(*triple, device="cpu")
    for image, copy in zip(triple, copies, strict=True):
        np.testing.assert_array_equal(image, copy)


# -- progress and cancelling ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [nif.evaluate, nif.quality_maps])
def test_progress_is_monotone_and_ends(triple, function):
    said: list[tuple[int, int, str]] = []
    function(*triple, which=["SSIM", "Qabf", "Qcb"], device="cpu", progress=lambda *step: said.append(step))
    done = [step[0] for step in said]
    assert done == sorted(done)
    assert done[0] == 0
    assert {step[1] for step in said} == {3}
    assert said[-1][:2] == (3, 3)
    assert any("Qabf" in step[2] for step in said)


@pytest.mark.parametrize("function", [nif.evaluate, nif.quality_maps])
def test_cancel_stops_between_metrics(triple, function):
    said: list[str] = []
    with pytest.raises(nif.Cancelled):
        function(
            *triple,
            which=["SSIM", "Qabf", "Qcb"],
            device="cpu",
            progress=lambda done, total, message: said.append(message),
            cancelled=lambda: len(said) == 2,
        )
    assert len(said) == 2


# -- maps ----------------------------------------------------------------------------------------------------------


def test_quality_maps_are_arrays_of_the_size_of_the_image(triple):
    maps = nif.quality_maps(*triple, device="cpu")
    assert {"SSIM_ir", "SSIM_visible", "Qabf", "Labf", "Nabf", "FMI_pixel", "Qcb", "Qcv"} <= set(maps)
    for name, item in maps.items():
        assert isinstance(item.data, np.ndarray)
        assert item.data.dtype == np.float32
        assert item.group == "quality"
        assert item.data.shape == (24, 31) if item.stride == 1 else (2, 2), name


def test_quality_maps_of_those_asked_for(triple):
    assert list(nif.quality_maps(*triple, which=["Qabf"], device="cpu")) == ["Qabf"]
    assert list(nif.quality_maps(*triple, which="SSIM", device="cpu")) == ["SSIM_ir", "SSIM_visible"]


@pytest.mark.parametrize("profile", profiles())
def test_every_profile_survives_a_tiny_and_a_constant_image(profile):
    flat = np.full((16, 16), 0.5)
    tiny = np.random.default_rng(0).random((16, 16))
    for images in ((flat, flat, flat), (tiny, tiny, tiny), (flat, tiny, tiny), (tiny, flat, flat)):
        values = nif.evaluate(*images, profile=profile, device="cpu")
        assert list(values) == list(nif.describe_metrics(profile))
        for item in nif.quality_maps(*images, profile=profile, device="cpu").values():
            assert np.isfinite(item.data).all()
