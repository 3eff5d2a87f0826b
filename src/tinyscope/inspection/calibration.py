"""Calibration of logits against labels of which some are wrong."""

import math
from collections.abc import Sequence

import numpy as np

from tinyscope.evaluation.metrics import softmax

_AT_MOST = 20_000
_TINY = 1e-30


def fitted_scales(opinions: Sequence[np.ndarray], labels: np.ndarray) -> list[float]:
    """What each of several logits is multiplied with so that their sum is the likeliest.

    For one of them, temperature scaling (Guo et al. 2017, arXiv 1706.04599, section 4.2); of
    several, one that knows nothing of these images gets next to no say. With one thing added: a
    share of the labels, fitted as well, is any of the other classes. Without it, a tenth of wrong
    labels makes every probability look too sure.

    Args:
        opinions: float (N, K) each, out of sample.
        labels: int (N,); of more than 20,000, as many spread evenly are used.

    Returns:
        A factor above 0 for each.
    """
    from scipy.optimize import minimize

    step = -(-len(labels) // _AT_MOST)
    parts = [np.asarray(each[::step], np.float64) for each in opinions]
    labels = labels[::step]
    rows, others = np.arange(len(labels)), parts[0].shape[1] - 1

    def surprise(choice: np.ndarray) -> float:
        wrong = 1 / (1 + np.exp(-choice[-1]))
        given = softmax(weighted(parts, np.exp(choice[:-1]).tolist()))[rows, labels]
        return -float(np.log((1 - wrong) * given + wrong * (1 - given) / others + _TINY).mean())

    count = len(parts)
    start = np.array([-math.log(count)] * count + [-3.0])
    simplex = np.vstack([start, start + np.eye(count + 1) * ([1.5] * count + [3.0])])
    wide = {"initial_simplex": simplex, "xatol": 1e-3, "fatol": 1e-8, "maxiter": 1000}
    best = minimize(surprise, start, method="Nelder-Mead", options=wide)
    return [math.exp(scale) for scale in best.x[:-1]]


def weighted(opinions: Sequence[np.ndarray], scales: Sequence[float]) -> np.ndarray:
    """The sum of logits (N, K), each multiplied with its factor."""
    return np.sum([scale * each for scale, each in zip(scales, opinions, strict=True)], axis=0)
