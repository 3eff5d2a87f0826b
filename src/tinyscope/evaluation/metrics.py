"""Accuracy, loss, confusion matrix and per-class figures, as pure functions on arrays."""

from typing import NamedTuple

import numpy as np

from tinyscope.errors import DataError


class PerClass(NamedTuple):
    """Figures of each class; four arrays of length K."""

    precision: np.ndarray
    """float64, in [0, 1]: of the images called this class, the share that is of it."""
    recall: np.ndarray
    """float64, in [0, 1]: of the images of this class, the share that was called it."""
    f1: np.ndarray
    """float64, in [0, 1]: harmonic mean of precision and recall."""
    support: np.ndarray
    """int64: images of this class."""


def _fitting(predictions: np.ndarray, labels: np.ndarray) -> None:
    if len(predictions) != len(labels):
        raise DataError(
            f"{len(predictions)} predictions for {len(labels)} labels; expected one for each image."
        )
    if not len(labels):
        raise DataError("0 images to evaluate; expected at least one.")


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities, float64 (N, K), each row summing to 1.

    Args:
        logits: float (N, K), of any size: the largest of a row is subtracted first.
    """
    shifted = np.asarray(logits, dtype=np.float64)
    shifted = shifted - shifted.max(axis=1, keepdims=True)
    powers = np.exp(shifted)
    return powers / powers.sum(axis=1, keepdims=True)


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean surprise at the true class, in nats, from 0 up; ln K is what guessing costs.

    Args:
        logits: float (N, K), before any softmax.
        labels: int (N,), in 0 … K-1.

    Raises:
        DataError: N is 0 or differs between the two arrays.
    """
    _fitting(logits, labels)
    values = np.asarray(logits, dtype=np.float64)
    shifted = values - values.max(axis=1, keepdims=True)
    log_totals = np.log(np.exp(shifted).sum(axis=1))
    return float(np.mean(log_totals - shifted[np.arange(len(labels)), labels]))


def accuracy(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Share of images whose predicted class is the true one, in [0, 1].

    Args:
        predicted: int (N,), class indices.
        labels: int (N,), class indices.

    Raises:
        DataError: N is 0 or differs between the two arrays.
    """
    _fitting(predicted, labels)
    return float(np.mean(predicted == labels))


def balanced_accuracy(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Mean recall of the classes that occur among the labels, in [0, 1].

    Every class weighs the same, however many images it has. A class without an image among
    `labels` weighs nothing (as scikit-learn's `balanced_accuracy_score`), whereas it counts as 0
    in a macro average.

    Args:
        predicted: int (N,), class indices.
        labels: int (N,), class indices.

    Raises:
        DataError: N is 0 or differs between the two arrays.
    """
    _fitting(predicted, labels)
    images = np.bincount(labels)
    right = np.bincount(labels[predicted == labels], minlength=len(images))
    occurs = images > 0
    return float(np.mean(right[occurs] / images[occurs]))


def top_k_accuracy(logits: np.ndarray, labels: np.ndarray, *, k: int) -> float:
    """Share of images whose true class is among the k with the largest logits, in [0, 1].

    Among equal logits the lower class index comes first, as in `argmax`, so that k = 1 is accuracy.

    Args:
        logits: float (N, K).
        labels: int (N,), in 0 … K-1.
        k: in 1 … K.

    Raises:
        DataError: N is 0 or differs between the two arrays.
    """
    _fitting(logits, labels)
    own = logits[np.arange(len(labels)), labels][:, None]  # (N, 1)
    earlier = np.arange(logits.shape[1]) < np.asarray(labels)[:, None]  # (N, K)
    ahead = (logits > own) | ((logits == own) & earlier)
    return float(np.mean(ahead.sum(axis=1) < k))


def confusion_matrix(predicted: np.ndarray, labels: np.ndarray, *, classes: int) -> np.ndarray:
    """Images by true class (rows) and predicted class (columns), int64 (K, K).

    Args:
        predicted: int (N,), in 0 … classes-1.
        labels: int (N,), in 0 … classes-1.
        classes: K.

    Raises:
        DataError: N is 0 or differs between the two arrays.
    """
    _fitting(predicted, labels)
    cells = np.asarray(labels, dtype=np.int64) * classes + predicted
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def per_class(matrix: np.ndarray) -> PerClass:
    """Precision, recall, F1 and support of each class.

    A precision without a prediction, a recall without an image and an F1 without either are 0, as
    with scikit-learn's `zero_division=0`.

    Args:
        matrix: int (K, K), from `confusion_matrix`.
    """
    right = np.diag(matrix).astype(np.float64)
    support, called = matrix.sum(axis=1), matrix.sum(axis=0)
    return PerClass(
        precision=right / np.maximum(called, 1),
        recall=right / np.maximum(support, 1),
        f1=2 * right / np.maximum(support + called, 1),
        support=support,
    )


def macro_average(figures: PerClass) -> dict[str, float]:
    """Unweighted means over all K classes: "precision_macro", "recall_macro", "f1_macro".

    Classes without an image or a prediction take part with the 0 that `per_class` gives them.
    """
    return {
        "precision_macro": float(figures.precision.mean()),
        "recall_macro": float(figures.recall.mean()),
        "f1_macro": float(figures.f1.mean()),
    }
