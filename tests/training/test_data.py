from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import colormaps

import napari_irvisfuse as nif
from napari_irvisfuse.errors import Cancelled, ImageError, ParameterError
from napari_irvisfuse.training import data
from napari_irvisfuse.training.data import Crops, scan_images, scan_pairs


def picture(number: int) -> data.Picture:
    """Return a picture in which every pixel tells the picture, the channel, the row and the column."""
    rows, columns = np.mgrid[: 20 + number, :30]
    plane = number / 10 + rows / 1e3 + columns / 1e5
    return np.stack([plane, -plane]).astype(np.float32)


def crops(size: int = 8, batch: int = 5, seed: int = 0) -> Crops:
    return Crops(picture, [0, 1, 3], [2, 4], size=size, batch=batch, seed=seed)


def test_what_a_folder_holds(folders):
    ir, visible = folders
    (visible / "4.png").unlink()
    (ir / "lonely.png").write_bytes((ir / "0.png").read_bytes())
    nif.write_image(visible / "lonely.png", np.zeros((99, 99), np.uint8))
    (visible / "3.png").write_bytes(b"no image")
    scan = scan_pairs([ir], [visible])
    assert [ir_file.stem for ir_file, _ in scan.pictures] == ["0", "1", "2"]
    text = " ".join(scan.report)
    assert "Without visible image: 1 infrared image (4)" in text
    assert "Left out lonely: The infrared image is 48×40 and the visible image 99×99" in text
    assert "Left out 3: " in text


def test_several_folders_side_by_side(folders, tmp_path):
    ir, visible = folders
    assert len(scan_pairs([ir, visible], [visible, ir]).pictures) == 10
    with pytest.raises(ParameterError, match="got 2 and 1"):
        scan_pairs([ir, ir], [visible])
    with pytest.raises(ImageError, match="no folder"):
        scan_pairs([tmp_path / "none"], [visible])


def test_no_pair_that_can_be_used(folders):
    ir, visible = folders
    for path in visible.iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(ImageError, match="No pair can be used"):
        scan_pairs([ir], [visible])


def test_single_images_are_those_that_are_fused(tmp_path, write_rjpeg):
    ir, visible = tmp_path / "ir", tmp_path / "vis"
    ir.mkdir()
    visible.mkdir()
    hot = np.add.outer(np.arange(48), np.arange(64)).astype(np.uint8)
    painted = (colormaps["jet"](hot)[..., :3] * 255).astype(np.uint8)
    nif.write_image(ir / "painted.png", painted)
    write_rjpeg(ir / "radiometric.jpg", (17000 + 8.0 * hot).astype(np.uint16))
    nif.write_image(ir / "counts.png", 20000 + hot.astype(np.uint16))
    nif.write_image(visible / "dark.png", hot.astype(np.uint16))
    nif.write_image(visible / "painted.png", painted)
    scan = scan_images([ir], visible=[visible])
    assert [name.rpartition("/")[2] for name in scan.names] == [
        "counts.png", "painted.png", "radiometric.jpg", "dark.png", "painted.png"
    ]  # fmt: skip
    blank = np.zeros((48, 64), np.uint8)
    for number, (path,) in enumerate(scan.pictures):
        infrared = path.parent == ir
        pair = nif.ImagePair.from_images(path, blank) if infrared else nif.ImagePair.from_images(blank, path)
        np.testing.assert_allclose(scan.load(number)[0], pair.ir if infrared else pair.visible, atol=1e-6)


def test_scanning_reports_and_stops(folders):
    ir, visible = folders
    calls: list[tuple[int, int]] = []
    with pytest.raises(Cancelled):
        scan_pairs([ir], [visible], lambda done, total, _: calls.append((done, total)), lambda: len(calls) == 2)
    assert calls == [(0, 5), (1, 5)]


@settings(max_examples=20)
@given(step=st.integers(0, 10**6), seed=st.integers(0, 99), size=st.integers(2, 40))
def test_a_step_alone_decides(step, seed, size):
    fresh = crops(size, seed=seed).batch(step)
    used = crops(size, seed=seed)
    used.batch(step + 1)
    used.validation()
    assert torch.equal(used.batch(step), fresh)
    assert fresh.shape == (5, 2, size, size)
    assert torch.equal(used.batch(step, 2), fresh[:2])


def test_crops_are_turned_pieces_of_the_training_pictures():
    seen, ways = set(), set()
    for step in range(40):
        for crop in crops().batch(step).double().numpy():
            assert np.array_equal(crop[0], -crop[1]), "both images take part in every turn"
            seen.add(int(crop[0].min() * 10 + 1e-6))
            down, right = crop[0][1, 0] - crop[0][0, 0], crop[0][0, 1] - crop[0][0, 0]
            ways.add((round(down * 1e5, 1), round(right * 1e5, 1)))
    assert seen == {0, 1, 3}
    assert len({(round(a), round(b)) for a, b in ways}) == 8, "four turns, mirrored or not"


def test_held_out_pictures_are_always_the_same_and_not_turned():
    first, again = crops().validation(), crops().validation()
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert [len(batch) for batch in crops(batch=1).validation()] == [1, 1]
    joined = torch.cat(first)
    assert {int(crop[0].min() * 10 + 1e-6) for crop in joined} == {2, 4}
    assert (joined[:, 0].diff(dim=-1) > 0).all()
    assert Crops(picture, [0], [], size=8, batch=2, seed=0).validation() == []


def test_small_pictures_are_extended_by_reflection():
    crop = Crops(picture, [0], [0], size=32, batch=1, seed=0).validation()[0][0]
    assert torch.equal(crop[:, 20:], crop[:, 8:20].flip(1))
    assert torch.equal(crop[:, :, 30:], crop[:, :, 28:30].flip(2))


def test_pictures_are_kept_within_bounds(monkeypatch):
    monkeypatch.setattr(data, "_CACHE_BYTES", 2 * picture(0).nbytes + 10)
    reads: list[int] = []

    def load(number: int) -> data.Picture:
        reads.append(number)
        return picture(0)

    both = Crops(load, [0, 1], [], size=8, batch=8, seed=0)
    for step in range(20):
        both.batch(step)
    assert sorted(reads) == [0, 1]
    three = Crops(load, [0, 1, 2], [], size=8, batch=8, seed=0)
    for step in range(20):
        three.batch(step)
    assert len(reads) > 5
    assert three._kept_bytes <= data._CACHE_BYTES
