from contextlib import nullcontext

import numpy as np
import pytest
from summary_world import OVERFIT, curve, make_summary, measured, pair, variation

from tinyscope.data.dataset import ImageDataset, Splits
from tinyscope.data.families import families_of
from tinyscope.diagnosis.study_checks import STUDY_CHECKS, study_findings
from tinyscope.diagnosis.suggestions import suggestions
from tinyscope.errors import InputError
from tinyscope.plan.recipe import Recipe
from tinyscope.plan.recipe_book import MEASURED, WHITENED, fine_tuning, quick, standard, transfer
from tinyscope.training.price import price_for
from tinyscope.training.untrained import untrained

STACK = {"model": "layer-stack", "layers": ["conv 32 3x3 same relu", "maxpool 2", "flatten"]}
LETTERS = [*"abcdefghij"]


def price_of(summary):
    """Of recipes on the images of a summary."""
    data = summary["data"]
    return price_for(
        shape=data["image_shape"],
        classes=len(data["class_names"]),
        images=data["splits"][0]["images"],
    )


def suggested_for(summary):
    return suggestions(summary, study_findings(summary), price=price_of(summary))


def suggested(*variations, **more):
    return suggested_for(make_summary(*variations, **more))


def by_code(found, code):
    return next(one for one in found if one["code"] == code)


def test_every_suggestion_has_its_evidence_and_is_a_recipe():
    start = variation(history=OVERFIT, **STACK)
    found = suggested(start)
    assert [one["rank"] for one in found] == list(range(1, len(found) + 1))
    gains = [one["expected_gain"] for one in found]
    assert gains == sorted(gains, reverse=True)
    assert len(found) >= 3
    for one in found:
        assert set(one) == {
            *("rank", "code", "title", "why", "variation", "changes", "expected_gain", "cost"),
        }
        assert one["code"] in STUDY_CHECKS
        assert any(letter.isdigit() for letter in one["why"])
        recipe = Recipe().changed({**start["recipe"], **one["changes"]})
        assert all(start["recipe"][key] != value for key, value in one["changes"].items())
        assert recipe.precision == "fp32"


def test_overfitting_on_cifar_is_answered_by_the_fast_recipe_then_by_flips_and_shifts():
    first, second = suggested(variation(history=OVERFIT, **STACK))[:2]
    assert (first["code"], first["changes"]["model"]) == ("TS112", "whitened-cnn-folded")
    assert first["expected_gain"] == pytest.approx(MEASURED["quick"].accuracy - 0.69)
    assert (second["code"], second["changes"]) == ("TS106", {"horizontal_flip": True, "shift": 4})
    assert second["expected_gain"] == pytest.approx(0.29 / 2)
    assert second["why"].startswith("It knew 98.0% of the training images, counted while it learnt")


def test_images_that_nobody_knows_to_be_alike_on_both_sides_are_never_mirrored():
    for one in suggested(variation(history=OVERFIT), classes=LETTERS):
        assert not one["changes"].get("horizontal_flip")
        assert one["changes"].get("test_views", "one") == "one"
    assert by_code(suggested(variation(history=OVERFIT), classes=LETTERS), "TS106")["changes"] == {
        "shift": 4
    }


def test_what_the_inspection_has_measured_decides_over_what_the_names_say():
    rows = [measured("horizontal_flip", "horizontal flip", "valid")]
    found = suggested(variation(history=OVERFIT), classes=LETTERS, augmentations=rows)
    assert by_code(found, "TS106")["changes"] == {"horizontal_flip": True, "shift": 4}
    rows = [
        measured("horizontal_flip", "horizontal flip", "invalid", 0.5),
        measured("shift", "shift by up to 2", "invalid", 0.5),
    ]
    found = suggested(variation(history=OVERFIT), augmentations=rows)
    for one in found:
        assert not {"horizontal_flip", "shift", "test_views"} & set(one["changes"])


def with_pairs(*rows, augmentations=None):
    """Suggestions for a plain variation beside mirrored and shifted ones."""
    return suggested(
        variation("plain", history=OVERFIT),
        variation("flip", history=OVERFIT, horizontal_flip=True),
        variation("shift", history=OVERFIT, shift=2),
        variation("shift 1", history=OVERFIT, shift=1),
        one_key=rows,
        augmentations=augmentations,
    )


