"""The name of what a run will compute, as a hash of everything that decides it."""

import hashlib
import json
from collections.abc import Mapping, Sequence

from tinyscope.errors import InputError
from tinyscope.plan.recipe import Recipe
from tinyscope.plan.recipe_book import WHITENED


def identity(
    recipe: Recipe,
    *,
    weights: Mapping[str, Sequence[int]],
    data_fingerprint: str,
    seed: int,
    start: str = "",
) -> str:
    """Eight hexadecimal digits that name what a run will compute.

    The whole recipe is hashed, not its difference from the defaults: a default that changes later
    never gives an old result a new meaning. Only keys that came later are left out where they
    change nothing (`told_apart_by`). So are the weights' names and shapes, for a network
    that is built otherwise later under the same name; and the weights that training starts from,
    where it does not draw them itself.

    Args:
        recipe: with its precision resolved.
        weights: names and shapes of the network's tensors.
        data_fingerprint: of all splits.
        seed: of the training.
        start: a digest of the weights that are taken over; empty for none.

    Raises:
        InputError: the recipe's precision is not resolved yet.
    """
    if recipe.precision == "auto":
        raise InputError('precision = "auto" has to be resolved before a run is named.')
    content: dict[str, object] = {
        "recipe": told_apart_by(recipe),
        "weights": {name: list(shape) for name, shape in weights.items()},
        "data": data_fingerprint,
        "seed": seed,
    }
    if start:
        content["start"] = start
    content |= computed_otherwise(recipe)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


_SINCE = {"sam_steps": ("sam_radius", "sam_share"), "averaged_steps": ()}
"""Keys that earlier versions did not have, each with those that say nothing where it is 0."""


def told_apart_by(recipe: Recipe) -> dict[str, object]:
    """The keys by which a recipe's runs and checkpoints are told from those of others.

    Without what earlier versions did not know and this recipe does not use: their runs are its own.
    """
    keys: dict[str, object] = recipe.as_dict()
    for key, others in _SINCE.items():
        if not keys[key]:
            for silent in (key, *others):
                del keys[silent]
    return keys


def computed_otherwise(recipe: Recipe) -> dict[str, str]:
    """How is computed now what earlier versions computed otherwise for the same recipe, by part.

    By this their runs and checkpoints are told from those of this version.
    """
    found = {}
    if recipe.class_weights == "balanced":
        # With smoothed labels above all.
        found["class_weights"] = "each image by its class"
        if recipe.hardest_share < 1:
            found["hardest"] = "by weighted losses"
    if recipe.optimizer == "muon":
        # It took five steps with other coefficients, in float32.
        found["muon"] = "three steps"
    if recipe.model in WHITENED or recipe.hardest_share < 1:  # the proxy is one of them
        # With 1e-12 flat images were not learnt.
        found["norms"] = "epsilon 1e-3"
    return found
