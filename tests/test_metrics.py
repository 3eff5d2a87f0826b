import math

import numpy as np
import pytest
from sklearn import metrics as reference

from tinyscope.errors import DataError
from tinyscope.evaluation import metrics


@pytest.fixture
def answers() -> tuple[np.ndarray, np.ndarray]:
    """Logits of 200 images in 6 classes, of which one never occurs and one is never predicted."""
    draw = np.random.default_rng(4)
    labels = draw.integers(0, 5, 200)  # class 5 has no image
    logits = draw.normal(size=(200, 6)) + 2.0 * (labels[:, None] == np.arange(6))
    logits[:, 2] -= 50  # class 2 is never predicted
    return logits.astype(np.float32), labels


def test_accuracy_of_three_rows_by_hand():
    # rows: right, wrong, right
    assert metrics.accuracy(np.array([0, 1, 2]), np.array([0, 0, 2])) == pytest.approx(2 / 3)


def test_balanced_accuracy_by_hand_weighs_classes_alike():
    # class 0: 3 of 4 right; class 1: 0 of 1 right; class 2 has no image and does not count
    labels, predicted = np.array([0, 0, 0, 0, 1]), np.array([0, 0, 0, 2, 0])
    assert metrics.balanced_accuracy(predicted, labels) == pytest.approx((3 / 4 + 0) / 2)


def test_cross_entropy_by_hand():
    # probabilities of the true class: 1/2 and 1/4
    logits, labels = np.log(np.array([[0.5, 0.5], [0.75, 0.25]])), np.array([0, 1])
    expected = (math.log(2) + math.log(4)) / 2
    assert metrics.cross_entropy(logits, labels) == pytest.approx(expected)


def test_huge_logits_neither_overflow_nor_lose_the_loss():
    logits = np.array([[1e4, 0.0], [1e4, 0.0]], dtype=np.float32)
    assert metrics.cross_entropy(logits, np.array([0, 1])) == pytest.approx(5e3)
    assert metrics.softmax(logits).tolist() == [[1.0, 0.0], [1.0, 0.0]]


def test_top_k_by_hand_breaks_ties_like_argmax():
    logits, labels = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [3.0, 2.0, 1.0]]), [0, 1, 2]
    labels = np.array(labels)
    assert metrics.top_k_accuracy(logits, labels, k=1) == pytest.approx(1 / 3)
    assert metrics.top_k_accuracy(logits, labels, k=2) == pytest.approx(2 / 3)
    assert metrics.top_k_accuracy(logits, labels, k=3) == 1.0
    assert metrics.top_k_accuracy(logits, labels, k=1) == metrics.accuracy(logits.argmax(1), labels)


def test_every_figure_agrees_with_scikit_learn(answers):
    logits, labels = answers
    predicted = logits.argmax(1)
    classes = range(6)
    matrix = metrics.confusion_matrix(predicted, labels, classes=6)
    assert (matrix == reference.confusion_matrix(labels, predicted, labels=classes)).all()
    precision, recall, f1, support = reference.precision_recall_fscore_support(
        labels, predicted, labels=classes, zero_division=0
    )
    figures = metrics.per_class(matrix)
    np.testing.assert_allclose(figures.precision, precision)
    np.testing.assert_allclose(figures.recall, recall)
    np.testing.assert_allclose(figures.f1, f1)
    assert figures.support.tolist() == support.tolist()
    macro = reference.precision_recall_fscore_support(
        labels, predicted, labels=classes, average="macro", zero_division=0
    )
    assert list(metrics.macro_average(figures).values()) == pytest.approx(list(macro[:3]))
    assert metrics.accuracy(predicted, labels) == reference.accuracy_score(labels, predicted)
    assert metrics.top_k_accuracy(logits, labels, k=3) == pytest.approx(
        reference.top_k_accuracy_score(labels, logits, k=3, labels=classes)
    )
    probabilities = metrics.softmax(logits)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    mild = logits.clip(-8)  # scikit-learn cuts off what float32 cannot tell from 0
    assert metrics.cross_entropy(mild, labels) == pytest.approx(
        reference.log_loss(labels, metrics.softmax(mild), labels=classes), rel=1e-6
    )


def test_balanced_accuracy_agrees_with_scikit_learn_where_a_predicted_class_has_no_image():
    labels, predicted = np.array([0, 0, 1, 1, 1]), np.array([0, 2, 1, 1, 0])
    with pytest.warns(UserWarning, match="y_pred contains classes not in y_true"):
        expected = reference.balanced_accuracy_score(labels, predicted)
    assert metrics.balanced_accuracy(predicted, labels) == pytest.approx(expected)


def test_answers_that_do_not_fit_the_labels_are_refused():
    with pytest.raises(DataError) as caught:
        metrics.accuracy(np.zeros(3, int), np.zeros(4, int))
    assert str(caught.value) == "3 predictions for 4 labels; expected one for each image."
    with pytest.raises(DataError) as caught:
        metrics.cross_entropy(np.zeros((0, 3)), np.zeros(0, int))
    assert str(caught.value) == "0 images to evaluate; expected at least one."
