"""What summary.json holds of confusion matrices, and that every reader finds them whole."""

import json

import numpy as np
import pytest
from page_reader import faults_of_a_page
from page_world import small_summary
from study_world import make_run, make_splits, make_study

from tinyscope.report import page
from tinyscope.report.stored_matrices import WHOLE, restored, shortened
from tinyscope.report.summary import summarise
from tinyscope.sweep.outcome import read_study

CLASSES = 300


@pytest.fixture(scope="module")
def summary(tmp_path_factory):
    names = tuple(f"class {k}" for k in range(CLASSES))
    study, splits = make_study(variations={}, seeds=(0,)), make_splits(names, per_class=(2, 1, 2))
    run = make_run(tmp_path_factory.mktemp("runs"), study, splits, "base", 0, accuracy=0.6)
    return summarise(study, [run], splits, recipes_changed={}, test_came_with_data=True)


def test_a_stored_matrix_of_many_classes_has_its_images_by_row():
    matrix = np.zeros((WHOLE + 1, WHOLE + 1), int)
    matrix[0, 0], matrix[0, 17], matrix[100, 3] = 9, 1, 2
    block = {"confusion": matrix.tolist()}
    one = {"validation": None, "test": block, "published": None}
    found = shortened({"variations": [one]})
    stored = found["variations"][0]["test"]["confusion"]
    assert stored["classes"] == len(stored["rows"]) == 101
    assert (stored["rows"][0], stored["rows"][1], stored["rows"][100]) == ("0:9 17:1", "", "3:2")
    assert block["confusion"] == matrix.tolist()
    assert restored(found) == {"variations": [one]}


def test_a_matrix_of_a_hundred_classes_is_written_out_and_no_summary_is_changed(tmp_path, summary):
    small = small_summary(tmp_path)
    assert shortened(small) == small
    before = json.dumps(summary)
    assert len(json.dumps(shortened(summary))) < len(before) - 4 * CLASSES**2
    assert json.dumps(summary) == before


@pytest.mark.usefixtures("undrawn")
def test_a_study_of_many_classes_is_read_back_as_it_was(tmp_path, summary):
    (tmp_path / "summary.json").write_text(json.dumps(shortened(summary)))
    found = read_study(tmp_path)
    assert found.summary == summary
    html = found.report(tmp_path / "page.html").read_text()
    assert faults_of_a_page(html) == []
    assert html == page.render(summary) == page.render(shortened(summary))


def test_a_published_matrix_of_many_classes_is_kept_too(tmp_path, summary):
    (one,) = summary["variations"]
    published = {"figures": {}, "confusion": one["test"]["confusion"]}
    made = {**summary, "variations": [{**one, "published": published}]}
    (tmp_path / "summary.json").write_text(json.dumps(shortened(made)))
    assert read_study(tmp_path).summary == made
