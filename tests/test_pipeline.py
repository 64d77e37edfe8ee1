"""The corridor: whatever comes in, one result goes out; live, cancellable, and with little memory."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

import napari_irvisfuse as nif
from napari_irvisfuse import pipeline
from napari_irvisfuse import session as sessions
from napari_irvisfuse.algorithms import _registry, get_method
from napari_irvisfuse.algorithms.base import Fusion, FusionMethod, Map, Parameters, option
from napari_irvisfuse.devices import Compute, choose
from napari_irvisfuse.errors import Cancelled, DeviceError, FusionError, ImageError, OutputError, ParameterError
from napari_irvisfuse.images.files import write_image
from napari_irvisfuse.runtime import Runtime
from napari_irvisfuse.weights import store

SHAPES = {"grey": (24, 31), "rgb": (24, 31, 3), "rgba": (24, 31, 4)}


def image(dtype="u1", colour: str = "grey", seed: int = 0) -> np.ndarray:
    unit = np.random.default_rng(seed).random(SHAPES[colour])
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return unit > 0.5
    return (unit * (np.iinfo(dtype).max if dtype.kind == "u" else 1)).astype(dtype)


def session(**options) -> nif.FusionSession:
    return nif.FusionSession(nif.ImagePair.from_images(image(seed=1), image()), **{"device": "cpu", **options})


@dataclass(frozen=True)
class FakeParameters(Parameters):
    seed: int = option(1, "Matters to the first step.", bounds=(0, 9))
    gain: float = option(1.0, "Matters to the second step.", bounds=(0, 2), live=True)


class Fake(FusionMethod[FakeParameters, dict]):
    """Counts its steps, and runs out of memory as often as it is told to."""

    name = "fake"
    title = "Fake"
    summary = "For the tests."
    parameters_type = FakeParameters

    def __init__(self) -> None:
        self.analysed: list[tuple[str, bool]] = []
        self.combined = 0
        self.failures = {"analyse": 0, "combine": 0}
        self.error: BaseException = torch.cuda.OutOfMemoryError("CUDA out of memory.")
        self.released = False

    def _fail(self, step: str) -> None:
        if self.failures[step] > 0:
            self.failures[step] -= 1
            raise self.error

    def analyse(self, ir, visible, parameters, runtime):
        self.analysed.append((str(runtime.compute.device), runtime.low_memory))
        runtime.notes.append("analysed")
        for step in range(5):
            runtime.step(step, 5, "Analysing")
        self._fail("analyse")
        return {"ir": ir, "visible": visible}

    def combine(self, state, parameters, runtime):
        self.combined += 1
        runtime.notes.append("combined")
        self._fail("combine")
        brighter = state["ir"] > state["visible"]
        return Fusion(
            parameters.gain * (state["ir"] + state["visible"]) / 2,
            {
                "ir": Map(state["ir"], "intensity", "IR", "base"),
                "brighter": Map(brighter.to(torch.uint8), "index", "Brighter", "weight", labels=("ir",)),
            },
        )

    def release(self):
        self.released = True


@pytest.fixture
def fake(monkeypatch) -> Fake:
    method = Fake()
    monkeypatch.setitem(_registry(), "fake", method)
    return method


# -- whatever comes in ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["wls", "average", "max"])
@pytest.mark.parametrize("colour", SHAPES)
@pytest.mark.parametrize("dtype", ["bool", "u1", "u2", "f4", "f8"])
def test_the_result_is_of_the_visible_images_kind(dtype, colour, method):
    ir, visible = image("u2", seed=1), image(dtype, colour)
    before = ir.copy(), visible.copy()
    result = nif.fuse(ir, visible, method=method, device="cpu")
    assert result.fused.shape == visible.shape
    assert result.fused.dtype == visible.dtype
    assert dtype == "bool" or (result.fused != visible).any()
    if colour == "rgba":
        np.testing.assert_array_equal(result.fused[..., 3], visible[..., 3])
    luma = nif.fuse(ir, visible, method=method, device="cpu", output="luma")
    assert luma.fused.shape == visible.shape[:2]
    assert luma.fused.dtype == visible.dtype
    assert luma.recipe.output == "luma"
    np.testing.assert_array_equal(ir, before[0])
    np.testing.assert_array_equal(visible, before[1])


def test_arrays_tensors_and_files_give_the_same(tmp_path):
    ir, visible = image(seed=1), image("u1", "rgb")
    expected = nif.fuse(ir, visible, device="cpu").fused
    tensors = torch.from_numpy(ir)[None], torch.from_numpy(visible).permute(2, 0, 1)
    np.testing.assert_array_equal(nif.fuse(*tensors, device="cpu").fused, expected)
    paths = write_image(tmp_path / "ir.png", ir), write_image(tmp_path / "visible.tif", visible)
    np.testing.assert_array_equal(nif.fuse(*paths, device="cpu").fused, expected)
    np.testing.assert_array_equal(nif.fuse(*map(str, paths), device="cpu").fused, expected)


def test_the_residual_dense_network_is_what_one_gets():
    result = nif.fuse(image(), image(seed=1))
    assert result.recipe.method == sessions.DEFAULT_METHOD == "rdn"
    np.testing.assert_array_equal(result.fused, nif.fuse(image(), image(seed=1), "rdn").fused)


@pytest.mark.parametrize("name", sorted({*nif.methods()} - {"resnet152", "transfusion"}))
def test_without_maps_the_image_is_the_same_and_no_method_makes_any(name):
    """The two with weights of other people: in their own tests."""
    quick = {"convsr": {"iterations": 2}, "jsr": {"sparsity": 2}, "jsrsd": {"sparsity": 2}}.get(name, {})
    method = get_method(name)
    parameters = method.parameters(**quick)
    weights = store.find("rdn") if name == "rdn" else None
    pair = [torch.rand(1, 1, 40, 36, generator=torch.Generator().manual_seed(seed)) for seed in range(2)]
    whole, bare = (
        method.fuse(*pair, parameters, Runtime(choose("cpu"), weights=weights, maps=maps)) for maps in (True, False)
    )
    assert bool(whole.maps) == (name != "average")
    assert bare.maps == {}
    assert torch.equal(bare.fused, whole.fused)


def test_what_was_kept_without_maps_is_not_taken_for_more():
    one = session()
    assert not one.fuse("rdn", maps=False).maps
    assert one.fuse("rdn").maps


def test_windows_are_used_and_remembered():
    ir = image("f4") * 50 + 270
    result = nif.fuse(ir, image(), method="average", ir_weight=1, ir_window="280,300", output="luma")
    assert result.recipe.ir_window == (280.0, 300.0)
    assert result.recipe.visible_window == "auto"
    expected = np.floor(np.clip((ir.astype(float) - 280) / 20, 0, 1) * 255 + 0.5)
    assert np.abs(result.fused - expected).max() <= 1


def test_holes_are_where_they_were():
    ir, visible = image("f4", seed=1), image("f4", "rgb")
    ir[3:5, 3:5], visible[10, 10] = np.nan, np.inf
    for method in ("wls", "average", "max"):
        fused = nif.fuse(ir, visible, method=method).fused
        np.testing.assert_array_equal(fused[3:5, 3:5], visible[3:5, 3:5])
        np.testing.assert_array_equal(fused[10, 10], visible[10, 10])
        assert np.isfinite(np.delete(fused.reshape(-1, 3), 10 * 31 + 10, axis=0)).all()


@pytest.mark.parametrize("method", ["wls", "average", "max"])
def test_equal_constant_images_come_back(method):
    for constant in (np.full((16, 16), 37, np.uint8), np.full((16, 16), 0.3), np.zeros((16, 16, 3), np.uint16)):
        np.testing.assert_allclose(nif.fuse(constant, constant, method=method).fused, constant, atol=1e-6)


def test_float64_is_for_everything():
    result = nif.fuse(image("f8"), image("f8", seed=1), method="average", ir_weight=0.3, precision="float64")
    np.testing.assert_allclose(result.fused, 0.3 * image("f8") + 0.7 * image("f8", seed=1), rtol=0, atol=1e-15)
    assert result.recipe.precision == "float64"


# -- what is refused, in the order of what it costs -------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "word"),
    [
        ({"output": "colour"}, ParameterError, "output is one of visible, natural, luma; got 'colour'"),
        ({"method": "vls"}, ParameterError, "no method 'vls'"),
        ({"gamma": 2}, ParameterError, "no parameter 'gamma'"),
        ({"method": "wls", "iterations": 0}, ParameterError, "iterations takes a whole number from 1 to 10; got 0"),
        ({"ir_window": "dim"}, ParameterError, "intensity window"),
        ({}, ImageError, "no image file"),
    ],
)
def test_mistakes_are_told_before_the_images_are_read(options, error, word):
    with pytest.raises(error, match=word) as caught:
        nif.fuse("missing.png", "missing.png", **options)
    assert isinstance(caught.value, FusionError)
    assert "\n" not in str(caught.value)


def test_devices_and_weights_that_are_not_there_are_refused():
    with pytest.raises(DeviceError, match="no device 'abacus'"):
        nif.fuse(image(), image(), device="abacus")
    with pytest.raises(DeviceError, match="no precision 'float8'"):
        nif.fuse(image(), image(), precision="float8")
    with pytest.raises(ParameterError, match="'wls' uses no weights"):
        nif.fuse(image(), image(), "wls", weights="weights.pth")


def test_a_session_checks_as_fuse_does():
    with pytest.raises(ParameterError, match="output is"):
        session().fuse(output="colour")
    with pytest.raises(ParameterError, match="no parameter"):
        session().fuse(gamma=2)


# -- live -------------------------------------------------------------------------------------------------------


def test_live_parameters_take_the_second_step_only(fake):
    live = session()
    assert not live.is_live("fake", {})
    first = live.fuse("fake")
    assert live.is_live("fake", {"gain": 0.5})
    assert not live.is_live("fake", {"seed": 2})
    assert not live.is_live("fake", {}, weights="other.pth")
    second = live.fuse("fake", gain=0.5)
    assert len(fake.analysed) == 1
    assert fake.combined == 2
    assert (second.fused < first.fused).any()
    assert second.recipe.parameters["gain"] == 0.5
    assert first.notes == second.notes == ("analysed", "combined")
    live.fuse("fake", seed=2)
    assert len(fake.analysed) == 2
    live.fuse("average")
    live.fuse("fake", seed=2)
    assert len(fake.analysed) == 3  # only the last one is kept


def test_numbers_that_belong_to_no_place(fake, tmp_path):
    """One per channel, say: an array, and a column of text on disk."""
    gates = torch.tensor([[0.25, 0.5, 1 / 3]])
    combine = fake.combine

    def with_gates(state, parameters, runtime):
        fusion = combine(state, parameters, runtime)
        return Fusion(fusion.fused, {**fusion.maps, "gates": Map(gates, "weight", "Gates", "feature")})

    fake.combine = with_gates
    result = session().fuse("fake")
    np.testing.assert_array_equal(result.maps["gates"].data, gates[0].numpy())
    folder = result.save_maps(tmp_path)
    np.testing.assert_allclose(np.loadtxt(folder / "gates.csv"), gates[0].numpy(), rtol=1e-8)
    listing = json.loads((folder / "maps.json").read_text(encoding="utf-8"))["maps"]
    assert listing["gates"]["file"] == result.map_files()["gates"] == "gates.csv"


def test_forgetting_gives_everything_back(fake):
    live = session()
    live.forget()
    live.fuse("fake")
    live.forget()
    assert fake.released
    assert not live.is_live("fake", {})
    live.fuse("fake")
    assert len(fake.analysed) == 2


def test_what_the_user_does_to_a_result_does_not_reach_the_session(fake):
    live = session()
    first = live.fuse("fake")
    kept = first.fused.copy()
    first.fused[:] = 0
    first.maps["brighter"].data[:] = 1  # labels may be painted
    with pytest.raises(ValueError, match="read-only"):
        first.maps["ir"].data[:] = 0
    with pytest.raises(TypeError):
        first.maps["ir"] = None
    np.testing.assert_array_equal(live.fuse("fake").fused, kept)


# -- progress and cancelling ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["wls", "average", "max", "fake"])
def test_progress_goes_forward_to_the_end(fake, method):
    seen = []
    session().fuse(method, progress=lambda *step: seen.append(step))
    assert all(0 <= done <= total and message for done, total, message in seen)
    share = [done / total for done, total, _ in seen if total]
    assert share == sorted(share)
    assert share[-1] == 1


@pytest.mark.parametrize("method", ["wls", "average", "max", "fake"])
def test_cancelling_at_any_step_leaves_the_session_usable(fake, method):
    expected = session().fuse(method).fused
    asked = []
    session().fuse(method, cancelled=lambda: asked.append(1) and False)
    for step in range(len(asked)):
        live = session()
        countdown = iter([False] * step)
        with pytest.raises(Cancelled):
            live.fuse(method, cancelled=lambda left=countdown: next(left, True))
        np.testing.assert_array_equal(live.fuse(method).fused, expected)
    countdown = iter([False] * len(asked))
    np.testing.assert_array_equal(session().fuse(method, cancelled=lambda: next(countdown, True)).fused, expected)


def test_cancelling_is_no_error():
    assert not issubclass(Cancelled, FusionError)
    with pytest.raises(Cancelled):
        nif.fuse(image(), image(), cancelled=lambda: True)


def test_a_progress_that_fails_is_not_swallowed():
    def fail(*_):
        raise RuntimeError("the caller's own")

    with pytest.raises(RuntimeError, match="the caller's own"):
        nif.fuse(image(), image(), progress=fail)


# -- little memory ----------------------------------------------------------------------------------------------

OUT_OF_MEMORY = [
    torch.cuda.OutOfMemoryError("no details"),
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("MPS backend out of memory (MPS allocated: 5 GB)"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: f"{type(error).__name__} {error}"[:40])
@pytest.mark.parametrize("step", ["analyse", "combine"])
def test_when_memory_runs_out_it_goes_on_with_less_and_says_so(fake, step, error):
    expected = session().fuse("fake").fused
    fake.analysed.clear()
    fake.error, fake.failures[step] = error, 1
    live = session()
    result = live.fuse("fake")
    np.testing.assert_array_equal(result.fused, expected)
    assert result.notes == ("analysed", "Memory was short: computed in smaller pieces.", "combined")
    assert fake.analysed == [("cpu", False), ("cpu", True)]
    again = live.fuse("fake", gain=0.5)
    assert again.notes == result.notes
    assert len(fake.analysed) == 2
    live.fuse("fake", seed=3)
    assert fake.analysed[2:] == [("cpu", False)]  # another time there may be more


@pytest.mark.parametrize("step", ["analyse", "combine"])
def test_when_memory_is_never_enough_it_is_one_sentence(fake, step):
    fake.failures[step] = 100
    live = session()
    with pytest.raises(DeviceError, match=r"not enough memory to fuse 31×24 pixels") as caught:
        live.fuse("fake")
    assert "\n" not in str(caught.value)
    assert not live.is_live("fake", {})
    fake.failures[step] = 0
    assert live.fuse("fake").notes == ("analysed", "combined")


def test_memory_that_runs_out_on_a_live_change_costs_another_analysis(fake):
    live = session()
    live.fuse("fake")
    fake.failures["combine"] = 1
    assert "Memory was short: computed in smaller pieces." in live.fuse("fake", gain=0.5).notes
    assert fake.analysed == [("cpu", False), ("cpu", True)]


def test_other_errors_are_not_taken_for_lack_of_memory(fake):
    fake.error, fake.failures["analyse"] = RuntimeError("shapes differ"), 1
    with pytest.raises(RuntimeError, match="shapes differ"):
        session().fuse("fake")
    assert len(fake.analysed) == 1


def test_a_gpu_with_too_little_memory_hands_over_to_the_cpu(fake, monkeypatch):
    """The meta device stands in for a GPU: it has tensors without memory."""
    gpu = Compute(torch.device("meta"), torch.float16, torch.float32, "a small GPU")
    monkeypatch.setattr(sessions, "choose", lambda device, precision: gpu)
    live = session()
    fake.failures["analyse"] = 2
    result = live.fuse("fake")
    assert fake.analysed == [("meta", False), ("meta", True), ("cpu", True)]
    assert result.notes == ("analysed", "meta had too little memory: computed on the CPU.", "combined")
    assert result.recipe.device == "cpu"
    assert live.fuse("fake", gain=0.5).recipe.device == "cpu"
    assert len(fake.analysed) == 3


# -- the result -------------------------------------------------------------------------------------------------


def test_maps_are_arrays_at_their_own_size(fake):
    maps = session().fuse("fake").maps
    assert maps["ir"].data.shape == (24, 31)
    assert maps["ir"].data.dtype == np.float32
    assert maps["brighter"].data.dtype == np.uint8
    assert maps["brighter"].labels == ("ir",)


def test_maps_are_saved_with_what_they_mean(fake, tmp_path):
    result = session().fuse("fake")
    folder = result.save_maps(str(tmp_path / "new" / "maps"))
    listing = json.loads((folder / "maps.json").read_text(encoding="utf-8"))
    assert nif.Recipe.from_dict(listing["recipe"]).to_dict() == result.recipe.to_dict()
    assert sorted(path.name for path in folder.iterdir()) == ["brighter.tif", "ir.tif", "maps.json"]
    for name, item in result.maps.items():
        said = listing["maps"][name]
        np.testing.assert_array_equal(tifffile.imread(folder / said["file"]), item.data)
        assert said["kind"] == item.kind
        assert (said["title"], said["group"], said["stride"]) == (item.title, item.group, item.stride)
        assert tuple(said["labels"]) == item.labels
    assert result.save_maps(folder) == folder  # again


def test_maps_that_cannot_be_saved_are_one_sentence(fake, tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with pytest.raises(OutputError, match="cannot be made") as caught:
            session().fuse("fake").save_maps(folder)
        assert "\n" not in str(caught.value)


def test_the_recipe_says_how_it_was_made():
    recipe = session().fuse("wls", iterations=2, output="luma").recipe
    assert (recipe.method, recipe.device, recipe.precision, recipe.output) == ("wls", "cpu", "float32", "luma")
    assert recipe.parameters["iterations"] == 2
    assert recipe.parameters["detail_gain"] == 1.0
    assert recipe.weights is recipe.weights_sha256 is None
    assert set(recipe.versions) == {"napari-irvisfuse", "torch", "numpy"}
    assert recipe.versions["napari-irvisfuse"] == nif.__version__
    assert recipe.versions["numpy"] == np.__version__
    # the installed package may leave out the +cu130 that torch itself adds
    assert torch.__version__.startswith(recipe.versions["torch"])


def test_the_docstrings_example_holds():
    import doctest

    finder = doctest.DocTestFinder(recurse=False)
    (test,) = finder.find(pipeline.fuse, "fuse", module=sys.modules["napari_irvisfuse.pipeline"])
    assert doctest.DocTestRunner(verbose=False).run(test).failed == 0


def test_nothing_is_written_unless_asked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    nif.fuse(image(), image(seed=1))
    assert list(Path().iterdir()) == []
