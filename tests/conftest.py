"""What all tests share. Importable where neither napari nor Qt is installed: there the widgets' tests are left out."""

from __future__ import annotations

import io
import os
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

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


@pytest.fixture(scope="session")
def write_rjpeg() -> Callable[..., Path]:
    """Return ``write_rjpeg(path, counts, visible=None, **changes)``: a radiometric JPEG as a FLIR camera writes it."""
    return _write_rjpeg


CAMERA = {
    **{"emissivity": 0.95, "distance": 2.0, "reflected": 293.15, "air": 283.15, "window": 293.15},
    **{"transmission": 1.0, "humidity": 0.5, "r1": 16850.5078125, "b": 1433.3, "f": 1.0, "o": -5151, "r2": 0.0116},
    **{"alpha1": 0.006569, "alpha2": 0.01262, "beta1": -0.002276, "beta2": -0.00667, "x": 1.9},
}
"""Of a synthetic radiometric JPEG: kelvin, metres, shares and a sensor's calibration."""


def _write_rjpeg(
    path: Path,
    counts: np.ndarray,
    visible: np.ndarray | None = None,
    *,
    overlay: tuple[float, int, int] | None = (1.5, 0, 0),
    raw: str = "png",
    photo: str = "png",
    part: int = 1000,
    drop: int | None = None,
    records: dict[int, bytes] | None = None,
    **camera: float,
) -> Path:
    """Write one.

    ``overlay``: Real2IR, OffsetX, OffsetY. ``raw``: ``png`` (bytes swapped, as cameras do), ``straight`` or ``bytes``.
    ``photo``: ``png`` (Y, Cb, Cr) or ``jpeg``. ``part``: bytes in a segment, of which number ``drop`` is left out.
    ``records``: more of them, or others. ``camera``: other values than those of ``CAMERA``.
    """
    given = {**CAMERA, **camera}
    height, width = counts.shape
    data = {"png": counts.byteswap(), "straight": counts}.get(raw)
    image = counts.astype("<u2").tobytes() if data is None else imagecodecs.png_encode(np.ascontiguousarray(data))
    content = {0x20: _camera_record(given), 0x01: struct.pack("<HHH26x", 2, width, height) + image}
    if visible is not None:
        head = struct.pack("<HHH26x", 3, visible.shape[1], visible.shape[0])
        stream = io.BytesIO()
        if photo == "jpeg":
            Image.fromarray(visible).save(stream, "JPEG", quality=95)
        else:
            Image.fromarray(np.asarray(Image.fromarray(visible).convert("YCbCr"))).save(stream, "PNG")
        content[0x0E] = head + stream.getvalue()
    if overlay is not None:
        content[0x2A] = struct.pack("<fhhHHHH", *overlay, 0, width - 1, 0, height - 1)
    container = _fff({**content, **(records or {})})

    parts = [container[i : i + part] for i in range(0, len(container), part)]
    picture = io.BytesIO()
    Image.fromarray((np.clip(counts.astype(float) / max(counts.max(), 1), 0, 1) * 255).astype(np.uint8)).save(
        picture, "JPEG"
    )
    start, end = picture.getvalue()[:2], picture.getvalue()[2:]
    segments = [
        b"\xff\xe1" + struct.pack(">H", len(item) + 10) + b"FLIR\x00\x01" + bytes([number, len(parts) - 1]) + item
        for number, item in enumerate(parts)
        if number != drop
    ]
    path.write_bytes(start + b"".join(segments) + end)
    return path


def _camera_record(given: dict[str, float]) -> bytes:
    record = bytearray(2476)
    struct.pack_into("<H", record, 0, 2)
    names = ("emissivity", "distance", "reflected", "air", "window", "transmission")
    struct.pack_into("<6f", record, 0x20, *(given[name] for name in names))
    struct.pack_into("<f", record, 0x3C, given["humidity"])
    struct.pack_into("<3f", record, 0x58, given["r1"], given["b"], given["f"])
    struct.pack_into("<5f", record, 0x70, *(given[name] for name in ("alpha1", "alpha2", "beta1", "beta2", "x")))
    record[0xD4:0xDD] = b"Synthetic"
    struct.pack_into("<if", record, 0x308, int(given["o"]), given["r2"])
    return bytes(record)


def _fff(records: dict[int, bytes]) -> bytes:
    directory, body = b"", b""
    first = 0x40 + 0x20 * len(records)
    for kind, content in records.items():
        directory += struct.pack(">HHIIII12x", kind, 1, 100, 1, first + len(body), len(content))
        body += content
    return b"FFF\x00" + bytes(16) + struct.pack(">III32x", 100, 0x40, len(records)) + directory + body
