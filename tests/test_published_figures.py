import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tinyscope.errors import InputError
from tinyscope.plan.published_figures import (
    FIGURES,
    PublishedFigures,
    built_in_tables,
    figure_fault,
    with_tables,
)
from tinyscope.plan.study import Study
from tinyscope.plan.study_files import load_study

NAMES = ("model-1", "model-2")

HISTORY = "variation,epoch,accuracy,loss,val_accuracy,val_loss\n"
PER_CLASS = "variation,class,precision,recall,f1\n"
CONFUSION = "variation,true,predicted,count\n"


def told(tables: str | Path, classes: Sequence[str] | None = None, **published: Any) -> str:
    with pytest.raises(InputError) as caught:
        with_tables(published, str(tables), variations=NAMES, class_names=classes)
    return str(caught.value)


def table(folder: Path, file: str, text: str) -> Path:
    (folder / file).write_text(text, encoding="utf-8")
    return folder


def test_tables_of_a_folder_join_the_figures_of_the_study_file(tmp_path: Path) -> None:
    table(
        tmp_path,
        "histories.csv",
        HISTORY + "model-1,1,0.25,2.5,0.5,1.25\n\nmodel-1,4,,,1,0\nmodel-2,1,1e-1,2,0.5,\n",
    )
    table(tmp_path, "per-class.csv", "\ufeff" + PER_CLASS + 'model-1,"cat, big",0.5,1,\n')
    table(tmp_path, "confusion.csv", CONFUSION + "model-1,cat,cat,7\nmodel-1,cat,dog,0\n")
    published = {"model-1": {"epochs": 30, "differs": ["Longer."]}}
    found = with_tables(published, str(tmp_path), variations=("model-2", "model-1", "model-3"))
    assert found == {
        "model-2": PublishedFigures(
            curves=(
                {"epoch": 1, "accuracy": 0.1, "loss": 2.0, "val_accuracy": 0.5, "val_loss": None},
            )
        ),
        "model-1": PublishedFigures(
            figures={"epochs": 30},
            differs=("Longer.",),
            curves=(
                {"epoch": 1, "accuracy": 0.25, "loss": 2.5, "val_accuracy": 0.5, "val_loss": 1.25},
                {"epoch": 4, "accuracy": None, "loss": None, "val_accuracy": 1.0, "val_loss": 0.0},
            ),
            per_class={"cat, big": {"precision": 0.5, "recall": 1.0, "f1": None}},
            confusion={"cat": {"cat": 7, "dog": 0}},
        ),
    }
    assert list(found) == ["model-2", "model-1"]


def test_where_nothing_is_published_there_is_nothing() -> None:
    assert with_tables({}, "", variations=NAMES) == {}


