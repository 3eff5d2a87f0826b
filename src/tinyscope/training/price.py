"""What a training would cost that nobody has begun, by the formula of `training.cost`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from tinyscope.batch_count import batch_count
from tinyscope.data.dataset import Preprocessing
from tinyscope.models import zoo
from tinyscope.models.pixel_input import PixelInput
from tinyscope.plan.recipe import Recipe
from tinyscope.training.cost import training_flop
from tinyscope.training.proxy import proxy_recipe
from tinyscope.training.untrained import built, refuse_unfit


def price_for(
    *, shape: Sequence[int], classes: int, images: int
) -> Callable[[Mapping[str, Any]], int | None]:
    """The price of any recipe on a data set.

    The function takes a recipe with all its keys, and answers the FLOP of its training in all its
    epochs, or None where only a backbone's weights would tell. It raises InputError where the
    network does not fit the images, or the recipe's sizes of batches and images. Networks are
    built as shapes without numbers: no memory is taken for weights, and none are drawn.

    Args:
        shape: (H, W, C) of the images.
        classes: outputs.
        images: in the training split.
    """
    seen = Preprocessing(*shape)

    def price(keys: Mapping[str, Any]) -> int | None:
        recipe = Recipe().changed(keys)
        if recipe.model == zoo.TRANSFER:
            return None
        # Weights would be drawn from the generator that a training in another thread draws from.
        with torch.device("meta"):
            network, proxy = _normalizing(recipe, seen, classes), None
            if recipe.hardest_share < 1:
                proxy = _normalizing(proxy_recipe(recipe), seen, classes)
        refuse_unfit(network, recipe, seen)
        return training_flop(
            network,
            recipe,
            shape=tuple(seen),
            images=images,
            steps_per_epoch=batch_count(images, recipe.batch_size),
            epochs=recipe.epochs,
            proxy=proxy,
        )

    return price


def _normalizing(recipe: Recipe, shape: Preprocessing, classes: int) -> PixelInput:
    values = [1.0] * shape.channels  # which change no count
    return PixelInput(built(recipe, shape, classes), mean=values, deviation=values)
