import pytest

from tinyscope.plan.published_figures import PublishedFigures
from tinyscope.plan.recipe import Recipe
from tinyscope.report.beside_published import (
    LARGEST,
    curve_rows,
    differences,
    figure_rows,
    mistakes,
    published_block,
    ratio,
)
from tinyscope.report.whole_cost import WholeCost

NAMES = ("ant", "bee", "cat")


def block(**parts):
    return published_block(PublishedFigures(**parts), NAMES)


def variation(figures=None, *, seeds=3, validation=True, name="a", **changes):
    """A variation of a summary with the numbers that rows are made from."""
    split = {
        "images": 1000,
        "accuracy": 0.7,
        "loss": 0.8,
        "seed_interval": [0.68, 0.72] if seeds > 1 else None,
        "image_interval": [0.67, 0.73],
        "confusion": [[8, 2, 0], [5, 10, 5], [0, 1, 9]],
    }
    row = {"train_accuracy": 0.75, "val_accuracy": 0.7, "train_loss": 0.6, "val_loss": 0.8}
    run = {
        "best_epoch": 2,
        "epochs_run": 2,
        "stopped": "all epochs",
        "guesses": False,
        "history": [{"epoch": 1, **row}, {"epoch": 2, **row}],
    }
    return {
        "name": name,
        "published": None if figures is None else block(figures=figures),
        "recipe": Recipe().as_dict(),
        "seeds": list(range(seeds)),
        "test": split,
        "validation": {**split, "images": 500} if validation else None,
        "parameters": 1234,
        "epochs_run": [2] * seeds,
        "whole": WholeCost(60.0, 120.0, 1e12, (), 0.0),
        "runs": [run] * seeds,
    } | changes


def one_row(figures, **changes):
    (row,) = figure_rows(variation(figures, **changes))
    return row


def test_where_nothing_was_published_there_is_no_block_and_no_row():
    assert published_block(None, NAMES) is None
    assert figure_rows(variation()) == []
    assert curve_rows(variation()) == []
    assert mistakes(variation(), NAMES) == []


def test_a_block_holds_plain_values_in_the_order_of_epochs_and_classes():
    row = {"accuracy": 0.5, "loss": None, "val_accuracy": None, "val_loss": 1.0}
    scores = {"precision": 0.5, "recall": None, "f1": 0.4}
    assert block(
        figures={"test_accuracy": 0.6},
        differs=("Longer.",),
        curves=({"epoch": 3, **row}, {"epoch": 1, **row}),
        per_class={"cat": scores, "ant": scores},
        confusion={"ant": {"ant": 7, "cat": 2}, "cat": {"bee": 1}},
    ) == {
        "figures": {"test_accuracy": 0.6},
        "differs": ["Longer."],
        "curves": [{"epoch": 1, **row}, {"epoch": 3, **row}],
        "per_class": [{"class": "ant", **scores}, {"class": "cat", **scores}],
        "confusion": [[7, 0, 2], [0, 0, 0], [0, 1, 0]],
    }


def test_tables_that_speak_of_other_classes_are_left_out():
    scores = {"precision": 0.5, "recall": 0.5, "f1": 0.5}
    found = block(
        figures={"epochs": 3},
        per_class={"ant": scores, "horse": scores},
        confusion={"ant": {"ant": 7, "horse": 2}},
    )
    assert found["per_class"] == found["confusion"] == []
    assert found["figures"] == {"epochs": 3}


def test_a_test_accuracy_stands_beside_the_mean_with_its_interval_and_condition():
    assert one_row({"test_accuracy": 0.6305}) == {
        "title": "Test accuracy",
        "published": "63.05%",
        "measured": "70.00%",
        "interval": "68.00–72.00%",
        "interval_of": "95% over seeds",
        "difference": "+6.95 points",
        "verdict": "the measured one is above",
        "condition": "test split, 1,000 images, 3 seeds",
    }


@pytest.mark.parametrize(
    ("published", "seeds", "verdict"),
    [
        # On 1,000 images 70% are known as 67.1 to 72.8% of all such images.
        (0.6708, 3, "the measured one is above"),
        (0.6710, 3, "the choice of test images alone explains the difference"),
        (0.6799, 3, "the choice of test images alone explains the difference"),
        (0.68, 3, "the published one is within the measured interval"),
        (0.72, 3, "the published one is within the measured interval"),
        (0.7201, 3, "the choice of test images alone explains the difference"),
        (0.7280, 3, "the measured one is below"),
        # One seed has the interval over images alone.
        (0.6701, 1, "the published one is within the measured interval"),
        (0.7301, 1, "the measured one is below"),
    ],
)
def test_a_verdict_rests_on_the_intervals_over_seeds_and_over_images(published, seeds, verdict):
    row = one_row({"test_accuracy": published}, seeds=seeds)
    assert row["verdict"] == verdict
    assert row["interval_of"] == ("95% over seeds" if seeds > 1 else "95% over images")


