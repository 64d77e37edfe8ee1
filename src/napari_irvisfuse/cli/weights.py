"""``irvisfuse weights``: the pretrained networks, where they are and how they get here."""

from __future__ import annotations

from typing import Annotated

import typer

from .console import echo_json, echo_table, interruptible, progress_bar

__all__ = ["app"]

app = typer.Typer(help="List, fetch and find the weights of pretrained networks.", no_args_is_help=True)


@app.command("list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """List all weights, with their size and where they are."""
    from napari_irvisfuse.weights import store

    found = {name: store.find(name) for name in store.entries()}
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
                    "path": str(found[name]) if found[name] else None,
                }
                for name, entry in store.entries().items()
            ]
        )
        return
    rows = [
        (name, entry.title, _size(entry.size_bytes), str(found[name] or "not here"))
        for name, entry in store.entries().items()
    ]
    echo_table(("Name", "Title", "Size", "Where"), rows)


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="See `irvisfuse weights list`.")],
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Report errors only.")] = False,
) -> None:
    """Download weights and verify them; nothing happens if they are here."""
    from napari_irvisfuse.weights import store

    _check(name)
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
    _check(name)
    there = store.find(name)
    if there is None:
        raise WeightsError(f"The weights {name} are not here: irvisfuse weights fetch {name} brings them.")
    typer.echo(str(there))


def _check(name: str) -> None:
    from napari_irvisfuse.errors import WeightsError
    from napari_irvisfuse.weights import store

    known = store.entries()
    if name not in known:
        raise WeightsError(f"There are no weights {name!r}: choose one of {', '.join(known)}.")


def _size(count: int) -> str:
    return f"{count / 1e6:.0f} MB" if count >= 1e6 else f"{max(1, round(count / 1e3))} kB"