def test_what_pairs_of_variations_measured_as_harmful_is_not_offered():
    for one in with_pairs(
        pair("flip", "plain", "horizontal_flip", -0.1, "worse"),
        pair("plain", "shift", "shift", 0.1, "better"),
    ):
        assert not one["changes"].get("horizontal_flip")
        assert not one["changes"].get("shift")
        assert one["changes"].get("test_views", "one") == "one"


def test_a_pair_decides_over_the_inspection_and_the_names():
    rows = [measured("horizontal_flip", "horizontal flip", "invalid", 0.5)]
    helps = pair("flip", "plain", "horizontal_flip", 0.1, "better")
    found = with_pairs(helps, augmentations=rows)
    assert by_code(found, "TS112")["changes"]["horizontal_flip"] is True
    rows = [measured("horizontal_flip", "horizontal flip", "valid")]
    harms = pair("flip", "plain", "horizontal_flip", -0.1, "worse")
    found = with_pairs(harms, augmentations=rows)
    assert "horizontal_flip" not in by_code(found, "TS112")["changes"]
    unsure = pair("flip", "plain", "horizontal_flip", -0.001, "cannot be told apart")
    found = with_pairs(unsure, augmentations=rows)
    assert by_code(found, "TS112")["changes"]["horizontal_flip"] is True


def test_a_pair_judges_larger_doses_if_it_harmed_and_smaller_ones_if_it_helped():
    harms = pair("shift 1", "plain", "shift", -0.1, "worse")
    assert "shift" not in by_code(with_pairs(harms), "TS112")["changes"]
    rows = [measured("shift", "shift by up to 1", "invalid", 0.5)]
    found = with_pairs(pair("shift", "plain", "shift", 0.1, "better"), augmentations=rows)
    assert by_code(found, "TS112")["changes"]["shift"] == 2
    # Of twice the dose that helped, the pair says nothing.
    assert not any(one["changes"].get("shift", 0) > 2 for one in found)


def test_the_pair_of_the_variation_itself_decides_over_those_of_others():
    other = variation("long", history=OVERFIT, epochs=16)
    flipped = variation("long flip", history=OVERFIT, epochs=16, horizontal_flip=True)
    own = variation("plain", history=OVERFIT), variation("flip", horizontal_flip=True)
    rows = [
        pair("long flip", "long", "horizontal_flip", 0.1, "better"),
        pair("flip", "plain", "horizontal_flip", -0.1, "worse"),
    ]
    found = suggested(*own, other, flipped, one_key=rows)
    assert "horizontal_flip" not in by_code(found, "TS112")["changes"]
    found = suggested(other, flipped, *own, one_key=rows)
    assert by_code(found, "TS112")["changes"]["horizontal_flip"] is True


def test_the_classes_of_cifar_100_may_be_mirrored():
    from tinyscope.data.families import _FAMILY_OF

    names = sorted(_FAMILY_OF)
    assert families_of(names)
    start = variation(history=OVERFIT)
    start["validation"]["confusion"] = [[40 * (a == b) for b in range(100)] for a in range(100)]
    found = suggested(start, classes=names)
    assert by_code(found, "TS106")["changes"]["horizontal_flip"] is True


def test_with_augmentation_already_a_gap_is_answered_by_cutout_and_smooth_labels():
    start = variation(history=OVERFIT, horizontal_flip=True, shift=4)
    changes = [one["changes"] for one in suggested(start) if one["code"] == "TS101"]
    assert changes == [{"cutout": 8}, {"label_smoothing": 0.1}]


def test_an_augmentation_that_costs_is_switched_off_with_what_hangs_on_it():
    on, off = variation("on", vertical_flip=True), variation("off", horizontal_flip=True)
    row = pair("on", "off", "vertical_flip", -0.1, "worse")
    first = suggested(on, off, one_key=[row])[0]
    assert (first["code"], first["changes"]) == ("TS104", {"vertical_flip": False})
    assert first["expected_gain"] == pytest.approx(0.1)
    rows = [measured("horizontal_flip", "horizontal flip", "invalid", 0.8)]
    settings = {"horizontal_flip": True, "alternating_flip": True, "test_views": "mirrored"}
    first = suggested(variation(**settings), augmentations=rows)[0]
    assert first["changes"] == {
        "horizontal_flip": False,
        "alternating_flip": False,
        "test_views": "one",
    }


