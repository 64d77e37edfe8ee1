"""``irvisfuse methods`` and ``irvisfuse weights``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import napari_irvisfuse as nif
from napari_irvisfuse.errors import DownloadError, WeightsError
from napari_irvisfuse.weights import store


def test_methods_are_listed(run):
    result = run("methods")
    assert result.exit_code == 0
    for name, info in nif.methods().items():
        assert name in result.stdout
        assert info.title in result.stdout
    listed = json.loads(run("methods", "--json").stdout)
    assert [item["name"] for item in listed] == list(nif.methods())
    assert {item["name"]: item["needs_weights"] for item in listed}["wls"] is False


def test_one_method_in_full(run):
    text = run("methods", "resnet152").stdout
    assert "https://doi.org/10.1007/s11042-021-11549-w" in text
    assert "Preset authors: base_weight_ir=0.5, levels=0,1,2,3,4,5" in text
    for item in nif.methods()["resnet152"].parameters:
        assert item.name in text


def test_one_method_as_json(run):
    item = json.loads(run("methods", "wls", "--json").stdout)
    parameters = {entry["name"]: entry for entry in item["parameters"]}
    assert parameters["iterations"]["bounds"] == [1, 10]
    assert parameters["iterations"]["type"] == "int"
    assert parameters["regularisation"]["default"] == 0.01
    assert item["url"] == "https://doi.org/10.1016/j.infrared.2017.02.005"


def test_printed_values_can_be_typed(run):
    for name, info in nif.methods().items():
        assert name in run("methods", name).stdout
        for item in info.parameters:
            text = ",".join(map(str, item.default)) if isinstance(item.default, tuple) else str(item.default)
            assert item.check(item.parse(text)) == item.default


def test_unknown_method(refused):
    assert "There is no method 'magic'" in refused("methods", "magic")


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Path | None]:
    """Put two entries into the store: one that is here, one that is not."""
    here = tmp_path / ("long" * 25) / "here.pth"
    here.parent.mkdir()
    here.write_bytes(b"weights")
    found: dict[str, Path | None] = {"here": here, "there": None}

    def entry(name: str) -> store.WeightsEntry:
        return store.WeightsEntry(
            name=name,
            network="net",
            title=f"The {name} network",
            filename=f"{name}.pth",
            url=f"https://example.org/{name}.pth",
            sha256="0" * 64,
            size_bytes=230_400_000,
            licence="BSD-3-Clause",
            source="example",
        )

    def find(name: str) -> Path | None:
        if name == "damaged" or name not in found:
            raise WeightsError(f"No good: {name}.")
        return found[name]

    monkeypatch.setattr(store, "entries", lambda: {name: entry(name) for name in found})
    monkeypatch.setattr(store, "find", find)
    return found


def test_weights_are_listed(run, shelf):
    lines = [line.split() for line in run("weights", "list").stdout.splitlines()]
    assert ["there", "The", "there", "network", "230", "MB", "not", "here"] in lines
    # no terminal sets an end to lines, be the path as long as it may
    assert ["here", "The", "here", "network", "230", "MB", *str(shelf["here"]).split()] in lines
    listed = {item["name"]: item for item in json.loads(run("weights", "list", "--json").stdout)}
    assert listed["here"]["path"] == str(shelf["here"])
    assert listed["there"]["path"] is None
    assert listed["there"]["size_bytes"] == 230_400_000


def test_one_damaged_file_does_not_hide_the_others(run, shelf):
    shelf["damaged"] = None
    result = run("weights", "list")
    assert result.exit_code == 0
    assert "No good: damaged." in result.stdout
    assert "not here" in result.stdout


def test_path(run, refused, shelf):
    assert run("weights", "path").stdout == f"{store.cache_dir()}\n"
    assert run("weights", "path", "here").stdout == f"{shelf['here']}\n"
    assert "irvisfuse weights fetch there" in refused("weights", "path", "there")
    assert "No good: nothing." in refused("weights", "path", "nothing")


def test_fetch(run, refused, shelf, monkeypatch, tmp_path):
    asked = []

    def fetch(name, progress=None, cancelled=None):
        asked.append(name)
        progress(1, 2, "Downloading")
        assert not cancelled()
        return tmp_path / "fetched.pth"

    monkeypatch.setattr(store, "fetch", fetch)
    assert run("weights", "fetch", "here").stdout == f"{shelf['here']}\n"
    assert asked == []
    assert run("weights", "fetch", "there").stdout == f"{tmp_path / 'fetched.pth'}\n"
    assert asked == ["there"]
    assert run("weights", "fetch", "there", "-q").output == ""
    assert "No good: nothing." in refused("weights", "fetch", "nothing")


def test_offline(refused, shelf, monkeypatch):
    def fetch(name, progress=None, cancelled=None):
        raise DownloadError("There is no connection:\nget it elsewhere.")

    monkeypatch.setattr(store, "fetch", fetch)
    assert refused("weights", "fetch", "there") == "irvisfuse: There is no connection: get it elsewhere.\n"
