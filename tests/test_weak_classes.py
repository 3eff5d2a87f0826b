"""Classes are called weak only where chance does not explain that they are known worse."""

import numpy as np
import pytest
from page_reader import faults_of_a_page
from page_world import section_of, small_summary
from scipy.stats import fisher_exact

from tinyscope.evaluation.comparison import holm
from tinyscope.evaluation.evaluation import Evaluation
from tinyscope.evaluation.weak_classes import weak_classes
from tinyscope.report import page
from tinyscope.report.earlier_summaries import upgraded


def rows_of(confusion):
    """The rows of a model with this confusion matrix."""
    matrix = np.array(confusion)
    classes = len(matrix)
    pairs = [(t, p) for t in range(classes) for p in range(classes) for _ in range(matrix[t, p])]
    labels, answers = np.array(pairs).T
    names = tuple(f"class {k}" for k in range(classes))
    return Evaluation("test", np.eye(classes)[answers], labels, names).per_class()


def names_of(rows):
    return [row["class"] for row in rows]


@pytest.mark.parametrize(
    "confusion",
    [
        np.diag([90, 90, 89]),  # no mistake at all
        [[89, 1, 0], [0, 88, 1], [1, 0, 89]],  # 3 in 269
        [[1, 0], [1, 0]],  # two images
        [[5, 5, 0], [0, 0, 0], [0, 0, 0]],  # images of a single class
        np.full((4, 4), 10),  # all alike
    ],
)
def test_no_class_is_weak_where_chance_explains_what_differs(confusion):
    assert weak_classes(rows_of(confusion)) == []


def test_a_class_with_low_recall_is_weak():
    found = weak_classes(rows_of([[60, 20, 20], [3, 94, 3], [3, 3, 94]]))
    assert names_of(found) == ["class 0"]


def test_a_class_whose_name_is_often_given_wrongly_is_weak_by_its_precision():
    # Class 2 is recognised as well as the others; 40 of 130 answers with its name are wrong.
    found = weak_classes(rows_of([[90, 0, 10, 0], [0, 90, 10, 0], [5, 5, 90, 0], [0, 0, 20, 80]]))
    assert "class 2" in names_of(found)


def test_classes_that_are_known_alike_are_weak_alike():
    matrix = np.diag([100] * 8)
    for k in range(4):
        matrix[k, k], matrix[k, 4 + k] = 50, 50
    found = weak_classes(rows_of(matrix))
    low = {row["class"]: row["low"] for row in found}
    recall = [f"class {k}" for k in range(4)]
    assert all("recall" in low[name] for name in recall)
    # Of three answers with one of the other names, one is wrong: as many as of all answers.
    assert len(low) == 4


def test_of_two_classes_one_may_be_recognised_less_and_the_other_trusted_less():
    found = weak_classes(rows_of([[95, 5], [25, 75]]))
    assert {row["class"]: row["low"] for row in found} == {
        "class 0": ["precision"],
        "class 1": ["recall"],
    }


def test_a_class_without_test_images_is_not_weak():
    found = weak_classes(rows_of([[50, 0, 50], [0, 100, 0], [0, 0, 0]]))
    assert names_of(found) == ["class 0"]


def test_the_test_is_fishers_with_holms_adjustment():
    matrix = np.array([[16, 2, 2], [1, 19, 0], [1, 0, 19]])

    def least(correct):
        """Whether class 0 is weak with so many of its 20 images right, and the matrix."""
        changed = matrix.copy()
        changed[0] = correct, 20 - correct, 0
        right = np.diag(changed)
        p_values = []
        for totals in (changed.sum(1), changed.sum(0)):
            for k in range(3):
                others = right.sum() - right[k]
                table = [
                    [right[k], totals[k] - right[k]],
                    [others, totals.sum() - totals[k] - others],
                ]
                p_values.append(fisher_exact(table, alternative="less").pvalue)
        adjusted = holm(p_values)
        return bool(min(adjusted[0], adjusted[3]) <= 0.05), changed

    seen = set()
    for correct in range(5, 21):
        weak, changed = least(correct)
        seen.add(weak)
        assert ("class 0" in names_of(weak_classes(rows_of(changed)))) is weak
    assert seen == {True, False}


@pytest.mark.usefixtures("undrawn")
def test_the_answer_names_weak_classes_or_says_that_there_is_none(tmp_path):
    summary = small_summary(tmp_path)
    best, rows = summary["recommended"], summary["variations"][0]["test"]["per_class"]

    def answer():
        html = page.render(summary)
        assert faults_of_a_page(html) == []
        return section_of(html, "answer")

    best |= {"weakest_classes": [], "lowest_seed_accuracy": 15 / 16}
    assert (
        "No class is known worse than the others by more than chance explains; in all, 1 of 16 "
        "answers is wrong."
    ) in answer()
    best["lowest_seed_accuracy"] = 1.0
    assert "in all, 0 of 16 answers are wrong." in answer()
    best["weakest_classes"] = [rows[0] | {"recall": 0.5, "low": ["recall"]}]
    assert (
        "Finding every image of a class that it recognises less often than the others, by more "
        "than chance explains: “ant” (50%)."
    ) in answer()
    assert "Trusting single answers" not in answer()
    best["weakest_classes"] = [rows[0] | {"precision": 0.75, "low": ["precision"]}]
    assert (
        "Trusting single answers with a name that is right less often than the others, by more "
        "than chance explains: “ant” (75% of the answers with it)."
    ) in answer()
    assert "Finding every image" not in answer()
    best["weakest_classes"] *= 7
    assert "with 7 names that are right less often" in answer()
    assert ", and 2 more." in answer()


def test_classes_that_an_earlier_version_called_weakest_are_judged_anew(tmp_path):
    summary = small_summary(tmp_path)
    test = summary["variations"][0]["test"]
    test["per_class"] = rows_of([[88, 1], [0, 90]])
    earlier = {"weakest_classes": test["per_class"][:1], "strongest_classes": test["per_class"][1:]}
    best = upgraded({**summary, "recommended": {**summary["recommended"], **earlier}})[
        "recommended"
    ]
    assert best["weakest_classes"] == []
    assert "strongest_classes" not in best
