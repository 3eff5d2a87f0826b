"""~ is the home folder wherever a path is given, and no folder of that name is made."""

from pathlib import Path

import pytest
import tiny_study
from PIL import Image

import tinyscope as ts
from tinyscope.command_parameters import PATH
from tinyscope.data.cache_folder import cache_folder
from tinyscope.data.review import apply_review
from tinyscope.features import hub
from tinyscope.files import path_of
from tinyscope.plan.study_files import load_study
from tinyscope.shipping.photos import find_photos
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


NOBODY = "~nobody-of-this-name/x"


def test_photos_and_patterns_of_photos_are_found_there(home):
    (home / "photos").mkdir()
    for name in ("1.png", "2.png"):
        (home / "photos" / name).touch()
    expected = [str(home / "photos" / name) for name in ("1.png", "2.png")]
    for given in (["~/photos/*.png"], ["~/photos"], ["~/photos/1.png", "~/photos/2.png"]):
        assert [photo.name for photo in find_photos(given)] == expected
    assert [photo.name for photo in find_photos([f"{NOBODY}/*.png"])] == [f"{NOBODY}/*.png"]


def test_a_folder_that_is_called_so_is_no_home_folder(home, monkeypatch):
    folder = home / "other"
    (folder / "~").mkdir(parents=True)
    (folder / "~" / "1.png").touch()
    monkeypatch.chdir(folder)
    (photo,) = find_photos(["."])
    assert photo == ("~/1.png", "1", folder / "~" / "1.png", "", None)


@pytest.mark.parametrize("kind", [str, Path])
def test_a_classifier_answers_a_photo_there(result, home, kind):
    Image.new("RGB", (20, 20)).save(home / "cat.png")
    classifier = ts.load_classifier("~/mine")
    answer = classifier.predict(kind("~/cat.png"))
    assert (answer.file, answer.error) == ("~/cat.png", None)
    missing = classifier.predict(kind(NOBODY))
    assert (missing.file, missing.error) == (NOBODY, "cannot be read: No such file or directory")


def test_predict_does_not_write_over_the_photos_it_is_given_there(result, home, tinyscope):
    (home / "all.csv").write_text("kept")
    answer = tinyscope("predict", "~/mine", "~/all.csv", "--csv", "~/all.csv")
    assert answer.status == 2
    assert "is given as images; what is written would replace them." in answer.err
    assert (home / "all.csv").read_text() == "kept"


def test_what_is_kept_for_the_next_time_lies_there(home, monkeypatch):
    for given, expected in (("~/kept", home / "kept"), (NOBODY, Path(NOBODY))):
        monkeypatch.setenv("TINYSCOPE_CACHE", given)
        assert cache_folder() == expected
        monkeypatch.setenv("HF_HUB_CACHE", given)
        assert hub._cache_of_hub() == expected
        with monkeypatch.context() as patch:
            patch.delenv("HF_HUB_CACHE")
            patch.setenv("HF_HOME", given)
            assert hub._cache_of_hub() == expected / "hub"
