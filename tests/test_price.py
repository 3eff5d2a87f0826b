import numpy as np
import pytest
import torch

from tinyscope.data.dataset import Splits
from tinyscope.errors import InputError
from tinyscope.plan.recipe import Recipe
from tinyscope.plan.recipe_book import RECIPES, recipe
from tinyscope.training.price import price_for
from tinyscope.training.trainer import train

PRICE = price_for(shape=(32, 32, 3), classes=10, images=50_000)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "compact-cnn"},
        {"model": "whitened-cnn", "widths": (8, 12), "optimizer": "muon"},
        {"model": "whitened-cnn-folded", "widths": (8, 12), "training_sizes": (0.75, 1.0)},
        {
            "model": "whitened-cnn",
            "widths": (16, 16),
            "hardest_share": 0.5,
            "proxy_widths": (8, 8),
            "optimizer": "muon",
        },
    ],
)
def test_the_price_of_a_training_is_what_it_is_counted_to_have_cost(world, changes):
    recipe = Recipe(epochs=2, batch_size=50, precision="fp32").changed(changes)
    height, width, channels = world.train.images.shape[1:]
    price = price_for(
        shape=(height, width, channels),
        classes=len(world.train.class_names),
        images=len(world.train),
    )
    assert price(recipe.as_dict()) == train(world, recipe).flop


def test_a_price_counts_the_steps_that_a_training_takes(world):
    """21 images at 2 are 10 batches: none has a single image, and Muon's price goes by the step."""
    few = Splits("few", world.train.select(np.arange(21), split="train"))
    recipe = Recipe(
        model="whitened-cnn",
        widths=(8, 8),
        optimizer="muon",
        batch_size=2,
        epochs=1,
        precision="fp32",
    )
    taken = []
    trained = train(few, recipe, on_step=lambda step, steps: taken.append(step))
    assert len(taken) == recipe.steps(21) == 10
    price = price_for(shape=(16, 16, 3), classes=4, images=21)
    assert price(recipe.as_dict()) == trained.flop


@pytest.mark.parametrize(
    ("name", "pflop"),
    [("sprint", 0.00544), ("quick", 0.0255), ("standard", 0.208), ("accurate", 1.197)],
)
def test_the_fast_recipes_cost_what_was_recorded(name, pflop):
    assert PRICE(recipe(name).as_dict()) == pytest.approx(pflop * 1e15, rel=0.005)


def test_half_of_the_epochs_cost_half():
    whole, half = (PRICE(Recipe(model="resnet-20", epochs=k).as_dict()) for k in (8, 4))
    assert half * 2 == whole


def test_a_backbone_has_no_price():
    assert PRICE(recipe("transfer").as_dict()) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "brittan-v3"},
        {"model": "compact-cnn-wide", "training_sizes": (0.25, 1.0)},
        {"model": "compact-cnn", "batch_size": 1},
    ],
)
def test_what_does_not_fit_the_images_is_refused(changes):
    price = price_for(shape=(20, 20, 3), classes=10, images=1_000)
    with pytest.raises(InputError):
        price(Recipe().changed(changes).as_dict())


def test_the_callers_random_numbers_stay_as_they_are():
    before = torch.random.get_rng_state()
    for name in RECIPES:
        PRICE(recipe(name).as_dict())
    assert torch.equal(torch.random.get_rng_state(), before)
