import base64
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from study_world import ENVIRONMENT, make_run, make_splits, make_study

from tinyscope.data.dataset import LeftOut
from tinyscope.errors import DataError
from tinyscope.report.pictures import Album, data_uri
from tinyscope.report.summary import headline, summarise
from tinyscope.runs.run import Predictions

NAMES = ("ant", "bee", "cat", "dog")
ACCURACIES = {"base": 0.6, "smooth": 0.62, "resnet": 0.95}
CHANGES = {"smooth": {"label_smoothing": 0.2}, "resnet": {"model": "resnet-20"}}


def summary_of(tmp_path, *, study=None, splits=None, accuracies=ACCURACIES, came=True):
    study = study or make_study()
    splits = splits or make_splits(NAMES, per_class=(12, 40, 50))
    runs = [
        make_run(tmp_path, study, splits, name, seed, accuracy=accuracy, seconds=2.0 + seed)
        for name, accuracy in accuracies.items()
        for seed in reversed(study.seeds)
    ]
    return summarise(study, runs, splits, recipes_changed=CHANGES, test_came_with_data=came)


@pytest.fixture(scope="module")
def summary(tmp_path_factory):
    return summary_of(tmp_path_factory.mktemp("runs"))


def test_a_summary_survives_json_unchanged(summary):
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_variations_keep_the_order_of_their_first_runs(summary):
    assert [one["name"] for one in summary["variations"]] == list(ACCURACIES)
    assert summary["variations"][0]["seeds"] == [0, 1, 2]


def test_accuracies_are_means_over_seeds_and_the_image_interval_is_the_lowest_seeds(summary):
    for variation in summary["variations"]:
        of_seed = [run["test_accuracy"] for run in variation["runs"]]
        assert variation["test"]["accuracy"] == pytest.approx(np.mean(of_seed))
        assert variation["test"]["lowest_seed_accuracy"] == of_seed[0]
        low, high = variation["test"]["image_interval"]
        assert low < of_seed[0] < high
        assert np.trace(variation["test"]["confusion"]) / 200 == pytest.approx(of_seed[0])
    assert summary["variations"][0]["train_seconds"] == pytest.approx(3.0)
    assert summary["variations"][0]["train_cpu_seconds"] == pytest.approx(4.5)
    assert summary["variations"][0]["train_flop"] == pytest.approx(1e12)


def test_what_a_single_look_is_worth_is_a_mean_over_seeds_too(summary):
    base = summary["variations"][0]
    assert [run["one_view_accuracy"]["test"] for run in base["runs"]] == [0.6, 0.59, 0.58]
    assert base["test"]["one_view_accuracy"] == pytest.approx(0.59)
    assert base["validation"]["one_view_accuracy"] == pytest.approx(0.59)


def test_the_recommendation_is_the_lowest_seed_of_the_best_validation_mean(summary):
    recommended = summary["recommended"]
    assert recommended["variation"] == "resnet"
    assert recommended["run"] == "resnet-0"
    assert recommended["cannot_be_told_apart_from"] == []
    assert recommended["weakest_classes"] == []  # what its classes differ by, chance explains


def test_the_test_split_never_changes_the_recommendation(tmp_path):
    study, splits = make_study(seeds=(0,)), make_splits(NAMES, per_class=(12, 40, 50))
    good = make_run(tmp_path, study, splits, "base", 0, accuracy=0.9)
    bad = make_run(tmp_path, study, splits, "smooth", 0, accuracy=0.5)
    labels = splits.test.labels
    perfect = np.eye(4, dtype=np.float32)[labels]
    bad.write_predictions("test", Predictions(perfect, labels))
    found = summarise(study, [good, bad], splits, recipes_changed={}, test_came_with_data=True)
    assert found["recommended"]["variation"] == "base"
    (on_test,) = found["comparisons"]["test"]
    assert (on_test["first"], on_test["second"], on_test["verdict"]) == ("base", "smooth", "worse")


def test_the_headline_holds_what_the_command_promises(summary):
    told = headline(summary)
    assert set(told["recommended"]) == {
        "variation",
        "model",
        "standing",
        "reason",
        "test_accuracy",
        "lowest_seed_accuracy",
        "val_accuracy",
        "image_interval",
        "seed_interval",
        "seeds",
        "leaked_test_images",
        "lowest_seed_accuracy_without",
        "image_interval_without",
    }
    assert [one["name"] for one in told["variations"]] == list(ACCURACIES)
    assert set(told["variations"][0]) == {
        "name",
        "test_accuracy",
        "val_accuracy",
        "image_interval",
        "seed_interval",
        "parameters",
        "train_seconds",
        "runs",
    }
    assert "history" not in told["variations"][0]["runs"][0]


