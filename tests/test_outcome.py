"""Reading a finished study back from its folder."""

import json

import pytest
from page_world import small_summary, summary_of

from tinyscope import cli
from tinyscope.errors import StorageError
from tinyscope.report.summary import PARTS
from tinyscope.sweep.outcome import StudyResult, read_study


@pytest.fixture
def summary(tmp_path):
    return small_summary(tmp_path / "runs")


def stored(folder, summary):
    folder.mkdir(exist_ok=True)
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def refusal(folder):
    with pytest.raises(StorageError) as caught:
        read_study(folder)
    return str(caught.value)


def test_a_finished_study_is_read_as_it_was_written(tmp_path, summary):
    found = read_study(stored(tmp_path / "s", summary))
    assert found.summary == summary
    assert found.folder == (tmp_path / "s").resolve()


def test_a_folder_without_a_summary_says_what_was_expected_and_what_lists_studies(tmp_path):
    assert refusal(tmp_path) == (
        f"There is no finished study in {tmp_path}: expected a summary.json, which a study writes "
        'once all its runs are finished. "tinyscope list runs FOLDER" shows what is there.'
    )
    (tmp_path / "file").write_text("")
    assert refusal(tmp_path / "file").startswith("There is no finished study in ")


def test_a_summary_that_is_there_and_cannot_be_read_is_not_said_to_be_missing(tmp_path):
    (tmp_path / "summary.json").symlink_to("summary.json")
    assert f"{tmp_path / 'summary.json'} cannot be read" in refusal(tmp_path)


def test_a_summary_that_lacks_parts_names_them_with_the_remedy(tmp_path, summary):
    folder = stored(tmp_path / "s", {key: summary[key] for key in PARTS if key != "data"})
    assert refusal(folder) == (
        f"{folder / 'summary.json'} is damaged: it lacks data. Run the study again to have it "
        "written anew; its finished runs are kept."
    )
    assert "it lacks format, tinyscope, created, study," in refusal(stored(folder, {}))


def without_block(summary):
    del summary["variations"][0]["test"]


def of_another_type(summary):
    summary["variations"] = {"base": 1}


def of_no_machine(summary):
    summary["environments"] = []


def without_a_figure(summary):
    del summary["recommended"]["lowest_seed_accuracy"]


def of_another_recommendation(summary):
    summary["recommended"]["variation"] = "gone"


def of_words(summary):
    summary["data"]["class_names"] = None


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    "edited",
    [
        without_block,
        of_another_type,
        of_no_machine,
        without_a_figure,
        of_another_recommendation,
        of_words,
    ],
)
def test_a_summary_that_was_edited_is_one_line_and_leaves_the_page_as_it_was(
    tmp_path, summary, tinyscope, edited
):
    edited(summary)
    folder = stored(tmp_path / "s", summary)
    (folder / "report.html").write_text("before")
    status, _, told = tinyscope("report", folder)
    assert status == 2
    assert told.startswith(
        f"Error: {folder / 'summary.json'} does not hold what this version reads ("
    )
    assert told.endswith(
        "): it was edited, or written by another version. Run the study again to have it written "
        "anew; its finished runs are kept.\n"
    )
    assert len(told.splitlines()) == 1
    assert (folder / "report.html").read_text() == "before"


def test_what_is_read_of_an_edited_summary_later_is_told_in_the_same_way(tmp_path, summary):
    del summary["variations"][0]["test"]["images"], summary["recommended"]["run"]
    found = read_study(stored(tmp_path / "s", summary))
    for read in ("tested", "recommended"):
        with pytest.raises(StorageError, match="does not hold what this version reads"):
            getattr(found, read)


@pytest.mark.usefixtures("undrawn")
def test_a_fault_of_a_summary_that_was_just_made_is_no_matter_of_storage(tmp_path, summary):
    del summary["variations"][0]["test"]
    with pytest.raises(KeyError):
        StudyResult(tmp_path, summary).report(tmp_path / "page.html")


