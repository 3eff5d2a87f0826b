"""Summaries that earlier versions wrote: what they did not know is filled in once."""

import copy
import json

import pytest
from page_reader import Page
from page_world import small_summary, summary_of

from tinyscope.report import page
from tinyscope.report.earlier_summaries import upgraded

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def summary(tmp_path):
    return small_summary(tmp_path / "runs")


def first_version(summary):
    """Without anything that came later."""
    old = copy.deepcopy(summary)
    for key in ("findings", "suggestions", "improvements"):
        del old[key]
    for key in ("left_out", "validation_came_with_data", "test_came_with_data", "run_in"):
        del old["study"][key]
    for key in ("gone", "of_test"):
        del old["data"]["review"][key]
    del old["recommended"]["standing"], old["comparisons"]["one_key"]
    for one in old["variations"]:
        del one["published"], one["start_from"]
        for key in ("classifier", "refit", "backbone", "hardest_share"):
            del one["recipe"][key]
        for run in one["runs"]:
            del run["guesses"]
    return old


def test_a_summary_of_this_version_is_left_as_it_is(summary):
    assert upgraded(summary) == summary
    assert upgraded(json.loads(json.dumps(summary))) == summary


def test_what_a_summary_of_the_first_version_lacks_is_filled_in(summary):
    summary["recommended"]["standing"] = "recommended"
    found = upgraded(first_version(summary))
    summary["study"]["test_came_with_data"] = None
    assert found["study"] == summary["study"]
    assert found["recommended"] == summary["recommended"]
    assert found["variations"][0]["recipe"] == summary["variations"][0]["recipe"]
    assert found["variations"][0]["runs"] == summary["variations"][0]["runs"]
    assert found["findings"] == found["comparisons"]["one_key"] == []


def test_such_a_summary_is_still_a_page(summary):
    assert not Page(page.render(first_version(summary))).faults


@pytest.mark.parametrize(
    ("words", "standing"),
    [
        ({}, "recommended"),
        ({"val_accuracy": None}, "unchosen"),
        ({"diverged": False, "guesses": True}, "guesses"),
        ({"diverged": True, "guesses": False}, "diverged"),
    ],
)
def test_earlier_words_for_where_a_model_stands_are_understood(summary, words, standing):
    del summary["recommended"]["standing"]
    summary["recommended"] |= words
    found = upgraded(summary)["recommended"]
    assert found["standing"] == standing
    assert not {"diverged", "guesses"} & set(found)


def test_verdicts_on_steps_that_were_not_adjusted_are_adjusted(summary):
    def step(variation, start, p_value, gain=0.02):
        return {
            **{"variation": variation, "from": start, "val_gain": gain, "p_value": p_value},
            "verdict": "better",
        }

    row = {"first": "a", "second": "b", "p_value": 0.02, "adjusted_p_value": 0.04}
    summary["comparisons"] |= {"pairs": 6, "validation": [row]}
    summary["improvements"] = [
        step("b", "a", 0.02, -0.02),
        step("c", "b", 0.02),
        step("c", "b", 0.008),
    ]
    found = upgraded(summary)["improvements"]
    assert [one["verdict"] for one in found] == ["worse", "cannot be told apart", "better"]
    assert [one["adjusted_p_value"] for one in found] == pytest.approx([0.04, 0.12, 0.048])


def test_intervals_over_seeds_of_no_width_are_none(summary):
    """Of seeds that were all alike an earlier version told one."""
    test = summary["variations"][0]["test"]
    test["seed_interval"] = summary["recommended"]["seed_interval"] = [0.9, 0.9]
    found = upgraded(summary)
    assert found["recommended"]["seed_interval"] is None
    assert found["variations"][0]["test"]["seed_interval"] is None
    summary["recommended"]["seed_interval"] = [0.89, 0.91]
    assert upgraded(summary)["recommended"]["seed_interval"] == [0.89, 0.91]


def test_leaks_without_what_can_be_expected_have_none(summary):
    block = summary["variations"][0]["test"]
    block["leaks"] = {"images": 3, "accuracy": 1.0, "accuracy_without": 0.8}
    found = upgraded(summary)["variations"][0]["test"]["leaks"]
    assert found["image_interval_without"] is None
    assert found["lowest_seed_accuracy_without"] is None
    assert found["accuracy_without"] == 0.8


def test_whether_an_earlier_summarys_trainings_guess_is_found_out_as_far_as_it_can_be(tmp_path):
    summary = summary_of(tmp_path, ("ant", "bee"), variations={}, seeds=(0, 1))
    one = summary["variations"][0]
    for run in one["runs"]:
        del run["guesses"]
        run["history"] = [{**row, "train_accuracy": 0.5} for row in run["history"]]

    def guesses(confusion, *, found=False):
        one["validation"]["confusion"] = confusion
        item = {"code": "TS113", "items": [{"variation": one["name"]}] * found}
        whole = upgraded(summary | {"findings": [item]})
        return [run["guesses"] for run in whole["variations"][0]["runs"]]

    assert guesses([[50, 0], [0, 50]]) == [False, False]
    assert guesses([[50, 0], [50, 0]]) == [True, False]
    assert guesses([[50, 0], [50, 0]], found=True) == [True, True]