def test_with_one_seed_there_is_no_interval_over_seeds_and_the_limits_say_so(tmp_path):
    found = summary_of(tmp_path, study=make_study(seeds=(0,)))
    assert found["recommended"]["seed_interval"] is None
    assert any("trained once, with one seed" in sentence for sentence in found["limits"])


def test_without_validation_the_first_variation_is_given(tmp_path):
    found = summary_of(
        tmp_path,
        study=make_study(validation=0),
        splits=make_splits(NAMES, per_class=(12, 4, 50), validation=False),
    )
    assert found["recommended"]["variation"] == "base"
    assert found["recommended"]["val_accuracy"] is None
    assert found["comparisons"]["validation"] == []
    assert found["variations"][0]["validation"] is None
    assert any("no validation images" in sentence for sentence in found["limits"])


def test_images_left_out_are_counted_and_listed_once(tmp_path):
    missing = (LeftOut("ant/7.png", "truncated"), LeftOut("notes.txt", "not an image"))
    found = summary_of(tmp_path, splits=make_splits(NAMES, left_out=missing))
    data = found["data"]
    assert (data["used"], data["found"]) == (4 * 26, 4 * 26 + 2)
    assert data["left_out"][0] == {"split": "train", "file": "ant/7.png", "reason": "truncated"}
    assert any(sentence.startswith("2 of 106 images") for sentence in found["limits"])


def test_limits_name_only_what_is_true_of_the_study(summary, tmp_path):
    text = " ".join(summary["limits"])
    assert "copies of training images" in text
    assert "unbalanced" not in text
    assert "one seed" not in text
    assert "could not be used" not in text
    assert "Published" not in text
    assert "30 test images" not in text
    cut_here = " ".join(summary_of(tmp_path, came=False)["limits"])
    assert "copies of training images" not in cut_here


def test_trainings_of_too_few_steps_are_named_with_their_steps(tmp_path):
    # 48 training images in batches of 256 are one step an epoch.
    for epochs, told in ((149, True), (150, False)):
        study = make_study(overrides={"epochs": epochs})
        text = " ".join(summary_of(tmp_path / str(epochs), study=study)["limits"])
        assert (
            "“base” (149 steps), “smooth” (149 steps) and “resnet” (149 steps) say" in text
        ) is told
        assert ("hardly begun" in text) is told


def test_classes_are_unbalanced_where_chance_does_not_make_them_so_uneven(tmp_path):
    splits = make_splits(NAMES)
    for left, expected in ((6, False), (1, True)):  # of 12, as the others have
        rows = np.flatnonzero(splits.train.labels == 2)[:left]
        keep = np.sort(np.r_[np.flatnonzero(splits.train.labels != 2), rows])
        train = splits.train.select(keep, split="train")
        found = summary_of(tmp_path, splits=replace(splits, train=train))
        assert found["data"]["unbalanced"] is expected
        assert found["data"]["smallest_class"] == "cat"


def test_published_figures_stand_beside_the_measured_ones(tmp_path):
    tables = tmp_path / "tables"
    tables.mkdir()
    (tables / "per-class.csv").write_text(
        "variation,class,precision,recall,f1\nsmooth,dog,0.5,0.6,\nsmooth,ant,0.5,0.6,0.7\n"
    )
    study = make_study(
        published={"base": 0.63, "smooth": {"epochs": 5, "differs": ["Longer."]}},
        published_source="A report, 2021",
        published_tables=str(tables),
    )
    found = summary_of(tmp_path, study=study)
    nothing = {"differs": [], "curves": [], "per_class": [], "confusion": []}
    assert [one["published"] for one in found["variations"]] == [
        nothing | {"figures": {"test_accuracy": 0.63}},
        nothing
        | {
            "figures": {"epochs": 5},
            "differs": ["Longer."],
            "per_class": [
                {"class": "ant", "precision": 0.5, "recall": 0.6, "f1": 0.7},
                {"class": "dog", "precision": 0.5, "recall": 0.6, "f1": None},
            ],
        },
        None,
    ]
    assert found["study"]["published_source"] == "A report, 2021"
    assert any(sentence.startswith("Published figures") for sentence in found["limits"])


def test_a_variation_says_whose_weights_it_began_with(tmp_path):
    study = make_study(
        variations={"longer": {"start_from": "base"}, "resnet": {"model": "resnet-20"}}
    )
    found = summary_of(tmp_path, study=study, accuracies={"base": 0.6, "longer": 0.7})
    assert [one["start_from"] for one in found["variations"]] == [None, "base"]


