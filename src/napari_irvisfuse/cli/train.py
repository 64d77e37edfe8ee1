"""``irvisfuse train``: folders of pairs in, a weights file out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import train_dictionary
from .console import echo_json, interruptible, progress_bar

if TYPE_CHECKING:
    from napari_irvisfuse.training import TrainingResult

__all__ = ["app"]

_EXAMPLES = """Examples:

- `irvisfuse train rdn --ir ir --vis vi -o training`
- `irvisfuse train rdn --ir ir --vis vi -o training --resume`
- `irvisfuse train rdn --ir ir --vis vi -o mine -p learning_rate=3e-4 --start "$(irvisfuse weights path rdn)"`
- `irvisfuse train rdn --ir a/ir --vis a/vi --ir b/ir --vis b/vi -o both -p steps=20000 -p batch=16`
- `irvisfuse fuse ir.png visible.png -o fused.png --method rdn --weights training/weights.safetensors`
"""

_DATA, _HOW, _COMPUTE, _RESULT = "Images", "Training", "Computing", "Results"

app = typer.Typer(
    help="Train a network on images of your own: it can be used at once with --weights.", no_args_is_help=True
)

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

app.command("dictionary", epilog=train_dictionary.EXAMPLES)(train_dictionary.dictionary)


@app.command("rdn", epilog=_EXAMPLES)
def rdn(
    ir: InfraredOption = None,
    visible: VisibleOption = None,
    output: OutputOption = None,
    start: StartOption = None,
    resume: ResumeOption = False,
    config: ConfigOption = None,
    param: ParamOption = None,
    show_config: ShowOption = False,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train the residual dense network with gradient loss.

    Pairs are matched by name, in any mix of sizes, grey or colour, 8 or 16 bit; what cannot be used is reported. Ctrl-C
    keeps the last checkpoint: the same command with --resume continues.
    """
    from napari_irvisfuse.training.configuration import as_text, build_parameters, parse_parameters, read_parameters
    from napari_irvisfuse.training.residual_dense import ResidualDenseTraining as Parameters

    values = {**(read_parameters(Parameters, config) if config else {}), **parse_parameters(Parameters, param or ())}
    checked = build_parameters(Parameters, values, "rdn")  # refuses names that are not the training's
    if show_config:
        typer.echo(as_text(checked), nl=False)
        return
    options = {"start": start, "resume": resume, "device": device, "precision": precision, **values}
    run("rdn", ir, visible, output, options, as_json=as_json, quiet=quiet)


def run(
    method: str,
    ir: list[Path] | None,
    visible: list[Path] | None,
    output: Path | None,
    options: dict[str, Any],
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    """Train and report; ``options`` are those of :func:`~napari_irvisfuse.train`."""
    from napari_irvisfuse.errors import Cancelled, ParameterError
    from napari_irvisfuse.training import train

    if not ir or not visible or output is None:
        raise ParameterError("Say what to train on and where results go: --ir FOLDER --vis FOLDER --output FOLDER.")
    try:
        with interruptible() as cancelled, progress_bar(quiet=quiet) as progress:
            result = train(method, ir, visible, output, progress=progress, cancelled=cancelled, **options)
    except (Cancelled, KeyboardInterrupt):
        if (output.expanduser() / "checkpoint.pt").is_file():
            typer.echo(f"The last checkpoint is in {output}: the same command with --resume continues.", err=True)
        raise
    for sentence in () if quiet else result.report:
        typer.echo(f"Note: {sentence}", err=True)
    if as_json:
        echo_json(_to_dict(result))
    elif not quiet:
        last = result.history[-1]
        of_held_out = f", {last['validation_loss']:.4f} on the pairs held out" if "validation_loss" in last else ""
        typer.echo(f"{result.weights}: {last['step']:.0f} steps, loss {last['loss']:.4f}{of_held_out}")
        typer.echo(f"Curves: {result.folder / 'losses.png'}")
        typer.echo(f"Use it: irvisfuse fuse IR VISIBLE -o FILE --method {method} --weights {result.weights}")


def _to_dict(result: TrainingResult) -> dict[str, Any]:
    return {
        "weights": str(result.weights),
        "folder": str(result.folder),
        "history": list(result.history),
        "notes": list(result.report),
    }
