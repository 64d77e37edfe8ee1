"""Take the pictures of the user guide: a real viewer, the sample pair, the fuse and the metrics widget.

Run it where there is a screen, or ``xvfb-run -a -s "-screen 0 1600x1000x24" python docs/make_screenshots.py FOLDER``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import napari
import numpy as np
from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtWidgets import QScrollArea, QWidget
from scipy.ndimage import affine_transform

from napari_irvisfuse._widgets.launch import FuseDemo, open_demo
from napari_irvisfuse.images.radiometric import RadiometricImage

TIMEOUT_MS = 120_000
METRICS = ("EN", "SD", "AG", "MI", "SCD", "PSNR", "SSIM", "MS_SSIM", "VIF", "Qabf", "Nabf")


def wait_until(done: Callable[[], bool]) -> None:
    """Let the viewer live until something is done."""
    loop, check, limit = QEventLoop(), QTimer(), QTimer()
    check.timeout.connect(lambda: loop.quit() if done() else None)
    limit.setSingleShot(True)
    limit.timeout.connect(loop.quit)
    check.start(20)
    limit.start(TIMEOUT_MS)
    loop.exec()
    if not done():
        raise SystemExit("The viewer did not get ready in time.")


def pause(milliseconds: int = 400) -> None:
    """Let the canvas draw."""
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


def take(viewer: napari.Viewer, path: Path) -> None:
    """Save the whole window."""
    pause()
    viewer.screenshot(str(path), canvas_only=False, flash=False)
    print(path)


def show_only(viewer: napari.Viewer, *titles: str) -> None:
    """Show the layers whose names end so, and no others."""
    for layer in viewer.layers:
        layer.visible = any(layer.name.endswith(title) or layer.name == title for title in titles)
    shown = [layer for layer in viewer.layers if layer.visible]
    viewer.layers.selection.active = shown[-1] if shown else None


def pictures(demo: FuseDemo, folder: Path, prefix: str) -> None:
    """Take the pictures of one demo: fused and detail for WLS, fused and what is inside for the others."""
    viewer = demo.viewer
    wait_until(lambda: demo.widget.ready and not demo.widget.running and len(viewer.layers) > 2)
    demo.widget.run()  # once more: the first run also warms the machine up
    wait_until(lambda: not demo.widget.running)
    viewer.reset_view()
    fused = next(layer for layer in viewer.layers if layer.name.startswith("fused"))
    show_only(viewer, fused.name)
    take(viewer, folder / f"{prefix}fused.png")

    if demo.widget.view.method.name == "wls":
        show_only(viewer, "Fused detail")
        take(viewer, folder / f"{prefix}detail.png")
        return
    show_only(viewer, "infrared", "visible", "Deep features", fused.name)
    viewer.canvas.grid.enabled = True
    viewer.canvas.grid.stride = 1
    viewer.reset_view()
    take(viewer, folder / f"{prefix}inside.png")
    viewer.canvas.grid.enabled = False


def channels_picture(folder: Path, size: tuple[int, int], prefix: str) -> None:
    """Take the picture of TransFusion's channel gates beside what else it lets one see."""
    from napari_irvisfuse._widgets.channel_plot import ChannelPlot
    from napari_irvisfuse.samples.scene import colour_pair

    demo = open_demo(*colour_pair(), "transfusion", {})
    viewer, view = demo.viewer, demo.widget.view
    viewer.window.resize(*size)
    wait_until(lambda: demo.widget.ready and not demo.widget.running and len(viewer.layers) > 2)
    show_only(viewer, "fused · TransFusion", "Fused features, level 1", "|Fused − visible|", "|Fused − IR|")
    viewer.canvas.grid.enabled = True
    viewer.canvas.grid.stride = 1
    section = view.sections["channels"]
    section.expanded = True
    plot = section.findChild(ChannelPlot)
    plot.which_box.value = 2
    plot.order_box.value = "difference"
    pause()
    scroll = next(parent for parent in parents(section) if isinstance(parent, QScrollArea))
    scroll.ensureWidgetVisible(section, 0, 0)
    viewer.reset_view()
    take(viewer, folder / f"{prefix}channels.png")
    viewer.close()


def parents(widget: QWidget) -> Iterator[QWidget]:
    """Give what a part of a window is in, from the inside out."""
    while widget := widget.parentWidget():
        yield widget