def test_seeds_that_are_all_alike_are_judged_by_the_interval_over_images():
    alike = variation({"test_accuracy": 0.68}, seeds=2)
    alike["test"]["seed_interval"] = None
    (row,) = figure_rows(alike)
    assert row["interval_of"] == "95% over images"
    assert row["verdict"] == "the published one is within the measured interval"


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        (
            {"test_loss": 0.9},
            ("0.9", "0.8000", "−0.1000 nats", "test split, 1,000 images, 3 seeds"),
        ),
        (
            {"val_accuracy": 0.7},
            ("70%", "70.00%", "0.00 points", "validation split, 500 images, 3 seeds"),
        ),
        (
            {"val_loss": 0.5},
            ("0.5", "0.8000", "+0.3000 nats", "validation split, 500 images, 3 seeds"),
        ),
        ({"train_accuracy": 0.8}, ("80%", "75.00%", "−5.00 points", "while it learnt, 3 seeds")),
        ({"parameters": 1234}, ("1,234", "1,234", "the same", "")),
        ({"parameters": 1000}, ("1,000", "1,234", "+234", "")),
        ({"epochs": 20}, ("20", "2", "−18", "")),
        (
            {"minutes": 2.5},
            ("2 min 30 s", "1 min 0 s", "2.5 times as fast", "this machine, 3 seeds"),
        ),
    ],
)
def test_every_other_figure_has_its_unit_its_difference_and_its_condition(figures, expected):
    row = one_row(figures)
    keys = ("published", "measured", "difference", "condition")
    assert tuple(row[key] for key in keys) == expected
    assert row["verdict"] == ""


def test_a_training_time_counts_the_trainings_that_a_variation_goes_on_from():
    whole = WholeCost(100.0, 200.0, 1e12, ("second", "first"), 40.0)
    row = one_row({"minutes": 2.5}, whole=whole)
    assert (row["measured"], row["difference"]) == ("1 min 40 s", "1.5 times as fast")
    assert row["condition"] == "this machine, 3 seeds; with second, first, from which it goes on"


def test_epochs_that_differ_from_seed_to_seed_are_a_range():
    row = one_row({"epochs": 5}, epochs_run=[4, 6, 5])
    assert (row["measured"], row["difference"]) == ("4 to 6", "the same")


@pytest.mark.parametrize("key", ["val_accuracy", "val_loss", "train_accuracy"])
def test_what_was_not_measured_is_a_dash_with_the_reason(key):
    row = one_row({key: 0.7}, validation=False)
    assert (row["measured"], row["difference"]) == ("–", "–")
    assert "validation" in row["condition"]


def test_rows_keep_the_order_in_which_figures_were_published():
    rows = figure_rows(variation({"epochs": 2, "test_accuracy": 0.7}))
    assert [row["title"] for row in rows] == ["Epochs", "Test accuracy"]


@pytest.mark.parametrize(
    ("seconds", "other", "text"),
    [
        (100, 40, "2.5 times as fast"),
        (40, 100, "2.5 times as long"),
        (100, 100.1, "as long"),
        (0, 3, "–"),
        (3, 0, "–"),
    ],
)
def test_times_are_compared_as_a_multiple(seconds, other, text):
    assert ratio(seconds, other) == text


def test_a_difference_is_told_once_the_most_general_first():
    def said(name, *sentences):
        return variation(name=name, published=block(differs=sentences))

    rows = differences(
        [said("a", "Only a.", "Both."), variation(name="ours"), said("b", "Both.", "Only b.")]
    )
    assert rows == [
        {"sentence": "Both.", "of": []},
        {"sentence": "Figures here are means over 3 seeds.", "of": []},
        {"sentence": "Only a.", "of": ["a"]},
        {"sentence": "Only b.", "of": ["b"]},
    ]


def test_the_table_behind_curves_has_every_epoch_of_either():
    row = {"accuracy": 0.5, "loss": 1.5, "val_accuracy": None, "val_loss": 1.0}
    published = block(curves=({"epoch": 1, **row}, {"epoch": 4, **row}))
    rows = curve_rows(variation(published=published))
    assert [row["epoch"] for row in rows] == [1, 2, 4]
    assert rows[0] == {
        "epoch": 1,
        "accuracy": (0.5, 0.75),
        "loss": (1.5, 0.6),
        "val_accuracy": (None, 0.7),
        "val_loss": (1.0, 0.8),
    }
    assert rows[1]["accuracy"] == (None, 0.75)
    assert rows[2]["accuracy"] == (0.5, None)


def test_mistakes_are_compared_as_shares_the_largest_of_either_first():
    published = block(confusion={"ant": {"ant": 90, "cat": 10}, "cat": {"ant": 60, "cat": 40}})
    rows = mistakes(variation(published=published), NAMES)
    assert rows[0] == {
        "true": "cat",
        "predicted": "ant",
        "published": 60,
        "measured": 0,
        "published_share": 0.6,
        "measured_share": 0.0,
    }
    assert [(row["true"], row["predicted"]) for row in rows[1:3]] == [
        ("bee", "ant"),
        ("bee", "cat"),
    ]
    assert rows[1]["published_share"] == 0.0  # no published image of that class
    assert rows[1]["measured_share"] == 0.25
    assert all(row["true"] != row["predicted"] for row in rows)
    largest = [max(row["published_share"], row["measured_share"]) for row in rows]
    assert largest == sorted(largest, reverse=True)


def test_of_many_mistakes_only_the_largest_are_compared():
    names = [f"class {k}" for k in range(8)]
    table = {true: {called: 1 for called in names} for true in names}
    published = published_block(PublishedFigures(confusion=table), names)
    test = {"confusion": [[1] * 8] * 8}
    assert len(mistakes(variation(published=published, test=test), names)) == LARGEST
