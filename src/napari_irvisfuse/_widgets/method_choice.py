"""The method, what it is, its parameters and its weights; those of every method are remembered until it is back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox
from psygnal import Signal

from napari_irvisfuse.errors import ParameterError

from .page import table_in
from .parameters import ParameterForm, checked_values
from .qt_parts import Section, hint, rows
from .weights_row import WeightsRow

if TYPE_CHECKING:
    from napari_irvisfuse.algorithms.base import MethodInfo

__all__ = ["MethodChoice"]

_LOADING = "Loading methods…"


class MethodChoice:
    """What to fuse with.

    Attributes
    ----------
    changed
        ``changed(what)``: the user changed the ``"method"``, its ``"parameters"`` or its ``"weights"``.
    parts
        Its widgets, from top to bottom.
    form
        The controls of the chosen method's parameters, None while loading.
    weights
        The row with the weights.
    """

    changed = Signal(str)

    def __init__(self) -> None:
        self._methods: Mapping[str, MethodInfo] = {}
        self._remembered: dict[str, dict[str, Any]] = {}  # parameters of every method, as last seen
        self._weights: dict[str, str] = {}
        self._wanted = ""
        self.form: ParameterForm | None = None
        self.box = ComboBox(choices=self._choices, tooltip="How to fuse.")
        self.box.enabled = False
        self.summary, self.reference = hint(), hint()
        self.reference.setGraphicsEffect(None)  # a link is there to be seen
        self.weights = WeightsRow()
        self.sections = {"parameters": Section("Parameters", action="Reset"), "weights": Section("Weights")}
        self.sections["parameters"].action.setToolTip("Back to the method's own values")
        self.sections["weights"].add(self.weights.native)
        for section in self.sections.values():
            section.setVisible(False)
        self.parts = (rows(("Method", self.box.native)), self.summary, self.reference, *self.sections.values())
        self.box.changed.connect(self._on_method)
        self.weights.changed.connect(self._on_weights)
        self.sections["parameters"].action.clicked.connect(self._on_reset)

    @property
    def ready(self) -> bool:
        """Whether the methods are known."""
        return bool(self._methods)

    @property
    def info(self) -> MethodInfo | None:
        """The chosen method, None while loading."""
        return self._methods.get(self.box.value or "")

    @property
    def name(self) -> str:
        """Name of the chosen method; while loading, of the one that is wanted."""
        return self.form.info.name if self.form is not None else self._wanted

    @property
    def values(self) -> dict[str, Any]:
        """The chosen method's parameters; empty while loading."""
        return self.form.values() if self.form is not None else {}

    @property
    def state(self) -> dict[str, Any]:
        """All that is remembered, as values that JSON can hold."""
        self._note()
        return {
            "method": self.box.value if self.ready else self._wanted,
            "parameters": {name: dict(values) for name, values in self._remembered.items()},
            "weights": dict(self._weights),
        }

    @state.setter
    def state(self, state: Mapping[str, Any]) -> None:
        parameters = table_in(state, "parameters")
        self._remembered.update({k: dict(v) for k, v in parameters.items() if isinstance(v, Mapping)})
        self._weights.update({k: str(v) for k, v in table_in(state, "weights").items()})

    def offer(self, methods: Mapping[str, MethodInfo], default: str) -> None:
        """Fill in what can be chosen; what was wanted before is chosen now, if it is there."""
        self._methods = methods
        with self.box.changed.blocked():
            self.box.reset_choices()
            self.box.value = self._wanted if self._wanted in methods else default
        self.box.enabled = True
        self._on_method()

    def choose(self, name: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Choose a method and its parameters; while the methods are loading, keep it in mind.

        Raises
        ------
        ParameterError
            If there is no such method or it has no such parameters.
        """
        if not self.ready:
            self._wanted = name or self._wanted
            if parameters is not None:
                self._remembered[name] = dict(parameters)
            return
        if not name:
            return
        if name not in self._methods:
            raise ParameterError(f"There is no method {name!r}: choose one of {', '.join(self._methods)}.")
        if parameters is not None:
            self._remembered[name] = checked_values(self._methods[name], parameters)
        if name == self.box.value:
            self._on_method(keep=False)
        else:
            self.box.value = name

    def reset(self) -> None:
        """Put the parameters and weights of all methods back to their defaults."""
        self._remembered.clear()
        self._weights.clear()
        self.weights.path = None
        if self.form is not None:
            self.form.reset()

    def _choices(self, _: Any = None) -> list[tuple[str, str]]:
        return [(info.title, name) for name, info in self._methods.items()] or [(_LOADING, "")]

    def _note(self) -> None:
        """Remember the shown method's parameters and weights for when it is chosen again."""
        if self.form is None:
            return
        name = self.form.info.name
        self._remembered[name] = self.form.values()
        if self.weights.path:
            self._weights[name] = self.weights.path
        else:
            self._weights.pop(name, None)

    def _on_method(self, _: Any = None, *, keep: bool = True) -> None:
        if keep:
            self._note()
        info = self.info
        if info is None:
            return
        self.summary.setText(info.summary)
        self.summary.setVisible(True)
        self.reference.setText(f'<a href="https://doi.org/{info.doi}" style="color: #4f94dc">doi:{info.doi}</a>')
        self.reference.setToolTip(info.reference)
        self.reference.setVisible(bool(info.doi))
        self._show_form(ParameterForm(info))
        self.sections["weights"].setVisible(info.accepts_weights)
        self.weights.path = self._weights.get(info.name)
        self.changed.emit("method")

    def _show_form(self, form: ParameterForm) -> None:
        try:
            form.set_values(self._remembered.get(form.info.name, {}))
        except ParameterError:
            form.reset()  # remembered by another version
        self.form = form
        form.changed.connect(self._on_parameter)
        section = self.sections["parameters"]
        section.replace(form.native)
        section.setVisible(len(form) > 0)

    def _on_parameter(self, _name: str, _live: bool) -> None:
        self.changed.emit("parameters")

    def _on_weights(self) -> None:
        self.changed.emit("weights")

    def _on_reset(self, _: bool = False) -> None:
        if self.form is not None:
            self.form.reset()
