"""What a report says of its data: checks, leaked test images, review files."""

import json

import numpy as np
import pytest
from inspection_world import make_inspection
from page_reader import Page, faults_of_a_page
from page_world import section_of, small_summary, summary_of, words_of
from study_world import make_run, make_splits, make_study

from tinyscope.data.review import ReviewCounts
from tinyscope.evaluation.intervals import wilson
from tinyscope.report import page
from tinyscope.report.summary import summarise
from tinyscope.runs.run import Predictions
from tinyscope.wording import percent

ONE = {"smooth": {"label_smoothing": 0.2}}


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory):
    """A study whose images were inspected: 3 of 16 test images were found among the others."""
    return summary_of(
        tmp_path_factory.mktemp("runs"), ("ant", "bee"), leaks=3, variations=ONE, seeds=(0, 1)
    )


@pytest.fixture
def uninspected(tmp_path):
    """The same without any inspection or review."""
    return small_summary(tmp_path / "uninspected")


def test_a_report_shows_what_the_checks_of_the_data_found(looked_at):
    html = page.render(looked_at)
    shown = Page(html)
    assert faults_of_a_page(html) == []
    assert shown.cells.count("Copies on both sides of a splitTS008") == 1
    start = shown.cells.index("Copies on both sides of a splitTS008")
    assert shown.cells[start + 1 : start + 3] == ["falsifies results", "3"]
    words = " ".join(shown.text.split())
    assert "1 finding would falsify results, 1 is worth mending." in words
    assert "mean = [0." in words  # normalization constants, folded away
    assert page.render(json.loads(json.dumps(looked_at))) == html


@pytest.mark.usefixtures("undrawn")
def test_a_report_tells_accuracy_with_and_without_leaked_test_images(looked_at):
    base = looked_at["variations"][0]["test"]
    leaks = base["leaks"]
    assert leaks["images"] == 3
    words = words_of(looked_at)
    chosen = next(
        one
        for one in looked_at["variations"]
        if one["name"] == looked_at["recommended"]["variation"]
    )["test"]
    assert (
        "3 of 16 test images have copies among the training images, those set apart for "
        "validation included. On them "
        f"{looked_at['recommended']['variation']} is right in "
        f"{percent(chosen['leaks']['accuracy'])}, on the other test images in "
        f"{percent(chosen['leaks']['accuracy_without'], 2)}, on all in "
        f"{percent(chosen['accuracy'], 2)} (means over 2 seeds)."
    ) in words
    shipped = chosen["leaks"]
    assert (
        "of 16 test images, 3 of which have copies among the training images, and for "
        f"{percent(shipped['lowest_seed_accuracy_without'])} of the other 13; on all images of "
        "this kind, between "
        f"{' and '.join(percent(end) for end in shipped['image_interval_without'])} can be "
        "expected."
    ) in words
    assert "Without leaked images" in words
    html = page.render(looked_at)
    table = Page(html[html.index('<table id="model-table"') :].split("</table>")[0])
    for one in looked_at["variations"]:
        without = percent(one["test"]["leaks"]["accuracy_without"], 2)
        assert f"{without}13 images" in table.cells
    (limit,) = [one for one in looked_at["limits"] if "have copies" in one]
    assert limit.startswith(
        "3 of 16 test images have copies among the training images, so the test accuracy can be "
        f"too high. Without them it is {percent(leaks['accuracy_without'], 2)} for “base” (with "
        f"them {percent(base['accuracy'], 2)}) and "
    )
    assert limit.endswith("%), means over seeds.")


@pytest.mark.usefixtures("undrawn")
def test_figures_without_leaked_images_are_called_means_only_where_there_are_several_seeds(
    tmp_path,
):
    one_seed = summary_of(tmp_path, ("ant", "bee"), leaks=3, variations=ONE, seeds=(0,))
    assert "means over" not in words_of(one_seed)


def test_what_can_be_expected_of_the_shipped_model_leaves_leaked_images_out(tmp_path):
    splits = make_splits(("ant", "bee"), per_class=(60, 4, 50))
    study = make_study(variations={}, seeds=(0, 1))
    runs = [make_run(tmp_path, study, splits, "base", k, accuracy=0.6) for k in (0, 1)]
    given = runs[0].predictions("test")
    logits = given.logits.copy()
    logits[np.arange(40), given.labels[:40]] += 50  # the copies are known by heart
    runs[0].write_predictions("test", Predictions(logits, given.labels))
    leaks = make_inspection(splits, leaks=40, found=("TS008",))
    found = summarise(
        study, runs, splits, recipes_changed={}, test_came_with_data=True, inspection=leaks
    )
    told = found["variations"][0]["test"]["leaks"]
    right = logits[40:].argmax(1) == given.labels[40:]
    assert told["lowest_seed_accuracy_without"] == pytest.approx(right.mean())
    assert told["image_interval_without"] == list(wilson(int(right.sum()), 60))
    assert told["image_interval_without"][1] < found["recommended"]["image_interval"][1]


