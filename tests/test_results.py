import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = sorted(path.parent for path in (ROOT / "results").glob("*/figures.json"))


@pytest.fixture(scope="module")
def record():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        yield importlib.import_module("record")


def test_the_readmes_tables_are_those_of_the_results(record):
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "<!-- results/" in page
    assert record.with_results(page) == page, "run: python benchmarks/record.py results/…"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_results_table_is_the_one_that_its_records_give(folder, record):
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert record.with_table(folder) == page, f"run: python benchmarks/record.py {folder}"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_results_folder_is_small_and_holds_no_weights(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 200_000
    assert {path.suffix for path in files} <= {".md", ".toml", ".json", ".csv", ".svg", ".png"}
