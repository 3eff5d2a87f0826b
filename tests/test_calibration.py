import numpy as np
import pytest

from tinyscope.evaluation.metrics import softmax
from tinyscope.inspection.calibration import fitted_scales, weighted


def drawn(logits: np.ndarray, *, wrong: float, seed: int) -> np.ndarray:
    """Labels by the probabilities of logits, a share of them any other class."""
    random = np.random.default_rng(seed)
    count, classes = logits.shape
    labels = (softmax(logits).cumsum(1) < random.random((count, 1))).sum(1).clip(max=classes - 1)
    other = (labels + random.integers(1, classes, count)) % classes
    return np.where(random.random(count) < wrong, other, labels)


@pytest.mark.parametrize("wrong", [0.0, 0.1])
def test_the_temperature_is_found_though_labels_are_wrong(wrong):
    right = np.random.default_rng(2).normal(0, 2.5, (8000, 5))
    labels = drawn(right, wrong=wrong, seed=3)
    assert fitted_scales([right * 3], labels) == pytest.approx([1 / 3], rel=0.06)
    assert fitted_scales([right / 2], labels) == pytest.approx([2], rel=0.06)


@pytest.mark.parametrize("wrong", [0.0, 0.1])
def test_two_opinions_count_as_much_as_each_knows(wrong):
    random = np.random.default_rng(4)
    one, other = random.normal(0, 2, (12_000, 4)), random.normal(0, 2, (12_000, 4))
    labels = drawn(1.5 * one + 0.5 * other, wrong=wrong, seed=5)
    assert fitted_scales([one, other], labels) == pytest.approx([1.5, 0.5], rel=0.1)
    assert fitted_scales([other, one], labels) == pytest.approx([0.5, 1.5], rel=0.1)


def test_an_opinion_that_knows_nothing_has_next_to_no_say():
    random = np.random.default_rng(6)
    right, noise = random.normal(0, 2.5, (8000, 5)), random.normal(0, 2.5, (8000, 5))
    knows, guesses = fitted_scales([right, noise], drawn(right, wrong=0.05, seed=7))
    assert knows == pytest.approx(1, rel=0.06)
    assert guesses < 0.03


def test_of_very_many_labels_some_are_enough():
    right = np.random.default_rng(8).normal(0, 2.5, (50_000, 3))
    labels = drawn(right, wrong=0.0, seed=9)
    assert fitted_scales([right], labels) == fitted_scales([right[::3]], labels[::3])


def test_opinions_are_added_by_their_factors():
    one, other = np.array([[1.0, 2.0]]), np.array([[10.0, 0.0]])
    assert weighted([one, other], [2.0, 0.5]).tolist() == [[7.0, 4.0]]
