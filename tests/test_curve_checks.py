import pytest
from summary_world import (
    LEVEL_CURVE,
    OVERFIT,
    curve,
    finding,
    make_summary,
    outcome,
    variation,
)

from tinyscope.diagnosis.learning_curves import learnt, learnt_by_those_that_know
from tinyscope.diagnosis.study_checks import study_findings


def test_a_gap_between_training_and_validation_is_overfitting_with_its_figures():
    one = finding("TS101", variation(history=OVERFIT), variation("level"))
    (item,) = one["items"]
    assert item["variation"] == "base"
    assert item["evidence"] == (
        "In the last epoch it knew 98.0% of the training images, counted while it learnt, and "
        "69.0% of the validation images: 29.0 points apart."
    )
    assert item["gap"] == pytest.approx(0.29)


def test_training_figures_say_what_they_were_counted_on():
    changed = {"shift": 2, "training_sizes": [0.5, 1.0], "hardest_share": 0.667}
    (item,) = finding("TS101", variation(history=OVERFIT, **changed))["items"]
    assert item["evidence"].startswith(
        "In the last epoch it knew 98.0% of the training images, counted while it learnt from "
        "images changed at random and at smaller sizes, the hardest 67% of each batch, and 69.0% of"
    )


def test_a_gap_that_so_few_validation_images_explain_is_none():
    few = variation(history=curve([0.98] * 4, [0.9] * 4))
    assert outcome("TS101", few) == ["base"]
    few["validation"]["images"] = 20
    assert outcome("TS101", few) == "clear"


RISING = [1.0, 0.9, 0.8, 0.85, 0.9, 0.95, 1.0, 1.1]


def test_a_validation_loss_that_rises_is_overfitting_without_a_gap_unless_it_is_tiny():
    train, val = [0.7] * 8, [0.69] * 8
    rising = curve(train, val, loss=RISING)
    one = finding("TS101", variation(history=rising))
    assert one["items"][0]["evidence"].endswith(
        "; the validation loss was lowest after epoch 3 of 8 (0.80) and 1.10 in the end."
    )
    tiny = curve(train, val, loss=[0.1, 0.05, 0.04, 0.05, 0.05, 0.05, 0.05, 0.06])
    assert outcome("TS101", variation(history=tiny)) == "clear"


def rises(train, val, **changes):
    """Whether a loss that rises at these accuracies is called overfitting."""
    rising = variation(history=curve([train] * 8, [val] * 8, loss=RISING), **changes)
    return outcome("TS101", rising) == ["base"]


def test_a_loss_that_rises_where_training_is_behind_validation_is_no_overfitting():
    assert not rises(0.68, 0.69)
    changed = {"shift": 2}, {"model": "whitened-cnn", "training_sizes": [0.5, 1.0]}
    for harder in changed:  # than the images as they are
        assert rises(0.67, 0.69, **harder)
        assert not rises(0.65, 0.69, **harder)
    # All is known of the third that is too easy: 40% of the others are 60% of all.
    hardest = {"model": "whitened-cnn", "hardest_share": 0.667, "proxy_widths": (8,)}
    assert rises(0.4, 0.59, **hardest)
    assert not rises(0.4, 0.61, **hardest)


def test_a_network_that_knows_no_more_than_chance_has_nothing_by_heart():
    assert rises(0.115, 0.1)
    assert not rises(0.115, 0.1, guessing=[0])


def test_of_four_validation_images_none_right_says_little_and_neither_do_all():
    few = variation(history=curve([0.3] * 4, [0.0] * 4))
    few["validation"]["images"] = 4
    assert outcome("TS101", few) == "clear"
    restless = variation(history=curve([0.9] * 8, [1, 1, 1, 1, 0.97, 1, 0.97, 1]))
    restless["validation"]["images"] = 20
    assert outcome("TS110", restless) == "clear"


def test_one_epoch_and_one_image_are_told_as_one():
    short = variation(history=curve([0.5], [0.5]), epochs=1)
    assert "after 1 epoch," in finding("TS105", short)["items"][0]["evidence"]
    short["validation"]["images"] = 1
    assert outcome("TS105", short).startswith("because 1 validation image is too few to tell")


