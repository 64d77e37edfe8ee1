"""A stack is its frames: each one as if it were fused alone with the same windows, in order, and no memory lost."""

from __future__ import annotations

import inspect
from dataclasses import fields, replace

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

import napari_irvisfuse as nif
from napari_irvisfuse.algorithms import get_method
from napari_irvisfuse.errors import AlignmentError, Cancelled, ImageError, ParameterError
from napari_irvisfuse.images.ranges import Window
from napari_irvisfuse.maps import Map
from napari_irvisfuse.stacks import FusionStack, LazyFusion, StackOptions, stack_window

HEIGHT, WIDTH = 17, 22
COLOURS = {"grey": (), "rgb": (3,), "rgba": (4,)}
DTYPES = ("bool", "uint8", "uint16", ">u2", "float32", "float64")


def images(shape: tuple[int, ...] = (), dtype: str = "uint8", colour: str = "grey", seed: int = 0) -> np.ndarray:
    """Noise, brighter from frame to frame, so that windows of single frames differ."""
    unit = np.random.default_rng(seed).random((*shape, HEIGHT, WIDTH, *COLOURS[colour]))
    if shape:
        unit *= np.linspace(0.3, 1.0, shape[0]).reshape(-1, *[1] * (unit.ndim - 1))
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return unit > 0.3
    return (unit * (np.iinfo(kind).max if kind.kind == "u" else 40.0)).astype(kind)


def numbers(window: Window) -> tuple[float, float]:
    return window.low, window.high


def test_every_frame_is_what_fuse_makes_of_it_alone():
    for dtype in DTYPES:
        for colour in COLOURS:
            ir, visible = images((3,), dtype, seed=1), images((3,), dtype, colour)
            before = ir.copy(), visible.copy()
            result = nif.fuse_stack(ir, visible, "wls", maps=True)
            assert (result.fused.shape, result.fused.dtype) == (visible.shape, visible.dtype)
            low_high = [numbers(window) for window in (result.ir_window, result.visible_window)]
            for t in range(3):
                alone = nif.fuse(ir[t], visible[t], "wls", ir_window=low_high[0], visible_window=low_high[1])
                np.testing.assert_array_equal(result.fused[t], alone.fused)
                for name, item in alone.maps.items():
                    np.testing.assert_array_equal(result.maps[name].data[t], item.data)
            np.testing.assert_array_equal(ir, before[0])
            np.testing.assert_array_equal(visible, before[1])


def test_fuse_takes_stacks_with_the_same_words():
    ir, visible = images((3,), seed=1), images((3,), colour="rgb")
    result = nif.fuse(ir, visible, "max", output="luma", frames=slice(1, None))
    assert result.axes == (2,)
    expected = nif.fuse_stack(ir[1:], visible[1:], "max", output="luma")
    np.testing.assert_array_equal(result.fused, expected.fused)
    assert result.fused.shape == (2, HEIGHT, WIDTH)
    assert not result.maps  # of a stack only if they are asked for
    assert nif.fuse(ir, visible, "max", maps=True).maps["chosen"].data.shape == (3, HEIGHT, WIDTH)


@pytest.mark.parametrize("grid", ["visible", "ir"])
def test_cameras_of_other_sizes(grid):
    ir, visible = np.repeat(images((3,), "uint16", seed=1), 2, axis=-2), images((3,), "uint8", "rgb")
    matrix = [[0.5, 0, 1.25], [0, 1, 2], [0, 0, 1]]
    placed = {"ir_to_visible": matrix, "grid": grid}
    result = nif.fuse(ir, visible, "average", **placed)
    assert (result.grid, result.fused.shape) == (grid, (3, *(ir if grid == "ir" else visible).shape[1:3], 3))
    for t in range(3):
        options = {"ir_window": numbers(result.ir_window), "visible_window": numbers(result.visible_window)}
        alone = nif.fuse(ir[t], visible[t], "average", **placed, **options)
        np.testing.assert_array_equal(result.fused[t], alone.fused)
        np.testing.assert_array_equal(result.valid[t], alone.valid)
    again = nif.fuse(ir, visible, **nif.Recipe.from_text(result.recipe.to_json()).arguments())
    np.testing.assert_array_equal(again.fused, result.fused)
    with pytest.raises(AlignmentError, match="nothing tells how they lie on each other"):
        nif.fuse(ir, visible)
    pytest.importorskip("dask.array")
    np.testing.assert_array_equal(nif.lazy_stack(ir, visible, "average", **placed).compute(), result.fused)


