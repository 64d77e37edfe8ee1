"""``irvisfuse train dictionary``: atoms of one's own for the sparse methods."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from .console import counted, interruptible, progress_bar

__all__ = ["EXAMPLES", "dictionary"]

EXAMPLES = """Examples:

- `irvisfuse train dictionary --images ir --images vis -o mine.safetensors`
- `irvisfuse fuse ir.png vis.png -o fused.png --method jsr --weights mine.safetensors`
- `irvisfuse train dictionary --kind convolutional --images vis --atoms 64 -o filters.safetensors`
"""

_DATA, _LEARN, _RESULT = "Images", "Learning", "Results"


def dictionary(
    images: Annotated[
        list[Path],
        typer.Option(
            "--images",
            metavar="FOLDER",
            help="Images to learn from, infrared and visible alike, of any size; may be repeated.",
            rich_help_panel=_DATA,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE", help="The dictionary: .safetensors.", rich_help_panel=_RESULT),
    ],
    kind: Annotated[
        str, typer.Option(help="patches (jsr, jsrsd) or convolutional (convsr).", rich_help_panel=_LEARN)
    ] = "patches",
    atoms: Annotated[
        int | None,
        typer.Option(help="How many; 256, or 32 convolutional ones.", show_default=False, rich_help_panel=_LEARN),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(help="Steps of learning; 50, or 160.", show_default=False, rich_help_panel=_LEARN),
    ] = None,
    sparsity: Annotated[
        float | None,
        typer.Option(
            help="Atoms that code a patch, 16; or λ of convolutional coding, 0.01.",
            show_default=False,
            rich_help_panel=_LEARN,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Of everything random: the same gives the same.", rich_help_panel=_LEARN)
    ] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that exists.", rich_help_panel=_RESULT)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Report what was left out only.", rich_help_panel=_RESULT)
    ] = False,
) -> None:
    """Learn a dictionary from images, for the methods that code images sparsely.

    Give it to `irvisfuse fuse --weights`. The dictionaries that come with the package were learnt by this command.
    """
    from napari_irvisfuse.training.dictionaries import learn_dictionary

    started = time.perf_counter()
    with interruptible() as cancelled, progress_bar(quiet=quiet) as progress:
        report = learn_dictionary(
            kind,  # type: ignore[arg-type]
            images,
            output,
            atoms=atoms,
            steps=steps,
            sparsity=sparsity,
            seed=seed,
            overwrite=overwrite,
            progress=progress,
            cancelled=cancelled,
        )
    for sentence in report.left_out:
        typer.echo(sentence, err=True)
    if not quiet:
        size = "×".join(str(side) for side in report.shape)
        error = f", patches coded to {report.error:.2%} of their norm" if report.error is not None else ""
        seconds = time.perf_counter() - started
        typer.echo(f"{report.output}: {size} from {counted(report.images, 'image')}{error}, {seconds:.0f} s.")
