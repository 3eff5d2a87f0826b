"""How much properties of images say about their labels, whether that is remarkable or not."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tinyscope.evaluation.intervals import Z95
from tinyscope.inspection.value_tables import aucs_of_numbers, coded, counted, value_aucs

_BINS = 64


class Association(NamedTuple):
    """How much a property says about the label, whether that is remarkable or not."""

    property: str
    balanced_accuracy: float
    """Mean share of the images of a class whose class is guessed right from the property alone, by
    the most likely class of the value or of one of 64 bins, on the half of the images that the
    guess does not rest on; 0 … 1."""
    interval: tuple[float, float]
    """95%, over images."""
    chance: float
    """1 / K."""
    class_name: str
    """The class that it tells from the rest best."""
    auc: float
    """How well it does: the area under the ROC curve, 0.5 … 1; of the best single value where the
    property is no number."""


def associations(
    labels: np.ndarray,
    class_names: Sequence[str],
    *,
    numeric: Mapping[str, np.ndarray],
    categorical: Mapping[str, Sequence[str | None]],
) -> list[Association]:
    """How much each property says about the label, the strongest first.

    Args:
        labels: int (N,), in 0 … K-1.
        class_names: K names.
        numeric: by name, float or int (N,); NaN where an image has no such value.
        categorical: by name, N texts; None where an image has no such value.
    """
    found = []
    for name, values in numeric.items():
        codes = _bins(values)
        _, aucs = aucs_of_numbers(values, labels, len(class_names))
        found.append(_association(name, codes, aucs, labels, class_names))
    for name, texts in categorical.items():
        codes, _ = coded(texts)
        counts = counted(codes, labels, len(class_names))
        found.append(_association(name, codes, value_aucs(counts).max(0), labels, class_names))
    return sorted(found, key=lambda each: -each.auc)


def _bins(values: np.ndarray) -> np.ndarray:
    """int64 (N,): 64 bins of about as many images each; those without a value share one more."""
    missing = np.isnan(values)
    if missing.all():
        return np.zeros(len(values), np.int64)
    edges = np.unique(np.quantile(values[~missing], np.linspace(0, 1, _BINS + 1)[1:-1]))
    return np.where(missing, _BINS, np.searchsorted(edges, values, side="right"))


def _association(
    name: str,
    codes: np.ndarray,
    aucs: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
) -> Association:
    classes = len(class_names)
    halves = _halves(labels)
    counts = [counted(codes[half], labels[half], classes) for half in halves]
    rows = max(map(len, counts))
    first, second = (np.pad(each, ((0, rows - len(each)), (0, 0))) for each in counts)
    right = np.zeros(classes)
    for known, asked in ((first, second), (second, first)):
        share = known / np.maximum(known.sum(0), 1)
        guess = share.argmax(1)
        right += np.bincount(guess, weights=asked[np.arange(rows), guess], minlength=classes)
    in_class = np.bincount(labels, minlength=classes)
    there = in_class > 0
    recall = right[there] / in_class[there]
    variance = (recall * (1 - recall) / in_class[there]).sum() / there.sum() ** 2
    accuracy, half = float(recall.mean()), Z95 * float(np.sqrt(variance))
    best = int(aucs.argmax())
    return Association(
        property=name,
        balanced_accuracy=accuracy,
        interval=(max(0.0, accuracy - half), min(1.0, accuracy + half)),
        chance=1 / int(there.sum()),
        class_name=class_names[best],
        auc=float(aucs[best]),
    )


def _halves(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two halves of the rows, with as many images of each class: every second one at random."""
    order = np.random.default_rng(0).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    return order[::2], order[1::2]
