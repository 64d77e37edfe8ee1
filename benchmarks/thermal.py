"""Hold our thermal side against others: temperatures against the reader ``flyr``, false colour against real pictures.

``pip install flyr`` first, then ``python benchmarks/thermal.py DATA``, where ``DATA/thermal16_flir/rjpeg`` holds
radiometric JPEGs; any other pictures below ``DATA`` are looked at for palettes.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import flyr
import numpy as np

from napari_irvisfuse.errors import ImageError
from napari_irvisfuse.images.false_colour import unpaint
from napari_irvisfuse.images.files import read_image
from napari_irvisfuse.images.radiometric import read_radiometric

PICTURES = (".png", ".jpg", ".jpeg", ".bmp")


def temperatures(paths: list[Path]) -> None:
    """Print the largest difference to flyr, through air as set in the camera and through none."""
    print(f"{'file':<10}{'camera':<14}{'hottest °C':>12}{'as set':>12}{'no air':>12}{'ms':>6}")
    for path in paths:
        started = time.perf_counter()
        image = read_radiometric(path)
        milliseconds = 1000 * (time.perf_counter() - started)
        other = flyr.unpack(str(path))
        as_set = np.abs(image.celsius() - other.celsius).max()
        near = other.adjust_metadata(object_distance=0.0)
        no_air = np.abs(image.celsius(distance=0.0) - near.celsius).max()
        hottest = np.nanmax(image.celsius())
        print(f"{path.stem:<10}{image.camera:<14}{hottest:>12.1f}{as_set:>12.6f}{no_air:>12.6f}{milliseconds:>6.0f}")


def palettes(paths: list[Path]) -> None:
    """Print which pictures in colour are taken for painted ones."""
    looked_at, found = 0, []
    for path in paths:
        try:
            picture = read_image(path)
        except ImageError:
            continue
        if picture.ndim == 3 and picture.dtype == np.uint8:
            looked_at += 1
            name = unpaint(picture[..., :3] / 255)[1]
            found += [f"{path}: {name}"] if name else []
    print(f"\n{looked_at} pictures in colour, {len(found)} of them painted")
    print("\n".join(found))


def main() -> None:
    """Run both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    radiometric = sorted((data / "thermal16_flir/rjpeg").glob("*.jpg"))
    temperatures(radiometric)
    palettes(radiometric)
    palettes([path for path in sorted(data.rglob("*")) if path.suffix in PICTURES and path not in radiometric])


if __name__ == "__main__":
    main()
