import pytest

from tinyscope.diagnosis import whitened_cost
from tinyscope.models import zoo
from tinyscope.models.pixel_input import PixelInput
from tinyscope.plan.recipe import Recipe
from tinyscope.plan.recipe_book import accurate, quick, sprint, standard
from tinyscope.training import cost
from tinyscope.training.proxy import proxy_recipe

SMALL = {"training_sizes": (), "proxy_size": 1.0, "batch_size": 46, "epochs": 14}
"""What `quick` becomes for small images, and few."""


def built(recipe, shape, classes):
    height, width, channels = shape
    network = zoo.build(
        recipe.model,
        widths=recipe.widths,
        depth=recipe.depth,
        channels=channels,
        classes=classes,
        height=height,
        width=width,
    )
    return PixelInput(network, mean=[0.0] * channels, deviation=[1.0] * channels)


def counted(recipe, *, shape, classes, images):
    """By the networks themselves."""
    chosen = recipe.hardest_share < 1
    return cost.training_flop(
        built(recipe, shape, classes),
        recipe,
        shape=shape,
        images=images,
        steps_per_epoch=-(-images // recipe.batch_size),
        epochs=recipe.epochs,
        proxy=built(proxy_recipe(recipe), shape, classes) if chosen else None,
    )


@pytest.mark.parametrize(
    ("recipe", "shape", "images"),
    [
        (quick(), (32, 32, 3), 45_000),
        (quick(), (16, 16, 3), 30_000),
        (quick().changed(SMALL), (15, 15, 3), 1_300),
        (quick().changed(SMALL), (8, 8, 3), 1_300),
        (quick().changed(SMALL), (8, 8, 1), 100),
        (quick().changed(SMALL), (9, 12, 1), 3),
        (quick(), (64, 48, 3), 500),
        (standard(), (32, 32, 3), 45_000),
        (standard(), (17, 19, 1), 5_000),
        (accurate(), (32, 32, 3), 5_000),
        (sprint(), (32, 32, 3), 1_300),
        (sprint().changed({"optimizer": "sgd", "depth": 4, "widths": (4, 8)}), (20, 20, 1), 500),
    ],
)
def test_a_recipe_costs_what_its_networks_will_be_counted_to_cost(recipe, shape, images):
    data = {"shape": shape, "classes": 7, "images": images}
    told = whitened_cost.training_flop(recipe.as_dict(), **data)
    assert told == pytest.approx(counted(recipe, **data), rel=0.01)


def test_half_of_the_epochs_cost_half():
    data = {"shape": (8, 8, 3), "classes": 10, "images": 1_300}
    recipe = Recipe(model="whitened-cnn", epochs=8)
    whole = whitened_cost.training_flop(recipe.as_dict(), **data)
    half = whitened_cost.training_flop(recipe.changed({"epochs": 4}).as_dict(), **data)
    assert half == whole / 2