def test_where_a_flip_is_to_be_switched_off_nobody_is_asked_to_look_at_both_sides():
    rows = [measured("horizontal_flip", "horizontal flip", "invalid", 0.8)]
    found = suggested(variation(horizontal_flip=True), augmentations=rows)
    assert found[0]["title"] == "Train without horizontal flip"
    assert "TS111" not in [one["code"] for one in found]
    assert "TS111" in [one["code"] for one in suggested(variation(horizontal_flip=True))]


def test_a_loss_that_falls_is_answered_by_twice_the_epochs_for_twice_the_cost():
    val = [0.3, 0.4, 0.5, 0.55, 0.6, 0.64, 0.68, 0.72]
    found = suggested(variation(history=curve(val, val)))
    one = by_code(found, "TS102")
    assert (one["changes"], one["cost"]) == ({"epochs": 16}, 2.0)
    assert one["expected_gain"] == pytest.approx((0.7 - 0.525) / 2)


def test_a_whitened_network_grows_in_width_and_depth_and_others_in_no_width():
    low = curve([0.7] * 8, [0.69] * 8)
    fast = quick().as_dict() | {"epochs": 8, "precision": "fp32"}
    found = suggested(variation(history=low, **fast))
    changes = [one["changes"] for one in found if one["code"] == "TS105"]
    assert changes == [{"widths": [48, 192, 192]}, {"depth": 3}]
    costs = [one["cost"] for one in found if one["code"] == "TS105"]
    assert all(1.2 < cost < 2.5 for cost in costs)
    assert len(found) >= 3
    for one in suggested(variation(history=low, **STACK)):
        if one["changes"].get("model") not in WHITENED:
            assert not {"widths", "depth"} & set(one["changes"])


def test_the_cost_of_another_network_is_its_training_over_the_variations():
    low = variation(history=curve([0.7] * 8, [0.69] * 8), **STACK)
    summary = make_summary(low)
    found, price = suggested_for(summary), price_of(summary)
    own = price(low["recipe"])
    wider = by_code(found, "TS105")
    assert wider["changes"] == {"model": "compact-cnn-wide", "layers": []}
    assert wider["cost"] == round(price(low["recipe"] | wider["changes"]) / own, 3)
    fast = by_code(found, "TS112")
    assert fast["cost"] == pytest.approx(MEASURED["quick"].flop * 0.9 / own, rel=0.01)


def test_where_training_stopped_early_another_recipe_costs_a_multiple_of_what_it_took():
    """And where the other stops as early, of what both would take in all epochs."""
    low = variation(
        history=curve([0.7] * 8, [0.69] * 8),
        **STACK | {"epochs": 800, "early_stopping_patience": 3},
    )
    low["train_flop"] = 1e12
    found = suggested(low)
    assert by_code(found, "TS112")["cost"] == pytest.approx(
        MEASURED["quick"].flop * 0.9 / 1e12, rel=0.01
    )
    plain = suggested(variation(history=curve([0.7] * 8, [0.69] * 8), **STACK))
    assert by_code(found, "TS105")["cost"] == by_code(plain, "TS105")["cost"]


def test_of_a_backbone_another_recipe_costs_a_multiple_of_what_it_took():
    frozen = transfer().as_dict() | {"precision": "fp32"}
    summary = make_summary(variation(history=curve([0.7] * 8, [0.69] * 8), **frozen))
    fast = by_code(suggested_for(summary), "TS112")
    assert fast["cost"] == pytest.approx(MEASURED["quick"].flop * 0.9 / 1e13, rel=0.01)


@pytest.mark.parametrize(
    ("shape", "changes", "offered"),
    [
        ([24, 14, 3], {"training_sizes": [0.5, 1.0]}, True),
        ([24, 13, 3], {"training_sizes": [0.5, 1.0]}, False),  # 6.5 pixels are 6
        ([24, 7, 3], {}, True),
        ([24, 6, 3], {}, False),
        ([24, 24, 3], {"batch_size": 1}, False),  # batch norm compares the images of a batch
        ([24, 24, 3], {"batch_size": 2}, True),
    ],
)
def test_a_network_is_offered_only_where_training_does_not_refuse_it(shape, changes, offered):
    """Whatever the sizes are that its images are shrunk to."""
    stack = {"model": "layer-stack", "layers": ["conv 32 3x3 same relu", "globalpool"]}
    start = variation(history=curve([0.7] * 8, [0.69] * 8), **stack, **changes)
    summary = make_summary(start, classes=LETTERS)
    summary["data"]["image_shape"] = shape
    found = suggested_for(summary)
    wider = [one["changes"] for one in found if one["changes"].get("model") == "compact-cnn-wide"]
    assert bool(wider) == offered

    images = np.random.default_rng(0).integers(0, 256, (4, *shape), dtype=np.uint8)
    labels = np.arange(4) % 2
    data = Splits("s", ImageDataset(images, labels, ("a", "b"), "train", "s"), None, None)
    recipe = Recipe().changed({**start["recipe"], "model": "compact-cnn-wide", "layers": []})
    with nullcontext() if offered else pytest.raises(InputError):
        untrained(data, recipe)


