"""The standard profile as a whole: what it lists, what it maps, and what published code measured on real images."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

import napari_irvisfuse as nif
from napari_irvisfuse.metrics import metrics_of
from napari_irvisfuse.metrics.standard import PROFILES

METRICS = metrics_of("standard")
NAMES = list(METRICS)
LOWER_IS_BETTER = {"Labf", "Nabf", "Qcv"}
OF_FUSED_ALONE = {"EN", "SD", "SF", "AG", "EI"}
ONE_SOURCE = {"VIF_ir", "VIF_visible"}
NOT_BELOW = {"MS_SSIM": 161, "VIF": 41, "VIF_ir": 41, "VIF_visible": 41, "VIFF": 41}
PERFECT = {"CC": 1, "NMI": 2, "PSNR": math.inf, "SSIM": 1, "SSIM_sum": 2, "MS_SSIM": 1, "Nabf": 0, "Qcb": 1, "Qcv": 0}
PERFECT |= {"VIF": 2, "VIF_ir": 1, "VIF_visible": 1, "VIFF": 1}
PERFECT |= {f"FMI_{feature}": 1 for feature in ("pixel", "gradient", "edge", "dct", "wavelet")}


def images(height: int = 48, width: int = 52, *, seed: int = 0) -> torch.Tensor:
    """Fused, IR and visible of one made-up scene, ``(3, H, W)``."""
    values = np.random.default_rng(seed).random((3, height, width))
    smooth = ndimage.gaussian_filter(values, (0, 1.5, 1.5))
    ir, visible, noise = (smooth - smooth.min()) / np.ptp(smooth)
    return torch.from_numpy(np.stack([0.45 * ir + 0.5 * visible + 0.05 * noise, ir, visible]))


def test_what_it_lists():
    assert [metric.info.name for metric in PROFILES["standard"]] == NAMES
    assert {"EN", "SD", "SF", "AG", "EI", "MI", "NMI", "CC", "SCD", "PSNR", "SSIM", "SSIM_sum", "MS_SSIM"} <= set(NAMES)
    assert {"VIF", "VIFF", "Qabf", "Labf", "Nabf", "FMI_pixel", "FMI_gradient", "FMI_edge", "Qcb", "Qcv"} <= set(NAMES)
    for name, info in nif.describe_metrics().items():
        assert info.name == name
        assert info.title
        assert info.summary.endswith((".", "?"))
        assert info.reference
        assert info.doi.startswith("10.") or name in {"EI", "CC"}  # journals without DOI
        assert info.bounds[0] < info.bounds[1]
        assert info.higher_is_better == (name not in LOWER_IS_BETTER)


@pytest.mark.parametrize("name", NAMES)
def test_value_is_within_its_bounds(name):
    size = NOT_BELOW.get(name, 16)
    value = METRICS[name].function(*images(size, size + 3)).item()
    low, high = METRICS[name].info.bounds
    assert low <= value <= high
    assert METRICS[name].function(*images(16, 16)).isnan().item() == (size > 16)


@pytest.mark.parametrize("name", sorted(PERFECT))
def test_identity_is_perfect(name):
    image = images(164, 161)[0] if name == "MS_SSIM" else images()[0]
    assert METRICS[name].function(image, image, image).item() == pytest.approx(PERFECT[name], abs=1e-6)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ONE_SOURCE])
def test_sources_may_be_exchanged(name):
    fused, ir, visible = images(164, 161) if name == "MS_SSIM" else images()
    function = METRICS[name].function
    torch.testing.assert_close(function(fused, visible, ir), function(fused, ir, visible))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.parametrize("name", NAMES)
def test_gpu_is_cpu(name):
    triple = images(164, 161)
    function = METRICS[name].function
    value = function(*triple.cuda())
    assert value.device.type == "cuda"
    torch.testing.assert_close(value.cpu(), function(*triple), rtol=1e-6, atol=1e-9)


def test_each_source_has_its_vif():
    fused, ir, visible = images()
    of_ir, of_visible, both = (METRICS[name].function(fused, ir, visible) for name in ("VIF_ir", "VIF_visible", "VIF"))
    torch.testing.assert_close(of_ir + of_visible, both)
    torch.testing.assert_close(METRICS["VIF_ir"].function(fused, visible, ir), of_visible)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", ["all black", "all white", "flat fused", "flat sources"])
def test_constant_images_have_a_value(name, case):
    image = images()[0]
    flat = torch.full_like(image, 1.0 if case == "all white" else 0.0)
    fused = flat if case != "flat sources" else image
    source = flat if case != "flat fused" else image
    value = METRICS[name].function(fused, source, source).item()
    low, high = METRICS[name].info.bounds
    if name == "MS_SSIM":
        assert math.isnan(value)
    else:
        assert low - 1e-12 <= value <= high


@pytest.mark.parametrize("name", [name for name in NAMES if METRICS[name].quality is not None])
def test_maps_lie_on_the_image(name):
    fused, ir, visible = images(37, 50)
    quality = METRICS[name].quality
    assert quality is not None
    maps = quality(fused, ir, visible)
    assert maps
    for item in maps.values():
        assert item.group == "quality"
        assert item.title
        height, width = item.data.shape
        assert (height, width) == (math.ceil(37 / item.stride), math.ceil(50 / item.stride))
        assert item.data.isfinite().all()
        if item.kind in ("weight", "energy"):
            assert item.data.amin() >= -1e-9
        if item.kind != "energy":
            assert item.data.abs().amax() <= 1 + 1e-9


def test_ssim_maps_are_the_values_before_the_mean():
    quality = METRICS["SSIM"].quality
    assert quality is not None
    maps = quality(*images())
    means = [item.data[5:-5, 5:-5].mean() for item in maps.values()]
    torch.testing.assert_close((means[0] + means[1]) / 2, METRICS["SSIM"].function(*images()))
    np.testing.assert_array_equal(maps["SSIM_ir"].data, np.pad(maps["SSIM_ir"].data[5:-5, 5:-5], 5, mode="edge"))


def test_maps_see_where():
    """Left half copied from the source, right half lost."""
    _, ir, _ = images(64, 64)
    fused = ir.clone()
    fused[:, 32:] = 0.5
    for name, key, good_is_high in (
        ("SSIM", "SSIM_ir", True),
        ("Qabf", "Qabf", True),
        ("Labf", "Labf", False),
        ("FMI_pixel", "FMI_pixel", True),
        ("Qcb", "Qcb", True),
        ("Qcv", "Qcv", False),
    ):
        quality = METRICS[name].quality
        assert quality is not None
        item = quality(fused, ir, ir)[key]
        middle = item.data.shape[1] // 2
        margin = 8 // item.stride
        left, right = item.data[:, : middle - margin].mean(), item.data[:, middle + margin :].mean()
        assert (left > right) == good_is_high, name


# columns of the published code whose definition is the textbook's; its AG, Qabf and N_abf are not
COLUMNS = {"EN": "EN", "SD": "SD", "SF": "SF", "CC": "CC", "MI": "MI_true", "SCD": "SCD"}


@pytest.mark.parametrize("method", ["wls", "cbf", "jsr"])
@pytest.mark.parametrize("number", [5, 9])
def test_published_values(data_dir: Path, method: str, number: int):
    with (data_dir / "tno_reference" / "metrics.csv").open(newline="") as file:
        published = {
            row["metric"]: float(row["value"])
            for row in csv.DictReader(file)
            if (row["method"], row["image"]) == (method, str(number))
        }
    paths = [data_dir / "tno_reference" / method, data_dir / "tno" / "ir", data_dir / "tno" / "vi"]
    values = nif.evaluate(*(path / f"{number:03}.png" for path in paths), which=COLUMNS, device="cpu")
    assert values == pytest.approx({name: published[column] for name, column in COLUMNS.items()}, abs=1e-4)