@pytest.mark.usefixtures("undrawn")
def test_a_report_without_leaks_has_no_column_for_them(tmp_path, uninspected):
    none_found = summary_of(tmp_path, ("ant", "bee"), leaks=0, variations={}, seeds=(0,))
    words = words_of(none_found)
    assert "No copy of a training image was found among the test images." in words
    assert "Without leaked images" not in words
    assert any(one.startswith("Among the test images no copy") for one in none_found["limits"])
    nobody_looked = words_of(uninspected)
    assert "copies of training images are among the test images was not looked for" in nobody_looked
    assert "Without leaked images" not in nobody_looked


@pytest.mark.usefixtures("undrawn")
def test_a_summary_without_the_interval_of_images_that_leaked_none_expects_nothing(tmp_path):
    """Of an earlier version: the accuracy is there, and what would be expected was not told."""
    found = summary_of(tmp_path, ("ant", "bee"), leaks=8, variations={}, seeds=(0,))
    for one in found["variations"]:
        leaks = {"images": 8, "accuracy": 0.9, "accuracy_without": 0.8}
        one["test"]["leaks"] = leaks
    answer = section_of(page.render(found), "answer")
    assert "8 of which have copies among the training images." in answer
    assert "on all images of this kind" not in answer


@pytest.mark.usefixtures("undrawn")
def test_where_the_test_split_was_cut_here_copies_are_said_to_be_on_one_side(tmp_path):
    found = summary_of(tmp_path, ("ant", "bee"), came=False, variations={}, seeds=(0,))
    words = words_of(found)
    assert "copies of an image that were found stayed on one side." in words
    assert "not looked for" not in words
    found["study"]["validation_came_with_data"] = True
    assert "Whether copies of the validation images, which came with the data," in words_of(found)
    del found["study"]["test_came_with_data"]  # an earlier version did not write it
    assert "does not tell whether copies of training images are among" in words_of(found)


def test_where_the_test_split_was_cut_here_finding_no_leak_is_no_limit(tmp_path):
    found = summary_of(tmp_path, ("ant", "bee"), leaks=0, came=False, variations={}, seeds=(0,))
    assert not any("cop" in sentence for sentence in found["limits"])


@pytest.mark.usefixtures("undrawn")
def test_a_test_split_that_leaked_as_a_whole_says_nothing(tmp_path):
    found = summary_of(tmp_path, ("ant", "bee"), leaks=8, variations={}, seeds=(0,))
    for one in found["variations"]:
        one["test"]["leaks"] = {"images": 16, "accuracy": 0.9, "accuracy_without": None}
    words = words_of(found)
    assert "on all images of this kind, what can be expected is not known." in words
    assert "16 of 16 test images have copies" in words
    assert "on the other test images" not in words


@pytest.mark.usefixtures("undrawn")
def test_a_report_says_what_a_review_file_changed(tmp_path, uninspected):
    reviewed = ReviewCounts("<i>mine</i>.csv", 12, 3)
    words = words_of(
        summary_of(tmp_path, ("ant", "bee"), reviewed=reviewed, variations={}, seeds=(0,))
    )
    assert (
        "A review file (<i>mine</i>.csv) took out 12 images and gave 3 another class before "
        "anything was learnt."
    ) in words
    assert "more image" not in words
    assert "review file" not in words_of(uninspected)


@pytest.mark.usefixtures("undrawn")
def test_a_report_says_how_many_reviewed_images_are_test_images_and_stayed_or_are_gone(
    uninspected,
):
    def told(of_test, gone=0):
        data = uninspected["data"]
        review = {"file": "review.csv", "excluded": 12, "relabelled": 3}
        review |= {"of_test": of_test, "gone": gone}
        return words_of({**uninspected, "data": {**data, "review": review}})

    assert (
        "before anything was learnt. 4 more images that it names are test images and stayed as "
        "they are, because a review never changes what a model is examined by."
    ) in told(4)
    assert "1 more image that it names is a test image and stayed as it is, because" in told(1)
    assert "2 images that it names are not there any more; nothing was left to do" in told(0, 2)
    assert "not there any more" not in told(1)


@pytest.mark.usefixtures("undrawn")
def test_a_summary_from_before_reviewed_test_images_were_counted_is_still_a_page(uninspected):
    review = {"file": "review.csv", "excluded": 12, "relabelled": 3}
    words = words_of({**uninspected, "data": {**uninspected["data"], "review": review}})
    assert "gave 3 another class before anything was learnt." in words
