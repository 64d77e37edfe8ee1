"""What napari gets of a radiometric JPEG, through the manifest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from npe2 import PluginManager, PluginManifest
from PIL import Image

import napari_irvisfuse
from napari_irvisfuse import FusionSession, fuse
from napari_irvisfuse._widgets.layers import TAG, add_result, guess_pair, pair_from_layers, problem_with
from napari_irvisfuse._widgets.readers import radiometric_reader
from napari_irvisfuse.images.radiometric import read_radiometric

COUNTS = (17000 + np.arange(24 * 32).reshape(24, 32)).astype(np.uint16)
PHOTO = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


@pytest.fixture
def plugin_manager():
    manager = PluginManager()
    manager.register(PluginManifest.from_file(Path(napari_irvisfuse.__path__[0]) / "napari.yaml"))
    manager.activate("napari-irvisfuse")
    return manager


def opened(manager, *paths):
    viewer = ViewerModel()
    for path in paths:
        (reader,) = manager.iter_compatible_readers([str(path)])
        read = reader.exec(kwargs={"path": [str(path)], "stack": False, "_registry": manager.commands})
        for item in read([str(path)], stack=False):
            viewer._add_layer_from_data(*item)
    return viewer


@pytest.mark.parametrize("name", ["FLIR0001.jpg", "a.JPG", "b.jpeg"])
def test_temperatures_lie_on_the_photograph(plugin_manager, write_rjpeg, tmp_path, name):
    path = write_rjpeg(tmp_path / name, COUNTS, PHOTO, overlay=(1.25, 3, -2))
    viewer = opened(plugin_manager, path)
    visible, infrared = viewer.layers
    assert [layer.name for layer in viewer.layers] == [f"{path.stem} visible", f"{path.stem} infrared"]
    assert visible.rgb
    assert infrared.data.dtype == np.float32
    assert infrared.colormap.name == "inferno"
    assert infrared.metadata["unit"] == "°C"
    thermal = read_radiometric(path)
    np.testing.assert_array_equal(infrared.data, thermal.celsius())
    np.testing.assert_array_equal(visible.data, thermal.visible)
    for point in ((0, 0), (23, 31)):
        np.testing.assert_allclose(infrared.data_to_world(point), (thermal.ir_to_visible @ [*point, 1])[:2])
    low, high = infrared.contrast_limits
    assert infrared.data.min() <= low < high <= infrared.data.max()
    assert guess_pair(viewer.layers) == (infrared, visible)


def test_what_was_opened_is_fused_where_the_camera_says_in_degrees(plugin_manager, write_rjpeg, tmp_path):
    path = write_rjpeg(tmp_path / "a.jpg", COUNTS, PHOTO, overlay=(1.25, 3, -2))
    viewer = opened(plugin_manager, path)
    infrared, visible = guess_pair(viewer.layers)
    assert problem_with(infrared, visible) is None
    pair = pair_from_layers(infrared, visible)
    thermal = read_radiometric(path)
    expected = fuse(thermal.celsius(), thermal.visible, "average", ir_to_visible=thermal.ir_to_visible)
    result = FusionSession(pair, device="cpu").fuse("average")
    np.testing.assert_array_equal(result.fused, expected.fused)
    layer, *_ = add_result(viewer, result, infrared, visible)
    window = layer.metadata[TAG]["windows"]["ir"]
    assert window["unit"] == "°C"
    assert window["high"] == pytest.approx(infrared.data.max())


def test_several_files_are_several_pairs(plugin_manager, write_rjpeg, tmp_path):
    paths = [write_rjpeg(tmp_path / name, COUNTS, PHOTO) for name in ("a.jpg", "b.jpg")]
    assert len(opened(plugin_manager, *paths).layers) == 4
    assert len(radiometric_reader([str(path) for path in paths])([str(path) for path in paths])) == 4


def test_a_constant_scene_without_photograph(plugin_manager, write_rjpeg, tmp_path):
    (infrared,) = opened(plugin_manager, write_rjpeg(tmp_path / "a.jpg", np.full((24, 32), 17000, np.uint16))).layers
    assert infrared.contrast_limits[1] > infrared.contrast_limits[0]
    np.testing.assert_array_equal(infrared.affine.affine_matrix, np.eye(3))


def test_ordinary_pictures_are_left_to_others(write_rjpeg, tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / "a.jpg")
    thermal = write_rjpeg(tmp_path / "b.jpg", COUNTS)
    assert radiometric_reader(str(tmp_path / "a.jpg")) is None
    assert radiometric_reader([str(thermal), str(tmp_path / "a.jpg")]) is None
    assert radiometric_reader(str(thermal)) is not None


def test_a_real_one(plugin_manager, data_dir):
    path = data_dir / "thermal16_flir/rjpeg/015.jpg"
    if not path.is_file():
        pytest.skip(f"there is no {path}")
    visible, infrared = opened(plugin_manager, path).layers
    assert visible.data.shape == (1536, 2048, 3)
    assert infrared.data.shape == (120, 160)
