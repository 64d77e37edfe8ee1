"""The command line, ``irvisfuse``. Importing it, its help and its version load neither torch nor napari."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line on the arguments of this process."""
    import sys

    from .app import app

    for stream in (sys.stdout, sys.stderr):
        # a terminal without Greek letters shows a question mark for λ, and must not end in a traceback
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    app(prog_name="irvisfuse")