def test_a_training_that_only_guesses_has_learnt_nothing():
    calm = curve([0.1] * 8, [0.1] * 8, loss=[2.3] * 8)
    one = variation(history=calm, guessing=[0])
    assert outcome("TS113", one) == ["base"]
    assert outcome("TS105", one) == "clear", "a larger network would guess as well"
    assert outcome("TS113", variation(history=calm)) == "clear"


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_no_more_epochs_are_asked_of_a_variation_whose_trainings_all_guess(schedule):
    falling = curve([0.1] * 8, [0.1] * 8, loss=[3, 2.8, 2.7, 2.6, 2.55, 2.5, 2.4, 2.35])
    guesses = variation(history=falling, schedule=schedule, guessing=[0])
    assert outcome("TS102", guesses) == "clear"
    learns = variation(history=falling, schedule=schedule)
    assert outcome("TS102", learns) == ["base"]


def test_seeds_that_only_guess_are_named_and_say_nothing_of_the_others():
    gone, sound = curve([0.1] * 8, [0.1] * 8, loss=[2.3] * 8), curve([0.95] * 8, [0.95] * 8)
    one = variation(histories=[gone, sound, gone], guessing=[0, 2])
    assert outcome("TS113", one) == ["base"]
    [found] = [each for each in study_findings(make_summary(one)) if each["code"] == "TS113"]
    [item] = found["items"]
    assert item["seeds"] == [0, 2]
    assert item["evidence"] == (
        "It knew 10.0% of the training images, counted while it learnt, and 10.0% of the "
        "validation images (seed 0); 10.0% of the training images, counted while it learnt, and "
        "10.0% of the validation images (seed 2). Naming the largest class always would know 10.0%."
    )
    assert learnt_by_those_that_know(one).train_accuracy == 0.95
    assert learnt(one).train_accuracy == pytest.approx(1.15 / 3)
    assert outcome("TS105", one) == "clear"


def test_with_early_stopping_the_epoch_whose_weights_are_kept_is_judged():
    later = curve([0.70, 0.72, 0.99, 0.99], [0.69, 0.70, 0.70, 0.70], loss=[1, 0.9, 0.95, 0.97])
    kept = variation(history=later, early_stopping_patience=2, stopped="early stopping")
    assert learnt(kept).train_accuracy == 0.72
    assert outcome("TS101", kept) == "clear"
    assert outcome("TS101", variation(history=later)) == ["base"]


def test_without_validation_or_history_curves_are_not_judged():
    bare = variation(history=[])
    assert outcome("TS101", bare) == "because no training was recorded epoch by epoch"
    bare["validation"] = None
    for code in ("TS101", "TS102", "TS103", "TS105", "TS106", "TS107", "TS110", "TS112"):
        assert outcome(code, bare) == "because the study keeps no validation images"


def test_a_loss_that_still_falls_at_a_constant_rate_asks_for_more_epochs():
    falling = curve([0.5] * 8, [0.5] * 8, loss=[2, 1.8, 1.6, 1.5, 1.4, 1.3, 1.2, 1.1])
    assert outcome("TS102", variation(history=falling)) == ["base"]
    flat = curve([0.5] * 8, [0.5] * 8, loss=[2, 1.8, 1.6, 1.5, 1.4, 1.39, 1.39, 1.38])
    assert outcome("TS102", variation(history=flat)) == "clear"
    assert outcome("TS102", variation(history=falling, stopped="early stopping")) == "clear"


@pytest.mark.parametrize(
    ("settings", "beginning", "counted"),
    [
        ({"schedule": "cosine"}, "Its learning rate ends near 0 (schedule “cosine”)", ""),
        (
            {"averaged_steps": 0.2, "sam_steps": 0.1},
            "The weights of its last steps are averaged",
            " and with weights moved to where the loss is higher",
        ),
    ],
)
def test_where_every_training_ends_with_a_falling_loss_being_level_asks_for_more_epochs(
    settings, beginning, counted
):
    falling = [2, 1.8, 1.6, 1.5, 1.4, 1.3, 1.2, 1.1]
    known = curve([0.98] * 8, [0.9] * 8, loss=falling)
    assert outcome("TS102", variation(history=known, **settings)) == "clear"
    level = curve([0.85] * 8, [0.84] * 8, loss=falling)
    one = finding("TS102", variation(history=level, **settings))
    assert one["items"][0]["evidence"] == (
        f"{beginning}, so that its loss had to fall to the end; but after 8 epochs it knew 85.0% "
        f"of the training images, counted while it learnt{counted}, and 84.0% of the validation "
        "images: a longer schedule has room."
    )


