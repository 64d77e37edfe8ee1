"""What the fuse widget shows: the controls and their arrangement, no thread, no viewer but for its layer names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox
from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from napari_irvisfuse.errors import ParameterError
from napari_irvisfuse.images.ranges import parse_window

from .alignment_notice import AlignmentNotice
from .channels import pairings
from .device_info import DeviceChoice
from .grid_choice import GridBox
from .layer_choice import LayerChoice
from .layer_stacks import is_stacked
from .parameters import ParameterForm, checked_values
from .qt_parts import Section, hint, rows
from .region_choice import RegionChoice
from .run_bar import RunBar
from .stack_choice import StackChoice
from .weights_row import WeightsRow
from .window_choice import WindowChoice

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from numpy.typing import NDArray

    from napari_irvisfuse.algorithms.base import MethodInfo
    from napari_irvisfuse.maps import Map

    from .channel_plot import ChannelPlot
    from .fusion_jobs import Catalogue

__all__ = ["ADD_NEW", "REPLACE", "SHOW", "FuseView"]

SHOW = ("fused", "base and detail", "everything")
_SHOW_TITLES = ("fused image only", "base and detail", "everything")
REPLACE, ADD_NEW = "replace", "add"
_WIDTH = 310  # the narrowest at which no control is cut off
_LOADING = "Loading methods…"
_COLOUR_HELP = """Colour of the fused image.
visible: the visible image's chroma as it is
natural: lifted along with the luma, as more light would
luma: grey"""


class FuseView:
    """All controls, and their state as a plain dictionary.

    Parameters
    ----------
    viewer
        Whose layers to offer.
    root
        The widget to fill.

    Attributes
    ----------
    edited
        ``edited(what)``: the user changed ``"layers"``, ``"grid"``, ``"method"``, ``"parameters"``, ``"weights"``,
        ``"device"``, ``"window"``, ``"output"``, ``"stack"``, ``"show"`` or ``"replace"``.
    """

    edited = Signal(str)

    def __init__(self, viewer: ViewerModel, root: QWidget) -> None:
        self._methods: Mapping[str, MethodInfo] = {}
        self._remembered: dict[str, dict[str, Any]] = {}  # parameters of every method, as last seen
        self._weights: dict[str, str] = {}
        self._wanted_method = ""
        self.form: ParameterForm | None = None
        self._build(viewer)
        self.run_bar = RunBar(root)
        self._lay_out(root)
        self._connect()

    # -- state ---------------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether the methods are known."""
        return bool(self._methods)

    @property
    def method(self) -> MethodInfo | None:
        """The chosen method, None while loading."""
        return self._methods.get(self.method_box.value or "")

    def offer(self, catalogue: Catalogue) -> None:
        """Fill in what can be chosen; what was wanted before is chosen now, if it is there."""
        self._methods = catalogue.methods
        with self.method_box.changed.blocked():
            self.method_box.reset_choices()
            known = self._wanted_method in catalogue.methods
            self.method_box.value = self._wanted_method if known else catalogue.default_method
        self.method_box.enabled = True
        self.device.offer(catalogue.devices)
        self._on_method()

    def state(self) -> dict[str, Any]:
        """Return all choices but the layers, as values that JSON can hold."""
        self._note_method()
        return {
            "method": self.method_box.value if self.ready else self._wanted_method,
            "parameters": {name: dict(values) for name, values in self._remembered.items()},
            "weights": dict(self._weights),
            "device": self.device.device,
            "precision": self.device.precision,
            "show": self.show_box.value,
            "replace": self.replace_box.value,
            "grid": self.grid.value,
            "ir_window": self.ir_window.state,
            "visible_window": self.visible_window.state,
            "output": self.output_box.value,
            "stack": self.stack.state,
            "region": self.region.state,
            "open": {name: section.expanded for name, section in self.sections.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state` returned, however old or damaged; what does not fit is left as it is."""
        self._remembered.update({k: dict(v) for k, v in _table(state, "parameters").items() if isinstance(v, Mapping)})
        self._weights.update({k: str(v) for k, v in _table(state, "weights").items()})
        self.device.choose(
            str(state.get("device", self.device.device)), str(state.get("precision", self.device.precision))
        )
        boxes = {"show": self.show_box, "replace": self.replace_box, "output": self.output_box, "grid": self.grid.box}
        for key, box in boxes.items():
            if state.get(key) in box.choices:
                box.value = state[key]
        for key, window in (("ir_window", self.ir_window), ("visible_window", self.visible_window)):
            try:
                window.value = parse_window(state.get(key, "auto"))
            except ParameterError:
                window.value = "auto"
        self.stack.state = _table(state, "stack")
        self.region.state = _table(state, "region")
        for name, expanded in _table(state, "open").items():
            if name in self.sections:
                self.sections[name].expanded = bool(expanded)
        self.choose_method(str(state.get("method", "")))

    def choose_method(self, name: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Choose a method and its parameters; while the methods are loading, keep it in mind.

        Raises
        ------
        ParameterError
            If there is no such method or it has no such parameters.
        """
        if not self.ready:
            self._wanted_method = name or self._wanted_method
            if parameters is not None:
                self._remembered[name] = dict(parameters)
            return
        if not name:
            return
        if name not in self._methods:
            raise ParameterError(f"There is no method {name!r}: choose one of {', '.join(self._methods)}.")
        if parameters is not None:
            self._remembered[name] = checked_values(self._methods[name], parameters)
        if name == self.method_box.value:
            self._on_method(keep=False)
        else:
            self.method_box.value = name

    def choices(self) -> dict[str, Any]:
        """Return what a recipe is made of.

        Raises
        ------
        ParameterError
            If an intensity window is half typed.
        """
        return {
            "method": self.form.info.name if self.form is not None else self._wanted_method,
            "parameters": self.form.values() if self.form is not None else {},
            "device": self.device.device,
            "precision": self.device.precision,
            "ir_window": self.ir_window.value,
            "visible_window": self.visible_window.value,
            "grid": self.grid.value,
            "output": self.output_box.value,
            **self.stack.choices(),
        }

    def reset(self) -> None:
        """Put everything but the layers and the method back to its default."""
        self._remembered.clear()
        self._weights.clear()
        self.weights.path = None
        if self.form is not None:
            self.form.reset()
        self.device.choose("auto", "auto")
        self.show_box.value, self.replace_box.value, self.output_box.value = SHOW[1], REPLACE, "visible"
        self.ir_window.value = self.visible_window.value = "auto"
        self.grid.value = "visible"
        self.stack.reset()
        self.region.reset()

    def show_channels(self, maps: Mapping[str, Map[NDArray[Any]]]) -> None:
        """Plot what a result says about channels, which no layer can show; nothing if it says nothing."""
        found = pairings(maps)
        self.sections["channels"].setVisible(bool(found))
        if found and self._plot is None:
            from .channel_plot import ChannelPlot  # matplotlib takes its time

            self._plot = ChannelPlot(self._theme)
            self.sections["channels"].add(self._plot)
        if self._plot is not None:
            self._plot.show_pairings(found)

    def show_theme(self, theme: str) -> None:
        """Follow napari to another theme."""
        self._theme = theme
        if self._plot is not None:
            self._plot.show_theme(theme)

    # -- changes -------------------------------------------------------------------------------------------------

    def _method_choices(self, _: Any = None) -> list[tuple[str, str]]:
        return [(info.title, name) for name, info in self._methods.items()] or [(_LOADING, "")]

    def _note_method(self) -> None:
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
            self._note_method()
        info = self.method
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
        self.edited.emit("method")

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
        self.edited.emit("parameters")

    def _on_reset_parameters(self, _: bool = False) -> None:
        if self.form is not None:
            self.form.reset()

    def _on_layers(self) -> None:
        self.stack.offer(is_stacked(self.layers.ir, self.layers.visible))
        self.edited.emit("layers")

    def _on_grid(self) -> None:
        self.edited.emit("grid")

    def _on_region(self) -> None:
        self.edited.emit("region")

    def _on_stack(self) -> None:
        self.edited.emit("stack")

    def _on_weights(self) -> None:
        self.edited.emit("weights")

    def _on_device(self) -> None:
        self.edited.emit("device")

    def _on_window(self) -> None:
        self.edited.emit("window")

    def _on_output(self, _: Any = None) -> None:
        self.edited.emit("output")

    def _on_show(self, _: Any = None) -> None:
        self.edited.emit("show")

    def _on_replace(self, _: Any = None) -> None:
        self.edited.emit("replace")

    # -- construction --------------------------------------------------------------------------------------------

    def _build(self, viewer: ViewerModel) -> None:
        self.layers = LayerChoice(viewer)
        self.grid = GridBox()
        self.alignment = AlignmentNotice()
        self.region = RegionChoice(viewer)
        self.stack = StackChoice()
        self.stack.offer(is_stacked(self.layers.ir, self.layers.visible))
        self.method_box = ComboBox(choices=self._method_choices, tooltip="How to fuse.")
        self.method_box.enabled = False
        self.summary, self.reference = hint(), hint()
        self.reference.setGraphicsEffect(None)  # a link is there to be seen
        self.weights = WeightsRow()
        self.device = DeviceChoice()
        self.show_box = ComboBox(
            choices=list(zip(_SHOW_TITLES, SHOW, strict=True)),
            value=SHOW[1],
            tooltip="Which layers a run adds. Only the fused image is visible at first.",
        )
        self.replace_box = ComboBox(
            choices=[("replace", REPLACE), ("keep, add another", ADD_NEW)],
            tooltip="What happens to the layers that the last run added. Other layers are never touched.",
        )
        self.ir_window, self.visible_window = WindowChoice("infrared"), WindowChoice("visible")
        self.output_box = ComboBox(
            choices=[("visible", "visible"), ("natural", "natural"), ("luma (grey)", "luma")],
            tooltip=_COLOUR_HELP,
        )
        self._theme = viewer.theme
        self._plot: ChannelPlot | None = None
        self.sections = {
            "parameters": Section("Parameters", action="Reset"),
            "weights": Section("Weights"),
            "channels": Section("Channels"),
            "device": Section("Device and precision"),
            "advanced": Section("Advanced", expanded=False),
        }
        self.sections["parameters"].action.setToolTip("Back to the method's own values")
        self.sections["parameters"].setVisible(False)
        self.sections["weights"].setVisible(False)
        self.sections["channels"].setVisible(False)
        self.sections["weights"].add(self.weights.native)
        self.sections["device"].add(self.device.native)
        self.sections["advanced"].add(
            rows(
                ("IR window", self.ir_window.native),
                ("Visible window", self.visible_window.native),
                ("Colour", self.output_box.native),
            )
        )

    def _lay_out(self, root: QWidget) -> None:
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(10, 8, 10, 8)
        column.setSpacing(6)
        column.addWidget(self.layers.native)
        column.addWidget(self.grid.native)
        column.addWidget(self.alignment.native)
        column.addWidget(self.stack.native)
        column.addWidget(self.region.native)
        column.addWidget(rows(("Method", self.method_box.native)))
        column.addWidget(self.summary)
        column.addWidget(self.reference)
        column.addWidget(self.sections["parameters"])
        column.addWidget(self.sections["weights"])
        column.addWidget(rows(("Layers to add", self.show_box.native), ("Last result", self.replace_box.native)))
        column.addWidget(self.sections["channels"])
        column.addWidget(self.sections["device"])
        column.addWidget(self.sections["advanced"])
        column.addStretch(1)

        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(page)
        # Run and what is wrong stay in sight however far the page is scrolled
        layout = root.layout()
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(scroll, 1)
        layout.addWidget(self.run_bar.native)
        root.setMinimumWidth(_WIDTH)

    def _connect(self) -> None:
        self.layers.changed.connect(self._on_layers)
        self.grid.changed.connect(self._on_grid)
        self.stack.changed.connect(self._on_stack)
        self.region.changed.connect(self._on_region)
        self.method_box.changed.connect(self._on_method)
        self.weights.changed.connect(self._on_weights)
        self.device.changed.connect(self._on_device)
        self.ir_window.changed.connect(self._on_window)
        self.visible_window.changed.connect(self._on_window)
        self.output_box.changed.connect(self._on_output)
        self.show_box.changed.connect(self._on_show)
        self.replace_box.changed.connect(self._on_replace)
        self.sections["parameters"].action.clicked.connect(self._on_reset_parameters)


def _table(state: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = state.get(key)
    return value if isinstance(value, Mapping) else {}
