"""The contract between the manifest and napari: everything that ``npe2 validate`` lets pass."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import yaml

import napari_irvisfuse

PATH = Path(napari_irvisfuse.__path__[0]) / "napari.yaml"
MANIFEST: dict[str, Any] = yaml.safe_load(PATH.read_text(encoding="utf-8"))
CONTRIBUTIONS: dict[str, Any] = MANIFEST["contributions"]
COMMANDS = {command["id"]: command["python_name"] for command in CONTRIBUTIONS["commands"]}
SETTINGS = [
    (f"{group}.{key}", item)
    for group, content in CONTRIBUTIONS["configurations"].items()
    for key, item in content["properties"].items()
]

CONTRIBUTABLE_MENUS = {
    *(f"napari/file/{name}" for name in ("new_layer", "io_utilities", "acquire")),
    *(
        f"napari/layers/{name}"
        for name in (
            "visualize", "annotate", "data", "metadata", "layer_type", "filter", "transform", "measure", "register",
            "project", "segment", "track", "classify",
        )
    ),
}  # fmt: skip
KEYS = {
    "manifest": {"name", "display_name", "schema_version", "categories", "contributions", "icon", "visibility"},
    "contributions": {
        "commands",
        "widgets",
        "sample_data",
        "menus",
        "submenus",
        "configurations",
        "readers",
        "writers",
    },
    "commands": {"id", "title", "python_name", "short_title", "category", "icon", "enablement"},
    "widgets": {"command", "display_name", "autogenerate"},
    "readers": {"command", "filename_patterns", "accepts_directories"},
    "sample_data": {"key", "display_name", "command"},
    "menus": {"command", "submenu", "when", "group"},
    "submenus": {"id", "label", "icon"},
    "configurations": {"title", "properties"},
    "properties": {"title", "type", "default", "description", "enum", "minimum", "maximum"},
}
TYPES = {"boolean": bool, "integer": int, "number": (int, float), "string": str}


def unknown(items: list[dict[str, Any]], kind: str) -> set[str]:
    return {key for item in items for key in item} - KEYS[kind]


def test_no_unknown_key() -> None:
    assert not unknown([MANIFEST], "manifest")
    assert not unknown([CONTRIBUTIONS], "contributions")
    for kind in ("commands", "widgets", "readers", "sample_data", "submenus"):
        assert not unknown(CONTRIBUTIONS[kind], kind), kind
    for items in CONTRIBUTIONS["menus"].values():
        assert not unknown(items, "menus")
    assert not unknown(list(CONTRIBUTIONS["configurations"].values()), "configurations")
    assert not unknown([item for _, item in SETTINGS], "properties")


def test_the_installed_package_declares_it() -> None:
    (entry,) = [e for e in entry_points(group="napari.manifest") if e.name == "napari-irvisfuse"]
    assert entry.value == "napari_irvisfuse:napari.yaml"
    assert MANIFEST["name"] == "napari-irvisfuse"
    assert MANIFEST["schema_version"] == "0.3.0"


def test_every_command_is_declared_once_and_used() -> None:
    assert len(COMMANDS) == len(CONTRIBUTIONS["commands"])
    used = {item["command"] for kind in ("widgets", "readers", "sample_data") for item in CONTRIBUTIONS[kind]}
    in_menus = {item["command"] for items in CONTRIBUTIONS["menus"].values() for item in items if "command" in item}
    assert used | in_menus == set(COMMANDS)
    assert all(re.fullmatch(r"napari-irvisfuse\.[a-z][a-z0-9_]*", name) for name in COMMANDS)


def test_menus_and_submenus_exist() -> None:
    submenus = {item["id"] for item in CONTRIBUTIONS["submenus"]}
    assert set(CONTRIBUTIONS["menus"]) <= CONTRIBUTABLE_MENUS | submenus
    placed = {item["submenu"] for items in CONTRIBUTIONS["menus"].values() for item in items if "submenu" in item}
    assert placed == submenus
    assert submenus <= set(CONTRIBUTIONS["menus"])  # none is empty
    assert [item["submenu"] for item in CONTRIBUTIONS["menus"]["napari/layers/filter"]] == ["napari-irvisfuse.filter"]


def test_the_menu_ids_are_those_of_the_installed_napari() -> None:
    constants = pytest.importorskip("napari._app_model.constants")
    known = {menu.value for menu in constants.MenuId.contributables()}
    assert {menu for menu in CONTRIBUTIONS["menus"] if menu.startswith("napari/")} <= known


@pytest.mark.parametrize(
    "name",
    [
        MANIFEST["display_name"],
        *(item["display_name"] for kind in ("widgets", "sample_data") for item in CONTRIBUTIONS[kind]),
    ],
)
def test_display_names_begin_and_end_with_a_letter_or_digit(name: str) -> None:
    assert name[0].isalnum()
    assert name[-1].isalnum()
    assert 3 <= len(name) <= 90


def test_sample_keys_are_unique_and_roadscene_is_complete() -> None:
    from napari_irvisfuse.samples.roadscene import PAIRS

    keys = [item["key"] for item in CONTRIBUTIONS["sample_data"]]
    assert len(set(keys)) == len(keys)
    offered = {item["key"]: item["display_name"] for item in CONTRIBUTIONS["sample_data"] if "roadscene" in item["key"]}
    assert offered == {
        f"roadscene_{pair.name.removeprefix('FLIR_')}": f"RoadScene (download) - {pair.title}" for pair in PAIRS
    }


@pytest.mark.parametrize(("key", "item"), SETTINGS)
def test_a_default_is_of_its_type_and_within_its_limits(key: str, item: dict[str, Any]) -> None:
    """A default outside of them breaks napari's Preferences for every plugin."""
    assert key.replace(".", "_").isidentifier()
    default = item["default"]
    assert isinstance(default, TYPES[item["type"]])
    assert item["type"] == "boolean" or not isinstance(default, bool)
    assert default in item.get("enum", [default])
    assert item.get("minimum", default) <= default <= item.get("maximum", default)


def test_the_choices_of_the_preferences_exist() -> None:
    from typing import get_args

    from napari_irvisfuse._widgets.layers import Show
    from napari_irvisfuse.algorithms import methods

    settings = dict(SETTINGS)
    assert settings["fusion.default_method"]["default"] in methods()
    assert settings["fusion.maps"]["enum"] == list(get_args(Show))


def test_every_python_name_imports_without_torch() -> None:
    code = f"""
import importlib, json, sys
for name in {sorted(COMMANDS.values())!r}:
    module, attribute = name.split(":")
    assert callable(getattr(importlib.import_module(module), attribute)), name
print(json.dumps([name for name in ("torch", "torchvision", "napari_irvisfuse.pipeline") if name in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_npe2_validates_it() -> None:
    command = [sys.executable, "-m", "npe2", "validate", "--imports", str(PATH)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
