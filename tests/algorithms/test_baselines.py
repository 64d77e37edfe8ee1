"""The two baselines: every value can be foretold."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import napari_irvisfuse as nif
from napari_irvisfuse.algorithms import get_method
from napari_irvisfuse.devices import choose
from napari_irvisfuse.errors import ParameterError
from napari_irvisfuse.runtime import Runtime

BYTES = npst.arrays(np.uint8, (16, 16))


@given(BYTES, BYTES, st.floats(0, 1))
def test_average_is_the_weighted_mean(ir, visible, share):
    result = nif.fuse(ir, visible, method="average", ir_weight=share, device="cpu", precision="float64")
    exact = share * ir.astype(float) + (1 - share) * visible
    assert np.abs(result.fused - exact).max() <= 0.5 + 1e-9
    assert not result.maps


@given(BYTES, BYTES)
def test_average_at_its_ends_is_one_of_the_images(ir, visible):
    np.testing.assert_array_equal(nif.fuse(ir, visible, method="average", ir_weight=0).fused, visible)
    np.testing.assert_array_equal(nif.fuse(ir, visible, method="average", ir_weight=1).fused, ir)


@given(BYTES, BYTES)
def test_maximum_is_the_brighter_and_says_which(ir, visible):
    result = nif.fuse(ir, visible, method="max")
    np.testing.assert_array_equal(result.fused, np.maximum(ir, visible))
    chosen = result.maps["chosen"]
    assert chosen.kind == "index"
    assert chosen.labels == ("infrared", "visible")
    np.testing.assert_array_equal(chosen.data, np.where(ir > visible, 1, 2))


@pytest.mark.parametrize("name", ["average", "max"])
def test_baselines_are_batched_and_leave_their_inputs(name):
    method = get_method(name)
    ir, visible = torch.rand(3, 1, 16, 17), torch.rand(3, 1, 16, 17)
    before = ir.clone(), visible.clone()
    runtime = Runtime(choose("cpu", "float32"))
    together = method.fuse(ir, visible, method.parameters(), runtime).fused
    for n in range(3):
        part = slice(n, n + 1)
        alone = method.fuse(ir[part], visible[part], method.parameters(), runtime).fused
        torch.testing.assert_close(together[part], alone, rtol=0, atol=0)
    torch.testing.assert_close((ir, visible), before, rtol=0, atol=0)
    assert method.receptive_field(method.parameters()) == 0


def test_their_parameters_are_checked():
    ir = np.zeros((16, 16), np.uint8)
    with pytest.raises(ParameterError, match="ir_weight takes a number from 0 to 1; got 2"):
        nif.fuse(ir, ir, method="average", ir_weight=2)
    with pytest.raises(ParameterError, match="'max' has no parameter 'ir_weight': it has none"):
        nif.fuse(ir, ir, method="max", ir_weight=0.5)
