"""95% intervals of an accuracy: over images (Wilson) and over seeds (Student)."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from tinyscope.errors import DataError

Z95 = 1.959963984540054  # the normal distribution's 97.5% point


class Interval(NamedTuple):
    """A 95% interval of a share; both ends in [0, 1]."""

    low: float
    high: float


def wilson(correct: int, n: int) -> Interval:
    """Where the accuracy on all images of this kind lies, judged from n of them.

    Of one trained model. The figure of another draw of n images falls outside more often than in
    one of twenty cases, because it errs on its own account.

    Args:
        correct: images classified rightly, in 0 … n.
        n: images in all, at least 1.

    Raises:
        DataError: there are no images, or `correct` is not in 0 … n.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference",
    without continuity correction.
    """
    if n < 1 or not 0 <= correct <= n:
        raise DataError(f"{correct} of {n} right; expected 0 to n of at least 1 image.")
    square = Z95 * Z95
    centre = (correct + square / 2) / (n + square)
    half = Z95 / (n + square) * math.sqrt(correct * (n - correct) / n + square / 4)
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def student(accuracies: Sequence[float]) -> Interval | None:
    """Where the mean accuracy over all seeds lies, judged from some, on the same images.

    The figure of a single further training falls outside more often than in one of twenty cases.
    None with a single seed, and where all are alike: on few images that happens by chance, and does
    not say that trainings do not differ.

    Args:
        accuracies: one share in [0, 1] for each seed.
    """
    found = mean_of_differences(accuracies)
    return None if found is None else Interval(max(0.0, found[0]), min(1.0, found[1]))


def mean_of_differences(differences: Sequence[float]) -> tuple[float, float] | None:
    """Where the mean of a difference over all seeds lies (Student); None as of `student`.

    Args:
        differences: one for each seed, between two models of this seed.
    """
    from scipy.special import stdtrit

    seeds = len(differences)
    if len(set(differences)) < 2:
        return None
    mean = math.fsum(differences) / seeds
    variance = math.fsum((value - mean) ** 2 for value in differences) / (seeds - 1)
    half = float(stdtrit(seeds - 1, 0.975)) * math.sqrt(variance / seeds)
    return mean - half, mean + half
