"""Learning filters: what made an image is found again, the same way every time."""

from __future__ import annotations

import pytest
import torch

from napari_irvisfuse.errors import Cancelled, ImageError
from napari_irvisfuse.sparse import convolutional_learning as module
from napari_irvisfuse.sparse.convolutional import CodingOptions, FilterBank, sparse_code
from napari_irvisfuse.sparse.convolutional_learning import highpass, learn_convolutional

SIZE = 5
TRUE = 4


def true_filters() -> torch.Tensor:
    filters = torch.randn(TRUE, SIZE, SIZE, generator=torch.Generator().manual_seed(4))
    filters -= filters.mean((-2, -1), keepdim=True)
    return filters / filters.flatten(1).norm(dim=1)[:, None, None]


def made_images(count: int = 4, side: int = 112) -> list[torch.Tensor]:
    """Images made of few copies of the filters."""
    generator = torch.Generator().manual_seed(5)
    images = []
    for _ in range(count):
        where = torch.rand(TRUE, side, side, generator=generator) < 0.004
        maps = where * torch.randn(TRUE, side, side, generator=generator)
        images.append(FilterBank(true_filters(), (side, side)).synthesise(lambda rows, m=maps: m[:, rows]) * 0.3 + 0.5)
    return images


def objective(filters: torch.Tensor, image: torch.Tensor, sparsity: float) -> float:
    options = CodingOptions(sparsity, 100 * sparsity + 0.5, iterations=2000, tolerance=1e-5)
    (found,) = sparse_code(image[None, None], filters, options)
    maps = found.dense()
    left = image - FilterBank(filters, tuple(image.shape)).synthesise(lambda rows: maps[:, rows])
    return float(left.square().sum() / 2 + sparsity * maps.abs().sum())


@pytest.fixture(scope="module")
def learnt() -> torch.Tensor:
    return learn_convolutional(made_images(), filters=8, size=7, sparsity=0.02, steps=8, seed=0)


def test_filters_have_norm_one(learnt):
    assert learnt.shape == (8, 7, 7)
    assert learnt.dtype == torch.float32
    torch.testing.assert_close(learnt.flatten(1).norm(dim=1), torch.ones(8), rtol=0, atol=1e-5)


def test_the_filters_that_made_the_images_are_found(learnt):
    """Up to their sign, their place in the window and the low frequencies that are taken away before."""
    true = highpass(torch.nn.functional.pad(true_filters(), (16, 16, 16, 16)))[..., 8:-8, 8:-8]
    for filter_ in true:
        places = filter_.unfold(0, 7, 1).unfold(1, 7, 1).flatten(0, 1).flatten(1)
        likeness = (places @ learnt.flatten(1).T).abs().max() / filter_.norm()
        assert likeness > 0.9, "one is missing"


def test_learning_makes_pictures_cheaper_than_where_it_began(learnt):
    first = learn_convolutional(made_images(), filters=8, size=7, sparsity=0.02, steps=0, seed=0)
    unseen = highpass(made_images(5)[-1])
    assert objective(learnt, unseen, 0.02) < 0.9 * objective(first, unseen, 0.02)


def test_the_same_seed_gives_the_same_filters_and_another_gives_others():
    def learn(seed: int) -> torch.Tensor:
        return learn_convolutional(made_images(2), filters=3, size=4, sparsity=0.05, steps=2, seed=seed)

    torch.testing.assert_close(learn(1), learn(1), rtol=0, atol=0)
    assert not torch.equal(learn(1), learn(2))


def test_the_statistics_are_the_squared_error():
    """½dᵀGd − cᵀd + ½‖s‖² is ½‖Σ dₘ∗xₘ − s‖², for any filters and not only for those that coded."""
    generator = torch.Generator().manual_seed(0)
    filters, others = (torch.randn(3, 4, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    batch = torch.randn(2, 96, 96, generator=generator, dtype=torch.float64)
    coded = sparse_code(batch[:, None], filters / 4, CodingOptions(0.5, 50.0, 10))
    statistics = module._Statistics(filters)
    statistics.add(batch, coded, 0.0)
    taps = others.flatten()
    value = taps @ statistics._gram() @ taps / 2 - statistics._target.flatten() @ taps + batch.square().sum() / 2
    bank = FilterBank(others, (96, 96))
    maps = [item.dense() for item in coded]
    made = torch.stack([bank.synthesise(lambda rows, m=item: m[:, rows]) for item in maps])
    error = (made - batch).square().sum() / 2
    torch.testing.assert_close(value, error, rtol=1e-9, atol=0)


def test_small_images_will_do_and_stay_as_they_are():
    image = made_images(1, 40)[0]
    before = image.clone()
    filters = learn_convolutional([image], filters=3, size=4, sparsity=0.05, steps=1)
    assert filters.isfinite().all()
    torch.testing.assert_close(image, before, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("images", "message"), [([], "no image to learn from"), ([torch.full((32, 32), 0.5)], "too little detail")]
)
def test_what_cannot_be_learnt_from_is_refused(images, message):
    with pytest.raises(ImageError, match=message):
        learn_convolutional(images, filters=3, size=4, steps=1)


def test_it_reports_and_can_be_stopped():
    seen = []
    arguments = {"filters": 3, "size": 4, "sparsity": 0.05}
    learn_convolutional(made_images(1), steps=2, progress=lambda *args: seen.append(args), **arguments)
    assert [item[:2] for item in seen] == [(0, 2), (1, 2), (2, 2)]
    asked = []
    with pytest.raises(Cancelled):
        learn_convolutional(made_images(1), steps=2, cancelled=lambda: asked.append(1) or len(asked) > 20, **arguments)
    assert len(asked) == 21, "it is asked within a step, too"
