"""The form: built from descriptions alone, and never losing a digit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from magicgui.widgets import CheckBox, ComboBox, FloatSlider, FloatSpinBox, LineEdit, SpinBox

from napari_irvisfuse._widgets.parameters import CUSTOM, ManyOf, ParameterForm, checked_values, control_for
from napari_irvisfuse.algorithms.base import MethodInfo, Parameters, option
from napari_irvisfuse.errors import ParameterError


@dataclass(frozen=True)
class Many(Parameters):
    share: float = option(0.6, "A share.", bounds=(0, 1), live=True)
    small: float = option(0.01, "A small number of a wide range.", bounds=(0, 10))
    free: float = option(2.5, "Any number.")
    rounds: int = option(4, "A count.", bounds=(1, 10))
    window: int = option(31, "An odd number.", bounds=(3, 255), step=2)
    flag: bool = option(True, "A switch.", live=True)
    border: str = option("reflect", "A choice.", choices=("reflect", "zero"))
    levels: tuple[int, ...] = option((1, 2), "A selection.", choices=(0, 1, 2, 3), live=True)
    name: str = option("x", "Some text.", title="λ of ir")


PRESETS = {"paper": {}, "authors": {"share": 0.5, "levels": (0, 1, 2, 3)}}


def info(presets: dict[str, dict[str, Any]] | None = None) -> MethodInfo:
    return MethodInfo("many", "Many", "", "", "", False, Many.describe(), presets or {})


@pytest.fixture
def form(qtbot):
    made = ParameterForm(info(PRESETS))
    qtbot.addWidget(made.native)
    return made


@pytest.fixture
def heard(form):
    calls: list[tuple[str, bool]] = []

    def hear(name: str, live: bool) -> None:
        calls.append((name, live))

    form.changed.connect(hear)
    form._hear = hear  # psygnal holds it weakly
    return calls


def test_each_kind_of_parameter_gets_a_control_that_suits_it(form):
    kinds = {name: type(form.control(name)) for name in form.values()}
    assert kinds == {
        "share": FloatSlider,
        "small": FloatSpinBox,
        "free": FloatSpinBox,
        "rounds": SpinBox,
        "window": SpinBox,
        "flag": CheckBox,
        "border": ComboBox,
        "levels": ManyOf,
        "name": LineEdit,
    }
    assert (form.control("rounds").min, form.control("rounds").max) == (1, 10)
    assert form.control("small").native.text().startswith("0.01")
    assert form.control("window").step == 2


def test_values_are_the_defaults_and_pass_the_method(form):
    assert form.values() == Many().to_dict()
    assert Many(**form.values()) == Many()


def test_tooltips_give_help_and_say_when_it_takes_effect(form):
    assert "A share." in form.control("share").native.toolTip()
    assert "at once" in form.control("share").native.toolTip()
    assert "next run" in form.control("rounds").native.toolTip()


def test_labels_are_for_people(form):
    from qtpy.QtWidgets import QLabel

    labels = [label.text() for label in form.native.findChildren(QLabel)]
    assert "λ of IR" in labels
    assert "Share" in labels


def test_an_edit_is_told_with_its_liveness(form, heard):
    form.control("share").value = 0.25
    form.control("rounds").value = 7
    form.control("levels").box(3).value = True
    assert heard == [("share", True), ("rounds", False), ("levels", True)]
    assert (form.values()["share"], form.values()["rounds"], form.values()["levels"]) == (0.25, 7, (1, 2, 3))


def test_values_survive_controls_that_show_fewer_digits(form, heard):
    exact = 0.123456789012345
    form.set_values({"share": exact, "small": 1.23456789e-5})
    form.control("rounds").value = 9  # an edit elsewhere must not read the others back
    assert form.values()["share"] == exact
    assert form.values()["small"] == 1.23456789e-5


@pytest.mark.parametrize("wrong", [{"share": 2.0}, {"rounds": 2.5}, {"levels": (9,)}, {"nonsense": 1}])
def test_wrong_values_change_nothing(form, heard, wrong):
    with pytest.raises(ParameterError):
        form.set_values({"flag": False, **wrong})
    assert form.values() == Many().to_dict()
    assert heard == []


def test_the_first_preset_is_the_default(qtbot):
    form = ParameterForm(info({"authors": PRESETS["authors"], "paper": {}}))
    qtbot.addWidget(form.native)
    assert form.preset == "authors"
    assert form.values()["share"] == 0.5


def test_choosing_a_preset_sets_its_values(form, heard):
    form._preset.value = "authors"
    assert form.values() == Many(share=0.5, levels=(0, 1, 2, 3)).to_dict()
    assert heard == [("share", True), ("levels", True)]
    assert form.control("levels").value == (0, 1, 2, 3)


def test_an_edited_preset_says_custom_until_it_is_one_again(form):
    assert CUSTOM not in form._preset.choices
    form.control("rounds").value = 5
    assert form.preset == form._preset.value == CUSTOM
    form.control("rounds").value = 4
    assert form.preset == form._preset.value == "paper"
    assert CUSTOM not in form._preset.choices


def test_reset(form, heard):
    form.set_values({"share": 0.1, "border": "zero"})
    heard.clear()
    form.reset()
    assert form.values() == Many().to_dict()
    assert sorted(heard) == [("border", False), ("share", True)]
    assert form.control("border").value == "reflect"


def test_a_selection_keeps_at_least_one(form, heard):
    for item in (1, 2):
        form.control("levels").box(item).value = False
    assert form.values()["levels"] == form.control("levels").value == (2,)


def test_numbers_in_steps_snap_to_the_grid(form):
    form.control("window").value = 32
    assert form.values()["window"] in (31, 33)
    assert form.control("window").value == form.values()["window"]
    form.control("window").value = 255
    assert form.values()["window"] == 255


def test_a_method_without_parameters_has_an_empty_form(qtbot):
    form = ParameterForm(MethodInfo("none", "None", "", "", "", False, (), {}))
    qtbot.addWidget(form.native)
    assert len(form) == 0
    assert form.values() == {}
    assert form.preset is None


def test_checked_values_start_from_a_preset():
    assert (
        checked_values(info(PRESETS), {"preset": "authors", "rounds": 2})
        == Many(share=0.5, levels=(0, 1, 2, 3), rounds=2).to_dict()
    )
    with pytest.raises(ParameterError, match="no preset 'nobody'"):
        checked_values(info(PRESETS), {"preset": "nobody"})


def test_every_parameter_of_every_method_shows_its_default(qtbot):
    from napari_irvisfuse.algorithms import get_method, methods

    for name, method in methods().items():
        form = ParameterForm(method)
        qtbot.addWidget(form.native)
        assert form.values() == get_method(name).parameters().to_dict()
        for item in method.parameters:
            shown = form.control(item.name).value
            assert shown == pytest.approx(form.values()[item.name]), (name, item.name)


def test_the_wheel_over_an_unfocused_control_scrolls_the_page(form, qtbot):
    from qtpy.QtCore import QPoint, QPointF, Qt
    from qtpy.QtGui import QWheelEvent
    from qtpy.QtWidgets import QApplication

    form.native.show()
    spin = form.control("rounds").native
    spin.clearFocus()
    wheel = QWheelEvent(
        QPointF(5, 5), QPointF(5, 5), QPoint(0, 0), QPoint(0, 120), Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(spin, wheel)
    assert form.values()["rounds"] == 4


def test_odd_types_fall_back_to_text(qtbot):
    @dataclass(frozen=True)
    class Odd(Parameters):
        sizes: tuple[int, ...] = option((3, 5), "Sizes.")

    control = control_for(Odd.describe()[0])
    qtbot.addWidget(control.native)
    assert control.value == (3, 5)
