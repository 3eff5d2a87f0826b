"""Checks of what a study's models answer: classes, augmentations, seeds, what is possible."""

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import stdev
from typing import Any

from tinyscope.diagnosis.augmentation_evidence import CIFAR10, harms, used, verdicts
from tinyscope.diagnosis.curve_checks import NO_VALIDATION, Outcome, augments
from tinyscope.evaluation.intervals import Z95
from tinyscope.plan.recipe_book import MEASURED, WHITENED
from tinyscope.runs.run import DIVERGED
from tinyscope.wording import counted

PAIR_OF_ERRORS = 0.1
"""Share of all errors that makes a pair of classes stand out, and three times its even share."""
PAIR_OF_IMAGES = 0.15
"""Share of the two classes' images that makes it stand out in any case."""

_FEWEST_ERRORS = 10
_NEARLY_ALL = 40_000  # of CIFAR-10's 50,000 training images
_CHANCE = 0.01


def confused_classes(summary: Mapping[str, Any]) -> Outcome:
    """TS103: pairs of classes that take a large share of the errors."""
    names = summary["data"]["class_names"]
    judged = [one for one in summary["variations"] if one["validation"] is not None]
    if not judged:
        return Outcome([], NO_VALIDATION)
    if len(names) < 3:
        return Outcome([], "because two classes make one pair")
    return Outcome([item for one in judged for item in _pairs(one, names)])


def _pairs(variation: Mapping[str, Any], names: list[str]) -> Iterator[dict[str, Any]]:
    """The pairs of a variation that stand out, at most three, the largest first."""
    table = variation["validation"]["confusion"]
    counts = [sum(row) for row in table]
    errors = sum(counts) - sum(table[k][k] for k in range(len(names)))
    even = 2 / (len(names) * (len(names) - 1))
    found = []
    for a in range(len(names)):
        for b in range(a + 1, len(names)):
            both = table[a][b] + table[b][a]
            large = both >= errors * max(PAIR_OF_ERRORS, 3 * even)
            close = both >= PAIR_OF_IMAGES * (counts[a] + counts[b])
            if both >= _FEWEST_ERRORS and (large or close):
                found.append((both, a, b))
    for both, a, b in sorted(found, key=lambda pair: -pair[0])[:3]:
        yield {
            "variation": variation["name"],
            "evidence": (
                f"{both:,} of its {errors:,} errors on the validation images ({both / errors:.0%}) "
                f"are between “{names[a]}” and “{names[b]}”: {table[a][b]:,} of {counts[a]:,} "
                f"“{names[a]}” and {table[b][a]:,} of {counts[b]:,} “{names[b]}” are taken for the "
                "other."
            ),
            "classes": [names[a], names[b]],
            "errors": both,
            "share": both / errors,
        }


def unfit_augmentations(summary: Mapping[str, Any]) -> Outcome:
    """TS104: augmentations that harm, by a pair of variations or by the inspection."""
    augmenting = [one for one in summary["variations"] if augments(one["recipe"])]
    if not augmenting:
        return Outcome([], "because no variation changes its images at random")
    judged = [(one, verdict) for one in augmenting for verdict in verdicts(summary, one)]
    if not judged:
        keys = sorted({key for one in augmenting for key in used(one["recipe"])})
        return Outcome(
            [],
            f"because nothing is known of it: “tinyscope data” has no verdict on {', '.join(keys)} "
            "of that strength for this data, nor does a variation differ from another in one of "
            "them alone",
        )
    return Outcome(
        [
            {
                "variation": one["name"],
                "evidence": f"{verdict.key}: {verdict.evidence}.",
                "key": verdict.key,
                "cost": verdict.cost,
            }
            for one, verdict in judged
            if verdict.harmful
        ]
    )


def seeds_apart(summary: Mapping[str, Any]) -> Outcome:
    """TS107: seeds that spread more than the choice of images explains (chi-squared test, 1%)."""
    from scipy.special import chdtrc

    judged = [one for one in summary["variations"] if one["validation"] is not None]
    if not judged:
        return Outcome([], NO_VALIDATION)
    if all(len(one["runs"]) < 2 for one in judged):
        return Outcome([], "because every variation was trained with one seed")
    items = []
    for one in judged:
        accuracies = [run["val_accuracy"] for run in one["runs"]]
        if len(accuracies) < 2:
            continue
        mean, images = one["validation"]["accuracy"], one["validation"]["images"]
        by_seed, by_image = stdev(accuracies), math.sqrt(mean * (1 - mean) / images)
        ratio = by_seed / by_image if by_image else 0.0
        if chdtrc(len(accuracies) - 1, (len(accuracies) - 1) * ratio**2) >= _CHANCE:
            continue
        items.append(
            {
                "variation": one["name"],
                "evidence": (
                    f"Its {len(accuracies)} seeds know {min(accuracies):.1%} to "
                    f"{max(accuracies):.1%} of the validation images, a standard deviation of "
                    f"{100 * by_seed:.2f} points; the choice of {images:,} images alone explains "
                    f"{100 * by_image:.2f}."
                ),
                "seed_deviation": by_seed,
                "image_deviation": by_image,
            }
        )
    return Outcome(items)


