"""Tests of tinyscope.data.balance."""

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from tinyscope.data.balance import chi_square_p, class_weights, equal_shares, is_unbalanced
from tinyscope.data.exploration import even_classes, same_shares


def test_weights_are_scikit_learns_balanced_ones():
    labels = np.repeat(np.arange(4), [1, 10, 30, 7])
    expected = compute_class_weight("balanced", classes=np.arange(4), y=labels)

    weights = class_weights(labels, 4)

    np.testing.assert_allclose(weights, expected, rtol=1e-15)
    assert weights.dtype == np.float64


def test_the_mean_weight_of_an_image_is_one_and_classes_count_alike():
    labels = np.repeat(np.arange(3), [2, 5, 13])
    weights = class_weights(labels, 3)
    assert weights[labels].mean() == pytest.approx(1)
    assert (weights * [2, 5, 13]).tolist() == pytest.approx([20 / 3] * 3)


def test_a_class_without_images_weighs_nothing():
    weights = class_weights(np.array([0, 0, 2, 2, 2, 2]), 3)
    np.testing.assert_allclose(weights, [1.5, 0, 0.75])  # 6 / (2 classes x 2), 6 / (2 x 4)


@pytest.mark.parametrize(
    ("counts", "unbalanced"),
    [
        ([10, 10], False),
        ([150, 100], False),  # not above 1.5
        ([160, 100], True),
        ([30, 0], True),
        ([20, 31, 25], False),  # p = 0.3
        ([3, 0], False),
        ([7], False),
    ],
)
def test_classes_are_unbalanced_above_one_and_a_half_to_one_that_chance_does_not_make(
    counts, unbalanced
):
    assert is_unbalanced(counts) is unbalanced


def test_classes_and_splits_are_judged_by_one_chi_square_test():
    assert chi_square_p(0.0, 3) == 1.0
    assert chi_square_p(3.841, 1) == pytest.approx(0.05, abs=1e-4)  # of any table of it
    assert chi_square_p(1e6, 9) == 0.0
    # 60 : 40 against equal shares has the statistic 4, as 55 : 45 against 45 : 55 has 2.
    assert equal_shares([60, 40]) == (4.0, chi_square_p(4.0, 1))
    found = same_shares({"train": [55, 45], "test": [45, 55]}, ("a", "b"))
    assert (found["statistic"], found["dof"]) == (pytest.approx(2.0), 1)
    assert found["p_value"] == chi_square_p(found["statistic"], 1)


def test_where_classes_are_called_unbalanced_their_sentence_does_not_lay_it_to_chance():
    for smallest in range(1, 20):
        counts = [smallest, 20, 20]
        judgement = even_classes(counts, ("a", "b", "c"))["judgement"]
        assert is_unbalanced(counts) is ("chance alone would not" in judgement)
