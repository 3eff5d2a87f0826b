"""What a report says of a study some of whose trainings diverged, or learnt nothing."""

import pytest
from page_world import words_of
from study_world import make_run, make_splits, make_study

from tinyscope.report import page
from tinyscope.report.summary import summarise

pytestmark = pytest.mark.usefixtures("undrawn")


def summary_with(folder, diverged, *, validation=True):
    """The study of "base" and "hot" with two seeds; `diverged`: names of runs, cut off at once."""
    study = make_study(
        variations={"hot": {"learning_rate": 3.0}},
        seeds=(0, 1),
        **({} if validation else {"validation": 0}),
    )
    splits = make_splits(("ant", "bee"), per_class=(12, 40, 50), validation=validation)
    runs = [
        make_run(folder, study, splits, name, seed, accuracy=accuracy)
        for name, accuracy in (("base", 0.8), ("hot", 0.9))
        for seed in (0, 1)
    ]
    for run in runs:
        if run.name in diverged:
            run.write_history([])
            result = {key: value for key, value in run.result.items() if key != "format"}
            gone = {"stopped": "diverged", "epochs_run": 0, "best_epoch": None}
            run.write_result(result | gone | {"train_seconds": 0.0})
            del run.__dict__["result"]
    return summarise(study, runs, splits, recipes_changed={}, test_came_with_data=True)


def test_a_run_that_diverged_is_neither_recommended_nor_shipped(tmp_path):
    found = summary_with(tmp_path, ["hot-0"])
    assert found["recommended"]["variation"] == "base"
    assert found["recommended"]["run"] == "base-0"
    assert found["recommended"]["standing"] == "recommended"
    words = words_of(found)
    assert "Use base (" in words
    assert "but its training with seed 0 diverged." in words


def test_where_every_shipping_run_diverged_the_answer_recommends_nothing(tmp_path):
    found = summary_with(tmp_path, ["base-0", "hot-0"])
    assert found["recommended"]["standing"] == "diverged"
    words = words_of(found)
    assert "Nothing can be recommended; what is shown is hot (" in words
    assert "every training with seed 0, the one that ships, diverged." in words
    assert "The model shown: hot" in words
    assert "recommended model" not in words.lower()
    assert "Use hot" not in words


def test_without_validation_the_first_model_that_did_not_diverge_is_shown(tmp_path):
    words = words_of(summary_with(tmp_path, ["base-0"], validation=False))
    assert "the study’s first model whose training did not diverge is hot (" in words


@pytest.mark.parametrize(("known", "guesses"), [(0.25, True), (0.9, False)])
def test_where_the_best_model_guesses_the_answer_recommends_nothing(tmp_path, known, guesses):
    study, splits = make_study(seeds=(0,)), make_splits(("ant", "bee", "cat", "dog"))
    runs = [
        make_run(tmp_path, study, splits, name, 0, accuracy=known)
        for name in ("base", "smooth", "resnet")
    ]
    for run in runs:
        rows = [{**row, "train_accuracy": known} for row in run.history]
        run.write_history(rows)
        run.__dict__.pop("history", None)
    found = summarise(study, runs, splits, recipes_changed={}, test_came_with_data=True)
    assert found["recommended"]["standing"] == ("guesses" if guesses else "recommended")
    words = words_of(found)
    told = "Nothing can be recommended, for even the best answers cannot be told from guesses; what"
    assert (told in words) is guesses
    assert ("recommended model" in words.lower()) is not guesses
    assert (">recommended<" in page.render(found)) is not guesses
