"""``irvisfuse align``: whether two images lie on each other, and a file that says how."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import echo_json, interruptible, progress_bar

__all__ = ["EXAMPLES", "align"]

EXAMPLES = """Examples:

- `irvisfuse align ir.png visible.png --check`
- `irvisfuse align ir.png visible.png -o alignment.json --picture overlay.png`
- `irvisfuse align ir.png visible.png -o alignment.json --points points.csv --model affine --robust`
"""

_SEARCH, _RESULT = "How to align", "Results"


def align(
    ir: Annotated[Path, typer.Argument(metavar="IR", help="Infrared image: PNG, TIFF, JPEG …")],
    visible: Annotated[Path, typer.Argument(metavar="VISIBLE", help="Visible image of the same scene, of any size.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where to write the alignment, JSON; not needed with --check.",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option("--model", "-m", help="translation, similarity, affine or homography.", rich_help_panel=_SEARCH),
    ] = "similarity",
    check: Annotated[
        bool, typer.Option("--check", help="Only say whether the images are aligned.", rich_help_panel=_SEARCH)
    ] = False,
    points: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Align by hand: a table with the columns ir_row, ir_column, visible_row, visible_column (CSV).",
            rich_help_panel=_SEARCH,
        ),
    ] = None,
    robust: Annotated[
        bool,
        typer.Option("--robust", help="Leave out points that do not fit the others.", rich_help_panel=_SEARCH),
    ] = False,
    start: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="An alignment to start from, or to check; the same view, corner to corner, if not given.",
            rich_help_panel=_SEARCH,
        ),
    ] = None,
    wide: Annotated[
        bool, typer.Option("--wide", help="Look further around the start; takes longer.", rich_help_panel=_SEARCH)
    ] = False,
    picture: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also draw both images in squares, before and after; with --check, what is off by how far.",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results that exist.", rich_help_panel=_RESULT)
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON on stdout.", rich_help_panel=_RESULT)] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Report errors only.", rich_help_panel=_RESULT)] = False,
) -> None:
    """Find how the infrared image lies on the visible one, or check it; nothing is resampled.

    The file is for `irvisfuse fuse --align FILE`. If nothing better than the start is found, it is the start, and that
    is said.
    """
    from .align_request import AlignRequest

    request = AlignRequest.prepare(
        ir,
        visible,
        output=output,
        picture=picture,
        model=model,
        check=check,
        points=points,
        robust=robust,
        start=start,
        wide=wide,
        overwrite=overwrite,
    )
    with interruptible() as cancelled, progress_bar(quiet=quiet) as progress:
        report = request.run(progress, cancelled)
    if as_json:
        echo_json(report)
    elif not quiet:
        typer.echo(report["sentence"] if output is None or check else f"{output}: {report['sentence']}")
