"""Fetching real pairs, from a server on this computer; against the real images where those are at hand."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import napari_irvisfuse
from napari_irvisfuse.errors import DownloadError, ParameterError
from napari_irvisfuse.samples import roadscene
from napari_irvisfuse.samples.roadscene import PAIRS, RemoteFile, RoadScenePair, fetch_pair


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Publish one pair of stand-ins, named FLIR_1."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("IRVISFUSE_CACHE", str(tmp_path / "cache"))
    files = []
    for folder in ("cropinfrared", "crop_LR_visible"):
        data = folder.encode() * 100
        (tmp_path / "server" / folder).mkdir(parents=True)
        (tmp_path / "server" / folder / "FLIR_1.jpg").write_bytes(data)
        files.append(RemoteFile(len(data), sha256(data).hexdigest()))
    monkeypatch.setattr(roadscene, "PAIRS", (RoadScenePair("FLIR_1", "", (1, 1), *files),))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "server"))) as server:
        server.daemon_threads = False
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_fetched_once_into_the_cache(mirror: str, tmp_path: Path) -> None:
    messages: set[str] = set()
    ir, visible = fetch_pair("FLIR_1", base_url=mirror, progress=lambda done, total, message: messages.add(message))
    assert ir.read_bytes() == b"cropinfrared" * 100
    assert visible.read_bytes() == b"crop_LR_visible" * 100
    assert ir.is_relative_to(tmp_path / "cache" / "roadscene")
    assert visible.is_relative_to(tmp_path / "cache" / "roadscene")
    assert "Downloading FLIR_1.jpg: 1.2 of 1.2 kB" in messages
    assert fetch_pair("FLIR_1", base_url="http://127.0.0.1:9/nobody") == (ir, visible)


def test_swapped_images_are_refused(mirror: str, tmp_path: Path) -> None:
    (tmp_path / "server" / "cropinfrared" / "FLIR_1.jpg").write_bytes(b"x" * 1200)
    with pytest.raises(DownloadError, match="not the published file") as caught:
        fetch_pair("FLIR_1", base_url=mirror)
    # what it says to do by hand has to work
    url, folder = re.findall(r"fetch it from (\S+) on another computer and put it into (\S+)$", str(caught.value))[0]
    assert url == f"{mirror}/cropinfrared/FLIR_1.jpg"
    (Path(folder) / "FLIR_1.jpg").write_bytes(b"cropinfrared" * 100)
    assert fetch_pair("FLIR_1", base_url=mirror)[0] == Path(folder) / "FLIR_1.jpg"


def test_default_address_is_one_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[str] = []
    monkeypatch.setattr(roadscene, "download", lambda url, target, **_: asked.append(url) or target)
    fetch_pair("FLIR_00233")
    base = "https://raw.githubusercontent.com/hanna-xu/RoadScene/ab71420f8fc96396eeb97eecf3694909b3feb656"
    assert asked == [f"{base}/cropinfrared/FLIR_00233.jpg", f"{base}/crop_LR_visible/FLIR_00233.jpg"]


def test_unknown_pair() -> None:
    with pytest.raises(ParameterError, match=r"no pair 'FLIR_9': choose one of FLIR_00233, "):
        fetch_pair("FLIR_9")


def test_table() -> None:
    files = [file for pair in PAIRS for file in (pair.ir, pair.visible)]
    assert len({pair.name for pair in PAIRS}) == 6
    assert len({file.sha256 for file in files}) == 12
    assert all(re.fullmatch("[0-9a-f]{64}", file.sha256) for file in files)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_table_against_the_images(pair: RoadScenePair, data_dir: Path) -> None:
    from PIL import Image

    folder = data_dir / "roadscene"
    if not (folder / "index.csv").is_file():
        pytest.skip("the RoadScene images are not at hand")
    with (folder / "index.csv").open(newline="") as file:
        row = next(row for row in csv.DictReader(file) if row["name"] == pair.name)
    for column, remote, mode in (("ir_file", pair.ir, "L"), ("vi_file", pair.visible, "RGB")):
        data = (folder / row[column]).read_bytes()
        assert (len(data), sha256(data).hexdigest()) == (remote.size, remote.sha256)
        with Image.open(folder / row[column]) as image:
            assert (image.height, image.width) == pair.shape
            assert image.mode == mode


def test_importing_needs_no_torch() -> None:
    code = "import sys, napari_irvisfuse.samples.roadscene; print('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(Path(napari_irvisfuse.__file__).parents[1])}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
