"""Paired tests between models that answered the same images."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from tinyscope.errors import DataError
from tinyscope.evaluation.intervals import Z95

LEVEL = 0.05  # "better" is said at this adjusted p-value or below


class PairedTest(NamedTuple):
    """Two models on the same images."""

    images: int
    only_first: int
    """Images that the first alone has right."""
    only_second: int
    """Images that the second alone has right."""
    difference: float
    """Accuracy of the first less that of the second, in [-1, 1]."""
    interval: tuple[float, float]
    """95% interval of the difference, of this pair alone (not adjusted)."""
    p_value: float
    """How often two equally good models would differ at least this much, in [0, 1]."""

    def interval_of_one_of(self, pairs: int) -> tuple[float, float]:
        """The interval that, as one of so many, holds its difference with all others in 95%.

        Bonferroni's: as wide as Holm's adjustment is strict with the smallest p-value.
        """
        from scipy.special import ndtri

        z = Z95 if pairs == 1 else -float(ndtri(LEVEL / (2 * pairs)))
        return _interval(self.only_first, self.only_second, self.images, z)


class Comparison(NamedTuple):
    """A paired test as one of several in a study."""

    first: str
    second: str
    test: PairedTest
    adjusted_p_value: float
    """The p-value after Holm's adjustment over every pair of the study, in [0, 1]."""

    @property
    def verdict(self) -> str:
        """What the data say of the first: "better", "worse" or "cannot be told apart"."""
        if self.adjusted_p_value > LEVEL:
            return "cannot be told apart"
        return "better" if self.test.difference > 0 else "worse"

    def turned(self) -> "Comparison":
        """The same comparison with first and second exchanged."""
        low, high = self.test.interval
        test = self.test._replace(
            only_first=self.test.only_second,
            only_second=self.test.only_first,
            difference=0.0 - self.test.difference,  # never a negative zero
            interval=(-high, -low),
        )
        return Comparison(self.second, self.first, test, self.adjusted_p_value)


def mcnemar(first: np.ndarray, second: np.ndarray) -> PairedTest:
    """Whether two models differ on the same images: exact, two-sided McNemar test.

    Only the images count that one has right and the other wrong: were the models equally good, each
    such image would fall to either side like a coin.

    Args:
        first: bool (N,), whether the first model is right on each image.
        second: bool (N,), the same of the second model, on the same images.

    Raises:
        DataError: N is 0 or differs between the two arrays.

    Source: McNemar 1947, with binomial instead of chi-squared probabilities. Interval: Bonett and
    Price 2012, "Adjusted Wald confidence interval for a difference of binomial proportions based on
    paired data", which holds its 95% where few images differ.
    """
    from scipy.special import bdtr

    n = len(first)
    if n != len(second) or n == 0:
        raise DataError(
            f"{n} and {len(second)} answers; expected both models' answers to the same images."
        )
    only_first = int(np.sum(first & ~second))
    only_second = int(np.sum(second & ~first))
    differing = only_first + only_second
    tail = float(bdtr(min(only_first, only_second), differing, 0.5)) if differing else 1.0

    return PairedTest(
        images=n,
        only_first=only_first,
        only_second=only_second,
        difference=(only_first - only_second) / n,
        interval=_interval(only_first, only_second, n, Z95),
        p_value=min(1.0, 2 * tail),
    )


def _interval(only_first: int, only_second: int, n: int, z: float) -> tuple[float, float]:
    """Bonett and Price's interval of the difference, for a two-sided point of the normal curve."""
    a, b = (only_first + 1) / (n + 2), (only_second + 1) / (n + 2)
    half = z * math.sqrt((a + b - (a - b) ** 2) / (n + 2))
    return max(-1.0, a - b - half), min(1.0, a - b + half)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted for there being several, in the order given.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    count = len(p_values)
    adjusted = [0.0] * count
    highest = 0.0
    for rank, place in enumerate(sorted(range(count), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (count - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted


def compare_all(right: Mapping[str, np.ndarray]) -> list[Comparison]:
    """Every pair of models, tested and adjusted over all pairs.

    Over all pairs and not only over those with the best model: which one is best was itself read
    off these data.

    Args:
        right: for each model, bool (N,): its answers to the same images.
    """
    pairs = list(combinations(right, 2))
    tests = [mcnemar(right[first], right[second]) for first, second in pairs]
    adjusted = holm([test.p_value for test in tests])
    return [
        Comparison(first, second, test, p_value)
        for (first, second), test, p_value in zip(pairs, tests, adjusted, strict=True)
    ]


def against(name: str, comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons that `name` takes part in, turned so that it comes first."""
    return [
        comparison if comparison.first == name else comparison.turned()
        for comparison in comparisons
        if name in (comparison.first, comparison.second)
    ]
