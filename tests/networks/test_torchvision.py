"""Importing torchvision, also where it does not fit torch. In fresh processes: an import happens only once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import napari_irvisfuse

SOURCE = str(Path(napari_irvisfuse.__file__).parents[1])

# What torchvision does when its compiled part cannot be loaded.
BROKEN = """
import torch
from . import extension
@torch.library.register_fake("torchvision::nms")
def nms(dets, scores, iou_threshold): ...
@torch.library.register_fake("torchvision::qnms")
def qnms(dets, scores, iou_threshold): ...
from . import models
"""


def run(code: str, *path: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*map(str, path), SOURCE])}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def pretend(folder: Path, init: str) -> Path:
    package = folder / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text(init)
    (package / "extension.py").write_text("import torchvision")
    (package / "models.py").write_text("network = 'a network'")
    return folder


def test_installed_torchvision_gives_networks() -> None:
    code = """
import sys
from napari_irvisfuse.networks import torchvision_models
assert "torch" not in sys.modules and "torchvision" not in sys.modules
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(4) as pool:
    modules = set(pool.map(lambda _: torchvision_models(), range(4)))
assert modules == {sys.modules["torchvision.models"]}, modules
import torch, torchvision
assert torchvision.models in modules
with torch.device("meta"):
    for name in ("resnet50", "vgg19"):
        network = getattr(torchvision.models, name)(weights=None).eval()
        print(tuple(network(torch.zeros(1, 3, 64, 64)).shape))
"""
    assert run(code).splitlines() == ["(1, 1000)"] * 2


def test_missing_operators_are_declared(tmp_path: Path) -> None:
    code = """
try:
    import torchvision
except RuntimeError as error:
    assert "torchvision::nms does not exist" in str(error)
else:
    raise SystemExit("the pretended torchvision is not broken")
from napari_irvisfuse.networks import torchvision_models
print(torchvision_models().network)
import torchvision
assert torchvision.extension.torchvision is torchvision, "half a package is left from the first try"
assert torchvision_models() is torchvision_models()
import torch, gc
gc.collect()
print(hasattr(torch.ops.torchvision, "nms"), hasattr(torch.ops.torchvision, "qnms"))
"""
    assert run(code, pretend(tmp_path, BROKEN)).splitlines() == ["a network", "True True"]


def test_other_misfits_are_explained(tmp_path: Path) -> None:
    code = """
import sys
from napari_irvisfuse.errors import WeightsError
from napari_irvisfuse.networks import torchvision_models
for _ in range(2):
    try:
        torchvision_models()
    except WeightsError as error:
        print(error)
assert "torchvision" not in sys.modules
"""
    folder = pretend(tmp_path, "raise RuntimeError('compiled with different CUDA versions.\\nlong explanation')")
    sentence = (
        "The pretrained networks cannot be loaded because torchvision does not fit torch: "
        "install both anew, from the same index (compiled with different CUDA versions)."
    )
    assert run(code, folder).splitlines() == [sentence] * 2


def test_missing_torchvision_is_explained() -> None:
    code = """
import sys
sys.modules["torchvision"] = None  # as if it were not installed
from napari_irvisfuse.errors import WeightsError
from napari_irvisfuse.networks import torchvision_models
try:
    torchvision_models()
except WeightsError as error:
    print(error)
"""
    assert run(code) == (
        "The pretrained networks need torchvision, which is not installed: "
        "install torch and torchvision in this environment."
    )
