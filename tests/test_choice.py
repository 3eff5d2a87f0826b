import numpy as np

from tinyscope.evaluation.choice import Candidate, choose


def candidate(
    name, accuracies, *, parameters=100, right=None, seeds=None, diverged=(), guessing=()
):
    answers = np.zeros(200, bool)
    answers[: round(200 * (accuracies[0] if right is None else right))] = True
    return Candidate(
        name,
        parameters,
        seeds or tuple(range(len(accuracies))),
        tuple(accuracies),
        answers,
        diverged,
        guessing,
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
        "“best” has the highest validation accuracy: 80.00%, 0.50 points above “near”. Of the runs "
        "with seed 0, on the same 200 validation images, that of “best” is better than that of "
        "“far” by more than chance explains and cannot be told apart from that of “near”. “near” "
        "is smaller (50 parameters against 1,234) and 0.50 points behind with seed 0 (95% interval "
        "−1.56 to 2.55, adjusted over 3 pairs): it may cost more than 2 points."
    )


def answers(name, parameters, *right, images=10_000):
    """A candidate with so many right answers of each seed, always the first ones."""
    first = np.arange(images) < right[0]
    shares = tuple(count / images for count in right)
    return Candidate(name, parameters, tuple(range(len(right))), shares, first)


def test_a_smaller_variation_is_a_fair_choice_only_if_it_is_surely_little_behind():
    best, near = answers("best", 1234, 9000, 9010, 9005), answers("near", 50, 8999, 8951, 8975)
    # Differences of 0.01, 0.59 and 0.30 points: mean 0.30, deviation 0.29; 4.30265 of its error.
    assert choose([best, near]).reason.endswith(
        "“near” is smaller (50 parameters against 1,234) and 0.30 points behind on average (95% "
        "over seeds −0.42 to 1.02), 0.01 with seed 0 (95% interval −0.02 to 0.04): at most 2 "
        "points, a fair choice where size matters."
    )
    # The runs with the lowest seed are level, the means are not.
    far = answers("far", 50, 8999, 8500, 8500)
    assert choose([best, far]).reason.endswith("it may cost more than 2 points.")


def test_a_smaller_variation_whose_seeds_spread_is_no_fair_choice():
    # 0.01 and 0.59 points behind: what two seeds tell of the mean reaches 4 points.
    best, near = answers("best", 1234, 9000, 9010), answers("near", 50, 8999, 8951)
    reason = choose([best, near]).reason
    assert "0.30 points behind on average (95% over seeds −3.38 to 3.98), 0.01 with" in reason
    assert reason.endswith("it may cost more than 2 points.")


def test_with_one_seed_a_smaller_variation_is_judged_as_the_model_that_ships():
    best, near = answers("best", 1234, 9000), answers("near", 50, 8999)
    assert choose([best, near]).reason.endswith(
        "0.01 points behind with seed 0 (95% interval −0.02 to 0.04): between the two models that "
        "would ship at most 2 points, a fair choice where size matters."
    )
    # Seeds that change nothing tell no more than one.
    best, near = answers("best", 1234, 9000, 9000), answers("near", 50, 8999, 8999)
    assert "0.01 points behind on average, 0.01 with seed 0 (95%" in choose([best, near]).reason
    assert "between the two models that would ship at most 2" in choose([best, near]).reason


def test_where_few_images_tell_little_a_far_worse_small_variation_is_no_fair_choice():
    best = Candidate("best", 1000, (0,), (27 / 30,), np.arange(30) < 27)
    tiny = np.r_[np.ones(18, bool), np.zeros(9, bool), np.ones(2, bool), np.zeros(1, bool)]
    choice = choose([best, Candidate("tiny", 10, (0,), (20 / 30,), tiny)])
    assert choice.cannot_be_told_apart_from == ("tiny",)
    assert "23.33 points behind with seed 0" in choice.reason
    assert "fair choice" not in choice.reason


def test_a_smaller_variation_that_is_surely_near_is_named_rather_than_a_still_smaller_one():
    best, near = answers("best", 1234, 9000, 9000), answers("near", 50, 8999, 8990)
    tiny = answers("tiny", 5, 8999, 8000)
    assert "“near” is smaller" in choose([best, near, tiny]).reason


def test_a_smaller_variation_that_diverged_is_not_proposed():
    best = answers("best", 1234, 9000, 9000)
    hot = answers("hot", 5, 9000, 8990)._replace(diverged=(1,))
    assert "smaller" not in choose([best, hot]).reason


def test_a_clear_winner_is_said_to_be_better_where_all_seeds_agree():
    a, b, c = candidate("a", [0.5, 0.5]), candidate("b", [0.9, 0.9]), candidate("c", [0.6, 0.6])
    assert choose([a, b]).reason == (
        "“b” has the highest mean validation accuracy over 2 seeds: 90.00%, 40.00 points above "
        "“a”. Of the runs with seed 0, on the same 200 validation images, that of “b” is better "
        "than that of “a” by more than chance explains. The other seed agrees: “b” is better than "
        "“a”."
    )
    assert choose([a, b, c]).reason.endswith(
        "that of “b” is better than all others by more than chance explains. The other seed "
        "agrees: “b” is better than every other variation."
    )


