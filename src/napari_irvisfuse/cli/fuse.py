"""``irvisfuse fuse``: two files in, one file out, and the maps if they are wanted; images or stacks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import echo_json, interruptible, progress_bar

__all__ = ["EXAMPLES", "fuse"]

EXAMPLES = """Examples:

- `irvisfuse fuse ir.png visible.png -o fused.png`
- `irvisfuse fuse ir.tif vis.tif -o out.tif --method wls --param iterations=6 --maps maps --save-recipe wls.yaml`
- `irvisfuse fuse ir.tif photo.jpg -o fused.png --align fit`
- `irvisfuse fuse FLIR0001.jpg -o fused.png`
- `irvisfuse fuse ir.png visible.png -o corner.png --region 0,0,200,300`
- `irvisfuse fuse ir2.tif vis2.tif -o out2.tif --recipe wls.yaml`
- `irvisfuse fuse ir.mp4 visible.mp4 -o fused.mp4 --smoothing 0.8`
- `irvisfuse fuse ir_frames/ visible.png -o fused.tif --frames 0:100`
"""

_INPUT, _STACK, _METHOD, _COMPUTE, _RESULT = "Images", "Stacks", "Method", "Computing", "Results"


def fuse(
    ir: Annotated[
        Path,
        typer.Argument(
            metavar="IR", help="Infrared image or stack: PNG, TIFF, JPEG …; a radiometric JPEG is read in °C."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Fused image, PNG or TIFF, in the visible image's bit depth and colour."
            " Of a stack: .tif, .mp4, .zarr, or a new folder.",
            rich_help_panel=_RESULT,
        ),
    ],
    visible: Annotated[
        Path | None,
        typer.Argument(
            metavar="VISIBLE",
            help="Visible image of the scene, grey or colour; not needed if IR is a radiometric JPEG with both.",
            show_default=False,
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option("--method", "-m", help="See `irvisfuse methods`; rdn if not given.", rich_help_panel=_METHOD),
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(
            "--param",
            "-p",
            metavar="NAME=VALUE",
            help="A parameter of the method, see `irvisfuse methods NAME`; may be repeated.",
            rich_help_panel=_METHOD,
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="A named set of parameters; --param changes single ones.", rich_help_panel=_METHOD),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Repeat a saved recipe; options given beside it win.",
            rich_help_panel=_METHOD,
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A weights file of your own in place of the published one.",
            rich_help_panel=_METHOD,
        ),
    ] = None,
    ir_window: Annotated[
        str | None,
        typer.Option(
            metavar="WINDOW",
            help="Infrared values that become black and white: auto, full, data, percentile, or two numbers LOW,HIGH.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    visible_window: Annotated[
        str | None,
        typer.Option(metavar="WINDOW", help="The same for the visible image.", rich_help_panel=_INPUT),
    ] = None,
    align: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="How images of other sizes or cameras lie on each other: an alignment file, see `irvisfuse align`,"
            " or the word fit if both show the same view. With --recipe also: recipe, own (that of a radiometric"
            " JPEG, which wins if nothing is said), or none.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    grid: Annotated[
        str | None,
        typer.Option(
            metavar="GRID",
            help="On whose pixels to fuse: visible (the default), ir, or finer, whichever are smaller.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(
            metavar="TOP,LEFT,BOTTOM,RIGHT",
            help="Only these pixels are fused and written, counted from 0, BOTTOM and RIGHT not included."
            " The word whole undoes a recipe's region.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    frames: Annotated[
        str | None,
        typer.Option(
            metavar="FROM:TO",
            help="Of a stack these frames only, counted from 0: 10:50, ::2, or 0,4,7.",
            rich_help_panel=_STACK,
        ),
    ] = None,
    smoothing: Annotated[
        float | None,
        typer.Option(
            help="Calm flicker: share of the past where nothing moves, 0 (none) to 0.98; 0.8 is a good one.",
            rich_help_panel=_STACK,
        ),
    ] = None,
    windows: Annotated[
        str | None,
        typer.Option(
            metavar="shared|frame",
            help="One intensity window for all frames (the default), or each frame its own.",
            rich_help_panel=_STACK,
        ),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            max=1000,
            help="Frames per second of a film; the visible film's, or 25, if not given.",
            rich_help_panel=_STACK,
        ),
    ] = None,
    colour: Annotated[
        str | None,
        typer.Option(
            metavar="RULE",
            help="visible (the default) keeps the visible image's chroma, natural lifts it along with the luma,"
            " luma is grey.",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    grey: Annotated[
        bool,
        typer.Option("--grey", "--luma", help="Short for --colour luma.", rich_help_panel=_RESULT, show_default=False),
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 …, mps.", rich_help_panel=_COMPUTE)] = "auto",
    precision: Annotated[
        str | None,
        typer.Option(
            help="auto, float32, bfloat16, float16, or float64 for exactly repeatable numbers.",
            rich_help_panel=_COMPUTE,
        ),
    ] = None,
    maps: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Also write every map as TIFF, with maps.json to tell what they are.",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    save_recipe: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also write how it was made, as YAML (or JSON if the name ends in .json).",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results that exist.", rich_help_panel=_RESULT)
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON on stdout.", rich_help_panel=_RESULT)] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Report errors only.", rich_help_panel=_RESULT)] = False,
) -> None:
    """Fuse an infrared and a visible image of one scene.

    Where their sizes or cameras differ, --align says how they lie on each other. Nothing is written unless everything
    went well.

    **Stacks** are fused frame by frame: a TIFF of several pages, a folder of images, a film, an OME-Zarr. Both have the
    same number of frames, or one is a single image.
    """
    from napari_irvisfuse.images.frames import is_stack

    from .request import Choices, Request
    from .stack_request import StackRequest
    from .targets import StackTargets, Targets

    stack = is_stack(ir) or is_stack(visible)
    targets = (StackTargets if stack else Targets)(output, maps, save_recipe, overwrite)
    request = (StackRequest if stack else Request).prepare(
        (ir,) if visible is None else (ir, visible),
        targets,
        Choices(
            method=method,
            preset=preset,
            parameters=tuple(param or ()),
            recipe=recipe,
            weights=weights,
            device=device,
            precision=precision,
            ir_window=ir_window,
            visible_window=visible_window,
            align=align,
            grid=grid,
            region=region,
            output=_rule(colour, grey=grey),
            smoothing=smoothing,
            windows=windows,
            frames=frames,
            fps=fps,
        ),
    )
    with interruptible() as cancelled, progress_bar(quiet=quiet) as progress:
        report = request.run(progress, cancelled)
    if not quiet:
        for note in report.notes:
            typer.echo(f"Note: {note}", err=True)
    if as_json:
        echo_json(report.to_dict())
    elif not quiet:
        typer.echo(report.line())


def _rule(colour: str | None, *, grey: bool) -> str | None:
    from napari_irvisfuse.errors import ParameterError

    if grey and colour not in (None, "luma"):
        raise ParameterError(f"--grey is --colour luma, and --colour {colour} is something else: leave one out.")
    return "luma" if grey else colour
