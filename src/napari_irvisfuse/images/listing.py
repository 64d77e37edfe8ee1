"""Which files of a folder are images, and in which order."""

from __future__ import annotations

import re

__all__ = ["IMAGES", "natural"]

# Data sets keep listings and notes beside the images: those are no images that failed.
IMAGES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".pgm", ".ppm", ".jp2")


def natural(name: str) -> list[str | int]:
    """Return a key that sorts 2 before 10."""
    # split with a group: text and digits alternate, so that equal places hold equal types
    parts = re.split(r"([0-9]+)", name.casefold())
    return [*(int(part) if number % 2 else part for number, part in enumerate(parts)), name]
