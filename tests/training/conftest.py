from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import napari_irvisfuse as nif


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Return folders with five pairs: of three sizes, grey and colour, 8 and 16 bit."""
    rng = np.random.default_rng(0)
    ir, visible = tmp_path / "ir", tmp_path / "vis"
    ir.mkdir()
    visible.mkdir()
    for number, (height, width) in enumerate([(40, 48), (48, 40), (64, 33), (20, 50), (40, 40)]):
        hot = rng.integers(0, 256, (height, width), dtype=np.uint8)
        scene = rng.integers(0, 256, (height, width), dtype=np.uint8)
        if number == 1:
            scene = np.stack([scene, scene // 2, 255 - scene], -1)
        if number == 2:
            hot = hot.astype(np.uint16) * 250
        nif.write_image(ir / f"{number}.png", hot)
        nif.write_image(visible / f"{number}.png", scene)
    return ir, visible
