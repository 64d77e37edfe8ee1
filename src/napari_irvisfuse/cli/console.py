"""What the commands share on the terminal: progress on stderr, Ctrl-C, tables, JSON."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from napari_irvisfuse.types import Cancel, Progress

__all__ = ["counted", "echo_json", "echo_table", "in_options", "interruptible", "progress_bar"]

# Errors name the arguments of Python; here they are options.
_OPTIONS = {
    'ir_to_visible="fit"': "--align fit",
    "ir_to_visible=alignment": "--align FILE",
    "nif.align": "irvisfuse align",
    "say overwrite": "add --overwrite",
}
_NO_END = 100_000  # columns, where no terminal sets an end to lines


@contextmanager
def interruptible() -> Iterator[Cancel]:
    """Turn the first Ctrl-C into a polite question, so that no job ends with half a file; the second one insists."""
    pressed = threading.Event()

    def ask(signum: int, frame: FrameType | None) -> None:
        if pressed.is_set():
            raise KeyboardInterrupt
        pressed.set()

    if threading.current_thread() is not threading.main_thread():  # only the main thread hears signals
        yield pressed.is_set
        return
    previous = signal.signal(signal.SIGINT, ask)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, previous)


@contextmanager
def progress_bar(*, quiet: bool = False, download: bool = False) -> Iterator[Progress]:
    """Show progress on stderr while it is a terminal; in a pipe or a log file there is none.

    Parameters
    ----------
    quiet
        Show nothing.
    download
        What is counted are bytes.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda done, total, message: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeElapsedColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    counters = [DownloadColumn(), TransferSpeedColumn()] if download else [TimeElapsedColumn()]
    columns = [TextColumn("{task.description}", markup=False), BarColumn(), *counters]
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Starting", total=None)

        def show(done: int, total: int, message: str) -> None:
            bar.update(task, description=message, completed=done, total=total or None)

        yield show


def echo_json(value: Any) -> None:
    """Write one JSON document to stdout."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def in_options(sentence: str) -> str:
    """Return what an error says with options in place of Python's arguments."""
    for python, option in _OPTIONS.items():
        sentence = sentence.replace(python, option)
    return sentence


def counted(number: int, thing: str) -> str:
    """Return ``"1 map"`` or ``"2 maps"``."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def echo_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table to stdout, as wide as the terminal; in a pipe or a file no line is broken."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for number, heading in enumerate(headings):
        # the first column is what one types: it is never wrapped
        table.add_column(heading, no_wrap=number == 0, style="bold" if number == 0 else "", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(highlight=False, width=None if sys.stdout.isatty() else _NO_END).print(table)
