import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = sorted(path.parent for path in (ROOT / "results").glob("*/figures.json"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_results_table_is_the_one_that_its_records_give(folder):
    spec = importlib.util.spec_from_file_location("record", ROOT / "benchmarks" / "record.py")
    record = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(record)
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert record.with_table(folder) == page, f"run: python benchmarks/record.py {folder}"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_results_folder_is_small_and_holds_no_weights(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 200_000
    assert {path.suffix for path in files} <= {".md", ".toml", ".json", ".csv", ".svg", ".png"}
