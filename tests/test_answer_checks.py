import numpy as np
import pytest
from summary_world import (
    IMAGES,
    LEVEL_CURVE,
    OVERFIT,
    curve,
    finding,
    make_summary,
    measured,
    outcome,
    pair,
    variation,
)

from tinyscope.diagnosis.study_checks import study_findings
from tinyscope.plan.recipe_book import MEASURED


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


NEGLECTED = [[950, 50], [60, 40]]


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
