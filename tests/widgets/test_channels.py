"""Numbers without a place: which belong together, in which order, and what is drawn of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from napari.utils.theme import get_theme

from napari_irvisfuse._widgets.channel_plot import ChannelPlot
from napari_irvisfuse._widgets.channels import ORDERS, Pairing, pairings
from napari_irvisfuse.maps import Map


def numbers(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(count).astype(np.float32)


def maps() -> dict[str, Map[Any]]:
    found: dict[str, Map[Any]] = {"attention_1": Map(numbers(12).reshape(3, 4), "weight", "Attention", "weight")}
    for level, count in ((1, 8), (2, 16)):
        for seed, (name, title) in enumerate((("ir", "IR"), ("visible", "Visible"))):
            found[f"{name}_gates_{level}"] = Map(
                numbers(count, seed), "weight", f"{title} channel gates, level {level}", "feature"
            )
    found["ir_lonely"] = Map(numbers(4), "weight", "IR something else", "feature")
    return found


@pytest.fixture
def plot(qtbot: Any) -> ChannelPlot:
    plot = ChannelPlot("dark")
    qtbot.addWidget(plot)
    return plot


def heights(plot: ChannelPlot) -> list[np.ndarray]:
    (axes,) = plot.figure.axes
    return [patch.get_data().values for patch in axes.patches]


def test_those_of_both_images_belong_together():
    found = pairings(maps())
    assert [pairing.title for pairing in found] == ["Channel gates, level 1", "Channel gates, level 2"]
    np.testing.assert_array_equal(found[1].visible, numbers(16, 1))
    assert pairings({}) == []


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30))
def test_orders(values):
    ir, visible = (np.array(column) for column in zip(*values, strict=True))
    pairing = Pairing("", ir, visible)
    keys = {"channel": -np.arange(len(ir)), "ir": ir, "visible": visible, "difference": ir - visible}
    for _, by in ORDERS:
        order = pairing.order(by)
        assert sorted(order) == list(range(len(ir)))
        assert (np.diff(keys[by][order]) <= 0).all()


def test_infrared_is_above_and_visible_below(plot: ChannelPlot) -> None:
    plot.show_pairings(pairings(maps()))
    above, below = heights(plot)
    np.testing.assert_array_equal(above, numbers(8))
    np.testing.assert_array_equal(below, -numbers(8, 1))
    plot.order_box.value = "ir"
    above, below = heights(plot)
    assert (np.diff(above) <= 0).all()
    np.testing.assert_array_equal(below, -numbers(8, 1)[np.argsort(-numbers(8))])
    assert "of 8 channels" in plot.note.text()
    plot.canvas.draw()


def test_the_level_stays_when_another_result_comes(plot: ChannelPlot) -> None:
    plot.show_pairings(pairings(maps()))
    plot.which_box.value = 1
    plot.show_pairings(pairings(maps()))
    assert plot.shown is not None
    assert plot.shown.title == "Channel gates, level 2"
    plot.show_pairings([])
    assert plot.shown is None
    assert not plot.figure.axes


def test_the_narrow_box_names_what_tells_levels_apart(plot: ChannelPlot) -> None:
    plot.show_pairings(pairings(maps()))
    box = plot.which_box.native
    assert [box.itemText(number) for number in range(box.count())] == ["level 1", "level 2"]


def test_a_bar_says_its_channel(plot: ChannelPlot) -> None:
    plot.show_pairings(pairings(maps()))
    plot.order_box.value = "ir"
    plot._on_motion(SimpleNamespace(xdata=0.2))
    best = int(numbers(8).argmax())
    assert (
        plot.canvas.toolTip() == f"Channel {best}: infrared {numbers(8)[best]:.3f}, visible {numbers(8, 1)[best]:.3f}"
    )
    plot._on_motion(SimpleNamespace(xdata=None))
    assert plot.canvas.toolTip() == ""


def test_napari_s_colours(plot: ChannelPlot) -> None:
    plot.show_pairings(pairings(maps()))
    for theme in ("light", "dark"):
        plot.show_theme(theme)
        assert to_hex(plot.figure.get_facecolor()) == get_theme(theme).background.as_hex("long")