def test_the_fast_recipe_gets_steps_enough_and_no_smaller_images_where_there_is_little():
    summary = make_summary(variation(history=OVERFIT), classes=LETTERS)
    summary["data"] |= {
        "image_shape": [8, 8, 1],
        "splits": [{"split": "train", "images": 1375}],
    }
    one = by_code(suggested_for(summary), "TS112")
    assert "training_sizes" not in one["changes"]
    assert one["changes"]["hardest_share"] < 1
    assert one["changes"]["proxy_size"] == 1
    assert (one["changes"]["batch_size"], one["changes"]["epochs"]) == (46, 14)
    assert one["changes"]["shift"] == 1
    recipe = summary["variations"][0]["recipe"]
    price = price_of(summary)
    assert one["cost"] == round(price(recipe | one["changes"]) / price(recipe), 3)
    assert one["why"].endswith("What it does on this data was not measured.")


def test_the_fast_recipe_weighs_the_classes_as_the_variation_does():
    start = variation(history=OVERFIT, class_weights="balanced")
    assert "class_weights" not in by_code(suggested(start), "TS112")["changes"]


def test_what_was_tried_is_not_suggested_again():
    start = variation(history=OVERFIT)
    before = suggested(start)
    tried = variation("tried", history=OVERFIT)
    tried["recipe"] = {**start["recipe"], **before[0]["changes"], "precision": "bf16"}
    after = suggested(start, tried)
    assert [one["changes"] for one in after] == [one["changes"] for one in before[1:]]


def test_where_every_check_is_clear_suggestions_say_so_and_expect_little():
    calm = curve([0.985] * 8, [0.98] * 8)
    found = suggested(variation(history=calm, schedule="cosine"), classes=LETTERS)
    assert len(found) >= 3
    assert by_code(found, "TS102")["why"] == (
        "It knows 98.0% of the validation images and 98.5% of the training images after 8 epochs; "
        "no check found fault with that, so this is worth little more than a try."
    )
    assert max(one["expected_gain"] for one in found) < 0.005


def test_where_a_check_found_fault_no_suggestion_says_that_none_did():
    found = suggested(variation(history=OVERFIT, **STACK))
    assert by_code(found, "TS110")["why"] == (
        "It knows 69.0% of the validation images and 98.0% of the training images after 8 epochs."
    )
    behind = suggested(variation(history=curve([0.88] * 8, [0.88] * 8), model="resnet-20"))
    assert "TS112" in [one["code"] for one in behind]
    assert not [one for one in found + behind if "no check found fault" in one["why"]]


def test_what_is_known_by_heart_is_no_reason_for_more_epochs_or_a_larger_network():
    start = variation(history=OVERFIT, **STACK)
    start["validation"]["confusion"][0][1] = 200
    assert study_findings(make_summary(start))[2]["items"]  # TS103, which asks for a larger one
    found = suggested(start)
    assert len(found) >= 3
    for one in found:
        assert one["changes"].get("model") != "compact-cnn-wide"
        assert one["title"] != "Twice the epochs"
    # While the validation loss falls, more epochs help whatever the gap is.
    val = [0.3, 0.4, 0.5, 0.55, 0.6, 0.64, 0.68, 0.72]
    falling = suggested(variation(history=curve([share + 0.1 for share in val], val)))
    assert {"TS101", "TS102"} <= {one["code"] for one in falling}


