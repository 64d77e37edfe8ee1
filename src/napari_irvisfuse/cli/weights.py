"""``irvisfuse weights``: the pretrained networks, where they are and how they get here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import echo_json, echo_table, interruptible, progress_bar

__all__ = ["app"]

app = typer.Typer(help="List, fetch and find the weights of pretrained networks.", no_args_is_help=True)


@app.command("list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """List all weights, with their size and where they are."""
    from napari_irvisfuse.weights import store

    found = {name: _where(name) for name in store.entries()}
    if as_json:
        echo_json(
            [
                {
                    "name": entry.name,
                    "network": entry.network,
                    "title": entry.title,
                    "size_bytes": entry.size_bytes,
                    "sha256": entry.sha256,
                    "url": entry.url,
                    "licence": entry.licence,
                    "source": entry.source,
                    "path": str(found[name][0]) if found[name][0] else None,
                }
                for name, entry in store.entries().items()
            ]
        )
        return
    rows = [(name, entry.title, _size(entry.size_bytes), found[name][1]) for name, entry in store.entries().items()]
    echo_table(("Name", "Title", "Size", "Where"), rows)


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="See `irvisfuse weights list`.")],
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Report errors only.")] = False,
) -> None:
    """Download weights and verify them; nothing happens if they are here."""
    from napari_irvisfuse.weights import store

    there = store.find(name)
    if there is None:
        with interruptible() as cancelled, progress_bar(quiet=quiet, download=True) as progress:
            there = store.fetch(name, progress=progress, cancelled=cancelled)
    if not quiet:
        typer.echo(str(there))


@app.command()
def path(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Where these weights are.")] = None,
) -> None:
    """Print the folder where weights are kept, or the file of one of them."""
    from napari_irvisfuse.errors import WeightsError
    from napari_irvisfuse.weights import store

    if name is None:
        typer.echo(str(store.cache_dir()))
        return
    there = store.find(name)
    if there is None:
        raise WeightsError(f"The weights {name} are not here: irvisfuse weights fetch {name} brings them.")
    typer.echo(str(there))


def _where(name: str) -> tuple[Path | None, str]:
    from napari_irvisfuse.errors import WeightsError
    from napari_irvisfuse.weights import store

    try:
        there = store.find(name)
    except WeightsError as error:  # one damaged file must not hide the others
        return None, str(error)
    return there, str(there or "not here")


def _size(count: int) -> str:
    return f"{count / 1e6:.0f} MB" if count >= 1e6 else f"{max(1, round(count / 1e3))} kB"
