"""What all tests share. Importable where neither napari nor Qt is installed: there the widgets' tests are left out."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings

# Timing is no property: the first example imports torch's FFT, and the machine may be busy.
settings.register_profile("irvisfuse", deadline=None)
settings.load_profile("irvisfuse")

ROOT = Path(__file__).resolve().parent.parent
HAS_SCREEN = sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))

# Before anything imports napari or Qt: no test may read or write the settings of whoever runs it.
os.environ["NAPARI_CONFIG"] = ""
# Torch's threads spin while they wait, and where other work shares the cores, they wait for each other for minutes.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
if not HAS_SCREEN:
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

HAS_NAPARI = all(find_spec(name) is not None for name in ("napari", "qtpy", "magicgui"))
collect_ignore = [] if HAS_NAPARI else ["widgets", "test_manifest.py"]

with suppress(ImportError):
    import tqdm

    tqdm.tqdm.monitor_interval = 0  # its monitor thread outlives the tests


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests of a real viewer where there is no screen."""
    if HAS_SCREEN and os.environ.get("QT_QPA_PLATFORM") != "offscreen":
        return
    skip = pytest.mark.skip(reason="a real viewer needs a screen (DISPLAY): run under xvfb-run -a")
    for item in items:
        if item.get_closest_marker("viewer"):
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the remembered settings and the downloaded files of whoever runs the tests out of them."""
    folder = tmp_path_factory.mktemp("own")
    monkeypatch.setenv("IRVISFUSE_CONFIG", str(folder / "config"))
    monkeypatch.setenv("IRVISFUSE_CACHE", str(folder / "cache"))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder with the public test images and reference results."""
    folder = Path(os.environ.get("IRVISFUSE_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"the test images are not in {folder}: set IRVISFUSE_DATA to the folder that holds them")
    return folder
