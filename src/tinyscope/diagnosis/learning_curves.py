"""What the epochs of a variation's runs say, as a few numbers that checks and suggestions read."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean, stdev
from typing import Any, NamedTuple

from tinyscope.evaluation.chance import above_chance
from tinyscope.evaluation.intervals import wilson
from tinyscope.runs.run import DIVERGED

ENDS_LOW = ("linear", "cosine", "one-cycle")
"""Schedules whose learning rate ends near 0."""

_FEWEST = 4  # epochs, below which a curve has no shape


def settles(recipe: Mapping[str, Any]) -> bool:
    """Whether the loss falls to the end whatever is still to be learnt.

    It does where the rate ends near 0, and where the last steps' weights are averaged.
    """
    return recipe["schedule"] in ENDS_LOW or recipe["averaged_steps"] > 0


class Learnt(NamedTuple):
    """Means over the runs of one variation.

    Training figures are taken while the network learns, over the batches as training changes them
    and with dropout: on the plain images it would be right more often.
    """

    epochs: float
    """That were run."""
    train_accuracy: float
    """In the epoch whose weights are kept."""
    val_accuracy: float
    """After that epoch, a single look at each image."""
    gap: float
    """Training less validation accuracy, after that epoch."""
    margin: float
    """How far the 95% interval of a validation accuracy, over images, reaches on its longer
    side."""
    lowest_val_loss: float
    lowest_epoch: float
    """With the lowest validation loss, from 1."""
    last_val_loss: float
    rise: float
    """Of the validation loss from its lowest to the last epoch, as a share of the lowest."""
    fall: float | None
    """Of the mean validation loss from the last but one quarter of the epochs to the last quarter,
    as a share; None where there are too few epochs."""
    second_half: float | None
    """What the second half of the epochs has brought in validation accuracy, mean of a quarter to
    mean of a quarter; None where there are too few epochs."""
    unrest: float | None
    """Standard deviation of the validation accuracy around its trend in the second half of the
    epochs; None where there are too few epochs."""


def learnt(variation: Mapping[str, Any]) -> Learnt | None:
    """What the histories of a variation of a summary say; None without validation or history."""
    if variation["validation"] is None:
        return None
    images = variation["validation"]["images"]
    found = [
        _of_run(rows, images, kept_row(rows, run, variation["recipe"]))
        for run in variation["runs"]
        if (rows := _told(run["history"]))
    ]
    return _means(found) if found else None


def learnt_by_those_that_know(variation: Mapping[str, Any]) -> Learnt | None:
    """The same of the runs that learnt something, or of all where none did.

    A training whose answers are guesses is a finding of its own; in a mean with the others it would
    seem that each had learnt half.
    """
    knowing = [run for run in variation["runs"] if not run["guesses"]]
    return learnt({**variation, "runs": knowing or variation["runs"]})


def only_guesses(
    run: Mapping[str, Any],
    recipe: Mapping[str, Any],
    confusion: Sequence[Sequence[int]],
    train_counts: Sequence[int],
) -> bool:
    """Whether a training that is told epoch by epoch has learnt no more than luck would know.

    Args:
        run: of a summary.
        recipe: of its variation.
        confusion: of its answers to the validation images.
        train_counts: of the training images of each class.
    """
    rows = [row for row in run["history"] if row.get("train_accuracy") is not None]
    if not rows or recipe["classifier"] != "dense":
        return False
    learnt_share = kept_row(rows, run, recipe)["train_accuracy"]
    return not above_chance(confusion, train_accuracy=learnt_share, train_counts=train_counts)


def kept_row(
    rows: Sequence[Mapping[str, Any]], run: Mapping[str, Any], recipe: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Of the rows of a history, at least one, that of the epoch whose weights were kept."""
    early = recipe["early_stopping_patience"] is not None or run["stopped"] == DIVERGED
    best = run["best_epoch"] if early else None
    return next((row for row in rows if row["epoch"] == best), rows[-1])


def _told(history: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    keys = ("train_accuracy", "val_accuracy", "val_loss")
    return [row for row in history if all(row.get(key) is not None for key in keys)]


def _of_run(rows: Sequence[Mapping[str, Any]], images: int, kept: Mapping[str, Any]) -> Learnt:
    lowest = min(rows, key=lambda row: row["val_loss"])
    accuracy = kept["val_accuracy"]
    losses = [row["val_loss"] for row in rows]
    accuracies = [row["val_accuracy"] for row in rows]
    fall = second_half = unrest = None
    if len(rows) >= _FEWEST:
        quarter, half = len(rows) // 4, len(rows) // 2
        before = fmean(losses[-2 * quarter : -quarter])
        fall = 1 - fmean(losses[-quarter:]) / before if before else 0.0
        at_half = accuracies[max(0, half - quarter) : half]
        second_half = fmean(accuracies[-quarter:]) - fmean(at_half)
        unrest = _unrest(accuracies[half:])
    return Learnt(
        epochs=len(rows),
        train_accuracy=kept["train_accuracy"],
        val_accuracy=accuracy,
        gap=kept["train_accuracy"] - accuracy,
        margin=_reach(accuracy, images),
        lowest_val_loss=lowest["val_loss"],
        lowest_epoch=lowest["epoch"],
        last_val_loss=losses[-1],
        rise=losses[-1] / lowest["val_loss"] - 1 if lowest["val_loss"] else 0.0,
        fall=fall,
        second_half=second_half,
        unrest=unrest,
    )


def _reach(accuracy: float, images: int) -> float:
    """How far the 95% interval of an accuracy reaches to its longer side: at 0% and 100% too."""
    low, high = wilson(round(accuracy * images), images)
    return max(high - accuracy, accuracy - low)


def _unrest(values: Sequence[float]) -> float:
    """Standard deviation around a straight line: half of the variance of steps, as of white noise.

    A slow trend hardly changes the steps from one epoch to the next, where a fitted line would be
    as unsure as the few points that it is fitted to.
    """
    steps = [after - before for before, after in pairwise(values)]
    return stdev(steps) / math.sqrt(2) if len(steps) > 1 else 0.0


def _means(found: Sequence[Learnt]) -> Learnt:
    def mean(name: str) -> Any:
        values = [getattr(one, name) for one in found]
        return None if None in values else fmean(values)

    return Learnt(**{name: mean(name) for name in Learnt._fields})
