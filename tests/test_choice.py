import numpy as np

from tinyscope.evaluation.choice import Candidate, choose


def candidate(name, accuracies, *, parameters=100, right=None, seeds=None):
    answers = np.zeros(200, bool)
    answers[: round(200 * (accuracies[0] if right is None else right))] = True
    return Candidate(
        name, parameters, seeds or tuple(range(len(accuracies))), tuple(accuracies), answers
    )


def test_the_highest_mean_over_seeds_is_chosen_and_not_the_best_single_run():
    choice = choose([candidate("lucky", [0.5, 0.95]), candidate("steady", [0.8, 0.8])])
    assert choice.variation == "steady"


def test_the_lowest_seed_ships_even_where_another_is_better():
    choice = choose([candidate("a", [0.7, 0.9], seeds=(3, 8))])
    assert choice.seed == 3


def test_a_tie_goes_to_fewer_parameters_whatever_the_order_of_summing():
    big = candidate("big", [0.1, 0.2, 0.3], parameters=900)
    small = candidate("small", [0.3, 0.2, 0.1], parameters=100)
    choice = choose([big, small])
    assert choice.variation == "small"
    assert choice.reason.startswith(
        "“small” and “big” share the highest mean validation accuracy over 3 seeds, 20.00%; "
        "“small” is taken because it has fewer parameters."
    )


def test_an_entire_tie_goes_to_the_first_of_the_study():
    choice = choose([candidate("one", [0.5]), candidate("two", [0.5])])
    assert choice.variation == "one"
    assert "“one” is taken because the study names it first." in choice.reason


def test_runners_up_that_chance_could_explain_are_named():
    choice = choose(
        [
            candidate("far", [0.50], parameters=10),
            candidate("near", [0.795], parameters=50),
            candidate("best", [0.80], parameters=1234),
        ]
    )
    assert choice.variation == "best"
    assert choice.cannot_be_told_apart_from == ("near",)
    assert choice.reason == (
        "“best” has the highest validation accuracy: 80.00%, 0.50 points above “near”. On the same "
        "200 validation images it is better than “far” by more than chance explains and cannot be "
        "told apart from “near”. “near” is smaller (50 parameters against 1,234) and a fair choice "
        "where size matters."
    )


def test_a_clear_winner_is_said_to_be_better_than_all():
    choice = choose([candidate("a", [0.5, 0.5]), candidate("b", [0.9, 0.9])])
    assert choice.reason == (
        "“b” has the highest mean validation accuracy over 2 seeds: 90.00%, 40.00 points above "
        "“a”. On the same 200 validation images it is better than every other variation by more "
        "than chance explains."
    )


def test_a_lowest_seed_that_is_behind_is_admitted():
    choice = choose([candidate("a", [0.9, 0.3]), candidate("b", [0.5, 0.95])])
    assert choice.variation == "b"
    assert choice.cannot_be_told_apart_from == ()
    assert choice.reason.endswith(
        "On the same 200 validation images it is behind “a” with the lowest seed, but not on "
        "average."
    )


def test_without_validation_images_the_first_is_given_and_nothing_is_chosen():
    choice = choose([Candidate("a", 9, (0,), (), None), Candidate("b", 1, (0,), (), None)])
    assert (choice.variation, choice.comparisons) == ("a", ())
    assert choice.reason == (
        "The study keeps no validation images, so nothing was chosen: “a” is its first variation. "
        "The test images are never used to choose."
    )


def test_a_single_variation_leaves_nothing_to_choose():
    assert choose([candidate("a", [0.5])]).reason == (
        "“a” is the only variation of the study, so there was nothing to choose; its validation "
        "accuracy is 50.00%."
    )
