"""Dictionaries: what is shipped is there, described and sound; files of one's own are read or refused."""

from __future__ import annotations

from importlib.resources import files

import pytest
import torch
from safetensors.torch import save_file

from napari_irvisfuse.errors import WeightsError
from napari_irvisfuse.sparse.dictionaries import (
    load_dictionary,
    read_dictionary,
    shipped_dictionaries,
    write_dictionary,
)


def test_the_filters_of_convsr_are_shipped():
    assert "convsr" in shipped_dictionaries()
    filters = load_dictionary("convsr")
    assert filters.shape == (32, 8, 8)
    assert filters.dtype == torch.float32
    torch.testing.assert_close(filters.flatten(1).norm(dim=1), torch.ones(32), rtol=0, atol=1e-5)
    alike = (filters.flatten(1) @ filters.flatten(1).T - torch.eye(32)).abs()
    assert alike.max() < 0.999, "two filters are the same"


@pytest.mark.parametrize("name", shipped_dictionaries())
def test_every_dictionary_is_finite_small_and_has_a_model_card(name):
    folder = files("napari_irvisfuse.sparse") / "shipped"
    assert load_dictionary(name).isfinite().all()
    assert len((folder / f"{name}.safetensors").read_bytes()) < 200_000
    card = (folder / f"{name}.md").read_text(encoding="utf-8")
    for word in ("Data", "Seed", "Licence"):
        assert word.lower() in card.lower(), f"the model card of {name} does not say anything about {word}"


def test_an_unknown_name_is_told_what_there_is():
    with pytest.raises(WeightsError, match=r"There is no dictionary 'ksvd': choose one of .*convsr"):
        load_dictionary("ksvd")


def test_what_is_written_can_be_read(tmp_path):
    filters = torch.randn(3, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).mT
    write_dictionary(tmp_path / "own.safetensors", filters)
    read = read_dictionary(tmp_path / "own.safetensors")
    torch.testing.assert_close(read, filters.float(), rtol=0, atol=0)
    torch.save({"anything": filters}, tmp_path / "own.pt")
    torch.testing.assert_close(read_dictionary(tmp_path / "own.pt"), filters.float(), rtol=0, atol=0)


@pytest.mark.parametrize(
    "content",
    [
        {"a": torch.zeros(2, 3, 3), "b": torch.zeros(2)},
        {"a": torch.zeros(2, 3, 3, dtype=torch.int32)},
        {"a": torch.full((2, 3, 3), torch.nan)},
    ],
    ids=["two tensors", "whole numbers", "not a number"],
)
def test_anything_else_is_refused(tmp_path, content):
    save_file(content, tmp_path / "own.safetensors")
    with pytest.raises(WeightsError, match="holds no dictionary"):
        read_dictionary(tmp_path / "own.safetensors")


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(WeightsError, match="cannot be read"):
        read_dictionary(tmp_path / "none.safetensors")
