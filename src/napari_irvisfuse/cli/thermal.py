"""``irvisfuse thermal``: what a radiometric JPEG holds, as files that every program reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import echo_json

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_irvisfuse.images.radiometric import RadiometricImage

__all__ = ["EXAMPLES", "thermal"]

EXAMPLES = """Examples:

- `irvisfuse thermal FLIR0001.jpg -o thermal/`
- `irvisfuse thermal FLIR0001.jpg -o thermal/ --emissivity 0.98 --distance 10`
- `irvisfuse thermal FLIR0001.jpg -o thermal/ --counts`
"""

_CONDITIONS, _RESULT = "Instead of what was set in the camera", "Results"


def thermal(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Radiometric JPEG of a FLIR camera.")],
    folder: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="Gets NAME_infrared.tif, NAME_visible.png and NAME_alignment.json; made if it is not there.",
            rich_help_panel=_RESULT,
        ),
    ],
    counts: Annotated[
        bool,
        typer.Option(
            "--counts", help="Write what the sensor counted, 16 bit, in place of °C.", rich_help_panel=_RESULT
        ),
    ] = False,
    emissivity: Annotated[float | None, typer.Option(help="Above 0, at most 1.", rich_help_panel=_CONDITIONS)] = None,
    distance: Annotated[float | None, typer.Option(help="In metres.", rich_help_panel=_CONDITIONS)] = None,
    reflected_temperature: Annotated[
        float | None, typer.Option(help="Of what is mirrored, °C.", rich_help_panel=_CONDITIONS)
    ] = None,
    atmospheric_temperature: Annotated[
        float | None, typer.Option(help="Of the air between, °C.", rich_help_panel=_CONDITIONS)
    ] = None,
    relative_humidity: Annotated[float | None, typer.Option(help="From 0 to 1.", rich_help_panel=_CONDITIONS)] = None,
    window_temperature: Annotated[
        float | None, typer.Option(help="Of a window before the lens, °C.", rich_help_panel=_CONDITIONS)
    ] = None,
    window_transmission: Annotated[
        float | None, typer.Option(help="Above 0, at most 1: no window.", rich_help_panel=_CONDITIONS)
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results that exist.", rich_help_panel=_RESULT)
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON on stdout.", rich_help_panel=_RESULT)] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Report errors only.", rich_help_panel=_RESULT)] = False,
) -> None:
    """Take a radiometric JPEG apart: temperatures in °C, the photograph, and how the one lies on the other.

    The files go into `irvisfuse fuse`, with the alignment as `--align`. Nothing is written unless everything can be.
    """
    from dataclasses import asdict

    from napari_irvisfuse.errors import ParameterError
    from napari_irvisfuse.images.radiometric import read_radiometric

    conditions = {
        "emissivity": emissivity,
        "distance": distance,
        "reflected_temperature": reflected_temperature,
        "atmospheric_temperature": atmospheric_temperature,
        "relative_humidity": relative_humidity,
        "window_temperature": window_temperature,
        "window_transmission": window_transmission,
    }
    if counts and any(value is not None for value in conditions.values()):
        raise ParameterError("Counts are what the sensor gave, whatever the conditions: leave --counts or those out.")
    image = read_radiometric(file)
    values, unit = (image.counts, "counts") if counts else (image.celsius(**conditions), "°C")
    files = _write(image, values, unit, file.stem, folder.expanduser(), overwrite=overwrite)
    low, high = _range(values)
    if as_json:
        echo_json(
            {
                "camera": image.camera,
                "shape": list(image.counts.shape),
                "values": {"min": low, "max": high, "unit": unit},
                "conditions": None if counts else asdict(image.conditions.changed(**conditions)),
                "files": {name: str(path) for name, path in files.items()},
            }
        )
    elif not quiet:
        height, width = image.counts.shape
        span = "no temperatures" if low is None else f"{low:.5g} to {high:.5g} {unit}"
        typer.echo(f"{file.name}: {width}×{height}, {span}, {image.camera or 'unnamed camera'}")
        for path in files.values():
            typer.echo(f"  {path}")


def _range(values: npt.NDArray[Any]) -> tuple[float | None, float | None]:
    import numpy as np

    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (None, None)


def _write(
    image: RadiometricImage, values: npt.NDArray[Any], unit: str, name: str, folder: Path, *, overwrite: bool
) -> dict[str, Path]:
    """Write what there is, after everything has been checked."""
    from napari_irvisfuse.errors import OutputError
    from napari_irvisfuse.images.alignment_files import Alignment, write_alignment
    from napari_irvisfuse.images.files import write_image
    from napari_irvisfuse.images.scale import Scale

    files = {"infrared": folder / f"{name}_infrared.tif"}
    if image.visible is not None:
        files["visible"] = folder / f"{name}_visible.png"
    if image.ir_to_visible is not None:
        files["alignment"] = folder / f"{name}_alignment.json"
    for path in files.values():
        if path.exists() and not overwrite:
            raise OutputError(f"{path} exists already: choose another folder or add --overwrite.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder {folder} cannot be made ({error.strerror or error}).") from error
    if image.visible is not None:
        write_image(files["visible"], image.visible, overwrite=overwrite)
        if image.ir_to_visible is not None:
            shapes = (image.counts.shape, image.visible.shape[:2])
            write_alignment(files["alignment"], Alignment(image.ir_to_visible, "camera", *shapes))
    write_image(files["infrared"], values, overwrite=overwrite, scale=Scale(value_unit=unit))
    return files
