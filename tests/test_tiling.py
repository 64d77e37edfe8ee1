from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_irvisfuse.networks.residual_dense import ResidualDenseConfig, ResidualDenseNetwork
from napari_irvisfuse.tiling import run_tiled, tiles

SIZES = st.integers(16, 90)


@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    tile=st.integers(1, 128),
    halo=st.integers(0, 40),
    multiple=st.sampled_from([1, 2, 4, 16]),
)
def test_every_pixel_is_contributed_once_and_sees_its_halo(height, width, tile, halo, multiple):
    count = torch.zeros(height, width, dtype=torch.int)
    for part in tiles(height, width, tile=tile, halo=halo, multiple=multiple):
        top, bottom, left, right = part.inner
        count[top:bottom, left:right] += 1
        assert bottom - top <= max(tile + multiple - 1, multiple)
        y0, y1, x0, x1 = part.outer
        assert y0 == 0 or top - y0 >= halo
        assert y1 == height or y1 - bottom >= halo
        assert x0 == 0 or left - x0 >= halo
        assert x1 == width or x1 - right >= halo
        assert not any(edge % multiple for edge in (top, left, y0, x0))
    assert (count == 1).all()


@settings(max_examples=15)
@given(SIZES, SIZES, st.integers(8, 64), st.integers(0, 2**31 - 1))
def test_a_network_in_tiles_is_the_network(height, width, tile, seed):
    torch.manual_seed(seed)
    network = ResidualDenseNetwork(ResidualDenseConfig(features=4, growth=3, blocks=2, convolutions=2)).double()
    images = torch.rand(1, 2, height, width, dtype=torch.float64)

    def run(part: torch.Tensor) -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = {}
        found["fused"] = network(part, found.__setitem__)
        return found

    with torch.inference_mode():
        whole = run(images)
        stitched = run_tiled(run, images, tile=tile, halo=network.config.receptive_field)
    assert whole.keys() == stitched.keys()
    for name, value in whole.items():
        torch.testing.assert_close(stitched[name], value, atol=1e-12, rtol=0)


def test_a_halo_one_too_small_is_seen():
    """What makes the property above worth something."""
    torch.manual_seed(0)
    config = ResidualDenseConfig(features=4, growth=3, blocks=1, convolutions=1)
    network = ResidualDenseNetwork(config).double()
    images = torch.rand(1, 2, 60, 60, dtype=torch.float64)
    with torch.inference_mode():
        whole = network(images)
        stitched = run_tiled(lambda part: {"fused": network(part)}, images, tile=24, halo=config.receptive_field - 1)
    assert (stitched["fused"] - whole).abs().max() > 1e-9


@settings(max_examples=25)
@given(SIZES, SIZES, st.integers(8, 64))
def test_strides_are_kept_on_their_grid(height, width, tile):
    image = torch.rand(2, 3, height, width)

    def pool(part: torch.Tensor) -> dict[str, torch.Tensor]:
        return {
            "one": part,
            "four": F.avg_pool2d(part, 4, ceil_mode=True),
            "two": F.max_pool2d(part, 2, ceil_mode=True),
        }

    stitched = run_tiled(pool, image, tile=tile, halo=5, multiple=4, strides={"four": 4, "two": 2})
    for name, value in pool(image).items():
        torch.testing.assert_close(stitched[name], value)


def test_ticks_before_every_tile_and_stops():
    ticks = []

    class Stop(Exception):
        pass

    def tick(done: int, total: int) -> None:
        ticks.append((done, total))
        if done == 2:
            raise Stop

    with pytest.raises(Stop):
        run_tiled(lambda part: {"x": part}, torch.rand(1, 1, 40, 40), tile=20, halo=1, tick=tick)
    assert ticks == [(0, 4), (1, 4), (2, 4)]
