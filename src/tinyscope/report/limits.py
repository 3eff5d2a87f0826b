"""What a study did not test, as sentences for the people who rely on its answer."""

from collections.abc import Mapping
from typing import Any

from tinyscope.data.families import named_as_cifar100
from tinyscope.plan.recipe import FEW_STEPS, Recipe
from tinyscope.runs.run import DIVERGED
from tinyscope.wording import listed

FEW = 30  # test images of a class below which its figures say little

_FROM_CIFAR100 = "cifar100-backbone"
_TOLD_CLASSES = 5  # without test images that are named
_TOLD = 3  # models whose accuracy without leaked test images is told in a sentence


def limits(
    data: Mapping[str, Any],
    study: Mapping[str, Any],
    variations: list[dict[str, Any]],
    *,
    test_came_with_data: bool,
) -> list[str]:
    """Sentences on what was not tested; only those that are true of this study.

    Args:
        data: the block "data" of a summary.
        study: the block "study" of a summary.
        variations: the block "variations" of a summary.
        test_came_with_data: whether the source had a test split of its own, so that copies in it
            and among the training images were not kept on one side.
    """
    classes = len(data["class_names"])
    found = [
        f"Images unlike those of “{data['name']}” were not tested: another camera, size, light, "
        f"blur or subject. An image of something else still gets one of the {classes} class names.",
        "The stated probabilities were not calibrated: of the answers given with 90%, more or "
        "fewer than nine in ten may be right.",
        "Labels were taken as they are. A wrong label among the test images counts as a mistake of "
        "the model, or hides one.",
    ]
    found += _on_leaks(
        variations,
        several_seeds=len(study["seeds"]) > 1,
        test_came_with_data=test_came_with_data,
    )
    if left_out := data["found"] - data["used"]:
        found.append(
            f"{left_out:,} of {data['found']:,} images could not be used and are in no figure; if "
            "they differ from the others, no figure here tells."
        )
    if data["unbalanced"]:
        found.append(
            f"The classes are unbalanced (“{data['largest_class']}” has the most training images, "
            f"“{data['smallest_class']}” the fewest): accuracy speaks mostly of the large classes, "
            "balanced accuracy of all alike."
        )
    test = next(part for part in data["splits"] if part["split"] == "test")
    counts = dict(zip(data["class_names"], test["counts"], strict=True))
    if untested := [name for name, n in counts.items() if n == 0]:
        told = listed([f"“{name}”" for name in untested], most=_TOLD_CLASSES)
        noun = "classes has" if len(untested) == 1 else "classes have"
        found.append(
            f"{len(untested)} of {classes} {noun} no test images ({told}): no figure here tells "
            "how well such images are recognised."
        )
    rare = [name for name, n in counts.items() if 0 < n < FEW]
    if rare:
        noun = "classes has" if len(rare) == 1 else "classes have"
        found.append(
            f"{len(rare)} of {classes} {noun} fewer than {FEW} test images; what is said of a "
            "single one of them is rough."
        )
    if len(study["seeds"]) == 1:
        found.append(
            "Every variation was trained once, with one seed: how much the figures change from one "
            "training to the next is not known."
        )
    elif len(variations) > 1:
        found.append(
            "The paired tests compare the runs with the lowest seed, which are those that would "
            "ship; they do not cover the change from one training to the next."
        )
    if not study["validation"]:
        found.append(
            "There were no validation images, so no model was chosen on data: that one test "
            "accuracy is higher than another here is no basis for a choice."
        )
    found += _on_divergence(variations, validated=bool(study["validation"]))
    found += _on_known_images(data["class_names"], variations)
    again = [f"“{one['name']}”" for one in variations if one["recipe"]["refit"]]
    if again and study["validation"]:
        found.append(
            f"After the choice, {listed(again)} learnt from the validation images too: "
            "validation figures are those of the models before, test figures those of the models "
            "that ship."
        )
    images = next(part["images"] for part in data["splits"] if part["split"] == "train")
    short = [
        f"“{one['name']}” ({steps} steps)"
        for one in variations
        if one["recipe"]["classifier"] == "dense"
        and (steps := Recipe().changed(one["recipe"]).steps(images)) < FEW_STEPS
    ]
    if short:
        found.append(
            f"A training has hardly begun after fewer than {FEW_STEPS} steps of the optimizer: the "
            f"figures of {listed(short)} say little. More epochs or smaller batches help."
        )
    if any(variation["published"] is not None for variation in variations):
        found.append(
            "Published figures were measured by others, on their splits and machines, mostly once. "
            "“Above” and “below” say where the measured intervals lie, and not what "
            "another training of the published method would have given."
        )
    return found


def _on_divergence(variations: list[dict[str, Any]], *, validated: bool) -> list[str]:
    """What the figures are of where a training diverged: after some epochs, or in the first."""
    kept = f"those of the {'best' if validated else 'last'} epoch before"
    untrained = "those of the initial weights, because not even the first epoch was completed"
    sentences = []
    for figures, begun in ((kept, True), (untrained, False)):
        names = [
            one["name"]
            for one in variations
            for run in one["runs"]
            if run["stopped"] == DIVERGED and bool(run["epochs_run"]) == begun
        ]
        if names:
            runs = "1 run" if len(names) == 1 else f"{len(names)} runs"
            sentences.append(
                f"The loss of {runs} of {listed(sorted(set(names)))} grew without bound: the "
                f"figures are {figures}, and say nothing of a lower learning rate."
            )
    return sentences


def _on_known_images(class_names: list[str], variations: list[dict[str, Any]]) -> list[str]:
    """What it means that a backbone may have learnt from these very images."""
    names = [
        f"“{one['name']}”" for one in variations if one["recipe"]["backbone"] == _FROM_CIFAR100
    ]
    if not names or not named_as_cifar100(class_names):
        return []
    return [
        f"The backbone of {listed(names)} was trained on CIFAR-100's training images, and these "
        "classes are named as CIFAR-100's: where validation images are among those, their figures "
        "are too high and were no basis for a choice."
    ]


def _on_leaks(
    variations: list[dict[str, Any]], *, several_seeds: bool, test_came_with_data: bool
) -> list[str]:
    """What copies of training images among the test images do to the figures, if anything."""
    leaks = {one["name"]: one["test"]["leaks"] for one in variations}
    known = next(iter(leaks.values()))
    if known is None and test_came_with_data:
        return [
            "The test images came with the data set, and copies of training images among them were "
            "not looked for. Where there are any, the test accuracy is too high."
        ]
    if known is None or (not known["images"] and not test_came_with_data):
        return []
    if not known["images"]:
        return [
            "Among the test images no copy of a training image was found. One that was turned, "
            "cropped by more than a few pixels or drawn over can have been missed."
        ]
    images, all_images = known["images"], variations[0]["test"]["images"]
    if images == all_images:
        return [
            f"{'The only test image has' if images == 1 else f'All {images:,} test images have'} a "
            "copy among the training images: the test accuracy says nothing of new images."
        ]
    has = "has a copy" if images == 1 else "have copies"
    told = [
        f"{100 * leaks[one['name']]['accuracy_without']:.2f}% for “{one['name']}” "
        f"(with them {100 * one['test']['accuracy']:.2f}%)"
        for one in variations[:_TOLD]
    ]
    rest = ", means over seeds" if several_seeds else ""
    rest += "; the others are in the table of models" if len(variations) > _TOLD else ""
    return [
        f"{images:,} of {all_images:,} test images {has} among the training images, so the test "
        f"accuracy can be too high. Without them it is {listed(told)}{rest}."
    ]
