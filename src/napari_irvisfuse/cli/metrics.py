"""``irvisfuse metrics``: how good one fused image is, and what can be measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import echo_json, echo_table, interruptible, progress_bar

if TYPE_CHECKING:
    from napari_irvisfuse.metrics.base import MetricInfo

__all__ = ["EXAMPLES", "metrics", "names_in"]

EXAMPLES = """Examples:

- `irvisfuse metrics fused.png ir.png visible.png`
- `irvisfuse metrics fused.png ir.png visible.png --profile zhang2022 --which FMI_pixel,N_abf`
- `irvisfuse metrics --list`
"""


def metrics(
    fused: Annotated[Path | None, typer.Argument(metavar="FUSED", help="Fused image.", show_default=False)] = None,
    ir: Annotated[
        Path | None, typer.Argument(metavar="IR", help="The infrared image it was made from …", show_default=False)
    ] = None,
    visible: Annotated[
        Path | None, typer.Argument(metavar="VISIBLE", help="… and the visible image.", show_default=False)
    ] = None,
    profile: Annotated[
        str | None, typer.Option("--profile", help="Whose definitions; standard if not given.", show_default=False)
    ] = None,
    which: Annotated[
        str | None, typer.Option(metavar="A,B,…", help="These metrics only, with commas between them.")
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List what can be measured, in all profiles or one.")] = False,
    align: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Where the sources differ in size: as for `irvisfuse fuse`, a file or the word fit."
        ),
    ] = None,
    grid: Annotated[
        str, typer.Option(metavar="GRID", help="Whose pixels the fused image has: visible, ir, or finer.")
    ] = "visible",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 …")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Measure how good a fused image is, or list the metrics.

    ↑ means that higher is better, ↓ that lower is. Numbers of different profiles cannot be compared.
    """
    from napari_irvisfuse.errors import ParameterError
    from napari_irvisfuse.images.placement import check_grid
    from napari_irvisfuse.metrics import DEFAULT_PROFILE, metrics_of, profiles

    wanted = names_in(which)
    if list_:
        listed = profiles() if profile is None else [profile]
        _list({name: [metric.info for metric in metrics_of(name, wanted).values()] for name in listed}, as_json)
        return
    if fused is None or ir is None or visible is None:
        raise ParameterError("Name three images, FUSED IR VISIBLE; or --list to see what can be measured.")
    profile = profile or DEFAULT_PROFILE
    infos = [metric.info for metric in metrics_of(profile, wanted).values()]

    import napari_irvisfuse as nif

    with interruptible() as cancelled, progress_bar() as progress:
        values = nif.evaluate(
            fused,
            ir,
            visible,
            profile,
            wanted,
            ir_to_visible=align,
            grid=check_grid(grid),
            device=device,
            progress=progress,
            cancelled=cancelled,
        )
    if as_json:
        from napari_irvisfuse.evaluation.formats import plain

        files = {"fused": str(fused), "ir": str(ir), "visible": str(visible)}
        echo_json({**files, "profile": profile, "values": plain(values)})
        return
    from napari_irvisfuse.evaluation.formats import arrowed, number

    texts = _aligned([number(values[info.name]) for info in infos])
    rows = [(arrowed(info), text, info.title) for info, text in zip(infos, texts, strict=True)]
    echo_table(("Metric", "Value", "What it is"), rows)


def names_in(text: str | None) -> list[str] | None:
    """Read names with commas between them; None if there is no text."""
    from napari_irvisfuse.errors import ParameterError

    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise ParameterError(f"Give names with commas between them; got {text!r}.")
    return names


def _aligned(texts: Sequence[str]) -> list[str]:
    """Pad so that the points stand below each other."""
    before = [len(text.partition(".")[0]) for text in texts]
    return [" " * (max(before) - width) + text for text, width in zip(texts, before, strict=True)]


def _list(listed: dict[str, list[MetricInfo]], as_json: bool) -> None:
    if as_json:
        from napari_irvisfuse.evaluation.formats import info_to_dict

        echo_json({profile: [info_to_dict(info) for info in infos] for profile, infos in listed.items()})
        return
    for number, (profile, infos) in enumerate(listed.items()):
        typer.echo(f"{'' if number == 0 else chr(10)}Profile {profile}\n")
        rows = [
            (info.name, "↑ higher" if info.higher_is_better else "↓ lower", _range(info.bounds), _about(info))
            for info in infos
        ]
        echo_table(("Metric", "Better", "Range", "What it is"), rows)


def _about(info: MetricInfo) -> str:
    source = " ".join(filter(None, (info.reference, f"doi:{info.doi}" if info.doi else "")))
    return f"{info.title}: {info.summary}" + (f"\n{source}" if source else "")


def _range(bounds: tuple[Any, Any]) -> str:
    low, high = ("∞" if math.isinf(bound) else f"{bound:g}" for bound in bounds)
    return f"{'-' if low == '∞' else ''}{low} … {high}"
