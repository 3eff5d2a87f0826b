"""What a report says of classes that have no test images, and of those that no answer names."""

import json

import numpy as np
import pytest
from page_reader import Page, faults_of_a_page
from page_world import section_of
from study_world import make_run, make_splits, make_study

from tinyscope.data.dataset import Splits
from tinyscope.evaluation.evaluation import Evaluation
from tinyscope.report import page
from tinyscope.report.summary import summarise
from tinyscope.runs.run import Predictions

NAMES = ("ant", "bee", "cow", "doe", "elk", "fox", "gnu")


def summary_without(folder, *untested, unanswered=(), names=NAMES):
    """A study whose test split lacks some classes, and whose answers some others."""
    whole, study = make_splits(names), make_study(variations={}, seeds=(0,))
    rows = np.flatnonzero(~np.isin(whole.test.labels, [names.index(name) for name in untested]))
    test = whole.test.select(rows, split="test")
    splits = Splits("shades", whole.train, whole.validation, test)
    run = make_run(folder, study, splits, "base", 0, accuracy=0.7)
    given = run.predictions("test")
    logits = given.logits.copy()
    logits[:, [names.index(name) for name in (*untested, *unanswered)]] = -100
    run.write_predictions("test", Predictions(logits, given.labels))
    return summarise(study, [run], splits, recipes_changed={}, test_came_with_data=True)


def test_a_class_without_test_images_is_not_weak(tmp_path):
    best = summary_without(tmp_path, "cow", "elk", unanswered=["bee"])["recommended"]
    assert [row["class"] for row in best["weakest_classes"]] == ["bee"]


@pytest.mark.usefixtures("undrawn")
def test_the_answer_and_the_limits_name_the_classes_that_were_not_tested(tmp_path):
    found = summary_without(tmp_path, "cow", "elk")
    html = page.render(found)
    assert faults_of_a_page(html) == []
    assert (
        "Images of “cow”, “elk”: there were no test images of these classes, so how well they are "
        "recognised is not known."
    ) in section_of(html, "answer")
    told = [one for one in found["limits"] if "no test images" in one]
    assert told == [
        "2 of 7 classes have no test images (“cow” and “elk”): no figure here tells how well such "
        "images are recognised."
    ]
    rare = next(one for one in found["limits"] if "fewer than 30 test images" in one)
    assert rare.startswith("5 of 7 classes have")
    assert "no test images" not in json.dumps(summary_without(tmp_path / "all")["limits"])


@pytest.mark.usefixtures("undrawn")
def test_a_long_list_of_classes_that_were_not_tested_is_cut(tmp_path):
    found = summary_without(tmp_path, *NAMES[:6])
    assert any("“doe”, “elk” and 1 more)" in sentence for sentence in found["limits"])
    assert found["recommended"]["weakest_classes"] == []
    assert "and 3 more classes: there were no" in section_of(page.render(found), "answer")


def test_a_single_class_that_was_not_tested_is_one_of_the_classes(tmp_path):
    found = summary_without(tmp_path, "cow")
    assert any(one.startswith("1 of 7 classes has no test images") for one in found["limits"])


@pytest.mark.usefixtures("undrawn")
def test_tables_say_no_test_images_and_never_answered_in_place_of_0_percent(tmp_path):
    found = summary_without(tmp_path, "cow", unanswered=["bee"])
    html = page.render(found)
    cells = Page(html[html.index('aria-label="All classes of the test') :]).cells
    cow, bee = cells.index("cow"), cells.index("bee")
    assert cells[cow + 1 : cow + 7] == ["no test images", "–", "never answered", "–", "0", "0"]
    assert cells[bee + 1] == "0.0%"
    assert cells[bee + 3 : bee + 7] == ["never answered", "0.0%", "10", "0"]
    assert "“bee” (0%)" in section_of(html, "answer")


@pytest.mark.usefixtures("undrawn")
def test_of_many_classes_only_those_with_test_images_are_ranked(tmp_path):
    names = tuple(f"class {k:02d}" for k in range(40))
    found = summary_without(tmp_path, "class 07", names=names)
    html = page.render(found)
    ranked = html[html.index("The twelve classes with the lowest F1, of 39") :]
    assert "class 07" not in ranked.split("</table>")[0]


def test_a_notebook_does_not_call_an_untested_class_the_worst():
    logits = np.eye(3)[[0, 1, 1, 0]]
    table = Evaluation("test", logits, np.array([0, 1, 0, 0]), ("a", "b", "z"))._repr_html_()
    assert "lowest F1: b (0.67), a (0.80)</caption>" in table
