"""The profile against the numbers of the code published with the ResNet-152 paper, and as a whole."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_irvisfuse.images.files import read_image
from napari_irvisfuse.metrics import describe_metrics, evaluate, metrics_of, quality_maps
from napari_irvisfuse.metrics.zhang2022 import wrapped_average_gradient

METHODS = ("average", "cbf", "convsr", "jsr", "jsrsd", "resnet152_authors", "wls")
IMAGES = (1, 2, 3, 4, 5, 6, 7, 9, 10, 11)
NAMES = (
    *("FMI_pixel", "FMI_dct", "FMI_w", "N_abf", "SSIM_sum", "SSIM", "EN", "Qabf", "SCD", "MEF_MS_SSIM"),
    *("FMI_gradient", "FMI_none", "N_abf_255", "MI_true", "CC", "SD", "SF", "AG"),
)
SLOW = ("FMI_dct", "FMI_w", "FMI_gradient", "FMI_none")
# all of the two smallest pairs, and of the others one method each
OF_SLOW = [(method, image) for image in (1, 11) for method in METHODS]
OF_SLOW += [("cbf", 3), ("wls", 5), ("resnet152_authors", 7), ("average", 6), ("convsr", 4)]
# The file has six digits. Twenty times that where rounding decides: see the notes of the profile.
TOLERANCES = dict.fromkeys(("N_abf", "Qabf", "FMI_w", "FMI_gradient"), 2e-5)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """On a busy machine, waking a second thread for each small operation takes longer than the operation."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@cache
def reference(folder: Path) -> dict[tuple[str, int], dict[str, float]]:
    values: dict[tuple[str, int], dict[str, float]] = {}
    with (folder / "tno_reference" / "metrics.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            name = {"MS_SSIM": "MEF_MS_SSIM"}.get(row["metric"], row["metric"])
            values.setdefault((row["method"], int(row["image"])), {})[name] = float(row["value"])
    return values


@cache
def published(folder: Path, method: str, image: int) -> list[torch.Tensor]:
    name = f"{image:03d}.png"
    ir, visible = (read_image(folder / "tno" / kind / name) for kind in ("ir", "vi"))
    if method == "average":
        fused = np.floor((ir.astype(float) + visible) / 2 + 0.5)
    else:
        fused = read_image(folder / "tno_reference" / method / name)
    return [torch.from_numpy(array / 255.0) for array in (fused, ir, visible)]


def check(folder: Path, names: tuple[str, ...], method: str, image: int) -> None:
    images = published(folder, method, image)
    expected = reference(folder)[method, image]
    for name, metric in metrics_of("zhang2022", names).items():
        value = metric.function(*images).item()
        assert math.isfinite(value)
        if not math.isnan(expected[name]):  # FMI_gradient of ConvSR 2 and 4 in the published code
            assert value == pytest.approx(expected[name], abs=TOLERANCES.get(name, 1e-6)), name


def test_the_file_has_what_the_profile_has(data_dir):
    values = reference(data_dir)
    assert set(values) == {(method, image) for method in METHODS for image in IMAGES}
    assert all(set(row) == set(NAMES) for row in values.values())


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("method", METHODS)
def test_published_values(data_dir, method, image):
    check(data_dir, tuple(name for name in NAMES if name not in SLOW), method, image)


@pytest.mark.parametrize(("method", "image"), OF_SLOW)
def test_published_values_of_slow_features(data_dir, method, image):
    check(data_dir, SLOW, method, image)


def test_table():
    described = describe_metrics("zhang2022")
    assert tuple(described) == NAMES
    assert [name for name, info in described.items() if not info.higher_is_better] == ["N_abf", "N_abf_255"]
    assert all(info.title and info.summary.endswith((".", "?")) and info.reference for info in described.values())
    assert [name for name, info in described.items() if not info.doi] == ["CC"]


def pair(height: int = 16, width: int = 19) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (height, width)).astype(np.uint8) for _ in range(3)]


def test_evaluate_arrays():
    fused, ir, visible = pair(48, 50)
    values = evaluate(fused, ir, visible, "zhang2022", device="cpu")
    assert tuple(values) == NAMES
    assert values["SSIM_sum"] == pytest.approx(2 * values["SSIM"])
    # 8-bit, 16-bit of the same levels, and floats are the same image
    wide = [array.astype(np.float64) / 255 for array in (fused, ir, visible)]
    assert evaluate(*wide, "zhang2022", device="cpu") == pytest.approx(values, abs=1e-12)


@pytest.mark.parametrize("size", [(16, 16), (16, 19), (41, 17)])
def test_tiny_and_constant_images_have_values_in_bounds(size):
    constant = np.full(size, 77, np.uint8)
    for images in (pair(*size), [constant] * 3, [constant, *pair(*size)[1:]], [pair(*size)[0], constant, constant]):
        values = evaluate(*images, "zhang2022", device="cpu")
        for name, info in describe_metrics("zhang2022").items():
            low, high = info.bounds
            slack = 0.05 if name.startswith("FMI") else 1e-9  # the joint distribution is an approximation
            assert low - slack <= values[name] <= high + slack, name


def test_a_copy_of_both():
    image = pair(48, 50)[0]
    values = evaluate(image, image, image, "zhang2022", device="cpu")
    assert [values[name] for name in NAMES if name.startswith("FMI")] == [1] * 5
    assert values["SSIM_sum"] == 2
    assert values["N_abf"] == values["N_abf_255"] == values["SCD"] == 0
    assert values["CC"] == pytest.approx(1)
    assert values["MEF_MS_SSIM"] == pytest.approx(1, abs=1e-9)
    assert values["MI_true"] == pytest.approx(2 * values["EN"])


def test_symmetric_in_the_sources():
    fused, ir, visible = pair(48, 50)
    swapped = evaluate(fused, visible, ir, "zhang2022", device="cpu")
    assert swapped == pytest.approx(evaluate(fused, ir, visible, "zhang2022", device="cpu"), abs=1e-12)


def test_quality_maps():
    maps = quality_maps(*pair(32, 35), "zhang2022", device="cpu")
    expected = ["FMI_pixel", "N_abf", "SSIM_ir", "SSIM_visible", "Qabf", "MEF_SSIM", "FMI_gradient", "FMI_none"]
    assert list(maps) == expected
    for item in maps.values():
        assert item.data.shape == (32, 35)
        assert item.group == "quality"
        assert np.isfinite(item.data).all()


def test_average_gradient_joins_opposite_borders():
    image = torch.zeros(16, 20, dtype=torch.float64)
    image[:, 0] = 1
    # 16 steps down to the right of the column and 16 up at the border that is joined to it
    assert wrapped_average_gradient(image).item() == pytest.approx(255 * 32 / 320)
    for rows, columns in ((5, 7), (0, 19)):
        shifted = wrapped_average_gradient(image.roll((rows, columns), (0, 1)))
        torch.testing.assert_close(shifted, wrapped_average_gradient(image))
