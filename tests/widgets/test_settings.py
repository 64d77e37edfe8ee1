from __future__ import annotations

import logging
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from npe2 import PluginManifest

from napari_irvisfuse._widgets.settings import load, preference, save
from napari_irvisfuse.session import DEFAULT_METHOD

MANIFEST = Path(sys.modules["napari_irvisfuse"].__path__[0]) / "napari.yaml"


def folder() -> Path:
    return Path(os.environ["IRVISFUSE_CONFIG"])


def test_round_trip() -> None:
    assert load("fuse") == {}
    settings = {"method": "wls", "λ": 0.5, "levels": [1, 2], "nested": {"on": True, "none": None}}
    save("fuse", settings)
    assert load("fuse") == settings
    assert load("other") == {}
    save("fuse", {})
    assert load("fuse") == {}
    assert [path.name for path in folder().iterdir()] == ["fuse.json"]


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", '"text"', "\x00\xff", '{"a": 1'])
def test_a_damaged_file_means_defaults(text: str) -> None:
    folder().mkdir(parents=True)
    (folder() / "fuse.json").write_text(text, encoding="latin-1")
    assert load("fuse") == {}
    save("fuse", {"a": 1})
    assert load("fuse") == {"a": 1}


def test_a_place_that_cannot_be_written_is_only_noted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("IRVISFUSE_CONFIG", str(tmp_path / "file" / "folder"))
    with caplog.at_level(logging.WARNING):
        save("fuse", {"a": 1})
        assert load("fuse") == {}
    assert "could not be saved" in caplog.text


def test_the_file_is_in_the_users_config_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("IRVISFUSE_CONFIG")
    monkeypatch.setattr("platformdirs.user_config_path", lambda name: tmp_path / name)
    save("fuse", {"a": 1})
    path = tmp_path / "napari-irvisfuse" / "fuse.json"
    assert path.is_file()
    if os.name == "posix":
        assert path.stat().st_mode & stat.S_IRUSR


def test_preferences_follow_napari(plugin_settings: Any, npe2pm: Any) -> None:
    napari_settings = pytest.importorskip("napari.settings")
    npe2pm.register(PluginManifest.from_file(MANIFEST))
    assert preference("default_method") == DEFAULT_METHOD
    assert preference("device") == "auto"
    assert preference("maps") == "base and detail"
    assert preference("remember_settings") is True
    chosen = napari_settings.get_plugin_settings("napari-irvisfuse").fusion
    chosen.default_method, chosen.remember_settings = "average", False
    assert preference("default_method") == "average"
    assert preference("remember_settings") is False


def test_preferences_fall_back_on_the_manifest(monkeypatch: pytest.MonkeyPatch, npe2pm: Any) -> None:
    import napari.settings

    monkeypatch.delattr(napari.settings, "get_plugin_settings")  # as before napari 0.9
    assert preference("default_method") == DEFAULT_METHOD

    def broken(plugin: str) -> None:
        raise ValueError("another plugin's default is out of its own bounds")

    monkeypatch.setattr(napari.settings, "get_plugin_settings", broken, raising=False)
    assert preference("remember_settings") is True
    with pytest.raises(KeyError):
        preference("no_such_key")
