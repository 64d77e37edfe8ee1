"""What the fuse widget shows: the controls and their arrangement, no thread, no viewer but for its layer names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox
from psygnal import Signal

from napari_irvisfuse.errors import ParameterError
from napari_irvisfuse.images.ranges import parse_window

from .alignment_notice import AlignmentNotice
from .channels import pairings
from .device_info import DeviceChoice
from .grid_choice import GridBox
from .layer_choice import LayerChoice
from .layer_stacks import is_stacked
from .method_choice import MethodChoice
from .page import fill, table_in
from .qt_parts import Section, rows
from .region_choice import RegionChoice
from .run_bar import RunBar
from .stack_choice import StackChoice
from .window_choice import WindowChoice

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from numpy.typing import NDArray
    from qtpy.QtWidgets import QWidget

    from napari_irvisfuse.algorithms.base import MethodInfo
    from napari_irvisfuse.maps import Map

    from .channel_plot import ChannelPlot
    from .fusion_jobs import Catalogue
    from .parameters import ParameterForm
    from .weights_row import WeightsRow

__all__ = ["ADD_NEW", "REPLACE", "SHOW", "FuseView"]

SHOW = ("fused", "base and detail", "everything")
_SHOW_TITLES = ("fused image only", "base and detail", "everything")
REPLACE, ADD_NEW = "replace", "add"
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
        self._build(viewer)
        self.run_bar = RunBar(root)
        self._lay_out(root)
        self._connect()

    # -- state ---------------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether the methods are known."""
        return self.methods.ready

    @property
    def method(self) -> MethodInfo | None:
        """The chosen method, None while loading."""
        return self.methods.info

    @property
    def form(self) -> ParameterForm | None:
        """The controls of the chosen method's parameters, None while loading."""
        return self.methods.form

    @property
    def weights(self) -> WeightsRow:
        """The row with the chosen method's weights."""
        return self.methods.weights

    def offer(self, catalogue: Catalogue) -> None:
        """Fill in what can be chosen; what was wanted before is chosen now, if it is there."""
        self.device.offer(catalogue.devices)
        self.methods.offer(catalogue.methods, catalogue.default_method)

    def state(self) -> dict[str, Any]:
        """Return all choices but the layers, as values that JSON can hold."""
        return {
            **self.methods.state,
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
        self.methods.state = state
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
        self.stack.state = table_in(state, "stack")
        self.region.state = table_in(state, "region")
        for name, expanded in table_in(state, "open").items():
            if name in self.sections:
                self.sections[name].expanded = bool(expanded)
        self.methods.choose(str(state.get("method", "")))

    def choices(self) -> dict[str, Any]:
        """Return what a recipe is made of.

        Raises
        ------
        ParameterError
            If an intensity window is half typed.
        """
        return {
            "method": self.methods.name,
            "parameters": self.methods.values,
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
        self.methods.reset()
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

    def _on_methods(self, what: str) -> None:
        self.edited.emit(what)

    def _on_layers(self) -> None:
        self.stack.offer(is_stacked(self.layers.ir, self.layers.visible))
        self.edited.emit("layers")

    def _on_grid(self) -> None:
        self.edited.emit("grid")

    def _on_region(self) -> None:
        self.edited.emit("region")

    def _on_stack(self) -> None:
        self.edited.emit("stack")

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
        self.methods = MethodChoice()
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
            **self.methods.sections,
            "channels": Section("Channels"),
            "device": Section("Device and precision"),
            "advanced": Section("Advanced", expanded=False),
        }
        self.sections["channels"].setVisible(False)
        self.sections["device"].add(self.device.native)
        self.sections["advanced"].add(
            rows(
                ("IR window", self.ir_window.native),
                ("Visible window", self.visible_window.native),
                ("Colour", self.output_box.native),
            )
        )

    def _lay_out(self, root: QWidget) -> None:
        parts = (
            self.layers.native,
            self.grid.native,
            self.alignment.native,
            self.stack.native,
            self.region.native,
            *self.methods.parts,
            rows(("Layers to add", self.show_box.native), ("Last result", self.replace_box.native)),
            self.sections["channels"],
            self.sections["device"],
            self.sections["advanced"],
        )
        fill(root, parts, self.run_bar.native)

    def _connect(self) -> None:
        self.layers.changed.connect(self._on_layers)
        self.grid.changed.connect(self._on_grid)
        self.stack.changed.connect(self._on_stack)
        self.region.changed.connect(self._on_region)
        self.methods.changed.connect(self._on_methods)
        self.device.changed.connect(self._on_device)
        self.ir_window.changed.connect(self._on_window)
        self.visible_window.changed.connect(self._on_window)
        self.output_box.changed.connect(self._on_output)
        self.show_box.changed.connect(self._on_show)
        self.replace_box.changed.connect(self._on_replace)