@settings(max_examples=25)
@given(st.integers(0, 3), st.data())
def test_single_images_and_short_axes_are_repeated(axes, data):
    full = tuple(data.draw(st.lists(st.integers(1, 3), min_size=axes, max_size=axes)))

    def part() -> tuple[int, ...]:
        dropped = data.draw(st.integers(0, axes))
        return tuple(side if data.draw(st.booleans()) else 1 for side in full[dropped:])

    ir, visible = images(part(), seed=1), images(part(), colour=data.draw(st.sampled_from(sorted(COLOURS))))
    colour = visible.shape[visible.ndim - (visible.shape[-1] in (3, 4)) :]
    result = nif.fuse_stack(ir, visible, "average")
    leading = np.broadcast_shapes(ir.shape[:-2], visible.shape[: visible.ndim - 2 - len(colour)])
    wide_ir = np.broadcast_to(ir, (*leading, HEIGHT, WIDTH))
    wide_visible = np.broadcast_to(visible, (*leading, HEIGHT, WIDTH, *colour))
    assert result.fused.shape == wide_visible.shape
    for index in np.ndindex(*leading):
        np.testing.assert_array_equal(
            result.fused[index], nif.fuse(wide_ir[index], wide_visible[index], "average").fused
        )


def test_different_counts_are_refused_with_both_numbers():
    with pytest.raises(ImageError, match=r"infrared stack has 4 frames and the visible stack 3 frames"):
        nif.fuse(images((4,)), images((3,)))
    with pytest.raises(ImageError, match=r"2 × 3 frames .* 4 frames"):
        nif.fuse_stack(images((2, 3)), images((4,)))


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
@pytest.mark.parametrize("spec", ["auto", "data", "percentile"])
def test_one_window_serves_all_frames(dtype, spec):
    ir, visible = images((4,), dtype, seed=1), images((4,), dtype)
    result = nif.fuse_stack(ir, visible, "average", ir_window=spec, visible_window=spec)
    from napari_irvisfuse.images.ranges import resolve_window

    assert result.ir_window == resolve_window(ir, spec, "ir")
    assert result.visible_window == resolve_window(visible, spec, "visible")
    own = nif.fuse_stack(ir, visible, "average", ir_window=spec, visible_window=spec, windows="frame")
    assert own.ir_window is None
    for t in range(4):
        alone = nif.fuse(ir[t], visible[t], "average", ir_window=spec, visible_window=spec)
        np.testing.assert_array_equal(own.fused[t], alone.fused)
    assert not np.array_equal(own.fused[0], result.fused[0])


def test_a_recipe_makes_the_stack_again():
    ir, visible = images((4,), "uint16", seed=1), images((4,), "uint16", "rgb")
    result = nif.fuse(ir, visible, "wls", smoothing=0.5, windows="frame", ir_window="percentile", iterations=2)
    recipe = nif.Recipe.from_text(result.recipe.to_yaml())
    assert (recipe.smoothing, recipe.windows, recipe.ir_window) == (0.5, "frame", "percentile")
    np.testing.assert_array_equal(nif.fuse(ir, visible, **recipe.arguments()).fused, result.fused)
    nif.fuse(ir[0], visible[0], **recipe.arguments())  # serves a single pair too


def test_frames_come_in_order_and_one_at_a_time():
    reads: list[tuple[int, ...]] = []
    data = images((2, 3), seed=1)

    class Source:
        shape, dtype = data.shape, data.dtype

        def __getitem__(self, index):
            reads.append(index)
            return data[index]

    seen = []
    for index, result in nif.iter_fused(Source(), images(), "average"):
        seen.append(index)
        assert reads == seen
        assert result.fused.shape == (HEIGHT, WIDTH)
    assert seen == list(np.ndindex(2, 3))


