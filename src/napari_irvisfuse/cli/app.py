"""The commands put together, and the one place where errors become an exit status."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from napari_irvisfuse.errors import Cancelled, FusionError

from . import demo, fuse, methods, weights

__all__ = ["app"]

BAD_INPUT, INTERRUPTED = 2, 130


class _Group(TyperGroup):
    """What a user can put right is one line and status 2; anything else keeps its traceback, for a bug report."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except FusionError as error:
            line, status = " ".join(str(error).split()), BAD_INPUT
        except (Cancelled, KeyboardInterrupt):
            line, status = "cancelled.", INTERRUPTED
        typer.echo(f"irvisfuse: {line}", err=True)
        raise typer.Exit(status)


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("fuse", epilog=fuse.EXAMPLES)(fuse.fuse)
app.command("methods")(methods.methods)
app.add_typer(weights.app, name="weights")
app.command("demo")(demo.demo)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"irvisfuse {version('napari-irvisfuse')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Fuse an infrared and a visible image of one scene, and look inside.

    Start with `irvisfuse demo`. Exit status: 0, or 2 with one line of explanation for bad input.
    """
