"""How evenly images are spread over classes, and weights that make up for it."""

from collections.abc import Sequence

import numpy as np

UNBALANCED = 1.5
"""Largest class over smallest above which classes count as unbalanced."""


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


def is_unbalanced(counts: Sequence[int]) -> bool:
    """Whether the largest class has more than `UNBALANCED` times the images of the smallest."""
    return max(counts) > UNBALANCED * min(counts)
