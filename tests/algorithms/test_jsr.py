"""JSR: against a naive NumPy version written from its description, and against the published images."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import napari_irvisfuse as nif
from napari_irvisfuse.algorithms import _joint_sparse as module
from napari_irvisfuse.algorithms.jsr import JSR
from napari_irvisfuse.devices import choose
from napari_irvisfuse.errors import Cancelled, ParameterError, WeightsError
from napari_irvisfuse.images.files import read_image
from napari_irvisfuse.runtime import Runtime
from napari_irvisfuse.sparse.dictionaries import write_dictionary

METHOD = JSR()
MARGIN = 8  # from the border of a crop, which the whole image does not have there


def runtime(precision: str = "float64", **kwargs) -> Runtime:
    return Runtime(choose("cpu", precision), **kwargs)


def random_pair(n: int = 1, height: int = 19, width: int = 23) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    ir, visible = (torch.rand(n, 1, height, width, dtype=torch.float64, generator=generator) for _ in range(2))
    return (0.5 * ir + 0.5 * visible.roll(1, -1)).clamp(0, 1), visible


def scene(height: int = 30, width: int = 34) -> tuple[torch.Tensor, torch.Tensor]:
    """Make a pair as smooth as photographs are."""
    y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in (height, width)), indexing="ij")
    visible = 0.5 + 0.3 * torch.sin(x / 3) * torch.cos(y / 4) + 0.05 * random_pair(1, height, width)[1][0, 0]
    ir = 0.2 + 0.6 * ((y - 14) ** 2 + (x - 12) ** 2 < 60) + 0.1 * torch.sin(x / 5)
    return ir[None, None], visible[None, None].clamp(0, 1)


def random_atoms(count: int = 60, size: int = 3) -> torch.Tensor:
    values = torch.rand(count, size, size, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    return values / values.flatten(1).norm(dim=1)[:, None, None]


@pytest.fixture
def own_atoms(monkeypatch):
    """Use few small atoms in place of the shipped ones."""
    atoms = random_atoms()
    monkeypatch.setattr(module, "load_dictionary", lambda name: atoms)
    return atoms


# -- the naive version: one patch after the other ---------------------------------------------------------------


def naive_code(signal: np.ndarray, joint: np.ndarray, sparsity: int) -> np.ndarray:
    count, root = len(joint) // 3, math.sqrt(2)
    chosen: list[int] = []
    residual = signal
    for _ in range(sparsity):
        chosen.append(int(np.argmax(np.abs(joint @ residual))))
        values = np.linalg.lstsq(joint[chosen].T, signal, rcond=None)[0]
        residual = signal - values @ joint[chosen]
    code = np.zeros(3 * count)
    code[chosen] = values
    for place, atom in enumerate(chosen):  # of two equal codes the one with the smaller norm
        base = atom % count
        if atom >= count and base in chosen[:place] and abs(code[base] + root * code[atom]) < abs(code[base]):
            code[base] += root * code[atom]
            code[atom + count if atom < 2 * count else atom - count] = -code[atom]
            code[atom] = 0
    return code


def naive_jsr(ir: np.ndarray, visible: np.ndarray, atoms: np.ndarray, sparsity: int) -> np.ndarray:
    count, size, _ = atoms.shape
    flat, nothing = atoms.reshape(count, -1), np.zeros((count, size * size))
    half = flat / math.sqrt(2)
    joint = np.block([[half, half], [flat, nothing], [nothing, flat]])
    total, covered = np.zeros(ir.shape), np.zeros(ir.shape)
    for top in range(ir.shape[0] - size + 1):
        for left in range(ir.shape[1] - size + 1):
            here = np.s_[top : top + size, left : left + size]
            code = naive_code(np.concatenate([ir[here].ravel(), visible[here].ravel()]), joint, sparsity)
            shared, first, second = code.reshape(3, count)
            n1, n2 = abs(first).sum(), abs(second).sum()
            largest = max(n1, n2) or 1.0
            mixed = shared + n1 / largest * first + n2 / largest * second
            total[here] += (mixed @ flat).reshape(size, size)
            covered[here] += 1
    return total / covered


def test_is_the_naive_version(own_atoms):
    ir, visible = random_pair()
    result = METHOD.fuse(ir, visible, METHOD.parameters(sparsity=5), runtime())
    naive = naive_jsr(ir[0, 0].numpy(), visible[0, 0].numpy(), own_atoms.numpy(), 5)
    np.testing.assert_allclose(result.fused[0, 0].numpy(), naive, rtol=0, atol=1e-8)


# -- the published images ---------------------------------------------------------------------------------------


@pytest.fixture(params=[1, 2, 3], ids=lambda number: f"pair {number}")
def published(request, data_dir, monkeypatch):
    """Return a crop of a pair and of its result; the dictionary that it was made with is in place."""
    from scipy.io import loadmat

    name = f"{request.param:03d}"
    paths = [data_dir / part / f"{name}.png" for part in ("tno/ir", "tno/vi", "tno_reference/jsr")]
    stored = data_dir / "dictionaries" / f"jsr_tno_{name}.mat"
    for path in (*paths, stored):
        if not path.is_file():
            pytest.skip(f"there is no {path}")
    # MATLAB's patches are stored column by column
    atoms = torch.from_numpy(loadmat(stored)["D"].T.copy()).view(-1, 7, 7).transpose(1, 2)
    monkeypatch.setattr(module, "load_dictionary", lambda asked: atoms)
    crop = np.s_[100:170, 150:230]
    ir, visible, reference = (np.ascontiguousarray(read_image(path)[crop]) for path in paths)
    return ir, visible, reference[MARGIN:-MARGIN, MARGIN:-MARGIN].astype(int)


def _inside(ir: np.ndarray, visible: np.ndarray, precision: str) -> np.ndarray:
    fused = nif.fuse(ir, visible, method="jsr", device="cpu", precision=precision, overlap="published").fused
    return fused[MARGIN:-MARGIN, MARGIN:-MARGIN].astype(int)


def test_equals_the_published_images_in_float64(published):
    ir, visible, reference = published
    assert np.array_equal(_inside(ir, visible, "float64"), reference)


def test_is_near_the_published_images_in_float32(published):
    ir, visible, reference = published
    difference = _inside(ir, visible, "float32") - reference
    assert (difference != 0).mean() < 0.01
    assert 10 * np.log10(255**2 / max(np.square(difference).mean(), 1e-9)) > 50


# -- what must hold for every image -----------------------------------------------------------------------------


def test_the_maps_are_the_steps(own_atoms):
    ir, visible = random_pair()
    parameters = METHOD.parameters(sparsity=18, common_gain=1.2, detail_gain=0.7)
    fusion = METHOD.fuse(ir, visible, parameters, runtime())
    maps = {name: item.data for name, item in fusion.maps.items()}
    # with as many atoms as two patches have pixels nothing is left
    for name, image in (("ir", ir), ("visible", visible)):
        torch.testing.assert_close(maps["common"] + maps[f"{name}_innovation"], image, rtol=0, atol=1e-7)
    torch.testing.assert_close(1.2 * maps["common"] + maps["fused_detail"], fusion.fused, rtol=0, atol=1e-12)
    atoms = sum(maps[f"{part}_atoms"] for part in ("common", "ir", "visible"))
    assert atoms.max() <= 18
    assert atoms.min() >= 1
    largest = torch.maximum(maps["ir_activity"], maps["visible_activity"])
    for name in ("ir", "visible"):
        torch.testing.assert_close(maps[f"{name}_weight"] * largest, maps[f"{name}_activity"], rtol=0, atol=1e-12)
    for name, item in fusion.maps.items():
        assert item.data.shape == ir.shape, name
        assert item.stride == 1, name
        if item.kind == "weight":
            assert item.data.min() >= 0, name
            assert item.data.max() <= 1, name


def test_more_atoms_explain_more():
    ir, visible = scene()
    left = []
    for sparsity in (2, 8, 32):
        maps = METHOD.fuse(ir, visible, METHOD.parameters(sparsity=sparsity), runtime()).maps
        left.append(float((maps["common"].data + maps["ir_innovation"].data - ir).square().mean()))
    assert left[0] > 2 * left[1] > 4 * left[2]


def test_it_does_not_matter_which_image_comes_first(own_atoms):
    ir, visible = random_pair()
    parameters = METHOD.parameters(sparsity=5)
    one, other = METHOD.fuse(ir, visible, parameters, runtime()), METHOD.fuse(visible, ir, parameters, runtime())
    torch.testing.assert_close(one.fused, other.fused, rtol=0, atol=1e-9)
    torch.testing.assert_close(one.maps["ir_weight"].data, other.maps["visible_weight"].data, rtol=0, atol=1e-9)


def test_equal_images_have_nothing_alone():
    _, visible = scene()
    fusion = METHOD.fuse(visible, visible, METHOD.parameters(common_gain=1), runtime())
    assert fusion.maps["ir_innovation"].data.abs().max() < 1e-9
    assert fusion.maps["visible_atoms"].data.max() == 0
    torch.testing.assert_close(fusion.fused, fusion.maps["common"].data)
    assert (fusion.fused - visible).square().mean() < 1e-4


@pytest.mark.parametrize("overlap", ["average", "published"])
@pytest.mark.parametrize(("first", "second"), [(0.0, 0.0), (1.0, 1.0), (1.0, 0.0)])
def test_constant_images_work(first, second, overlap):
    ir, visible = (torch.full((1, 1, 16, 17), value) for value in (first, second))
    parameters = METHOD.parameters(overlap=overlap, common_gain=1)
    fused = METHOD.fuse(ir, visible, parameters, runtime("float32")).fused
    assert fused.isfinite().all()
    if overlap == "average" and first == second:
        torch.testing.assert_close(fused, ir, rtol=0, atol=0.01)


def test_a_batch_is_its_pairs_one_by_one(own_atoms):
    ir, visible = random_pair(3)
    parameters = METHOD.parameters(sparsity=4, overlap="published")
    together = METHOD.fuse(ir, visible, parameters, runtime())
    for n in range(3):
        alone = METHOD.fuse(ir[n : n + 1], visible[n : n + 1], parameters, runtime())
        torch.testing.assert_close(together.fused[n : n + 1], alone.fused, rtol=0, atol=1e-10)
        assert together.maps.keys() == alone.maps.keys()
        for name, item in alone.maps.items():
            torch.testing.assert_close(together.maps[name].data[n : n + 1], item.data, rtol=0, atol=1e-10)


def test_inputs_and_what_is_kept_stay_as_they_are(own_atoms):
    ir, visible = random_pair()
    before = ir.clone(), visible.clone()
    parameters = METHOD.parameters(sparsity=4, overlap="published")
    state = METHOD.analyse(ir, visible, parameters, runtime())
    first = METHOD.combine(state, parameters, runtime()).fused
    METHOD.combine(
        state, METHOD.parameters(sparsity=4, overlap="published", common_gain=0.5, detail_gain=3.0), runtime()
    )
    torch.testing.assert_close(METHOD.combine(state, parameters, runtime()).fused, first, rtol=0, atol=0)
    torch.testing.assert_close((ir, visible), before, rtol=0, atol=0)


def test_live_parameters_do_not_code_again(own_atoms):
    images = [np.random.default_rng(seed).integers(0, 256, (20, 24), dtype=np.uint8) for seed in (0, 1)]
    session = nif.FusionSession(nif.ImagePair.from_images(*images), device="cpu")
    session.fuse("jsr")
    for live in ({"common_gain": 1.0}, {"detail_gain": 0.3}):
        assert session.is_live("jsr", live)
        fresh = nif.fuse(*images, method="jsr", device="cpu", **live)
        np.testing.assert_array_equal(session.fuse("jsr", **live).fused, fresh.fused)
    assert not session.is_live("jsr", {"sparsity": 3})
    assert not session.is_live("jsr", {"overlap": "published"})


@pytest.mark.parametrize("overlap", ["average", "published"])
def test_without_maps_the_image_is_the_same(own_atoms, overlap):
    ir, visible = random_pair(2)
    parameters = METHOD.parameters(sparsity=4, overlap=overlap)
    bare = METHOD.fuse(ir, visible, parameters, runtime(maps=False))
    assert bare.maps == {}
    torch.testing.assert_close(bare.fused, METHOD.fuse(ir, visible, parameters, runtime()).fused, rtol=0, atol=1e-12)


# -- dictionaries -----------------------------------------------------------------------------------------------


def test_a_dictionary_of_ones_own(tmp_path, own_atoms):
    ir, visible = random_pair()
    own = random_atoms(30, 5) * 3  # brought to norm 1
    write_dictionary(tmp_path / "own.safetensors", own)
    parameters = METHOD.parameters(sparsity=4)
    mine = METHOD.fuse(ir, visible, parameters, runtime(weights=tmp_path / "own.safetensors"))
    naive = naive_jsr(ir[0, 0].numpy(), visible[0, 0].numpy(), random_atoms(30, 5).float().double().numpy(), 4)
    np.testing.assert_allclose(mine.fused[0, 0].numpy(), naive, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [torch.rand(32, 49), torch.rand(32, 5, 7), torch.rand(8, 17, 17), torch.zeros(8, 7, 7), torch.rand(8, 1, 1)],
    ids=["flat", "oblong", "large", "black", "pixel"],
)
def test_what_is_no_dictionary_of_patches_is_refused(tmp_path, wrong):
    write_dictionary(tmp_path / "wrong.safetensors", wrong)
    with pytest.raises(WeightsError, match=r"\(atoms, side, side\)"):
        METHOD.fuse(*random_pair(), METHOD.parameters(), runtime(weights=tmp_path / "wrong.safetensors"))


def test_a_dictionary_learnt_from_the_pair():
    ir, visible = random_pair(height=40, width=44)
    learnt = METHOD.parameters(dictionary="pair", learning_steps=4, sparsity=6)
    one, again = (METHOD.fuse(ir, visible, learnt, runtime()) for _ in range(2))
    assert torch.equal(one.fused, again.fused)
    shipped = METHOD.fuse(ir, visible, METHOD.parameters(sparsity=6), runtime())

    def left(maps) -> float:
        return float((maps["common"].data + maps["visible_innovation"].data - visible).square().mean())

    assert left(one.maps) < 0.9 * left(shipped.maps)


def test_a_dictionary_is_either_given_or_learnt(tmp_path):
    write_dictionary(tmp_path / "own.safetensors", random_atoms())
    with pytest.raises(ParameterError, match="either given or learnt"):
        METHOD.fuse(*random_pair(), METHOD.parameters(dictionary="pair"), runtime(weights=tmp_path / "own.safetensors"))


# -- progress ---------------------------------------------------------------------------------------------------


def test_progress_goes_forward_and_it_can_be_cancelled(own_atoms, monkeypatch):
    monkeypatch.setattr("napari_irvisfuse.sparse.patches._CPU_BAND", 50)
    seen = []
    METHOD.fuse(*random_pair(2), METHOD.parameters(sparsity=3), runtime(progress=lambda *args: seen.append(args)))
    done = [item[0] for item in seen]
    assert done == sorted(done)
    assert len(done) > 10
    assert {item[1] for item in seen} == {2 * 17 * 21}
    asked = []
    with pytest.raises(Cancelled):
        METHOD.fuse(
            *random_pair(), METHOD.parameters(sparsity=3), runtime(cancelled=lambda: asked.append(1) or len(asked) > 3)
        )
    assert len(asked) == 4
