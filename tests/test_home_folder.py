"""~ is the home folder wherever a path is given, and no folder of that name is made."""

from pathlib import Path

import pytest
import tiny_study

import tinyscope as ts
from tinyscope.command_parameters import PATH
from tinyscope.data.review import apply_review
from tinyscope.files import path_of
from tinyscope.plan.study_files import load_study
from tinyscope.sweep.beginnings import beginning
from tinyscope.training.trainer import train


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def _home(home, here, monkeypatch):
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    yield
    assert list(here.iterdir()) == []


@pytest.fixture(scope="module")
def result(world, home):
    study = tiny_study.STUDY.with_overrides({"epochs": 1})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setenv("HOME", str(home))
        patch.setenv("USERPROFILE", str(home))
        return ts.run(study, world, out="~/mine", seeds=1)


def test_a_study_goes_there_and_is_found_there(result, world, home):
    assert result.folder == (home / "mine").resolve()
    assert ts.read_study("~/mine").folder == result.folder
    run = result.recommended.run
    assert ts.read_run(f"~/mine/runs/{run.name}").identity == run.identity
    assert ts.load_classifier("~/mine").class_names == world.train.class_names
    assert result.report("~/copy.html") == home / "copy.html"
    ts.write_report(result.summary, "~/again.html")
    assert (home / "again.html").exists()


def test_a_model_there_is_a_backbone(result, world):
    recipe = ts.Recipe(
        model="transfer", backbone="~/mine", normalization="standard", initializer="zero-output"
    )
    assert beginning(recipe, world).description["backbone"]["name"] == "mine"


def test_a_review_a_page_and_a_study_file_lie_there(result, world, home):
    inspection = ts.explore(world, training=False)
    assert inspection.write("~/pages") == home / "pages" / "data.html"
    inspection.write_review("~/review.csv")
    assert apply_review(world, "~/review.csv")[0].name == world.name
    assert load_study("~/mine/study.toml").name == "study"


def test_a_checkpoint_lies_there(world, home):
    train(world, ts.Recipe(epochs=1, precision="fp32"), checkpoint="~/state.safetensors")
    assert (home / "state.safetensors").exists()


def test_the_command_line_takes_it_where_no_shell_does(home):
    assert PATH.convert("~/out", None, None) == home / "out"


def test_a_user_that_does_not_exist_is_a_name_as_any_other():
    assert path_of("~nobody-of-this-name/x") == Path("~nobody-of-this-name/x")
