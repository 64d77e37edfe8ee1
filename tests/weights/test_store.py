"""Finding and opening weights files. The published files are stood in for by small ones with hashes of their own."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import napari_irvisfuse
from napari_irvisfuse.errors import Cancelled, DownloadError, WeightsError
from napari_irvisfuse.networks import torchvision_models
from napari_irvisfuse.weights import store

STATE = {"conv.weight": torch.arange(12.0).reshape(3, 4), "bn.count": torch.tensor(7)}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("IRVISFUSE_CACHE", str(folder))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return folder


@pytest.fixture
def published(tmp_path: Path) -> Path:
    folder = tmp_path / "server"
    folder.mkdir()
    plain = folder / "plain.pth"
    torch.save(STATE, plain)
    return plain.rename(folder / f"net-{sha256(plain.read_bytes()).hexdigest()[:8]}.pth")


@pytest.fixture
def entry(published: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[store.WeightsEntry]:
    """Publish weights named ``net`` on a server on this computer."""
    monkeypatch.setenv("no_proxy", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(published.parent))) as server:
        server.daemon_threads = False
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/{published.name}"
        entry = store.WeightsEntry(
            "net", "resnet50", "Net", published.name, url, published.stem[-8:], published.stat().st_size, "none", "test"
        )
        monkeypatch.setattr(store, "_table", lambda: (entry,))
        yield entry
        server.shutdown()
        thread.join()


def copy(source: Path, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / source.name
    target.write_bytes(source.read_bytes())
    return target


def no_hashing(*_: object) -> None:
    raise AssertionError("hashed again")


def forget() -> None:
    """Do what a new process does."""
    store._sha256_of.cache_clear()


def test_published_backbones() -> None:
    table = {name: entry for name, entry in store.entries().items() if not entry.shipped}
    assert list(table) == ["resnet152", "resnet152-v2", "resnet101", "resnet50", "vgg19"]
    first = table["resnet152"]
    assert (first.network, first.filename, first.sha256) == ("resnet152", "resnet152-394f9c45.pth", "394f9c45")
    assert table["resnet152-v2"].network == "resnet152"
    assert table["resnet152-v2"].sha256 == "f82ba261"
    assert 241.5e6 < first.size_bytes < 241.8e6
    for name, entry in table.items():
        assert entry.name == name
        assert entry.url.startswith("https://")
        assert entry.url.endswith(f"/{entry.filename}")
        assert re.fullmatch(f"{entry.network}-[0-9a-f]{{8}}\\.pth", entry.filename)


def test_the_table_is_torchvisions() -> None:
    models = torchvision_models()
    for entry in store.entries().values():
        if entry.shipped:
            continue
        enumeration, member = entry.source.removeprefix("torchvision ").split(".")
        published = getattr(getattr(models, enumeration), member)
        assert published.url == entry.url
        assert abs(published.meta["_file_size"] * 2**20 - entry.size_bytes) < 1


@pytest.mark.parametrize("name", [name for name, entry in store.entries().items() if entry.shipped])
def test_what_is_shipped_is_here_and_has_a_card(name: str) -> None:
    entry = store.entries()[name]
    path = store.find(name)
    assert path is not None
    assert path.stat().st_size == entry.size_bytes
    assert store.sha256_of(path) == entry.sha256
    assert store.fetch(name) == path, "nothing is downloaded"
    assert path.with_suffix(".md").read_text(encoding="utf-8").startswith("# ")
    assert all(value.isfinite().all() for value in store.load_state_dict(path).values())


def test_a_damaged_package_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "SHIPPED_FOLDER", tmp_path)
    with pytest.raises(WeightsError, match="missing or damaged: install it again"):
        store.find("rdn")
    (tmp_path / "rdn.safetensors").write_bytes(b"damaged")
    with pytest.raises(WeightsError, match="missing or damaged: install it again"):
        store.find("rdn")


def test_metadata(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(2)}, tmp_path / "w.safetensors", {"network": "rdn"})
    assert store.load_metadata(tmp_path / "w.safetensors") == {"network": "rdn"}
    save_file({"x": torch.zeros(2)}, tmp_path / "bare.safetensors")
    assert store.load_metadata(tmp_path / "bare.safetensors") == {}
    assert store.load_metadata(tmp_path / "w.pth") == {}
    (tmp_path / "bad.safetensors").write_bytes(b"bad")
    for name in ("bad", "none"):
        with pytest.raises(WeightsError, match="missing, damaged or not"):
            store.load_metadata(tmp_path / f"{name}.safetensors")


def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IRVISFUSE_CACHE", "~/somewhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert store.cache_dir() == tmp_path / "somewhere"
    monkeypatch.setenv("IRVISFUSE_CACHE", "")
    assert "napari-irvisfuse" in store.cache_dir().parts


def test_nothing_there(entry: store.WeightsEntry, cache: Path) -> None:
    assert store.find("net") is None
    assert not cache.exists(), "looking must not write"


def test_unknown_name(entry: store.WeightsEntry) -> None:
    with pytest.raises(WeightsError, match=r"no published weights named 'nett': choose one of net,"):
        store.resolve("nett", None)


def test_downloaded_once(entry: store.WeightsEntry, cache: Path, published: Path) -> None:
    messages: list[str] = []
    path = store.resolve("net", None, progress=lambda done, total, message: messages.append(message))
    assert path == cache / entry.filename
    assert path.read_bytes() == published.read_bytes()
    assert messages[0].startswith(f"Downloading {entry.filename}")
    published.unlink()
    assert store.fetch("net") == store.find("net") == path


def test_download_is_checked(entry: store.WeightsEntry, cache: Path, published: Path) -> None:
    published.write_bytes(b"something else")
    with pytest.raises(DownloadError, match=re.escape(f"put it into {cache}")):
        store.fetch("net")
    assert store.find("net") is None


def test_download_can_be_cancelled(entry: store.WeightsEntry) -> None:
    with pytest.raises(Cancelled):
        store.resolve("net", None, cancelled=lambda: True)


def test_torch_hub_is_used(entry: store.WeightsEntry, cache: Path, published: Path, tmp_path: Path) -> None:
    theirs = copy(published, tmp_path / "hub" / "checkpoints")
    published.unlink()
    assert store.resolve("net", None) == theirs
    assert [path.name for path in theirs.parent.iterdir()] == [theirs.name], "nothing of ours belongs there"


def test_torch_hub_is_not_trusted(entry: store.WeightsEntry, cache: Path, published: Path, tmp_path: Path) -> None:
    copy(published, tmp_path / "hub" / "checkpoints").write_bytes(b"a page of an hotel's network")
    assert store.find("net") is None
    assert store.fetch("net") == cache / entry.filename


def test_damaged_cache_is_reported(entry: store.WeightsEntry, cache: Path, published: Path) -> None:
    ours = copy(published, cache)
    ours.write_bytes(ours.read_bytes()[:-1] + b"?")
    for call in (store.find, store.fetch, lambda name: store.resolve(name, None)):
        with pytest.raises(WeightsError, match="damaged or not the published one: delete it"):
            call("net")
    ours.unlink()
    assert store.fetch("net") == ours


def test_verified_once(
    entry: store.WeightsEntry, cache: Path, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = copy(published, cache)
    assert store.find("net") == ours
    with monkeypatch.context() as patch:
        patch.setattr(store.hashlib, "file_digest", no_hashing)
        assert store.find("net") == ours
        forget()
        assert store.find("net") == ours
    data = bytearray(ours.read_bytes())
    data[100] ^= 1
    ours.write_bytes(data)  # the same size: only the time tells
    os.utime(ours, ns=(0, ours.stat().st_mtime_ns + 1_000_000))
    with pytest.raises(WeightsError, match="damaged"):
        store.find("net")


@pytest.mark.parametrize("stamp", ["", "no stamp", "ff", b"\xff\xfe"])
def test_broken_stamp_is_ignored(entry: store.WeightsEntry, cache: Path, published: Path, stamp: str | bytes) -> None:
    ours = copy(published, cache)
    ours.with_name(f"{ours.name}.verified").write_bytes(stamp if isinstance(stamp, bytes) else stamp.encode())
    assert store.find("net") == ours


def test_stamp_of_another_file_is_ignored(tmp_path: Path) -> None:
    paths = [tmp_path / folder / "net.pth" for folder in "ab"]
    for path in paths:
        path.parent.mkdir()
        path.write_bytes(str(path).encode())
        os.utime(path, ns=(0, 0))
    for path in [*paths, *paths]:
        forget()
        assert store.sha256_of(path) == sha256(str(path).encode()).hexdigest()


def test_cache_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, published: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("IRVISFUSE_CACHE", str(tmp_path / "file" / "cache"))
    assert store.sha256_of(published) == sha256(published.read_bytes()).hexdigest()


def test_hash_of_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot be read"):
        store.sha256_of(tmp_path / "none.pth")


def test_own_file(entry: store.WeightsEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "mine.pth"
    own.write_bytes(b"anything: only opening it tells")
    assert store.resolve("net", own) == own
    monkeypatch.chdir(tmp_path)
    assert store.resolve("net", "mine.pth") == own


def test_own_file_that_is_not_there(entry: store.WeightsEntry, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=re.escape(f"There is no weights file {tmp_path / 'mine.pth'}.")):
        store.resolve("net", tmp_path / "mine.pth")
    with pytest.raises(WeightsError, match="is a folder"):
        store.resolve("net", str(tmp_path))


def save_torch(content: object, path: Path) -> None:
    torch.save(content, path)


def save_old(content: object, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


def save_safetensors(content: object, path: Path) -> None:
    from safetensors.torch import save_file

    save_file(content, path)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "save"),
    [
        ("a.pth", save_torch),
        ("a.pt", save_old),
        ("a.safetensors", save_safetensors),
        ("A.SAFETENSORS", save_safetensors),
    ],
)
def test_formats(tmp_path: Path, name: str, save: Callable[[object, Path], None]) -> None:
    save(STATE, tmp_path / name)
    loaded = store.load_state_dict(tmp_path / name)
    assert type(loaded) is dict
    assert set(loaded) == set(STATE)
    for key, value in STATE.items():
        torch.testing.assert_close(loaded[key], value)
        assert loaded[key].dtype == value.dtype


def test_checkpoint_is_unwrapped(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "state_dict": STATE}, tmp_path / "a.pth")
    assert set(store.load_state_dict(tmp_path / "a.pth")) == set(STATE)


class Code:
    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return exec, ("from pathlib import Path; Path('ran').touch()",)


def save_pickle(content: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(content, protocol=2))


@pytest.mark.parametrize("save", [save_torch, save_old, save_pickle])
@pytest.mark.parametrize("content", [Code(), {"conv.weight": Code()}, torch.nn.Linear(2, 2)])
def test_code_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: object, save: Callable[[object, Path], None]
) -> None:
    monkeypatch.chdir(tmp_path)
    save(content, tmp_path / "a.pth")
    with pytest.raises(
        WeightsError, match="contains code and is refused: save only the network's state_dict"
    ) as caught:
        store.load_state_dict(tmp_path / "a.pth")
    assert not (tmp_path / "ran").exists()
    assert "\n" not in str(caught.value)


def test_network_that_runs_code_would_be_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(Code(), tmp_path / "a.pth")
    torch.load(tmp_path / "a.pth", weights_only=False)
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
@pytest.mark.parametrize(
    "data", [b"", b"<html>You are not logged in</html>" * 50, bytes(3000), b"PK\x03\x04" + bytes(99)]
)
def test_no_weights_file(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(WeightsError, match=r"not a weights file|damaged or not") as caught:
        store.load_state_dict(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "save"), [("a.pth", save_torch), ("b.pth", save_old), ("a.safetensors", save_safetensors)]
)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_file_that_was_cut_off(tmp_path: Path, name: str, save: Callable[[object, Path], None], share: float) -> None:
    save({"weight": torch.zeros(2000)}, tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(share * len(data))])
    with pytest.raises(WeightsError, match=r"damaged|not a weights file"):
        store.load_state_dict(tmp_path / name)


@pytest.mark.parametrize("content", [{}, [1, 2], {"epoch": 3}, torch.zeros(3), {1: torch.zeros(3)}])
def test_file_without_weights(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="holds no network weights"):
        store.load_state_dict(tmp_path / "a.pth")


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_missing_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(WeightsError, match="cannot be read: No such file"):
        store.load_state_dict(tmp_path / name)


def test_importing_needs_no_torch() -> None:
    code = (
        "import sys, napari_irvisfuse.weights.store, napari_irvisfuse.weights.download as d;"
        "print(sorted({'torch', 'torchvision', 'safetensors', 'numpy'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(napari_irvisfuse.__file__).parents[1])}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