def test_a_fast_network_that_knows_images_by_heart_learns_less_long_or_gets_smaller():
    settings = quick().as_dict() | {"epochs": 8, "precision": "fp32"}
    found = suggested(variation(history=OVERFIT, **settings))
    changes = [one["changes"] for one in found]
    assert changes == [
        {"cutout": 8},
        {"epochs": 4},
        {"widths": [24, 96, 96]},
    ]
    assert [one["expected_gain"] for one in found] == pytest.approx(
        [0.29 / 5, 0.29 / 20, 0.31 / 40], abs=1e-4
    )
    assert found[1]["cost"] == 0.5
    assert found[2]["cost"] < 1
    deep = suggested(variation(history=OVERFIT, **settings | {"depth": 3}))
    assert {"depth": 2} in [one["changes"] for one in deep]


@pytest.mark.parametrize(
    ("widths", "narrower"),
    [([4, 8, 8], None), ([4, 16, 8], [4, 8, 8]), ([20, 24, 64], [8, 16, 48])],
)
def test_narrower_groups_are_never_wider_and_are_less_work(widths, narrower):
    settings = quick().as_dict() | {"epochs": 8, "precision": "fp32", "widths": widths}
    found = suggested(variation(history=OVERFIT, **settings))
    offered = [one for one in found if "widths" in one["changes"]]
    assert [one["changes"]["widths"] for one in offered] == ([narrower] if narrower else [])
    assert all(one["cost"] < 1 for one in offered)


def test_half_the_epochs_of_too_few_steps_are_not_suggested():
    start = variation(history=OVERFIT, schedule="cosine")
    assert {"epochs": 4} in [one["changes"] for one in suggested(start, images=4_800)]
    assert {"epochs": 4} not in [one["changes"] for one in suggested(start, images=4_700)]


def test_a_backbone_that_is_trained_too_is_shown_blanked_images_against_overfitting():
    settings = fine_tuning().as_dict() | {"epochs": 8, "precision": "fp32"}
    changes = [one["changes"] for one in suggested(variation(history=OVERFIT, **settings))]
    assert changes == [{"cutout": 8}, {"epochs": 4}]


def test_a_loss_that_rises_without_a_gap_still_makes_its_answers_worth_a_try():
    rising = curve([0.5] * 8, [0.5] * 8, loss=[1.2, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6])
    found = suggested(variation(history=rising))
    for code in ("TS101", "TS106"):
        assert by_code(found, code)["expected_gain"] == pytest.approx(0.5 / 40)


def test_a_fast_recipe_is_offered_only_to_networks_that_know_less_than_it():
    def of_fast(accuracy):
        known = curve([accuracy + 0.01] * 8, [accuracy] * 8)
        found = suggested(variation(history=known, model="resnet-20", schedule="cosine"))
        assert len(found) >= 3
        return [one for one in found if one["code"] == "TS112"]

    (one,) = of_fast(0.9)
    assert one["title"] == "The recipe quick"
    assert one["why"] == (
        "It knows 90.0% of the validation images; the recipe quick knew "
        f"{MEASURED['quick'].accuracy:.1%} of CIFAR-10's test images."
    )
    (one,) = of_fast(0.91)
    assert one["title"] == "The recipe standard"
    assert one["changes"]["hardest_share"] == standard().hardest_share
    assert one["expected_gain"] == pytest.approx(MEASURED["standard"].accuracy - 0.91)
    assert one["cost"] > 1
    assert of_fast(0.95) == []


def test_nothing_is_suggested_of_which_no_gain_is_expected():
    on, off = variation("on", vertical_flip=True), variation("off")
    rows = [measured("vertical_flip", "vertical flip", "invalid", 0.5)]
    row = pair("on", "off", "vertical_flip", 0.0, "cannot be told apart")
    summary = make_summary(on, off, augmentations=rows, one_key=[row])
    findings = study_findings(summary)
    assert findings[3]["items"][0]["cost"] == 0  # TS104
    off["recipe"]["shift"] = 1  # so that doing without was not tried
    found = suggestions(summary, findings, price=price_of(summary))
    assert "TS104" not in [one["code"] for one in found]
    assert min(one["expected_gain"] for one in found) > 0


def test_a_diverged_training_is_first_answered_by_a_quarter_of_the_rate():
    gone = variation(history=curve([0.2] * 2, [0.2] * 2), stopped="diverged", learning_rate=2.0)
    assert suggested(gone, classes=LETTERS)[0]["changes"] == {"learning_rate": 0.5}


def test_without_validation_images_nothing_is_suggested():
    bare = variation()
    bare["validation"] = None
    assert suggested(bare) == []


