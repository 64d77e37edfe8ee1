"""``irvisfuse methods``: what there is to choose from, and what can be set."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import echo_json, echo_table

if TYPE_CHECKING:
    from napari_irvisfuse.algorithms.base import MethodInfo, ParameterInfo

__all__ = ["methods"]


def methods(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Show this method's parameters.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List the fusion methods, or one method's parameters, presets and publication."""
    import napari_irvisfuse as nif
    from napari_irvisfuse.algorithms import get_method

    if name is not None:
        info = get_method(name).info()
        if as_json:
            echo_json(_to_dict(info))
        else:
            _show(info)
        return
    listed = nif.methods()
    if as_json:
        echo_json([_to_dict(info) for info in listed.values()])
        return
    rows = [(info.name, info.title, info.summary, _weights(info)) for info in listed.values()]
    echo_table(("Name", "Title", "What it does", "Weights"), rows)
    typer.echo("\nirvisfuse methods NAME shows a method's parameters.")


def _show(info: MethodInfo) -> None:
    typer.echo(f"{info.title} ({info.name})\n{info.summary}")
    if info.needs_weights:
        sentences = {
            "included": "Its weights are in the package; --weights takes others.",
            "fetched": "Its weights are fetched when first used, see irvisfuse weights list.",
            "your own": "It wants a weights file of your own: --weights FILE.",
        }
        typer.echo(sentences[_weights(info)])
    if info.reference:
        typer.echo(f"\n{info.reference}")
    if info.doi:
        typer.echo(f"https://doi.org/{info.doi}")
    if info.parameters:
        typer.echo()
        rows = [(item.name, _text(item.default), item.wants, item.help) for item in info.parameters]
        echo_table(("Parameter", "Default", "Takes", "What it does"), rows)
    else:
        typer.echo("\nIt has no parameters.")
    for preset, values in info.presets.items():
        listed = ", ".join(f"{key}={_text(value)}" for key, value in values.items()) or "the defaults"
        typer.echo(f"\nPreset {preset}: {listed}")


def _weights(info: MethodInfo) -> str:
    """Say whether weights are needed, and whether they are there without a download."""
    from napari_irvisfuse.algorithms import get_method
    from napari_irvisfuse.weights import store

    method = get_method(info.name)
    name = method.weights_name(method.parameters())
    if name is None:
        return "–"
    entry = store.entries().get(name)
    return "your own" if entry is None else "included" if entry.shipped else "fetched"


def _text(value: Any) -> str:
    """Write a value as ``--param`` takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(str(item) for item in value) if isinstance(value, tuple) else str(value)


def _to_dict(info: MethodInfo) -> dict[str, Any]:
    return {
        **{item.name: getattr(info, item.name) for item in dataclasses.fields(info)},
        "url": f"https://doi.org/{info.doi}" if info.doi else "",
        "parameters": [_parameter_to_dict(item) for item in info.parameters],
        "presets": {name: dict(values) for name, values in info.presets.items()},
    }


def _parameter_to_dict(item: ParameterInfo) -> dict[str, Any]:
    return {**dataclasses.asdict(item), "type": item.type.__name__}
