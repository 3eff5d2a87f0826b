"""Which keys of a recipe do not fit one another."""

from collections.abc import Mapping
from typing import Any

from tinyscope.plan.spelling import NONE, spelled

AUGMENTATIONS = ("horizontal_flip", "vertical_flip", "shift", "rotation", "zoom", "cutout")
"""Keys of random changes of training images; all are off where they are false or 0."""

_OF_TRANSFER = {
    "backbone": "",
    "backbone_weights": "",
    "backbone_layer": "",
    "backbone_size": None,
    "classifier": "dense",
    "refit": False,
    "head": (),
    "feature_views": 1,
    "unfrozen_blocks": 0,
}
"""Keys that only model = "transfer" reads, with the values that say nothing."""


def contradictions(values: Mapping[str, Any]) -> list[str]:
    """One sentence for each pair of keys of a whole recipe that do not go together.

    Args:
        values: every key, each with a value that is right by itself, in its stored form.
    """
    problems = []
    if (values["model"] == "layer-stack") != bool(values["layers"]):
        problems.append('"layers" and model = "layer-stack" come together or not at all.')
    if values["schedule"] == "one-cycle" and not 0 < values["warmup"] < 1:
        problems.append('schedule = "one-cycle" needs a warmup between 0 and 1, such as 0.3.')
    if values["warmup"] and values["schedule"] not in ("linear", "cosine", "one-cycle"):
        problems.append('warmup belongs to the schedules "linear", "cosine" and "one-cycle".')
    if values["alternating_flip"] and not values["horizontal_flip"]:
        problems.append("alternating_flip = true needs horizontal_flip = true.")
    if values["test_views"] != "one" and not values["horizontal_flip"]:
        problems.append(
            f'test_views = "{values["test_views"]}" shows mirrored images, which training never '
            'sees: it needs horizontal_flip = true, or test_views = "one".'
        )
    if values["nesterov"] and values["optimizer"] == "sgd" and not values["momentum"]:
        problems.append("nesterov = true needs a momentum above 0.")
    if values["hardest_share"] < 1 and values["model"] == "transfer":
        problems.append(
            f"hardest_share = {spelled(values['hardest_share'])} does not go with "
            'model = "transfer": the proxy, which begins without the backbone\'s knowledge, would '
            "call other images hard. Leave it at 1."
        )
    if values["averaged_steps"] and values["early_stopping_patience"] is not None:
        problems.append(
            "averaged_steps ends with the mean of the last steps' weights, and "
            "early_stopping_patience with those of the best epoch: set averaged_steps = 0, or "
            f"early_stopping_patience = {spelled(NONE)}."
        )
    for key in ("sam_steps", "averaged_steps"):
        if values[key] and values["classifier"] != "dense":
            problems.append(
                f"{key} = {spelled(values[key])} belongs to steps, and classifier = "
                f"{spelled(values['classifier'])} is fitted without any: leave it at 0."
            )
    return problems + _transfer_faults(values)


def _transfer_faults(values: Mapping[str, Any]) -> list[str]:
    if values["model"] != "transfer":
        return [
            f'{key} = {spelled(values[key])} belongs to model = "transfer".'
            for key, silent in _OF_TRANSFER.items()
            if values[key] != silent
        ]
    if not values["backbone"]:
        return [
            'model = "transfer" needs a backbone. Run "tinyscope list backbones" to see them all.'
        ]
    problems = []
    changed = [key for key in AUGMENTATIONS if values[key]]
    frozen, dense = not values["unfrozen_blocks"], values["classifier"] == "dense"
    if frozen and changed and values["feature_views"] == 1:
        problems.append(
            f"{changed[0]} = {spelled(values[changed[0]])} has no effect on a frozen backbone that "
            "sees each image once: set feature_views = 2 or more, or unfrozen_blocks = 1 or more."
        )
    if values["feature_views"] > 1 and not frozen:
        problems.append(
            "feature_views is of a frozen backbone; with unfrozen_blocks, every epoch shows images "
            "changed anew: leave feature_views at 1."
        )
    if values["feature_views"] > 1 and not changed:
        problems.append(
            f"feature_views = {values['feature_views']} needs random changes of images, such as "
            "horizontal_flip = true: without any, all views are the same."
        )
    for key in ("head", "unfrozen_blocks"):
        if values[key] and not dense:
            problems.append(
                f'{key} belongs to classifier = "dense"; "{values["classifier"]}" takes the '
                "features of a frozen backbone as they are."
            )
    if values["classifier"] == "nearest-neighbours" and values["class_weights"] == "balanced":
        problems.append(
            'class_weights = "balanced" has no effect on "nearest-neighbours", which only counts '
            'neighbours: choose another classifier, or leave it at "equal".'
        )
    if values["refit"] and dense:
        problems.append(
            "refit = true belongs to the classifiers of scikit-learn; a dense layer is trained "
            "once: set it to false."
        )
    if values["training_sizes"] and frozen:
        problems.append("training_sizes has no effect on a frozen backbone: leave it empty.")
    return problems