def grids_picture(folder: Path, size: tuple[int, int], prefix: str) -> None:
    """Take the picture of a pair as two cameras would give it: the infrared one smaller, turned, and seeing less."""

    from napari_irvisfuse._widgets.fuse import FuseWidget
    from napari_irvisfuse.images.grids import inverse
    from napari_irvisfuse.images.resampling import resample
    from napari_irvisfuse.samples.scene import colour_pair

    ir, visible = colour_pair()
    angle, height, width = np.radians(4), visible.shape[0] * 9 // 25, visible.shape[1] * 9 // 25
    turn = 2 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.eye(3)
    matrix[:2, :2] = turn
    matrix[:2, 2] = np.array(visible.shape[:2]) / 2 - turn @ [height / 2, width / 2]
    small, _ = resample(ir, inverse(matrix), (height, width))
    viewer = napari.Viewer(title="napari-irvisfuse")
    viewer.window.resize(*size)
    viewer.add_image(visible, name="visible", rgb=True)
    viewer.add_image(np.round(small).astype(ir.dtype), name="infrared", rgb=False, affine=matrix, colormap="inferno")
    widget = FuseWidget(viewer, remember=False)
    viewer.window.add_dock_widget(widget, name="Fuse infrared and visible", area="right")
    widget.choose("wls", show="fused")
    widget.run()
    wait_until(lambda: widget.ready and not widget.running and len(viewer.layers) > 2)
    viewer.reset_view()
    show_only(viewer, "visible", "infrared")
    viewer.layers["infrared"].opacity = 0.8
    take(viewer, folder / f"{prefix}grids-before.png")
    show_only(viewer, "fused · WLS")
    take(viewer, folder / f"{prefix}grids.png")
    viewer.close()


def metrics_picture(folder: Path, size: tuple[int, int], prefix: str) -> None:
    """Take the picture of three fusions compared, one of their quality maps shown."""
    from napari_irvisfuse import fuse
    from napari_irvisfuse._widgets.layers import add_result
    from napari_irvisfuse._widgets.metrics import MetricsWidget
    from napari_irvisfuse.samples.scene import colour_pair

    ir, visible = colour_pair()
    viewer = napari.Viewer(title="napari-irvisfuse")
    viewer.window.resize(*size)
    layers = viewer.add_image(ir, name="infrared", rgb=False), viewer.add_image(visible, name="visible", rgb=True)
    for method in ("average", "max", "wls"):
        add_result(viewer, fuse(ir, visible, method), *layers, replace=False)
    widget = MetricsWidget(viewer, remember=False)
    viewer.window.add_dock_widget(widget, name="Fusion metrics", area="right")
    widget.view.subjects.mode_box.value = "all"
    wait_until(lambda: widget.ready)
    widget.view.metrics.tick(METRICS)
    widget.run()
    wait_until(lambda: widget.measurement is not None and not widget.running)
    widget.add_quality_maps()
    wait_until(lambda: not widget.running)
    show_only(viewer, "WLS · Similar to IR (SSIM)")
    viewer.reset_view()
    take(viewer, folder / f"{prefix}metrics.png")
    viewer.close()


def thermal_camera() -> RadiometricImage:
    """Return the street as a thermal camera would write it: fewer pixels, and another view than the photograph's."""
    from napari_irvisfuse.images.thermography import Atmosphere, Conditions, Planck, counts_of
    from napari_irvisfuse.samples.scene import COUNTS_PER_KELVIN, colour_pair, radiometric_pair

    planck, air = Planck(16850.5, 1433.3, 1.0, -5151.0, 0.0116), Atmosphere(0.0066, 0.0126, -0.0023, -0.0067, 1.9)
    kelvin = radiometric_pair()[0][60:420, 80:560] / COUNTS_PER_KELVIN
    seen = kelvin.reshape(180, 2, 240, 2).mean((1, 3)) - 273.15
    counts = np.round(counts_of(seen, planck, air, Conditions())).astype(np.uint16)
    lies = np.array([[2, 0, 60.5], [0, 2, 80.5], [0, 0, 1]])
    return RadiometricImage(counts, colour_pair()[1], lies, planck, air, Conditions(), "Synthetic")


def thermal_picture(folder: Path, size: tuple[int, int], prefix: str) -> None:
    """Take the picture of a radiometric JPEG as it is opened."""
    from napari_irvisfuse._widgets.fuse import FuseWidget
    from napari_irvisfuse._widgets.readers import layers_of

    viewer = napari.Viewer(title="napari-irvisfuse")
    viewer.window.resize(*size)
    for item in layers_of(thermal_camera(), "street"):
        viewer._add_layer_from_data(*item)
    widget = FuseWidget(viewer, remember=False)
    viewer.window.add_dock_widget(widget, name="Fuse infrared and visible", area="right")
    wait_until(lambda: widget.ready and "…" not in widget.view.device.explanation)
    infrared = viewer.layers["street infrared"]
    infrared.colorbar.visible = True
    viewer.layers.selection.active = infrared
    viewer.reset_view()
    take(viewer, folder / f"{prefix}thermal.png")
    viewer.close()


