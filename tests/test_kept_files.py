"""Files of studies, runs and models, which nothing else may take the place of."""

import pytest
from tiny_study import STUDY

from tinyscope.errors import InputError
from tinyscope.runs.kept_files import is_kept
from tinyscope.sweep.local import run_study
from tinyscope.sweep.outcome import read_study


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of a finished study."""
    short = STUDY.with_overrides({"epochs": 1})
    return run_study(short, out=tmp_path_factory.mktemp("study") / "out").folder


def test_every_file_that_a_study_writes_is_kept(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {"summary.json", "run.json", "model.json", "history.csv"} <= {one.name for one in files}
    assert [path for path in files if not is_kept(path)] == []


def test_what_a_user_has_put_there_and_what_is_not_there_is_not_kept(folder, tmp_path):
    (folder / "model" / "answers.csv").touch()
    assert not is_kept(folder / "model" / "answers.csv")
    assert not is_kept(folder / "model" / "history.csv")
    assert not is_kept(folder / "model")
    (tmp_path / "history.csv").touch()
    assert not is_kept(tmp_path / "history.csv")
    (folder / "model" / "answers.csv").unlink()


def test_a_link_to_a_kept_file_is_kept(folder, tmp_path):
    (tmp_path / "a.csv").symlink_to(folder / "model" / "weights.safetensors")
    assert is_kept(tmp_path / "a.csv")


@pytest.mark.parametrize("name", ["summary.json", "model/weights.safetensors", "study.toml"])
def test_a_report_takes_no_other_files_place(folder, name):
    before = (folder / name).read_bytes()
    with pytest.raises(InputError) as told:
        read_study(folder).report(folder / name)
    assert str(told.value) == (
        f"{folder / name} keeps a part of a study or model; the page would replace it. Give it "
        "another name."
    )
    assert (folder / name).read_bytes() == before


def test_a_report_may_be_written_anew_and_beside_itself(folder):
    study = read_study(folder)
    page = (folder / "report.html").read_bytes()
    assert study.report(folder / "report.html").read_bytes() == page
    assert study.report(folder / "again.html").read_bytes() == page
    assert study.report(folder / "again.html").read_bytes() == page
    (folder / "again.html").unlink()
