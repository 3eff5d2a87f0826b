"""Evaluation: predictions and labels of one split -> tables."""

from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import Any

import numpy as np

from tinyscope.errors import DataError
from tinyscope.evaluation import metrics
from tinyscope.evaluation.intervals import Interval, wilson


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What one trained model answered to the images of one split.

    Attributes:
        split: "train", "validation" or "test".
        logits: float (N, K), the model's outputs before softmax.
        labels: int64 (N,), the true classes, in 0 … K-1.
        class_names: K names.

    Raises:
        DataError: there are no images, or the shapes do not fit one another.
    """

    split: str
    logits: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        expected = (len(self.labels), len(self.class_names))
        if self.logits.shape != expected or not len(self.labels):
            raise DataError(
                f"{self.split}: logits of shape {self.logits.shape} for {len(self.labels)} labels "
                f"and {len(self.class_names)} classes; expected (N, K) with at least one image."
            )

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Softmax of the logits, float64 (N, K)."""
        return metrics.softmax(self.logits)

    @cached_property
    def predicted(self) -> np.ndarray:
        """The class with the largest logit, int64 (N,)."""
        return self.logits.argmax(axis=1)

    @cached_property
    def right(self) -> np.ndarray:
        """Whether the predicted class is the true one, bool (N,)."""
        return self.predicted == self.labels

    @cached_property
    def matrix(self) -> np.ndarray:
        """Images by true class (rows) and predicted class (columns), int64 (K, K)."""
        return metrics.confusion_matrix(self.predicted, self.labels, classes=len(self.class_names))

    @property
    def accuracy(self) -> float:
        """Share of images whose predicted class is the true one, in [0, 1]."""
        return metrics.accuracy(self.predicted, self.labels)

    @property
    def image_interval(self) -> Interval:
        """95% interval of the accuracy over images (Wilson)."""
        return wilson(int(self.right.sum()), len(self.labels))

    def overall(self) -> dict[str, float | None]:
        """The figures of the whole split, by their usual names.

        "accuracy", "balanced_accuracy", "top_5_accuracy" (None with ten classes or fewer, where it
        says little), "loss" (cross-entropy in nats), "precision_macro", "recall_macro", "f1_macro".
        """
        many = len(self.class_names) > 10
        return {
            "accuracy": self.accuracy,
            "balanced_accuracy": metrics.balanced_accuracy(self.predicted, self.labels),
            "top_5_accuracy": metrics.top_k_accuracy(self.logits, self.labels, k=5)
            if many
            else None,
            "loss": metrics.cross_entropy(self.logits, self.labels),
            **metrics.macro_average(metrics.per_class(self.matrix)),
        }

    def per_class(self) -> list[dict[str, Any]]:
        """A row for each class, in their order.

        Keys: "number" (of the class, from 1), "class", "precision", "recall", "f1", "support" (its
        images), "called" (images that were given its name), and "recall_interval", 95% over images,
        or None without an image.
        """
        figures = metrics.per_class(self.matrix)
        called = self.matrix.sum(axis=0)
        return [
            {
                "number": k + 1,
                "class": name,
                "precision": float(figures.precision[k]),
                "recall": float(figures.recall[k]),
                "recall_interval": list(wilson(int(self.matrix[k, k]), int(figures.support[k])))
                if figures.support[k]
                else None,
                "f1": float(figures.f1[k]),
                "support": int(figures.support[k]),
                "called": int(called[k]),
            }
            for k, name in enumerate(self.class_names)
        ]

    def confused_pairs(self, *, limit: int = 10) -> list[dict[str, Any]]:
        """The most frequent mistakes: one class taken for another, most frequent first.

        Keys: "true", "predicted" (names), "count", "share" (of the true class's images, in
        [0, 1]), and "rows": all images concerned, the most confident mistake first.
        """
        wrong = self.matrix.copy()
        np.fill_diagonal(wrong, 0)
        order = np.argsort(-wrong, axis=None, kind="stable")[:limit]
        support = self.matrix.sum(axis=1)
        pairs = []
        for true, called in zip(*np.unravel_index(order, wrong.shape), strict=True):
            count = int(wrong[true, called])
            if not count:
                break
            rows = np.flatnonzero((self.labels == true) & (self.predicted == called))
            confident = rows[np.argsort(-self.probabilities[rows, called], kind="stable")]
            pairs.append(
                {
                    "true": self.class_names[true],
                    "predicted": self.class_names[called],
                    "count": count,
                    "share": count / int(support[true]),
                    "rows": confident.tolist(),
                }
            )
        return pairs

    def gallery(self, kind: str, *, limit: int = 12) -> list[dict[str, Any]]:
        """Telling predictions, spread over the true classes so that none fills the gallery.

        Args:
            kind: "confident right" or "confident wrong" (largest probability first), or
                "uncertain" (smallest probability of the predicted class first).
            limit: rows at most. A class gets no more than two of them (or its even share, where
                classes are few) unless places would stay empty.

        Returns:
            Rows with "row" (the image's place in the split), "true", "predicted" (names),
            "probability" (of the predicted class), "second" (the next likely class), and
            "second_probability".
        """
        confidence = self.probabilities.max(axis=1)
        score, among = {
            "confident right": (-confidence, self.right),
            "confident wrong": (-confidence, ~self.right),
            "uncertain": (confidence, np.ones_like(self.right)),
        }[kind]
        rows = np.flatnonzero(among)
        ranked = rows[np.argsort(score[rows], kind="stable")]
        share = max(2, -(-limit // len(self.class_names)))
        taken = np.zeros(len(self.class_names), dtype=int)
        chosen: list[int] = []
        waiting: list[int] = []
        for row in ranked:
            if len(chosen) == limit:
                break
            label = self.labels[row]
            (chosen if taken[label] < share else waiting).append(int(row))
            taken[label] += 1
        chosen = sorted(chosen + waiting[: limit - len(chosen)], key=lambda row: (score[row], row))
        return [self._answer(row) for row in chosen]

    def _answer(self, row: int) -> dict[str, Any]:
        first, second = np.argsort(-self.logits[row], kind="stable")[:2]
        return {
            "row": row,
            "true": self.class_names[self.labels[row]],
            "predicted": self.class_names[first],
            "probability": float(self.probabilities[row, first]),
            "second": self.class_names[second],
            "second_probability": float(self.probabilities[row, second]),
        }

    def _repr_html_(self) -> str:
        low, high = self.image_interval
        rows = [
            f"<tr><td>{escape(name.replace('_', ' '))}</td><td>{value:.4f}</td></tr>"
            for name, value in self.overall().items()
            if value is not None
        ]
        tested = [row for row in self.per_class() if row["support"]]
        worst = sorted(tested, key=lambda row: row["f1"])[:3]
        names = ", ".join(f"{escape(row['class'])} ({row['f1']:.2f})" for row in worst)
        return (
            f"<table><caption>{escape(self.split)}: {len(self.labels):,} images, "
            f"{len(self.class_names)} classes; 95% interval of the accuracy over images "
            f"{low:.4f} to {high:.4f}; lowest F1: {names}</caption>{''.join(rows)}</table>"
        )