def conditions_picture(folder: Path, size: tuple[int, int], prefix: str) -> None:
    """Take the picture of a radiometric JPEG under other conditions than its camera was set to."""
    from napari_irvisfuse._widgets.readers import layers_of
    from napari_irvisfuse._widgets.thermal import ThermalWidget

    viewer = napari.Viewer(title="napari-irvisfuse")
    viewer.window.resize(*size)
    for item in layers_of(thermal_camera(), "street"):
        viewer._add_layer_from_data(*item)
    viewer.layers["street infrared"].colorbar.visible = True
    widget = ThermalWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Thermal", area="right")
    widget.view.form.control("emissivity").value = 0.8
    widget.view.form.control("distance").value = 25
    wait_until(lambda: not widget.running)
    viewer.reset_view()
    take(viewer, folder / f"{prefix}conditions.png")
    viewer.close()


def colour_picture(folder: Path, size: tuple[int, int], prefix: str) -> None:
    """Take the picture of the colour rules, side by side."""
    from napari_irvisfuse import fuse
    from napari_irvisfuse.samples.scene import colour_pair

    ir, visible = colour_pair()
    viewer = napari.Viewer(title="napari-irvisfuse")
    viewer.window.resize(*size)
    images = {rule: fuse(ir, visible, "max", output=rule).fused for rule in ("luma", "natural", "visible")}
    for name, image in (*images.items(), ("(before fusing)", visible)):
        layer = viewer.add_image(image, name=name, rgb=image.ndim == 3)
        layer.name_overlay.visible = True
    viewer.canvas.grid.enabled = True
    viewer.canvas.grid.stride = 1
    viewer.reset_view()
    take(viewer, folder / f"{prefix}colour.png")
    viewer.close()


def stack_picture(folder: Path, size: tuple[int, int], prefix: str) -> None:
    """Take the picture of a film whose frames are fused when they are shown."""
    from napari_irvisfuse._widgets.fuse import FuseWidget
    from napari_irvisfuse.samples.scene import sequence

    ir, visible = sequence(frames=12)
    viewer = napari.Viewer(title="napari-irvisfuse")
    viewer.window.resize(*size)
    axes = {"scale": (0.125, 1, 1), "axis_labels": ("t", "y", "x"), "units": ("s", "pixel", "pixel")}
    viewer.add_image(ir, name="infrared", rgb=False, **axes)
    viewer.add_image(visible, name="visible", rgb=True, **axes)
    widget = FuseWidget(viewer, remember=False)
    viewer.window.add_dock_widget(widget, name="Fuse infrared and visible", area="right")
    wait_until(lambda: widget.ready)
    widget.choose("rdn", show="fused")
    widget.view.stack.frames_box.value = "shown"
    widget.run()
    wait_until(lambda: len(viewer.layers) > 2 and not widget.running)
    viewer.dims.set_current_step(0, 7)
    wait_until(lambda: viewer.layers[-1].data.fusion.kept((7,)) is not None and not widget.running)
    viewer.reset_view()
    take(viewer, folder / f"{prefix}stacks.png")
    viewer.close()


def align_picture(folder: Path, size: tuple[int, int], prefix: str) -> None:
    """Take the picture of a pair that is not aligned: by how far each part is off, and points set by hand."""
    from napari_irvisfuse._widgets.align import AlignWidget
    from napari_irvisfuse.samples.scene import colour_pair

    ir, visible = colour_pair()
    turn = np.radians(3)
    linear = 1.06 * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = linear, np.array([240, 320]) - linear @ (240, 320) + (14, -22)
    viewer = napari.Viewer(title="napari-irvisfuse")
    viewer.window.resize(*size)
    moved = affine_transform(ir.astype(float), matrix[:2, :2], matrix[:2, 2], order=1).astype(np.uint8)
    layers = viewer.add_image(visible, name="visible", rgb=True), viewer.add_image(moved, name="infrared", rgb=False)
    layers[1].colormap, layers[1].opacity = "inferno", 0.55
    widget = AlignWidget(viewer, remember=False)
    viewer.window.add_dock_widget(widget, name="Align", area="right")
    widget.view.layers.choose(layers[1], layers[0])
    widget.view.sections["points"].expanded = True
    widget.run_check()
    wait_until(lambda: widget.check is not None and not widget.running)
    widget.view.show_button.click()
    widget.points.start(layers[1], layers[0])
    of_ir, of_visible = (layer for layer in viewer.layers if layer.name.startswith("points"))
    places = np.array([[120, 150], [400, 90], [330, 300], [200, 480], [420, 560.0]])
    slips = np.array([[0.4, -0.6], [-0.5, 0.3], [0.2, 0.5], [3.8, -2.1], [-0.3, -0.2]])
    of_ir.data, of_visible.data = places, places @ linear.T + matrix[:2, 2] + slips
    widget.points.stop()
    viewer.layers.selection.active = layers[1]
    viewer.reset_view()
    take(viewer, folder / f"{prefix}align.png")


