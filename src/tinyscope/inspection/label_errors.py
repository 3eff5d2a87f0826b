"""Label errors: which labels are probably wrong, by out-of-sample probabilities.

Measured on CIFAR-10's 50,000 training images with labels planted wrong, by two networks that
`out_of_sample` trains and the `linear_probe` (one draw, another than what is chosen here was chosen
on; CIFAR-10's own wrong labels count as mistakes of the check):

| planted | precision | recall | average precision | of self-confidence | of normalized margin |
|---|---|---|---|---|---|
| 1%, any other class | 0.87 | 0.73 | 0.86 | 0.87 | 0.67 |
| 5%, any other class | 0.86 | 0.86 | 0.93 | 0.93 | 0.84 |
| 10%, any other class | 0.88 | 0.89 | 0.95 | 0.95 | 0.89 |
| 5%, the class confused most | 0.95 | 0.59 | 0.89 | 0.71 | 0.79 |

Scores of cleanlab 2.9 on the same probabilities. By the networks alone: about 0.87 and 0.78 with
5%. Mistakes that go one way are learnt as what a class looks like.
"""

from dataclasses import dataclass

import numpy as np

from tinyscope.errors import DataError

LIKELY = 0.28
"""The suspicion above which a label is called wrong; with 5 and 10% planted, six of seven are."""

_FIRST_EVEN, _LEAST_EVEN = 0.25, 0.1
_HARD = 0.15  # chosen on planted sets of 10 and 100 classes, as are the other two
_LEAST = 0.005  # share of wrong labels; CIFAR-10's test images have as many (Northcutt et al. 2021)
_FEWEST = 10
_ROUNDS, _SETTLED = 200, 1e-7
_TINY = 1e-30


@dataclass(frozen=True, eq=False)
class LabelErrors:
    """What is to be thought of every label.

    Attributes:
        suspicion: float64 (N,) in 0 … 1: how probable it is that the label is wrong; 0 where it
            cannot be judged.
        wrong: bool (N,): the suspicion is above `LIKELY`.
        suggested: int64 (N,): the likeliest class other than the given one.
        mislabelled: float64 (K, K): of the images that are of a class (row), the share that is
            labelled as each class (column); rows sum to 1.
        unjudged: int64 (M,): the classes, ascending, of which there are too few images to tell.
    """

    suspicion: np.ndarray
    wrong: np.ndarray
    suggested: np.ndarray
    mislabelled: np.ndarray
    unjudged: np.ndarray

    @property
    def share(self) -> float:
        """The expected share of wrong labels, in 0 … 1, those included that cannot be found."""
        return float(self.suspicion.mean())


def label_errors(
    labels: np.ndarray,
    probabilities: np.ndarray,
    *,
    mislabelled: np.ndarray | None = None,
    unjudged: np.ndarray | None = None,
) -> LabelErrors:
    """Judges every label by what networks say that were not trained on it.

    Given the true class, an image's label is taken as a draw from that class's row of a matrix of
    mislabelling, whatever the image looks like; then the probability that the label is wrong
    follows from the image's probabilities by Bayes' rule, and the matrix from these, in turn, until
    both settle (expectation-maximization; Dawid and Skene 1979, with a classifier in the place of
    the raters). The matrix is drawn towards one in which every mistake is equally likely, because
    hard images look like mistakes between classes that are alike. By how much depends on the share
    of images that look as if mistakes went one way: h / (h + that share), a tenth at least, where
    hard images alone would account for h = 0.15 (1 - c)^2, c being the mean of the images' largest
    probabilities. So few mistakes, and those that went anywhere, come in the order of
    self-confidence; cats that were all called dogs come before.

    Confident learning (Northcutt et al. 2021, arXiv 1911.00068) has the same model of mislabelling
    and counts the images above a class's mean probability instead; where probabilities are
    calibrated this takes hard images for wrong labels.

    Args:
        labels: int64 (N,), in 0 … K-1.
        probabilities: float (N, K), calibrated and out of sample
            (`label_probabilities.label_probabilities`).
        mislabelled: float (K, K), of a larger split that was labelled in the same way, such as the
            training images' where test images are judged; found out from the labels where None.
        unjudged: int (M,), the classes that cannot be judged, of that larger split; where None,
            those with fewer than ten images if the matrix is found out from them, else none.

    Raises:
        DataError: the two arrays are not of the same images, or there is no image, or one class.
    """
    labels = np.asarray(labels, np.int64)
    rows, classes = probabilities.shape
    given = f"{rows} rows of {classes} probabilit{'y' if classes == 1 else 'ies'}"
    if rows != len(labels):
        fault = "one row for each image"
    elif not rows:
        fault = "at least one image"
    elif classes < 2:
        fault = "at least 2 classes"
    else:
        fault = ""
    if fault:
        raise DataError(f"{given} for {len(labels)} labels; expected {fault}.")
    counts = np.bincount(labels, minlength=classes)
    by_label = [np.flatnonzero(labels == k) for k in range(classes)]
    if unjudged is None:
        few = (counts > 0) & (counts < (_FEWEST if mislabelled is None else 0))
        unjudged = np.flatnonzero(few)
    if mislabelled is None:
        mislabelled = _settled(probabilities, by_label)
    suspicion = np.zeros(len(labels))
    suggested = np.zeros(len(labels), np.int64)
    for k, rows in enumerate(by_label):
        true = _true(probabilities[rows], mislabelled[:, k])
        suspicion[rows] = 1 - true[:, k]
        true[:, k] = -1
        suggested[rows] = true.argmax(1)
    suspicion[np.isin(labels, unjudged)] = 0
    return LabelErrors(suspicion, suspicion > LIKELY, suggested, mislabelled, unjudged)


