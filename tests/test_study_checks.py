import json
from pathlib import Path

import numpy as np
import pytest
from study_world import make_run, make_splits, make_study
from summary_world import (
    IMAGES,
    LEVEL_CURVE,
    OVERFIT,
    curve,
    make_summary,
    measured,
    pair,
    variation,
)

from tinyscope.diagnosis.learning_curves import learnt, learnt_by_those_that_know
from tinyscope.diagnosis.study_checks import STUDY_CHECKS, study_findings
from tinyscope.inspection.checks import CHECKS
from tinyscope.plan.recipe_book import MEASURED
from tinyscope.report.summary import summarise


def finding(code, *variations, **more):
    found = study_findings(make_summary(*variations, **more))
    return next(one for one in found if one["code"] == code)


def outcome(code, *variations, **more):
    one = finding(code, *variations, **more)
    return one["reason"] or (
        [item["variation"] for item in one["items"]] if one["outcome"] == "found" else "clear"
    )


def test_codes_follow_those_of_the_data_and_every_outcome_has_one_form():
    codes = [*CHECKS, *STUDY_CHECKS]
    assert len(set(codes)) == len(codes)
    found = study_findings(make_summary(variation(history=OVERFIT), variation("b")))
    assert [one["code"] for one in found] == list(STUDY_CHECKS)
    for one in found:
        assert set(one) == {
            *("code", "title", "severity", "why", "remedy", "outcome", "reason", "items"),
        }
        assert (one["outcome"] == "found") == bool(one["items"])
        assert (one["outcome"] == "not applicable") == one["reason"].startswith("because ")
        for item in one["items"]:
            assert {"variation", "evidence"} < set(item)
            assert item["evidence"].endswith(".")
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_every_check_has_a_section_in_the_docs():
    page = (Path(__file__).parents[1] / "docs" / "checks.md").read_text(encoding="utf-8")
    for code, check in STUDY_CHECKS.items():
        title, _, text = page.split(f"## {code} ")[1].partition("\n")
        assert title == check.title
        assert text.startswith(check.severity.capitalize())


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


def test_where_the_rate_ends_near_0_a_falling_loss_says_nothing_but_being_level_does():
    falling = [2, 1.8, 1.6, 1.5, 1.4, 1.3, 1.2, 1.1]
    settings = {"schedule": "cosine"}
    known = curve([0.98] * 8, [0.9] * 8, loss=falling)
    assert outcome("TS102", variation(history=known, **settings)) == "clear"
    level = curve([0.85] * 8, [0.84] * 8, loss=falling)
    one = finding("TS102", variation(history=level, **settings))
    assert one["items"][0]["evidence"] == (
        "Its learning rate ends near 0 (schedule “cosine”), so that its loss had to fall to the "
        "end; but after 8 epochs it knew 85.0% of the training images, counted while it learnt, "
        "and 84.0% of the validation images: a longer schedule has room."
    )


def test_a_pair_of_classes_with_a_large_share_of_the_errors_is_named():
    one = variation()
    one["validation"]["confusion"][3][5] = 80
    one["validation"]["confusion"][5][3] = 60
    (item,) = finding("TS103", one)["items"]
    errors = 88 * 5 + 80 + 60
    assert item["classes"] == ["cat", "dog"]
    assert (item["errors"], item["share"]) == (140, 140 / errors)
    assert item["evidence"] == (
        "140 of its 580 errors on the validation images (24%) are between “cat” and “dog”: 80 of "
        "570 “cat” and 60 of 550 “dog” are taken for the other."
    )
    assert outcome("TS103", variation()) == "clear"
    assert outcome("TS103", variation(), classes=("a", "b")) == "because two classes make one pair"


def test_among_few_classes_a_pair_has_to_stand_out_from_its_even_share():
    one = variation()
    table = [[300 if a == b else 10 for b in range(4)] for a in range(4)]
    table[0][1] = table[1][0] = 25
    one["validation"]["confusion"] = table
    assert outcome("TS103", one, classes=("a", "b", "c", "d")) == "clear"
    table[0][1] = table[1][0] = 60  # half of the errors
    assert outcome("TS103", one, classes=("a", "b", "c", "d")) == ["base"]


def test_an_augmentation_that_was_not_measured_is_not_judged():
    flipped = variation(vertical_flip=True)
    assert outcome("TS104", variation()) == "because no variation changes its images at random"
    assert outcome("TS104", flipped) == (
        "because nothing is known of it: “tinyscope data” has no verdict on vertical_flip of that "
        "strength for this data, nor does a variation differ from another in one of them alone"
    )


def test_an_augmentation_is_judged_by_the_inspection_with_its_figures():
    flipped = variation(vertical_flip=True)
    rows = [measured("vertical_flip", "vertical flip", "invalid", 0.4)]
    (item,) = finding("TS104", flipped, augmentations=rows)["items"]
    assert item["evidence"] == (
        "vertical_flip: vertical flip is invalid for this data: 50.0% of 3,000 changed images are "
        "known, 80.0% of the unchanged ones; it counts."
    )
    assert (item["key"], item["cost"]) == ("vertical_flip", 0.1)
    rows = [measured("vertical_flip", "vertical flip", "valid")]
    assert outcome("TS104", flipped, augmentations=rows) == "clear"