def warning_picture(folder: Path, size: tuple[int, int], prefix: str) -> None:
    """Take the picture of the fuse widget when the two layers are not aligned, before anything has been fused."""
    from napari_irvisfuse._widgets.fuse import FuseWidget
    from napari_irvisfuse.samples.scene import colour_pair

    ir, visible = colour_pair()
    viewer = napari.Viewer(title="napari-irvisfuse")
    viewer.window.resize(*size)
    viewer.add_image(visible, name="visible", rgb=True)
    moved = affine_transform(ir, np.eye(2), (-12, 20), order=0)  # the same pixels, another view
    viewer.add_image(moved, name="infrared", rgb=False, colormap="inferno", opacity=0.55)
    widget = FuseWidget(viewer, remember=False)
    viewer.window.add_dock_widget(widget, name="Fuse infrared and visible", area="right")
    wait_until(lambda: bool(widget.view.alignment.text) and "…" not in widget.view.device.explanation)
    viewer.reset_view()
    take(viewer, folder / f"{prefix}warning.png")
    viewer.close()


def regions_picture(folder: Path, size: tuple[int, int], prefix: str) -> None:
    """Take the picture of a pair that is fused inside a shape, and of what the current view gives."""

    from napari_irvisfuse._widgets.fuse import FuseWidget
    from napari_irvisfuse.samples.scene import colour_pair

    ir, visible = colour_pair()
    viewer = napari.Viewer(title="napari-irvisfuse")
    viewer.window.resize(*size)
    viewer.add_image(ir, name="infrared", rgb=False)
    viewer.add_image(visible, name="visible", rgb=True)
    height, width = visible.shape[:2]
    corners = np.array([[0.3, 0.05], [0.3, 0.6], [0.95, 0.6], [0.95, 0.05]]) * (height, width)
    shapes = viewer.add_shapes(
        corners, shape_type="ellipse", name="here", face_color="transparent", edge_color="orange", edge_width=3
    )
    widget = FuseWidget(viewer, remember=False)
    viewer.window.add_dock_widget(widget, name="Fuse infrared and visible", area="right")
    wait_until(lambda: widget.ready)
    widget.choose("rdn", show="fused")
    widget.view.region.box.value = "shape"
    widget.run()
    wait_until(lambda: len(viewer.layers) > 3 and not widget.running)
    viewer.layers.selection.active = shapes
    viewer.reset_view()
    take(viewer, folder / f"{prefix}regions.png")
    viewer.close()


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).parent / "images")
    parser.add_argument("--size", default="1400x880", help="of the window, width x height")
    parser.add_argument("--prefix", default="", help="of the file names")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)

    from napari_irvisfuse.samples.scene import colour_pair

    ir, visible = colour_pair()
    width, height = (int(part) for part in arguments.size.split("x"))
    for method in ("wls", "rdn"):
        demo = open_demo(ir, visible, method, {})
        demo.viewer.window.resize(width, height)
        pictures(demo, arguments.folder, arguments.prefix)
        demo.viewer.close()
    channels_picture(arguments.folder, (width, height), arguments.prefix)
    metrics_picture(arguments.folder, (width, height), arguments.prefix)
    align_picture(arguments.folder, (width, height), arguments.prefix)
    warning_picture(arguments.folder, (width, height), arguments.prefix)
    grids_picture(arguments.folder, (width, height), arguments.prefix)
    thermal_picture(arguments.folder, (width, height), arguments.prefix)
    conditions_picture(arguments.folder, (width, height), arguments.prefix)
    colour_picture(arguments.folder, (width, height), arguments.prefix)
    stack_picture(arguments.folder, (width, height), arguments.prefix)
    regions_picture(arguments.folder, (width, height), arguments.prefix)


if __name__ == "__main__":
    main()
