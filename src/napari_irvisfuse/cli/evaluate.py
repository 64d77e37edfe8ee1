"""``irvisfuse evaluate``: a table over a data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import echo_table, in_options, interruptible, progress_bar
from .metrics import names_in

if TYPE_CHECKING:
    from napari_irvisfuse.evaluation import Evaluation

__all__ = ["EXAMPLES", "evaluate"]

EXAMPLES = """Examples:

- `irvisfuse evaluate --ir ir --vis vi --methods wls,average,max`
- `irvisfuse evaluate --ir ir --vis vi --fused cbf=cbf --fused ours=fused --profile zhang2022 -o table.csv`
- `irvisfuse evaluate --ir ir --vis vi --methods wls,rdn --align rig.json`
"""

_DATA, _MEASURE, _COMPUTE, _RESULT = "Images", "Measuring", "Computing", "Results"


def evaluate(
    ir: Annotated[Path, typer.Option("--ir", metavar="FOLDER", help="Infrared images.", rich_help_panel=_DATA)],
    visible: Annotated[
        Path,
        typer.Option(
            "--vis",
            "--visible",
            metavar="FOLDER",
            help="Visible images, called the same but for the ending.",
            rich_help_panel=_DATA,
        ),
    ],
    fused: Annotated[
        list[str] | None,
        typer.Option(
            "--fused",
            metavar="NAME=FOLDER",
            help="Fused images to measure, and what the table calls them; may be repeated.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option(
            "--methods",
            metavar="A,B,…",
            help="Fuse with these methods and measure what they make; see `irvisfuse methods`.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    align: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="How the infrared images lie on the visible ones, the same for every pair: as for `irvisfuse fuse`, a"
            " file or the word fit.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    grid: Annotated[
        str,
        typer.Option(
            metavar="GRID",
            help="Whose pixels the fused images have: visible, ir, or finer.",
            rich_help_panel=_DATA,
        ),
    ] = "visible",
    profile: Annotated[
        str, typer.Option(help="Whose definitions, see `irvisfuse metrics --list`.", rich_help_panel=_MEASURE)
    ] = "standard",
    which: Annotated[
        str | None,
        typer.Option(metavar="A,B,…", help="These metrics only, with commas between them.", rich_help_panel=_MEASURE),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Also write means, ranks and the values of every image: .csv, .json or .md.",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a table that exists.", rich_help_panel=_RESULT)
    ] = False,
    per_image: Annotated[
        bool, typer.Option("--per-image", help="Print the values of every image too.", rich_help_panel=_RESULT)
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume/--no-resume",
            help="With -o: keep finished values in FILE.finished.jsonl, and do not measure them again.",
            rich_help_panel=_COMPUTE,
        ),
    ] = True,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Images measured at the same time; one per core if not given, at most 8.",
            show_default=False,
            rich_help_panel=_COMPUTE,
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 …", rich_help_panel=_COMPUTE)] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON on stdout.", rich_help_panel=_RESULT)] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Report what failed only.", rich_help_panel=_RESULT)
    ] = False,
) -> None:
    """Measure fused images of a data set, several methods side by side.

    Prints the means with their ranks. An image that cannot be measured is reported and left out of all means, so that
    methods are compared on the same images. Ctrl-C keeps what is finished: the same command continues.
    """
    from napari_irvisfuse.errors import Cancelled, ImageError, ParameterError
    from napari_irvisfuse.evaluation import evaluate_folder
    from napari_irvisfuse.evaluation.results import check_table
    from napari_irvisfuse.images.placement import check_grid

    if fused is None and methods is None:
        raise ParameterError("Say what to measure: --fused NAME=FOLDER, or --methods A,B.")
    if output is not None:
        output = check_table(output, overwrite=overwrite)
    finished = output.with_name(f"{output.name}.finished.jsonl") if output and resume else None
    try:
        with interruptible() as cancelled, progress_bar(quiet=quiet) as progress:
            table = evaluate_folder(
                ir,
                visible,
                fused=_folders(fused or ()),
                methods=names_in(methods) or (),
                profile=profile,
                which=names_in(which),
                ir_to_visible=align,
                grid=check_grid(grid),
                device=device,
                progress=progress,
                cancelled=cancelled,
                workers=workers,
                resume=finished,
            )
    except (Cancelled, KeyboardInterrupt):
        if finished is not None and finished.exists():
            typer.echo(f"What is finished is kept in {finished}: the same command continues.", err=True)
        raise
    for failure in table.failures:
        typer.echo(f"Not measured: {in_options(str(failure))}", err=True)
    if not quiet:
        for sentence in table.unmatched:
            typer.echo(f"Note: {sentence}", err=True)
    if not table.measured:
        raise ImageError("No image could be measured.")
    if output is not None:
        table.save(output, overwrite=overwrite)
    if as_json:
        typer.echo(table.to_json(), nl=False)
    elif not quiet:
        _show(table, output, per_image)


def _show(table: Evaluation, output: Path | None, per_image: bool) -> None:
    from napari_irvisfuse.evaluation.formats import caption, image_table, mean_table

    if per_image:
        echo_table(*image_table(table))
        typer.echo()
    echo_table(*mean_table(table))
    typer.echo(f"\n{caption(table)}")
    if table.reused:
        typer.echo(f"{table.reused} values are of an earlier run (--no-resume measures anew).")
    if output is not None:
        typer.echo(f"Written to {output}.")


def _folders(texts: Sequence[str]) -> dict[str, Path]:
    from napari_irvisfuse.errors import ParameterError

    folders: dict[str, Path] = {}
    for text in texts:
        name, equals, folder = text.partition("=")
        name = name.strip()
        if not (name and equals and folder):
            raise ParameterError(f"--fused takes NAME=FOLDER; got {text!r}.")
        if name in folders:
            raise ParameterError(f"--fused names {name!r} twice: give each folder its own name.")
        folders[name] = Path(folder)
    return folders