def test_what_differs_in_one_key_began_alike(tmp_path):
    study = make_study(
        variations={"longer": {"start_from": "base", "shift": 1}, "moved": {"shift": 1}}
    )
    found = summary_of(tmp_path, study=study, accuracies={"base": 0.6, "longer": 0.7, "moved": 0.7})
    pairs = [(row["first"], row["second"]) for row in found["comparisons"]["one_key"]]
    assert pairs == [("base", "moved")]


def test_top_five_is_there_for_more_than_ten_classes(tmp_path):
    names = tuple(f"class {k}" for k in range(12))
    found = summary_of(tmp_path, splits=make_splits(names, per_class=(2, 2, 4)))
    test = found["variations"][0]["test"]
    assert test["accuracy"] <= test["top_5_accuracy"] <= 1
    assert len(found["data"]["samples"]) == 12


def test_every_picture_that_is_named_is_held_and_is_the_image(summary):
    splits = make_splits(NAMES, per_class=(12, 40, 50))
    test = summary["variations"][0]["test"]
    shots = [shot for gallery in test["galleries"].values() for shot in gallery]
    for shot in shots:
        assert shot["picture"] == f"test/{shot['row']}"
        assert shot["true"] == NAMES[splits.test.labels[shot["row"]]]
    row = shots[0]["row"]
    encoded = summary["pictures"][f"test/{row}"].removeprefix("data:image/png;base64,")
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))))
    assert (pixels == splits.test.images[row]).all()
    named = [key for pair in test["confused_pairs"] for key in pair["pictures"]]
    assert set(named) <= set(summary["pictures"])


def test_grey_images_become_grey_pictures():
    image = np.arange(12, dtype=np.uint8).reshape(3, 4, 1)
    encoded = data_uri(image).removeprefix("data:image/png;base64,")
    picture = Image.open(io.BytesIO(base64.b64decode(encoded)))
    assert picture.mode == "L"
    assert (np.asarray(picture) == image[:, :, 0]).all()


def test_an_album_holds_an_image_once():
    album, test = Album(), make_splits(NAMES).test
    assert album.place(test, 3) == album.place(test, 3) == "test/3"
    assert list(album.pictures) == ["test/3"]


def test_runs_of_two_machines_are_told_apart(tmp_path):
    study, splits = make_study(seeds=(0, 1)), make_splits(NAMES)
    here = make_run(tmp_path, study, splits, "base", 0, accuracy=0.8)
    there = make_run(tmp_path, study, splits, "base", 1, accuracy=0.8)
    there = replace(there, environment=ENVIRONMENT | {"cpu": "Another CPU"})
    found = summarise(study, [here, there], splits, recipes_changed={}, test_came_with_data=True)
    assert [one["runs"] for one in found["environments"]] == [["base-0"], ["base-1"]]


def test_a_loss_that_is_no_number_becomes_null(tmp_path):
    study, splits = make_study(seeds=(0,)), make_splits(NAMES)
    run = make_run(tmp_path, study, splits, "base", 0, accuracy=0.3)
    rows = [dict(row) for row in run.history]
    rows[-1]["train_loss"] = float("nan")
    run.write_history(rows)
    run.write_result(run.result | {"stopped": "diverged"})
    del run.__dict__["result"]
    found = summarise(study, [run], splits, recipes_changed={}, test_came_with_data=True)
    assert found["variations"][0]["runs"][0]["history"][-1]["train_loss"] is None
    assert any("grew without bound" in sentence for sentence in found["limits"])


def test_predictions_for_other_images_are_refused(tmp_path):
    study = make_study()
    run = make_run(tmp_path, study, make_splits(NAMES), "base", 0, accuracy=0.8)
    other = make_splits(NAMES, per_class=(12, 4, 11))
    with pytest.raises(DataError) as caught:
        summarise(study, [run], other, recipes_changed={}, test_came_with_data=True)
    assert str(caught.value) == (
        f'{run.folder}: its test predictions belong to other images than those of "shades".'
    )


def test_a_run_without_test_predictions_is_refused(tmp_path):
    study, splits = make_study(), make_splits(NAMES)
    run = make_run(tmp_path, study, splits, "base", 0, accuracy=0.8)
    (run.folder / "predictions-test.npz").unlink()
    with pytest.raises(DataError) as caught:
        summarise(study, [run], splits, recipes_changed={}, test_came_with_data=True)
    assert str(caught.value) == f"{run.folder}: no predictions for the test split."


def test_a_study_without_finished_runs_has_no_report():
    with pytest.raises(DataError) as caught:
        summarise(
            make_study(), [], make_splits(NAMES), recipes_changed={}, test_came_with_data=True
        )
    assert str(caught.value) == (
        "Study shades: 0 variations with finished runs and a test split; a report needs both."
    )