@pytest.mark.parametrize("spec", ["auto", "data", "percentile"])
@pytest.mark.parametrize("kind", ["palette", "grey"])
def test_infrared_in_colour_has_one_window_too(spec, kind):
    colormaps = pytest.importorskip("napari.utils.colormaps").AVAILABLE_COLORMAPS
    heat = np.linspace(0, 0.5, 3)[:, None, None] + np.linspace(0, 0.5, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
    if kind == "palette":
        ir = np.round(255 * colormaps["inferno"].map(heat.ravel())[:, :3]).astype(np.uint8)
    else:
        ir = np.repeat(np.round(heat.ravel() * 200).astype(np.uint8)[:, None], 3, axis=1)
    ir = ir.reshape(*heat.shape, 3)
    result = nif.fuse(ir, images((3,)), "average", ir_window=spec)
    single = nif.fuse(np.concatenate(list(ir)), np.concatenate(list(images((3,)))), "average", ir_window=spec)
    top = 255 if kind == "palette" else 1
    assert result.ir_window.low == pytest.approx(single.ir_window.low * top, abs=0.02)
    assert result.ir_window.high == pytest.approx(single.ir_window.high * top, abs=0.02)
    assert np.abs(np.concatenate(list(result.fused)).astype(int) - single.fused).max() <= 1


@settings(max_examples=20)
@given(st.lists(st.integers(-5, 4), min_size=1, max_size=7))
def test_chosen_frames_keep_their_order(frames):
    ir, visible = images((5,), seed=1), images((5,), colour="rgb")
    result = nif.fuse_stack(ir, visible, "average", frames=frames)
    np.testing.assert_array_equal(result.fused, nif.fuse_stack(ir, visible, "average").fused[frames])


def test_frames_that_are_not_there_are_refused():
    with pytest.raises(ParameterError, match="5 frames, 0 to 4, and no frame 5"):
        nif.fuse_stack(images((5,)), images((5,)), frames=[0, 5])
    with pytest.raises(ParameterError, match="none of these"):
        nif.fuse_stack(images((5,)), images((5,)), frames=slice(7, 9))


def test_results_go_where_they_are_told(tmp_path):
    ir, visible = images((3,), seed=1), images((3,), colour="rgb")
    into = np.lib.format.open_memmap(tmp_path / "fused.npy", "w+", visible.dtype, visible.shape)
    result = nif.fuse_stack(ir, visible, "average", into=into)
    assert result.fused is into
    np.testing.assert_array_equal(into, nif.fuse_stack(ir, visible, "average").fused)
    with pytest.raises(ParameterError, match="into has shape"):
        nif.fuse_stack(ir, visible, "average", into=into[:2])


@settings(max_examples=15)
@given(st.integers(0, 12))
def test_cancel_stops_at_once_and_says_so(questions):
    asked = 0

    def cancelled() -> bool:
        nonlocal asked
        asked += 1
        return asked > questions

    with pytest.raises(Cancelled):
        nif.fuse_stack(images((50,), "uint16"), images((50,), "uint16"), "average", cancelled=cancelled)
    assert asked == questions + 1


def test_progress_never_goes_back_and_ends():
    told: list[tuple[int, int, str]] = []
    nif.fuse_stack(images((3,)), images((3,)), "wls", progress=lambda *news: told.append(news))
    done = [news[0] for news in told]
    assert done == sorted(done)
    assert told[-1][0] == told[-1][1] > 0
    assert any(message.startswith("Frame 2 of 3") for _, _, message in told)


def test_an_error_names_its_frame():
    ir = images((3,), "float32")
    ir[1] = np.nan
    with pytest.raises(ImageError, match="Frame 1: The infrared image has no finite value"):
        nif.fuse_stack(ir, images((3,), "float32"), "average")


def test_mistakes_are_refused_before_anything_is_read():
    class Untouchable:
        shape, dtype = (3, HEIGHT, WIDTH), np.dtype("uint16")

        def __getitem__(self, index):
            raise AssertionError("read")

    for options in (
        {"smoothing": 1.5},
        {"windows": "each"},
        {"nonsense": 1},
        {"ir_window": "wide"},
        {"output": "red"},
        {"grid": "square"},
        {"region": "1,2"},
    ):
        for function in (nif.fuse, nif.fuse_stack, nif.iter_fused, nif.lazy_stack):
            with pytest.raises(ParameterError):
                function(Untouchable(), Untouchable(), "average", **options)
    with pytest.raises(ParameterError, match="cannot be smoothed"):
        nif.lazy_stack(Untouchable(), Untouchable(), "average", smoothing=0.5)
    with pytest.raises(ParameterError, match="for maps use fuse_stack"):
        nif.lazy_stack(Untouchable(), Untouchable(), "average", maps=True)


def test_signatures_name_every_option_with_its_default():
    names = {item.name for item in fields(StackOptions)} - {"parameters"}
    for function in (nif.fuse_stack, nif.iter_fused, nif.lazy_stack):
        found = inspect.signature(function).parameters
        assert names <= set(found)
        assert (found["method"].default, found["grid"].default) == ("rdn", "visible")
        assert found["frames"].kind is inspect.Parameter.KEYWORD_ONLY
        assert found["parameters"].kind is inspect.Parameter.VAR_KEYWORD


@pytest.mark.parametrize("windows", ["shared", "frame"])
def test_a_region_of_every_frame_is_that_region_of_the_whole(windows):
    ir, visible = images((3,), "uint16", seed=1), images((3,), "uint16", "rgb")
    options = {"windows": windows, "maps": ["chosen"]}
    whole = nif.fuse(ir, visible, "max", **options)
    part = nif.fuse(ir, visible, "max", region=(2, 3, 99, 19), **options)
    assert part.region == nif.Region(2, 3, HEIGHT, 19)
    np.testing.assert_array_equal(part.fused, whole.fused[:, 2:, 3:19])
    np.testing.assert_array_equal(part.maps["chosen"].data, whole.maps["chosen"].data[:, 2:, 3:19])
    again = nif.fuse(ir, visible, **part.recipe.arguments())
    np.testing.assert_array_equal(again.fused, part.fused)
    inside = np.zeros(part.fused.shape[1:3], np.bool_)
    inside[4:, 5:] = True
    masked = nif.fuse_stack(ir, visible, "max", region=(2, 3, 99, 19), inside=inside, windows=windows).fused
    np.testing.assert_array_equal(masked, np.where(inside[..., None], part.fused, visible[:, 2:, 3:19]))
    pytest.importorskip("dask.array")
    lazy = nif.lazy_stack(ir, visible, "max", region=(2, 3, 99, 19), windows=windows)
    assert lazy.shape == part.fused.shape
    np.testing.assert_array_equal(lazy.compute(), part.fused)


def test_smoothing_a_region_is_smoothing_a_film_of_it():
    ir, visible = images((3,), "uint8", seed=1), images((3,), "uint8")
    part = nif.fuse(ir, visible, "average", region=(0, 0, 16, 18), smoothing=0.8)
    cropped = nif.fuse(ir[:, :16, :18], visible[:, :16, :18], "average", smoothing=0.8)
    np.testing.assert_array_equal(part.fused, cropped.fused)


@pytest.mark.parametrize("spec", ["auto", "percentile", (100.0, 4000.0)])
def test_one_frame_with_the_window_of_its_stack_is_that_of_the_stack(spec):
    ir, visible = images((2, 4), "uint16", seed=1), images((4,), "float32", "rgb")
    result = nif.fuse(ir, visible, "wls", ir_window=spec, visible_window=spec)
    windows = {"ir_window": stack_window(ir, spec), "visible_window": stack_window(visible, spec, "visible")}
    assert (result.ir_window, result.visible_window) == tuple(windows.values())
    np.testing.assert_array_equal(nif.fuse(ir[1, 2], visible[2], "wls", **windows).fused, result.fused[1, 2])


def test_windows_are_of_the_frames_that_are_fused():
    ir, visible = images((4,), "uint16", seed=1), images((), "uint16")
    result = nif.fuse(ir, visible, "average", frames=[0, 1])
    assert result.ir_window == stack_window(ir[:2])
    assert result.visible_window == stack_window(visible, role="visible")


def test_maps_are_saved_as_stacks_and_tables(tmp_path):
    result = nif.fuse_stack(images((3,), seed=1), images((3,)), "wls", maps=["base", "fused_detail"])
    assert {item.group for item in result.maps.values()} == {"base", "detail"}
    assert sum(item.group == "detail" for item in result.maps.values()) == 1
    numbers_a_frame = Map(np.arange(15.0).reshape(3, 5), "energy", "Per channel", "feature")
    whole = replace(result, maps={**result.maps, "channels": numbers_a_frame})
    whole.save_maps(tmp_path)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "fused_detail.tif"), result.maps["fused_detail"].data)
    np.testing.assert_array_equal(np.loadtxt(tmp_path / "channels.csv"), numbers_a_frame.data)