def test_a_folder_that_is_not_there_is_told_with_those_that_come_along(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    assert told(missing) == (
        f'published_tables = "{missing}" is neither a folder nor one of those that come along: '
        "araujo, araujo-transfer, brittan-2024, konutech, workshop."
    )


def test_a_folder_without_any_table_is_told_what_it_may_hold(tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_text(HISTORY)
    assert told(tmp_path) == (
        f'published_tables = "{tmp_path}" holds none of histories.csv, per-class.csv, '
        "confusion.csv."
    )


@pytest.mark.parametrize(
    ("file", "text", "fault"),
    [
        (
            "histories.csv",
            "model,epoch\n",
            "1: the columns are model,epoch; expected "
            "variation,epoch,accuracy,loss,val_accuracy,val_loss.",
        ),
        ("confusion.csv", "", "1: the columns are ; expected variation,true,predicted,count."),
        ("confusion.csv", CONFUSION + "model-1,cat,dog\n", "2: 3 cells; expected 4."),
        (
            "histories.csv",
            HISTORY + "modle-1,1,0.5,1,0.5,1\n",
            '2: variation "modle-1" is the name of no variation of this study. Did you mean '
            '"model-1"?',
        ),
        (
            "histories.csv",
            HISTORY + "zzz,1,0.5,1,0.5,1\n",
            '2: variation "zzz" is the name of no variation of this study.',
        ),
        (
            "histories.csv",
            HISTORY + "model-1,1,50,1,0.5,1\n",
            '2: accuracy "50" is not an accuracy between 0 and 1.',
        ),
        (
            "histories.csv",
            HISTORY + "model-1,1,0.5,-1,0.5,1\n",
            '2: loss "-1" is not a loss of 0 or more.',
        ),
        (
            "histories.csv",
            HISTORY + "model-1,1,0.5,1,0.5,inf\n",
            '2: val_loss "inf" is not a loss of 0 or more.',
        ),
        (
            "histories.csv",
            HISTORY + "model-1,0,0.5,1,0.5,1\n",
            '2: epoch "0" is not a whole number from 1.',
        ),
        (
            "histories.csv",
            HISTORY + "model-1,,0.5,1,0.5,1\n",
            '2: epoch "" is not a whole number from 1.',
        ),
        (
            "per-class.csv",
            PER_CLASS + "model-1,cat,x,1,1\n",
            '2: precision "x" is not a share between 0 and 1.',
        ),
        (
            "confusion.csv",
            CONFUSION + "model-1,cat,dog,1.5\n",
            '2: count "1.5" is not a whole number from 0.',
        ),
        (
            "histories.csv",
            HISTORY + "model-1,1,,,,\nmodel-2,1,,,,\nmodel-1,1,,,,\n",
            "4: variation model-1, epoch 1 stands in line 2 already.",
        ),
        (
            "per-class.csv",
            PER_CLASS + "model-1,cat,,,\nmodel-1,cat,,,\n",
            "3: variation model-1, class cat stands in line 2 already.",
        ),
        (
            "confusion.csv",
            CONFUSION + "model-1,cat,dog,1\nmodel-1,dog,cat,1\nmodel-1,cat,dog,1\n",
            "4: variation model-1, true cat, predicted dog stands in line 2 already.",
        ),
    ],
)
def test_what_is_wrong_with_a_table_is_told_with_its_line(
    tmp_path: Path, file: str, text: str, fault: str
) -> None:
    assert told(table(tmp_path, file, text)) == f"{tmp_path}/{file}:{fault}"


def test_faults_of_several_tables_are_told_together_but_no_more_than_three_of_each(
    tmp_path: Path,
) -> None:
    table(tmp_path, "histories.csv", HISTORY + "model-1,x,,,,\n" * 9)
    table(tmp_path, "per-class.csv", PER_CLASS + "model-1,cat,2,,\n")
    (tmp_path / "confusion.csv").write_bytes(b"variation,true\xff")
    lines = " ".join(
        f'{tmp_path}/histories.csv:{line}: epoch "x" is not a whole number from 1.'
        for line in (2, 3, 4)
    )
    assert told(tmp_path) == (
        f"{lines} {tmp_path}/histories.csv has 6 faults more. "
        f'{tmp_path}/per-class.csv:2: precision "2" is not a share between 0 and 1. '
        f"{tmp_path}/confusion.csv cannot be read as UTF-8 text: 'utf-8' codec can't decode byte "
        "0xff in position 14: invalid start byte."
    )


def test_classes_have_to_be_those_of_the_data_once_these_are_known(tmp_path: Path) -> None:
    table(tmp_path, "per-class.csv", PER_CLASS + "model-1,kat,,,\nmodel-1,cat,,,\n")
    table(tmp_path, "confusion.csv", CONFUSION + "model-1,cat,zebra,1\n")
    assert set(with_tables({}, str(tmp_path), variations=NAMES)["model-1"].per_class) == {
        "kat",
        "cat",
    }
    assert told(tmp_path, classes=("cat", "dog")) == (
        f'{tmp_path}/per-class.csv:2: class "kat" is no class of the data. Did you mean "cat"? '
        f'{tmp_path}/confusion.csv:2: predicted "zebra" is no class of the data.'
    )


def test_a_study_tells_faults_of_its_own_tables(tmp_path: Path) -> None:
    table(tmp_path, "per-class.csv", PER_CLASS + "base,cat,,,\n")
    study = Study(name="s", published_tables=str(tmp_path))
    assert set(study.published_figures(["cat"])["base"].per_class) == {"cat"}
    with pytest.raises(InputError) as caught:
        study.published_figures(["dog"])
    assert str(caught.value) == (
        f'{tmp_path}/per-class.csv:2: class "cat" is no class of the data.'
    )


@pytest.mark.parametrize("key", FIGURES)
def test_a_figure_is_a_number_in_its_range(key: str) -> None:
    assert figure_fault("published.a", key, 1) is None
    for wrong in (-1, True, "1", None, float("nan"), float("inf"), [1]):
        fault = figure_fault("published.a", key, wrong)
        assert fault is not None, wrong
        assert fault.startswith(f"published.a.{key} = ")
    assert (figure_fault("published.a", key, 1.5) is None) == (
        key in ("test_loss", "val_loss", "minutes")
    )
    assert (figure_fault("published.a", key, 0) is None) == ("loss" in key or "accuracy" in key)


def test_every_folder_that_comes_along_names_its_source_and_belongs_to_one_study() -> None:
    folder = Path(with_tables.__code__.co_filename).parent / "published"
    used = []
    for letter in ("a", "c", "d", "e", "e-transfer"):
        study = load_study(f"published-{letter}")
        used.append(study.published_tables)
        source = " ".join((folder / study.published_tables / "README.md").read_text().split())
        author, title = study.published_source.split(", ", 1)
        title = title.split(",")[0].strip('"') if letter != "d" else "Practical Deep Learning"
        assert author.strip('"').split(" ")[-1] in source
        assert title in source
    assert sorted(used) == built_in_tables()


def test_the_curves_of_report_c_end_at_its_published_figures() -> None:
    for name, one in load_study("published-c").published_figures().items():
        if not one.curves:
            assert name in ("sgd", "adam")
            continue
        assert [row["epoch"] for row in one.curves] == list(range(1, 31))
        last = one.curves[-1]
        assert last["val_accuracy"] == one.figures["test_accuracy"]
        assert last["val_loss"] == one.figures["test_loss"]
        assert last["accuracy"] == one.figures["train_accuracy"]


@pytest.mark.parametrize(
    ("study", "variation", "epochs"),
    [
        ("published-e", "5-epochs", [1, 2, 3, 4, 5]),
        ("published-e", "20-epochs", [*range(1, 13), 19, 20]),
        ("published-e-transfer", "transfer", [*range(1, 13), 19, 20]),
    ],
)
def test_the_curves_of_report_e_are_those_epochs_that_it_shows(
    study: str, variation: str, epochs: list[int]
) -> None:
    one = load_study(study).published_figures()[variation]
    assert [row["epoch"] for row in one.curves] == epochs
    last = one.curves[-1]
    assert (last["val_accuracy"], last["val_loss"], last["accuracy"]) == (
        one.figures["val_accuracy"],
        one.figures["val_loss"],
        one.figures["train_accuracy"],
    )


def test_figures_by_class_of_report_a_fit_its_accuracies() -> None:
    study = load_study("published-a")
    unreadable = {"without-pooling": 2, "with-pooling": 1, "with-augmentation": 3}
    for name, one in study.published_figures().items():
        assert len(one.per_class) == 100
        assert list(one.per_class) == sorted(one.per_class)
        recalls = [row["recall"] for row in one.per_class.values()]
        known = [recall for recall in recalls if recall is not None]
        assert recalls.count(None) == unreadable[name]
        # All classes have 100 test images: the mean recall is the accuracy, but for rounding and
        # for the classes that cannot be read.
        assert sum(known) / len(known) == pytest.approx(one.figures["test_accuracy"], abs=0.005)
        for row in one.per_class.values():
            precision, recall, f1 = row["precision"], row["recall"], row["f1"]
            if precision is not None and recall is not None and precision + recall:
                assert f1 == pytest.approx(2 * precision * recall / (precision + recall), abs=0.011)


def test_the_confusion_matrix_of_report_d_is_of_ten_thousand_images_80_percent_right() -> None:
    matrix = load_study("published-d").published_figures()["deeper"].confusion
    assert len(matrix) == 10
    assert {sum(row.values()) for row in matrix.values()} == {1000}
    assert sum(matrix[name][name] for name in matrix) / 10_000 == pytest.approx(0.8, abs=0.001)
    assert matrix["dog"]["cat"] == 103


def test_recalls_of_report_e_are_those_of_the_model_that_they_are_given_to() -> None:
    one = load_study("published-e-transfer").published_figures()["transfer"]
    recalls = [row["recall"] for row in one.per_class.values() if row["recall"] is not None]
    assert len(recalls) == 10
    assert sum(recalls) / 10 == pytest.approx(one.figures["test_accuracy"], abs=0.002)


@pytest.mark.parametrize("name", built_in_tables())
def test_tables_that_come_along_are_plain_csv(name: str) -> None:
    folder = Path(with_tables.__code__.co_filename).parent / "published" / name
    for path in folder.glob("*.csv"):
        assert b"\r" not in path.read_bytes()
        with path.open(newline="") as file:
            assert len({len(row) for row in csv.reader(file)}) == 1