def _settled(probabilities: np.ndarray, by_label: list[np.ndarray]) -> np.ndarray:
    """The matrix of mislabelling, float64 (K, K), as even as what looks one-way allows.

    Args:
        probabilities: float (N, K).
        by_label: the images with each label.
    """
    _, held = _agreed(probabilities, by_label, _FIRST_EVEN)
    hard = _HARD * (1 - float(probabilities.max(1).mean())) ** 2
    evenness = hard / (hard + _one_way(held)) if hard else 0.0
    matrix, _ = _agreed(probabilities, by_label, max(_LEAST_EVEN, evenness))
    return matrix


def _agreed(
    probabilities: np.ndarray, by_label: list[np.ndarray], evenness: float
) -> tuple[np.ndarray, np.ndarray]:
    """What expectation and maximization agree on, both float64 (K, K).

    Args:
        probabilities: float (N, K).
        by_label: the images with each label.
        evenness: how much of the matrix lets every mistake be equally likely, in 0 … 1.

    Returns:
        the matrix of mislabelling, and how many images are of each class (row) of those with each
        label (column).
    """
    classes = len(by_label)
    matrix = _even(classes, 0.05)
    for _ in range(_ROUNDS):
        held = np.stack(
            [_true(probabilities[rows], matrix[:, k]).sum(0) for k, rows in enumerate(by_label)],
            axis=1,
        )
        wrong = 1 - np.trace(held) / len(probabilities)
        counted = (held + _TINY) / (held + _TINY).sum(1, keepdims=True)
        before, matrix = (
            matrix,
            (1 - evenness) * counted + evenness * _even(classes, max(wrong, _LEAST)),
        )
        if np.abs(matrix - before).max() < _SETTLED:
            break
    return matrix, held


def _one_way(held: np.ndarray) -> float:
    """The share of images whose labels are wrong in one way only, in 0 … 1.

    All that are wrong where those of every class got one label; none where they went to all others
    as evenly as chance has it. Between, mistakes of which a part f goes one way have a chi-square
    distance from even ones that is f^2 of the greatest.

    Args:
        held: float (K, K): images of each class (row) with each label (column).
    """
    classes = len(held)
    wrong = held - np.diag(np.diag(held))
    mistakes = wrong.sum() + _TINY
    even = np.repeat((held.sum(1) / held.sum() / (classes - 1))[:, None], classes, axis=1)
    distance = ((wrong / mistakes) ** 2 / (even + _TINY)).sum() - 1
    by_chance = (classes * (classes - 1) - 1) / mistakes
    part = max(0, distance - by_chance) / max(1, classes - 2)
    return float(min(1, part) * mistakes / held.sum())


def _true(probabilities: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """Probabilities of the true class, float64 (n, K), of images with one label.

    Args:
        probabilities: float (n, K), before the label is looked at.
        labelled: float (K,): of each class, the share that gets this label.
    """
    joint = probabilities.astype(np.float64) * labelled + _TINY
    joint /= joint.sum(1, keepdims=True)
    return joint


def _even(classes: int, wrong: float) -> np.ndarray:
    """A matrix (K, K) in which a share of every class goes evenly to the others."""
    matrix = np.full((classes, classes), wrong / (classes - 1))
    np.fill_diagonal(matrix, 1 - wrong)
    return matrix
