"""The commands put together, and the one place where errors become an exit status."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from napari_irvisfuse.errors import Cancelled, FusionError

from . import align, demo, evaluate, fuse, methods, metrics, thermal, train, weights
from .console import in_options

__all__ = ["app"]

BAD_INPUT, INTERRUPTED = 2, 130


# Typer brings a click of its own or uses the one installed, depending on its version; it exports this much of either.
_UsageError: Any = typer.BadParameter.__base__


@contextmanager
def _one_line() -> Iterator[None]:
    """Say what was typed wrong in one line; no arguments at all still ask for the help."""
    try:
        yield
        return
    except _UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            raise
        line, context = " ".join(error.format_message().split()).removesuffix("."), error.ctx
    command = context.command_path if context else "irvisfuse"
    typer.echo(f"irvisfuse: {line}. See {command} --help.", err=True)
    raise typer.Exit(BAD_INPUT)


class _Group(TyperGroup):
    """What a user can put right is one line and status 2; anything else keeps its traceback, for a bug report."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        with _one_line():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        try:
            with _one_line():
                return super().invoke(ctx)
        except FusionError as error:
            line, status = in_options(" ".join(str(error).split())), BAD_INPUT
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
app.command("align", epilog=align.EXAMPLES)(align.align)
app.command("methods")(methods.methods)
app.command("thermal", epilog=thermal.EXAMPLES)(thermal.thermal)
app.command("metrics", epilog=metrics.EXAMPLES)(metrics.metrics)
app.command("evaluate", epilog=evaluate.EXAMPLES)(evaluate.evaluate)
app.add_typer(train.app, name="train")
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
