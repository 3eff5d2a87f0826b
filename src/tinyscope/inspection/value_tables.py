"""Values of a property by class: how many images carry each, and how well it tells a class."""

from collections.abc import Sequence

import numpy as np

FEWEST = 10
"""Images that carry a value; fewer teach a model little."""
NO_VALUE = "no value"
"""The name of what images have that lack a property."""


def coded(texts: Sequence[str | None]) -> tuple[np.ndarray, list[str | None]]:
    """A number for each image's value, int64 (N,), and the values' names.

    Values of fewer than ten images, as exact times and serial numbers are, share one number and no
    name: there may be as many of them as images, times classes.
    """
    plain = np.array([NO_VALUE if text is None else str(text) for text in texts])
    names, codes, counts = np.unique(plain, return_inverse=True, return_counts=True)
    common = counts >= FEWEST
    numbers = np.where(common, np.cumsum(common) - 1, common.sum())
    rest = [] if common.all() else [None]
    return numbers[codes.reshape(-1)].astype(np.int64), [*names[common].tolist(), *rest]


def counted(codes: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """int64 (values, K): images of each value and class."""
    rows = int(codes.max(initial=0)) + 1
    return np.bincount(codes * classes + labels, minlength=rows * classes).reshape(rows, classes)


def value_aucs(counts: np.ndarray) -> np.ndarray:
    """float64 (values, K): the area under the curve of "carries the value" for each class."""
    in_class, in_all = counts.sum(0), counts.sum()
    carried = counts / np.maximum(in_class, 1)
    elsewhere = (counts.sum(1, keepdims=True) - counts) / np.maximum(in_all - in_class, 1)
    return np.where((in_class > 0) & (in_class < in_all), (1 + carried - elsewhere) / 2, 0.5)


def aucs_of_numbers(
    values: np.ndarray, labels: np.ndarray, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Two float64 (K,): how far a class lies above the rest, and how far it lies apart.

    The first is the area under the curve; the second that area or 1 less it, whichever is larger.
    """
    from scipy.stats import rankdata

    known = ~np.isnan(values)
    labels = labels[known]
    in_class = np.bincount(labels, minlength=classes)
    rest = len(labels) - in_class
    ranks = np.bincount(labels, weights=rankdata(values[known]), minlength=classes)
    wins = ranks - in_class * (in_class + 1) / 2
    enough = (in_class >= FEWEST) & (rest >= FEWEST)
    above = np.where(enough, wins / np.maximum(in_class * rest, 1), 0.5)
    return above, np.maximum(above, 1 - above)
