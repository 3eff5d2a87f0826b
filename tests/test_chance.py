import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from tinyscope.evaluation.chance import above_chance


def table(labels, answers, classes):
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (labels, answers), 1)
    return counts.tolist()


def drawn(seed, *, images=5_000, classes=10, known=0.0):
    """Answers that are right for a share `known`, and otherwise drawn by luck."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, images)
    answers = random.integers(0, classes, images)
    right = random.random(images) < known
    return labels, np.where(right, labels, answers)


def test_answers_drawn_by_luck_are_seldom_called_better():
    called = [above_chance(table(*drawn(k), 10), train_accuracy=0.1) for k in range(400)]
    assert sum(called) <= 0.05 * len(called)  # one in forty is expected


def test_a_little_knowledge_is_enough():
    assert all(
        above_chance(table(*drawn(k, known=0.05), 10), train_accuracy=0.1) for k in range(20)
    )


def test_knowing_training_images_is_knowing_something():
    by_luck = table(*drawn(0), 10)
    assert not above_chance(by_luck, train_accuracy=0.1)
    assert above_chance(by_luck, train_accuracy=0.5)


@pytest.mark.parametrize("share", [0.4, 0.9, 1.0])
def test_naming_the_largest_class_always_is_guessing(share):
    labels = (np.arange(1_000) >= round(1_000 * share)).astype(int)
    always = np.zeros(1_000, int)
    assert not above_chance(table(labels, always, 2), train_accuracy=share)


def test_who_knows_small_classes_may_know_fewer_images_than_the_largest_class_has():
    """And has learnt: Cohen's kappa, which asks the same, is far above 0."""
    labels = np.repeat([0, 1], [900, 100])
    answers = labels.copy()
    answers[:120] = 1
    answers[900:910] = 0
    known = (labels == answers).mean()
    assert known < 0.9
    assert cohen_kappa_score(labels, answers) > 0.4
    assert above_chance(table(labels, answers, 2), train_accuracy=known)
