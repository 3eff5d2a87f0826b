import json
import re
from pathlib import Path
from statistics import fmean

import pytest
import record
import results_index

from tinyscope.diagnosis import answer_checks
from tinyscope.plan.recipe_book import MEASURED

ROOT = Path(__file__).parent.parent
FOLDERS = sorted(path.parent for path in (ROOT / "results").glob("*/figures.json"))


def test_the_readmes_tables_are_those_of_the_results():
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "<!-- results/" in page
    assert record.with_results(page) == page, "run: python benchmarks/record.py results/…"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_results_table_is_the_one_that_its_records_give(folder):
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert record.with_table(folder) == page, f"run: python benchmarks/record.py {folder}"


def test_the_index_names_every_record_and_is_up_to_date():
    page = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
    assert results_index.index() == page, "run: python benchmarks/results_index.py"
    for folder in (ROOT / "results").iterdir():
        assert not folder.is_dir() or f"]({folder.name})" in page


def test_a_figure_that_is_told_in_the_index_stands_in_its_records_prose():
    for name, told in results_index.TOLD.items():
        assert not (ROOT / "results" / name / "figures.json").exists() or "few-images" in name
        page = (ROOT / "results" / name / "README.md").read_text(encoding="utf-8")
        numbers = re.findall(r"\d+\.\d+|\d{3,}", told)
        assert numbers or "%" in told
        assert [number for number in numbers if number not in page] == [], name


@pytest.mark.parametrize("name", MEASURED)
def test_what_is_said_of_a_recipe_is_what_its_latest_record_holds(name):
    said = MEASURED[name]
    latest = [folder for folder in FOLDERS if "_time-to-accuracy_" in folder.name][-1]
    assert said.record == latest.name
    content = json.loads((latest / "figures.json").read_text(encoding="utf-8"))
    (held,) = (each for each in content["recipes"] if each["recipe"] == name)

    def mean(key: str) -> float:
        return fmean(run[key] for run in held["runs"])

    assert said.accuracy == round(mean("test_accuracy"), 4)
    assert said.one_view == round(mean("one_view_accuracy"), 4)
    assert f"{said.flop:.3g}" == f"{mean('train_flop'):.3g}"
    assert said.parameters == held["parameters"]
    data = content["data"]
    assert (data["name"], data["train"], data["test"]) == ("cifar10", 50_000, 10_000)


def test_findings_say_of_quick_what_was_measured():
    quick = MEASURED["quick"]
    mirrored = {"name": "a", "recipe": {"horizontal_flip": True, "test_views": "one"}}
    [item] = answer_checks.one_look(
        {"variations": [mirrored], "comparisons": {"one_key": []}}
    ).items
    assert f"from {quick.one_view:.2%} to {quick.accuracy:.2%} of" in item["evidence"]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_results_folder_is_small_and_holds_no_weights(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 300_000
    assert {path.suffix for path in files} <= {".md", ".toml", ".json", ".csv", ".svg", ".png"}