def test_with_one_seed_only_the_runs_are_compared_and_not_the_variations():
    choice = choose([candidate("a", [0.5], seeds=(4,)), candidate("b", [0.9], seeds=(4,))])
    assert choice.reason.endswith(
        "Of the runs with seed 4, on the same 200 validation images, that of “b” is better than "
        "that of “a” by more than chance explains."
    )


def test_a_lead_of_the_lowest_seed_that_others_do_not_share_makes_no_variation_better():
    lucky = candidate("lucky", [0.95, 0.69, 0.69])
    choice = choose([lucky, candidate("level", [0.5, 0.7, 0.7]), candidate("low", [0.5] * 3)])
    assert choice.reason.endswith(
        "that of “lucky” is better than all others by more than chance explains. All other seeds "
        "agree: “lucky” is better than “low”. With other seeds it is not always ahead of “level”: "
        "whether it is better is not known."
    )


def test_a_lowest_seed_that_is_behind_is_admitted():
    choice = choose([candidate("a", [0.9, 0.3]), candidate("b", [0.5, 0.95])])
    assert choice.variation == "b"
    assert choice.cannot_be_told_apart_from == ()
    assert choice.reason.endswith(
        "Of the runs with seed 0, on the same 200 validation images, that of “b” is behind that of "
        "“a”, but not on average."
    )


def test_one_that_is_behind_what_was_passed_over_is_not_said_to_be_ahead_on_average():
    hot = candidate("hot", [0.9, 0.6], diverged=(1,))
    choice = choose([hot, candidate("calm", [0.5, 0.5])])
    assert choice.reason.endswith("that of “calm” is behind that of “hot”.")


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


def test_a_variation_of_which_a_training_diverged_is_passed_over_and_the_reason_says_so():
    hot = candidate("hot", [0.10, 0.95, 0.95], diverged=(0,))
    warm = candidate("warm", [0.6, 0.6, 0.6])
    choice = choose([hot, candidate("calm", [0.65, 0.66, 0.64]), warm])
    assert (choice.variation, choice.standing) == ("calm", "recommended")
    assert choice.reason.startswith(
        "Of the variations whose training did not diverge, “calm” has the highest mean validation "
        "accuracy over 3 seeds: 65.00%, 5.00 points above “warm”. “hot” has 66.67%, but its "
        "training with seed 0 diverged. "
    )


def test_the_only_sound_variation_is_called_that():
    hot = candidate("hot", [0.7, 0.9, 0.2], diverged=(1, 2))
    choice = choose([hot, candidate("calm", [0.5, 0.5, 0.5])])
    assert choice.reason.startswith(
        "“calm” is the only variation whose training did not diverge; its mean validation accuracy "
        "over 3 seeds is 50.00%. “hot” has 60.00%, but its training with seeds 1 and 2 diverged. "
    )


def test_a_diverged_variation_that_is_behind_anyway_is_compared_like_any_other():
    hot = candidate("hot", [0.1, 0.1], diverged=(0, 1))
    choice = choose([hot, candidate("calm", [0.5, 0.5])])
    assert choice.reason.startswith(
        "“calm” has the highest mean validation accuracy over 2 seeds: 50.00%, 40.00 points above "
        "“hot”. "
    )


def test_where_every_variation_diverged_one_whose_lowest_seed_did_not_is_recommended_with_a_word():
    ships = candidate("ships", [0.5, 0.1], diverged=(1,))
    lost = candidate("lost", [0.1, 0.9], diverged=(0,))
    choice = choose([lost, ships])
    assert (choice.variation, choice.standing) == ("ships", "recommended")
    assert choice.reason.startswith(
        "“ships” is the only variation whose training with seed 0 did not diverge; its mean "
        "validation accuracy over 2 seeds is 30.00%. “lost” has 50.00%, but its training with seed "
        "0 diverged. The training of “ships” with seed 1 diverged; the one that ships, with seed "
        "0, did not. "
    )


def test_where_every_lowest_seed_diverged_nothing_can_be_recommended():
    hot = candidate("hot", [0.1, 0.9], diverged=(0,))
    choice = choose([candidate("hotter", [0.1, 0.1], diverged=(0, 1)), hot])
    assert (choice.variation, choice.standing) == ("hot", "diverged")
    assert choice.reason == (
        "Nothing can be recommended: every training with seed 0, the one that ships, diverged. "
        "“hot” has the highest mean validation accuracy over 2 seeds: 50.00%."
    )
    single = choose([candidate("hot", [0.1], diverged=(0,))])
    assert single.standing == "diverged"
    assert single.reason == (
        "Nothing can be recommended: every training with seed 0, the one that ships, diverged. "
        "“hot” has a validation accuracy of 10.00%."
    )


