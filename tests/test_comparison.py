import numpy as np
import pytest
from scipy import stats

from tinyscope.errors import DataError
from tinyscope.evaluation.comparison import against, compare_all, holm, mcnemar


def answers(only_first: int, only_second: int, both: int = 5, neither: int = 3):
    first = [True] * only_first + [False] * only_second + [True] * both + [False] * neither
    second = [False] * only_first + [True] * only_second + [True] * both + [False] * neither
    return np.array(first), np.array(second)


def test_mcnemar_by_hand():
    # 5 discordant images, all on one side: 2 * (1/2)**5 = 1/16
    test = mcnemar(*answers(5, 0))
    assert (test.only_first, test.only_second, test.images) == (5, 0, 13)
    assert test.p_value == pytest.approx(1 / 16)
    assert test.difference == pytest.approx(5 / 13)


@pytest.mark.parametrize(("b", "c"), [(1, 0), (3, 3), (12, 4), (4, 12), (431, 380)])
def test_mcnemar_agrees_with_the_binomial_test(b, c):
    expected = stats.binomtest(b, b + c, 0.5).pvalue
    assert mcnemar(*answers(b, c)).p_value == pytest.approx(expected)


def test_models_that_never_differ_cannot_be_told_apart():
    test = mcnemar(*answers(0, 0))
    assert (test.p_value, test.difference) == (1.0, 0.0)
    low, high = test.interval
    assert low < 0 < high


def test_the_interval_is_bonett_and_prices():
    # b = 9, c = 2, n = 98: shares 10/100 and 3/100; 0.07 +- 1.96 * sqrt((0.13 - 0.0049) / 100)
    low, high = mcnemar(*answers(9, 2, both=80, neither=7)).interval
    half = 1.959963985 * np.sqrt((0.13 - 0.07**2) / 100)
    assert (low, high) == pytest.approx((0.07 - half, 0.07 + half))


def test_the_interval_covers_the_true_difference_about_95_times_in_100():
    draw = np.random.default_rng(7)
    hits = 0
    for _ in range(1000):
        cells = draw.choice(4, size=200, p=[0.8, 0.08, 0.03, 0.09])
        low, high = mcnemar(cells <= 1, (cells == 0) | (cells == 2)).interval
        hits += low <= 0.05 <= high
    assert 930 <= hits <= 975


def test_an_interval_of_one_of_several_pairs_is_wider():
    first, second = np.arange(200) < 150, np.arange(200) >= 20
    test = mcnemar(first, second)
    assert test.interval_of_one_of(1) == test.interval
    (low, high), (wide, wider) = test.interval, test.interval_of_one_of(6)
    # 5% over six pairs leave 0.4167% at either end: z is 2.6383.
    assert (wider - wide) / (high - low) == pytest.approx(2.6383 / 1.95996, rel=1e-4)
    assert wide + wider == pytest.approx(low + high)


def test_holm_by_hand():
    # ascending 0.01, 0.03, 0.04 times 3, 2, 1; never below the one before
    assert holm([0.03, 0.01, 0.04]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_better_is_said_only_at_five_per_cent_after_adjustment():
    right = {
        "a": np.ones(40, bool),
        "b": np.r_[np.zeros(6, bool), np.ones(34, bool)],  # against a: 2 / 2**6 = 0.031
        "c": np.r_[np.ones(34, bool), np.zeros(6, bool)],
    }
    assert mcnemar(right["a"], right["b"]).p_value == pytest.approx(0.03125)
    alone = compare_all({name: right[name] for name in ("a", "b")})
    assert [one.verdict for one in alone] == ["better"]
    of_three = against("a", compare_all(right))  # 3 pairs: 0.031 * 3 = 0.094
    assert [one.verdict for one in of_three] == ["cannot be told apart"] * 2
    assert of_three[0].adjusted_p_value == pytest.approx(0.09375)


def test_a_comparison_turns_round_with_all_its_signs():
    first, second = answers(30, 5)
    turned = against("worse one", compare_all({"better one": first, "worse one": second}))[0]
    assert (turned.first, turned.second, turned.verdict) == ("worse one", "better one", "worse")
    assert (turned.test.only_first, turned.test.only_second) == (5, 30)
    assert turned.test == mcnemar(second, first)


def test_answers_to_other_images_are_refused():
    with pytest.raises(DataError) as caught:
        mcnemar(np.ones(3, bool), np.ones(4, bool))
    expected = "3 and 4 answers; expected both models' answers to the same images."
    assert str(caught.value) == expected