def test_a_network_that_knows_neither_is_too_small_unless_it_still_learns():
    low = curve([0.7] * 8, [0.69] * 8)
    assert outcome("TS105", variation(history=low)) == ["base"]
    falling = curve([0.7] * 8, [0.69] * 8, loss=[2, 1.8, 1.6, 1.5, 1.4, 1.3, 1.2, 1.1])
    assert outcome("TS105", variation(history=falling)) == "clear"
    assert outcome("TS105", variation(history=OVERFIT)) == "clear"
    assert outcome("TS105", variation(history=LEVEL_CURVE)) == "clear"


@pytest.mark.parametrize("code", ["TS102", "TS105"])
def test_a_network_that_knows_new_images_is_judged_by_those_where_training_is_harder(code):
    """Training at 86% of changed images and validation at 95.5% or 98% of plain ones."""
    changed = {"shift": 4, "schedule": "cosine"}
    for known, told in ((0.98, []), (0.955, ["TS102"]), (0.875, ["TS102", "TS105"])):
        one = variation(history=curve([0.86] * 8, [known] * 8), **changed)
        assert (outcome(code, one) == ["base"]) is (code in told)


@pytest.mark.parametrize("code", ["TS102", "TS105"])
def test_with_few_validation_images_training_and_validation_are_not_called_level(code):
    level = variation(history=curve([0.8] * 8, [0.8] * 8), schedule="cosine")
    assert outcome(code, level) == ["base"]
    level["validation"]["images"] = 10
    assert outcome(code, level) == (
        "because 10 validation images are too few to tell whether training is ahead of validation "
        "in “base”"
    )
    known = variation(history=curve([1.0] * 8, [0.9] * 8), schedule="cosine")
    known["validation"]["images"] = 10
    assert outcome(code, known) == "clear"


def test_overfitting_without_augmentation_is_named_and_with_it_is_not():
    plain, shifted = variation(history=OVERFIT), variation("b", history=OVERFIT, shift=4)
    one = finding("TS106", plain, shifted)
    assert [item["variation"] for item in one["items"]] == ["base"]
    assert one["items"][0]["evidence"] == (
        "It knew 98.0% of the training images, counted while it learnt, and 69.0% of the "
        "validation images; no training image was changed at random in 8 epochs."
    )


def test_images_that_are_learnt_at_other_sizes_or_in_part_are_not_said_to_be_seen_as_they_are():
    sizes = {"training_sizes": [0.625, 0.75, 1.0, 1.0], "hardest_share": 0.667}
    (item,) = finding("TS106", variation(history=OVERFIT, model="whitened-cnn", **sizes))["items"]
    assert item["evidence"] == (
        "It knew 98.0% of the training images, counted while it learnt from images at smaller "
        "sizes, the hardest 67% of each batch, and 69.0% of the validation images; no training "
        "image was changed at random in 8 epochs."
    )


def test_a_rate_that_never_falls_is_named_where_the_accuracy_goes_up_and_down():
    restless = curve([0.9] * 10, [0.8, 0.81, 0.82, 0.8, 0.83, 0.8, 0.83, 0.8, 0.83, 0.8])
    assert outcome("TS110", variation(history=restless)) == ["base"]
    for calm in (
        variation(history=LEVEL_CURVE),
        variation(history=restless, schedule="cosine"),
        variation(history=restless, plateau_patience=3),
    ):
        assert outcome("TS110", calm) == "clear"


def test_what_is_fitted_at_once_has_no_curve_to_judge():
    """Nearest neighbours know their own images by heart, whatever they know of others."""
    neighbours = {"model": "transfer", "backbone": "b", "classifier": "nearest-neighbours"}
    fitted = variation(history=curve([1.0], [0.6]), **neighbours)
    for code in ("TS101", "TS102", "TS105", "TS106", "TS110"):
        assert outcome(code, fitted) == "because no training was recorded epoch by epoch"
        assert outcome(code, fitted, variation("b", history=OVERFIT)) in (["b"], "clear")


def test_images_that_were_too_easy_to_be_learnt_from_count_as_known():
    """Of 80% of the hardest two thirds and all others, 87% of the training images are known."""
    level = curve([0.8] * 8, [0.79] * 8)
    whole = {"schedule": "linear", "epochs": 8}
    assert outcome("TS102", variation(history=level, **whole)) == ["base"]
    assert outcome("TS105", variation(history=level, **whole)) == ["base"]
    hardest = variation(
        history=level, **whole, model="whitened-cnn", hardest_share=0.667, proxy_widths=(8,)
    )
    assert outcome("TS102", hardest) == "clear"
    assert outcome("TS105", hardest) == "clear"
