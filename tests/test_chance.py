import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from tinyscope.evaluation.chance import above_chance

GUESSED = {"train_accuracy": 0.1, "train_counts": [450] * 10}


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
    called = [above_chance(table(*drawn(k), 10), **GUESSED) for k in range(400)]
    assert sum(called) <= 0.05 * len(called)  # one in forty is expected


def test_a_little_knowledge_is_enough():
    assert all(above_chance(table(*drawn(k, known=0.05), 10), **GUESSED) for k in range(20))


def test_knowing_training_images_is_knowing_something():
    by_luck = table(*drawn(0), 10)
    assert not above_chance(by_luck, **GUESSED)
    assert above_chance(by_luck, train_accuracy=0.5, train_counts=[450] * 10)


@pytest.mark.parametrize("share", [0.4, 0.9, 1.0])
def test_naming_the_largest_class_always_is_guessing(share):
    labels = (np.arange(1_000) >= round(1_000 * share)).astype(int)
    always = np.zeros(1_000, int)
    assert not above_chance(
        table(labels, always, 2),
        train_accuracy=share,
        train_counts=np.bincount(labels, minlength=2),
    )


def test_who_knows_small_classes_may_know_fewer_images_than_the_largest_class_has():
    """And has learnt: Cohen's kappa, which asks the same, is far above 0."""
    labels = np.repeat([0, 1], [900, 100])
    answers = labels.copy()
    answers[:120] = 1
    answers[900:910] = 0
    known = (labels == answers).mean()
    assert known < 0.9
    assert cohen_kappa_score(labels, answers) > 0.4
    assert above_chance(table(labels, answers, 2), train_accuracy=known, train_counts=[900, 100])


def test_of_few_validation_images_the_training_images_tell():
    """Of six nothing can be told; 40 of 45 training images in two classes are no luck."""
    confusion = [[3, 0], [1, 2]]
    assert above_chance(confusion, train_accuracy=40 / 45, train_counts=[23, 22])
    assert not above_chance(confusion, train_accuracy=25 / 45, train_counts=[23, 22])


def test_the_largest_class_of_the_training_images_is_theirs():
    """Always naming it is no knowledge, however even the validation images are."""
    assert not above_chance([[10, 0], [10, 0]], train_accuracy=0.9, train_counts=[90, 10])


def test_the_tails_are_exact():
    from scipy.stats import binomtest

    for right in range(20, 41):
        likely = binomtest(right, 50, 0.5, alternative="greater").pvalue
        confusion = [[right - right // 2, 25 - (right - right // 2)], [25 - right // 2, right // 2]]
        by_luck = (
            sum(
                sum(row) * sum(column)
                for row, column in zip(confusion, zip(*confusion, strict=True), strict=True)
            )
            / 2500
        )
        if by_luck == 0.5:
            known = above_chance(confusion, train_accuracy=0.5, train_counts=[25, 25])
            assert known == (likely <= 0.025)
