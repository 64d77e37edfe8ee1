"""``irvisfuse train``: folders of images in, a weights file out."""

from __future__ import annotations

import typer

from . import train_dictionary, train_transfusion
from .train_options import (
    ConfigOption,
    DeviceOption,
    InfraredOption,
    JsonOption,
    OutputOption,
    ParamOption,
    PrecisionOption,
    QuietOption,
    ResumeOption,
    Shared,
    ShowOption,
    StartOption,
    VisibleOption,
    run,
)

__all__ = ["app"]

_EXAMPLES = """Examples:

- `irvisfuse train rdn --ir ir --vis vi -o training`
- `irvisfuse train rdn --ir ir --vis vi -o training --resume`
- `irvisfuse train rdn --ir ir --vis vi -o mine -p learning_rate=3e-4 --start "$(irvisfuse weights path rdn)"`
- `irvisfuse train rdn --ir a/ir --vis a/vi --ir b/ir --vis b/vi -o both -p steps=20000 -p batch=16`
- `irvisfuse fuse ir.png visible.png -o fused.png --method rdn --weights training/weights.safetensors`
"""

app = typer.Typer(
    help="Train a network on images of your own: it can be used at once with --weights.", no_args_is_help=True
)
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
    from napari_irvisfuse.training.residual_dense import ResidualDenseTraining

    options = {"ir": ir, "visible": visible, "start": start, "resume": resume, "device": device, "precision": precision}
    run("rdn", ResidualDenseTraining, output, options, Shared(config, param or [], show_config, as_json, quiet))


app.command("transfusion", epilog=train_transfusion.EXAMPLES)(train_transfusion.transfusion)