# -- lazily -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("output", ["visible", "luma"])
def test_lazy_equals_eager(colour, output):
    pytest.importorskip("dask.array")
    ir, visible = images((2, 3), "uint16", seed=1), images((3,), "uint16", colour)
    options = {"output": output, "ir_window": "percentile"}
    lazy, eager = nif.lazy_stack(ir, visible, "wls", **options), nif.fuse_stack(ir, visible, "wls", **options)
    assert (lazy.shape, lazy.dtype) == (eager.fused.shape, eager.fused.dtype)
    assert lazy.numblocks[:2] == (2, 3)
    np.testing.assert_array_equal(lazy[1, 2].compute(), eager.fused[1, 2])
    lazy[1, 2].compute()[:] = 0  # what was handed out belongs to whoever asked
    np.testing.assert_array_equal(lazy.compute(), eager.fused)


def test_dask_stays_dask():
    da = pytest.importorskip("dask.array")
    computed = []
    data = images((4,), seed=1)

    def block(block_id):
        computed.append(block_id[0])
        return data[block_id[0]][None]

    ir = da.map_blocks(block, chunks=((1,) * 4, HEIGHT, WIDTH), dtype=data.dtype, meta=data[:0])
    lazy = nif.lazy_stack(ir, images((4,)), "average")
    assert computed == []
    lazy[2].compute()
    assert computed == [2]


