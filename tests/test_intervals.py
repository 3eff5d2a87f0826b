import math

import pytest
from scipy import stats

from tinyscope.errors import DataError
from tinyscope.evaluation.intervals import mean_of_differences, student, wilson


@pytest.mark.parametrize(("correct", "n"), [(0, 10), (10, 10), (81, 263), (9140, 10_000), (1, 1)])
def test_wilson_agrees_with_scipy(correct, n):
    expected = stats.binomtest(correct, n).proportion_ci(0.95, method="wilson")
    assert tuple(wilson(correct, n)) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_by_hand():
    # 1 of 2 right: centre 1/2; half width z / (n + z^2) * sqrt(n/4 + z^2/4)
    z = 1.959963984540054
    half = z / (2 + z * z) * math.sqrt(0.5 + z * z / 4)
    assert tuple(wilson(1, 2)) == pytest.approx((0.5 - half, 0.5 + half))


def test_wilson_stays_within_what_a_share_can_be():
    assert wilson(0, 5).low == 0.0
    assert wilson(5, 5).high == 1.0


def test_student_agrees_with_scipy():
    values = [0.901, 0.913, 0.907, 0.899]
    expected = stats.t.interval(0.95, 3, loc=sum(values) / 4, scale=stats.sem(values))
    assert student(values) == pytest.approx(expected)


def test_student_by_hand_with_three_seeds():
    # mean 0.8, deviation 0.1; t for 2 degrees of freedom at 97.5% is 4.30265: 4.30265 * 0.1 / 3**.5
    low, high = student([0.7, 0.8, 0.9])
    assert low == pytest.approx(0.8 - 0.248414, abs=1e-5)
    assert high == 1.0  # 1.048 is no share


def test_one_seed_has_no_interval_over_seeds():
    assert student([0.9]) is None


def test_seeds_that_are_all_alike_have_no_interval_of_no_width():
    # Two trainings with 27 of 30 right do not tell that every training would have 27 right.
    assert student([0.9, 0.9]) is None
    assert student([0.1 + 0.2] * 3) is None
    assert student([0.9, 0.9, 0.9 + 1e-4]) is not None


def test_the_mean_of_differences_agrees_with_scipys_paired_test():
    ours, theirs = [0.91, 0.9, 0.93], [0.9, 0.91, 0.89]
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    expected = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    assert mean_of_differences(differences) == pytest.approx((expected.low, expected.high))
    assert mean_of_differences([0.01]) is None
    assert mean_of_differences([0.01, 0.01]) is None


def test_more_right_than_there_are_images_is_refused():
    with pytest.raises(DataError) as caught:
        wilson(3, 2)
    assert str(caught.value) == "3 of 2 right; expected 0 to n of at least 1 image."
