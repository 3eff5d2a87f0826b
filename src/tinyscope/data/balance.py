"""How evenly images are spread over classes, and weights that make up for it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

UNBALANCED = 1.5
"""Largest class over smallest above which classes count as unbalanced."""
UNLIKELY = 0.05
"""p-value below which chance is not taken to explain a difference of class sizes or shares."""


def class_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """The weight of each class with which all of them count alike in a mean over images.

    N / (K x the images of the class), as scikit-learn's "balanced", with K the classes that occur.
    The mean weight of an image is 1; a class without an image, which weighs nothing, gets 0.

    Args:
        labels: int (N,), in 0 … K-1.
        classes: K.

    Returns:
        float64 (K,).
    """
    counts = np.bincount(labels, minlength=classes)
    occurring = counts > 0
    weights = np.zeros(classes)
    weights[occurring] = len(labels) / (occurring.sum() * counts[occurring])
    return weights


class EqualShares(NamedTuple):
    """Pearson's chi-square test of images that are spread over classes against equal shares."""

    statistic: float
    p_value: float
    """How often equally frequent classes would be at least as uneven, in [0, 1]."""


def equal_shares(counts: Sequence[int]) -> EqualShares | None:
    """The test of the images of each class; None without images or with fewer than two classes."""
    total, classes = sum(counts), len(counts)
    if not total or classes < 2:
        return None
    expected = total / classes
    statistic = float(sum((count - expected) ** 2 for count in counts) / expected)
    return EqualShares(statistic, chi_square_p(statistic, classes - 1))


def chi_square_p(statistic: float, dof: int) -> float:
    """How often chance gives a chi-square statistic at least as large, in [0, 1].

    Args:
        statistic: 0 or more.
        dof: degrees of freedom, 1 or more.
    """
    from scipy.special import chdtrc

    return float(chdtrc(dof, statistic))


def is_unbalanced(counts: Sequence[int]) -> bool:
    """Whether classes differ by much, and by more than chance makes equally frequent ones differ.

    By much: the largest has more than `UNBALANCED` times the images of the smallest. Of few images
    chance alone makes that: 20, 31 and 25 are as uneven in three of ten draws.

    Args:
        counts: images of each class, one or more.
    """
    tested = equal_shares(counts)
    by_chance = tested is None or tested.p_value >= UNLIKELY
    return not by_chance and max(counts) > UNBALANCED * min(counts)