@settings(max_examples=30)
@given(st.lists(st.integers(0, 5), max_size=20), st.integers(0, 6))
def test_the_cache_is_bounded_and_keeps_what_was_seen_last(asked, room):
    computed: list[int] = []

    class Counting(FusionStack):
        def fuse(self, index, *args, **options):
            computed.append(index[0])
            return super().fuse(index, *args, **options)

    stack = Counting(images((6,), seed=1), images((6,)), StackOptions("average"))
    lazy = LazyFusion(stack, cache_mib=room * HEIGHT * WIDTH / 2**20)
    recent: list[int] = []
    for number in asked:
        before = len(computed)
        lazy[(number,)]
        assert (len(computed) == before) == (number in recent)
        recent = [*(other for other in recent if other != number), number][-max(room, 1) :]
        assert lazy.kept_bytes == len(recent) * HEIGHT * WIDTH
        assert sorted(lazy._kept) == [(n,) for n in sorted(recent)]


def test_a_change_of_live_parameters_computes_no_analysis_again(monkeypatch):
    lazy = LazyFusion(FusionStack(images((3,), seed=1), images((3,)), StackOptions("wls")), maps=["base"])
    before = lazy.fuse((1,))
    assert before.maps
    assert {item.group for item in before.maps.values()} == {"base"}
    assert lazy.kept_bytes == before.fused.nbytes + sum(item.data.nbytes for item in before.maps.values())
    method = get_method("wls")
    live, other = ({name: value} for name, value in (("detail_gain", 2.0), ("iterations", 2)))
    changed = lazy.changed(parameters=live)
    assert lazy.is_live("wls", live)
    assert not lazy.is_live("wls", other)
    assert not lazy.is_live("wls", live, region=(0, 0, 16, 16))
    with monkeypatch.context() as patched:
        patched.setattr(type(method), "analyse", lambda *_: pytest.fail("analysed again"))
        found = changed.fuse((1,)).fused
    expected = nif.fuse_stack(images((3,), seed=1), images((3,)), "wls", **live).fused
    np.testing.assert_array_equal(found, expected[1])
    np.testing.assert_array_equal(changed[(2,)], expected[2])  # and what was kept is not taken for it
    np.testing.assert_array_equal(lazy[(1,)], before.fused)


def test_threads_share_the_work_and_the_cache():
    from concurrent.futures import ThreadPoolExecutor

    lazy = LazyFusion(FusionStack(images((4,), seed=1), images((4,)), StackOptions("wls")))
    expected = nif.fuse_stack(images((4,), seed=1), images((4,)), "wls").fused
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda t: lazy[(t % 4,)], range(16)))
    for t, frame in enumerate(found):
        np.testing.assert_array_equal(frame, expected[t % 4])
        assert frame is lazy[(t % 4,)]
