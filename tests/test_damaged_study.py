"""What is said of a study of which a disk, an editor or another program has damaged a file."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from tiny_study import STUDY

from tinyscope import listings
from tinyscope.errors import StorageError
from tinyscope.runs.run import Predictions, read_run
from tinyscope.sweep import improve as improving
from tinyscope.sweep.improve import improve
from tinyscope.sweep.local import run_study

ASKED = replace(STUDY.with_overrides({"epochs": 2}), seeds=(0,), variations={})
pytestmark = pytest.mark.usefixtures("undrawn")
AGAIN = "Remove {run} to train this run again."


@pytest.fixture(scope="module")
def finished(world, tmp_path_factory):
    return run_study(ASKED, world, out=tmp_path_factory.mktemp("studies") / "tiny")


@pytest.fixture
def folder(finished, tmp_path):
    shutil.copytree(finished.folder, tmp_path / "s")
    return tmp_path / "s"


@pytest.fixture
def run(folder):
    (path,) = (folder / "runs").iterdir()
    return path


def told(folder, world, **options):
    with pytest.raises(StorageError) as raised:
        run_study(ASKED, world, out=folder, **options)
    return str(raised.value)


def change(path, **values):
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content | values), encoding="utf-8")


def test_a_study_file_in_another_encoding_is_told_before_the_data_are_read(folder, world):
    path = folder / "study.toml"
    path.write_bytes('question = "Wie gut ist größer?"\n'.encode("latin-1"))
    before = path.read_bytes()
    assert told(folder, world) == (
        f"{path} is not in UTF-8, so this command did not write it. Save it as UTF-8, move it "
        "away, or choose another folder with --out."
    )
    assert path.read_bytes() == before


@pytest.mark.parametrize("kept", [0, 4, 200, -1])
def test_weights_that_were_cut_are_not_those_of_a_finished_run(folder, run, world, kept):
    path = run / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    line = told(folder, world)
    assert line.startswith(f"{path} is damaged: ")
    assert line.endswith(f". {AGAIN.format(run=run)}")


@pytest.mark.parametrize("content", [b"", b"{", b"[]"])
def test_a_model_card_that_is_no_table_is_told_with_the_remedy(folder, run, world, content):
    (run / "model.json").write_bytes(content)
    line = told(folder, world)
    assert line.startswith(f"{run / 'model.json'} is damaged: ")
    assert line.endswith(AGAIN.format(run=run))


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda text: text[: text.rindex(",") - 30], "line 3 is no row of numbers"),
        (lambda text: text.replace("\n2,", "\ntwo,"), "line 3 is no row of numbers"),
        (lambda text: text.replace("val_loss", "loss"), "it lacks the column val_loss"),
        (lambda text: "", "it lacks the column epoch"),
    ],
)
def test_a_history_that_was_cut_is_told_with_the_remedy(folder, run, world, damage, why):
    path = run / "history.csv"
    path.write_text(damage(path.read_text()))
    assert told(folder, world) == f"{path} is damaged: {why}. {AGAIN.format(run=run)}"


def test_a_history_in_another_encoding_is_told_with_the_remedy(folder, run, world):
    path = run / "history.csv"
    path.write_bytes(path.read_bytes() + b"\xe9")
    assert told(folder, world).startswith(f"{path} is damaged: ")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_answers_that_are_no_numbers_are_told_with_the_remedy(folder, run, world, value):
    found = read_run(run).predictions("validation")
    logits = found.logits.copy()
    logits[3, 1] = value
    read_run(run).write_predictions("validation", Predictions(logits, found.labels))
    path = run / "predictions-validation.npz"
    assert told(folder, world) == (
        f"{path} is damaged: an answer is no number. {AGAIN.format(run=run)}"
    )


def test_a_run_that_knows_no_machine_is_told_with_the_remedy(folder, run, world):
    change(run / "run.json", environment={})
    assert told(folder, world) == (
        f"{run} is finished but lacks cpu in run.json. Remove it to train this run again."
    )
    change(run / "run.json", environment=[])
    assert told(folder, world) == f"{run / 'run.json'} is not a run's: environment is no table."


def test_seconds_that_are_no_number_are_told_with_the_remedy(folder, run, world):
    change(run / "result.json", train_seconds=None)
    assert told(folder, world) == (
        f"{run / 'result.json'} is damaged: train_seconds is None. {AGAIN.format(run=run)}"
    )


@pytest.mark.parametrize("values", [{"train_seconds": None}, {"val_accuracy": "0.5"}])
def test_a_run_with_a_damaged_result_is_listed_and_the_others_too(folder, run, values):
    other = shutil.copytree(run, folder / "runs" / "other")
    change(run / "result.json", **values)
    first, second = listings.runs(folder)
    assert first == (
        f"{run}: its result.json is damaged; remove the folder to train this run again"
    )
    assert second.startswith(f"{other}: val_accuracy ")


def test_test_openings_that_are_no_list_are_told_with_the_remedy(run):
    (run / "test-openings.json").write_text('{"opened": 1}')
    with pytest.raises(StorageError) as raised:
        read_run(run).open_test_split(64, "again")
    assert str(raised.value) == (
        f"{run / 'test-openings.json'} is damaged: it holds no list of openings. "
        f"{AGAIN.format(run=run)}"
    )


@pytest.mark.parametrize("lacking", ["asked", "seeds", "recipes", "cut"])
def test_a_plan_that_lacks_a_part_is_told_with_the_remedy(folder, world, lacking):
    run_study(ASKED, world, out=folder, budget=1000)
    path = folder / "plan.json"
    content = json.loads(path.read_text())
    del content[lacking]
    path.write_text(json.dumps(content))
    assert told(folder, world, budget=1000) == (
        f"{path} is damaged: it lacks '{lacking}'. Remove it to have the study cut to its budget "
        "anew."
    )


@pytest.mark.parametrize("content", ["{}", '{"improvements": [{"variation": "improved-1"}]}'])
def test_steps_of_which_a_part_is_lacking_are_told_with_the_remedy(
    folder, world, monkeypatch, content
):
    step = {"variation": "base", "code": "TS106", "title": "Train longer", "why": "it learns on"}
    step |= {"changes": {"epochs": 3}, "expected_gain": 0.01}
    monkeypatch.setattr(improving, "suggestions", lambda summary, findings, **price: [step])
    path = folder / "improvements.json"
    path.write_text(content)
    with pytest.raises(StorageError) as raised:
        improve(folder, data=world, steps=1)
    assert str(raised.value) == (
        f"{path} is damaged: it holds no list of steps. Remove it to go on; the report then no "
        "longer tells what earlier steps have brought."
    )