def test_a_frozen_backbone_is_given_views_or_its_last_block_and_no_other_network():
    settings = {"model": "transfer", "backbone": "vgg16"}
    found = suggested(variation(history=OVERFIT, **settings), images=5_000)
    assert all("model" not in one["changes"] for one in found)
    changes = [one["changes"] for one in found]
    assert {"horizontal_flip": True, "shift": 4, "feature_views": 4} in changes
    assert {"unfrozen_blocks": 1} in changes
    forest = suggested(
        variation(history=OVERFIT, **settings, classifier="random-forest"), images=5_000
    )
    assert [one["changes"] for one in forest] == [
        {"horizontal_flip": True, "shift": 4, "feature_views": 4}
    ]


def to_fine_tune(*, images: int = 45_000, **settings) -> list[dict]:
    """Suggestions to train the frozen backbone that comes along, for images of ten classes."""
    start = variation(history=OVERFIT, **{**transfer().as_dict(), "precision": "fp32", **settings})
    found = suggested(start, classes=LETTERS, images=images)
    return [one for one in found if one["changes"].get("unfrozen_blocks")]


def test_the_frozen_backbone_that_comes_along_is_fine_tuned_at_the_size_that_it_had():
    (one,) = to_fine_tune(backbone_size=48)
    recipe = transfer().changed({"backbone_size": 48}).changed(one["changes"])
    # Nobody knows whether these classes may be mirrored.
    bears = {"horizontal_flip": False, "test_views": "one", "backbone_size": 48}
    assert recipe.difference(fine_tuning()) == bears
    assert (one["code"], one["expected_gain"]) == ("TS105", pytest.approx(0.31 * 0.55, abs=1e-4))
    assert one["why"].startswith("It knows 69.0% of the validation images with a frozen backbone.")
    assert one["why"].endswith("here are 4,500.")


def test_a_backbone_is_fine_tuned_only_where_that_was_seen_to_help():
    (one,) = to_fine_tune(images=39_990)
    assert one["expected_gain"] == pytest.approx(0.31 * 0.3, abs=1e-4)
    (one,) = to_fine_tune(images=900)
    assert one["expected_gain"] == pytest.approx(0.31 / 8, abs=1e-4)
    assert not to_fine_tune(images=899)
    assert not to_fine_tune(backbone_layer="groups.1")
    assert not to_fine_tune(unfrozen_blocks=4, classifier="dense", refit=False)


def test_with_thousands_of_images_a_class_no_backbone_is_needed():
    start = variation(history=OVERFIT, **{**transfer().as_dict(), "precision": "fp32"})
    (one,) = [each for each in suggested(start, images=40_000) if "model" in each["changes"]]
    assert one["code"] == "TS112"
    assert one["expected_gain"] == pytest.approx(MEASURED["quick"].accuracy - 0.69)
    assert transfer().changed(one["changes"]).difference(quick()).keys() == {"epochs"}
    assert not [each for each in suggested(start, images=39_999) if "model" in each["changes"]]
    # Trained too, it was more accurate than quick.
    tuned = variation(history=OVERFIT, **{**fine_tuning().as_dict(), "precision": "fp32"})
    assert not [each for each in suggested(tuned, images=40_000) if "model" in each["changes"]]


def test_the_best_epochs_weights_are_kept_where_they_were_better():
    history = curve(
        [0.6, 0.7, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99],
        [0.6, 0.66, 0.70, 0.69, 0.68, 0.67, 0.67, 0.66],
        loss=[1.2, 1.0, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4],
    )
    found = suggested(variation(history=history))
    one = next(each for each in found if "early_stopping_patience" in each["changes"])
    assert one["changes"] == {"early_stopping_patience": 3}
    assert one["expected_gain"] == pytest.approx(0.04)
    assert one["cost"] == pytest.approx((3 + 3) / 8)


def test_where_nothing_was_learnt_a_lower_rate_comes_first_and_no_other_width():
    guesses = curve([0.1] * 8, [0.1] * 8, loss=[2.3] * 8)
    changes = {"model": "whitened-cnn", "learning_rate": 0.8}
    found = suggested(variation(history=guesses, guessing=[0], **changes))
    assert found[0]["code"] == "TS113"
    assert found[0]["changes"] == {"learning_rate": 0.2}
    assert not any({"widths", "depth"} & set(one["changes"]) for one in found)