def diverged(summary: Mapping[str, Any]) -> Outcome:
    """TS108: runs whose loss was no number any more."""
    items = []
    for one in summary["variations"]:
        gone = [run for run in one["runs"] if run["stopped"] == DIVERGED]
        if gone:
            seeds = ", ".join(str(run["seed"]) for run in gone)
            after = counted(min(run["epochs_run"] for run in gone), "epoch")
            rate = one["recipe"]["learning_rate"]
            told = (
                f"With {one['recipe']['optimizer']} at a rate of {rate:g} the loss was no number "
                f"any more after {after} (seed{'s' * (len(gone) > 1)} {seeds})."
            )
            items.append({"variation": one["name"], "evidence": told, "runs": len(gone)})
    return Outcome(items)


def neglected_classes(summary: Mapping[str, Any]) -> Outcome:
    """TS109: balanced accuracy two points or more below accuracy, where a loss can be weighed.

    And by more than the choice of images explains: of a class with few, one answer moves it much.
    """
    if not summary["data"]["unbalanced"]:
        return Outcome(
            [],
            "because the classes are about equally large, or no more uneven than chance makes them",
        )
    answered = [one for one in summary["variations"] if one["validation"] is not None]
    if not answered:
        return Outcome([], NO_VALIDATION)
    judged = [one for one in answered if one["recipe"]["classifier"] != "nearest-neighbours"]
    if not judged:
        return Outcome([], "because nearest neighbours cannot weigh classes")
    items = []
    for one in judged:
        accuracy, balanced = (one["validation"][k] for k in ("accuracy", "balanced_accuracy"))
        low, high = _loss_of_small_classes(one["validation"]["confusion"])
        equal = one["recipe"]["class_weights"] == "equal"
        if equal and accuracy - balanced >= 0.02 and low > 0:
            told = (
                f"It knows {accuracy:.1%} of the validation images, but {balanced:.1%} where every "
                f"class counts the same ({100 * low:.1f} to {100 * high:.1f} points less; 95% over "
                "images, lowest seed)."
            )
            figures = {"val_accuracy": accuracy, "balanced_accuracy": balanced}
            items.append({"variation": one["name"], "evidence": told, **figures})
    return Outcome(items)


def _loss_of_small_classes(confusion: Sequence[Sequence[int]]) -> tuple[float, float]:
    """95% interval of accuracy less balanced accuracy, over the choice of each class's images.

    The difference is a sum of the classes' recalls, each with a weight of its own.

    Args:
        confusion: images by their class (rows) and by the answer.

    Source: Price and Bonett 2004, "An improved confidence interval for a linear function of
    binomial proportions", which holds its 95% where a class has few images.
    """
    right = [row[k] for k, row in enumerate(confusion) if sum(row)]
    counts = [sum(row) for row in confusion if sum(row)]
    weights = [count / sum(counts) - 1 / len(counts) for count in counts]
    added = 2 / max(1, sum(weight != 0 for weight in weights))
    recalls = [(n + added) / (of + 2 * added) for n, of in zip(right, counts, strict=True)]
    middle = sum(weight * recall for weight, recall in zip(weights, recalls, strict=True))
    variance = sum(
        weight**2 * recall * (1 - recall) / (of + 2 * added)
        for weight, recall, of in zip(weights, recalls, counts, strict=True)
    )
    half = Z95 * math.sqrt(variance)
    return middle - half, middle + half


def one_look(summary: Mapping[str, Any]) -> Outcome:
    """TS111: mirrored training that is not known to harm, a single look at prediction."""
    mirrored = [one for one in summary["variations"] if one["recipe"]["horizontal_flip"]]
    if not mirrored:
        return Outcome([], "because no variation is trained on mirrored images")
    borne = [one for one in mirrored if not harms(summary, one, "horizontal_flip", True)]
    if not borne:
        return Outcome([], "because mirrored images do harm here")
    items, quick = [], MEASURED["quick"]
    for one in borne:
        if one["recipe"]["test_views"] == "one":
            told = (
                "It is trained on mirrored images and looks once at a new one; on CIFAR-10 six "
                f"looks brought the recipe quick from {quick.one_view:.2%} to {quick.accuracy:.2%} "
                "of the test images."
            )
            items.append({"variation": one["name"], "evidence": told})
    return Outcome(items)


def on_all_of_cifar10(summary: Mapping[str, Any]) -> bool:
    """Whether a study learns from about as many of CIFAR-10's images as `quick` did."""
    images = next(part["images"] for part in summary["data"]["splits"] if part["split"] == "train")
    return set(summary["data"]["class_names"]) == CIFAR10 and images >= _NEARLY_ALL


def behind(summary: Mapping[str, Any]) -> Outcome:
    """TS112: a point or more behind the recipe `quick` on CIFAR-10."""
    if not on_all_of_cifar10(summary):
        return Outcome([], "because the recipes that come along were measured on all of CIFAR-10")
    judged = [one for one in summary["variations"] if one["validation"] is not None]
    if not judged:
        return Outcome([], NO_VALIDATION)
    items, quick = [], MEASURED["quick"]
    for one in judged:
        accuracy = one["validation"]["accuracy"]
        if accuracy >= quick.accuracy - 0.01 or one["recipe"]["model"] in WHITENED:
            continue
        told = (
            f"It knows {accuracy:.1%} of the validation images after "
            f"{one['train_flop'] / 1e15:.2g} PFLOP of training with {one['parameters']:,} "
            f"parameters; the recipe quick knew {quick.accuracy:.1%} of CIFAR-10's test images "
            f"after {quick.flop / 1e15:.2g} PFLOP on all 50,000 images with {quick.parameters:,} "
            "parameters."
        )
        items.append({"variation": one["name"], "evidence": told, "val_accuracy": accuracy})
    return Outcome(items)