@pytest.mark.parametrize(
    ("amount", "verdict", "expected"),
    [
        (15, "valid", "clear"),
        (40, "valid", "because"),
        (40, "costly", "found"),
        (5, "costly", "because"),
        (15, "unclear", "because"),
    ],
)
def test_a_dose_is_judged_by_a_larger_harmless_or_a_smaller_harmful_one(amount, verdict, expected):
    rows = [measured("rotation", "rotation by up to 15 degrees", verdict, 0.1)]
    one = finding("TS104", variation(rotation=amount), augmentations=rows)
    assert (one["reason"] or one["outcome"]).startswith(expected)


def test_an_augmentation_is_judged_by_a_pair_of_variations_from_either_side():
    on, off = variation("on", vertical_flip=True), variation("off")
    for row in (
        pair("on", "off", "vertical_flip", -0.05, "worse"),
        pair("off", "on", "vertical_flip", 0.05, "better"),
    ):
        (item,) = finding("TS104", on, off, one_key=[row])["items"]
        assert item["variation"] == "on"
        assert item["evidence"] == (
            "vertical_flip: without it “off”, which is the same otherwise, knows +5.0 points more "
            f"of the {IMAGES:,} validation images (95% interval +4.0 to +6.0)."
        )
        assert item["cost"] == pytest.approx(0.05)
    level = pair("on", "off", "vertical_flip", -0.005, "cannot be told apart")
    assert outcome("TS104", on, off, one_key=[level]) == "clear"


def test_a_pair_that_only_differs_in_the_dose_says_nothing_of_doing_without():
    more, less = variation("more", shift=4), variation("less", shift=2)
    row = pair("more", "less", "shift", -0.05, "worse")
    assert outcome("TS104", more, less, one_key=[row]).startswith("because nothing is known of it")


def test_a_pair_that_shows_a_gain_outweighs_the_inspection():
    on, off = variation("on", cutout=8), variation("off")
    rows = [measured("cutout", "cutout of 8", "costly", 0.1)]
    better = pair("on", "off", "cutout", 0.02, "better")
    assert outcome("TS104", on, off, augmentations=rows, one_key=[better]) == "clear"
    level = pair("on", "off", "cutout", -0.003, "cannot be told apart")
    (item,) = finding("TS104", on, off, augmentations=rows, one_key=[level])["items"]
    assert "is costly for this data" in item["evidence"]
    assert "knows +0.3 points more" in item["evidence"]


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


def test_seeds_that_spread_more_than_images_explain_are_named():
    def seeded(*accuracies):
        histories = [curve([0.94] * 4, [share] * 4) for share in accuracies]
        return variation(histories=histories)

    wide = finding("TS107", seeded(0.82, 0.86, 0.84))
    assert wide["items"][0]["evidence"] == (
        "Its 3 seeds know 82.0% to 86.0% of the validation images, a standard deviation of 2.00 "
        "points; the choice of 5,000 images alone explains 0.52."
    )
    assert outcome("TS107", seeded(0.835, 0.845, 0.84)) == "clear"
    assert outcome("TS107", seeded(0.84)) == "because every variation was trained with one seed"


def test_trainings_that_diverged_are_named_with_their_rate():
    gone = variation(history=LEVEL_CURVE[:2], stopped="diverged", learning_rate=3.0)
    assert finding("TS108", gone)["items"][0]["evidence"] == (
        "With sgd at a rate of 3 the loss was no number any more after 2 epochs (seed 0)."
    )


def unequal(*variations):
    """TS109 of a study whose classes are unequal."""
    summary = make_summary(*variations, classes=("large", "small"))
    summary["data"]["unbalanced"] = True
    return next(each for each in study_findings(summary) if each["code"] == "TS109")


def answering(one, confusion):
    """A variation with these answers for the validation images."""
    counts = [sum(row) for row in confusion]
    right = [row[k] for k, row in enumerate(confusion)]
    recalls = [n / of for n, of in zip(right, counts, strict=True)]
    one["validation"] |= {
        "images": sum(counts),
        "accuracy": sum(right) / sum(counts),
        "balanced_accuracy": sum(recalls) / len(recalls),
        "confusion": confusion,
    }
    return one


NEGLECTED = [[950, 50], [60, 40]]


def test_neglected_small_classes_are_named_where_classes_are_unequal():
    one = answering(variation(), NEGLECTED)
    assert outcome("TS109", one, classes=("large", "small")) == (
        "because the classes are about equally large, or no more uneven than chance makes them"
    )
    even = answering(variation("even"), [[900, 100], [10, 90]])
    (item,) = unequal(one, even)["items"]
    assert item["variation"] == "base"
    # Weights ±0.4091; recalls 951/1002 and 41/102, one image each way added: 22.4 ± 3.9.
    assert item["evidence"] == (
        "It knows 90.0% of the validation images, but 67.5% where every class counts the same "
        "(18.5 to 26.3 points less; 95% over images, lowest seed)."
    )


