"""What the commands that train networks have in common: options, and the run itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import echo_json, interruptible, progress_bar

if TYPE_CHECKING:
    from napari_irvisfuse.training import TrainingResult
    from napari_irvisfuse.training.task import TrainingParameters

__all__ = [
    "ConfigOption",
    "DeviceOption",
    "InfraredOption",
    "JsonOption",
    "OutputOption",
    "ParamOption",
    "PrecisionOption",
    "QuietOption",
    "ResumeOption",
    "Shared",
    "ShowOption",
    "StartOption",
    "VisibleOption",
    "run",
]

_DATA, _HOW, _COMPUTE, _RESULT = "Images", "Training", "Computing", "Results"

InfraredOption = Annotated[
    list[Path] | None,
    typer.Option("--ir", metavar="FOLDER", help="Infrared images; may be repeated.", rich_help_panel=_DATA),
]
VisibleOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--vis",
        "--visible",
        metavar="FOLDER",
        help="Visible images, called the same but for the ending; one folder for each of --ir.",
        rich_help_panel=_DATA,
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FOLDER",
        help="Where weights, checkpoint, loss curves and configuration go.",
        rich_help_panel=_RESULT,
    ),
]
ParamOption = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        "-p",
        metavar="NAME=VALUE",
        help="A training parameter, see --show-config; may be repeated.",
        rich_help_panel=_HOW,
    ),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Parameters as YAML or JSON; --param wins.", rich_help_panel=_HOW),
]
ShowOption = Annotated[
    bool,
    typer.Option("--show-config", help="Print all parameters as --config takes them, and stop.", rich_help_panel=_HOW),
]
StartOption = Annotated[
    Path | None,
    typer.Option(
        "--start",
        metavar="FILE",
        help="Weights to begin with in place of random ones: to adapt them to your camera.",
        rich_help_panel=_HOW,
    ),
]
ResumeOption = Annotated[
    bool,
    typer.Option(
        "--resume", help="Go on with the training in --output as if it had never stopped.", rich_help_panel=_HOW
    ),
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 …, mps.", rich_help_panel=_COMPUTE)]
PrecisionOption = Annotated[
    str,
    typer.Option(help="auto, float32, bfloat16 or float16; below float32 it is mixed.", rich_help_panel=_COMPUTE),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Report as JSON on stdout.", rich_help_panel=_RESULT)]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Report errors only.", rich_help_panel=_RESULT)]


@dataclass(frozen=True)
class Shared:
    """What every such command is told beside what it trains on.

    Parameters
    ----------
    config, param
        Where its parameters come from.
    show_config
        Only print them.
    as_json, quiet
        How to report.
    """

    config: Path | None
    param: list[str]
    show_config: bool
    as_json: bool
    quiet: bool


def run(
    method: str,
    kind: type[TrainingParameters],
    output: Path | None,
    options: dict[str, Any],
    shared: Shared,
) -> None:
    """Train and report; ``options`` are those of :func:`~napari_irvisfuse.train` but for its parameters."""
    from napari_irvisfuse.errors import Cancelled, ParameterError
    from napari_irvisfuse.training import train
    from napari_irvisfuse.training.configuration import as_text, build_parameters, parse_parameters, read_parameters

    values = {**(read_parameters(kind, shared.config) if shared.config else {}), **parse_parameters(kind, shared.param)}
    checked = build_parameters(kind, values, method)  # refuses names that are not the training's
    if shared.show_config:
        typer.echo(as_text(checked), nl=False)
        return
    if output is None or not any(options.get(name) for name in ("images", "ir", "visible")):
        raise ParameterError("Say what to train on and where results go: --ir FOLDER --vis FOLDER --output FOLDER.")
    try:
        with interruptible() as cancelled, progress_bar(quiet=shared.quiet) as progress:
            result = train(method, output=output, progress=progress, cancelled=cancelled, **options, **values)
    except (Cancelled, KeyboardInterrupt):
        if any((output.expanduser() / name / "checkpoint.pt").is_file() for name in (".", "stage-1", "stage-2")):
            typer.echo(f"The last checkpoint is in {output}: the same command with --resume continues.", err=True)
        raise
    _report(method, result, checked, shared)


def _report(method: str, result: TrainingResult, parameters: TrainingParameters, shared: Shared) -> None:
    for sentence in () if shared.quiet else result.report:
        typer.echo(f"Note: {sentence}", err=True)
    if shared.as_json:
        echo_json(_to_dict(result))
    elif not shared.quiet:
        last = result.history[-1]
        of_held_out = f", {last['validation_loss']:.4f} on the pictures held out" if "validation_loss" in last else ""
        typer.echo(f"{result.weights}: {last['step']:.0f} steps, loss {last['loss']:.4f}{of_held_out}")
        typer.echo(f"Curves: {result.folder / 'losses.png'}")
        if result.folder.name != "stage-1":  # which is good for the next stage only
            preset = f" -p preset={getattr(parameters, 'preset', '')}" if method == "transfusion" else ""
            typer.echo(
                f"Use it: irvisfuse fuse IR VISIBLE -o FILE --method {method}{preset} --weights {result.weights}"
            )


def _to_dict(result: TrainingResult) -> dict[str, Any]:
    return {
        "weights": str(result.weights),
        "folder": str(result.folder),
        "history": list(result.history),
        "notes": list(result.report),
    }