def test_the_parts_that_are_asked_for_are_those_that_every_summary_has(summary):
    assert set(summary) - set(PARTS) == {"findings", "suggestions", "improvements"}
    assert set(PARTS) <= set(summary)


def test_a_later_format_is_told_before_anything_that_it_may_lack(tmp_path):
    told = refusal(stored(tmp_path, {"format": 99}))
    assert told.endswith("by a later version of Tinyscope (format 99; this one reads up to 2).")


@pytest.mark.parametrize(
    ("standing", "verdict"),
    [
        ("recommended", "Recommended"),
        ("unchosen", "Nothing was chosen, there are no validation images; shown"),
        ("guesses", "Nothing can be recommended, the answers cannot be told from guesses; shown"),
        ("diverged", "Nothing can be recommended, the trainings diverged; shown"),
    ],
)
def test_terminal_notebook_and_json_call_a_model_recommended_only_where_it_is(
    tmp_path, summary, capsys, standing, verdict
):
    chosen = summary["recommended"] | {"standing": standing}
    result = read_study(stored(tmp_path, summary | {"recommended": chosen}))
    cli._print_result(result)
    assert capsys.readouterr().out.splitlines()[0] == f"{verdict}: base (compact-cnn)"
    assert result._repr_html_().startswith(f"<p>{verdict}: <strong>base</strong>. ")
    assert result.as_dict()["recommended"]["standing"] == standing


def test_the_accuracy_that_is_told_first_is_that_of_the_model_that_ships(tmp_path):
    summary = summary_of(tmp_path / "runs", ("ant", "bee"), variations={}, seeds=(0, 1, 2))
    block = summary["variations"][0]["test"]
    block |= {"lowest_seed_accuracy": 0.5, "image_interval": [0.25, 0.75], "accuracy": 0.9}
    told = StudyResult(tmp_path, summary).tested
    assert told == (
        f"Test accuracy: 50.0% of {block['images']} images (95% interval 25.0–75.0%); mean of 3 "
        "seeds on all 90.0%"
    )


def test_with_leaked_test_images_the_accuracy_on_the_others_is_told_everywhere(tmp_path, summary):
    block = summary["variations"][0]["test"]
    block["leaks"] = {
        "images": 4,
        "accuracy": 1.0,
        "accuracy_without": 0.9,
        "lowest_seed_accuracy_without": 0.75,
        "image_interval_without": [0.5, 0.875],
    }
    others = block["images"] - 4
    found = read_study(stored(tmp_path, summary))
    told = (
        f"75.0% of {others} images without a copy among the training images (95% interval "
        "50.0–87.5%)"
    )
    assert found.tested == f"Test accuracy: {told}"
    assert told in found._repr_html_()
    headline = found.as_dict()["recommended"]
    assert headline["leaked_test_images"] == 4
    assert headline["lowest_seed_accuracy_without"] == 0.75
    assert headline["image_interval_without"] == [0.5, 0.875]


def test_where_all_test_images_are_copies_nothing_is_expected_of_others(tmp_path, summary):
    block = summary["variations"][0]["test"]
    images = block["images"]
    block["leaks"] = {
        "images": images,
        "accuracy": 1.0,
        "accuracy_without": None,
        "lowest_seed_accuracy_without": None,
        "image_interval_without": None,
    }
    told = read_study(stored(tmp_path, summary)).tested
    assert told.endswith(
        f"of {images} images, {images} of which have copies among the training images; what it is "
        "on others is not known"
    )


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("fault", [OSError(28, "No space left"), ImportError("no matplotlib")])
def test_a_fault_of_the_machine_is_not_laid_on_a_stored_summary(
    tmp_path, summary, monkeypatch, fault
):
    def fails(*args):
        raise fault

    found = read_study(stored(tmp_path / "s", summary))
    monkeypatch.setattr("tinyscope.sweep.outcome.render", fails)
    with pytest.raises(type(fault)):
        found.report(tmp_path / "page.html")
