import json
from dataclasses import replace

import numpy as np
import pytest

from tinyscope import listings
from tinyscope.errors import StorageError
from tinyscope.plan.recipe import Recipe
from tinyscope.runs.run import HISTORY_COLUMNS, Predictions, Run, read_run
from tinyscope.runs.store import check_folder, run_folder, run_folders


@pytest.fixture
def run(tmp_path):
    return Run(
        folder=tmp_path / "runs" / "base-seed0-0123abcd",
        variation="base",
        seed=0,
        recipe=Recipe(epochs=2, layers=("flatten",), model="layer-stack", precision="fp32"),
        identity="0123abcd",
        data={"name": "world"},
        environment={"cores": 2},
        parameters=12,
    )


def row(epoch, **values):
    return dict.fromkeys(HISTORY_COLUMNS, 0.5) | {"epoch": epoch} | values


def test_a_run_reads_back_as_it_was_written(run):
    run.write_start()
    assert read_run(run.folder) == run


def test_history_keeps_every_digit_and_knows_what_was_not_measured(run):
    run.write_history([row(1, train_loss=0.1 + 0.2, val_loss=None), row(2)])
    first, second = run.history
    assert first["train_loss"] == 0.1 + 0.2
    assert first["val_loss"] is None
    assert (first["epoch"], second["epoch"]) == (1, 2)
    assert tuple(first) == HISTORY_COLUMNS


def test_a_history_of_before_the_processors_seconds_were_measured_is_read(run):
    run.write_history([row(1), row(2)])
    path = run.folder / "history.csv"
    heading, *rows = path.read_text().splitlines()
    place = heading.split(",").index("cpu_seconds")
    cut = [",".join(each.split(",")[:place] + each.split(",")[place + 1 :]) for each in rows]
    path.write_text("\n".join([heading.replace("cpu_seconds,", ""), *cut]) + "\n")
    assert run.history == [row(1, cpu_seconds=None), row(2, cpu_seconds=None)]


def test_an_epoch_that_is_trained_again_replaces_the_rows_from_there_on(run):
    for epoch, loss in ((1, 0.9), (2, 0.8), (3, 0.7), (2, 0.6)):
        run.add_epoch(row(epoch, train_loss=loss))
    assert [(each["epoch"], each["train_loss"]) for each in run.history] == [(1, 0.9), (2, 0.6)]


def test_predictions_come_back_with_their_types(run):
    logits = np.arange(6, dtype=np.float32).reshape(3, 2)
    run.write_predictions("test", Predictions(logits, np.array([0, 1, 1])))
    read = run.predictions("test")
    assert read.logits.dtype == np.float32
    assert read.logits.tolist() == logits.tolist()
    assert read.labels.tolist() == [0, 1, 1]
    assert run.predictions("validation") is None


def test_a_run_is_finished_once_its_result_is_there(run):
    run.write_start()
    run.write_history([row(1)])
    assert not run.finished
    run.write_result({"epochs_run": 1})
    assert run.finished
    assert run.result["epochs_run"] == 1


def test_every_opening_of_the_test_split_stays_on_record(run):
    run.open_test_split(100, "first")
    openings = run.open_test_split(100, "after an interruption")["test_openings"]
    assert [each["purpose"] for each in openings] == ["first", "after an interruption"]
    assert all(each["images"] == 100 and each["time"].endswith("+00:00") for each in openings)


def test_a_run_of_a_later_version_is_refused_with_the_remedy(run):
    run.write_start()
    path = run.folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 2}))
    with pytest.raises(StorageError) as told:
        read_run(run.folder)
    assert str(told.value) == (
        f"{run.folder} was written by a later version of Tinyscope (format 2; this one reads up to "
        '1). Update with "pip install -U tinyscope", or choose another folder with --out.'
    )


def test_a_damaged_run_is_named(run):
    run.write_start()
    (run.folder / "run.json").write_text('{"format": 1}')
    with pytest.raises(StorageError, match=r"run\.json is not a run's: KeyError\('variation'\)"):
        read_run(run.folder)


@pytest.mark.parametrize(
    ("recipe", "reason"),
    [
        ({"newkey": 1}, 'Unknown recipe key "newkey".'),
        ({"optimizer": "lion"}, 'optimizer = "lion" is none of'),
    ],
)
def test_a_recipe_of_another_version_is_told_with_the_runs_folder(run, recipe, reason):
    run.write_start()
    path = run.folder / "run.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"recipe": content["recipe"] | recipe}))
    with pytest.raises(StorageError) as told:
        read_run(run.folder)
    assert str(told.value).startswith(
        f"{path} cannot be used, perhaps because another version of Tinyscope wrote it: {reason}"
    )


@pytest.mark.parametrize(("version", "shown"), [("1", '"1"'), (None, "None"), ([1], "[1]")])
def test_a_format_that_is_no_number_is_told_and_does_not_end_a_list_of_runs(run, version, shown):
    run.write_start()
    path = run.folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": version}))
    told = f"{path} is not a run's: format = {shown} is not a whole number."
    with pytest.raises(StorageError) as refused:
        read_run(run.folder)
    assert str(refused.value) == told
    assert list(listings.runs(run.folder.parent)) == [f"{run.folder}: {told}"]


def test_a_renamed_variation_finds_its_run_by_identity(run):
    run.write_start()
    study = run.folder.parent.parent
    found = run_folder(study, variation="renamed", seed=0, identity="0123abcd")
    assert found == run.folder
    new = run_folder(study, variation="a/b c", seed=4, identity="ffff0000")
    assert new.name == "a_b_c-seed4-ffff0000"


def test_runs_are_found_below_a_folder_of_studies(run, tmp_path):
    run.write_start()
    other = replace(run, folder=run.folder.with_name("other-seed1-99999999"), seed=1)
    other.write_start()
    assert [each.name for each in run_folders(tmp_path)] == [run.name, other.name]


def test_a_folder_of_other_things_is_not_taken_for_a_study(tmp_path):
    check_folder(tmp_path / "new")
    check_folder(tmp_path)
    (tmp_path / "thesis.doc").touch()
    with pytest.raises(StorageError) as told:
        check_folder(tmp_path)
    assert str(told.value) == (
        f'{tmp_path} holds other things ("thesis.doc") and no study. Choose an empty or a new '
        "folder with --out."
    )
    (tmp_path / "study.toml").touch()
    check_folder(tmp_path)


def test_a_file_is_not_taken_for_a_study(tmp_path):
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(StorageError, match=r"is a file\. Choose a folder with --out"):
        check_folder(path)
