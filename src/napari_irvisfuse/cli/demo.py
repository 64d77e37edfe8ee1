"""``irvisfuse demo``: the first thing to run."""

from __future__ import annotations

import os
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import interruptible, progress_bar

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["demo", "why_no_viewer"]

DEFAULT_FOLDER = Path("irvisfuse-demo")
_QT_BINDINGS = ("PyQt6", "PySide6", "PyQt5", "PySide2")


def demo(
    ir: Annotated[Path | None, typer.Option("--ir", metavar="FILE", help="An infrared image of your own …")] = None,
    visible: Annotated[
        Path | None,
        typer.Option("--vis", "--visible", metavar="FILE", help="… and the visible image of the same view."),
    ] = None,
    method: Annotated[str | None, typer.Option("--method", "-m", help="See `irvisfuse methods`.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER|PNG",
            help="Write the pictures into this folder, or the contact sheet alone to this PNG. What an earlier demo"
            " wrote there is replaced.",
        ),
    ] = None,
    viewer: Annotated[
        bool | None,
        typer.Option(
            "--viewer/--no-viewer",
            help="Open napari, or write pictures. If not given: napari where there is a screen and no -o.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Fuse a sample pair and look at every layer in napari, or on a contact sheet where there is no screen.

    The sample is a night street made by the program itself: nothing is downloaded. Without a screen, pictures are
    written to irvisfuse-demo/ in the current folder; running the demo again replaces them.
    """
    from napari_irvisfuse.errors import DeviceError, ParameterError

    if (ir is None) != (visible is None):
        raise ParameterError("The demo takes both --ir and --vis, or neither.")
    obstacle = why_no_viewer()
    if viewer and obstacle:
        raise DeviceError(obstacle)
    opens = viewer if viewer is not None else obstacle is None and output is None

    from napari_irvisfuse.session import DEFAULT_METHOD

    from .demo_files import DemoFiles

    files = None if opens and output is None else DemoFiles.at(output or DEFAULT_FOLDER, ir, visible)
    pair = _sample() if ir is None or visible is None else _read(ir, visible)
    method = method or DEFAULT_METHOD
    if files is not None:
        _check_sizes(*pair)
        started = time.perf_counter()
        with interruptible() as cancelled, progress_bar() as progress:
            import napari_irvisfuse as nif

            result = nif.fuse(*pair, method=method, progress=progress, cancelled=cancelled)
        seconds = time.perf_counter() - started
        written = files.write(*pair, result)
        what = "Your pair" if ir else "The sample pair"
        typer.echo(f"{what}, fused with {method} in {seconds:.1f} s. Everything on one sheet:\n  {written[0]}")
        if written[1:]:
            typer.echo(f"and beside it {', '.join(path.name for path in written[1:])}.")
        if obstacle and viewer is None and output is None:
            typer.echo(f"({obstacle})")
    if opens:
        from napari_irvisfuse._widgets.launch import show_demo

        show_demo(*pair, method, {})


def why_no_viewer() -> str | None:
    """Say what keeps napari from opening here, in one sentence, or return None."""
    for package in ("napari", "magicgui", "qtpy"):
        if find_spec(package) is None:
            return 'napari is not installed; to look inside: pip install "napari-irvisfuse[all]"'
    if not any(find_spec(binding) for binding in _QT_BINDINGS):
        return 'napari has no Qt to draw with; to look inside: pip install "napari-irvisfuse[all]"'
    offscreen = os.environ.get("QT_QPA_PLATFORM", "").split(":")[0] in ("offscreen", "minimal")
    has_screen = sys.platform in ("darwin", "win32") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
    if offscreen or not has_screen:
        return "There is no screen here to open napari on."
    return None


def _sample() -> tuple[NDArray[Any], NDArray[Any]]:
    from napari_irvisfuse.samples.scene import colour_pair

    return colour_pair()


def _check_sizes(ir: NDArray[Any], visible: NDArray[Any]) -> None:
    """Refuse pictures of other sizes, which napari shows as they are, and which only its widgets lay on each other."""
    from napari_irvisfuse.errors import AlignmentError

    sizes = [f"{image.shape[1]}×{image.shape[0]}" for image in (ir, visible)]
    if sizes[0] != sizes[1]:
        raise AlignmentError(
            f"The demo writes pictures of one size, and these are {sizes[0]} and {sizes[1]} pixels (width × height):"
            " irvisfuse fuse fuses them, with --align to say how they lie on each other."
        )


def _read(ir: Path, visible: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    from napari_irvisfuse.images.files import read_image
    from napari_irvisfuse.images.radiometric import read_infrared

    return read_infrared(ir), read_image(visible)
