"""Training parameters from files and from text, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_irvisfuse.errors import ParameterError

from .task import TrainingParameters

__all__ = ["as_text", "build_parameters", "parse_parameters", "read_parameters"]


def build_parameters(kind: type[TrainingParameters], values: Mapping[str, Any], title: str) -> TrainingParameters:
    """Check values by name.

    Raises
    ------
    ParameterError
        For an unknown name, or a value that is not allowed.
    """
    known = [info.name for info in kind.describe()]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ParameterError(f"Training {title} has no parameter {unknown[0]!r}: it has {', '.join(known)}.")
    return kind(**values)


def parse_parameters(kind: type[TrainingParameters], texts: Sequence[str]) -> dict[str, Any]:
    """Read ``name=value`` texts.

    Raises
    ------
    ParameterError
        If a text is not of that form, or a value not of its parameter's type.
    """
    known = {info.name: info for info in kind.describe()}
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals:
            raise ParameterError(f"--param takes name=value; got {text!r}.")
        values[name] = known[name].parse(value.strip()) if name in known else value
    return values


def read_parameters(kind: type[TrainingParameters], path: str | Path) -> dict[str, Any]:
    """Read a YAML or JSON file: parameters by name, or a ``config.json`` that a training left behind.

    Raises
    ------
    ParameterError
        If it cannot be read or holds no parameters.
    """
    import yaml

    path = Path(path).expanduser()
    try:
        content = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise ParameterError(f"The configuration {path} cannot be read ({error.strerror or error}).") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParameterError(f"The configuration {path} is no YAML or JSON.") from error
    if isinstance(content, dict) and isinstance(content.get("parameters"), dict):
        content = content["parameters"]
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise ParameterError(f"The configuration {path} should name parameters, such as “steps: 5000”.")
    # YAML takes 1e-05, as JSON writes it, for a text
    known = {info.name: info for info in kind.describe()}
    return {
        name: known[name].parse(value) if name in known and isinstance(value, str) else value
        for name, value in content.items()
    }


def as_text(parameters: TrainingParameters) -> str:
    """Write parameters as a configuration file, each with its meaning."""
    import yaml

    lines = []
    for info in parameters.describe():
        value = yaml.safe_dump({info.name: getattr(parameters, info.name)}).strip()
        lines.append(f"{value}  # {info.help} ({info.wants})")
    return "\n".join(lines) + "\n"