def test_a_small_class_of_which_few_images_are_missed_is_not_called_neglected():
    """With five images, 3 right instead of 4 cost balanced accuracy ten points."""
    assert unequal(answering(variation(), [[43, 7], [2, 3]]))["outcome"] == "clear"
    assert unequal(answering(variation(), [[49, 1], [5, 0]]))["outcome"] == "found"


def test_classes_that_are_known_equally_well_are_seldom_called_neglected():
    draw = np.random.default_rng(0)
    called = 0
    for large, small in zip(draw.binomial(50, 0.85, 200), draw.binomial(5, 0.85, 200), strict=True):
        confusion = [[int(large), int(50 - large)], [int(5 - small), int(small)]]
        called += unequal(answering(variation(), confusion))["outcome"] == "found"
    assert called <= 10


def test_nearest_neighbours_are_not_asked_to_weigh_the_classes():
    settings = {"model": "transfer", "backbone": "b"}
    neighbours = answering(
        variation("near", **settings, classifier="nearest-neighbours"), NEGLECTED
    )
    forest = answering(variation("forest", **settings, classifier="random-forest"), NEGLECTED)
    assert [item["variation"] for item in unequal(neighbours, forest)["items"]] == ["forest"]
    assert unequal(neighbours)["reason"] == "because nearest neighbours cannot weigh classes"


def test_a_rate_that_never_falls_is_named_where_the_accuracy_goes_up_and_down():
    restless = curve([0.9] * 10, [0.8, 0.81, 0.82, 0.8, 0.83, 0.8, 0.83, 0.8, 0.83, 0.8])
    assert outcome("TS110", variation(history=restless)) == ["base"]
    for calm in (
        variation(history=LEVEL_CURVE),
        variation(history=restless, schedule="cosine"),
        variation(history=restless, plateau_patience=3),
    ):
        assert outcome("TS110", calm) == "clear"


def test_mirrored_training_with_a_single_look_is_named():
    assert outcome("TS111", variation()) == "because no variation is trained on mirrored images"
    mirrored = variation(horizontal_flip=True)
    twice = variation("b", horizontal_flip=True, test_views="mirrored")
    assert outcome("TS111", mirrored, twice) == ["base"]


def test_no_second_look_is_asked_of_a_model_whose_mirrored_images_do_harm():
    mirrored, plain = variation("flip", horizontal_flip=True), variation("plain")
    harmful = "because mirrored images do harm here"
    rows = [measured("horizontal_flip", "horizontal flip", "invalid", 0.8)]
    assert outcome("TS111", mirrored, augmentations=rows) == harmful
    pairs = [pair("flip", "plain", "horizontal_flip", -0.1, "worse")]
    assert outcome("TS111", mirrored, plain, one_key=pairs) == harmful
    pairs = [pair("flip", "plain", "horizontal_flip", 0.1, "better")]
    assert outcome("TS111", mirrored, plain, augmentations=rows, one_key=pairs) == ["flip"]


def test_what_is_behind_the_recipe_quick_is_named_on_cifar_10_alone():
    behind = variation(history=OVERFIT)
    assert outcome(
        "TS112", behind, variation("b", history=curve([0.9], [MEASURED["quick"].accuracy - 0.009]))
    ) == ["base"]
    assert outcome("TS112", behind, classes=[*"abcdefghij"]) == (
        "because the recipes that come along were measured on all of CIFAR-10"
    )
    assert outcome("TS112", behind, images=5_000) == (
        "because the recipes that come along were measured on all of CIFAR-10"
    )


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


def test_a_summary_holds_the_findings_and_the_pairs_that_differ_in_one_key(tmp_path):
    study = make_study(seeds=(0,))
    splits = make_splits(("ant", "bee", "cat", "dog"), per_class=(12, 40, 50))
    runs = [
        make_run(tmp_path, study, splits, name, 0, accuracy=accuracy)
        for name, accuracy in (("base", 0.6), ("smooth", 0.9), ("resnet", 0.95))
    ]
    summary = summarise(study, runs, splits, recipes_changed={}, test_came_with_data=True)
    assert summary["findings"] == study_findings(summary)
    rows = summary["comparisons"]["one_key"]
    assert [(row["first"], row["second"], row["key"]) for row in rows] == [
        ("base", "smooth", "label_smoothing"),
        ("base", "resnet", "model"),
    ]
    assert rows[0]["verdict"] == "worse"
    assert rows[0]["images"] == 160
    assert summary["improvements"] == []


def test_a_summary_from_before_a_key_existed_is_judged_all_the_same():
    summary = make_summary(variation(history=OVERFIT))
    expected = study_findings(summary)
    del summary["variations"][0]["recipe"]["test_views"]
    assert study_findings(summary) == expected
