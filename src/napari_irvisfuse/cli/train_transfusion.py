"""``irvisfuse train transfusion``: two stages, one after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

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

__all__ = ["EXAMPLES", "transfusion"]

EXAMPLES = """Examples:

- `irvisfuse train transfusion --ir ir --vis vi -o training`
- `irvisfuse train transfusion --ir ir --vis vi -o training --resume`
- `irvisfuse train transfusion --stage 1 --images photographs -o training -p steps=20000`
- `irvisfuse train transfusion --stage 2 --ir ir --vis vi -o training`
- `irvisfuse train transfusion --preset full --ir ir --vis vi -o paper -p crop=256 -p learning_rate=1e-5 -p steps=50000`
- `irvisfuse fuse ir.png visible.png -o fused.png --method transfusion --weights training/stage-2/weights.safetensors`
"""

_DATA, _HOW = "Images", "Training"

ImagesOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--images",
        metavar="FOLDER",
        help="Any images for stage 1; may be repeated. The infrared and visible ones if not given.",
        rich_help_panel=_DATA,
    ),
]
StageOption = Annotated[
    str,
    typer.Option(
        metavar="1|2|both",
        help="1: the decoder learns to draw; 2: the fusion blocks learn, from --start or stage 1 in --output.",
        rich_help_panel=_HOW,
    ),
]
PresetOption = Annotated[
    str | None,
    typer.Option(metavar="compact|full", help="The network: compact if not given.", rich_help_panel=_HOW),
]
EncoderOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="VGG-19 that stage 1 begins with: torchvision's file or Caffe's arrays as .npz; fetched if not given.",
        rich_help_panel=_HOW,
    ),
]


def transfusion(
    stage: StageOption = "both",
    ir: InfraredOption = None,
    visible: VisibleOption = None,
    images: ImagesOption = None,
    output: OutputOption = None,
    preset: PresetOption = None,
    encoder: EncoderOption = None,
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
    """Train TransFusion in two stages.

    Stage 1 trains the decoder, and the encoder of the compact network, to draw single images; stage 2 trains the fusion
    blocks on pairs. Each has its own folder in --output: stage-1 and stage-2. Ctrl-C keeps the last checkpoint: the
    same command with --resume continues.
    """
    from napari_irvisfuse.training.transfusion import TransFusionTraining

    options: dict[str, Any] = {"stage": stage, "ir": ir, "visible": visible, "images": images, "encoder": encoder}
    options |= {"start": start, "resume": resume, "device": device, "precision": precision}
    chosen = [] if preset is None else [f"preset={preset}"]
    shared = Shared(config, [*chosen, *(param or [])], show_config, as_json, quiet)
    run("transfusion", TransFusionTraining, output, options, shared)
