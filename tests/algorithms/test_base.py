"""Parameters that describe and check themselves, and the registry of methods."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal, get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import napari_irvisfuse as nif
from napari_irvisfuse.algorithms import get_method, methods
from napari_irvisfuse.algorithms.base import Fusion, FusionMethod, Map, MapGroup, Parameters, option
from napari_irvisfuse.errors import ParameterError
from napari_irvisfuse.types import MapKind


@dataclass(frozen=True)
class FakeParameters(Parameters):
    flag: bool = option(False, "A switch.")
    count: int = option(3, "A number of things.", bounds=(1, 9), live=True)
    odd: int = option(5, "A window.", bounds=(3, 11), step=2)
    share: float = option(0.5, "A share.", bounds=(0, 1), title="part of it")
    grid: float = option(0.3, "A value on a grid.", bounds=(0.1, 1.1), step=0.1)
    free: float = option(-1.0, "Any number.")
    word: str = option("mean", "A name.", choices=("mean", "max"), live=True)
    literal: Literal["a", "b"] = option("a", "A letter.", choices=("a", "b"))
    levels: tuple[int, ...] = option((1, 2), "Some levels.", choices=(0, 1, 2, 3))
    names: tuple[str, ...] = option(("x",), "Some names.", choices=("x", "y"))


class Fake(FusionMethod[FakeParameters, torch.Tensor]):
    name = "fake"
    title = "Fake"
    summary = "For the tests."
    parameters_type = FakeParameters
    presets = {"paper": {}, "bold": {"count": 7, "levels": (0, 3)}}  # noqa: RUF012

    def analyse(self, ir, visible, parameters, runtime):
        return ir

    def combine(self, state, parameters, runtime):
        return Fusion(state, {"ir": Map(state, "intensity", "IR", "base")})


INFO = {info.name: info for info in FakeParameters.describe()}


# -- what a parameter accepts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("flag", True, True),
        ("count", 9, 9),
        ("count", 4.0, 4),
        ("count", np.int64(4), 4),
        ("count", np.float32(4), 4),
        ("odd", 11, 11),
        ("share", 1, 1.0),
        ("share", 0.25, 0.25),
        ("share", np.float16(0.25), 0.25),
        ("share", Fraction(1, 4), 0.25),
        ("share", Decimal("0.25"), 0.25),
        ("share", torch.tensor(0.25), 0.25),
        ("grid", 0.1 + 0.2, 0.1 + 0.2),
        ("grid", 1.1, 1.1),
        ("free", -1e300, -1e300),
        ("word", "max", "max"),
        ("word", np.str_("max"), "max"),
        ("literal", "b", "b"),
        ("levels", (2, 1, 2), (1, 2)),
        ("levels", [3, 0], (0, 3)),
        ("levels", {1}, (1,)),
        ("levels", (np.int64(1), 2.0), (1, 2)),
        ("names", ["y", "x"], ("x", "y")),
    ],
)
def test_a_value_becomes_its_proper_type(name, value, expected):
    proper = INFO[name].check(value)
    assert proper == expected
    assert type(proper) is type(expected)
    if isinstance(proper, tuple):
        assert [type(item) for item in proper] == [type(item) for item in expected]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("flag", value) for value in (1, 0, "true", None)],
        *[
            ("count", value)
            for value in (0, 10, 2.5, True, "3", b"3", None, float("nan"), float("inf"), 10**400, [3], 3j)
        ],
        *[("odd", value) for value in (4, 2, 13)],
        *[("share", value) for value in (-0.1, 1.1, float("nan"), True, "0.5", b"1", None, [0.5], 1j, 10**400)],
        *[("grid", value) for value in (0.15, 1.2, 0.0)],
        *[("free", value) for value in (float("nan"), float("inf"), -float("inf"), True, "1")],
        *[("word", value) for value in ("min", "", None, 3, True, ["mean"])],
        *[("levels", value) for value in ((), [], (4,), (1, 9), 1, "1,2", None, (1.5,), ("1",), (None,), ([1],))],
        *[("names", value) for value in ("x", ("z",), (1,), (b"x",))],
    ],
)
def test_anything_else_is_refused_with_what_is_wanted(name, value):
    with pytest.raises(ParameterError) as caught:
        INFO[name].check(value)
    assert str(caught.value) == f"{name} takes {INFO[name].wants}; got {value!r}."


@pytest.mark.parametrize(
    ("name", "wants"),
    [
        ("flag", "true or false"),
        ("count", "a whole number from 1 to 9"),
        ("odd", "a whole number from 3 to 11 in steps of 2"),
        ("share", "a number from 0 to 1"),
        ("free", "a number"),
        ("word", "one of mean, max"),
        ("levels", "some of 0, 1, 2, 3 (with commas)"),
    ],
)
def test_what_is_wanted_in_words(name, wants):
    assert INFO[name].wants == wants


@given(st.integers(-20, 30))
def test_bounds_and_steps_are_inclusive(value):
    allowed = value in range(3, 12, 2)
    if allowed:
        assert INFO["odd"].check(value) == value
    else:
        with pytest.raises(ParameterError):
            INFO["odd"].check(value)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        *[("flag", text, True) for text in ("true", "True", "YES", "1")],
        *[("flag", text, False) for text in ("false", "No", "0")],
        ("count", "7", 7),
        ("count", " 7 ", 7),
        ("share", "0.25", 0.25),
        ("share", "1e-3", 0.001),
        ("word", "max", "max"),
        ("levels", "1,2", (1, 2)),
        ("levels", " 0 , 3 ,", (0, 3)),
        ("names", "x, y", ("x", "y")),
    ],
)
def test_text_is_read(name, text, expected):
    assert INFO[name].parse(text) == expected
    assert INFO[name].check(INFO[name].parse(text)) == expected


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *[("flag", text) for text in ("", "2", "maybe")],
        *[("count", text) for text in ("", "x", "2.5", "1e3", "0x10")],
        *[("share", text) for text in ("", "half", "0,5", "1 2")],
        *[("levels", text) for text in ("a", "1;2", "1.5")],
    ],
)
def test_text_that_cannot_be_read_is_refused_with_what_is_wanted(name, text):
    with pytest.raises(ParameterError) as caught:
        INFO[name].parse(text)
    assert str(caught.value) == f"{name} takes {INFO[name].wants}; got {text!r}."


@pytest.mark.parametrize(("name", "text"), [("share", "nan"), ("share", "inf"), ("levels", ""), ("levels", ",")])
def test_text_that_can_be_read_is_still_checked(name, text):
    with pytest.raises(ParameterError):
        INFO[name].check(INFO[name].parse(text))


@given(st.sets(st.sampled_from((0, 1, 2, 3)), min_size=1), st.integers(1, 9), st.floats(0, 1))
def test_what_is_printed_can_be_read(levels, count, share):
    for name, value in (("levels", tuple(sorted(levels))), ("count", count), ("share", share)):
        text = ",".join(map(str, value)) if isinstance(value, tuple) else repr(value)
        assert INFO[name].check(INFO[name].parse(text)) == value


# -- parameters as a whole --------------------------------------------------------------------------------------


def test_parameters_are_checked_frozen_and_plain():
    made = FakeParameters(count=np.int32(4), share=1, levels=[3, 0])
    assert made.to_dict() == {**FakeParameters().to_dict(), "count": 4, "share": 1.0, "levels": (0, 3)}
    assert made == FakeParameters(count=4, share=1.0, levels=(0, 3))
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.count = 5
    with pytest.raises(ParameterError, match="count takes"):
        FakeParameters(count=0)
    with pytest.raises(ParameterError, match="count takes"):
        dataclasses.replace(made, count=0)


def test_the_description_is_complete():
    assert list(INFO) == [item.name for item in dataclasses.fields(FakeParameters)]
    assert INFO["literal"].type is str
    assert INFO["levels"].type is tuple
    assert INFO["share"].title == "part of it"
    assert INFO["odd"].title == "odd"
    assert [name for name, info in INFO.items() if info.live] == ["count", "word"]


def test_only_live_parameters_leave_the_analysis_alone():
    key = FakeParameters().analysis_key()
    assert FakeParameters(count=9, word="max").analysis_key() == key
    for change in ({"flag": True}, {"odd": 7}, {"share": 0.1}, {"levels": (3,)}, {"literal": "b"}):
        assert FakeParameters(**change).analysis_key() != key


def test_presets_come_first_and_values_after():
    assert Fake.parameters() == Fake.parameters(preset="paper") == FakeParameters()
    assert Fake.parameters(preset="bold") == FakeParameters(count=7, levels=(0, 3))
    assert Fake.parameters(preset="bold", count=2) == FakeParameters(count=2, levels=(0, 3))
    assert Fake.presets["bold"] == {"count": 7, "levels": (0, 3)}


def test_unknown_names_are_told_what_there_is():
    with pytest.raises(ParameterError, match=re.escape("'fake' has no preset 'loud': it has paper, bold.")):
        Fake.parameters(preset="loud")
    with pytest.raises(ParameterError, match=r"'fake' has no parameter 'colour': it has count, flag, .*word\."):
        Fake.parameters(colour=1)
    with pytest.raises(ParameterError, match="'max' has no preset 'any': it has none"):
        get_method("max").parameters(preset="any")
    with pytest.raises(ParameterError, match=r"There is no method 'vls': choose one of .*wls"):
        get_method("vls")


def test_both_steps_make_a_fusion():
    ir, visible = torch.zeros(1, 1, 16, 16), torch.ones(1, 1, 16, 16)
    assert Fake().fuse(ir, visible, Fake.parameters(), None).fused is ir
    assert Fake().receptive_field(FakeParameters()) is None
    assert Fake().weights_name(FakeParameters()) is None


# -- the methods that there are ---------------------------------------------------------------------------------


def test_the_methods_are_found_and_baselines_come_last():
    names = list(methods())
    assert {"wls", "resnet152", "average", "max"} <= set(names)
    baselines = [get_method(name).baseline for name in names]
    assert baselines == sorted(baselines)
    assert list(nif.methods()) == names


@pytest.mark.parametrize("name", methods())
def test_every_method_describes_itself(name):
    info = methods()[name]
    method = get_method(name)
    assert info.name == name
    assert info.title
    assert info.summary.endswith(".")
    assert "\n" not in info.summary
    assert method.baseline or (info.doi.startswith("10.") and info.reference)
    assert info.needs_weights == (method.weights_name(method.parameters()) is not None)
    assert next(iter(info.presets), None) is None or not next(iter(info.presets.values())), "the first is the default"
    for preset in info.presets:
        method.parameters(preset=preset)
    for parameter in info.parameters:
        assert parameter.type in (bool, int, float, str, tuple)
        assert parameter.check(parameter.default) == parameter.default
        assert parameter.help.endswith(".")
        assert "\n" not in parameter.help
        assert parameter.title
        if parameter.type in (int, float):
            assert parameter.bounds or parameter.choices, f"{parameter.name} needs bounds, for a slider"
        if parameter.type in (str, tuple):
            assert parameter.choices, f"{parameter.name} needs choices"


@pytest.mark.parametrize("name", [name for name, info in methods().items() if not info.needs_weights])
def test_every_map_is_one_that_can_be_shown(name):
    rng = np.random.default_rng(0)
    ir, visible = (rng.integers(0, 256, (33, 40), dtype=np.uint8) for _ in range(2))
    for key, item in nif.fuse(ir, visible, method=name, device="cpu").maps.items():
        assert re.fullmatch(r"[a-z0-9_]+", key), f"{key} is to be a file name"
        assert item.kind in get_args(MapKind)
        assert item.group in get_args(MapGroup)
        assert item.title
        assert item.data.shape == tuple(-(-side // item.stride) for side in (33, 40))
        assert (item.data.dtype.kind == "u") == (item.kind == "index") == bool(item.labels)
        if item.kind == "index":
            assert item.data.max() <= len(item.labels)
        if item.kind in ("weight", "energy"):
            assert item.data.min() >= 0
        if item.kind == "weight":
            assert item.data.max() <= 1 + 1e-6
