"""What the widgets remember between sessions, and what the user chose in napari's Preferences."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from napari_irvisfuse.errors import OutputError
from napari_irvisfuse.images.files import write_atomically

__all__ = ["PLUGIN", "load", "preference", "save"]

PLUGIN = "napari-irvisfuse"
_log = logging.getLogger(__name__)


def load(name: str) -> dict[str, Any]:
    """Return what was last saved under this name.

    Parameters
    ----------
    name
        Of the widget.

    Returns
    -------
    dict
        Empty if nothing was saved, or if the file is damaged: forgotten settings are no reason to fail.
    """
    path = _file(name)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        _log.warning("The settings in %s cannot be read (%s): starting from the defaults.", path, error)
        return {}
    return data if isinstance(data, dict) else {}


def save(name: str, settings: Mapping[str, Any]) -> None:
    """Remember settings, whole or not at all; a full or write-protected disk is noted in the log only.

    Parameters
    ----------
    name
        Of the widget.
    settings
        Numbers, strings, lists and dictionaries.
    """
    path = _file(name)
    text = json.dumps(dict(settings), indent=2, ensure_ascii=False) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda target: target.write_text(text, encoding="utf-8"))
    except (OSError, OutputError) as error:
        _log.warning("The settings could not be saved in %s (%s).", path, error)


def preference(key: str) -> Any:
    """Return one of the settings that the manifest declares under ``configurations``.

    Parameters
    ----------
    key
        ``"default_method"``, ``"device"``, ``"maps"`` or ``"remember_settings"``.

    Returns
    -------
    str or bool
        The user's choice in napari's Preferences; the manifest's default for napari before 0.9, which has none,
        or if they cannot be read.

    Raises
    ------
    KeyError
        If the manifest declares no such key.
    """
    group, default = _declared()[key]
    try:
        from napari.settings import get_plugin_settings

        return getattr(getattr(get_plugin_settings(PLUGIN), group), key)
    except ImportError:
        return default
    except Exception as error:  # the settings of any other plugin, if broken, break all of them
        _log.warning("napari's plugin settings cannot be read (%s): using the defaults.", error)
        return default


def _file(name: str) -> Path:
    folder = os.environ.get("IRVISFUSE_CONFIG")
    if folder:
        return Path(folder).expanduser() / f"{name}.json"
    from platformdirs import user_config_path

    return user_config_path(PLUGIN) / f"{name}.json"


@cache
def _declared() -> dict[str, tuple[str, Any]]:
    """Return group and default by key, from the manifest, so that there is one list of them."""
    import yaml

    manifest = yaml.safe_load(files("napari_irvisfuse").joinpath("napari.yaml").read_text(encoding="utf-8"))
    groups = manifest["contributions"]["configurations"]
    return {key: (name, item["default"]) for name, group in groups.items() for key, item in group["properties"].items()}