def test_without_validation_images_the_first_that_did_not_diverge_is_given():
    hot = Candidate("hot", 9, (0,), (), None, (0,))
    calm = Candidate("calm", 9, (0,), (), None)
    choice = choose([hot, calm])
    assert (choice.variation, choice.standing) == ("calm", "unchosen")
    assert choice.reason == (
        "The study keeps no validation images, so nothing was chosen: “calm” is its first "
        "variation whose training did not diverge. The test images are never used to choose."
    )
    lost = choose([hot])
    assert (lost.variation, lost.standing) == ("hot", "diverged")
    assert lost.reason == (
        "Nothing can be recommended: every training with seed 0, the one that ships, diverged. "
        "“hot” is the study's first variation."
    )


def test_a_variation_whose_shipping_run_only_guesses_is_passed_over_whatever_its_mean():
    """Two seeds of 97% do not make up for a model that names one class always."""
    dead = candidate("dead", [0.10, 0.97, 0.97], guessing=(0,))
    choice = choose([dead, candidate("calm", [0.60, 0.60, 0.60])])
    assert (choice.variation, choice.standing) == ("calm", "recommended")
    assert choice.reason.startswith(
        "“calm” is the only variation whose training learnt something; its mean validation "
        "accuracy over 3 seeds is 60.00%. “dead” has 68.00%, but its answers with seed 0 cannot be "
        "told from guesses. "
    )


def test_naming_the_largest_class_always_is_not_preferred_to_a_model_that_knows_both():
    always = candidate("always", [0.90], guessing=(0,))
    choice = choose([always, candidate("real", [0.88]), candidate("weak", [0.7])])
    assert choice.variation == "real"
    assert choice.reason.startswith(
        "Of the variations whose training learnt something, “real” has the highest validation "
        "accuracy: 88.00%, 18.00 points above “weak”. “always” has 90.00%, but its answers with "
        "seed 0 cannot be told from guesses. "
    )


def test_another_seed_that_only_guesses_is_told_of_what_is_recommended():
    some = candidate("some", [0.9, 0.1], guessing=(1,))
    lost = candidate("lost", [0.1, 0.1], guessing=(0, 1), diverged=(0,))
    choice = choose([some, lost])
    assert (choice.variation, choice.standing) == ("some", "recommended")
    assert (
        "The answers of “some” with seed 1 cannot be told from guesses; those of the one that "
        "ships, with seed 0, can."
    ) in choice.reason


def test_where_even_the_best_guesses_nothing_can_be_recommended():
    idle = candidate("idle", [0.1], guessing=(0,))
    choice = choose([idle, candidate("less", [0.05], guessing=(0,))])
    assert (choice.variation, choice.standing) == ("idle", "guesses")
    assert choice.reason == (
        "Nothing can be recommended: with seed 0, the one that ships, even the best answers cannot "
        "be told from guesses. “idle” has the highest validation accuracy: 10.00%."
    )


def test_where_some_diverged_and_the_others_guess_the_most_accurate_is_shown():
    """A training that diverged ships its best epoch, which may know something."""
    idle, lost = candidate("idle", [0.1], guessing=(0,)), candidate("lost", [0.6], diverged=(0,))
    choice = choose([idle, lost])
    assert (choice.variation, choice.standing) == ("lost", "diverged")
    assert choice.reason == (
        "Nothing can be recommended: every training with seed 0, the one that ships, diverged or "
        "learnt nothing. “lost” has the highest validation accuracy: 60.00%."
    )


def test_the_best_is_not_measured_against_one_that_learnt_nothing_where_another_was_passed_over():
    less = candidate("less", [0.5], guessing=(0,))
    more = candidate("more", [0.7], guessing=(0,))
    told = choose([less, candidate("calm", [0.6]), more]).reason
    assert told.startswith(
        "“calm” is the only variation whose training learnt something; its validation accuracy is "
        "60.00%. “more” has 70.00%, but its answers with seed 0 cannot be told from guesses."
    )


def test_where_another_seed_of_the_best_diverged_the_others_are_judged_by_the_lowest():
    best = candidate("best", [0.6, 0.5], diverged=(1,))
    other = candidate("other", [0.2, 0.99], diverged=(1,), guessing=(0,))
    told = choose([other, best]).reason
    assert told.startswith(
        "“best” is the only variation whose training with seed 0 learnt something; its mean "
        "validation accuracy over 2 seeds is 55.00%. “other” has 59.50%, but its answers with seed "
        "0 cannot be told from guesses."
    )


def test_both_reasons_to_pass_over_are_named():
    gone = candidate("gone", [0.7], diverged=(0,))
    dead = candidate("dead", [0.6], guessing=(0,))
    choice = choose([gone, dead, candidate("calm", [0.5])])
    assert choice.reason.startswith(
        "“calm” is the only variation whose training did not diverge and learnt something; its "
        "validation accuracy is 50.00%. “gone” has 70.00%, but its training with seed 0 diverged. "
        "“dead” has 60.00%, but its answers with seed 0 cannot be told from guesses."
    )
